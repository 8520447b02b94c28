//! A vault that was forced open, as the verifier and the auditor see it from the disks.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../../appliance/format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "../../../appliance/store/tests/destruction/forcing.rs"]
mod forcing;
#[path = "shared/image.rs"]
mod image;
#[path = "../../../appliance/store/tests/support/mod.rs"]
mod support;
#[path = "../../../appliance/store/tests/destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the world")]
mod world;

use std::time::Duration;

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_format::frame::FrameHeader;
use stele_format::statement::{Act, Cut, Verb};
use stele_inspect::audit::audit;
use stele_inspect::audit::report::AuditReport;
use stele_inspect::verify;
use stele_store::pool::MemberState;

use crate::forcing::{force, order};
use crate::image::images;
use crate::support::steps::turns;
use crate::support::{DISK_BYTES, Rig, Running, name};
use crate::world::{
    DAY_MS, founded, list, person, put, request, ripe, say, tombstone, view, work_off,
};

/// Disks are whole and the log is lawful.
fn is_clean(rig: &Rig, what: &str) -> AuditReport {
    let images = images(rig);
    let report = verify(&images, Duration::ZERO).unwrap();
    assert!(report.damage.is_empty(), "{what}: {:#?}", report.damage);
    let report = audit(&images, Duration::ZERO).unwrap();
    assert!(report.unlawful.is_empty(), "{what}: {:#?}", report.unlawful);
    assert!(
        report.undecided.is_empty(),
        "{what}: {:#?}",
        report.undecided
    );
    assert!(!report.records_missing, "{what}");
    report
}

/// Three disks with people and content, stopped in order.
fn three() -> (Rig, Running) {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    put(&mut vault, &name("b", "small"), 1, 300, 1);
    put(&mut vault, &name("b", "large"), 2, 1_500_000, 1);
    (rig, vault)
}

fn stop(rig: &mut Rig, mut vault: Running) {
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
}

#[test]
fn a_forced_opening_is_lawful_and_whole_at_every_stage() {
    let (mut rig, vault) = three();
    stop(&mut rig, vault);
    is_clean(&rig, "before");
    let lost = [rig.handles[1].take(), rig.handles[2].take()];
    let order = order(&mut rig);
    is_clean(&rig, "looked at");
    let mut vault = force(&mut rig, &order).unwrap();
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    request(&mut vault, suspend, "sara").unwrap();
    stop(&mut rig, vault);
    let report = is_clean(&rig, "forced open");
    let [opening] = report.openings.as_slice() else {
        panic!("{:?}", report.openings)
    };
    assert_eq!((opening.opening, opening.left.len()), (1, 2));
    // Those that were left behind are there again.
    for (at, disk) in (1..).zip(&lost) {
        rig.handles[at].clone_from(disk);
    }
    is_clean(&rig, "left behind");
    let mut vault = rig.start();
    for number in [2_u16, 3] {
        let fresh = SimDiskHandle::new(DISK_BYTES, 70 + u64::from(number));
        vault.attach(Some(number), &fresh).unwrap();
        vault.until("the disk takes part", |engine| {
            let disks = engine.status().disks;
            disks[usize::from(number) - 1].state == MemberState::Active
        });
        turns(&mut vault);
        rig.handles[usize::from(number) - 1] = Some(fresh);
        let object = name("b", &format!("with {number}"));
        put(&mut vault, &object, usize::from(number), 900_000, 1);
    }
    stop(&mut rig, vault);
    let report = is_clean(&rig, "healed");
    assert_eq!(report.openings.len(), 1);
}

#[test]
fn a_forced_opening_that_was_cut_at_any_step_is_no_damage_and_no_breach() {
    let forced = |cut: Option<u64>| {
        let (mut rig, vault) = three();
        stop(&mut rig, vault);
        let _lost = [rig.handles[1].take(), rig.handles[2].take()];
        let order = order(&mut rig);
        let from = rig.power.steps();
        if let Some(cut) = cut {
            rig.power.cut_after(cut);
        }
        drop(force(&mut rig, &order));
        let steps = rig.power.steps() - from;
        let disks = rig.handles.iter().flatten();
        disks.for_each(|disk| disk.crash(Loss::Seeded));
        rig.power.restore();
        (rig, steps)
    };
    let (_, steps) = forced(None);
    let mut seen = [0; 2];
    for cut in 0..steps {
        let (mut rig, _) = forced(Some(cut));
        let what = format!("cut after {cut} of {steps}");
        let report = is_clean(&rig, &what);
        seen[report.openings.len()] += 1;
        // The vault itself reads the same.
        let people = view(&mut rig.start());
        assert_eq!(people.openings.len(), report.openings.len(), "{what}");
    }
    assert!(seen[0] > 10 && seen[1] > 10, "{seen:?}");
}

