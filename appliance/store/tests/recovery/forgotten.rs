//! Disks that confirm what they do not keep: a start says which, and never of an honest one.

use stele_device::sim::fault::{Loss, Span};
use stele_store::status::Alarm;

use crate::support::{Rig, Running, content, name};

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
/// flush has covered. The numbers of those told of at the next start; at the one after, nobody.
fn told_after(disks: usize, liars: &[usize], objects: usize) -> Vec<u16> {
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
    let mut vault = rig.start();
    let numbers = told(&vault).iter().map(|(number, _)| *number).collect();
    for seed in 0..objects {
        let got = vault
            .get(&name("b", &format!("k{seed}")), None, None)
            .unwrap();
        assert_eq!(got, content(seed, 100));
    }
    vault.stop();
    assert_eq!(told(&rig.start()), []);
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
