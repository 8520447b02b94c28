//! Which label counts, and whether a start writes then: the cases that the verifier is held to as well.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../format/tests/shared/label_cases.rs"]
mod label_cases;
mod support;

use label_cases::{CASES, Case, Expected, block, rings};
use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::Loss;
use stele_format::label::{DynamicLabel, LabelCopy, LabelReading, MemberState as LabelState};
use stele_format::limits::{LABEL_RING_BLOCKS, LABEL_RING_FIRST};
use stele_format::units::DiskId;
use stele_store::pool::MemberState as PoolState;
use stele_store::recovery::{Choice, DiskVerdict, OpenError, choose, read_label};
use stele_store::request::ReadOnlyReason;
use support::{DISK_BYTES, Rig};

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
        write_ring(&rig, (case, number), &readings[number], ring);
    }
    rig
}

fn readings(rig: &Rig) -> Vec<LabelReading> {
    let here = rig.handles.iter().flatten();
    here.map(|handle| read_label(&mut handle.open()).unwrap())
        .collect()
}

/// These labels and no others.
fn write_ring(rig: &Rig, of: (&Case, usize), reading: &LabelReading, ring: &[DynamicLabel]) {
    let handle = rig.handles[of.1].as_ref().unwrap();
    let geometry = reading.fixed.geometry;
    for copy in LabelCopy::ALL {
        for slot in LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS {
            let at = geometry.label_block_offset(copy, slot);
            handle.tamper(at.get(), &[0; 4096]);
        }
        for label in ring {
            let at = label.place(&geometry, copy).offset;
            handle.tamper(at.get(), &block(of, label, &geometry, copy));
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

/// A vault of three disks that is adding a fourth.
struct Adding {
    rig: Rig,
    added: SimDiskHandle,
    /// The three disks as they were one start before.
    earlier: Vec<SimSnapshot>,
}

impl Adding {
    /// After a cut so many steps of the machine after that disk was plugged in, or when it is done; with the steps.
    fn cut_after(steps: Option<u64>) -> (Adding, u64) {
        let mut rig = Rig::create(3);
        rig.start().stop();
        let earlier = rig.handles.iter().flatten().map(SimDiskHandle::snapshot);
        let earlier = earlier.collect();
        rig.start().stop();
        let mut vault = rig.start();
        let added = SimDiskHandle::with("added", DISK_BYTES, 61, &rig.power);
        vault.attach(None, &added).unwrap();
        let from = rig.power.steps();
        steps
            .into_iter()
            .for_each(|steps| rig.power.cut_after(steps));
        for _ in 0..10_000 {
            let state = vault.engine.status().disks[3].state;
            if !rig.power.is_on() || state == PoolState::Active {
                break;
            }
            vault.turn();
        }
        let took = rig.power.steps() - from;
        drop(vault);
        rig.power.restore();
        let others = rig.handles.iter().flatten();
        others.for_each(|disk| disk.crash(Loss::Nothing));
        added.crash(Loss::All);
        let adding = Adding {
            rig,
            added,
            earlier,
        };
        (adding, took)
    }

    /// The label that calls the fourth disk active, if the others have it.
    fn label(&self) -> Option<DynamicLabel> {
        let others = readings(&self.rig).into_iter();
        let newest = others.map(|reading| reading.dynamic.unwrap());
        let active = |label: &DynamicLabel| {
            let mut members = label.members.iter().skip(3);
            members.any(|member| member.state == LabelState::Active)
        };
        let newest: Option<Vec<_>> = newest
            .map(|label| active(&label).then_some(label))
            .collect();
        newest?.pop()
    }

    /// After a cut when the others have that label and the fourth disk is being given it.
    fn cut_at_its_label() -> Adding {
        let (mut few, mut enough) = (0, Adding::cut_after(None).1);
        while few < enough {
            let steps = few.midpoint(enough);
            match Adding::cut_after(Some(steps)).0.label() {
                Some(_) => enough = steps,
                None => few = steps + 1,
            }
        }
        Adding::cut_after(Some(enough)).0
    }
}

#[test]
fn a_vault_writes_after_a_cut_in_the_first_label_of_an_added_disk_with_another_one_out_of_date() {
    for put_back in 0..3 {
        let mut adding = Adding::cut_at_its_label();
        let reading = read_label(&mut adding.added.open()).unwrap();
        assert!(reading.ring.is_empty(), "nothing of it was durable");
        let geometry = reading.fixed.geometry;
        let label = DynamicLabel {
            disk: reading.fixed.disk,
            ..adding.label().unwrap()
        };
        for copy in LabelCopy::FIRST_PAIR {
            let bytes = label.encode(&geometry, copy).unwrap();
            let at = label.place(&geometry, copy).offset.get();
            adding.added.tamper(at, &bytes[..512]);
        }
        let rig = &mut adding.rig;
        let old = rig.handles[put_back].as_ref().unwrap();
        old.restore(&adding.earlier[put_back]);
        rig.handles.push(Some(adding.added));
        let vault = rig.start();
        let status = vault.engine.status();
        assert_eq!(status.read_only, None, "disk {put_back} was put back");
        let disks = vault.report.disks.iter();
        let active = disks.filter(|disk| disk.verdict == DiskVerdict::Active);
        assert_eq!(active.count(), 2, "{:?}", vault.report.disks);
    }
}
