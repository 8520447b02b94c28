//! Content of which no copy is here: it is not forgotten, and comes back with its disks.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::record::Body;
use stele_store::pool::MemberState;
use stele_store::request::Refusal;

use crate::support::steps::turns;
use crate::support::{DISK_BYTES, Rig, Running, content, name};

/// The disks that hold the content of a vault's data segments.
fn holders(rig: &Rig) -> Vec<usize> {
    let mut all: Vec<usize> = rig
        .frames_of(false)
        .iter()
        .flat_map(|frame| rig.disks_of(frame))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A vault whose object "b/a" lies in a data segment that was closed by a clean stop, or is open after a power cut; and
/// the disks that hold it.
fn with_object(disks: usize, clean: bool) -> (Rig, Vec<usize>) {
    let mut rig = Rig::create(disks);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "a"), &content(1, 600_000));
    end(&rig, vault, clean);
    let away = holders(&rig);
    assert_eq!(away.len(), 2);
    (rig, away)
}

fn end(rig: &Rig, vault: Running, clean: bool) {
    match clean {
        true => vault.stop(),
        false => {
            drop(vault);
            rig.crash();
        }
    }
}

fn get(vault: &mut Running, key: &str) -> Result<Vec<u8>, Refusal> {
    vault.get(&name("b", key), None, None)
}

fn put_more(vault: &mut Running, seeds: std::ops::Range<usize>) {
    for seed in seeds {
        vault.put(&name("b", &format!("x{seed}")), &content(seed, 600_000));
    }
}

/// Gives a running vault a disk that was away, and waits until it takes part.
fn bring_back(vault: &mut Running, disk: usize, handle: &SimDiskHandle) {
    let number = u16::try_from(disk).unwrap() + 1;
    vault.attach(Some(number), handle).unwrap();
    vault.until("it takes part", |engine| {
        engine.status().heal.fill.is_none()
    });
}

/// Starts without both disks, is written, and gets them back as `back` does; then the content is there.
fn check(
    disks: usize,
    new_index: bool,
    clean: bool,
    back: impl Fn(&mut Rig, Running, &[usize], &[SimDiskHandle]) -> Running,
) {
    let (mut rig, away) = with_object(disks, clean);
    let what = format!("{disks} disks, new index {new_index}, clean {clean}");
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for disk in &away {
        rig.handles[*disk] = None;
    }
    rig.options.new_index = new_index;
    let mut vault = rig.start();
    rig.options.new_index = false;
    assert!(
        matches!(get(&mut vault, "a"), Err(Refusal::Damaged { .. })),
        "{what}"
    );
    put_more(&mut vault, 2..12);
    let mut vault = back(&mut rig, vault, &away, &all);
    assert!(get(&mut vault, "a") == Ok(content(1, 600_000)), "{what}");
    put_more(&mut vault, 20..32);
    assert!(get(&mut vault, "a") == Ok(content(1, 600_000)), "{what}");
    vault.stop();
    let mut vault = rig.start();
    assert!(get(&mut vault, "a") == Ok(content(1, 600_000)), "{what}");
    for seed in (2..12).chain(20..32) {
        assert!(
            get(&mut vault, &format!("x{seed}")) == Ok(content(seed, 600_000)),
            "{what}: {seed}"
        );
    }
}

fn again(rig: &mut Rig, vault: Running, all: &[SimDiskHandle], stops: bool) -> Running {
    end(rig, vault, stops);
    rig.handles = all.iter().cloned().map(Some).collect();
    rig.start()
}

#[test]
fn content_of_which_both_copies_are_away_comes_back_with_its_disks() {
    for disks in [6, 7] {
        for (new_index, clean) in [(false, false), (true, false), (true, true)] {
            for stops in [false, true] {
                check(disks, new_index, clean, |rig, mut vault, away, all| {
                    assert!(!vault.engine.is_reading_wanted());
                    for disk in away {
                        bring_back(&mut vault, *disk, &all[*disk]);
                        assert!(vault.engine.is_reading_wanted(), "a start would read it");
                    }
                    again(rig, vault, all, stops)
                });
            }
        }
    }
}

/// Further starts without both disks, clean ones and power cuts, forget nothing.
#[test]
fn content_that_is_away_for_several_starts_is_not_forgotten() {
    for (new_index, clean) in [(false, false), (true, true)] {
        check(6, new_index, clean, |rig, mut vault, away, all| {
            for stops in [true, false, true] {
                end(rig, vault, stops);
                vault = rig.start();
                put_more(&mut vault, 2..12);
            }
            for disk in away {
                bring_back(&mut vault, *disk, &all[*disk]);
            }
            again(rig, vault, all, false)
        });
    }
}

/// A blank disk takes the place of one of the two, which shows nothing of the segment then; the other comes back later.
#[test]
fn a_blank_disk_in_the_place_of_one_of_both_does_not_say_that_nothing_was_there() {
    check(6, false, false, |rig, mut vault, away, all| {
        let fresh = SimDiskHandle::new(DISK_BYTES, 99);
        bring_back(&mut vault, away[0], &fresh);
        rig.handles[away[0]] = Some(fresh);
        for stops in [true, false] {
            end(rig, vault, stops);
            vault = rig.start();
            put_more(&mut vault, 2..12);
        }
        bring_back(&mut vault, away[1], &all[away[1]]);
        // What is written now takes units that are free.
        for _ in 0..3 {
            put_more(&mut vault, 2..12);
        }
        rig.handles[away[1]] = Some(all[away[1]].clone());
        let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
        again(rig, vault, &all, false)
    });
}

