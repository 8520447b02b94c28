//! Disks that confirm what they do not keep: a start says which, and never of an honest one.

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::{Loss, Span};
use stele_format::record::{Body, Forgetful};
use stele_store::pool::MemberState;
use stele_store::status::Alarm;

use crate::support::{DISK_BYTES, Rig, Running, content, name};

/// Disks told of, by number, with how many frames each did not have; status must say the same.
fn told(vault: &Running) -> Vec<(u16, u64)> {
    let status = vault.engine.status();
    let told: Vec<(u16, u64)> = status
        .alarms
        .iter()
        .filter_map(|alarm| match alarm {
            Alarm::DiskForgot { number, frames, .. } => Some((*number, *frames)),
            _ => None,
        })
        .collect();
    let shown: Vec<(u16, u64)> = status
        .disks
        .iter()
        .filter(|disk| disk.forgotten_frames > 0)
        .map(|disk| (disk.number, disk.forgotten_frames))
        .collect();
    assert_eq!(told, shown);
    let word = if told.is_empty() { "ok" } else { "suspect" };
    assert_eq!(status.state.word(), word);
    told
}

/// Objects stored one after the other, each in a frame of its own at least.
fn put(vault: &mut Running, count: usize) {
    for seed in 0..count {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 100));
    }
}

/// Some disks, of which some lie from a moment on, while so much is stored; then power is lost with all that no
/// flush has covered.
fn lied(disks: usize, liars: &[usize], objects: usize) -> Rig {
    let mut rig = Rig::create(disks);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for liar in liars {
        let handle = rig.handles[*liar].as_ref().unwrap();
        handle.plan(|plan| plan.lie_flushes = Some(Span::from(0)));
    }
    put(&mut vault, objects);
    drop(vault);
    for handle in rig.handles.iter().flatten() {
        handle.plan(|plan| plan.lie_flushes = None);
        handle.crash(Loss::All);
    }
    rig
}

/// The numbers of those that are told of at the next start, and at each one after.
fn told_after(disks: usize, liars: &[usize], objects: usize) -> Vec<u16> {
    let mut rig = lied(disks, liars, objects);
    let mut vault = rig.start();
    let numbers = told(&vault).iter().map(|(number, _)| *number).collect();
    for seed in 0..objects {
        let got = vault
            .get(&name("b", &format!("k{seed}")), None, None)
            .unwrap();
        assert_eq!(got, content(seed, 100));
    }
    let first = told(&vault);
    vault.stop();
    let vault = rig.start();
    assert_eq!(told(&vault), first);
    drop(vault);
    rig.crash();
    assert_eq!(told(&rig.start()), first);
    numbers
}

#[test]
fn of_two_disks_the_one_that_lied_is_told_of() {
    assert_eq!(told_after(2, &[1], 3), [2]);
    assert_eq!(told_after(2, &[0], 3), [1]);
    assert_eq!(told_after(2, &[], 3), [0_u16; 0]);
}

#[test]
fn of_three_disks_one_that_lacks_little_may_only_be_late_and_one_that_lacks_much_lied() {
    assert_eq!(told_after(3, &[2], 3), [0_u16; 0]);
    assert_eq!(told_after(3, &[2], 200), [3]);
}

#[test]
fn a_power_cut_alone_is_no_lie() {
    for (disks, cuts) in [(2, 20), (3, 20)] {
        let mut rig = Rig::create(disks);
        for cut in 0..cuts {
            let mut vault = rig.start();
            assert_eq!(told(&vault), [], "{disks} disks, cut {cut}");
            if cut == 0 {
                vault.bucket("b", false);
            }
            put(&mut vault, cut % 5);
            vault.send(stele_store::request::Command::ListBuckets);
            drop(vault);
            rig.crash();
        }
    }
}

/// Disks by index that hold the newest frame of the journal.
fn journal_on(rig: &Rig) -> Vec<usize> {
    let frames = rig.frames_of(true);
    rig.disks_of(frames.last().unwrap())
}

/// Some disks, of which some did not keep what they had confirmed, started again.
fn forgetful(disks: usize, liars: &[usize]) -> Rig {
    let mut rig = lied(disks, liars, 200);
    let mut vault = rig.start();
    vault.put(&name("b", "after"), &content(1, 100));
    vault.stop();
    rig
}

