//! Segments: header, footer, seal, and whole sealed segments.

use stele_format::fuzz::{refit_block, refit_footer};
use stele_format::units::LaneId;

use super::{Case, as_is, invalid, poked, valid};
use crate::support::{DISK, data_seal, sealed_segment, segment_header};

pub fn cases() -> Vec<Case> {
    let mut all = headers();
    all.extend(footers());
    all.extend(seals());
    all.extend(segments());
    all
}

fn headers() -> Vec<Case> {
    let good = segment_header(LaneId::JOURNAL).encode();
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("segment-header-{name}"),
            poked(&good, at, with, refit_block),
            expected,
        )
    };
    vec![
        valid("segment-header", good),
        invalid("segment-header-blank", [0; 4096], "SegmentHeader.@0 Blank"),
        case("magic", 0, b"STELESEA", "SegmentHeader.magic@0 Magic"),
        case("newer-version", 8, &[2], "SegmentHeader.version@8 Version"),
        invalid(
            "segment-header-flipped-bit",
            poked(&good, 32, &[6], as_is),
            "SegmentHeader.digest@4064 Digest",
        ),
        case("other-lane", 10, &[1], "Lane(LaneId(1))"),
        case("no-copies", 12, &[0], "SegmentHeader.copies@12 Value"),
        case("five-copies", 12, &[5], "SegmentHeader.copies@12 Value"),
        case("hidden-copy", 12, &[2], "SegmentHeader.disks@112 Reserved"),
        case(
            "reserved-front",
            14,
            &[1],
            "SegmentHeader.reserved_a@14 Reserved",
        ),
        case(
            "other-pool",
            16,
            &[0x12],
            "Pool(PoolId(12111111111111111111111111111111))",
        ),
        case("other-segment", 32, &[9], "Segment(SegmentId(9))"),
        case("no-segment", 32, &[0], "SegmentHeader.segment@32 Value"),
        case("no-epoch", 40, &[0], "SegmentHeader.epoch@40 Value"),
        case(
            "epoch-21-bits",
            40,
            &[0, 0, 0x10],
            "SegmentHeader.epoch@40 Limit",
        ),
        case("no-units", 44, &[0], "SegmentHeader.units@44 Value"),
        case("4-gib", 44, &[0, 0, 1], "SegmentHeader.units@44 Limit"),
        case(
            "unit-not-power-of-two",
            48,
            &[0, 0, 3],
            "SegmentHeader.unit_bytes@48 Value",
        ),
        case(
            "reserved-middle",
            52,
            &[1],
            "SegmentHeader.reserved_b@52 Reserved",
        ),
        case(
            "no-first-sequence",
            56,
            &[0],
            "SegmentHeader.first_sequence@56 Value",
        ),
        case(
            "own-predecessor",
            64,
            &[7],
            "SegmentHeader.previous_segment@64 Value",
        ),
        case(
            "disk-twice",
            128,
            &DISK.to_bytes(),
            "SegmentHeader.disks@112 Value",
        ),
        case(
            "other-disks",
            112,
            &[0x24; 16],
            "Disk(DiskId(21212121212121212121212121212121))",
        ),
        case(
            "reserved-end",
            4063,
            &[1],
            "SegmentHeader.reserved_c@176 Reserved",
        ),
    ]
}

fn footers() -> Vec<Case> {
    let good = data_seal().0;
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("footer-{name}"),
            poked(&good, at, with, refit_footer),
            expected,
        )
    };
    vec![
        valid("footer", good.clone()),
        invalid("footer-blank", [0; 4096], "FooterHead.@0 Blank"),
        invalid("footer-short", &good[..20], "FooterHead.@0 Short"),
        invalid("footer-cut", &good[..100], "FooterHead.entries@24 Short"),
        invalid(
            "footer-long",
            [&good[..], &[0; 4096]].concat(),
            "FooterHead.padding@152 Long",
        ),
        case("magic", 0, b"STELESEA", "FooterHead.magic@0 Magic"),
        case("newer-version", 8, &[2], "FooterHead.version@8 Version"),
        case("reserved", 10, &[1], "FooterHead.reserved@10 Reserved"),
        case(
            "count-too-high",
            12,
            &[0xff; 4],
            "FooterHead.entries@24 Short",
        ),
        invalid(
            "footer-flipped-bit",
            poked(&good, 40, &[0xff], as_is),
            "FooterHead.digest@120 Digest",
        ),
        invalid(
            "footer-padding",
            poked(&good, 152, &[1], as_is),
            "FooterHead.padding@152 Reserved",
        ),
        case("first-frame-late", 24, &[2], "FooterHead.entries@24 Value"),
        case("overlap", 28, &[1], "FooterHead.entries@24 Value"),
        case("sequence-skips", 80, &[3], "FooterHead.entries@24 Value"),
        case("empty-frame", 76, &[0], "FooterHead.entries@24 Value"),
        case("not-the-seals", 40, &[0xff], "FooterMismatch"),
    ]
}

