//! The head of the log in the key state: a log that was cut or put back to an earlier time is told at the start, and
//! nothing is written over it; power lost around its writing shuts nobody out.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::Loss;
use stele_device::sim::keyprovider::SimCounter;
use stele_format::limits::KEYSTATE_COPIES;
use stele_format::units::UnixMillis;
use stele_store::engine::Event;
use stele_store::keys::copies::LoadError;
use stele_store::recovery::OpenError;
use stele_store::request::ReadOnlyReason;
use support::steps::turns;
use support::{DISK_BYTES, PARAMS, Rig, content, name};

/// Where key state lies on a disk.
const KEYS_AT: u64 = 1 << 20;
const KEYS_BYTES: usize = PARAMS.keystate_bytes as usize * KEYSTATE_COPIES as usize;

fn disks(rig: &Rig) -> Vec<SimDiskHandle> {
    rig.handles.iter().flatten().cloned().collect()
}

fn images(rig: &Rig) -> Vec<SimSnapshot> {
    disks(rig).iter().map(SimDiskHandle::snapshot).collect()
}

/// Puts all disks back, but for their key state.
fn put_back(rig: &Rig, images: &[SimSnapshot]) {
    for (disk, image) in disks(rig).iter().zip(images) {
        let keys = disk.peek(KEYS_AT, KEYS_BYTES);
        disk.restore(image);
        disk.tamper(KEYS_AT, &keys);
    }
}

/// One start, an object stored, a clean stop; records of the log then.
fn session(rig: &mut Rig, key: &str, seed: usize) -> u64 {
    let mut vault = rig.start();
    vault.put(&name("b", key), &content(seed, 300));
    let size = vault.engine.status().log_size;
    vault.stop();
    size
}

fn with_bucket(mut rig: Rig) -> Rig {
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.stop();
    rig
}

fn refused(rig: &mut Rig) -> OpenError {
    let before: Vec<[u8; 32]> = disks(rig).iter().map(SimDiskHandle::digest).collect();
    let error = rig.try_start().err().expect("refused");
    let after: Vec<[u8; 32]> = disks(rig).iter().map(SimDiskHandle::digest).collect();
    assert_eq!(before, after, "nothing was written");
    error
}

#[test]
fn h6_a_log_put_back_to_an_earlier_time_is_refused_and_not_written_over() {
    let mut rig = with_bucket(Rig::create(3));
    let short = session(&mut rig, "a", 1);
    let earlier = images(&rig);
    let long = session(&mut rig, "b", 2);
    let now = images(&rig);
    put_back(&rig, &earlier);
    match refused(&mut rig) {
        error @ OpenError::LogShort { first, last, .. } => {
            assert!(
                first >= short && last + 1 >= long,
                "{short} {long}: {error}"
            );
            let told = error.to_string();
            assert!(told.contains(&format!("before record {first}:")), "{told}");
            assert!(told.contains("missing (none)"), "{told}");
        }
        other => panic!("unexpected {other}"),
    }
    // Which may hold the rest is said.
    let third = rig.handles[2].take();
    let told = refused(&mut rig).to_string();
    assert!(told.contains("missing (disk 3 ("), "{told}");
    rig.handles[2] = third;
    for (disk, image) in disks(&rig).iter().zip(&now) {
        disk.restore(image);
    }
    let mut vault = rig.start();
    let read = vault.get(&name("b", "b"), None, None).unwrap();
    assert_eq!(read, content(2, 300));
}

#[test]
fn h6_another_log_of_the_same_length_is_refused() {
    let mut rig = with_bucket(Rig::create(3));
    let fork = images(&rig);
    let one = session(&mut rig, "a", 1);
    let with_keys = images(&rig);
    for (disk, image) in disks(&rig).iter().zip(&fork) {
        disk.restore(image);
    }
    assert_eq!(session(&mut rig, "a", 2), one);
    let other = images(&rig);
    for (disk, image) in disks(&rig).iter().zip(&with_keys) {
        disk.restore(image);
    }
    put_back(&rig, &other);
    match refused(&mut rig) {
        OpenError::OtherLog { size } => assert!(size >= one),
        other => panic!("unexpected {other}"),
    }
}

/// Each start and each stop makes every earlier key state useless, so that nothing is left to start from.
#[test]
fn h6_of_an_anchored_vault_all_disks_put_back_at_once_stay_shut() {
    let counter = SimCounter::new(5);
    let rig = Rig::create_on(&[DISK_BYTES; 3], Some(counter.clone()));
    let mut rig = with_bucket(rig);
    let stopped = images(&rig);
    let vault = rig.start();
    drop(vault);
    rig.crash();
    let started = images(&rig);
    session(&mut rig, "a", 1);
    for images in [stopped, started] {
        for (disk, image) in disks(&rig).iter().zip(&images) {
            disk.restore(image);
        }
        let error = refused(&mut rig);
        let shut = matches!(error, OpenError::Keys(LoadError::Shut { .. }));
        assert!(shut, "{error}");
    }
}

