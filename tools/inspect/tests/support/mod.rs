//! A tiny writer of vault images: just enough of a vault, in memory, to be right in every byte.
//!
//! Disks have 64 KiB units and segments of four units. Nothing here is the vault's own code.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and may stop on surprise"
)]

pub mod check;
pub mod people;

use std::collections::BTreeMap;
use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, FrameHeader};
use stele_format::geometry::DiskGeometry;
use stele_format::keystate::{KeyStateExpectation, KeyStateHeader};
use stele_format::label::{
    DynamicLabel, EpochCutoff, Features, LabelCopy, LabelMember, LabelPhase, MemberState,
    StaticLabel, VaultFlags,
};
use stele_format::record::{
    Abandoned, Alloc, Body, Commit, EntryKind, EpochReason, EpochStart, Genesis, LogWalk, Marker,
    Placed, Placement, RecordHeader, SealNote, SegmentSpan, StoredEntry, encode_record,
};
use stele_format::segment::{Footer, FooterEntry, SegmentDisks, SegmentHeader, SegmentSeal};
use stele_format::units::{
    ByteCount, ByteOffset, DiskId, Epoch, FrameIndex, Generation, KeyClass, KeyIndex,
    KeyIndexParts, LaneId, LogIndex, Month, PoolId, SegmentId, Sequence, UnitCount, UnitIndex,
    UnixMillis, VersionId,
};
use stele_inspect::source::{ImageSource, Source};
use stele_inspect::verdict::Report;

pub const UNIT: u32 = 64 * 1024;
pub const SEGMENT_UNITS: u32 = 4;
pub const POOL: PoolId = PoolId::from_bytes([0x70; 16]);
pub const DATA: LaneId = LaneId::new(1);

pub fn disk_id(number: usize) -> DiskId {
    DiskId::from_bytes([u8::try_from(number).unwrap() + 1; 16])
}

pub fn geometry() -> DiskGeometry {
    DiskGeometry {
        disk_bytes: ByteCount::new(4 * 1024 * 1024),
        index_bytes: ByteCount::new(0),
        keystate_bytes: 8192,
        unit_bytes: UNIT,
        segment_units: UnitCount::new(SEGMENT_UNITS),
    }
}

/// An open segment.
#[derive(Clone)]
pub struct Open {
    pub header: SegmentHeader,
    pub disks: Vec<usize>,
    pub unit: u32,
    pub frames: Vec<FrameHeader>,
    pub end: u64,
}

impl Open {
    pub fn id(&self) -> SegmentId {
        self.header.segment
    }

    pub fn chain(&self) -> Digest {
        self.frames
            .last()
            .map_or(self.header.digest(), FrameHeader::digest)
    }

    pub fn next_sequence(&self) -> Sequence {
        let count = self.frames.len() as u64;
        Sequence::new(self.header.first_sequence.get() + count)
    }

    /// Where a frame lies on its disks.
    pub fn frame_at(&self, frame: usize) -> usize {
        self.start() + usize::try_from(self.frames[frame].segment_offset.get()).unwrap()
    }

    pub fn start(&self) -> usize {
        let offset = geometry().unit_offset(UnitIndex::new(self.unit)).unwrap();
        usize::try_from(offset.get()).unwrap()
    }

    pub fn end_at(&self) -> usize {
        self.start() + usize::try_from(self.end).unwrap()
    }
}

/// What a record is made of, its place in the log aside.
pub struct Draft {
    pub body: Body,
    pub attachments: Vec<Vec<u8>>,
    pub header: RecordHeader,
}

impl Draft {
    pub fn of(body: Body) -> Self {
        Self {
            body,
            attachments: Vec::new(),
            header: RecordHeader::default(),
        }
    }
}

#[derive(Clone)]
pub struct Vault {
    pub images: Vec<Vec<u8>>,
    pub generation: u64,
    pub epoch: Epoch,
    pub log: LogWalk,
    pub next_unit: u32,
    pub next_segment: u64,
    pub committed: u64,
    /// Frames go to these disks only.
    pub writing: Vec<usize>,
    pub segments: BTreeMap<u64, Open>,
    /// Every write since [`Vault::record`]: disk, offset, bytes.
    pub writes: Option<Vec<(usize, usize, Vec<u8>)>>,
}

