//! Chunk lists too long for a manifest move to list chunks on the data lane: sealed for reading, and
//! in the clear for whoever verifies without keys.

use stele_device::buffer::BufferMut;
use stele_format::digest::Digest;
use stele_format::limits::{FRAME_HEADER_BYTES, TAG_BYTES};
use stele_format::manifest::{ManifestEntry, encode_entry_list};
use stele_format::record::{EntryKind, SegmentSpan, StoredEntry, encode_chunk_list};
use stele_format::units::{ByteCount, SegmentId};

use super::streams::TicketFor;
use super::{Engine, JobFor};
use crate::job::Job;
use crate::keys::chunk::ChunkKey;
use crate::lane::{SealedChunk, Ticket};
use crate::limits::LIST_ENTRY_COUNT_MAX;
use crate::read::Content;
use crate::request::RequestId;

/// One list chunk and its clear twin.
struct Group {
    key: ChunkKey,
    plain_len: u64,
    count: u32,
    sealed: Option<(Digest, u32)>,
    clear: (Digest, u32),
    durable: [bool; 2],
}

/// Lists of one request on their way to the data lane.
pub(crate) struct Spill {
    groups: Vec<Group>,
    /// Where the chunks lie, and the lists that are durable.
    span: Option<SegmentSpan>,
}

impl Engine {
    /// Moves the chunk lists of a request to the data lane; the request decides again after that.
    pub(super) fn spill(&mut self, id: RequestId, content: Content) {
        let mut groups = Vec::new();
        let mut cited = content.cited.as_slice();
        let mut work = Vec::new();
        for entries in content.entries.chunks(LIST_ENTRY_COUNT_MAX) {
            let (own, rest) = split_cited(cited, entries);
            cited = rest;
            let key = ChunkKey::random(&mut *self.world.entropy);
            let list = encode_entry_list(entries);
            let clear = encode_chunk_list(own);
            let clear_len = u32::try_from(clear.len()).unwrap_or(u32::MAX);
            groups.push(Group {
                key: ChunkKey::copy_of(key.expose()),
                plain_len: entries.iter().map(|entry| entry.plain_bytes.get()).sum(),
                count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
                sealed: None,
                clear: (Digest::of(&clear), clear_len),
                durable: [false, false],
            });
            work.push((key, list, clear));
        }
        let span = content.span;
        self.spills.insert(id, Spill { groups, span });
        for (group, (key, list, clear)) in work.into_iter().enumerate() {
            let job = self.io.job_id();
            self.jobs.insert(job, JobFor::List(id, group));
            let buffer = with_header_room(&list, crate::keys::chunk::stored_len(list.len()));
            self.io.job(Job::Seal {
                id: job,
                key,
                buffer,
                plain_len: list.len(),
            });
            let digest = Digest::of(&clear);
            let buffer = with_header_room(&clear, clear.len());
            let chunk = SealedChunk {
                buffer,
                stored_len: clear.len(),
                digest,
                list: true,
            };
            self.add_list(chunk, TicketFor::List(id, group, true));
        }
    }

    /// A list chunk goes to the data lane; a request always waits for it.
    fn add_list(&mut self, chunk: SealedChunk, list: TicketFor) {
        let ticket = self.lane.add(chunk);
        self.lane.hurry(ticket);
        self.tickets.insert(ticket, list);
    }

    /// A list chunk is sealed.
    pub(super) fn list_sealed(&mut self, id: RequestId, group: usize, sealed: SealedChunk) {
        let Some(slot) = self
            .spills
            .get_mut(&id)
            .and_then(|spill| spill.groups.get_mut(group))
        else {
            return;
        };
        slot.sealed = u32::try_from(sealed.stored_len)
            .ok()
            .map(|len| (sealed.digest, len));
        self.add_list(sealed, TicketFor::List(id, group, false));
    }

    /// Forgets the lists of a request that ends without them.
    pub(super) fn forget_spill(&mut self, id: RequestId) {
        if self.spills.remove(&id).is_none() {
            return;
        }
        let of_it = |owner: &TicketFor| matches!(owner, TicketFor::List(of, ..) if *of == id);
        let tickets: Vec<Ticket> = self
            .tickets
            .iter()
            .filter(|(_, owner)| of_it(owner))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in tickets {
            self.forget_chunk(ticket);
        }
        for owner in self.jobs.values_mut() {
            if matches!(owner, JobFor::List(of, _) if *of == id) {
                *owner = JobFor::Nobody;
            }
        }
    }

    /// A list chunk is durable; when all are, the request goes on.
    pub(super) fn list_durable(
        &mut self,
        id: RequestId,
        group: usize,
        clear: bool,
        segment: SegmentId,
    ) {
        let Some(spill) = self.spills.get_mut(&id) else {
            return;
        };
        let here = SegmentSpan::of(segment);
        spill.span = Some(spill.span.map_or(here, |span| span.join(here)));
        if let Some(slot) = spill.groups.get_mut(group) {
            slot.durable[usize::from(clear)] = true;
        }
        if !spill
            .groups
            .iter()
            .all(|group| group.durable == [true, true])
        {
            return;
        }
        let Some(spill) = self.spills.remove(&id) else {
            return;
        };
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.spilled = Some(spill.content());
            self.advance(id);
        }
    }
}

impl Spill {
    /// What manifest and record say instead of the long list.
    fn content(&self) -> Content {
        let mut content = Content {
            span: self.span,
            ..Content::default()
        };
        for group in &self.groups {
            let Some((digest, stored_len)) = group.sealed else {
                continue;
            };
            content.entries.push(ManifestEntry {
                kind: EntryKind::SealedList,
                digest,
                stored_bytes: stored_len,
                plain_bytes: ByteCount::new(group.plain_len),
                key: crate::fact::manifest_key(&group.key),
                count: group.count,
            });
            let (clear, clear_len) = group.clear;
            content.cited.push(StoredEntry {
                kind: EntryKind::ClearList,
                digest: clear,
                stored_bytes: clear_len,
            });
            content.cited.push(StoredEntry {
                kind: EntryKind::SealedList,
                digest,
                stored_bytes: stored_len,
            });
        }
        content
    }
}

/// The clear citations that belong to these entries: one for a chunk, two for a list.
fn split_cited<'a>(
    cited: &'a [StoredEntry],
    entries: &[ManifestEntry],
) -> (&'a [StoredEntry], &'a [StoredEntry]) {
    let count: usize = entries
        .iter()
        .map(|entry| {
            if entry.kind == EntryKind::SealedList {
                2
            } else {
                1
            }
        })
        .sum();
    cited.split_at(count.min(cited.len()))
}

fn with_header_room(content: &[u8], stored: usize) -> BufferMut {
    let header = FRAME_HEADER_BYTES as usize;
    let bytes = (header + stored.max(content.len()) + TAG_BYTES as usize).next_multiple_of(4096);
    let mut buffer = BufferMut::zeroed(bytes);
    buffer[header..header + content.len()].copy_from_slice(content);
    buffer
}
