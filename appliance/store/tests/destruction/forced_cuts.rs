//! Power is lost while a vault is forced open.

use stele_format::frame::FrameHeader;
use stele_format::limits::BLOCK_BYTES;
use stele_format::units::{Opening, Sequence};
use stele_store::engine::DiskRefusal;
use stele_store::pool::MemberState;
use stele_store::recovery::{ForcedOrder, ForcedRefusal};

use crate::forced::{behind, one_left, reads, three, two_behind};
use crate::forcing::{force, look, order, order_for};
use crate::support::steps::turns;
use crate::support::{Rig, content, name};
use crate::world::{put, view};

/// A cut leaves the vault as it was, so that the same order opens it, or forced open.
#[test]
fn power_lost_at_any_step_leaves_it_forced_open_or_as_it_was() {
    let steps = {
        let mut rig = three();
        let _lost = one_left(&mut rig);
        let order = order(&mut rig);
        let from = rig.power.steps();
        drop(force(&mut rig, &order).unwrap());
        rig.power.steps() - from
    };
    let mut forced = [0; 2];
    for cut in 0..steps {
        let mut rig = three();
        let mut lost = one_left(&mut rig);
        let order = order(&mut rig);
        rig.power.cut_after(cut);
        drop(force(&mut rig, &order));
        rig.crash();
        rig.power.restore();
        let opened = rig.start().engine.status().read_only.is_none();
        forced[usize::from(opened)] += 1;
        if !opened {
            if cut % 3 < 2 {
                // As it was: with the others there, it is whole and goes on.
                (rig.handles[1], rig.handles[2]) = (lost[0].take(), lost[1].take());
                match cut % 3 {
                    0 => goes_on_without(&mut rig, cut),
                    _ => is_lost_again(&mut rig, cut),
                }
                continue;
            }
            if force(&mut rig, &order).is_err() {
                // The frame is there, the labels are not: what is read now is longer.
                let (origin, outlook) = look(&mut rig);
                let order = order_for(origin, &outlook.unwrap());
                force(&mut rig, &order).unwrap();
            }
        }
        let mut vault = rig.start();
        reads(&mut vault);
        turns(&mut vault);
        assert_eq!(view(&mut vault).openings.len(), 1, "cut after {cut}");
    }
    assert!(forced[0] > 10 && forced[1] > 10, "{forced:?} of {steps}");
}

/// Forces the vault open with the power cut after so many steps, if any; what was signed, and the steps it took.
fn force_cut(rig: &mut Rig, cut: Option<u64>) -> (ForcedOrder, u64) {
    let order = order(rig);
    let from = rig.power.steps();
    if let Some(cut) = cut {
        rig.power.cut_after(cut);
    }
    drop(force(rig, &order));
    let steps = rig.power.steps() - from;
    rig.crash();
    rig.power.restore();
    (order, steps)
}

/// The key state knows of more records than are left: once two people said that they are gone, it is not asked for them.
#[test]
fn power_lost_while_a_lost_end_is_given_up_shuts_nobody_out() {
    let forced = |cut: Option<u64>| {
        let mut rig = two_behind();
        let _lost = [rig.handles[2].take(), rig.handles[3].take()];
        let (order, steps) = force_cut(&mut rig, cut);
        (rig, order, steps)
    };
    let (_, _, steps) = forced(None);
    let mut seen = [0; 2];
    for cut in (0..steps).step_by(2) {
        let (mut rig, order, _) = forced(Some(cut));
        // Until it is forced open too few disks are there to ask for what is lost.
        let opened = rig.start().engine.status().read_only.is_none();
        seen[usize::from(opened)] += 1;
        if !opened && force(&mut rig, &order).is_err() {
            let (origin, outlook) = look(&mut rig);
            force(&mut rig, &order_for(origin, &outlook.unwrap())).unwrap();
        }
        let mut vault = rig.start();
        assert!(vault.ask_put().is_ok(), "cut after {cut}");
        assert_eq!(view(&mut vault).openings.len(), 1, "cut after {cut}");
    }
    assert!(seen[0] > 10 && seen[1] > 10, "{seen:?} of {steps}");
}