/// Content in some segment of a data lane.
pub fn on_lane() -> Placement {
    let span = SegmentSpan::new(SegmentId::new(1), SegmentId::new(1 << 20));
    Placement::DataLane(span.unwrap())
}

impl Vault {
    /// Disks with labels and key state, nothing else.
    pub fn blank(disks: usize) -> Self {
        let bytes = usize::try_from(geometry().disk_bytes.get()).unwrap();
        let mut vault = Self {
            images: vec![vec![0; bytes]; disks],
            generation: 0,
            epoch: Epoch::new(1),
            log: LogWalk::new(),
            next_unit: 0,
            next_segment: 1,
            committed: 0,
            writing: (0..disks).collect(),
            segments: BTreeMap::new(),
            writes: None,
        };
        for disk in 0..disks {
            vault.write_static(disk, &vault.static_label(disk));
            vault.key_state(disk, 1);
        }
        vault.label(|_| {});
        vault
    }

    pub fn static_label(&self, disk: usize) -> StaticLabel {
        StaticLabel {
            pool: POOL,
            disk: disk_id(disk),
            disk_ordinal: u16::try_from(disk).unwrap(),
            disk_count: u16::try_from(self.images.len()).unwrap(),
            geometry: geometry(),
            features: Features::default(),
            created_ms: UnixMillis::new(1_700_000_000_000),
            flags: VaultFlags::EVALUATION,
        }
    }

    pub fn write_static(&mut self, disk: usize, label: &StaticLabel) {
        for copy in LabelCopy::ALL {
            for block in 0..2 {
                let at = geometry().label_block_offset(copy, block).get();
                self.put(disk, at, &label.encode(copy, block));
            }
        }
    }

    pub fn put(&mut self, disk: usize, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap();
        self.images[disk][at..at + bytes.len()].copy_from_slice(bytes);
        if let Some(writes) = &mut self.writes {
            writes.push((disk, at, bytes.to_vec()));
        }
    }

    pub fn key_state(&mut self, disk: usize, generation: u64) {
        for copy in 0..2 {
            let place = KeyStateExpectation {
                pool: POOL,
                disk: disk_id(disk),
                copy,
            };
            let body = vec![0xa5; 700];
            let bytes = KeyStateHeader::encode(place, Generation::new(generation), &body).unwrap();
            self.put(
                disk,
                geometry().keystate_offset(copy).unwrap().get(),
                &bytes,
            );
        }
    }

    /// Writes the next label generation on the disks that are written, in all copies.
    pub fn label(&mut self, change: impl Fn(&mut DynamicLabel)) {
        self.generation += 1;
        for disk in self.writing.clone() {
            let label = self.label_of(disk, &change);
            for copy in LabelCopy::ALL {
                self.put_label(disk, &label, copy);
            }
        }
    }

    pub fn label_of(&self, disk: usize, change: &dyn Fn(&mut DynamicLabel)) -> DynamicLabel {
        let members = (0..self.images.len()).map(|number| LabelMember {
            disk: disk_id(number),
            state: MemberState::Active,
            voter: true,
            forgotten_frames: 0,
            last_generation: Generation::new(self.generation),
        });
        let mut label = DynamicLabel {
            pool: POOL,
            disk: disk_id(disk),
            generation: Generation::new(self.generation),
            in_force: Generation::new(self.generation.saturating_sub(1)),
            epoch: self.epoch,
            watermark: Sequence::new(self.committed),
            next_segment: SegmentId::new(self.next_segment),
            units_high_water: UnitCount::new(self.next_unit),
            clean_stop: false,
            phase: LabelPhase::Running,
            journal_segment: SegmentId::NONE,
            members: members.collect(),
            cutoffs: Vec::<EpochCutoff>::new(),
        };
        change(&mut label);
        label
    }

