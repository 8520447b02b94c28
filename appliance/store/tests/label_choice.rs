//! Which label counts, and whether a start writes then: the cases that the verifier is held to as well.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../format/tests/shared/label_cases.rs"]
mod label_cases;
mod support;

use label_cases::{CASES, Case, Expected, rings};
use stele_format::label::{DynamicLabel, LabelCopy, LabelReading};
use stele_format::limits::{LABEL_RING_BLOCKS, LABEL_RING_FIRST};
use stele_format::units::DiskId;
use stele_store::recovery::{Choice, DiskVerdict, OpenError, choose, read_label};
use stele_store::request::ReadOnlyReason;
use support::Rig;

/// A pool whose disks show what the case says.
fn rig_of(case: &Case) -> Rig {
    let mut rig = Rig::create(case.disks.len());
    rig.start().stop();
    let readings: Vec<LabelReading> = readings(&rig);
    let ids: Vec<DiskId> = readings.iter().map(|reading| reading.fixed.disk).collect();
    let of = readings[0].dynamic.clone().unwrap();
    let rings = rings(case, &of, |number| ids[number]);
    for (number, ring) in rings.iter().enumerate() {
        if case.disks[number].is_empty() {
            rig.handles[number] = None;
            continue;
        }
        write_ring(&rig, number, &readings[number], ring);
    }
    rig
}

fn readings(rig: &Rig) -> Vec<LabelReading> {
    let here = rig.handles.iter().flatten();
    here.map(|handle| read_label(&mut handle.open()).unwrap())
        .collect()
}

/// These labels and no others.
fn write_ring(rig: &Rig, number: usize, reading: &LabelReading, ring: &[DynamicLabel]) {
    let handle = rig.handles[number].as_ref().unwrap();
    let geometry = reading.fixed.geometry;
    for copy in LabelCopy::ALL {
        for block in LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS {
            let at = geometry.label_block_offset(copy, block);
            handle.tamper(at.get(), &[0; 4096]);
        }
        for label in ring {
            let at = label.place(&geometry, copy).offset;
            handle.tamper(at.get(), &label.encode(&geometry, copy).unwrap());
        }
    }
}

/// Disks by their place in the case.
fn place_of(case: &Case, rig: &Rig, disk: DiskId) -> usize {
    let ids = readings(rig).into_iter().map(|reading| reading.fixed.disk);
    let here = (0..case.disks.len()).filter(|number| rig.handles[*number].is_some());
    here.zip(ids).find(|(_, id)| *id == disk).unwrap().0
}

#[test]
fn the_label_that_counts_is_that_of_the_table() {
    for case in CASES {
        let rig = rig_of(case);
        let readings = readings(&rig);
        let found = choose(&readings.iter().collect::<Vec<_>>());
        match (case.expected, found) {
            (
                Expected::Counts {
                    generation,
                    take_part,
                    ..
                },
                Choice::One(membership),
            ) => {
                assert_eq!(
                    membership.label.generation.get(),
                    generation,
                    "{}",
                    case.what
                );
                let takes_part = readings
                    .iter()
                    .filter(|reading| membership.takes_part(reading.fixed.disk, Some(reading)));
                let places: Vec<usize> = takes_part
                    .map(|reading| place_of(case, &rig, reading.fixed.disk))
                    .collect();
                assert_eq!(places, take_part, "{}", case.what);
            }
            (Expected::CannotTell { missing }, Choice::CannotTell { missing: names }) => {
                let count = names.split(", ").count();
                assert_eq!(count, missing.len(), "{}: {names}", case.what);
            }
            (_, found) => panic!("{}: {found:?}", case.what),
        }
    }
}

#[test]
fn a_start_writes_where_the_table_says_so() {
    for case in CASES {
        let mut rig = rig_of(case);
        let vault = match (rig.try_start(), case.expected) {
            (Ok(vault), _) => vault,
            (Err(OpenError::NoIndexDisk { .. }), Expected::Counts { write: false, .. }) => continue,
            (Err(OpenError::TwoMemberships { .. }), Expected::CannotTell { .. }) => continue,
            (Err(error), _) => panic!("{}: {error}", case.what),
        };
        let Expected::Counts {
            take_part, write, ..
        } = case.expected
        else {
            panic!("{}: it opened", case.what)
        };
        let disks = vault.report.disks.iter();
        let active = disks.filter(|disk| disk.verdict == DiskVerdict::Active);
        assert_eq!(active.count(), take_part.len(), "{}", case.what);
        match vault.engine.status().read_only {
            // The disks that are away may have the journal's last frames.
            Some(ReadOnlyReason::JournalDamaged { .. }) => {}
            read_only => assert_eq!(read_only.is_none(), write, "{}: {read_only:?}", case.what),
        }
    }
}
