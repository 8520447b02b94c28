//! A long log on a disk file, written piece by piece, and its audit.
//!
//! `STELE_AUDIT_RECORDS=1000000 STELE_AUDIT_DIR=/somewhere` makes it as long as wished and leaves the disk
//! there, so that the program itself can be measured on it.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::env;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, FrameHeader};
use stele_format::geometry::DiskGeometry;
use stele_format::keystate::{KeyStateExpectation, KeyStateHeader};
use stele_format::label::{
    DynamicLabel, Features, LabelCopy, LabelMember, LabelPhase, MemberState, StaticLabel,
    VaultFlags,
};
use stele_format::limits::FRAME_BYTES_MAX;
use stele_format::record::{LockMode, LogWalk, VersionRef, encode_record};
use stele_format::segment::{Footer, FooterEntry, SegmentDisks, SegmentHeader, SegmentSeal};
use stele_format::units::{
    ByteCount, ByteOffset, Epoch, FrameIndex, Generation, LaneId, SegmentId, Sequence, UnitCount,
    UnitIndex, UnixMillis,
};
use stele_inspect::audit::audit;
use stele_inspect::source::{FileSource, Source};
use support::people::{BEGIN, Book, DAY, HOUR, Kept, STAFF};
use support::{POOL, disk_id};

const UNIT_BYTES: u32 = 4 * 1024 * 1024;
const SEGMENT_UNITS: u32 = 16;
const SEGMENT_BYTES: u64 = UNIT_BYTES as u64 * SEGMENT_UNITS as u64;
/// Kept for footer and seal.
const FOOTER_ROOM_BYTES: u64 = 512 * 1024;
/// Records of a frame: what a busy vault brings together.
const FRAME_RECORDS: usize = 64;
/// Records between two destructions.
const ROUND_RECORDS: u64 = 5_000;

/// One disk, written front to back.
struct Writer {
    file: File,
    geometry: DiskGeometry,
    log: LogWalk,
    segment: SegmentHeader,
    frames: Vec<FrameHeader>,
    end: u64,
}

