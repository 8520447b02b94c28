//! Uploads in progress: pieces in, sealed chunks on the data lane, one commit at the end.
//!
//! Nothing of an upload is visible before its record; what an upload that never commits has written is
//! named by nothing.

use stele_format::digest::Digest;
use stele_format::limits::{CHUNK_PLAIN_BYTES_MAX, INLINE_BODY_BYTES_MAX};
use stele_format::manifest::ManifestEntry;
use stele_format::record::{EntryKind, SegmentSpan, StoredEntry};
use stele_format::units::{ByteCount, SegmentId};

use super::commands::object::Upload;
use super::commands::{Facts, Outcome, multipart, object};
use super::tenants::Promise;
use super::view::{Need, Stop, View};
use super::{Engine, JobFor};
use crate::job::Job;
use crate::keys::chunk::ChunkKey;
use crate::lane::{SealedChunk, Ticket};
use crate::limits::{MANIFEST_ENTRY_COUNT_MAX, STREAM_IDLE_MS_MAX, UPLOAD_BYTES_MAX};
use crate::policy::{Asker, Usage};
use crate::read::Content;
use crate::request::{
    Answer, Checksum, Command, Conditions, ObjectName, Piece, Purpose, Refusal, RequestId,
    StreamId, Whole,
};

/// What a chunk of the lane belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TicketFor {
    /// A chunk of an upload.
    Chunk(StreamId, usize),
    /// A list chunk of a request: group, and whether it is the clear one.
    List(RequestId, usize, bool),
}

enum ChunkState {
    Sealing,
    Writing(Ticket),
    /// On every copy of this segment.
    Durable(SegmentId),
}

struct Chunk {
    key: ChunkKey,
    plain_len: usize,
    stored: Option<(Digest, u32)>,
    state: ChunkState,
}

struct CommitCall {
    id: RequestId,
    asker: Asker,
    md5: Option<[u8; 16]>,
    checksums: Vec<Checksum>,
    conditions: Conditions,
}

/// An upload in progress.
pub(crate) struct PutStream {
    /// Who opened it.
    pub(super) asker: Asker,
    /// What it will store.
    pub(super) promise: Promise,
    pub(crate) name: ObjectName,
    purpose: Purpose,
    chunks: Vec<Chunk>,
    /// A body small enough for the journal frame, kept until commit.
    held: Option<Piece>,
    ended: bool,
    content_bytes: u64,
    commit: Option<CommitCall>,
    touched_ms: u64,
}

impl Whole {
    /// What opens the upload of it.
    pub(super) fn opening(&self, name: ObjectName, purpose: Purpose) -> Command {
        let bytes = self.piece.as_ref().map_or(0, |piece| piece.len as u64);
        Command::OpenPut {
            name,
            purpose,
            content_bytes: Some(bytes),
        }
    }
}

impl PutStream {
    /// The body that rides in the journal frame, if it does.
    pub(super) fn take_held(&mut self) -> Option<Piece> {
        self.held.take()
    }

    fn is_durable(&self) -> bool {
        self.chunks
            .iter()
            .all(|chunk| matches!(chunk.state, ChunkState::Durable(_)))
    }

    fn content(&self) -> Content {
        let mut content = Content::default();
        for chunk in &self.chunks {
            let Some((digest, stored_len)) = chunk.stored else {
                continue;
            };
            content.entries.push(ManifestEntry {
                kind: EntryKind::Chunk,
                digest,
                stored_bytes: stored_len,
                plain_bytes: ByteCount::new(chunk.plain_len as u64),
                key: crate::fact::manifest_key(&chunk.key),
                count: 1,
            });
            content.cited.push(StoredEntry {
                kind: EntryKind::Chunk,
                digest,
                stored_bytes: stored_len,
            });
            if let ChunkState::Durable(segment) = chunk.state {
                content.lies_in(SegmentSpan::of(segment));
            }
        }
        content
    }

