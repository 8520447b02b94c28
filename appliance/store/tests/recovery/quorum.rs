//! Which disks may go on: whatever was acknowledged, a set that knows nothing of it takes no writes.

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::{Loss, Plan};
use stele_format::label::{LabelCopy, MemberState};
use stele_format::units::Generation;
use stele_store::engine::DiskSlot;
use stele_store::recovery::{DiskVerdict, OpenError, read_label};
use stele_store::request::{Command, ReadOnlyReason, Refusal};

use crate::support::steps::{self, turns};
use crate::support::{Rig, Running, content, name};

/// Starts with some of the disks only.
fn start_with(
    rig: &mut Rig,
    all: &[SimDiskHandle],
    present: &[usize],
) -> Result<Running, OpenError> {
    let here = |number: usize| present.contains(&number);
    let handles = all.iter().enumerate();
    rig.handles = handles
        .map(|(number, handle)| here(number).then(|| handle.clone()))
        .collect();
    rig.try_start()
}

fn create_bucket(vault: &mut Running, bucket: &str) -> Result<(), Refusal> {
    let name = bucket.to_owned();
    let created = vault.ask(Command::CreateBucket { name, lock: false });
    created.map(|_| ())
}

/// Starts a vault with each set of disks in turn; each is stopped by a power cut. Whether it takes writes
/// is as expected, and what an earlier one took is there wherever a later one takes writes.
fn check(disks: usize, starts: &[(&[usize], bool)]) {
    let mut rig = Rig::create(disks);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut buckets: Vec<String> = Vec::new();
    for (at, (present, writes)) in starts.iter().enumerate() {
        let what = format!("{disks} disks, start {at} of {starts:?}");
        let mut vault = match start_with(&mut rig, &all, present) {
            Ok(vault) => vault,
            Err(OpenError::NoIndexDisk { .. }) if !*writes => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        let bucket = format!("bucket-{at}");
        let created = create_bucket(&mut vault, &bucket);
        let what = format!("{what}: {created:?}");
        assert_eq!(created.is_ok(), *writes, "{what}");
        if created.is_ok() {
            for earlier in &buckets {
                let again = create_bucket(&mut vault, earlier);
                assert!(again.is_err(), "{what}: {earlier} is gone");
            }
            buckets.push(bucket);
        } else {
            assert!(matches!(created, Err(Refusal::ReadOnly(_))), "{what}");
        }
        drop(vault);
        rig.crash();
    }
}

#[test]
fn a_start_writes_only_with_more_than_half_of_the_membership_in_force() {
    check(1, &[(&[0], true), (&[0], true)]);
    check(2, &[(&[0, 1], true), (&[0], false), (&[0, 1], true)]);
    check(3, &[(&[0, 1], true), (&[1, 2], false), (&[0, 1, 2], true)]);
    check(4, &[(&[0, 2], false), (&[1, 3], false), (&[0, 1, 2], true)]);
    check(4, &[(&[0, 2, 3], true), (&[1, 3], false), (&[0, 3], true)]);
    check(
        5,
        &[(&[0, 2, 3], true), (&[1, 4], false), (&[1, 3, 4], false)],
    );
    check(
        5,
        &[(&[0, 2], false), (&[1, 3, 4], true), (&[0, 2, 3], false)],
    );
    check(
        5,
        &[(&[0, 1, 2, 3], true), (&[0, 1, 2], true), (&[0, 1], true)],
    );
}

/// Starts with some of the disks, again and again, cut before the `step`th step that changes a disk; whether
/// the last one was cut.
pub fn cut_starts(rig: &mut Rig, all: &[SimDiskHandle], present: &[usize], steps: &[u64]) -> bool {
    let mut cut = false;
    for step in steps {
        let before: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
        rig.power.note_changes();
        let from = rig.power.steps();
        drop(start_with(rig, all, present));
        let changes = rig.power.take_changes();
        all.iter()
            .zip(&before)
            .for_each(|(disk, was)| disk.restore(was));
        let at = changes.get(usize::try_from(*step).unwrap());
        cut = at.is_some();
        if let Some(at) = at {
            rig.power.cut_after(at - from);
            drop(start_with(rig, all, present));
            rig.power.restore();
        }
        all.iter().for_each(|disk| disk.crash(Loss::Nothing));
    }
    cut
}

/// Some starts with the first set of disks are cut at every step in turn, so many times; what a start with
/// the second set then acknowledges is known to every later one that takes writes.
fn check_cut(
    disks: usize,
    first: &[usize],
    times: usize,
    second: &[usize],
    later: &[(&[usize], bool)],
) {
    let mut rig = Rig::create(disks);
    rig.start().stop();
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let fresh: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
    for step in 0.. {
        all.iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
        if !cut_starts(&mut rig, &all, first, &vec![step; times]) {
            assert!(
                step > 20,
                "a start of {first:?} changes more than {step} times"
            );
            break;
        }
        let what = format!("{times} starts of {first:?} cut before change {step}, then {second:?}");
        let mut vault = match start_with(&mut rig, &all, second) {
            Ok(vault) => vault,
            Err(OpenError::NoIndexDisk { .. }) => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        // It may be bound by what the cut ones wrote: then it takes nothing.
        let acknowledged = create_bucket(&mut vault, "acknowledged").is_ok();
        let disks = vault.report.disks.iter();
        let active = disks.filter(|disk| disk.verdict == DiskVerdict::Active);
        let whole = active.count() == second.len();
        drop(vault);
        rig.crash();
        let then: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
        for (present, writes) in later {
            all.iter()
                .zip(&then)
                .for_each(|(disk, was)| disk.restore(was));
            let what = format!("{what}, then {present:?}");
            let mut vault = match start_with(&mut rig, &all, present) {
                Ok(vault) => vault,
                Err(OpenError::NoIndexDisk { .. }) if !*writes => continue,
                Err(error) => panic!("{what}: {error}"),
            };
            let again = create_bucket(&mut vault, "acknowledged");
            if acknowledged {
                assert!(again.is_err(), "{what}: acknowledged, and gone");
            }
            if whole {
                let taken = create_bucket(&mut vault, "other").is_ok();
                assert_eq!(taken, *writes, "{what}");
            }
        }
    }
}

/// Two sets of four disks of seven that share one, each with an index and two copies of the journal.
fn halves_of_seven() -> (Vec<usize>, Vec<usize>) {
    let mut rig = Rig::create(7);
    rig.start().stop();
    let newest = *rig.frames_of(true).last().unwrap();
    let mut journal = rig.disks_of(&newest);
    journal.sort_unstable_by_key(|disk| if *disk == 1 { usize::MAX } else { *disk });
    let shared = journal.remove(1);
    let others = (0..7).filter(|disk| *disk != shared && !journal.contains(disk));
    let (mut others, one): (Vec<usize>, Vec<usize>) = others.partition(|disk| *disk != 1);
    others.extend(one);
    (
        vec![others[0], others[1], journal[0], shared],
        vec![others[2], others[3], journal[1], shared],
    )
}

#[test]
fn starts_that_are_cut_do_not_outrank_what_is_in_force() {
    let (first, second) = halves_of_seven();
    let all: Vec<usize> = (0..7).collect();
    let later: &[(&[usize], bool)] = &[(&first, false), (&second, true), (&all, true)];
    for times in [1, 3] {
        check_cut(7, &first, times, &second, later);
    }
    let later: &[(&[usize], bool)] = &[(&[0, 1], false), (&[1, 2], true), (&[0, 1, 2], true)];
    check_cut(3, &[0, 1, 2], 3, &[1, 2], later);
    let later: &[(&[usize], bool)] = &[(&[0, 1], true), (&[1, 2], true), (&[0, 2], true)];
    check_cut(3, &[0, 1], 3, &[0, 1, 2], later);
}

#[test]
fn a_start_cut_in_its_labels_does_not_bind_the_next_one_that_sees_it_was() {
    let mut rig = Rig::create(3);
    rig.start().stop();
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    // Both promised; the label it begins with reached the first disk, and the third was away.
    assert!(cut_starts(&mut rig, &all, &[0, 1], &[3 * LABEL_CHANGES]));
    let vault = start_with(&mut rig, &all, &[0, 1, 2]).unwrap();
    assert_eq!(vault.engine.status().state.word(), "ok");
}

/// Changes of the labels and the first frame of a start with so many disks, the segment on three of them.
fn changes(disks: u64) -> u64 {
    3 * LABEL_CHANGES * disks + 2 * 3
}

/// Four writes and two flushes.
const LABEL_CHANGES: u64 = 6;

/// An update of the labels was cut when it had reached one disk. A start with others is cut when its last
/// labels have reached one of them, at every step of them in turn. What another start then acknowledges is
/// known to every later one that writes.
#[test]
fn a_start_cut_in_its_last_labels_binds_all_that_share_a_disk_with_it() {
    let (first, second) = halves_of_seven();
    let mut rig = Rig::create(7);
    rig.start().stop();
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut further = read_label(&mut all[first[0]].open()).unwrap();
    let label = further.dynamic.as_mut().unwrap();
    label.in_force = label.generation;
    label.generation = Generation::new(label.generation.get() + 1);
    for copy in LabelCopy::ALL {
        let geometry = further.fixed.geometry;
        let at = label.place(&geometry, copy).offset.get();
        all[first[0]].tamper(at, &label.encode(&geometry, copy).unwrap());
    }
    let then: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
    let shared = *second.last().unwrap();
    let without: Vec<usize> = second
        .iter()
        .copied()
        .filter(|disk| *disk != shared)
        .collect();
    let last_labels = changes(4) - LABEL_CHANGES * 4;
    for step in 0..=changes(4) {
        all.iter()
            .zip(&then)
            .for_each(|(disk, was)| disk.restore(was));
        assert!(cut_starts(&mut rig, &all, &second, &[step]) || step >= changes(4));
        let what = format!("{second:?} cut before change {step} (last labels {last_labels})");
        let one = writes(&mut rig, &all, &first, &what);
        let other = writes(&mut rig, &all, &without, &what);
        assert!(
            !(one && other),
            "{what}: {first:?} and {without:?} both wrote"
        );
    }
}

/// Whether a start with these disks takes a write.
fn writes(rig: &mut Rig, all: &[SimDiskHandle], present: &[usize], what: &str) -> bool {
    let taken = match start_with(rig, all, present) {
        Ok(mut vault) => create_bucket(&mut vault, "bucket").is_ok(),
        Err(OpenError::NoIndexDisk { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    };
    rig.crash();
    taken
}

#[test]
fn a_running_vault_goes_on_with_half_of_its_disks_and_the_other_half_cannot() {
    let mut rig = Rig::create(4);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut vault = rig.start();
    vault.bucket("b", false);
    for lost in [3, 1] {
        all[lost].vanish();
        vault.put(&name("b", "k"), &content(lost, 10_000));
        turns(&mut vault);
    }
    vault.put(&name("b", "k"), &content(7, 10_000));
    drop(vault);
    rig.crash();
    all.iter().for_each(SimDiskHandle::come_back);
    let mut vault = start_with(&mut rig, &all, &[1, 3]).unwrap();
    assert!(create_bucket(&mut vault, "c").is_err(), "the lost half");
    drop(vault);
    let mut vault = start_with(&mut rig, &all, &[0, 2]).unwrap();
    vault.bucket("c", false);
    let kept = vault.get(&name("b", "k"), None, None).unwrap();
    assert!(kept == content(7, 10_000));
}

#[test]
fn disks_lost_together_and_found_again_take_writes_again() {
    for disks in [3, 4] {
        let mut rig = Rig::create(disks);
        let mut vault = rig.start();
        vault.bucket("b", false);
        vault.put(&name("b", "k"), &content(1, 10_000));
        let last = *rig.frames_of(true).last().unwrap();
        let journal = rig.disks_of(&last);
        // As with one controller for all of them; a label update that begins meanwhile must not name what is left.
        for disk in &journal {
            rig.handles[*disk].as_ref().unwrap().vanish();
        }
        let put = name("b", "other");
        if let Ok(stream) = vault.open_put(&put, steps::object()) {
            drop(vault.feed(stream, &content(2, 10_000)));
            vault.send(steps::commit(stream));
        }
        turns(&mut vault);
        drop(vault);
        rig.crash();
        rig.handles
            .iter()
            .flatten()
            .for_each(SimDiskHandle::come_back);
        let mut vault = rig.start();
        let written = create_bucket(&mut vault, "c");
        let found = &vault.report.disks;
        assert_eq!(written, Ok(()), "{disks} disks: {found:?}");
        let kept = vault.get(&name("b", "k"), None, None).unwrap();
        assert!(kept == content(1, 10_000));
    }
}

#[test]
fn of_two_disks_with_one_identity_the_newer_takes_part() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 10_000));
    vault.stop();
    // Somebody kept a copy of the first disk, and attaches it as well.
    let copy = SimDiskHandle::new(crate::support::DISK_BYTES, 77);
    copy.restore(&rig.handles[0].as_ref().unwrap().snapshot());
    rig.start().stop();
    for place in [0, 3] {
        let mut with_copy = rig.handles.clone();
        with_copy.insert(place, Some(copy.clone()));
        let before = std::mem::replace(&mut rig.handles, with_copy);
        let mut vault = rig.start();
        let verdicts: Vec<DiskVerdict> = vault.report.disks.iter().map(|d| d.verdict).collect();
        let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
        assert_eq!(
            (count(DiskVerdict::Active), count(DiskVerdict::Stale)),
            (3, 1)
        );
        let read = vault.get(&name("b", "k"), None, None).unwrap();
        assert!(read == content(1, 10_000));
        vault.stop();
        rig.handles = before;
    }
}

#[test]
fn a_vault_without_room_for_a_further_start_says_that_it_is_full() {
    let mut rig = Rig::create(1);
    let mut reason = None;
    for _ in 0..1_000 {
        let vault = rig.start();
        reason = vault.engine.status().read_only;
        if reason.is_some() {
            break;
        }
        drop(vault);
        rig.crash();
    }
    assert_eq!(reason, Some(ReadOnlyReason::Full));
}

/// A running vault of four disks loses two at once, and power is lost at every step of what it does then.
/// Whenever both of the others know that they were all there was, they go on, and the lost ones never do.
#[test]
fn the_half_that_a_running_vault_went_on_with_goes_on_after_a_cut() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.stop();
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut between = 0;
    for step in 0..80 {
        let fresh: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
        let mut vault = start_with(&mut rig, &all, &[0, 1, 2, 3]).unwrap();
        turns(&mut vault);
        let newest = *rig.frames_of(true).last().unwrap();
        let journal = rig.disks_of(&newest);
        let spare = (0..4).find(|disk| !journal.contains(disk)).unwrap();
        let (lost, kept) = ([spare, journal[2]], [journal[0], journal[1]]);
        lost.iter().for_each(|disk| all[*disk].vanish());
        rig.power.cut_after(step);
        vault.send(steps::open_get());
        let stream = Command::CreateBucket {
            name: "c".to_owned(),
            lock: false,
        };
        vault.send(stream);
        turns(&mut vault);
        drop(vault);
        rig.power.restore();
        all.iter().for_each(|disk| disk.crash(Loss::Nothing));
        all.iter().for_each(SimDiskHandle::come_back);
        let label = |disk: usize| read_label(&mut all[disk].open()).unwrap().dynamic.unwrap();
        let (one, other) = (label(kept[0]), label(kept[1]));
        let active = one
            .members
            .iter()
            .filter(|m| m.state == MemberState::Active);
        let voters = one.members.iter().filter(|member| member.voter);
        let halved = one.members == other.members && active.count() == 2;
        between += u32::from(halved && voters.count() == 4);
        let then: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
        let what = format!("cut after {step}");
        assert!(!writes(&mut rig, &all, &lost, &what), "{what}: {lost:?}");
        all.iter()
            .zip(&then)
            .for_each(|(disk, was)| disk.restore(was));
        let index = kept.iter().any(|disk| *disk < 2);
        let wrote = writes(&mut rig, &all, &kept, &what);
        assert_eq!(wrote, halved && index, "{what}: {one:?}");
        all.iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
    }
    assert!(between > 0, "the cut between the two labels was among them");
}

