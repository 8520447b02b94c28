//! Which label counts: the cases that a start is held to as well.

#[path = "../../../appliance/format/tests/shared/label_cases.rs"]
mod label_cases;
mod support;

use std::time::Duration;

use label_cases::{CASES, Case, Expected, block, rings};
use stele_format::label::LabelCopy;
use stele_format::limits::{LABEL_RING_BLOCKS, LABEL_RING_FIRST};
use stele_format::units::DiskId;
use stele_inspect::choice::choose;
use stele_inspect::labels::{DiskLabels, read_labels};
use support::{Vault, disk_id, geometry};

/// A pool whose disks show what the case says, and which of them are here.
fn vault_of(case: &Case) -> (Vault, Vec<usize>) {
    let mut vault = Vault::blank(case.disks.len());
    let of = vault.label_of(0, &|_| {});
    let mut here = Vec::new();
    for (number, ring) in rings(case, &of, disk_id).iter().enumerate() {
        for copy in LabelCopy::ALL {
            for slot in LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS {
                let at = geometry().label_block_offset(copy, slot);
                vault.put(number, at.get(), &[0; 4096]);
            }
        }
        for label in ring {
            for copy in LabelCopy::ALL {
                let at = label.place(&geometry(), copy).offset;
                let bytes = block((case, number), label, &geometry(), copy);
                vault.put(number, at.get(), &bytes);
            }
        }
        here.extend((!case.disks[number].is_empty()).then_some(number));
    }
    (vault, here)
}

fn ids(numbers: &[usize]) -> Vec<DiskId> {
    numbers.iter().map(|number| disk_id(*number)).collect()
}

#[test]
fn the_label_that_counts_is_that_of_the_table() {
    for case in CASES {
        let (vault, here) = vault_of(case);
        let sources = vault.sources_of(&here);
        let read = |source: &Box<_>| read_labels(Box::as_ref(source), Duration::ZERO).unwrap();
        let labels: Vec<DiskLabels> = sources.iter().map(read).collect();
        let labels: Vec<&DiskLabels> = labels.iter().collect();
        let choice = choose(&labels);
        match case.expected {
            Expected::CannotTell { missing } => {
                assert_eq!(choice.telling(&labels), ids(missing), "{}", case.what);
            }
            Expected::Counts {
                generation,
                take_part,
                ..
            } => {
                assert_eq!(choice.labels.len(), 1, "{}", case.what);
                let counts = choice.labels[0].generation.get();
                assert_eq!(counts, generation, "{}", case.what);
                let takes_part = |disk: &&DiskLabels| {
                    let whole =
                        choice.reached(disk) >= choice.in_force && !choice.is_left_behind(disk);
                    choice.is_active(disk.disk()) && whole
                };
                let active = labels.iter().copied().filter(|disk| takes_part(disk));
                let active: Vec<DiskId> = active.map(DiskLabels::disk).collect();
                assert_eq!(active, ids(take_part), "{}", case.what);
            }
        }
    }
}

#[test]
fn where_nobody_can_tell_the_report_says_which_disks_would() {
    for case in CASES {
        let (vault, here) = vault_of(case);
        let notes = vault.verify_disks(&here).notes.join("; ");
        let told = notes.contains("would tell which one counts");
        match case.expected {
            Expected::Counts { .. } => assert!(!told, "{}: {notes}", case.what),
            Expected::CannotTell { missing } => {
                assert!(told, "{}: {notes}", case.what);
                for disk in ids(missing) {
                    assert!(notes.contains(&disk.to_string()), "{notes}");
                }
            }
        }
    }
}
