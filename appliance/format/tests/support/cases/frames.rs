//! Frames and the records in them.

use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, SegmentWalk};
use stele_format::fuzz::{refit_frame, refit_frame_header};
use stele_format::record::{ClientTag, LogWalk, RecordHeader, encode_record};
use stele_format::units::{Epoch, LaneId, Sequence};

use super::{Case, as_is, invalid, poked, valid};
use crate::support::{
    CLIENT, bodies, data_frame, draft, frame_bytes, full_journal_frame, journal_frame,
    object_header, record_header, segment_header, small_payload,
};

pub fn cases() -> Vec<Case> {
    let mut all = frames();
    all.extend(chained_frames());
    all.extend(records());
    all.extend(record_headers());
    all
}

fn frames() -> Vec<Case> {
    let good = journal_frame();
    let last = good.len() - 1;
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("frame-{name}"),
            poked(&good, at, with, refit_frame_header),
            expected,
        )
    };
    vec![
        valid("frame-journal", good.clone()),
        valid("frame-journal-every-record", full_journal_frame()),
        valid("frame-data", data_frame(false)),
        valid("frame-list", data_frame(true)),
        invalid("frame-blank", [0; 4096], "FrameHeader.@0 Blank"),
        invalid("frame-short-header", &good[..255], "FrameHeader.@0 Short"),
        invalid(
            "frame-torn",
            poked(&good, 4096, &vec![0; good.len() - 4096], as_is),
            "PayloadDamaged",
        ),
        invalid("frame-cut", &good[..4096], "Short"),
        case("magic", 0, b"STELEFTR", "FrameHeader.magic@0 Magic"),
        case("newer-version", 8, &[2], "FrameHeader.version@8 Version"),
        invalid(
            "frame-header-flipped-bit",
            poked(&good, 48, &[35], as_is),
            "FrameHeader.header_digest@192 Digest",
        ),
        invalid(
            "frame-payload-flipped-bit",
            poked(&good, 300, &[0xff], as_is),
            "PayloadDamaged",
        ),
        invalid(
            "frame-padding",
            poked(&good, last, &[1], as_is),
            "PaddingDamaged",
        ),
        case(
            "header-bytes",
            10,
            &[0, 2],
            "FrameHeader.header_bytes@10 Value",
        ),
        case("unknown-flag", 12, &[2], "FrameHeader.flags@12 Value"),
        case("list-on-journal", 12, &[1], "FrameHeader.flags@12 Value"),
        case(
            "other-pool",
            16,
            &[0x12],
            "Pool(PoolId(12111111111111111111111111111111))",
        ),
        case("other-segment", 32, &[9], "Segment(SegmentId(9))"),
        case("no-segment", 32, &[0], "FrameHeader.segment@32 Value"),
        case(
            "second-at-first-place",
            40,
            &[1],
            "FrameHeader.frame_index@40 Value",
        ),
        case(
            "no-records-in-journal",
            46,
            &[0],
            "FrameHeader.record_count@46 Value",
        ),
        case(
            "4097-records",
            46,
            &[1, 0x10],
            "FrameHeader.record_count@46 Limit",
        ),
        case("no-sequence", 48, &[0], "FrameHeader.sequence@48 Value"),
        case("no-epoch", 56, &[0], "FrameHeader.epoch@56 Value"),
        case(
            "epoch-21-bits",
            56,
            &[0, 0, 0x10],
            "FrameHeader.epoch@56 Limit",
        ),
        case("reserved-a", 60, &[1], "FrameHeader.reserved_a@60 Reserved"),
        case(
            "in-segment-header",
            64,
            &[0; 2],
            "FrameHeader.segment_offset@64 Value",
        ),
        case(
            "offset-misaligned",
            64,
            &[1],
            "FrameHeader.segment_offset@64 Value",
        ),
        case(
            "total-too-long",
            72,
            &[0, 0x30],
            "FrameHeader.total_bytes@72 Value",
        ),
        case(
            "no-payload",
            76,
            &[0; 4],
            "FrameHeader.payload_bytes@76 Value",
        ),
        case(
            "payload-above-4-mib",
            76,
            &[0, 0, 0x40],
            "FrameHeader.total_bytes@72 Value",
        ),
        case(
            "committed-through-itself",
            80,
            &[34],
            "FrameHeader.committed_through@80 Value",
        ),
        case(
            "reserved-b",
            160,
            &[1],
            "FrameHeader.reserved_b@160 Reserved",
        ),
        case(
            "reserved-c",
            224,
            &[1],
            "FrameHeader.reserved_c@224 Reserved",
        ),
        invalid(
            "frame-records-on-data-lane",
            poked(&data_frame(false), 46, &[1], refit_frame_header),
            "FrameHeader.record_count@46 Value",
        ),
        invalid(
            "frame-committed-through-on-data-lane",
            poked(&data_frame(false), 80, &[1], refit_frame_header),
            "FrameHeader.committed_through@80 Value",
        ),
        invalid(
            "frame-list-with-empty-entry",
            poked(&data_frame(true), 256 + 37, &[0], refit_frame),
            "ChunkList.entry length@38 Value",
        ),
    ]
}