    /// The decision of a commit whose chunks are all durable.
    pub(super) fn decide(
        &self,
        facts: &Facts<'_>,
        view: &View<'_>,
        (md5, checksums, conditions): (Option<[u8; 16]>, &[Checksum], &Conditions),
        spilled: Option<&Content>,
    ) -> Result<Outcome, Stop> {
        let own;
        let content = match spilled {
            Some(content) => content,
            None => {
                own = self.content();
                if own.entries.len() > MANIFEST_ENTRY_COUNT_MAX {
                    return Err(Stop::Need(vec![Need::Lists(own)]));
                }
                &own
            }
        };
        match &self.purpose {
            Purpose::Object { metadata, lock } => {
                let upload = Upload {
                    name: &self.name,
                    metadata,
                    lock: *lock,
                    content_bytes: self.content_bytes,
                    md5,
                    checksums,
                    conditions,
                    content,
                    parts: Vec::new(),
                };
                object::commit(facts, view, &upload, None)
            }
            Purpose::Part { upload, number } => {
                let part = multipart::Part {
                    name: &self.name,
                    upload: *upload,
                    number: *number,
                    content_bytes: self.content_bytes,
                    md5,
                    checksums,
                    content,
                };
                multipart::part(facts, view, &part)
            }
        }
    }
}

impl Engine {
    /// Opens an upload stream for a request that may. What came with it goes on at once, as if its client had waited for
    /// the stream.
    pub(super) fn open_put(&mut self, id: RequestId) {
        let opened = self.opened_put(id);
        let pending = self.pending.get_mut(&id);
        let whole = pending.and_then(|pending| pending.whole.take());
        match (opened, whole) {
            (Ok(stream), Some(whole)) => {
                if let Some(pending) = self.end(id) {
                    self.put_whole(id, pending.asker, stream, *whole);
                }
            }
            (opened, _) => self.finish(id, opened.map(Answer::Stream)),
        }
    }

    fn put_whole(&mut self, id: RequestId, asker: Asker, stream: StreamId, whole: Whole) {
        let Whole {
            piece,
            md5,
            checksums,
            conditions,
        } = whole;
        let taken = piece.map_or(Ok(()), |piece| self.put_data(stream, piece));
        if let Err(refusal) = taken {
            self.refused.forget(stream);
            self.forget_put(stream);
            return self.io.reply(id, Err(refusal));
        }
        self.commit_put(id, asker, stream, md5, checksums, conditions);
    }

    fn opened_put(&mut self, id: RequestId) -> Result<StreamId, Refusal> {
        let pending = self.pending.get(&id).ok_or(Refusal::NoSuchStream)?;
        let Command::OpenPut {
            name,
            purpose,
            content_bytes,
        } = &pending.command
        else {
            return Err(Refusal::NoSuchStream);
        };
        let (name, purpose, asker) = (name.clone(), purpose.clone(), pending.asker.clone());
        let usage = Usage {
            bytes: content_bytes.unwrap_or(0),
            versions: u64::from(matches!(purpose, Purpose::Object { .. })),
        };
        let promise = self.promise_upload(&asker, &name.bucket, usage)?;
        let put = PutStream {
            asker,
            promise,
            name,
            purpose,
            chunks: Vec::new(),
            held: None,
            ended: false,
            content_bytes: 0,
            commit: None,
            touched_ms: self.now.monotonic_ms,
        };
        let stream = StreamId(self.number());
        self.puts.insert(stream, Box::new(put));
        Ok(stream)
    }