/// An opening that was cut gives nothing up: where those that have the end are there again, so is the end.
#[test]
fn what_a_cut_opening_would_have_given_up_is_there_when_the_others_return() {
    let tried = |cut: Option<u64>| {
        let mut rig = behind(5, &[0, 2]);
        let lost = [1, 3, 4].map(|at: usize| rig.handles[at].take());
        let (_, steps) = force_cut(&mut rig, cut);
        (rig, lost, steps)
    };
    let (_, _, steps) = tried(None);
    let mut seen = 0;
    for cut in (0..steps).step_by(3) {
        let (mut rig, [index, other, third], _) = tried(Some(cut));
        if rig.start().engine.status().read_only.is_none() {
            continue;
        }
        seen += 1;
        let whole = cut % 2 == 0;
        (rig.handles[1], rig.handles[3]) = (index, other);
        rig.handles[4] = third.filter(|_| whole);
        for new_index in [false, true] {
            rig.options.new_index = new_index;
            let mut vault = rig.start();
            reads(&mut vault);
            let read = vault.get(&name("b", "lost"), None, None);
            assert_eq!(read, Ok(content(5, 400)), "cut after {cut}");
            assert!(view(&mut vault).openings.is_empty(), "cut after {cut}");
            let stored = vault.ask_put();
            assert_eq!(stored.is_ok(), whole, "cut after {cut}: {stored:?}");
            rig.clock_ms = view(&mut vault).now.get();
            vault.stop();
        }
    }
    assert!(seen > 10, "{seen} of {steps}");
}

/// All disks are here, and were put back to an earlier time, all but what the key state knows.
#[test]
fn power_lost_while_a_whole_vault_that_was_put_back_is_opened_shuts_nobody_out() {
    for disks in [1, 2, 3] {
        let all: Vec<usize> = (0..disks).collect();
        let forced = |cut: Option<u64>| {
            let mut rig = behind(disks, &all);
            let (order, steps) = force_cut(&mut rig, cut);
            (rig, order, steps)
        };
        let (_, _, steps) = forced(None);
        let mut seen = [0; 2];
        for cut in (0..steps).step_by(2 * disks + 1) {
            let (mut rig, order, _) = forced(Some(cut));
            let opened = rig
                .try_start()
                .is_ok_and(|vault| vault.engine.status().read_only.is_none());
            seen[usize::from(opened)] += 1;
            if !opened && force(&mut rig, &order).is_err() {
                let (origin, outlook) = look(&mut rig);
                force(&mut rig, &order_for(origin, &outlook.unwrap())).unwrap();
            }
            for new_index in [false, true] {
                rig.options.new_index = new_index;
                let mut vault = rig.start();
                reads(&mut vault);
                assert_eq!(
                    view(&mut vault).openings.len(),
                    1,
                    "{disks} disks, cut after {cut}"
                );
                rig.clock_ms = view(&mut vault).now.get();
                vault.stop();
            }
        }
        assert!(
            seen[0] > 3 && seen[1] > 3,
            "{disks} disks: {seen:?} of {steps}"
        );
    }
}

