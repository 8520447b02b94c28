//! The log as it counts, taken from the disks before anything rots: what is given up is struck out of it for ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stele_format::frame::FrameHeader;
use stele_format::record::{Body, LockMode, RecordHeader, RecordReader};
use stele_format::segment::FIRST_FRAME_OFFSET;
use stele_format::tree::{Frontier, TreeHash};
use stele_format::units::{BucketId, Opening, Sequence, UploadId, VersionId};
use stele_store::recovery::Outlook;

use crate::support::{DISK_BYTES, Rig};

const BLOCK_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 256;

/// A journal frame, its copies and its records.
pub struct Frame {
    pub header: FrameHeader,
    /// Disks, and bytes on them.
    pub copies: Vec<(usize, u64)>,
    records: Vec<(RecordHeader, Body)>,
}

impl Frame {
    pub fn records(&self) -> impl Iterator<Item = u64> {
        self.records
            .iter()
            .map(|(header, _)| header.log_index.get())
    }

    pub fn is_first_of_segment(&self) -> bool {
        self.header.segment_offset == FIRST_FRAME_OFFSET
    }

    pub fn opens(&self) -> bool {
        let opens = |(_, body): &(RecordHeader, Body)| matches!(body, Body::ForcedOpen(_));
        self.records.iter().any(opens)
    }
}

/// What the log says of a version or an upload.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// It is there, like this.
    There(T),
    /// It is not there.
    Gone,
    /// A record that it needs is lost, and its own is not: it is there or not, and stays so.
    Either,
}

/// Lock and tags of a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    pub mode: LockMode,
    pub until_ms: u64,
    pub hold: bool,
    pub tags: Option<String>,
}

#[derive(Default)]
pub struct Archive {
    /// Frames by their number.
    pub frames: BTreeMap<Sequence, Frame>,
    /// Every record that counts, by its index.
    records: BTreeMap<u64, (RecordHeader, Body)>,
    /// What a record of tags says, by its index.
    tags: BTreeMap<u64, String>,
    /// Leaves of the tree, also of what was given up before its end.
    leaves: BTreeMap<u64, TreeHash>,
    /// Versions whose tombstone was given up.
    unburied: BTreeSet<VersionId>,
    /// Records that were given up.
    pub given_up: BTreeSet<u64>,
    /// Beginnings and ends of what was given up, in frames.
    pub edges: Vec<Sequence>,
}

impl Archive {
    /// Takes in what was written since the vault was forced open for the last time. Tags are those that clients set,
    /// in the order of the log.
    pub fn take_in(&mut self, rig: &Rig, opening: Opening, tags: &mut VecDeque<String>) {
        let found = frames_on(rig, opening);
        for (sequence, frame) in found {
            if self.frames.contains_key(&sequence) {
                continue;
            }
            for (header, body) in &frame.records {
                let index = header.log_index.get();
                if matches!(body, Body::Tags) {
                    let said = tags.pop_front().expect("tags that somebody set");
                    self.tags.insert(index, said);
                }
                self.leaves.insert(index, header.leaf_hash());
                let before = self.records.insert(index, (*header, body.clone()));
                assert!(before.is_none(), "record {index} twice");
            }
            self.frames.insert(sequence, frame);
        }
        assert_eq!(tags.len(), 0, "tags without a record");
    }

    /// Number of records, and the root over them.
    pub fn tree(&self, size: u64) -> TreeHash {
        let mut tree = Frontier::default();
        let leaves = self.leaves.range(..size).map(|(_, leaf)| *leaf);
        leaves.for_each(|leaf| tree.push(leaf));
        assert_eq!(tree.size(), size, "leaves");
        tree.root()
    }