    pub fn put_label(&mut self, disk: usize, label: &DynamicLabel, copy: LabelCopy) {
        let place = label.place(&geometry(), copy);
        let block = label.encode(&geometry(), copy).unwrap();
        self.put(disk, place.offset.get(), &block);
    }

    /// Opens a segment on these disks and writes its header.
    pub fn open(&mut self, lane: LaneId, disks: &[usize], previous: Option<&Open>) -> Open {
        let ids: Vec<DiskId> = disks.iter().map(|disk| disk_id(*disk)).collect();
        let header = SegmentHeader {
            pool: POOL,
            segment: SegmentId::new(self.next_segment),
            lane,
            epoch: self.epoch,
            units: UnitCount::new(SEGMENT_UNITS),
            unit_bytes: UNIT,
            first_sequence: previous.map_or(Sequence::FIRST, Open::next_sequence),
            previous_segment: previous.map_or(SegmentId::NONE, Open::id),
            previous_chain: previous.map_or(Digest::ZERO, |open| {
                if open.frames.is_empty() {
                    open.header.previous_chain
                } else {
                    open.chain()
                }
            }),
            compliance_ms: UnixMillis::new(1),
            disks: SegmentDisks::new(&ids).unwrap(),
        };
        let unit = self.next_unit;
        self.next_segment += 1;
        self.next_unit += SEGMENT_UNITS;
        let open = Open {
            header,
            disks: disks.to_vec(),
            unit,
            frames: Vec::new(),
            end: 4096,
        };
        self.write(&open, 0, &open.header.encode());
        open
    }

    /// Writes at an offset of a segment, on those of its disks that are written.
    pub fn write(&mut self, open: &Open, offset: u64, bytes: &[u8]) {
        for disk in open.disks.clone() {
            if self.writing.contains(&disk) {
                self.put(disk, open.start() as u64 + offset, bytes);
            }
        }
    }

    pub fn frame(&mut self, open: &mut Open, payload: &[u8], records: u16, list: bool) -> Vec<u8> {
        let journal = open.header.lane.is_journal();
        let draft = FrameDraft {
            pool: POOL,
            segment: open.id(),
            frame_index: FrameIndex::new(u32::try_from(open.frames.len()).unwrap()),
            lane: open.header.lane,
            record_count: records,
            list,
            sequence: open.next_sequence(),
            epoch: self.epoch,
            segment_offset: ByteOffset::new(open.end),
            committed_through: Sequence::new(if journal { self.committed } else { 0 }),
            compliance_ms: UnixMillis::new(1),
            previous_header: open.chain(),
        };
        let header = draft.seal(payload).unwrap();
        let mut bytes = Vec::new();
        header.write_frame(payload, &mut bytes);
        self.write(open, open.end, &bytes);
        open.frames.push(header);
        open.end += bytes.len() as u64;
        if journal {
            self.committed = header.sequence.get();
        }
        bytes
    }

    /// One journal frame of these records.
    pub fn records(&mut self, open: &mut Open, drafts: Vec<Draft>) -> Vec<u8> {
        let count = u16::try_from(drafts.len()).unwrap();
        let mut payload = Vec::new();
        for draft in drafts {
            let header = RecordHeader {
                log_index: self.log.next_index(),
                previous_header: self.log.head(),
                epoch: self.epoch,
                compliance_ms: UnixMillis::new(1),
                wall_ms: UnixMillis::new(1),
                ..draft.header
            };
            let attachments: Vec<&[u8]> = draft.attachments.iter().map(Vec::as_slice).collect();
            let header = encode_record(header, &draft.body, &attachments, &mut payload).unwrap();
            self.log.advance(&header).unwrap();
        }
        self.frame(open, &payload, count, false)
    }