fn seals() -> Vec<Case> {
    let good = data_seal().1;
    let journal = sealed_segment(LaneId::JOURNAL);
    let journal = journal.last_chunk::<4096>().unwrap();
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("seal-{name}"),
            poked(&good, at, with, refit_block),
            expected,
        )
    };
    let tree = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("seal-{name}"),
            poked(journal, at, with, refit_block),
            expected,
        )
    };
    vec![
        valid("seal", good.clone()),
        invalid("seal-blank", [0; 4096], "SegmentSeal.@0 Blank"),
        case("magic", 0, b"STELESEG", "SegmentSeal.magic@0 Magic"),
        case("newer-version", 8, &[2], "SegmentSeal.version@8 Version"),
        invalid(
            "seal-flipped-bit",
            poked(&good, 96, &[0xff], as_is),
            "SegmentSeal.digest@4064 Digest",
        ),
        case("other-lane", 10, &[2], "Lane(LaneId(2))"),
        case("65-nodes", 12, &[65], "SegmentSeal.frontier_count@12 Limit"),
        case(
            "hidden-node",
            200,
            &[1],
            "SegmentSeal.frontier@200 Reserved",
        ),
        tree(
            "node-missing",
            12,
            &[1],
            "SegmentSeal.frontier@200 Reserved",
        ),
        tree(
            "nodes-do-not-fit-size",
            160,
            &[21],
            "SegmentSeal.frontier_count@12 Count",
        ),
        tree(
            "root-is-not-the-nodes",
            168,
            &[0],
            "SegmentSeal.log_root@168 Digest",
        ),
        case(
            "reserved-front",
            14,
            &[1],
            "SegmentSeal.reserved_a@14 Reserved",
        ),
        case(
            "other-pool",
            16,
            &[0x12],
            "Pool(PoolId(12111111111111111111111111111111))",
        ),
        case("other-segment", 32, &[9], "Segment(SegmentId(9))"),
        case("no-segment", 32, &[0], "SegmentSeal.segment@32 Value"),
        case(
            "epoch-21-bits",
            40,
            &[0, 0, 0x10],
            "SegmentSeal.epoch@40 Limit",
        ),
        case("before-its-header", 40, &[2], "SealMismatch"),
        case("no-units", 44, &[0], "SegmentSeal.units@44 Value"),
        case("more-units-than-header", 44, &[3], "SealMismatch"),
        case("misplaced", 44, &[2], "Misplaced"),
        case(
            "unit-not-power-of-two",
            48,
            &[0, 0, 3],
            "SegmentSeal.unit_bytes@48 Value",
        ),
        case(
            "count-is-not-the-sequences",
            52,
            &[3],
            "SegmentSeal.last_sequence@64 Value",
        ),
        case(
            "no-first-sequence",
            56,
            &[0],
            "SegmentSeal.first_sequence@56 Value",
        ),
        case(
            "data-end-misaligned",
            72,
            &[1],
            "SegmentSeal.data_end@72 Value",
        ),
        case(
            "footer-before-data-end",
            80,
            &[0, 0x50],
            "SegmentSeal.footer_offset@80 Value",
        ),
        case(
            "footer-over-seal",
            80,
            &[0, 0xf0],
            "SegmentSeal.footer_offset@80 Value",
        ),
        case(
            "footer-length",
            88,
            &[151],
            "SegmentSeal.footer_bytes@88 Value",
        ),
        case(
            "reserved-middle",
            92,
            &[1],
            "SegmentSeal.reserved_b@92 Reserved",
        ),
        case(
            "reserved-end",
            4063,
            &[1],
            "SegmentSeal.reserved_c@2248 Reserved",
        ),
    ]
}

fn segments() -> Vec<Case> {
    let journal = sealed_segment(LaneId::JOURNAL);
    let data = sealed_segment(LaneId::new(1));
    // Data lane: header 4 KiB, frames of 8 and 12 KiB, footer 4 KiB, gap, seal.
    vec![
        valid("segment-sealed-journal", journal),
        valid("segment-sealed-data", data.clone()),
        invalid(
            "segment-sealed-gap-in-use",
            poked(&data, 28 * 1024 + 5, &[1], as_is),
            "gap in use",
        ),
        invalid(
            "segment-sealed-frame-damaged",
            poked(&data, 12 * 1024 + 300, &[1], as_is),
            "PayloadDamaged",
        ),
        invalid(
            "segment-sealed-header-damaged",
            poked(&data, 100, &[1], as_is),
            "SegmentHeader.digest@4064 Digest",
        ),
        invalid(
            "segment-sealed-footer-lost",
            poked(&data, 24 * 1024, &[0; 4096], as_is),
            "FooterHead.@0 Blank",
        ),
    ]
}
