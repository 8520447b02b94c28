//! Reads under way: from any attached copy, believed only when they match the digest that points to
//! them; a copy that does not verify is passed over for the next.

use std::collections::VecDeque;

use stele_device::buffer::BufferMut;
use stele_device::disk::Op;
use stele_format::limits::{FRAME_HEADER_BYTES, TAG_BYTES};
use stele_format::manifest::{ManifestEntry, decode_entry_list};
use stele_format::units::SegmentId;

use super::damage::{Lost, Told};
use super::{DiskSlot, Engine, JobFor, QueryFor};
use crate::heal::frames::Judgement;
use crate::index::rows::{ChunkRow, RecordLocation, Table, TableRow};
use crate::index::{Bundle, IndexRequest, Query, QueryId, keys};
use crate::job::Job;
use crate::keys::chunk::ChunkKey;
use crate::limits::HEDGE_MS;
use crate::pool::{MemberState, Place};
use crate::read::{VerifiedRecord, window};
use crate::request::{Answer, Piece, Refusal, RequestId, StreamId};

/// What a read is for.
pub(super) enum ReadFor {
    /// A record that a request needs to decide.
    Record {
        request: RequestId,
        location: RecordLocation,
        skip: usize,
    },
    /// A piece of a download.
    Chunk {
        request: RequestId,
        stream: StreamId,
        entry: ManifestEntry,
        skip: usize,
        take: usize,
    },
    /// A list of a download.
    List {
        stream: StreamId,
        entry: ManifestEntry,
    },
    /// A configuration value.
    Config {
        request: RequestId,
        location: RecordLocation,
        skip: usize,
    },
    /// Which frame it is that cannot be read.
    Name { told: Told, lost: Lost },
}

/// A read under way.
pub(crate) struct ReadTask {
    purpose: ReadFor,
    segment: SegmentId,
    offset: u64,
    bytes: usize,
    /// Copies not asked yet.
    sources: VecDeque<(DiskSlot, u64)>,
    /// Copies asked that have not answered.
    outstanding: u32,
    /// Copies that did not verify or gave nothing.
    failed: u32,
    /// Whether one did not answer.
    unheard: bool,
    /// The copy asked last, and when.
    asked: Option<(DiskSlot, u64)>,
}

impl ReadTask {
    fn told(&self) -> Told {
        match self.purpose {
            ReadFor::Record { request, .. } | ReadFor::Config { request, .. } => {
                Told::Request(request)
            }
            ReadFor::Chunk {
                request, stream, ..
            } => Told::Piece(request, stream),
            ReadFor::List { stream, .. } => Told::List(stream),
            ReadFor::Name { told, .. } => told,
        }
    }

    /// The request that waits for it alone.
    pub(super) fn request(&self) -> Option<RequestId> {
        match self.told() {
            Told::Piece(request, _) | Told::Request(request) => Some(request),
            Told::List(_) => None,
        }
    }

    /// The download it belongs to.
    pub(super) fn stream(&self) -> Option<StreamId> {
        match self.told() {
            Told::Piece(_, stream) | Told::List(stream) => Some(stream),
            Told::Request(_) => None,
        }
    }

    /// The chunk it looks for.
    fn entry(&self) -> Option<&ManifestEntry> {
        match &self.purpose {
            ReadFor::Chunk { entry, .. } | ReadFor::List { entry, .. } => Some(entry),
            ReadFor::Record { .. } | ReadFor::Config { .. } | ReadFor::Name { .. } => None,
        }
    }
}

impl Engine {
    /// What a request still waited for when it ended concerns nobody; its number may come again.
    pub(super) fn forget_fetches(&mut self, id: RequestId) {
        for owner in self.queries.values_mut() {
            if *owner == QueryFor::Request(id) {
                *owner = QueryFor::Nobody;
            }
        }
        self.reads.retain(|_, read| read.request() != Some(id));
    }

    /// Finds where a chunk lies, by its digest.
    pub(super) fn locate_chunk(&mut self, purpose: ReadFor) {
        let task = ReadTask {
            purpose,
            segment: SegmentId::NONE,
            offset: 0,
            bytes: 0,
            sources: VecDeque::new(),
            outstanding: 0,
            failed: 0,
            unheard: false,
            asked: None,
        };
        let Some(entry) = task.entry() else {
            return;
        };
        let key = keys::chunk(&entry.digest);
        let known = self
            .memtable
            .overlay_get(Table::Chunks, &key)
            .map(|row| row.map(<[u8]>::to_vec));
        let read = self.number();
        self.reads.insert(read, task);
        match known {
            Some(row) => self.chunk_row(read, row.as_deref()),
            None => self.ask_for_chunk(read, key),
        }
    }