    pub fn seal(&mut self, open: &Open) -> SegmentSeal {
        let entries: Vec<FooterEntry> = open.frames.iter().map(FooterEntry::of).collect();
        let (footer, footer_digest) = Footer {
            segment: open.id(),
            entries,
        }
        .encode()
        .unwrap();
        let bytes = Footer::bytes_for(open.frames.len());
        let needed = open.end + footer.len() as u64 + 4096;
        let units = u32::try_from(needed.div_ceil(u64::from(UNIT))).unwrap();
        let journal = open.header.lane.is_journal();
        let seal = SegmentSeal {
            pool: POOL,
            segment: open.id(),
            lane: open.header.lane,
            epoch: self.epoch,
            units: UnitCount::new(units),
            unit_bytes: UNIT,
            frame_count: u32::try_from(open.frames.len()).unwrap(),
            first_sequence: open.header.first_sequence,
            last_sequence: Sequence::new(open.next_sequence().get() - 1),
            data_end: ByteOffset::new(open.end),
            footer_offset: ByteOffset::new(open.end),
            footer_bytes: u32::try_from(bytes).unwrap(),
            footer_digest,
            chain_head: open.chain(),
            log: journal.then(|| self.log.frontier().clone()),
        };
        self.write(open, open.end, &footer);
        self.write(open, seal.own_offset().get(), &seal.encode());
        seal
    }

    pub fn alloc(&self, segment: u64, lane: LaneId, unit: u32, disks: &[usize]) -> Draft {
        let placements = disks.iter().map(|disk| Placed {
            disk: disk_id(*disk),
            first_unit: UnitIndex::new(unit),
        });
        Draft::of(Body::Alloc(Alloc {
            segment: SegmentId::new(segment),
            lane,
            units: UnitCount::new(SEGMENT_UNITS),
            placements: placements.collect(),
        }))
    }

    /// An ALLOC record of the segment that is opened next.
    pub fn alloc_next(&self, lane: LaneId, disks: &[usize]) -> Draft {
        self.alloc(self.next_segment, lane, self.next_unit, disks)
    }

    pub fn seal_note(&self, seal: &SegmentSeal) -> Draft {
        Draft::of(Body::Seal(SealNote {
            segment: seal.segment,
            lane: seal.lane,
            units_kept: seal.units,
            seal: seal.digest(),
            log: seal.log.clone(),
        }))
    }

    pub fn marker(&self) -> Draft {
        Draft::of(Body::Marker(Marker {
            log: self.log.frontier().clone(),
        }))
    }

    pub fn epoch_start(&self, abandoned: Vec<Abandoned>) -> Draft {
        let previous = Epoch::new(self.epoch.get() - 1);
        Draft::of(Body::Epoch(EpochStart {
            previous,
            reason: EpochReason::Start,
            abandoned,
            forgetful: Vec::new(),
        }))
    }

    pub fn genesis(&self) -> Draft {
        Draft::of(Body::Genesis(Genesis {
            format: Genesis::FORMAT.to_owned(),
            disks: (0..self.images.len()).map(disk_id).collect(),
            unit_bytes: UNIT,
            segment_units: UnitCount::new(SEGMENT_UNITS),
            flags: VaultFlags::EVALUATION,
            created_ms: UnixMillis::new(1_700_000_000_000),
        }))
    }

    /// A COMMIT record; `place` is how many records of its frame stand before it.
    pub fn commit(&self, place: u64, placement: Placement, stored: &[StoredEntry]) -> Draft {
        let index = LogIndex::new(self.log.next_index().get() + place);
        let key_index = KeyIndex::compose(KeyIndexParts {
            month: Month::new(650).unwrap(),
            class: KeyClass::Object,
            epoch: self.epoch,
            counter: u32::try_from(index.get()).unwrap(),
        });
        let header = RecordHeader {
            key_index: key_index.unwrap(),
            version: VersionId::new(index, [7; 8]),
            ..RecordHeader::default()
        };
        let commit = Commit {
            placement,
            entries: stored.to_vec(),
        };
        Draft {
            body: Body::Commit(commit),
            attachments: vec![noise(900, index.get())],
            header,
        }
    }

    pub fn inline_commit(&self, place: u64, body: &[u8]) -> Draft {
        let mut draft = self.commit(place, Placement::Inline, &[entry(EntryKind::Chunk, body)]);
        draft.attachments.push(body.to_vec());
        draft
    }

