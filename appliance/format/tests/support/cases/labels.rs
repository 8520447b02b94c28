//! Labels and key state.

use stele_format::fuzz::{refit_block, refit_wipe_mark};
use stele_format::keystate::{KeyStateExpectation, KeyStateHeader};
use stele_format::label::LabelCopy;
use stele_format::units::Generation;

use super::{Case, as_is, invalid, poked, valid};
use crate::support::{
    DISK, DISK_B, KEY_STATE_PLACE, POOL, dynamic_label, geometry, key_state, static_label,
    wipe_mark,
};

pub fn cases() -> Vec<Case> {
    let mut all = fixed();
    all.extend(dynamic());
    all.extend(wipes());
    all.extend(copies());
    all.extend(key_states());
    all
}

fn fixed() -> Vec<Case> {
    let good = static_label().encode(LabelCopy::B, 1);
    let elsewhere = static_label().encode(LabelCopy::A, 1);
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("static-label-{name}"),
            poked(&good, at, with, refit_block),
            expected,
        )
    };
    vec![
        valid("static-label", good),
        invalid("static-label-blank", [0; 4096], "StaticLabel.@0 Blank"),
        invalid("static-label-short", &good[..4095], "StaticLabel.@0 Short"),
        invalid(
            "static-label-long",
            [&good[..], &[0]].concat(),
            "StaticLabel.@0 Long",
        ),
        case("magic", 0, b"STELEDYN", "StaticLabel.magic@0 Magic"),
        case("newer-version", 8, &[2], "StaticLabel.version@8 Version"),
        invalid(
            "static-label-flipped-bit",
            poked(&good, 60, &[0x41], as_is),
            "StaticLabel.digest@4064 Digest",
        ),
        case("copy-4", 10, &[4], "StaticLabel.copy@10 Value"),
        case("block-2", 12, &[2], "StaticLabel.block@12 Value"),
        case(
            "reserved-front",
            14,
            &[1],
            "StaticLabel.reserved_a@14 Reserved",
        ),
        case("own-offset", 16, &[0x10], "StaticLabel.own_offset@16 Value"),
        case("no-pool", 24, &[0; 16], "StaticLabel.pool@24 Value"),
        case("no-disk", 40, &[0; 16], "StaticLabel.disk@40 Value"),
        case("unknown-flag", 60, &[0x80], "StaticLabel.flags@60 Value"),
        case(
            "disk-too-small",
            64,
            &[0, 0, 0x10, 0],
            "StaticLabel.disk_bytes@64 Value",
        ),
        case(
            "unit-not-power-of-two",
            72,
            &[0, 0x10, 1],
            "StaticLabel.disk_bytes@64 Value",
        ),
        case("unit-count", 84, &[1], "StaticLabel.unit_count@84 Value"),
        case(
            "index-offset",
            88,
            &[0, 0, 1],
            "StaticLabel.index_offset@88 Value",
        ),
        case(
            "extents-offset",
            104,
            &[0, 0, 1],
            "StaticLabel.extents_offset@104 Value",
        ),
        case(
            "unknown-incompat",
            128,
            &[3],
            "StaticLabel.features_incompat@128 Feature",
        ),
        case(
            "not-draft",
            128,
            &[0],
            "StaticLabel.features_incompat@128 Feature",
        ),
        valid(
            "static-label-unknown-ro-compat",
            poked(&good, 120, &[1], refit_block),
        ),
        valid(
            "static-label-unknown-compat",
            poked(&good, 112, &[1], refit_block),
        ),
        case(
            "reserved-end",
            4063,
            &[1],
            "StaticLabel.reserved_b@144 Reserved",
        ),
        invalid(
            "static-label-misplaced",
            elsewhere,
            "Misplaced { claimed: ByteOffset(4096), read_from: ByteOffset(266240) }",
        ),
    ]
}