impl Writer {
    fn new(path: &Path, records: u64) -> Self {
        let disk_bytes = (records * 1024).next_multiple_of(SEGMENT_BYTES) + 4 * SEGMENT_BYTES;
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(disk_bytes),
            index_bytes: ByteCount::new(0),
            keystate_bytes: 8192,
            unit_bytes: UNIT_BYTES,
            segment_units: UnitCount::new(SEGMENT_UNITS),
        };
        let file = File::create(path).unwrap();
        file.set_len(disk_bytes).unwrap();
        let segment = first_segment();
        let writer = Self {
            file,
            geometry,
            log: LogWalk::new(),
            segment,
            frames: Vec::new(),
            end: 4096,
        };
        writer.labels_and_keys();
        writer.put(0, &writer.segment.encode());
        writer
    }

    fn labels_and_keys(&self) {
        let label = StaticLabel {
            pool: POOL,
            disk: disk_id(0),
            disk_ordinal: 0,
            disk_count: 1,
            geometry: self.geometry,
            features: Features::default(),
            created_ms: UnixMillis::new(BEGIN),
            flags: VaultFlags::SINGLE_DISK,
        };
        for copy in LabelCopy::ALL {
            for block in 0..2 {
                let at = self.geometry.label_block_offset(copy, block).get();
                self.file
                    .write_all_at(&label.encode(copy, block), at)
                    .unwrap();
            }
        }
        for copy in 0..2 {
            let place = KeyStateExpectation {
                pool: POOL,
                disk: disk_id(0),
                copy,
            };
            let bytes = KeyStateHeader::encode(place, Generation::new(1), &[0xa5; 700]).unwrap();
            let at = self.geometry.keystate_offset(copy).unwrap().get();
            self.file.write_all_at(&bytes, at).unwrap();
        }
    }

    /// Writes at an offset of the open segment.
    fn put(&self, offset: u64, bytes: &[u8]) {
        let unit = (u32::try_from(self.segment.segment.get()).unwrap() - 1) * SEGMENT_UNITS;
        let start = self
            .geometry
            .unit_offset(UnitIndex::new(unit))
            .unwrap()
            .get();
        self.file.write_all_at(bytes, start + offset).unwrap();
    }

    fn chain(&self) -> Digest {
        let last = self.frames.last();
        last.map_or(self.segment.digest(), FrameHeader::digest)
    }

    fn next_sequence(&self) -> Sequence {
        Sequence::new(self.segment.first_sequence.get() + self.frames.len() as u64)
    }

    fn records(&mut self, records: &[Kept]) {
        for records in records.chunks(FRAME_RECORDS) {
            if self.end + u64::from(FRAME_BYTES_MAX) + FOOTER_ROOM_BYTES > SEGMENT_BYTES {
                self.next_segment();
            }
            let mut payload = Vec::new();
            for (draft, body, attachments) in records {
                let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
                let header = encode_record(*draft, body, &slices, &mut payload).unwrap();
                self.log.advance(&header).unwrap();
            }
            let draft = FrameDraft {
                pool: POOL,
                segment: self.segment.segment,
                frame_index: FrameIndex::new(u32::try_from(self.frames.len()).unwrap()),
                lane: LaneId::JOURNAL,
                record_count: u16::try_from(records.len()).unwrap(),
                list: false,
                sequence: self.next_sequence(),
                epoch: Epoch::new(1),
                segment_offset: ByteOffset::new(self.end),
                committed_through: Sequence::new(self.next_sequence().get() - 1),
                compliance_ms: UnixMillis::new(BEGIN),
                previous_header: self.chain(),
            };
            let header = draft.seal(&payload).unwrap();
            let mut bytes = Vec::new();
            header.write_frame(&payload, &mut bytes);
            self.put(self.end, &bytes);
            self.end += bytes.len() as u64;
            self.frames.push(header);
        }
    }

    fn next_segment(&mut self) {
        self.seal();
        let next = SegmentHeader {
            segment: self.segment.segment.next().unwrap(),
            first_sequence: self.next_sequence(),
            previous_segment: self.segment.segment,
            previous_chain: self.chain(),
            ..self.segment.clone()
        };
        self.segment = next;
        self.frames = Vec::new();
        self.end = 4096;
        self.put(0, &self.segment.encode());
    }

    fn seal(&self) {
        let entries = self.frames.iter().map(FooterEntry::of).collect();
        let footer = Footer {
            segment: self.segment.segment,
            entries,
        };
        let (footer, footer_digest) = footer.encode().unwrap();
        let needed = self.end + footer.len() as u64 + 4096;
        let seal = SegmentSeal {
            pool: POOL,
            segment: self.segment.segment,
            lane: LaneId::JOURNAL,
            epoch: Epoch::new(1),
            units: UnitCount::new(u32::try_from(needed.div_ceil(u64::from(UNIT_BYTES))).unwrap()),
            unit_bytes: UNIT_BYTES,
            frame_count: u32::try_from(self.frames.len()).unwrap(),
            first_sequence: self.segment.first_sequence,
            last_sequence: Sequence::new(self.next_sequence().get() - 1),
            data_end: ByteOffset::new(self.end),
            footer_offset: ByteOffset::new(self.end),
            footer_bytes: u32::try_from(Footer::bytes_for(self.frames.len())).unwrap(),
            footer_digest,
            chain_head: self.chain(),
            log: Some(self.log.frontier().clone()),
        };
        self.put(self.end, &footer);
        self.put(seal.own_offset().get(), &seal.encode());
    }

    fn finish(self) {
        let label = DynamicLabel {
            pool: POOL,
            disk: disk_id(0),
            generation: Generation::new(1),
            in_force: Generation::new(0),
            epoch: Epoch::new(1),
            watermark: Sequence::new(self.next_sequence().get() - 1),
            next_segment: self.segment.segment.next().unwrap(),
            units_high_water: self.geometry.unit_count(),
            clean_stop: false,
            phase: LabelPhase::Running,
            journal_segment: self.segment.segment,
            members: vec![LabelMember {
                disk: disk_id(0),
                state: MemberState::Active,
                voter: true,
                forgotten_frames: 0,
                last_generation: Generation::new(1),
            }],
            cutoffs: Vec::new(),
        };
        for copy in LabelCopy::ALL {
            let place = label.place(&self.geometry, copy);
            let block = label.encode(&self.geometry, copy).unwrap();
            self.file.write_all_at(&block, place.offset.get()).unwrap();
        }
    }
}