    pub fn sources(&self) -> Vec<Box<dyn Source>> {
        self.sources_of(&(0..self.images.len()).collect::<Vec<_>>())
    }

    pub fn sources_of(&self, disks: &[usize]) -> Vec<Box<dyn Source>> {
        let source = |disk: &usize| {
            let image = ImageSource::new(format!("{disk}.disk"), self.images[*disk].clone());
            Box::new(image) as Box<dyn Source>
        };
        disks.iter().map(source).collect()
    }

    pub fn verify(&self) -> Report {
        stele_inspect::verify(&self.sources(), Duration::ZERO).unwrap()
    }

    pub fn verify_disks(&self, disks: &[usize]) -> Report {
        stele_inspect::verify(&self.sources_of(disks), Duration::ZERO).unwrap()
    }

    pub fn flip(&mut self, disk: usize, at: usize) {
        self.images[disk][at] ^= 0x10;
    }
}

pub fn entry(kind: EntryKind, stored: &[u8]) -> StoredEntry {
    let stored_bytes = u32::try_from(stored.len()).unwrap();
    StoredEntry {
        kind,
        digest: Digest::of(stored),
        stored_bytes,
    }
}

/// Bytes that look like sealed ones: no sector of zeros.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// A vault with some of everything: a sealed journal segment (1), a sealed data segment (2), the
/// open journal segment (3), an open data segment (4), left without a clean stop.
pub fn sample(disks: usize) -> Vault {
    let mut vault = Vault::blank(disks);
    let all: Vec<usize> = (0..disks.min(3)).collect();
    let two: Vec<usize> = (0..disks.min(2)).collect();
    let mut first = vault.open(LaneId::JOURNAL, &all, None);
    let opening = vec![
        vault.genesis(),
        vault.epoch_start(Vec::new()),
        vault.alloc(1, LaneId::JOURNAL, 0, &all),
        vault.alloc_next(DATA, &two),
    ];
    vault.records(&mut first, opening);
    let mut data = vault.open(DATA, &two, None);
    let chunks: Vec<Vec<u8>> = (0..3).map(|n| noise(9000, 40 + n)).collect();
    chunks.iter().for_each(|chunk| {
        vault.frame(&mut data, chunk, 0, false);
    });
    let entries: Vec<StoredEntry> = chunks
        .iter()
        .map(|chunk| entry(EntryKind::Chunk, chunk))
        .collect();
    let commit = vault.commit(0, on_lane(), &entries);
    vault.records(&mut first, vec![commit]);
    let inline = vault.inline_commit(0, &noise(5000, 3));
    vault.records(&mut first, vec![inline]);
    let alloc = vault.alloc_next(LaneId::JOURNAL, &all);
    vault.records(&mut first, vec![alloc]);
    let sealed = vault.seal(&first);
    let mut journal = vault.open(LaneId::JOURNAL, &all, Some(&first));
    let note = vault.seal_note(&sealed);
    let data_seal = vault.seal(&data);
    let data_note = vault.seal_note(&data_seal);
    let alloc = vault.alloc_next(DATA, &two);
    vault.records(&mut journal, vec![data_note, note, alloc]);
    let mut open_data = vault.open(DATA, &two, Some(&data));
    let late = noise(7000, 99);
    vault.frame(&mut open_data, &late, 0, false);
    let listed = stele_format::record::encode_chunk_list(&[entry(EntryKind::Chunk, &late)]);
    vault.frame(&mut open_data, &listed, 0, true);
    let commit = vault.commit(0, on_lane(), &[entry(EntryKind::ClearList, &listed)]);
    vault.records(&mut journal, vec![commit]);
    let inline = vault.inline_commit(0, &noise(300, 5));
    vault.records(&mut journal, vec![inline]);
    let marker = vault.marker();
    vault.records(&mut journal, vec![marker]);
    let id = journal.id();
    vault.label(|label| {
        label.journal_segment = id;
        label.watermark = Sequence::new(2);
    });
    for open in [first, data, journal, open_data] {
        vault.segments.insert(open.id().get(), open);
    }
    vault
}