fn dynamic() -> Vec<Case> {
    let good = dynamic_label(63).encode(&geometry(), LabelCopy::C).unwrap();
    let other = dynamic_label(63).encode(&geometry(), LabelCopy::D).unwrap();
    let older = dynamic_label(3).encode(&geometry(), LabelCopy::C).unwrap();
    let torn = [&good[..512], &older[512..]].concat();
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("dynamic-label-{name}"),
            poked(&good, at, with, refit_block),
            expected,
        )
    };
    vec![
        valid("dynamic-label", good),
        invalid("dynamic-label-blank", [0; 4096], "DynamicLabel.@0 Blank"),
        invalid(
            "dynamic-label-torn",
            torn,
            "DynamicLabel.digest@4064 Digest",
        ),
        case("magic", 0, b"STELELBL", "DynamicLabel.magic@0 Magic"),
        case("newer-version", 8, &[2], "DynamicLabel.version@8 Version"),
        case("copy-4", 10, &[4], "DynamicLabel.copy@10 Value"),
        case("wrong-slot", 12, &[4], "DynamicLabel.slot@12 Value"),
        case(
            "reserved-front",
            14,
            &[1],
            "DynamicLabel.reserved_a@14 Reserved",
        ),
        case("no-pool", 24, &[0; 16], "DynamicLabel.pool@24 Value"),
        case("no-disk", 40, &[0; 16], "DynamicLabel.disk@40 Value"),
        case(
            "epoch-21-bits",
            88,
            &[0, 0, 0x10],
            "DynamicLabel.epoch@88 Limit",
        ),
        case("unknown-flag", 96, &[8], "DynamicLabel.flags@96 Value"),
        case(
            "33-members",
            100,
            &[33],
            "DynamicLabel.member_count@100 Limit",
        ),
        case(
            "33-cutoffs",
            102,
            &[33],
            "DynamicLabel.cutoff_count@102 Limit",
        ),
        case(
            "member-state-6",
            120,
            &[6],
            "DynamicLabel.members@104 Value",
        ),
        case(
            "member-voter-2",
            121,
            &[2],
            "DynamicLabel.members@104 Value",
        ),
        case(
            "member-reserved",
            122,
            &[1],
            "DynamicLabel.members@104 Reserved",
        ),
        case(
            "member-twice",
            136,
            &DISK.to_bytes(),
            "DynamicLabel.members@104 Value",
        ),
        case(
            "unused-member",
            200,
            &[1],
            "DynamicLabel.members@104 Reserved",
        ),
        case(
            "cutoffs-out-of-order",
            1128 + 48,
            &[1],
            "DynamicLabel.cutoffs@1128 Value",
        ),
        case(
            "cutoff-reserved",
            1132,
            &[1],
            "DynamicLabel.cutoffs@1128 Reserved",
        ),
        case(
            "unused-cutoff",
            1128 + 96,
            &[9],
            "DynamicLabel.cutoffs@1128 Reserved",
        ),
        case(
            "in-force-not-lower",
            2664,
            &[63],
            "DynamicLabel.in_force@2664 Value",
        ),
        case(
            "reserved-end",
            2672,
            &[1],
            "DynamicLabel.reserved_b@2672 Reserved",
        ),
        case(
            "other-disk",
            40,
            &DISK_B.to_bytes(),
            "Foreign { pool: PoolId(11111111111111111111111111111111), \
             disk: DiskId(22222222222222222222222222222222) }",
        ),
        invalid(
            "dynamic-label-misplaced",
            other,
            "Misplaced { claimed: ByteOffset(8146944), read_from: ByteOffset(7884800) }",
        ),
    ]
}

/// Copy A up to ring slot 6, the rest is zero: two static blocks and generations 60 to 63.
fn label_copy() -> Vec<u8> {
    let mut copy = vec![0; 9 * 4096];
    for block in 0..2 {
        let at = usize::from(block) * 4096;
        copy[at..at + 4096].copy_from_slice(&static_label().encode(LabelCopy::A, block));
    }
    for generation in 60..64 {
        let label = dynamic_label(generation);
        let at = usize::from(label.block()) * 4096;
        let block = label.encode(&geometry(), LabelCopy::A).unwrap();
        copy[at..at + 4096].copy_from_slice(&block);
    }
    copy
}

