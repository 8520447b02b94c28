//! Sample values shared by the tests of this crate: a small pool, told with fixed bytes.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of the samples"
)]

pub mod cases;
pub mod documents;
pub mod outcome;

use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, FrameHeader, SegmentWalk};
use stele_format::geometry::DiskGeometry;
use stele_format::keystate::{KeyStateExpectation, KeyStateHeader};
use stele_format::label::{
    DynamicLabel, EpochCutoff, Features, LabelMember, LabelPhase, MemberState, StaticLabel,
    VaultFlags, WipeMark,
};
use stele_format::record::{
    Abandoned, Alloc, Attempt, Attempted, Body, ClientTag, ClockEvent, ClockEventKind, Commit,
    CopyHealth, Destroyed, EntryKind, EpochReason, EpochStart, ForcedOpen, Genesis, KeyChange,
    LockMode, LogWalk, Loss, LostSpan, Marker, MemberChange, MoveStep, Part, Placed, Placement,
    RecordHeader, Release, ReleaseReason, Relocate, Scope, Scrub, SealNote, SegmentSpan, Snapshot,
    StatementBody, StoredEntry, Tombstone, Trim, VersionRef, encode_record, scope_digest,
};
use stele_format::segment::{Footer, FooterEntry, SegmentDisks, SegmentHeader, SegmentSeal};
use stele_format::tree::{Frontier, leaf_hash};
use stele_format::units::{
    BucketId, ByteCount, ByteOffset, DiskId, Epoch, FrameIndex, Generation, KeyClass, KeyIndex,
    KeyIndexParts, LaneId, LogIndex, Month, ObjectId, Opening, PoolId, SegmentId, Sequence,
    UnitCount, UnitIndex, UnixMillis, UploadId, VersionId,
};

pub use documents::{
    bucket, bucket_with_lifecycle, bucket_with_rules, config, manifest, manifest_entry,
};

pub const POOL: PoolId = PoolId::new([0x11; 16]);
pub const DISK: DiskId = DiskId::new([0x21; 16]);
pub const DISK_B: DiskId = DiskId::new([0x22; 16]);
pub const DISK_C: DiskId = DiskId::new([0x23; 16]);
pub const SEGMENT: SegmentId = SegmentId::new(7);
pub const DATA_SEGMENT: SegmentId = SegmentId::new(8);
pub const EPOCH: Epoch = Epoch::new(3);
pub const NOW: UnixMillis = UnixMillis::new(1_780_000_000_000);
pub const UNIT: u32 = 64 * 1024;

/// A disk as simulations use it: 64 KiB units, everything else as small as it gets.
pub fn geometry() -> DiskGeometry {
    DiskGeometry {
        disk_bytes: ByteCount::new(8 * 1024 * 1024),
        index_bytes: ByteCount::new(512 * 1024),
        keystate_bytes: 64 * 1024,
        unit_bytes: UNIT,
        segment_units: UnitCount::new(2),
    }
}

pub fn static_label() -> StaticLabel {
    StaticLabel {
        pool: POOL,
        disk: DISK,
        disk_ordinal: 0,
        disk_count: 3,
        geometry: geometry(),
        features: Features::default(),
        created_ms: NOW,
        flags: VaultFlags::EVALUATION.with(VaultFlags::SIMULATED_CLOCK),
    }
}

pub fn dynamic_label(generation: u64) -> DynamicLabel {
    let member = |disk, state| LabelMember {
        disk,
        state,
        voter: true,
        forgotten_frames: 0,
        last_generation: Generation::new(62),
    };
    DynamicLabel {
        pool: POOL,
        disk: DISK,
        generation: Generation::new(generation),
        in_force: Generation::new(generation - 1),
        epoch: EPOCH,
        watermark: Sequence::new(41),
        next_segment: SegmentId::new(9),
        units_high_water: UnitCount::new(12),
        clean_stop: false,
        phase: LabelPhase::Running,
        journal_segment: SEGMENT,
        members: vec![
            member(DISK, MemberState::Active),
            member(DISK_B, MemberState::Active),
            member(DISK_C, MemberState::Absent),
        ],
        cutoffs: vec![
            EpochCutoff {
                epoch: Epoch::new(1),
                last_sequence: Sequence::new(20),
                last_header: Digest([0x51; 32]),
            },
            EpochCutoff {
                epoch: Epoch::new(2),
                last_sequence: Sequence::new(33),
                last_header: Digest([0x52; 32]),
            },
        ],
    }
}