    /// Takes the next piece of an upload.
    pub(super) fn put_data(&mut self, stream: StreamId, piece: Piece) -> Result<(), Refusal> {
        let full = CHUNK_PLAIN_BYTES_MAX as usize;
        let now = self.now.monotonic_ms;
        let read_only = self.why_read_only();
        let Some(put) = self.puts.get_mut(&stream) else {
            return Err(self.refused.why(stream, now));
        };
        if put.commit.is_some() || put.ended || piece.len > full {
            return Err(Refusal::NoSuchStream);
        }
        if let Some(refusal) = read_only {
            self.refuse_upload(stream, &refusal);
            return Err(self.refused.why(stream, now));
        }
        if piece.len == 0 {
            return Ok(());
        }
        put.touched_ms = now;
        put.content_bytes += piece.len as u64;
        put.ended = piece.len < full;
        if put.content_bytes > UPLOAD_BYTES_MAX {
            let bytes_max = UPLOAD_BYTES_MAX;
            self.refuse_upload(stream, &Refusal::TooLarge { bytes_max });
            return Err(self.refused.why(stream, now));
        }
        let (bytes, taken) = (put.content_bytes, piece.len as u64);
        self.pay_rate(stream, taken);
        if let Err(refusal) = self.grow_upload(stream, bytes) {
            self.refuse_upload(stream, &refusal);
            return Err(self.refused.why(stream, now));
        }
        let Some(put) = self.puts.get_mut(&stream) else {
            return Err(Refusal::NoSuchStream);
        };
        let small = put.chunks.is_empty() && piece.len <= INLINE_BODY_BYTES_MAX as usize;
        if small && put.ended && matches!(put.purpose, Purpose::Object { .. }) {
            put.held = Some(piece);
            return Ok(());
        }
        self.seal_piece(stream, piece);
        Ok(())
    }

    fn seal_piece(&mut self, stream: StreamId, piece: Piece) {
        let key = ChunkKey::random(&mut *self.world.entropy);
        let Some(put) = self.puts.get_mut(&stream) else {
            return;
        };
        let ordinal = put.chunks.len();
        let job_key = ChunkKey::copy_of(key.expose());
        put.chunks.push(Chunk {
            key,
            plain_len: piece.len,
            stored: None,
            state: ChunkState::Sealing,
        });
        let id = self.io.job_id();
        self.jobs.insert(id, JobFor::Chunk(stream, ordinal));
        self.io.job(Job::Seal {
            id,
            key: job_key,
            buffer: piece.buffer,
            plain_len: piece.len,
        });
    }

    /// A chunk of an upload is sealed: it goes to the data lane.
    pub(super) fn chunk_sealed(&mut self, stream: StreamId, ordinal: usize, sealed: SealedChunk) {
        let Some(put) = self.puts.get_mut(&stream) else {
            return;
        };
        let committing = put.commit.is_some();
        let Some(chunk) = put.chunks.get_mut(ordinal) else {
            return;
        };
        chunk.stored = u32::try_from(sealed.stored_len)
            .ok()
            .map(|len| (sealed.digest, len));
        let ticket = self.lane.add(sealed);
        chunk.state = ChunkState::Writing(ticket);
        if committing {
            self.lane.hurry(ticket);
        }
        self.tickets
            .insert(ticket, TicketFor::Chunk(stream, ordinal));
    }

    /// A chunk is durable on every copy.
    pub(super) fn chunk_durable(&mut self, ticket: Ticket, segment: SegmentId) {
        match self.tickets.remove(&ticket) {
            Some(TicketFor::Chunk(stream, ordinal)) => {
                let Some(put) = self.puts.get_mut(&stream) else {
                    return;
                };
                if let Some(chunk) = put.chunks.get_mut(ordinal) {
                    chunk.state = ChunkState::Durable(segment);
                }
                self.try_commit(stream);
            }
            Some(TicketFor::List(id, group, clear)) => {
                self.list_durable(id, group, clear, segment);
            }
            None => {}
        }
    }

    /// The client has sent everything.
    pub(super) fn commit_put(
        &mut self,
        id: RequestId,
        asker: Asker,
        stream: StreamId,
        md5: Option<[u8; 16]>,
        checksums: Vec<Checksum>,
        conditions: Conditions,
    ) {
        let now = self.now.monotonic_ms;
        let Some(put) = self.puts.get_mut(&stream) else {
            let why = self.refused.why(stream, now);
            self.refused.forget(stream);
            return self.io.reply(id, Err(why));
        };
        if put.commit.is_some() {
            return self.io.reply(id, Err(Refusal::NoSuchStream));
        }
        put.touched_ms = now;
        put.commit = Some(CommitCall {
            id,
            asker,
            md5,
            checksums,
            conditions,
        });
        // Chunks still with a worker are hurried when they come to the lane.
        for chunk in &put.chunks {
            if let ChunkState::Writing(ticket) = chunk.state {
                self.lane.hurry(ticket);
            }
        }
        self.try_commit(stream);
    }