#[test]
fn what_the_vault_does_after_seven_days_is_lawful_and_no_sooner() {
    let (mut rig, mut vault) = three();
    let doomed = put(&mut vault, &name("b", "doomed"), 5, 300, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let executed = ripe(&mut vault, erase.clone());
    say(&mut vault, Verb::Execute, executed, "oona").unwrap();
    let open = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    stop(&mut rig, vault);
    let _lost = [rig.handles[1].take(), rig.handles[2].take()];
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    assert!(tombstone(&mut vault, executed, 0).is_err());
    vault.sleep(7 * DAY_MS);
    work_off(&mut vault, executed).unwrap();
    stop(&mut rig, vault);
    let mut vault = rig.start();
    turns(&mut vault);
    stop(&mut rig, vault);
    let report = is_clean(&rig, "destroyed after seven days");
    let state = |asked: u64| {
        let found = report.requests.iter().find(|one| one.index == asked);
        found.unwrap().state
    };
    assert_eq!(state(open.get()), "dead");
    assert_eq!(state(executed.get()), "executed");
    assert_eq!(report.destructions.len(), 1);
}

/// Forces the vault open with the power cut behind the first frame and before the last label.
fn force_until_its_first_frame(rig: &mut Rig) {
    let order = order(rig);
    let before: Vec<_> = rig
        .handles
        .iter()
        .flatten()
        .map(|disk| (disk.clone(), disk.snapshot()))
        .collect();
    let whole = |rig: &Rig| {
        let frames = rig.frames_of(true);
        let is_whole = |frame: &&FrameHeader| {
            let (disk, at) = rig.places_of(frame)[0];
            let disk = rig.handles[disk].as_ref().unwrap();
            let bytes = disk.peek(at, frame.total_bytes as usize);
            frame.check_payload(&bytes).is_ok()
        };
        frames.iter().filter(is_whole).count()
    };
    let begun = whole(rig);
    for cut in 0.. {
        before.iter().for_each(|(disk, image)| disk.restore(image));
        rig.power.cut_after(cut);
        drop(force(rig, &order));
        let disks = rig.handles.iter().flatten();
        disks.for_each(|disk| disk.crash(Loss::Seeded));
        rig.power.restore();
        if whole(rig) > begun {
            return;
        }
    }
}

/// What a vault says of itself, and the verifier and the auditor of disks that are here besides.
fn agrees(rig: &mut Rig, behind: &[(usize, SimDiskHandle)], what: &str) {
    let people = view(&mut rig.start());
    for (at, disk) in behind {
        rig.handles[*at] = Some(disk.clone());
    }
    let report = is_clean(rig, what);
    assert_eq!(report.openings.len(), people.openings.len(), "{what}");
    assert_eq!(report.log_size, people.log_records, "{what}");
}

#[test]
fn openings_that_were_cut_on_a_disk_that_was_left_behind_are_not_the_log() {
    for (first, content) in [(0, true), (1, true), (1, false), (2, true)] {
        let (mut rig, vault) = if content { three() } else { founded(3) };
        stop(&mut rig, vault);
        let [second, third] = [rig.handles[1].take(), rig.handles[2].take()];
        for _ in 0..first {
            force_until_its_first_frame(&mut rig);
        }
        let cut = rig.handles[0].take().unwrap();
        [rig.handles[1], rig.handles[2]] = [second, third];
        if first == 2 {
            let mut vault = rig.start();
            put(&mut vault, &name("b", "later"), 3, 300, 1);
            stop(&mut rig, vault);
        }
        rig.handles[2] = None;
        let order = order(&mut rig);
        let mut vault = force(&mut rig, &order).unwrap();
        let suspend = Act::Suspend {
            person: person("otto"),
        };
        request(&mut vault, suspend, "sara").unwrap();
        stop(&mut rig, vault);
        agrees(&mut rig, &[(0, cut)], &format!("cut {first} times"));
    }
}

#[test]
fn what_a_disk_has_behind_the_fork_is_not_the_log() {
    let (mut rig, mut vault) = three();
    // The first one fails in the middle of a segment, and the others go on in it.
    turns(&mut vault);
    let failed = rig.handles[0].clone().unwrap();
    let image = failed.snapshot();
    put(&mut vault, &name("b", "without"), 3, 300, 1);
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    request(&mut vault, suspend, "sara").unwrap();
    stop(&mut rig, vault);
    failed.restore(&image);
    let behind = [1, 2].map(|at: usize| (at, rig.handles[at].take().unwrap()));
    let order = order(&mut rig);
    let vault = force(&mut rig, &order).unwrap();
    stop(&mut rig, vault);
    for there in [&behind[..1], &behind[..]] {
        agrees(&mut rig, there, "left behind");
        (rig.handles[1], rig.handles[2]) = (None, None);
    }
}

/// The segments between an opening that was cut and the one that happened cannot be found: the first does not take
/// their place.
#[test]
fn an_opening_that_was_cut_stands_for_none_that_happened() {
    let (mut rig, vault) = three();
    stop(&mut rig, vault);
    let lost = [rig.handles[1].take(), rig.handles[2].take()];
    force_until_its_first_frame(&mut rig);
    [rig.handles[1], rig.handles[2]] = lost;
    let mut vault = rig.start();
    put(&mut vault, &name("b", "between"), 3, 300, 1);
    stop(&mut rig, vault);
    let between = *rig.frames_of(true).last().unwrap();
    let between = rig
        .frames_of(true)
        .into_iter()
        .find(|frame| frame.segment == between.segment);
    let _lost = [rig.handles[1].take(), rig.handles[2].take()];
    let order = order(&mut rig);
    let vault = force(&mut rig, &order).unwrap();
    stop(&mut rig, vault);
    let whole = is_clean(&rig, "forced open");
    for (disk, at) in rig.places_of(&between.unwrap()) {
        let disk = rig.handles[disk].as_ref().unwrap();
        // Segment header and frame header.
        disk.rot(at - 4096, 0xff);
        disk.rot(at, 0xff);
    }
    let report = audit(&images(&rig), Duration::ZERO).unwrap();
    assert!(report.records_missing);
    assert_eq!(report.openings.len(), 1, "{:#?}", report.openings);
    assert!(report.unlawful.is_empty(), "{:#?}", report.unlawful);
    assert_eq!(report.openings[0].record, whole.openings[0].record);
}