#[test]
fn the_journal_goes_on_without_a_disk_that_forgot_where_two_others_take_part() {
    for (disks, liars, expected) in [
        (2, &[1][..], &[0, 1][..]),
        (3, &[], &[0, 1, 2]),
        (3, &[2], &[0, 1]),
        (3, &[0], &[1, 2]),
        (4, &[1], &[0, 2, 3]),
    ] {
        let mut rig = forgetful(disks, liars);
        assert_eq!(journal_on(&rig), expected, "{disks} disks, {liars:?}");
        // And so does each later epoch.
        let mut vault = rig.start();
        vault.put(&name("b", "later"), &content(2, 100));
        vault.stop();
        assert_eq!(journal_on(&rig), expected, "{disks} disks, {liars:?}");
    }
}

#[test]
fn data_goes_to_disks_that_forgot_only_where_the_others_are_too_few() {
    for (disks, liar) in [(2, 1), (3, 0), (4, 3)] {
        let mut rig = forgetful(disks, &[liar]);
        let before = rig.frames_of(false).len();
        let mut vault = rig.start();
        vault.put(&name("b", "large"), &content(3, 1 << 20));
        vault.stop();
        let frames = rig.frames_of(false);
        assert!(frames.len() > before);
        let on = rig.disks_of(frames.last().unwrap());
        assert_eq!(on.len(), 2);
        assert_eq!(on.contains(&liar), disks == 2, "{disks} disks, on {on:?}");
    }
}

#[test]
fn each_epoch_names_the_disks_that_forgot() {
    let rig = forgetful(3, &[2]);
    let named: Vec<Vec<Forgetful>> = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            Body::Epoch(start) => Some(start.forgetful),
            _ => None,
        })
        .collect();
    let (last, before) = named.split_last().unwrap();
    assert!(before.iter().all(Vec::is_empty));
    assert!(matches!(&last[..], [one] if one.frames > 0));
}

#[test]
fn a_disk_in_the_place_of_one_that_forgot_is_trusted_and_takes_the_journal() {
    let mut rig = forgetful(3, &[2]);
    let mut vault = rig.start();
    rig.handles[2].as_ref().unwrap().fail_writes_from(0);
    vault.put(&name("b", "large"), &content(3, 1 << 20));
    vault.stop();
    rig.handles[2] = None;
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 41);
    vault.attach(Some(3), &fresh).unwrap();
    vault.until("it takes part", |engine| {
        let disks = engine.status().disks;
        disks.iter().all(|disk| disk.state == MemberState::Active)
    });
    let status = vault.engine.status();
    assert!(status.disks.iter().all(|disk| disk.forgotten_frames == 0));
    assert_eq!(status.state.word(), "ok");
    put(&mut vault, 3);
    vault.pause(10_000);
    put(&mut vault, 3);
    drop(vault);
    rig.handles[2] = Some(fresh);
    assert_eq!(journal_on(&rig), [0, 1, 2]);
    assert_eq!(told(&rig.start()), []);
}

#[test]
fn a_disk_that_forgot_is_no_better_for_having_been_away() {
    let mut rig = forgetful(3, &[2]);
    let before = told(&rig.start());
    rig.crash();
    let old = rig.handles[2].take().unwrap();
    let mut vault = rig.start();
    vault.put(&name("b", "without"), &content(4, 100));
    vault.attach(Some(3), &old).unwrap();
    vault.until("it takes part", |engine| {
        let disks = engine.status().disks;
        disks.iter().all(|disk| disk.state == MemberState::Active)
    });
    put(&mut vault, 3);
    vault.stop();
    rig.handles[2] = Some(old);
    assert_eq!(journal_on(&rig), [0, 1]);
    assert_eq!(told(&rig.start()), before);
}

#[test]
fn a_disk_that_forgot_and_was_drained_is_told_of_no_more() {
    let mut rig = forgetful(4, &[3]);
    let mut vault = rig.start();
    vault.drain(4).unwrap();
    vault.until("it is drained", |engine| {
        engine.status().disks[3].state == MemberState::Drained
    });
    vault.until("the labels say so", |engine| {
        engine.status().state.word() == "ok"
    });
    vault.stop();
    assert_eq!(told(&rig.start()), []);
}