    fn try_commit(&mut self, stream: StreamId) {
        let Some(put) = self.puts.get_mut(&stream).filter(|put| put.is_durable()) else {
            return;
        };
        let Some(call) = put.commit.take() else {
            return;
        };
        let CommitCall {
            id,
            asker,
            md5,
            checksums,
            conditions,
        } = call;
        self.begin(
            id,
            asker,
            Command::CommitPut {
                stream,
                md5,
                checksums,
                conditions,
            },
        );
        if !self.pending.contains_key(&id) {
            self.forget_put(stream);
        }
    }

    /// The lane cannot take another segment: uploads that wait for it are refused.
    pub(super) fn lane_full(&mut self) {
        let why = self.why_read_only().unwrap_or(Refusal::Full);
        self.refuse_uploads(&why);
    }

    /// Gives an upload up. Its client hears why: now if it waits, else when it asks again.
    fn refuse_upload(&mut self, stream: StreamId, refusal: &Refusal) {
        let Some(put) = self.puts.get_mut(&stream) else {
            return;
        };
        match put.commit.take() {
            Some(call) => self.io.reply(call.id, Err(refusal.clone())),
            None => {
                let now = self.now.monotonic_ms;
                self.refused.remember(stream, refusal.clone(), now);
            }
        }
        self.forget_put(stream);
    }

    /// Refuses every upload in progress.
    pub(super) fn refuse_uploads(&mut self, refusal: &Refusal) {
        let waiting: Vec<StreamId> = self
            .puts
            .iter()
            .filter(|(_, put)| !put.is_durable())
            .map(|(stream, _)| *stream)
            .collect();
        for stream in waiting {
            self.refuse_upload(stream, refusal);
        }
        let spilling: Vec<RequestId> = self.spills.keys().copied().collect();
        for id in spilling {
            self.finish(id, Err(refusal.clone()));
        }
    }

    /// The client gave up.
    pub(super) fn abort_put(&mut self, stream: StreamId) {
        self.refused.forget(stream);
        // A commit that is being written goes on; its stream is forgotten when it ends.
        let committing = self.pending.values().any(|pending| {
            matches!(pending.command, Command::CommitPut { stream: other, .. } if other == stream)
        });
        if !committing {
            let call = self.puts.get_mut(&stream).and_then(|put| put.commit.take());
            if let Some(call) = call {
                self.io.reply(call.id, Err(Refusal::NoSuchStream));
            }
            self.forget_put(stream);
        }
    }

    /// Forgets an upload and what of it is on its way to the disks. Workers finish what they have.
    pub(super) fn forget_put(&mut self, stream: StreamId) {
        self.settle_upload(stream);
        let Some(put) = self.puts.remove(&stream) else {
            return;
        };
        for chunk in put.chunks {
            if let ChunkState::Writing(ticket) = chunk.state {
                self.forget_chunk(ticket);
            }
        }
    }

    /// Nobody waits for a chunk of the lane any more.
    pub(super) fn forget_chunk(&mut self, ticket: Ticket) {
        self.tickets.remove(&ticket);
        self.lane.forget(ticket);
    }

    /// Uploads that were not committed end with us.
    pub(super) fn abandon_uploads(&mut self) {
        self.refuse_uploads(&Refusal::Stopping);
        let streams: Vec<StreamId> = self.puts.keys().copied().collect();
        for stream in streams {
            self.forget_put(stream);
        }
        self.refused.clear();
    }

    /// Streams nobody has touched for long are forgotten.
    pub(super) fn expire_streams(&mut self) {
        let now = self.now.monotonic_ms;
        self.refused.expire(now);
        let idle = |touched: u64| now.saturating_sub(touched) > STREAM_IDLE_MS_MAX;
        let puts: Vec<StreamId> = self
            .puts
            .iter()
            .filter(|(_, put)| idle(put.touched_ms))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in puts {
            self.abort_put(stream);
        }
        let gets: Vec<StreamId> = self
            .gets
            .iter()
            .filter(|(_, get)| idle(get.touched_ms))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in gets {
            self.close_get(stream);
        }
    }
}