    fn ask_for_chunk(&mut self, read: u64, key: Vec<u8>) {
        let id = QueryId(self.number());
        self.queries.insert(id, QueryFor::Read(read));
        let query = Query {
            id,
            gets: vec![(Table::Chunks, key)],
            scans: Vec::new(),
        };
        self.io
            .action(super::Action::Index(IndexRequest::Query(query)));
    }

    /// The index has answered where a chunk lies.
    pub(super) fn chunk_located(&mut self, read: u64, bundle: &Bundle) {
        let Some(entry) = self.reads.get(&read).and_then(ReadTask::entry) else {
            return;
        };
        let key = keys::chunk(&entry.digest);
        let known = self.memtable.overlay_get(Table::Chunks, &key);
        // Read before a commit, and told after its rows left memory: what they said of it is missing.
        if known.is_none() && !self.memtable.is_current(bundle) {
            return self.ask_for_chunk(read, key);
        }
        let row = known
            .or_else(|| bundle.get(Table::Chunks, &key))
            .flatten()
            .map(<[u8]>::to_vec);
        self.chunk_row(read, row.as_deref());
    }

    /// The index cannot answer.
    pub(super) fn chunk_not_located(&mut self, read: u64) {
        if let Some(task) = self.reads.remove(&read) {
            self.refuse_read(task.told(), &Refusal::Rebuilding);
        }
    }

    fn chunk_row(&mut self, read: u64, row: Option<&[u8]>) {
        let row = row.and_then(|bytes| ChunkRow::decode(bytes).ok());
        let Some(row) = row else {
            return self.read_failed(read);
        };
        let sources = self.sources(row.segment);
        if let Some(task) = self.reads.get_mut(&read) {
            task.segment = row.segment;
            task.offset = row.offset.get();
            task.bytes = usize::try_from(row.total_bytes).unwrap_or(usize::MAX);
            task.sources = sources;
        }
        self.submit_read(read);
    }

    /// Reads a journal record for a deciding request.
    pub(super) fn read_record(&mut self, request: RequestId, location: RecordLocation) {
        let (_, _, skip) = window(&location);
        self.start_record_read(
            ReadFor::Record {
                request,
                location,
                skip,
            },
            &location,
        );
    }

    /// Reads a configuration value.
    pub(super) fn config_read(&mut self, request: RequestId, location: RecordLocation) {
        let (_, _, skip) = window(&location);
        self.start_record_read(
            ReadFor::Config {
                request,
                location,
                skip,
            },
            &location,
        );
    }

    fn start_record_read(&mut self, purpose: ReadFor, location: &RecordLocation) {
        let (offset, bytes, _) = window(location);
        self.start_read(purpose, location.segment, offset, bytes);
    }

    /// Reads from the first copy that gives what is wanted.
    pub(super) fn start_read(
        &mut self,
        purpose: ReadFor,
        segment: SegmentId,
        offset: u64,
        bytes: usize,
    ) {
        let sources = self.sources(segment);
        let read = self.number();
        let task = ReadTask {
            purpose,
            segment,
            offset,
            bytes,
            sources,
            outstanding: 0,
            failed: 0,
            unheard: false,
            asked: None,
        };
        self.reads.insert(read, task);
        self.submit_read(read);
    }

    /// Every attached copy of a segment, spread over the disks: those that take part first, and last those on disks
    /// that failed while we ran. What they give is verified like everything else, and may be all there is.
    fn sources(&self, segment: SegmentId) -> VecDeque<(DiskSlot, u64)> {
        let Some(info) = self.pool.segments.get(&segment) else {
            return VecDeque::new();
        };
        let rank = |place: &Place| match self.pool.member(place.disk).map(|member| member.state) {
            Some(MemberState::Active) => {
                let slot = self.pool.active_slot(place.disk);
                u8::from(slot.is_some_and(|slot| self.pool.is_slow(slot)))
            }
            Some(MemberState::Expelled) => 3,
            _ => 2,
        };
        let mut places: Vec<Place> = info.places.clone();
        let turn = usize::try_from(self.next_number).unwrap_or(0) % places.len().max(1);
        places.rotate_left(turn);
        places.sort_by_key(rank);
        places
            .iter()
            .filter_map(|place| self.pool.locate(place))
            .collect()
    }