/// Frames that are whole but are not the next of their segment.
fn chained_frames() -> Vec<Case> {
    let header = segment_header(LaneId::JOURNAL);
    let walk = SegmentWalk::new(&header);
    let payload = small_payload();
    let good = draft(&header, &walk, 1);
    let case = |name: &str, draft: FrameDraft, expected: &str| {
        let frame = draft.seal(&payload).unwrap();
        invalid(
            &format!("frame-{name}"),
            frame_bytes(&frame, &payload),
            expected,
        )
    };
    let mut second = walk;
    second.advance(&good.seal(&payload).unwrap());
    vec![
        case(
            "misplaced",
            draft(&header, &second, 1),
            "Misplaced(ByteOffset(12288))",
        ),
        case(
            "of-older-epoch",
            FrameDraft {
                epoch: Epoch::new(2),
                ..good
            },
            "Epoch(Epoch(2))",
        ),
        case(
            "sequence-skips",
            FrameDraft {
                sequence: Sequence::new(35),
                ..good
            },
            "Sequence(Sequence(35))",
        ),
        case(
            "chain-broken",
            FrameDraft {
                previous_header: Digest([0x53; 32]),
                ..good
            },
            "Chain",
        ),
    ]
}

fn in_frame(payload: &[u8], count: u16) -> Vec<u8> {
    let header = segment_header(LaneId::JOURNAL);
    let frame = draft(&header, &SegmentWalk::new(&header), count)
        .seal(payload)
        .unwrap();
    frame_bytes(&frame, payload)
}

/// A commit with an inline chunk: header 192, clear body, manifest 72, chunk 4112.
fn records() -> Vec<Case> {
    let good = small_payload();
    let clear = good.len() - 4112 - 72;
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        let payload = poked(&good, at, with, as_is);
        invalid(
            &format!("frame-record-{name}"),
            in_frame(&payload, 1),
            expected,
        )
    };
    let (retention, _) = bodies().remove(8);
    let mut two = good.clone();
    let mut log = LogWalk::new();
    let first = encode_record(record_header(&log), &retention, &[], &mut Vec::new()).unwrap();
    log.advance(&first).unwrap();
    encode_record(object_header(&log), &retention, &[], &mut two).unwrap();
    vec![
        case("body-flipped-bit", clear - 1, &[0xff], "BodyDamaged"),
        case(
            "manifest-flipped-bit",
            clear,
            &[0xff],
            "AttachmentDamaged(0)",
        ),
        case(
            "inline-chunk-flipped-bit",
            clear + 72,
            &[0xff],
            "AttachmentDamaged(1)",
        ),
        case("attachment-cut", 108, &[0], "AttachmentSum"),
        case("longer-than-payload", 110, &[1], "Short { at: 0 }"),
        case(
            "unknown-type",
            2,
            &[23],
            "record 0: RecordHeader.record_type@2 Value",
        ),
        invalid(
            "frame-record-missing",
            in_frame(&good, 2),
            "Short { at: 4499 }",
        ),
        invalid(
            "frame-bytes-after-records",
            in_frame(&[&good[..], &[0; 8]].concat(), 1),
            "Trailing { at: 4499 }",
        ),
        invalid(
            "frame-record-chain-broken",
            in_frame(&two, 2),
            "Chain(LogIndex(1))",
        ),
        invalid(
            "frame-record-twice",
            in_frame(&[&good[..], &good[..]].concat(), 2),
            "Order { expected: LogIndex(1), found: LogIndex(0) }",
        ),
    ]
}