fn wipes() -> Vec<Case> {
    let good = wipe_mark().encode(LabelCopy::D);
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("wipe-mark-{name}"),
            poked(&good, at, with, refit_wipe_mark),
            expected,
        )
    };
    vec![
        valid("wipe-mark", good),
        case("magic", 0, b"STELELBL", "WipeMark.magic@0 Magic"),
        invalid(
            "wipe-mark-flipped-bit",
            poked(&good, 57, &[1], as_is),
            "WipeMark.digest@480 Digest",
        ),
        case("copy-b", 10, &[1], "WipeMark.copy@10 Value"),
        case("own-offset", 16, &[0x10], "WipeMark.own_offset@16 Value"),
        case("no-pool", 24, &[0; 16], "WipeMark.pool@24 Value"),
        case("no-disk", 40, &[0; 16], "WipeMark.disk@40 Value"),
        case("request", 63, &[0x80], "WipeMark.request@56 Limit"),
        case("no-geometry", 96, &[0; 8], "WipeMark.disk_bytes@96 Value"),
        case(
            "reserved-middle",
            479,
            &[1],
            "WipeMark.reserved_b@124 Reserved",
        ),
        case(
            "reserved-end",
            4095,
            &[1],
            "WipeMark.reserved_c@512 Reserved",
        ),
        invalid(
            "wipe-mark-misplaced",
            wipe_mark().encode(LabelCopy::A),
            "Misplaced { claimed: ByteOffset(0), read_from: ByteOffset(8126464) }",
        ),
    ]
}

fn copies() -> Vec<Case> {
    let good = label_copy();
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("label-copy-{name}"),
            poked(&good, at, with, as_is),
            expected,
        )
    };
    let mut differs = static_label();
    differs.disk_count = 4;
    vec![
        valid("label-copy", good.clone()),
        invalid("label-copy-blank", vec![0; 8192], "Unlabelled"),
        case(
            "newest-slot-damaged",
            5 * 4096 + 100,
            &[0xff],
            "block 5: DynamicLabel.digest@4064 Digest",
        ),
        case(
            "one-static-lost",
            0,
            &[0; 4096],
            "block 0: StaticLabel.@0 Blank",
        ),
        case("both-static-lost", 0, &[0xff; 8192], "NoStatic"),
        case(
            "static-conflict",
            4096,
            &differs.encode(LabelCopy::A, 1),
            "StaticConflict",
        ),
        case(
            "misdirected-write",
            6 * 4096,
            &dynamic_label(63).encode(&geometry(), LabelCopy::A).unwrap(),
            "block 6: Misplaced { claimed: ByteOffset(20480), read_from: ByteOffset(24576) }",
        ),
    ]
}

fn key_states() -> Vec<Case> {
    let good = key_state();
    let case = |name: &str, at: usize, with: &[u8], expected: &str| {
        invalid(
            &format!("key-state-{name}"),
            poked(&good, at, with, refit_block),
            expected,
        )
    };
    let place = KeyStateExpectation {
        disk: DISK_B,
        ..KEY_STATE_PLACE
    };
    let other = KeyStateHeader::encode(place, Generation::new(4), &[7; 10]).unwrap();
    assert_eq!(place.pool, POOL);
    vec![
        valid("key-state", good.clone()),
        invalid("key-state-blank", vec![0; 8192], "KeyStateHeader.@0 Blank"),
        case("magic", 0, b"STELELBL", "KeyStateHeader.magic@0 Magic"),
        case("newer-version", 8, &[2], "KeyStateHeader.version@8 Version"),
        invalid(
            "key-state-flipped-bit",
            poked(&good, 50, &[1], as_is),
            "KeyStateHeader.digest@4064 Digest",
        ),
        case("copy-2", 10, &[2], "KeyStateHeader.copy@10 Value"),
        case(
            "empty-body",
            12,
            &[0; 4],
            "KeyStateHeader.body_bytes@12 Value",
        ),
        case(
            "body-too-long",
            12,
            &[0xff; 4],
            "KeyStateHeader.body_bytes@12 Limit",
        ),
        case(
            "reserved-front",
            56,
            &[1],
            "KeyStateHeader.reserved_a@56 Reserved",
        ),
        case(
            "reserved-end",
            96,
            &[1],
            "KeyStateHeader.reserved_b@96 Reserved",
        ),
        invalid(
            "key-state-torn-body",
            poked(&good, 8192, &[0; 904], as_is),
            "Body",
        ),
        invalid("key-state-body-cut", &good[..8192], "Body"),
        invalid(
            "key-state-padding",
            poked(&good, 4096 + 5000, &[1], as_is),
            "Body",
        ),
        invalid(
            "key-state-other-disk",
            other,
            "Foreign { pool: PoolId(11111111111111111111111111111111), \
             disk: DiskId(22222222222222222222222222222222), copy: 0 }",
        ),
        case(
            "other-copy",
            10,
            &[1],
            "Foreign { pool: PoolId(11111111111111111111111111111111), \
             disk: DiskId(21212121212121212121212121212121), copy: 1 }",
        ),
    ]
}