    /// Submits a read to its next source; out of sources, and with nothing outstanding, it has failed.
    fn submit_read(&mut self, read: u64) {
        let Some(task) = self.reads.get_mut(&read) else {
            return;
        };
        let Some((slot, base)) = task.sources.pop_front() else {
            if task.outstanding == 0 {
                self.read_failed(read);
            }
            return;
        };
        task.outstanding += 1;
        task.asked = Some((slot, self.now.monotonic_ms));
        let op = Op::Read {
            offset: base + task.offset,
            bytes: task.bytes,
        };
        self.io.submit(slot, op, Self::read_purpose(read));
    }

    /// A copy does not answer.
    pub(super) fn read_unheard(&mut self, read: u64) {
        if let Some(task) = self.reads.get_mut(&read) {
            task.unheard = true;
        }
        self.source_failed(read);
    }

    /// A copy gave nothing, or nothing that verifies.
    fn source_failed(&mut self, read: u64) {
        if let Some(task) = self.reads.get_mut(&read) {
            task.failed += 1;
            task.outstanding = task.outstanding.saturating_sub(1);
        }
        self.submit_read(read);
    }

    /// Reads that wait long for one disk ask the next one too; the first that verifies wins.
    pub(super) fn hedge_reads(&mut self) {
        let now = self.now.monotonic_ms;
        let late: Vec<(u64, DiskSlot)> = self
            .reads
            .iter()
            .filter(|(_, task)| task.outstanding > 0 && !task.sources.is_empty())
            .filter_map(|(read, task)| Some((*read, task.asked?)))
            .filter(|(_, (_, asked_ms))| now.saturating_sub(*asked_ms) > HEDGE_MS)
            .map(|(read, (slot, _))| (read, slot))
            .collect();
        for (read, slot) in late {
            self.pool.note_slow(slot);
            self.counters.reads_hedged += 1;
            self.submit_read(read);
        }
    }

    /// A disk answered a read.
    pub(super) fn read_done(&mut self, read: u64, buffer: Option<BufferMut>) {
        let Some(task) = self.reads.get(&read) else {
            return;
        };
        let Some(buffer) = buffer else {
            return self.source_failed(read);
        };
        match &task.purpose {
            ReadFor::Record { location, skip, .. } | ReadFor::Config { location, skip, .. } => {
                let end = skip.saturating_add(location.bytes as usize);
                let verified = buffer
                    .get(*skip..end)
                    .and_then(|bytes| VerifiedRecord::verify(bytes, location));
                match verified {
                    Some(record) => self.record_read(read, record),
                    None => self.source_failed(read),
                }
            }
            ReadFor::Chunk { entry, .. } | ReadFor::List { entry, .. } => {
                let job = Job::Open {
                    id: self.io.job_id(),
                    key: ChunkKey::copy_of(entry.key.expose()),
                    buffer,
                    digest: entry.digest,
                    stored_len: entry.stored_bytes as usize,
                    plain_len: usize::try_from(entry.plain_bytes.get()).unwrap_or(usize::MAX),
                };
                self.give_open_job(read, job);
            }
            ReadFor::Name { told, lost } => {
                let (told, lost) = (*told, *lost);
                if self.named(told, lost, &buffer) {
                    self.reads.remove(&read);
                } else {
                    self.source_failed(read);
                }
            }
        }
    }

    fn give_open_job(&mut self, read: u64, mut job: Job) {
        // The disk has done its part: what takes long from here on are the workers.
        if let Some(task) = self.reads.get_mut(&read) {
            task.asked = None;
        }
        // A list chunk's plaintext is the list, not what its entries add up to.
        if let Some(ReadTask {
            purpose: ReadFor::List { entry, .. },
            ..
        }) = self.reads.get(&read)
            && let Job::Open { plain_len, .. } = &mut job
        {
            *plain_len = (entry.stored_bytes as usize).saturating_sub(TAG_BYTES as usize);
        }
        if let Job::Open { id, .. } = &job {
            self.jobs.insert(*id, JobFor::Read(read));
        }
        self.io.job(job);
    }

    fn record_read(&mut self, read: u64, record: VerifiedRecord) {
        let Some(task) = self.reads.remove(&read) else {
            return;
        };
        self.note_failed(task.segment, task.failed);
        match task.purpose {
            ReadFor::Record {
                request, location, ..
            } => {
                self.record_fetched(request, location, record);
            }
            ReadFor::Config { request, .. } => {
                let value = crate::fact::open_config(&record, &self.keys, self.pool.id);
                self.finish(request, Ok(Answer::Config(value)));
            }
            ReadFor::Chunk { .. } | ReadFor::List { .. } | ReadFor::Name { .. } => {}
        }
    }