fn first_segment() -> SegmentHeader {
    SegmentHeader {
        pool: POOL,
        segment: SegmentId::new(1),
        lane: LaneId::JOURNAL,
        epoch: Epoch::new(1),
        units: UnitCount::new(SEGMENT_UNITS),
        unit_bytes: UNIT_BYTES,
        first_sequence: Sequence::FIRST,
        previous_segment: SegmentId::NONE,
        previous_chain: Digest::ZERO,
        compliance_ms: UnixMillis::new(BEGIN),
        disks: SegmentDisks::new(&[disk_id(0)]).unwrap(),
    }
}

/// Objects of which one in eight is locked, one in sixteen extended and one in thirty-two held; every so many
/// records the older half of what is free goes, by two approvers.
fn live(book: &mut Book, free: &mut Vec<VersionRef>) {
    for number in 0..ROUND_RECORDS {
        if number % 8 == 0 {
            let version = book.locked(LockMode::Compliance, 400 * DAY);
            if number % 16 == 0 {
                book.retention(&version, LockMode::Compliance, book.now + 500 * DAY);
            }
            if number % 32 == 0 {
                book.hold(&version, true);
            }
        } else {
            free.push(book.version());
        }
        book.wait(1000);
    }
    let gone: Vec<VersionRef> = free.drain(..free.len() / 2).collect();
    let act = book.erase_act(&gone);
    let asked = book.through("olga", &["anna", "axel"], act, 7 * DAY + HOUR);
    book.tombstone(&asked, &gone);
    book.destroyed(asked.index, 1);
}

#[test]
fn a_long_log_is_audited_as_it_was_written() {
    let records = env::var("STELE_AUDIT_RECORDS").map_or(20_000, |count| count.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let kept = env::var_os("STELE_AUDIT_DIR").map(PathBuf::from);
    let path = kept.as_deref().unwrap_or(scratch.path()).join("0.disk");
    let mut writer = Writer::new(&path, records + ROUND_RECORDS * 2);
    let mut book = Book::keeping(VaultFlags::SINGLE_DISK);
    book.found(&STAFF, &[]);
    let mut free = Vec::new();
    while book.walk.next_index().get() < records {
        live(&mut book, &mut free);
        writer.records(&book.kept.replace(Vec::new()).unwrap());
    }
    let size = writer.log.next_index().get();
    let root = writer.log.frontier().root().to_string();
    writer.finish();
    let source: Box<dyn Source> = Box::new(FileSource::open(&path).unwrap());
    let begun = Instant::now();
    let found = audit(&[source], Duration::ZERO).unwrap();
    println!("{size} records audited in {:?}", begun.elapsed());
    assert_eq!(
        (found.verdict, found.log_size),
        (0, size),
        "{:#?}",
        found.damage
    );
    assert_eq!(found.log_root, Some(root));
    let expected = book.report();
    assert!(found.retention.destroyed > 0);
    assert_eq!(found.retention.destroyed, expected.retention.destroyed);
    assert_eq!(found.holds.versions, expected.holds.versions);
    assert_eq!(found.retention.retained, expected.retention.retained);
    assert!(found.destructions.iter().all(|line| line.lawful));
}
