//! Several disks are drained, one after the other: the journal that remains is read without all of them.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::geometry::DiskGeometry;
use stele_format::record::{Body, MoveStep};
use stele_format::units::{ByteCount, UnitCount};
use stele_store::engine::Engine;
use stele_store::pool::MemberState;
use support::steps::turns;
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

fn put(vault: &mut Running, seed: usize) {
    for (at, bytes) in [1, 100_000, 300_000].into_iter().enumerate() {
        let seed = 10 * seed + at;
        vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
    }
}

fn check(vault: &mut Running, rounds: usize, what: &str) {
    for seed in (0..rounds).flat_map(|round| 10 * round..10 * round + 3) {
        let bytes = [1, 100_000, 300_000][seed % 10];
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(
            got.unwrap() == content(seed, bytes),
            "{what}: object {seed}"
        );
    }
}

/// A vault that was started a few times, with a journal of several segments in each.
fn filled(disks: usize, rounds: usize) -> Rig {
    let mut rig = Rig::create(disks);
    for round in 0..rounds {
        let mut vault = rig.start();
        if round == 0 {
            vault.bucket("b", false);
        }
        put(&mut vault, round);
        // Bodies in the journal: it goes on in further segments.
        for seed in 1_000 + 60 * round..1_060 + 60 * round {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, 100_000));
        }
        vault.stop();
    }
    rig
}

fn is_drained(engine: &Engine, disk: usize) -> bool {
    let status = engine.status();
    status.disks[disk].state == MemberState::Drained && status.heal.drain.is_none()
}

fn drain(vault: &mut Running, disk: usize) {
    vault.drain(u16::try_from(disk).unwrap() + 1).unwrap();
    vault.until("it is drained", |engine| is_drained(engine, disk));
}

/// The index is gone: everything is read from the segments themselves.
fn forget_index(rig: &Rig) {
    for handle in rig.handles.iter().take(2).flatten() {
        handle.tamper(index_offset(), &vec![0; 1 << 20]);
    }
}

/// Disks that hold every copy of some journal segment.
fn holds_a_segment(rig: &Rig, disks: &[usize]) -> bool {
    rig.frames_of(true)
        .iter()
        .any(|frame| rig.disks_of(frame).iter().all(|disk| disks.contains(disk)))
}

/// Starts from a vault whose drained disks are gone, and with one more that is missing.
fn check_without(rig: &mut Rig, gone: &[usize], rounds: usize, forgotten: bool) {
    for disk in gone {
        rig.handles[*disk] = None;
    }
    let kept: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let after: Vec<_> = kept.iter().map(SimDiskHandle::snapshot).collect();
    let others = (0..rig.handles.len()).filter(|disk| !gone.contains(disk));
    for more in std::iter::once(None).chain(others.map(Some)) {
        let what = format!("without {gone:?} and {more:?}, index forgotten {forgotten}");
        let disks = kept.iter().zip(&after);
        disks.for_each(|(disk, was)| disk.restore(was));
        if forgotten {
            forget_index(rig);
        }
        let lost = more.and_then(|more| rig.handles[more].take().map(|handle| (more, handle)));
        let mut vault = rig.start();
        assert_eq!(vault.report.index_rebuilt, forgotten, "{what}");
        assert_eq!(vault.engine.status().read_only, None, "{what}");
        check(&mut vault, rounds, &what);
        put(&mut vault, 90);
        drop(vault);
        if let Some((more, handle)) = lost {
            rig.handles[more] = Some(handle);
        }
    }
}