/// A start of three of five disks is cut while it writes its last labels. A start with two of them and the
/// others goes on, unless one of the two fails meanwhile: that one and the third would go on as well.
#[test]
fn a_start_that_passes_over_another_keeps_half_of_its_disks() {
    let mut rig = Rig::create(5);
    rig.start().stop();
    let mut journal = rig.disks_of(rig.frames_of(true).last().unwrap());
    journal.sort_unstable();
    // It is the first to get each label, and the vault's index is on it and on another disk.
    let last = (0..2).find(|disk| !journal.contains(disk)).unwrap();
    let [_, one, two] = journal[..] else {
        panic!("three copies")
    };
    assert!(last < one);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let fresh: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
    let restore = |to: &Vec<_>| all.iter().zip(to).for_each(|(disk, was)| disk.restore(was));
    let rest: Vec<usize> = (0..5).filter(|disk| *disk != last).collect();
    let mut passed_over = 0;
    for step in 6 * LABEL_CHANGES.. {
        restore(&fresh);
        if !cut_starts(&mut rig, &all, &[last, one, two], &[step]) {
            break;
        }
        let then: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
        for fails in [false, true] {
            restore(&then);
            let what = format!("cut before change {step}, disk {two} fails: {fails}");
            if fails {
                all[two].fail_writes_from(0);
            }
            let went_on = writes(&mut rig, &all, &rest, &what);
            all[two].set_plan(Plan::default());
            let other = writes(&mut rig, &all, &[last, two], &what);
            assert!(!(went_on && other), "{what}: both wrote");
            assert!(!(went_on && fails), "{what}: it lost half of those");
            passed_over += u32::from(went_on);
        }
    }
    assert!(
        passed_over > 0,
        "some cut left two disks with the first label only"
    );
}

