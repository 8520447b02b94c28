//! Segments with holes: what a power cut never finished, and what rotted where nothing seals it.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_format::frame::FrameHeader;
use stele_format::record::Body;
use stele_format::units::ByteOffset;
use stele_store::engine::Engine;
use stele_store::pool::MemberState;
use stele_store::status::Alarm;
use support::steps::{CHUNK, object, put_data, turns};
use support::{DISK_BYTES, Rig, Running, content, name};

const HOUR_MS: u64 = 3_600_000;
/// One frame of the data lane each.
const BYTES: usize = 300_000;
const OBJECTS: usize = 8;

fn put_objects(vault: &mut Running) {
    vault.bucket("b", false);
    for seed in 0..OBJECTS {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, BYTES));
    }
}

/// A vault whose only data segment a power cut left without a seal, and its frames.
fn left_open() -> (Rig, Vec<FrameHeader>) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    put_objects(&mut vault);
    drop(vault);
    rig.crash();
    let frames = rig.frames_of(false);
    assert_eq!(frames.len(), OBJECTS);
    assert!(
        frames
            .iter()
            .all(|frame| frame.segment == frames[0].segment)
    );
    (rig, frames)
}

/// Everything is read again.
fn pass(vault: &mut Running) {
    vault.sleep(13 * HOUR_MS);
    vault.until("a pass over everything", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.oldest_unverified_ms < HOUR_MS
    });
}

/// What is lost, by segment and frame.
fn lost(engine: &Engine) -> Vec<(u64, Option<u32>)> {
    let lost = engine.status().heal.counts.lost;
    lost.iter()
        .map(|lost| (lost.segment.get(), lost.frame))
        .collect()
}

fn names(frames: &[FrameHeader]) -> Vec<(u64, Option<u32>)> {
    let name = |frame: &FrameHeader| (frame.segment.get(), Some(frame.frame_index.get()));
    frames.iter().map(name).collect()
}

#[test]
fn frames_behind_a_hole_of_a_segment_without_a_seal_are_read_and_repaired() {
    for holes in [2..3, 2..4, 0..2, 5..7] {
        let (mut rig, frames) = left_open();
        let mut vault = rig.start();
        for hole in &frames[holes.clone()] {
            rig.rot_everywhere(hole, 0);
        }
        let [(disk, at), (other, there)] = rig.copies_of(&frames[7])[..] else {
            panic!("two copies")
        };
        let bytes = frames[7].total_bytes as usize;
        let handles = [disk, other].map(|disk| rig.handles[disk].clone().unwrap());
        handles[0].rot(at + 5_000, 1);
        pass(&mut vault);
        assert_eq!(lost(&vault.engine), names(&frames[holes.clone()]));
        assert_eq!(vault.engine.status().heal.counts.repaired, 1);
        assert!(handles[0].peek(at, bytes) == handles[1].peek(there, bytes));
        assert_eq!(vault.engine.status().state.word(), "suspect");
    }
}

#[test]
fn a_new_disk_gets_the_frames_behind_a_hole_too() {
    let (mut rig, frames) = left_open();
    let [lost_disk, source] = rig.disks_of(&frames[0])[..] else {
        panic!("two copies")
    };
    rig.handles[lost_disk] = None;
    let mut vault = rig.start();
    rig.rot_everywhere(&frames[2], 0);
    let fresh = SimDiskHandle::new(DISK_BYTES, 31);
    let number = u16::try_from(lost_disk).unwrap() + 1;
    vault.attach(Some(number), &fresh).unwrap();
    vault.until("it takes part", |engine| {
        let status = engine.status();
        let active = |disk: &stele_store::status::DiskStatus| disk.state == MemberState::Active;
        status.heal.fill.is_none() && status.disks.iter().all(active)
    });
    assert_eq!(lost(&vault.engine), names(&frames[2..3]));
    drop(vault);
    rig.crash();
    fresh.crash(Loss::Seeded);
    rig.handles[lost_disk] = Some(fresh);
    rig.handles[source] = None;
    let mut vault = rig.start();
    for seed in (0..OBJECTS).filter(|seed| *seed != 2) {
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(got.unwrap() == content(seed, BYTES), "object {seed}");
    }
}

/// How a power cut leaves a frame that nobody waited for.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Its header is there, some of the rest is not.
    Payload,
    /// Its header is not there.
    Header,
}

/// A vault that lost power while an upload was under way; the upload's frames.
fn cut_short() -> (Rig, Vec<FrameHeader>) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k0"), &content(0, BYTES));
    let stream = vault.open_put(&name("b", "never"), object()).unwrap();
    for seed in 1..3 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
        turns(&mut vault);
    }
    drop(vault);
    for handle in rig.handles.iter().flatten() {
        handle.crash(Loss::Nothing);
    }
    let frames = rig.frames_of(false);
    assert_eq!(frames.len(), 3);
    (rig, frames)
}

#[test]
fn an_upload_that_a_power_cut_ended_is_no_loss() {
    for cut in [Cut::Payload, Cut::Header] {
        for torn in [1..2, 2..3, 1..3] {
            let (mut rig, frames) = cut_short();
            for frame in &frames[torn.clone()] {
                let skip = match cut {
                    Cut::Payload => 4_096,
                    Cut::Header => 0,
                };
                rig.tear_everywhere(frame, skip);
            }
            let mut vault = rig.start();
            pass(&mut vault);
            assert_eq!(lost(&vault.engine), [], "{cut:?} {torn:?}");
            assert_eq!(vault.engine.status().state.word(), "ok");
            assert!(vault.get(&name("b", "k0"), None, None).unwrap() == content(0, BYTES));
            vault.stop();
        }
    }
}

