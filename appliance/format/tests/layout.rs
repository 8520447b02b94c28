//! The layout, printed and compared: a change of any offset shows in the snapshot, and FORMAT.md
//! must say the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

use std::fmt::Write;

use stele_format::limits;
use stele_format::record::RecordType;
use stele_format::structures;

const SPECIFICATION: &str = include_str!("../FORMAT.md");

/// Rows of the first table after a heading line, cells trimmed of spaces and back-quotes.
fn table(heading: &str) -> Vec<Vec<String>> {
    let found = SPECIFICATION.lines().skip_while(|line| *line != heading);
    assert!(
        found.clone().next().is_some(),
        "FORMAT.md has no heading {heading:?}"
    );
    let rows = found.skip(1).take_while(|line| !line.starts_with('#'));
    let rows = rows
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|l| l.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_layout_is_the_one_last_looked_at() {
    let mut text = String::new();
    for structure in structures() {
        writeln!(text, "{} ({} bytes)", structure.name, structure.bytes).unwrap();
        for field in structure.fields {
            writeln!(
                text,
                "{:>6} {:>6} {}",
                field.offset, field.bytes, field.name
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn fields_follow_each_other_without_gaps() {
    for structure in structures() {
        let mut end = 0;
        for field in structure.fields {
            assert_eq!(field.offset, end, "{}.{}", structure.name, field.name);
            end += field.bytes;
        }
        assert_eq!(end, structure.bytes, "{}", structure.name);
    }
}

#[test]
fn the_specification_has_the_same_layout() {
    for structure in structures() {
        let heading = format!("### {} ({} bytes)", structure.name, structure.bytes);
        let written: Vec<_> = table(&heading)
            .into_iter()
            .map(|row| row[..3].to_vec())
            .collect();
        let real: Vec<_> = structure
            .fields
            .iter()
            .map(|f| vec![f.offset.to_string(), f.bytes.to_string(), f.name.to_owned()])
            .collect();
        assert_eq!(written, real, "{heading}");
    }
}

#[test]
fn the_specification_has_the_same_record_types() {
    let written: Vec<_> = table("## Record types")
        .into_iter()
        .map(|row| row[..2].to_vec())
        .collect();
    let real: Vec<_> = RecordType::ALL
        .iter()
        .map(|kind| vec![kind.get().to_string(), format!("{kind:?}")])
        .collect();
    assert_eq!(written, real);
}

#[test]
fn the_specification_gives_away_no_number_twice() {
    let known = RecordType::ALL.iter().map(|kind| kind.get());
    let next = known.max().unwrap() + 1;
    let free = format!("numbers 23 to 31 and {next} to 32767");
    assert!(SPECIFICATION.contains(&free), "{free}");
    let taken = |number: &u16| RecordType::ALL.iter().any(|kind| kind.get() == *number);
    assert_eq!((23..=31).find(taken), None);
}

#[test]
fn the_specification_has_the_same_limits() {
    let real = [
        ("UNIT_BYTES_MIN", u64::from(limits::UNIT_BYTES_MIN)),
        ("UNIT_BYTES", limits::UNIT_BYTES.into()),
        ("FRAME_BYTES_MAX", limits::FRAME_BYTES_MAX.into()),
        ("FRAME_RECORDS_MAX", limits::FRAME_RECORDS_MAX.into()),
        ("CLEAR_BYTES_MAX", limits::CLEAR_BYTES_MAX.into()),
        (
            "ATTACHMENTS_MAX",
            u64::try_from(limits::ATTACHMENTS_MAX).unwrap(),
        ),
        (
            "CHUNK_PLAIN_BYTES_MAX",
            limits::CHUNK_PLAIN_BYTES_MAX.into(),
        ),
        (
            "INLINE_BODY_BYTES_MAX",
            limits::INLINE_BODY_BYTES_MAX.into(),
        ),
        ("MANIFEST_BYTES_MAX", limits::MANIFEST_BYTES_MAX.into()),
        (
            "BUCKET_RULES_MAX",
            u64::try_from(limits::BUCKET_RULES_MAX).unwrap(),
        ),
        (
            "LIFECYCLE_RULES_MAX",
            u64::try_from(limits::LIFECYCLE_RULES_MAX).unwrap(),
        ),
        (
            "RULE_ID_BYTES_MAX",
            u64::try_from(limits::RULE_ID_BYTES_MAX).unwrap(),
        ),
        (
            "KEY_BYTES_MAX",
            u64::try_from(limits::KEY_BYTES_MAX).unwrap(),
        ),
        ("OBJECT_BYTES_MAX", limits::OBJECT_BYTES_MAX),
        ("PART_NUMBER_MAX", limits::PART_NUMBER_MAX.into()),
        ("LABEL_COPY_BYTES", limits::LABEL_COPY_BYTES.into()),
        ("KEYSTATE_COPY_BYTES", limits::KEYSTATE_COPY_BYTES.into()),
        (
            "KEYSTATE_COPY_BYTES_MIN",
            limits::KEYSTATE_COPY_BYTES_MIN.into(),
        ),
        ("MEMBERS_MAX", u64::try_from(limits::MEMBERS_MAX).unwrap()),
        ("CUTOFFS_MAX", u64::try_from(limits::CUTOFFS_MAX).unwrap()),
        ("COPIES_MAX", u64::try_from(limits::COPIES_MAX).unwrap()),
        (
            "FRONTIER_NODES_MAX",
            u64::try_from(limits::FRONTIER_NODES_MAX).unwrap(),
        ),
        ("LOG_RECORDS_MAX", limits::LOG_RECORDS_MAX),
        ("ATTEMPTS_MAX", u64::try_from(limits::ATTEMPTS_MAX).unwrap()),
        (
            "FINGERPRINT_BYTES_MAX",
            u64::try_from(limits::FINGERPRINT_BYTES_MAX).unwrap(),
        ),
        ("COUNTING_MAX", limits::COUNTING_MAX),
        ("EPOCH_MAX", limits::EPOCH_MAX.into()),
        ("CLOCK_HOURS_MAX", limits::CLOCK_HOURS_MAX),
        ("OPENING_MAX", limits::OPENING_MAX.into()),
        (
            "LOST_SPANS_MAX",
            u64::try_from(limits::LOST_SPANS_MAX).unwrap(),
        ),
        (
            "CBOR_DEPTH_MAX",
            u64::try_from(limits::CBOR_DEPTH_MAX).unwrap(),
        ),
        (
            "STATEMENT_BYTES_MAX",
            u64::try_from(limits::STATEMENT_BYTES_MAX).unwrap(),
        ),
        (
            "SIGNATURE_BYTES_MAX",
            u64::try_from(limits::SIGNATURE_BYTES_MAX).unwrap(),
        ),
        (
            "STATEMENT_SIGNATURES_MAX",
            u64::try_from(limits::STATEMENT_SIGNATURES_MAX).unwrap(),
        ),
        (
            "SCOPE_ENTRIES_MAX",
            u64::try_from(limits::SCOPE_ENTRIES_MAX).unwrap(),
        ),
        ("SCOPE_PIECES_MAX", limits::SCOPE_PIECES_MAX.into()),
        (
            "STATEMENT_WORD_CHARS_MAX",
            u64::try_from(limits::STATEMENT_WORD_CHARS_MAX).unwrap(),
        ),
        (
            "STATEMENT_CLIENT_CHARS_MAX",
            u64::try_from(limits::STATEMENT_CLIENT_CHARS_MAX).unwrap(),
        ),
        (
            "WITNESS_NAME_CHARS_MAX",
            u64::try_from(limits::WITNESS_NAME_CHARS_MAX).unwrap(),
        ),
        (
            "PERSON_KEYS_MAX",
            u64::try_from(limits::PERSON_KEYS_MAX).unwrap(),
        ),
    ];
    let written: Vec<_> = table("## Limits")
        .into_iter()
        .map(|row| row[..2].to_vec())
        .collect();
    let real: Vec<_> = real
        .iter()
        .map(|(name, value)| vec![(*name).to_owned(), value.to_string()])
        .collect();
    assert_eq!(written, real);
}

/// Every golden file the specification names exists, and every target is named.
#[test]
fn the_specification_names_real_test_vectors() {
    let golden =
        std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/golden");
    let rows = table("## Test vectors");
    for (target, _) in stele_format::fuzz::TARGETS {
        assert!(
            rows.iter().any(|row| row[0] == *target),
            "{target} is not named"
        );
    }
    for row in rows {
        for file in row[2].split(',').map(|file| file.trim().trim_matches('`')) {
            let found = ["valid", "invalid"]
                .iter()
                .any(|f| golden.join(f).join(file).exists());
            assert!(found, "{file} does not exist");
        }
    }
}