/// What a vault that takes no writes asks to be plugged in.
fn asked_for(vault: &Running) -> String {
    match vault.engine.status().read_only {
        Some(
            ReadOnlyReason::TooFewDisks { missing, .. }
            | ReadOnlyReason::JournalDamaged { missing, .. },
        ) => missing,
        other => panic!("not read-only for want of disks: {other:?}"),
    }
}

#[test]
fn a_read_only_vault_asks_for_the_disks_that_would_make_it_write_and_for_no_other() {
    let mut rig = Rig::create(3);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    // The third one fails, and is being filled again when the second one goes.
    all[2].vanish();
    vault.put(&name("b", "k"), &content(1, 10_000));
    turns(&mut vault);
    let fresh = SimDiskHandle::new(crate::support::DISK_BYTES, 55);
    vault.attach(Some(3), &fresh).unwrap();
    all[1].vanish();
    drop(
        vault
            .open_put(&name("b", "k"), steps::object())
            .map(|stream| {
                drop(vault.feed(stream, &content(2, 10_000)));
                vault.send(steps::commit(stream));
            }),
    );
    turns(&mut vault);
    let asked = asked_for(&vault);
    assert!(!asked.contains("disk 3 "), "it is in: {asked}");
    assert!(asked.contains("disk 2 "), "{asked}");
    drop(vault);
    // At a start with what is left of the third one, too.
    rig.crash();
    all.iter().for_each(SimDiskHandle::come_back);
    let vault = start_with(&mut rig, &all, &[0, 2]).unwrap();
    let asked = asked_for(&vault);
    assert!(!asked.contains("disk 3 "), "it is in: {asked}");
    assert!(asked.contains("disk 2 "), "{asked}");
    drop(vault);
    rig.crash();
    let vault = start_with(&mut rig, &all, &[0, 1]).unwrap();
    assert_eq!(vault.engine.status().read_only, None);
}