fn record_headers() -> Vec<Case> {
    let good = &small_payload()[..192];
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("record-header-{name}"),
            poked(good, at, with, as_is),
            expected,
        )
    };
    vec![
        valid("record-header", good),
        valid(
            "record-header-may-skip",
            poked(good, 2, &[0x01, 0x80], as_is),
        ),
        valid("record-header-reserved-type", poked(good, 2, &[33], as_is)),
        valid("record-header-client", client_header()),
        invalid("record-header-blank", [0; 192], "RecordHeader.@0 Blank"),
        invalid("record-header-short", &good[..191], "RecordHeader.@0 Short"),
        case("newer-version", 0, &[2], "RecordHeader.version@0 Version"),
        case("unknown-type", 2, &[23], "RecordHeader.record_type@2 Value"),
        case("class-2", 4, &[2], "RecordHeader.class@4 Value"),
        case(
            "class-is-not-the-keys",
            4,
            &[1],
            "RecordHeader.class@4 Value",
        ),
        case("mode-3", 5, &[3], "RecordHeader.mode@5 Value"),
        case(
            "mode-without-until",
            40,
            &[0; 8],
            "RecordHeader.retain_until_ms@40 Value",
        ),
        case(
            "until-without-mode",
            5,
            &[0],
            "RecordHeader.retain_until_ms@40 Value",
        ),
        case("hold-2", 6, &[2], "RecordHeader.hold@6 Value"),
        case("unknown-flag", 7, &[2], "RecordHeader.flags@7 Value"),
        case("no-epoch", 16, &[0], "RecordHeader.epoch@16 Value"),
        case(
            "epoch-21-bits",
            16,
            &[0, 0, 0x10],
            "RecordHeader.epoch@16 Limit",
        ),
        case(
            "reserved-a",
            20,
            &[1],
            "RecordHeader.reserved_a@20 Reserved",
        ),
        case(
            "key-index-bit-60",
            55,
            &[0x10],
            "RecordHeader.key_index@48 Value",
        ),
        case(
            "key-index-epoch-0",
            51,
            &[0; 2],
            "RecordHeader.key_index@48 Value",
        ),
        case(
            "no-clear-body",
            104,
            &[0; 4],
            "RecordHeader.clear_bytes@104 Value",
        ),
        case(
            "clear-body-too-long",
            106,
            &[8],
            "RecordHeader.clear_bytes@104 Limit",
        ),
        case(
            "attachments-too-long",
            111,
            &[1],
            "RecordHeader.attached_bytes@108 Limit",
        ),
        case(
            "first-with-predecessor",
            144,
            &[1],
            "RecordHeader.previous_header@144 Value",
        ),
        case(
            "second-without-predecessor",
            8,
            &[1],
            "RecordHeader.previous_header@144 Value",
        ),
        // A code of no character, and the bits in front of the id.
        case(
            "client-no-character",
            191,
            &[0x3f],
            "RecordHeader.client@176 Value",
        ),
        case(
            "client-bits-in-front",
            176,
            &[0x40],
            "RecordHeader.client@176 Value",
        ),
    ]
}

/// A header that names an access key.
fn client_header() -> [u8; 192] {
    RecordHeader {
        client: ClientTag::new(CLIENT).unwrap(),
        clear_bytes: 1,
        ..object_header(&LogWalk::new())
    }
    .encode()
}