/// The numbers of the disks that an operator is told of because something did not verify there.
fn accused(engine: &Engine) -> Vec<u16> {
    let of = |alarm: Alarm| match alarm {
        Alarm::Repaired { number, .. } => Some(number),
        _ => None,
    };
    engine.status().alarms.into_iter().filter_map(of).collect()
}

/// A vault that lost power between the copies of an upload's frames; the disk that has none of them, and the frames.
fn cut_between(loss: Loss) -> (Rig, usize, Vec<FrameHeader>) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k0"), &content(0, BYTES));
    turns(&mut vault);
    let behind = rig.disks_of(&rig.frames_of(false)[0])[0];
    let hangs = |hangs| rig.handles[behind].as_ref().unwrap().hang(hangs);
    hangs(true);
    let stream = vault.open_put(&name("b", "never"), object()).unwrap();
    for seed in 1..3 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
        (0..50).for_each(|_| vault.turn());
    }
    drop(vault);
    hangs(false);
    for (at, handle) in rig.handles.iter().flatten().enumerate() {
        handle.crash(if at == behind { loss } else { Loss::Nothing });
    }
    let frames = rig.frames_of(false);
    assert_eq!(frames.len(), 3);
    (rig, behind, frames)
}

#[test]
fn a_disk_that_a_power_cut_kept_from_writing_is_not_accused() {
    for loss in [Loss::All, Loss::LastTorn] {
        let (mut rig, _, frames) = cut_between(loss);
        let mut vault = rig.start();
        pass(&mut vault);
        assert!(vault.engine.status().heal.counts.repaired > 0, "{loss:?}");
        assert_eq!(accused(&vault.engine), [], "{loss:?}");
        assert_eq!(rig.copies_of(&frames[2]).len(), 2);
    }
}

#[test]
fn a_disk_that_loses_what_was_read_there_before_is_accused_after_a_power_cut_too() {
    let (mut rig, behind, frames) = cut_between(Loss::All);
    let mut vault = rig.start();
    pass(&mut vault);
    let copies = rig.copies_of(&frames[2]).into_iter();
    for (disk, at) in copies.filter(|(disk, _)| *disk == behind) {
        rig.handles[disk].as_ref().unwrap().tamper(at, &[0; 512]);
    }
    vault.sleep(8 * 24 * HOUR_MS);
    pass(&mut vault);
    assert_eq!(accused(&vault.engine), [u16::try_from(behind).unwrap() + 1]);
}

#[test]
fn what_rots_after_a_power_cut_accuses_its_disk() {
    let (mut rig, behind, frames) = cut_between(Loss::All);
    let mut vault = rig.start();
    // What was acknowledged lies on both.
    let mut copies = rig.copies_of(&frames[0]).into_iter();
    let (disk, at) = copies.find(|(disk, _)| *disk == behind).unwrap();
    rig.handles[disk].as_ref().unwrap().rot(at + 5_000, 1);
    pass(&mut vault);
    assert_eq!(accused(&vault.engine), [u16::try_from(behind).unwrap() + 1]);
}

#[test]
fn a_disk_that_a_power_cut_kept_from_the_roots_of_a_segment_is_not_accused() {
    for disks in [2, 3] {
        for behind in 0..disks {
            let mut rig = Rig::create(disks);
            let mut vault = rig.start();
            vault.bucket("b", false);
            let stream = vault.open_put(&name("b", "never"), object()).unwrap();
            for seed in 0..8 {
                vault.ask(put_data(stream, seed, CHUNK)).unwrap();
                vault.turn();
            }
            drop(vault);
            for (at, handle) in rig.handles.iter().flatten().enumerate() {
                handle.crash(if at == behind {
                    Loss::All
                } else {
                    Loss::Nothing
                });
            }
            let mut vault = rig.start();
            pass(&mut vault);
            assert_eq!(accused(&vault.engine), [], "disk {behind} of {disks}");
        }
    }
}

#[test]
fn a_disk_whose_journal_lagged_when_power_went_is_not_accused() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    rig.handles[1].as_ref().unwrap().hang(true);
    for seed in 0..4 {
        vault.put(&name("b", &format!("s{seed}")), &content(seed, 500));
    }
    drop(vault);
    let behind = rig.handles[1].as_ref().unwrap();
    behind.hang(false);
    rig.handles
        .iter()
        .flatten()
        .for_each(|h| h.crash(Loss::All));
    let mut vault = rig.start();
    pass(&mut vault);
    assert_eq!(accused(&vault.engine), []);
}

#[test]
fn what_rots_in_a_segment_without_a_seal_is_lost_although_a_power_cut_left_it_open() {
    for skip in [0, 4_096] {
        let (mut rig, frames) = cut_short();
        let mut vault = rig.start();
        rig.rot_everywhere(&frames[0], skip);
        pass(&mut vault);
        assert_eq!(lost(&vault.engine), names(&frames[..1]));
    }
}

#[test]
fn a_start_ends_a_segment_behind_the_last_frame_that_is_whole() {
    let (mut rig, frames) = cut_short();
    rig.tear_everywhere(&frames[2], 4_096);
    let vault = rig.start();
    drop(vault);
    let segment = frames[0].segment;
    let ends: Vec<ByteOffset> = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            Body::Epoch(epoch) => Some(epoch.abandoned),
            _ => None,
        })
        .flatten()
        .filter(|abandoned| abandoned.segment == segment)
        .map(|abandoned| abandoned.data_end)
        .collect();
    assert_eq!(ends, [frames[1].end_offset()]);
}