#[test]
fn a_journal_that_moved_off_every_disk_it_was_written_to_is_read() {
    for (disks, gone, rounds) in [(5, &[4, 3][..], 3), (6, &[4, 2][..], 3), (6, &[2, 3, 4], 3)] {
        for forgotten in [true, false] {
            let mut rig = filled(disks, rounds);
            let with_one_more = |more: usize| [gone, &[more]].concat();
            assert!((0..disks).any(|more| holds_a_segment(&rig, &with_one_more(more))));
            if gone.len() == 3 {
                assert!(holds_a_segment(&rig, gone));
            }
            let mut vault = rig.start();
            gone.iter().for_each(|disk| drain(&mut vault, *disk));
            put(&mut vault, rounds);
            turns(&mut vault);
            drop(vault);
            check_without(&mut rig, gone, rounds + 1, forgotten);
        }
    }
}

#[test]
fn an_index_older_than_the_moves_is_enough() {
    let gone = [2, 3, 4];
    let mut rig = filled(6, 3);
    assert!(holds_a_segment(&rig, &gone));
    let index = |rig: &Rig| -> Vec<Vec<u8>> {
        let carriers = rig.handles.iter().take(2).flatten();
        let at = index_offset();
        carriers
            .map(|handle| handle.peek(at, usize::try_from(PARAMS.index_bytes).unwrap()))
            .collect()
    };
    let old = index(&rig);
    let mut vault = rig.start();
    gone.iter().for_each(|disk| drain(&mut vault, *disk));
    vault.stop();
    for (handle, bytes) in rig.handles.iter().take(2).flatten().zip(&old) {
        handle.tamper(index_offset(), bytes);
    }
    check_without(&mut rig, &gone, 3, false);
}

fn index_offset() -> u64 {
    let geometry = DiskGeometry {
        disk_bytes: ByteCount::new(DISK_BYTES),
        index_bytes: ByteCount::new(PARAMS.index_bytes),
        keystate_bytes: PARAMS.keystate_bytes,
        unit_bytes: PARAMS.unit_bytes,
        segment_units: UnitCount::new(PARAMS.segment_units),
    };
    geometry.index_offset().get()
}

#[test]
fn a_blank_disk_in_the_place_of_a_drained_one_is_not_filled_with_what_moved() {
    let mut rig = filled(5, 3);
    let mut vault = rig.start();
    drain(&mut vault, 3);
    let blank = SimDiskHandle::new(DISK_BYTES, 77);
    vault.attach(Some(4), &blank).unwrap();
    vault.until("it takes part", |engine| {
        let status = engine.status();
        status.disks[3].state == MemberState::Active && status.heal.fill.is_none()
    });
    vault.stop();
    rig.handles[3] = Some(blank);
    let handles = rig.handles.clone();
    let after: Vec<_> = handles
        .iter()
        .flatten()
        .map(|h| (h, h.snapshot()))
        .collect();
    // The disks that the copies moved to may be missing.
    for more in [None, Some(0), Some(1), Some(2), Some(4)] {
        after.iter().for_each(|(disk, was)| disk.restore(was));
        rig.handles.clone_from(&handles);
        forget_index(&rig);
        if let Some(more) = more {
            rig.handles[more] = None;
        }
        let mut vault = rig.start();
        let what = format!("without {more:?}");
        assert!(vault.report.index_rebuilt, "{what}");
        assert_eq!(vault.engine.status().read_only, None, "{what}");
        assert_eq!(vault.report.repaired_frames, 0, "{what}");
        check(&mut vault, 3, &what);
    }
}
#[test]
fn a_disk_is_let_go_only_when_the_index_knows_where_all_is() {
    let mut rig = filled(5, 3);
    let mut vault = rig.start();
    drain(&mut vault, 3);
    drop(vault);
    rig.crash();
    let moved = |body: &&Body| matches!(body, Body::Relocate(r) if r.step == MoveStep::Done);
    let moves = rig.records().iter().filter(moved).count() as u64;
    rig.handles[3] = None;
    let mut vault = rig.start();
    assert!(moves > 1);
    assert!(!vault.report.index_rebuilt);
    assert!(
        vault.report.records < moves,
        "{} records read, {moves} copies moved",
        vault.report.records
    );
    check(&mut vault, 3, "afterwards");
}