    /// A worker verified and opened a chunk, or found that it does not verify.
    pub(super) fn chunk_opened(&mut self, read: u64, buffer: BufferMut, verified: bool) {
        if !verified {
            return self.source_failed(read);
        }
        let Some(task) = self.reads.remove(&read) else {
            return;
        };
        self.note_failed(task.segment, task.failed);
        let header = FRAME_HEADER_BYTES as usize;
        match task.purpose {
            ReadFor::Chunk {
                request,
                skip,
                take,
                ..
            } => {
                let piece = Piece {
                    buffer,
                    start: header + skip,
                    len: take,
                };
                self.io.reply(request, Ok(Answer::Data(piece)));
            }
            ReadFor::List { stream, entry } => {
                let stored = (entry.stored_bytes as usize).saturating_sub(TAG_BYTES as usize);
                let entries = buffer
                    .get(header..header + stored)
                    .and_then(decode_entries_padded);
                match entries {
                    Some(entries) => self.expanded(stream, entries),
                    None => {
                        let lost = Lost::chunk(task.segment, task.offset);
                        self.name_damage(Told::List(stream), lost);
                    }
                }
            }
            ReadFor::Record { .. } | ReadFor::Config { .. } | ReadFor::Name { .. } => {}
        }
    }

    fn note_failed(&mut self, segment: SegmentId, failed: u32) {
        if failed > 0 {
            self.suspect_segment(segment);
            self.counters.reads_repaired_from_other_copy += 1;
        }
    }

    /// No copy could be verified.
    fn read_failed(&mut self, read: u64) {
        let Some(task) = self.reads.remove(&read) else {
            return;
        };
        if task.failed > 0 {
            self.suspect_unread(task.segment);
        }
        let told = task.told();
        if task.unheard {
            return self.refuse_read(told, &Refusal::Busy);
        }
        let lost = match &task.purpose {
            ReadFor::Name { lost, .. } => return self.unnamed(told, *lost),
            ReadFor::Record { location, .. } | ReadFor::Config { location, .. } => {
                Lost::record(location)
            }
            ReadFor::Chunk { stream, .. } | ReadFor::List { stream, .. } => {
                match self.record_of(*stream) {
                    // Of a chunk that is nowhere, nothing has a name but the record that cites it.
                    Some(location) if task.segment == SegmentId::NONE => Lost::record(&location),
                    _ => Lost::chunk(task.segment, task.offset),
                }
            }
        };
        self.name_damage(told, lost);
    }

    /// A worker finished a job.
    pub(super) fn job_done(&mut self, done: crate::job::JobDone) {
        use crate::job::JobDone;
        match done {
            JobDone::Sealed {
                id,
                buffer,
                stored_len,
                digest,
            } => {
                let sealed = crate::lane::SealedChunk {
                    buffer,
                    stored_len,
                    digest,
                    list: false,
                };
                match self.jobs.remove(&id) {
                    Some(JobFor::Chunk(stream, ordinal)) => {
                        self.chunk_sealed(stream, ordinal, sealed);
                    }
                    Some(JobFor::List(request, group)) => self.list_sealed(request, group, sealed),
                    Some(JobFor::Read(_) | JobFor::Heal(_) | JobFor::Nobody) | None => {}
                }
            }
            JobDone::Judged {
                id,
                buffer,
                good,
                torn,
            } => {
                if let Some(JobFor::Heal(token)) = self.jobs.remove(&id) {
                    self.heal_judged(token, buffer, Judgement::of(&good, &torn));
                }
            }
            JobDone::Opened {
                id,
                buffer,
                verified,
            } => {
                if let Some(JobFor::Read(read)) = self.jobs.remove(&id) {
                    self.chunk_opened(read, buffer, verified);
                }
            }
        }
    }
}

/// The entries of an opened list chunk, whose plaintext is padded with zeros.
fn decode_entries_padded(plain: &[u8]) -> Option<Vec<ManifestEntry>> {
    let end = plain
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    // The list may itself end in zeros, at most the eight bytes of a number.
    (end..=plain.len().min(end + 8)).find_map(|end| decode_entry_list(plain.get(..end)?).ok())
}