/// The others go on without the disk of an opening that was cut: it is stale then, and takes nothing from them.
fn goes_on_without(rig: &mut Rig, cut: u64) {
    let away = rig.handles[0].take();
    let mut vault = rig.start();
    put(&mut vault, &name("b", "without"), 3, 300, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    rig.handles[0] = away;
    let mut vault = rig.start();
    assert!(vault.ask_put().is_ok(), "cut after {cut}");
    let read = vault.get(&name("b", "without"), None, None);
    assert_eq!(read, Ok(content(3, 300)), "cut after {cut}");
    assert!(view(&mut vault).openings.is_empty(), "cut after {cut}");
}

/// All go on, and later two are lost again: what the opening that was cut has left counts for nothing.
fn is_lost_again(rig: &mut Rig, cut: u64) {
    let mut vault = rig.start();
    put(&mut vault, &name("b", "between"), 4, 300, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let _lost = one_left(rig);
    let order = order(rig);
    drop(force(rig, &order).unwrap());
    for new_index in [false, true] {
        rig.options.new_index = new_index;
        let mut vault = rig.start();
        assert!(vault.engine.status().read_only.is_none(), "cut after {cut}");
        let read = vault.get(&name("b", "between"), None, None);
        assert_eq!(read, Ok(content(4, 300)), "cut after {cut}");
        let people = view(&mut vault);
        assert_eq!(people.openings.len(), 1, "cut after {cut}");
        vault.stop();
    }
    rig.options.new_index = false;
}

/// What begins the second of two openings under one number cannot be read: the first, which was cut, does not stand in
/// for it and hide what the vault stored between them.
#[test]
fn an_opening_that_was_cut_does_not_stand_in_for_the_one_that_counts() {
    let steps = {
        let mut rig = three();
        let _lost = one_left(&mut rig);
        force_cut(&mut rig, None).1
    };
    let mut seen = 0;
    for cut in 0..steps {
        let mut rig = three();
        let mut lost = one_left(&mut rig);
        force_cut(&mut rig, Some(cut));
        if rig.start().engine.status().read_only.is_none() {
            break;
        }
        if first_frames(&rig).is_empty() {
            continue;
        }
        seen += 1;
        (rig.handles[1], rig.handles[2]) = (lost[0].take(), lost[1].take());
        let mut vault = rig.start();
        put(&mut vault, &name("b", "between"), 4, 300, 1);
        rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
        let _lost = one_left(&mut rig);
        force_cut(&mut rig, None);
        let begun = first_frames(&rig);
        assert_eq!(begun.len(), 2, "cut after {cut}");
        cannot_be_read(&rig, &begun[1]);
        rig.options.new_index = true;
        let mut vault = rig.start();
        let read = vault.get(&name("b", "between"), None, None);
        assert_eq!(read, Ok(content(4, 300)), "cut after {cut}");
        vault.stop();
        let (_, outlook) = look(&mut rig);
        assert_eq!(outlook.err(), Some(ForcedRefusal::Hole), "cut after {cut}");
    }
    assert!(
        seen > 0,
        "no cut after its first frame and before its label"
    );
}

/// What a cut opening left on a disk counts less than what others write from then on: the disk joins them only once a
/// start of theirs has seen how far that opening numbered.
#[test]
fn a_disk_of_an_opening_that_was_cut_joins_behind_a_start_that_saw_it() {
    let cut_after = |cut: u64| {
        let mut rig = three();
        let lost = one_left(&mut rig);
        force_cut(&mut rig, Some(cut));
        (rig, lost)
    };
    // Behind its first frame, before its last label.
    let mut began = (0..).map(cut_after);
    let (mut rig, lost) = began
        .find(|(rig, _)| !first_frames(rig).is_empty())
        .unwrap();
    let epoch = first_frames(&rig)[0].epoch;
    let begun = rig.handles[0].take().unwrap();
    [rig.handles[1], rig.handles[2]] = lost;
    let mut vault = rig.start();
    put(&mut vault, &name("b", "without"), 3, 300, 1);
    let refused = vault.attach(Some(1), &begun);
    assert_eq!(refused, Err(DiskRefusal::Begun { number: 1 }));
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    rig.handles[0] = Some(begun.clone());
    let mut vault = rig.start();
    assert_eq!(vault.attach(Some(1), &begun), Ok(()));
    vault.until("the disk takes part", |engine| {
        engine.status().disks[0].state == MemberState::Active
    });
    put(&mut vault, &name("b", "with"), 4, 300, 1);
    vault.stop();
    let newest = rig
        .frames_of(true)
        .into_iter()
        .filter(|frame| frame.sequence.opening().is_zero() && frame.lane.is_journal());
    assert!(newest.map(|frame| frame.epoch).max() > Some(epoch));
}

/// Frames that begin the first forced opening, or were to.
fn first_frames(rig: &Rig) -> Vec<FrameHeader> {
    let first = Sequence::first_of(Opening::new(1));
    let mut frames = rig.frames_of(true);
    frames.retain(|frame| frame.sequence == first);
    frames
}

/// Neither a frame nor the header of the segment that it is the first of.
fn cannot_be_read(rig: &Rig, frame: &FrameHeader) {
    for (disk, at) in rig.places_of(frame) {
        let handle = rig.handles[disk].as_ref().unwrap();
        handle.rot(at - u64::from(BLOCK_BYTES), 0xff);
        handle.rot(at, 0xff);
    }
}
