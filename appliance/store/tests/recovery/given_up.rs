//! A disk that fails a flush shows what it was given and may never keep it: it reads well until the power goes.

use stele_device::sim::fault::Loss;
use stele_store::engine::Engine;
use stele_store::pool::MemberState;

use crate::support::{Rig, content, name};

/// Copies of frames of the journal that were here before the power went and are not afterwards.
fn lost_copies(rig: &Rig) -> Vec<String> {
    let all = rig.frames_of(true);
    let before: Vec<_> = all.iter().map(|frame| rig.places_of(frame)).collect();
    for handle in rig.handles.iter().flatten() {
        handle.crash(Loss::All);
    }
    let mut lost = Vec::new();
    for (frame, places) in all.iter().zip(before) {
        let left = rig.places_of(frame);
        let gone = places.into_iter().filter(|place| !left.contains(place));
        lost.extend(gone.map(|(disk, at)| format!("disk {disk}, byte {at}: {frame:?}")));
    }
    lost
}

/// Names and content of objects.
type Held = Vec<(String, Vec<u8>)>;

fn is_whole(engine: &Engine) -> bool {
    let status = engine.status();
    let mut members = status.disks.iter();
    members.all(|disk| disk.state == MemberState::Active)
}

/// A vault one of whose disks fails one flush, after `after` others; started again without a power cut, and whole
/// again by its own account. With what it holds then.
fn after_a_failed_flush(disks: usize, after: u64) -> (Rig, Held) {
    let mut rig = Rig::create(disks);
    rig.start().stop();
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "n0"), &content(0, 2_000));
    rig.handles[0].as_ref().unwrap().fail_flush(after);
    for number in 1..6 {
        let name = name("b", &format!("n{number}"));
        let bytes = if number % 2 == 0 { 300_000 } else { 2_000 };
        let opened = vault.open_put(&name, crate::support::steps::object());
        let Ok(stream) = opened else { continue };
        if vault.feed(stream, &content(number, bytes)).is_ok() {
            vault.commit(stream).ok();
        }
    }
    vault.stop();
    let mut vault = rig.start();
    if !is_whole(&vault.engine) {
        // What it missed is filled, as a disk that was away.
        vault.stop();
        let handle = rig.handles[0].take().unwrap();
        vault = rig.start();
        vault.attach(Some(1), &handle).unwrap();
        vault.until("all take part", is_whole);
        rig.handles[0] = Some(handle);
    }
    vault.put(&name("b", "later"), &content(9, 2_000));
    let mut held = Vec::new();
    for number in 0..6 {
        let key = format!("n{number}");
        if let Ok(got) = vault.get(&name("b", &key), None, None) {
            held.push((key, got));
        }
    }
    drop(vault);
    (rig, held)
}

#[test]
fn what_a_failed_flush_left_open_is_durable_before_it_counts_as_a_copy() {
    for disks in [2, 3] {
        for after in 0..8 {
            let what = format!("{disks} disks, flush {after}");
            let (mut rig, held) = after_a_failed_flush(disks, after);
            let lost = lost_copies(&rig);
            assert!(lost.is_empty(), "{what}: {lost:#?}");
            if disks > 2 {
                continue;
            }
            // What it holds is on that disk too.
            rig.handles[1] = None;
            let mut vault = rig.start();
            for (key, content) in held {
                let got = vault.get(&name("b", &key), None, None);
                assert!(got == Ok(content), "{what}: {key}");
            }
        }
    }
}
