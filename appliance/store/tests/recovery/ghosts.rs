//! Frames of an epoch that was given up: a disk that is alone with them was away when others began the next one in the
//! same place, and comes back.

use stele_device::sim::disk::SimDiskHandle;
use stele_store::pool::MemberState;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};

const BYTES: usize = 2_000;

fn get(vault: &mut Running, key: &str) -> Result<Vec<u8>, Refusal> {
    vault.get(&name("b", key), None, None)
}

/// Frames that only `ahead` has name object `ghost`. The others go on without it and store `later`; then the disks in
/// `back` are here.
fn check(ahead: usize, back: &[usize], takes_writes: bool) {
    let what = format!("disk {ahead} was ahead, {back:?} are here");
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "before"), &content(1, BYTES));
    turns(&mut vault);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let others = || (0..3).filter(|number| *number != ahead);
    let then: Vec<_> = others().map(|number| all[number].snapshot()).collect();
    for number in 0..3 {
        vault.put(&name("b", &format!("ghost-{number}")), &content(2, BYTES));
        turns(&mut vault);
    }
    drop(vault);
    rig.crash();
    // As where the power went before any other disk had them.
    for (number, was) in others().zip(&then) {
        all[number].restore(was);
    }
    let ghosts = rig.frames_of(true);

    rig.handles[ahead] = None;
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().read_only, None, "{what}");
    vault.put(&name("b", "later"), &content(3, BYTES));
    turns(&mut vault);
    drop(vault);
    rig.crash();
    let later = rig.frames_of(true);
    let again = |frame: &&_| ghosts.contains(*frame);
    assert!(later.iter().filter(again).count() < ghosts.len(), "{what}");

    for (number, handle) in all.iter().enumerate() {
        rig.handles[number] = back.contains(&number).then(|| handle.clone());
    }
    let mut vault = rig.start();
    let status = vault.engine.status();
    assert_eq!(status.read_only.is_none(), takes_writes, "{what}");
    assert_ne!(status.disks[ahead].state, MemberState::Active, "{what}");
    assert_eq!(get(&mut vault, "before"), Ok(content(1, BYTES)), "{what}");
    assert_eq!(get(&mut vault, "later"), Ok(content(3, BYTES)), "{what}");
    for number in 0..3 {
        let ghost = get(&mut vault, &format!("ghost-{number}"));
        assert!(ghost.is_err(), "{what}: {number} is back");
    }
    let bucket = Command::HeadBucket {
        name: "b".to_owned(),
    };
    vault.ask(bucket).unwrap();
    // Where nothing is written nobody counts.
    let misplaced = vault.engine.misplaced_unit(true);
    assert!(!takes_writes || misplaced.is_none(), "{what}");
}

#[test]
fn what_a_disk_was_alone_with_stays_gone_when_it_comes_back() {
    for ahead in 0..3 {
        check(ahead, &[0, 1, 2], true);
        // One of the two that went on does not have most of them; it opens by its share of the index, which two have.
        for other in (0..2).filter(|number| *number != ahead) {
            check(ahead, &[ahead, other], false);
        }
    }
}