/// What was set aside and never begun lies nowhere, also not on the disk that is away. A start cannot tell; but it
/// would tell no more with a blank disk in that one's place, so nobody has to start again for that.
#[test]
fn a_blank_disk_in_the_place_of_a_lost_one_asks_for_no_start() {
    for lost in 0..3 {
        let mut rig = Rig::create(3);
        for seeds in [1..3, 3..9] {
            let mut vault = rig.start();
            if seeds.start == 1 {
                vault.bucket("b", false);
            }
            put_more(&mut vault, seeds);
            vault.stop();
        }
        rig.handles[lost] = None;
        let mut vault = rig.start();
        put_more(&mut vault, 9..12);
        bring_back(&mut vault, lost, &SimDiskHandle::new(DISK_BYTES, 99));
        assert!(!vault.engine.is_reading_wanted(), "disk {lost}");
    }
}

/// A drain that nobody can end as long as a disk is away says which one.
#[test]
fn a_drain_says_for_which_disk_it_waits() {
    let (mut rig, away) = with_object(6, true);
    let back: Vec<SimDiskHandle> = away
        .iter()
        .map(|disk| rig.handles[*disk].take().unwrap())
        .collect();
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 99);
    bring_back(&mut vault, away[0], &fresh);
    rig.handles[away[0]] = Some(fresh);
    vault.stop();
    rig.options.new_index = true;
    let mut vault = rig.start();
    bring_back(&mut vault, away[1], &back[1]);
    let numbers = [0, 1].map(|at| u16::try_from(away[at]).unwrap() + 1);
    vault.drain(numbers[0]).unwrap();
    turns(&mut vault);
    let waits = |vault: &Running| {
        let heal = vault.engine.status().heal;
        assert_eq!(heal.drain.map(|(number, _)| number), Some(numbers[0]));
        heal.drain_lacks
    };
    assert_eq!(waits(&vault), [], "a start would read what it waits for");
    // The other one is pulled out.
    back[1].vanish();
    put_more(&mut vault, 2..12);
    assert_eq!(waits(&vault), [numbers[1]]);
}

/// As before, where the segment was closed, and the index is made anew while the other disk is away. A drain lets go of
/// no disk that has the only copy.
#[test]
fn a_closed_segment_outlasts_a_blank_disk_and_an_index_made_anew() {
    for cut in [false, true] {
        let (mut rig, away) = with_object(6, !cut);
        if cut {
            // The start after the power cut closes it.
            rig.start().stop();
        }
        let first = rig.frames_of(false)[0];
        let back: Vec<SimDiskHandle> = away
            .iter()
            .map(|disk| rig.handles[*disk].take().unwrap())
            .collect();
        let mut vault = rig.start();
        let fresh = SimDiskHandle::new(DISK_BYTES, 99);
        bring_back(&mut vault, away[0], &fresh);
        rig.handles[away[0]] = Some(fresh);
        vault.stop();
        rig.options.new_index = true;
        let mut vault = rig.start();
        rig.options.new_index = false;
        assert!(!vault.engine.is_reading_wanted(), "no disk came");
        put_more(&mut vault, 2..12);
        bring_back(&mut vault, away[1], &back[1]);
        rig.handles[away[1]] = Some(back[1].clone());
        assert!(vault.engine.is_reading_wanted(), "a start would read it");
        let number = u16::try_from(away[1]).unwrap() + 1;
        vault.drain(number).unwrap();
        turns(&mut vault);
        let state = vault.engine.status().disks[away[1]].state;
        assert_eq!(state, MemberState::Active, "it has the only copy");
        vault.stop();
        let mut vault = rig.start();
        assert!(get(&mut vault, "a") == Ok(content(1, 600_000)), "cut {cut}");
        assert!(!vault.engine.is_reading_wanted());
        // It is read again, and written on the disk that took the other one's place.
        for _ in 0..24 {
            vault.sleep(3_600_000);
            turns(&mut vault);
        }
        assert_eq!(rig.disks_of(&first), away, "cut {cut}");
        vault.stop();
    }
}

/// A write that a power cut left behind the frames may be on the copy that is away alone, and units that are given
/// back are taken for blank.
#[test]
fn the_room_behind_the_frames_is_given_back_only_if_every_copy_is_here() {
    let kept = |gone: bool| {
        let (mut rig, away) = with_object(6, false);
        if gone {
            rig.handles[away[0]] = None;
        }
        let segment = rig.frames_of(false)[0].segment;
        rig.start().stop();
        let records = rig.records();
        let closed = records.iter().filter_map(|body| match body {
            Body::Epoch(epoch) => Some(&epoch.abandoned),
            _ => None,
        });
        let mut closed = closed.flatten().filter(|one| one.segment == segment);
        let kept = closed.next().map(|one| one.units_kept.get());
        assert!(closed.next().is_none(), "it is closed once");
        kept.unwrap()
    };
    let (here, gone) = (kept(false), kept(true));
    assert!(here < gone, "{here} units, and {gone} with a copy away");
}