/// What no start may change that takes no writes.
fn all_but_the_index(disk: &SimDiskHandle) -> Vec<u8> {
    let geometry = read_label(&mut disk.open()).unwrap().fixed.geometry;
    let (from, to) = (
        geometry.index_offset().get(),
        geometry.extents_offset().get(),
    );
    let rest = usize::try_from(crate::support::DISK_BYTES - to).unwrap();
    let roots = disk.peek(0, usize::try_from(from).unwrap());
    [roots, disk.peek(to, rest)].concat()
}

/// One disk was left out and another one was lost; both were being filled again when the power went.
#[test]
fn a_disk_left_out_and_one_that_was_being_filled_know_nothing_and_write_nothing() {
    let mut rig = Rig::create(4);
    rig.start().stop();
    let mut all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut vault = start_with(&mut rig, &all, &[1, 2, 3]).unwrap();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 10_000));
    vault.stop();
    let fresh = SimDiskHandle::new(crate::support::DISK_BYTES, 56);
    for (number, disk) in [(3, &fresh), (1, &all[0])] {
        let mut vault = start_with(&mut rig, &all, &[0, 1, 3]).unwrap();
        vault.attach(Some(number), disk).unwrap();
        drop(vault);
        rig.crash();
        fresh.crash(Loss::Seeded);
    }
    all[2] = fresh;
    let before: Vec<_> = all.iter().map(all_but_the_index).collect();
    let verdict = |vault: &Running, slot: usize| {
        let slot = Some(DiskSlot(u16::try_from(slot).unwrap()));
        let mut reports = vault.report.disks.iter();
        reports.find(|report| report.slot == slot).unwrap().verdict
    };
    // By its label the first takes part, with three others.
    let mut vault = start_with(&mut rig, &all, &[0, 2]).unwrap();
    let verdicts = [0, 2].map(|slot| verdict(&vault, slot));
    assert_eq!(verdicts, [DiskVerdict::Active, DiskVerdict::Stale]);
    let created = create_bucket(&mut vault, "c");
    assert!(matches!(created, Err(Refusal::ReadOnly(_))), "{created:?}");
    let asked = asked_for(&vault);
    assert!(
        asked.contains("disk 2 ") && asked.contains("disk 4 "),
        "{asked}"
    );
    drop(vault);
    let after: Vec<_> = all.iter().map(all_but_the_index).collect();
    assert!(before == after, "a disk was written to");
    // One that knows is enough to tell that it does not.
    let vault = start_with(&mut rig, &all, &[0, 1, 2]).unwrap();
    let verdicts = [0, 1, 2].map(|slot| verdict(&vault, slot));
    let stale = DiskVerdict::Stale;
    assert_eq!(verdicts, [stale, DiskVerdict::Active, stale]);
    assert!(vault.engine.status().read_only.is_some());
    drop(vault);
    let mut vault = start_with(&mut rig, &all, &[0, 1, 2, 3]).unwrap();
    assert_eq!(vault.engine.status().read_only, None);
    let read = vault.get(&name("b", "k"), None, None).unwrap();
    assert!(read == content(1, 10_000));
}