    /// Records in front of this one that count.
    pub fn size(&self) -> u64 {
        self.leaves.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    pub fn has(&self, index: u64) -> bool {
        self.records.contains_key(&index)
    }

    /// What an outlook gives up is not of the log any more.
    pub fn give_up(&mut self, outlook: &Outlook) {
        let size = outlook.head.size;
        let lost = |sequence: Sequence| {
            let within = outlook.lost.iter();
            let mut within = within.filter(|span| span.first <= sequence && sequence < span.next);
            sequence > outlook.last || within.next().is_some()
        };
        self.frames.retain(|sequence, _| !lost(*sequence));
        let spans = outlook.missing();
        let missing = |index: &u64| {
            let mut spans = spans.iter();
            *index >= size || spans.any(|span| (span.first.get()..=span.last.get()).contains(index))
        };
        let lost = self.records.iter().filter(|(index, _)| missing(index));
        let named = lost.flat_map(|(_, (_, body))| names(body));
        self.unburied.extend(named);
        self.records.retain(|index, _| !missing(index));
        self.leaves.retain(|index, _| *index < size);
        self.given_up.retain(|index| *index < size);
        for span in &outlook.lost {
            let records = span.first_record.get()..span.next_record.get();
            self.given_up.extend(records);
            self.edges.extend([span.first, span.next]);
        }
    }

    /// What there must be of a version.
    pub fn fate(&self, version: VersionId) -> Fate<Marks> {
        let of = |header: &RecordHeader| header.version == version;
        let made = self.records.get(&version.ordinal().get());
        let Some((made, body)) = made.filter(|(header, _)| of(header)) else {
            return Fate::Gone;
        };
        let mut marks = Marks {
            mode: made.mode,
            until_ms: made.retain_until_ms.get(),
            hold: made.hold,
            tags: None,
        };
        let mut released = false;
        for (header, body) in self.records.values().filter(|(header, _)| of(header)) {
            match body {
                Body::Retention => {
                    marks.mode = header.mode;
                    marks.until_ms = header.retain_until_ms.get();
                }
                Body::Hold => marks.hold = header.hold,
                Body::Tags => marks.tags = self.tags.get(&header.log_index.get()).cloned(),
                Body::Release(_) => released = true,
                _ => {}
            }
        }
        let begun = match body {
            Body::Complete(_, upload) => self.has_upload(*upload),
            _ => true,
        };
        match self.has_bucket(made.bucket) && begun {
            _ if released || self.is_destroyed(version) => Fate::Gone,
            // The keys of what a lost tombstone named may be gone, or not.
            true if !self.unburied.contains(&version) => Fate::There(marks),
            _ => Fate::Either,
        }
    }

    fn is_destroyed(&self, version: VersionId) -> bool {
        let mut records = self.records.values();
        records.any(|(_, body)| names(body).any(|one| one == version))
    }

    /// What there must be of an upload that is open.
    pub fn fate_of_upload(&self, upload: UploadId) -> Fate<()> {
        let Some((header, _)) = self.upload(upload) else {
            return Fate::Gone;
        };
        let ends = |(header, body): &(RecordHeader, Body)| match body {
            Body::Complete(_, of) => *of == upload,
            Body::Abort => UploadId::from_bytes(*header.version.as_bytes()) == upload,
            _ => false,
        };
        match self.has_bucket(header.bucket) {
            _ if self.records.values().any(ends) => Fate::Gone,
            true => Fate::There(()),
            false => Fate::Either,
        }
    }

    fn upload(&self, upload: UploadId) -> Option<&(RecordHeader, Body)> {
        let found = self.records.get(&upload.ordinal().get());
        found.filter(|(header, _)| header.version.as_bytes() == upload.as_bytes())
    }

    fn has_upload(&self, upload: UploadId) -> bool {
        self.upload(upload).is_some()
    }

    fn has_bucket(&self, bucket: BucketId) -> bool {
        let made = |(header, body): &(RecordHeader, Body)| {
            matches!(body, Body::Bucket) && header.bucket == bucket
        };
        self.records.values().any(made)
    }
}

/// Journal frames of this opening, by their number. Of two with one number a start that was cut wrote the one in the
/// lower segment.
fn frames_on(rig: &Rig, opening: Opening) -> BTreeMap<Sequence, Frame> {
    let mut found: BTreeMap<Sequence, Frame> = BTreeMap::new();
    for (disk, handle) in rig.handles.iter().enumerate() {
        let Some(handle) = handle else { continue };
        for at in (0..DISK_BYTES).step_by(BLOCK_BYTES) {
            let head = handle.peek(at, FRAME_HEADER_BYTES);
            let Ok(header) = FrameHeader::decode(&head) else {
                continue;
            };
            let header = *header.claims();
            if !header.lane.is_journal() || header.sequence.opening() != opening {
                continue;
            }
            let bytes = handle.peek(at, header.total_bytes as usize);
            let Ok(payload) = header.check_payload(&bytes) else {
                continue;
            };
            let frame = found.entry(header.sequence).or_insert_with(|| Frame {
                header,
                copies: Vec::new(),
                records: records_in(payload, header.record_count),
            });
            if frame.header.segment < header.segment {
                frame.header = header;
                frame.copies.clear();
                frame.records = records_in(payload, header.record_count);
            }
            if frame.header == header {
                frame.copies.push((disk, at));
            }
        }
    }
    found
}

/// Versions that a tombstone names.
fn names(body: &Body) -> impl Iterator<Item = VersionId> {
    let entries = match body {
        Body::Tombstone(tombstone) => &tombstone.entries[..],
        _ => &[],
    };
    entries.iter().map(|entry| entry.version)
}

fn records_in(payload: &[u8], count: u16) -> Vec<(RecordHeader, Body)> {
    let records = RecordReader::new(payload, count).map(|record| {
        let record = record.expect("a record").verify().expect("a whole record");
        (record.header, record.body().clone())
    });
    records.collect()
}