/// The index has the rows of the record, and is not believed over a journal that lacks it.
#[test]
fn h6_a_log_whose_last_frame_is_gone_from_every_disk_is_not_gone_on_with() {
    let mut rig = with_bucket(Rig::create(3));
    session(&mut rig, "a", 1);
    let last = *rig.frames_of(true).last().unwrap();
    for (disk, at) in rig.places_of(&last) {
        let zeros = vec![0; PARAMS.unit_bytes as usize];
        // The frame, and footer and seal behind it.
        let handle = rig.handles[disk].as_ref().unwrap();
        handle.tamper(at, &zeros[..last.total_bytes as usize]);
    }
    let vault = rig.start();
    let status = vault.engine.status();
    let found = status.read_only;
    assert!(
        matches!(found, Some(ReadOnlyReason::JournalDamaged { .. })),
        "{found:?}"
    );
}

/// Fewer disks than a start needs: what is there is read, also where it has less than the head.
#[test]
fn a_single_disk_of_three_is_read_also_when_it_lags() {
    let mut rig = with_bucket(Rig::create(3));
    let earlier = images(&rig);
    session(&mut rig, "a", 1);
    put_back(&rig, &earlier);
    rig.handles[0] = None;
    rig.handles[2] = None;
    let mut vault = rig.start();
    turns(&mut vault);
    assert!(vault.engine.status().read_only.is_some());
    let read = vault.get(&name("b", "a"), None, None);
    assert!(read.is_err(), "what it lacks is not there");
}

#[test]
fn c2_compliance_time_is_never_behind_what_the_key_state_says() {
    let mut rig = with_bucket(Rig::create(3));
    let mut vault = rig.start();
    // Nothing is written in these days, so that no record has them.
    vault.sleep(3 * 86_400_000);
    let told = vault.engine.compliance();
    vault.stop();
    let latest = rig
        .log()
        .iter()
        .map(|(header, _)| header.compliance_ms)
        .max();
    assert!(latest < Some(told));
    let vault = rig.start();
    assert!(vault.engine.compliance() >= told);
}

/// A start and a clean stop, until the power fails.
fn start_and_stop(rig: &mut Rig) {
    let Ok(mut vault) = rig.try_start() else {
        return;
    };
    vault.event(Event::Stop);
    while rig.power.is_on() && !vault.engine.is_stopped() {
        vault.turn();
    }
    drop(vault.engine.keep_head(&mut vault.disks));
}

fn power_lost_at_every_step(anchored: bool) {
    let counter = |value| anchored.then(|| SimCounter::new(value));
    let rig = Rig::create_on(&[DISK_BYTES; 3], counter(5));
    let mut rig = with_bucket(rig);
    session(&mut rig, "a", 1);
    let fresh = images(&rig);
    let stood = rig.anchor.as_ref().map_or(0, SimCounter::value);
    let from = rig.power.steps();
    rig.power.note_changes();
    start_and_stop(&mut rig);
    let changes = rig.power.take_changes();
    assert!(changes.len() > 40, "{} steps", changes.len());
    for at in changes {
        for (disk, image) in disks(&rig).iter().zip(&fresh) {
            disk.restore(image);
        }
        rig.anchor = counter(stood);
        rig.power.cut_after(at - from);
        start_and_stop(&mut rig);
        rig.power.restore();
        disks(&rig).iter().for_each(|disk| disk.crash(Loss::Seeded));
        let what = format!("cut before step {}", at - from);
        let mut vault = match rig.try_start() {
            Ok(vault) => vault,
            Err(error) => panic!("{what}: {error}"),
        };
        assert_eq!(vault.engine.status().read_only, None, "{what}");
        vault.put(&name("b", "after"), &content(3, 100));
        for (key, seed, bytes) in [("a", 1, 300), ("after", 3, 100)] {
            let read = vault.get(&name("b", key), None, None);
            assert_eq!(read.unwrap(), content(seed, bytes), "{what}: {key}");
        }
    }
}

#[test]
fn power_lost_at_any_step_of_a_start_or_a_stop_shuts_nobody_out() {
    power_lost_at_every_step(false);
}

#[test]
fn power_lost_at_any_step_of_a_start_or_a_stop_of_an_anchored_vault_shuts_nobody_out() {
    power_lost_at_every_step(true);
}

/// A clock that no record can state counts as the last one that it can, and alarms.
#[test]
fn a_wall_clock_beyond_every_calendar_ends_nothing() {
    let mut rig = with_bucket(Rig::create(3));
    for wall in [u64::MAX, 1 << 62, 253_402_300_800_000, 0] {
        rig.clock_ms = wall;
        let mut vault = rig.start();
        vault.put(&name("b", "k"), &content(1, 300));
        vault.set_wall(wall);
        turns(&mut vault);
        assert!(vault.engine.status().wall_alarm, "{wall}");
        vault.stop();
    }
    let last = UnixMillis::new(253_402_300_799_999);
    let latest = rig.log().iter().map(|(header, _)| header.wall_ms).max();
    assert_eq!(latest, Some(last));
}