pub const KEY_STATE_PLACE: KeyStateExpectation = KeyStateExpectation {
    pool: POOL,
    disk: DISK,
    copy: 0,
};

pub fn key_state() -> Vec<u8> {
    let body: Vec<u8> = (0..5000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    KeyStateHeader::encode(KEY_STATE_PLACE, Generation::new(4), &body).unwrap()
}

pub fn wipe_mark() -> WipeMark {
    WipeMark {
        pool: POOL,
        disk: DISK,
        request: LogIndex::new(77),
        label: Digest([0x44; 32]),
        geometry: geometry(),
    }
}

pub fn segment_header(lane: LaneId) -> SegmentHeader {
    let journal = lane.is_journal();
    let disks: &[DiskId] = if journal {
        &[DISK, DISK_B, DISK_C]
    } else {
        &[DISK_B, DISK]
    };
    SegmentHeader {
        pool: POOL,
        segment: if journal { SEGMENT } else { DATA_SEGMENT },
        lane,
        epoch: EPOCH,
        units: UnitCount::new(2),
        unit_bytes: UNIT,
        first_sequence: Sequence::new(if journal { 34 } else { 1 }),
        previous_segment: SegmentId::new(if journal { 5 } else { 0 }),
        previous_chain: Digest(if journal { [0x52; 32] } else { [0; 32] }),
        compliance_ms: NOW,
        disks: SegmentDisks::new(disks).unwrap(),
    }
}

pub fn key_index(counter: u32) -> KeyIndex {
    KeyIndex::compose(KeyIndexParts {
        month: Month::of(NOW).unwrap(),
        class: KeyClass::Object,
        epoch: EPOCH,
        counter,
    })
    .unwrap()
}

pub fn record_header(log: &LogWalk) -> RecordHeader {
    RecordHeader {
        log_index: log.next_index(),
        previous_header: log.head(),
        epoch: EPOCH,
        compliance_ms: NOW,
        wall_ms: NOW,
        ..RecordHeader::default()
    }
}

/// An access key.
pub const CLIENT: &str = "STELEABCDEFGHIJKL234";

pub fn object_header(log: &LogWalk) -> RecordHeader {
    RecordHeader {
        mode: LockMode::Compliance,
        hold: true,
        retain_until_ms: UnixMillis::new(NOW.get() + 86_400_000),
        key_index: key_index(17),
        bucket: BucketId::new([0x31; 16]),
        object: ObjectId::new([0x32; 16]),
        version: VersionId::new(log.next_index(), [0x33; 8]),
        ..record_header(log)
    }
}

pub fn stored(kind: EntryKind, bytes: &[u8]) -> StoredEntry {
    StoredEntry {
        kind,
        digest: Digest::of(bytes),
        stored_bytes: bytes.len().try_into().unwrap(),
    }
}

pub fn frontier(leaves: u8) -> Frontier {
    let mut frontier = Frontier::new();
    (0..leaves).for_each(|leaf| frontier.push(leaf_hash(&[leaf])));
    frontier
}

/// Two segments.
pub fn span() -> SegmentSpan {
    SegmentSpan::new(SegmentId::new(3), SegmentId::new(4)).unwrap()
}

/// One body of every type, each with the attachments it needs.
pub fn bodies() -> Vec<(Body, Vec<Vec<u8>>)> {
    let manifest = vec![0xaa; 72];
    let chunk = vec![0xcc; 4112];
    let inline = Commit {
        placement: Placement::Inline,
        entries: vec![stored(EntryKind::Chunk, &chunk)],
    };
    let on_lane = Commit {
        placement: Placement::DataLane(span()),
        entries: vec![
            stored(EntryKind::ClearList, b"clear list"),
            stored(EntryKind::SealedList, b"sealed list"),
        ],
    };
    let upload = UploadId::new(LogIndex::new(2), [0x44; 8]);
    let one = |bytes: &Vec<u8>| vec![bytes.clone()];
    let abandoned = Abandoned {
        segment: SegmentId::new(5),
        lane: LaneId::JOURNAL,
        data_end: ByteOffset::new(12_288),
        units_kept: UnitCount::new(1),
        last_sequence: Sequence::new(33),
    };
    vec![
        (Body::Genesis(genesis()), vec![]),
        (
            Body::Epoch(EpochStart {
                previous: Epoch::new(2),
                reason: EpochReason::Start,
                abandoned: vec![abandoned],
                forgetful: vec![],
            }),
            vec![],
        ),
        (Body::Alloc(alloc()), vec![]),
        (
            Body::Seal(SealNote {
                segment: SEGMENT,
                lane: LaneId::JOURNAL,
                units_kept: UnitCount::new(1),
                seal: Digest([0x61; 32]),
                log: Some(frontier(5)),
            }),
            vec![],
        ),
        (Body::Marker(Marker { log: frontier(6) }), vec![]),
        (Body::Commit(inline.clone()), vec![manifest.clone(), chunk]),
        (Body::Complete(on_lane.clone(), upload), one(&manifest)),
        (Body::DeleteMarker, one(&manifest)),
        (Body::Retention, vec![]),
        (Body::Hold, vec![]),
        (
            Body::Release(Release {
                reason: ReleaseReason::Overwritten,
            }),
            vec![],
        ),
        (Body::Bucket, one(&manifest)),
        (Body::BucketDelete, vec![]),
        (Body::Config, one(&manifest)),
        (Body::Upload, one(&manifest)),
        (
            Body::Part(Part {
                number: 10_000,
                placement: on_lane.placement,
                entries: on_lane.entries,
            }),
            one(&manifest),
        ),
        (Body::Abort, vec![]),
        (
            Body::Member(MemberChange {
                generation: Generation::new(64),
                members: vec![(DISK, MemberState::Active), (DISK_C, MemberState::Expelled)],
            }),
            vec![],
        ),
        (
            Body::Loss(Loss {
                segment: SEGMENT,
                lane: LaneId::new(2),
                from: ByteOffset::new(4096),
                to: ByteOffset::new(8192),
            }),
            vec![],
        ),
        (
            Body::Snapshot(Snapshot {
                covered: Sequence::new(40),
                rows: 1234,
                multiset: Digest([0x71; 32]),
            }),
            vec![],
        ),
        (
            Body::Scrub(Scrub {
                segment: SEGMENT,
                lane: LaneId::JOURNAL,
                copies: vec![(DISK, CopyHealth::Whole), (DISK_B, CopyHealth::Holed)],
                lost: vec![FrameIndex::new(3), FrameIndex::new(300)],
            }),
            vec![],
        ),
        (Body::Tags, one(&manifest)),
        (Body::Rehome, one(&manifest)),
        (
            Body::Tombstone(Tombstone {
                request: LogIndex::new(70),
                ordinal: 1,
                last: true,
                month: Month::new(675),
                entries: version_refs(),
            }),
            vec![],
        ),
        (
            Body::Destroyed(Destroyed {
                request: LogIndex::new(70),
                generation: Generation::new(3),
                disks: vec![DISK, DISK_B],
                absent: vec![DISK_C],
                anchor: Some(9),
            }),
            vec![],
        ),
        (
            Body::Statement(StatementBody {
                text: "stele-statement v1\n".to_owned(),
                signatures: vec![vec![1; 32], vec![2; 40]],
            }),
            one(&manifest),
        ),
        (
            Body::Clock(ClockEvent {
                kind: ClockEventKind::Corrected,
                before_ms: NOW,
                request: Some(LogIndex::new(70)),
            }),
            vec![],
        ),
        (
            Body::Relocate(Relocate {
                segment: DATA_SEGMENT,
                lane: LaneId::new(1),
                from: DISK_B,
                to: Placed {
                    disk: DISK_C,
                    first_unit: UnitIndex::new(8),
                },
                step: MoveStep::Done,
            }),
            vec![],
        ),
        (
            Body::Trim(Trim::Begun {
                segments: vec![SegmentId::new(3), SEGMENT],
                through: Some(Generation::new(3)),
            }),
            vec![],
        ),
        (
            Body::Scope(Scope {
                digest: scope_digest(&version_refs()),
                ordinal: 0,
                pieces: 1,
                entries: version_refs(),
            }),
            vec![],
        ),
        (Body::Enacted(LogIndex::new(70)), vec![]),
        (Body::Refused(attempts()), vec![]),
        (Body::Cosigned(COSIGNED.to_owned()), vec![]),
        (
            Body::LogKey(KeyChange {
                request: LogIndex::new(71),
                old: [1; 32],
                new: [2; 32],
                signature: [3; 64],
            }),
            vec![],
        ),
        (
            Body::ForcedOpen(ForcedOpen {
                request: LogIndex::new(72),
                opening: Opening::new(1),
                last: Sequence::new(20),
                durable: Sequence::new(22),
                left: vec![DiskId::new([5; 16]), DiskId::new([6; 16])],
                lost: vec![LostSpan {
                    first: Sequence::new(11),
                    next: Sequence::new(13),
                    chain: Digest([0xc1; 32]),
                    first_record: LogIndex::new(30),
                    next_record: LogIndex::new(36),
                    previous: Digest([0xc2; 32]),
                    segment: SEGMENT,
                    offset: ByteOffset::new(8192),
                }],
            }),
            vec![],
        ),
        (Body::Unrelease, vec![]),
    ]
}

/// One attempt of every kind.
pub fn attempts() -> Vec<Attempt> {
    let attempt = |by, what: &str, why: &str, count| Attempt {
        by,
        what: what.to_owned(),
        why: why.to_owned(),
        count,
        first_ms: NOW,
        last_ms: UnixMillis::new(NOW.get() + 59_000),
    };
    let client = ClientTag::new(CLIENT).unwrap();
    let deletion = Attempted::Client {
        client,
        bucket: BucketId::new([0x31; 16]),
        first: version_refs()[0],
    };
    let statement = Attempted::Statement {
        person: "olga".to_owned(),
        fingerprint: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".to_owned(),
        first: Digest::of(b"text"),
    };
    vec![
        attempt(deletion, "delete-version", "locked", 40_000),
        attempt(statement, "approve", "same-person", 1),
        attempt(Attempted::Deletes { client }, "deletes", "rate", 1_001),
        attempt(Attempted::More, "delete-version", "more", 7),
    ]
}

/// A note that a witness cosigned; what it says is no matter of a body.
pub const COSIGNED: &str =
    "stele/11111111111111111111111111111111\n1\n\n\u{2014} witness.example/w1 AAAA\n";

pub fn version_refs() -> Vec<VersionRef> {
    let entry = |number| VersionRef {
        object: ObjectId::new([0x51; 16]),
        version: VersionId::new(LogIndex::new(number), [7; 8]),
    };
    vec![entry(5), entry(6), entry(300)]
}

pub fn genesis() -> Genesis {
    Genesis {
        format: Genesis::FORMAT.to_owned(),
        disks: vec![DISK, DISK_B, DISK_C],
        unit_bytes: UNIT,
        segment_units: UnitCount::new(2),
        flags: VaultFlags::EVALUATION,
        created_ms: NOW,
    }
}

pub fn alloc() -> Alloc {
    Alloc {
        segment: DATA_SEGMENT,
        lane: LaneId::new(1),
        units: UnitCount::new(2),
        placements: vec![
            Placed {
                disk: DISK_B,
                first_unit: UnitIndex::new(4),
            },
            Placed {
                disk: DISK,
                first_unit: UnitIndex::new(6),
            },
        ],
    }
}

/// Payload with one record of every type, in log order from 0.
pub fn journal_payload() -> (Vec<u8>, u16) {
    let mut log = LogWalk::new();
    let mut payload = Vec::new();
    for (body, attachments) in bodies() {
        let header = match body {
            Body::Commit(_) | Body::Complete(..) => object_header(&log),
            _ => record_header(&log),
        };
        let attachments: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
        let header = encode_record(header, &body, &attachments, &mut payload).unwrap();
        log.advance(&header).unwrap();
    }
    (payload, u16::try_from(log.next_index().get()).unwrap())
}

/// A small payload: one commit with an inline chunk.
pub fn small_payload() -> Vec<u8> {
    let log = LogWalk::new();
    let (body, attachments) = bodies().remove(5);
    let attachments: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
    let mut payload = Vec::new();
    encode_record(object_header(&log), &body, &attachments, &mut payload).unwrap();
    payload
}

/// What the next frame of a walk says before its payload is known.
pub fn draft(header: &SegmentHeader, walk: &SegmentWalk, record_count: u16) -> FrameDraft {
    let expect = walk.expectation();
    let committed = if header.lane.is_journal() {
        expect.sequence.unwrap().get() - 1
    } else {
        0
    };
    FrameDraft {
        pool: header.pool,
        segment: header.segment,
        frame_index: expect.frame_index.unwrap(),
        lane: header.lane,
        record_count,
        list: false,
        sequence: expect.sequence.unwrap(),
        epoch: header.epoch,
        segment_offset: expect.segment_offset,
        committed_through: Sequence::new(committed),
        compliance_ms: NOW,
        previous_header: expect.previous_header.unwrap(),
    }
}

pub fn frame_bytes(header: &FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    header.write_frame(payload, &mut out);
    out
}

/// The first frame of the journal segment, with one commit.
pub fn journal_frame() -> Vec<u8> {
    let header = segment_header(LaneId::JOURNAL);
    let payload = small_payload();
    let frame = draft(&header, &SegmentWalk::new(&header), 1)
        .seal(&payload)
        .unwrap();
    frame_bytes(&frame, &payload)
}

/// The first frame of the journal segment, with every record type.
pub fn full_journal_frame() -> Vec<u8> {
    let header = segment_header(LaneId::JOURNAL);
    let (payload, count) = journal_payload();
    let frame = draft(&header, &SegmentWalk::new(&header), count)
        .seal(&payload)
        .unwrap();
    frame_bytes(&frame, &payload)
}

/// The first frame of the data segment: a sealed chunk, or a clear list.
pub fn data_frame(list: bool) -> Vec<u8> {
    let header = segment_header(LaneId::new(1));
    let payload = if list {
        stele_format::record::encode_chunk_list(&[
            stored(EntryKind::Chunk, b"one"),
            stored(EntryKind::Chunk, b"two"),
        ])
    } else {
        vec![0xdd; 4096 + 16]
    };
    let draft = FrameDraft {
        list,
        ..draft(&header, &SegmentWalk::new(&header), 0)
    };
    frame_bytes(&draft.seal(&payload).unwrap(), &payload)
}

/// A sealed segment, trimmed from two units to one.
pub fn sealed_segment(lane: LaneId) -> Vec<u8> {
    let header = segment_header(lane);
    let mut out = header.encode().to_vec();
    let mut walk = SegmentWalk::new(&header);
    let mut entries = Vec::new();
    let payloads = if lane.is_journal() {
        let (payload, count) = journal_payload();
        vec![(payload, count)]
    } else {
        vec![(vec![0xd1; 4112], 0), (vec![0xd2; 8208], 0)]
    };
    for (payload, count) in payloads {
        let frame = draft(&header, &walk, count).seal(&payload).unwrap();
        frame.write_frame(&payload, &mut out);
        entries.push(FooterEntry::of(&frame));
        walk.advance(&frame);
    }
    let (footer, digest) = Footer {
        segment: header.segment,
        entries,
    }
    .encode()
    .unwrap();
    out.extend_from_slice(&footer);
    let seal = segment_seal(&header, &walk, digest);
    out.resize(usize::try_from(seal.own_offset().get()).unwrap(), 0);
    out.extend_from_slice(&seal.encode());
    out
}

pub fn segment_seal(header: &SegmentHeader, walk: &SegmentWalk, footer: Digest) -> SegmentSeal {
    let frames = usize::try_from(walk.frame_count()).unwrap();
    SegmentSeal {
        pool: header.pool,
        segment: header.segment,
        lane: header.lane,
        epoch: header.epoch,
        units: UnitCount::new(1),
        unit_bytes: header.unit_bytes,
        frame_count: walk.frame_count(),
        first_sequence: header.first_sequence,
        last_sequence: Sequence::new(walk.next_sequence().get() - 1),
        data_end: walk.offset(),
        footer_offset: walk.offset(),
        footer_bytes: u32::try_from(Footer::bytes_for(frames)).unwrap(),
        footer_digest: footer,
        chain_head: walk.chain_head(),
        log: header.lane.is_journal().then(|| frontier(20)),
    }
}

/// Seal block and footer of the sealed data segment.
pub fn data_seal() -> (Vec<u8>, Vec<u8>) {
    let segment = sealed_segment(LaneId::new(1));
    let seal = segment.last_chunk::<4096>().unwrap().to_vec();
    let frames = 4096 + 8192 + 12_288;
    (segment[frames..frames + 4096].to_vec(), seal)
}
