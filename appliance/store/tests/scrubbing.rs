//! What is read again, when, and in which order.
mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::record::Body;
use stele_format::units::{SegmentId, UnixMillis};
use stele_store::engine::{Engine, HealPlan};
use stele_store::heal::late::Reread;
use stele_store::heal::pace::Rates;
use stele_store::heal::schedule::Due;
use stele_store::limits::SCRUB_TOLD_MS;
use stele_store::request::Refusal;
use stele_store::status::Alarm;
use support::steps::{CHUNK, object, put_data, turns};
use support::{DISK_BYTES, Rig, Running, content, name};

const HOUR_MS: u64 = 3_600_000;

/// Everything that is due is read again.
fn pass(vault: &mut Running, hours: u64) {
    vault.sleep(hours * HOUR_MS);
    vault.until("a pass", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.oldest_unverified_ms < HOUR_MS
    });
}

/// A byte of a frame that begins there rots.
fn rot(rig: &Rig, disk: usize, at: u64) {
    let handle = rig.handles[disk].as_ref().expect("an attached disk");
    handle.rot(at + 5_000, 1);
}

/// Hours pass in which clients are always at work, in steps of so many minutes.
fn work(vault: &mut Running, hours: u64, step: u64) {
    for _ in 0..hours * 60 / step {
        vault.now.monotonic_ms += step * 60_000;
        vault.now.wall = UnixMillis::new(vault.now.wall.get() + step * 60_000);
        // What a client asks comes before anything else that the time would bring.
        vault
            .get(&name("b", "small"), None, None)
            .expect("an answer");
        (0..20).for_each(|_| vault.turn());
    }
}

/// For how many hours what is new has waited to be read.
fn first_hours(engine: &Engine) -> u64 {
    engine.status().heal.ages.first_ms / HOUR_MS
}

/// Whether something was late, and whether it is no more.
fn late(engine: &mut Engine) -> Vec<(Reread, bool)> {
    let alarms = engine.take_new_alarms().into_iter();
    let told = alarms.filter_map(|alarm| match alarm {
        Alarm::ReadLate { which, .. } => Some((which, true)),
        Alarm::ReadInTime { which, .. } => Some((which, false)),
        _ => None,
    });
    told.collect()
}

fn rests(engine: &Engine) -> bool {
    engine.status().heal.segment.is_none()
}

#[test]
fn reading_an_open_segment_again_says_nothing_of_what_is_written_to_it_later() {
    for journal in [false, true] {
        let bytes = if journal { 50_000 } else { 300_000 };
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        vault.put(&name("b", "k0"), &content(0, bytes));
        pass(&mut vault, 13);
        vault.put(&name("b", "k1"), &content(1, bytes));
        // Behind these a start replays nothing of it.
        for seed in 2..12 {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, 10));
        }
        vault.stop();
        let later = rig
            .frames_of(journal)
            .into_iter()
            .rfind(|frame| frame.payload_bytes as usize > bytes)
            .expect("a frame with the object");
        let (disk, at) = rig.copies_of(&later)[0];
        rot(&rig, disk, at);
        let mut vault = rig.start();
        vault.sleep(HOUR_MS);
        (0..6_000).for_each(|_| vault.turn());
        vault.until("nothing is due", rests);
        assert_eq!(
            vault.engine.status().heal.counts.repaired,
            1,
            "journal: {journal}"
        );
    }
}

/// A frame of its own for each segment would fill a hundredth of the pool a year.
#[test]
fn records_of_scrubs_that_found_nothing_wait_for_each_other_and_are_not_forgotten_by_a_stop() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..12 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 2_500_000));
    }
    let scrubs = |rig: &Rig| {
        let records = rig.records();
        records
            .iter()
            .filter(|body| matches!(body, Body::Scrub(_)))
            .count()
    };
    vault.sleep(HOUR_MS);
    let before = vault.engine.status().counters.frames;
    vault.until("all closed segments were read", |engine| {
        engine.status().heal.counts.segments >= 6 && rests(engine)
    });
    let frames = vault.engine.status().counters.frames - before;
    assert_eq!(scrubs(&rig), 0);
    assert!(frames <= 1, "{frames} frames, the marker among them");
    vault.sleep(SCRUB_TOLD_MS);
    turns(&mut vault);
    let told = scrubs(&rig);
    assert!(told >= 6);
    let frames = vault.engine.status().counters.frames - before;
    assert!(frames <= 3, "{frames} frames for {told} records");
    // What waits at a stop is written by it.
    vault.sleep(8 * 24 * HOUR_MS);
    vault.until("all were read once more", |engine| {
        let heal = engine.status().heal;
        heal.counts.segments >= 12 && heal.segment.is_none()
    });
    vault.stop();
    assert!(scrubs(&rig) >= 2 * told);
}

#[test]
fn a_copy_that_a_reader_finds_bad_is_repaired_before_a_fill_goes_on() {
    let mut rig = Rig::create(3);
    let slow = Rates {
        idle_bytes_per_s: 1 << 20,
        busy_bytes_per_s: 1 << 20,
    };
    rig.options.heal.fill = slow;
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..6 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 2_500_000));
    }
    vault.put(&name("b", "last"), &content(9, 100_000));
    vault.stop();
    // Its segment is the last one to be filled.
    let frame = rig
        .frames_of(true)
        .into_iter()
        .rfind(|frame| frame.payload_bytes > 100_000)
        .expect("a frame with the object");
    rig.handles[2] = None;
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 51);
    vault.attach(Some(3), &fresh).expect("a blank disk");
    vault.until("a fill", |engine| engine.status().heal.segment.is_some());
    let (disk, at) = rig.copies_of(&frame)[0];
    rot(&rig, disk, at);
    for _ in 0..4 {
        let got = vault.get(&name("b", "last"), None, None);
        assert!(got == Ok(content(9, 100_000)));
    }
    let seen = vault
        .engine
        .status()
        .counters
        .reads_repaired_from_other_copy;
    assert!(seen > 0, "a reader met the bad copy");
    vault.until("repair", |engine| engine.status().heal.counts.repaired > 0);
    let fill = vault.engine.status().heal.fill;
    assert!(
        fill.is_some_and(|(_, progress)| progress.segments_done < progress.segments - 2),
        "{fill:?}"
    );
}

#[test]
fn a_copy_found_bad_while_its_segment_is_written_is_repaired_afterwards() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 300_000));
    turns(&mut vault);
    let frame = rig.frames_of(false)[0];
    let next = name("b", "next");
    let stream = vault.open_put(&next, object()).expect("an upload");
    vault
        .ask(put_data(stream, 2, CHUNK))
        .expect("data is taken");
    turns(&mut vault);
    let (disk, at) = rig.copies_of(&frame)[0];
    rot(&rig, disk, at);
    for _ in 0..4 {
        let got = vault.get(&name("b", "k"), None, None);
        assert!(got == Ok(content(1, 300_000)));
    }
    let status = vault.engine.status();
    assert!(status.counters.reads_repaired_from_other_copy > 0);
    assert_eq!(
        status.heal.counts.repaired, 0,
        "chunks of it are not flushed"
    );
    vault.commit(stream).expect("the upload is stored");
    vault.until("repair", |engine| engine.status().heal.counts.repaired == 1);
}

#[test]
fn a_full_vault_is_read_again_without_taking_from_its_reserve() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..1_000 {
        let stream = match vault.open_put(&name("b", &format!("k{seed}")), object()) {
            Ok(stream) => stream,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Full);
                break;
            }
        };
        let fed = vault.feed(stream, &content(seed, 900_000));
        if fed.and_then(|()| vault.commit(stream).map(drop)).is_err() {
            break;
        }
    }
    turns(&mut vault);
    assert!(vault.engine.status().full);
    let before = vault.engine.status();
    for _ in 0..3 {
        vault.sleep(8 * 24 * HOUR_MS);
        (0..20_000).for_each(|_| vault.turn());
    }
    let after = vault.engine.status();
    assert!(after.heal.counts.segments > before.heal.counts.segments + 30);
    assert_eq!(after.log_size, before.log_size);
}

#[test]
fn a_journal_that_only_says_what_was_read_again_goes_on_in_segment_after_segment() {
    let mut rig = Rig::create(3);
    rig.options.heal = HealPlan {
        scrub: Rates::UNBOUNDED,
        due: Due {
            settle_ms: 1,
            open_ms: 1,
            interval_ms: 1,
        },
        ..HealPlan::default()
    };
    let mut vault = rig.start();
    vault.bucket("b", false);
    // What was read of a segment is not worth saying once it is sealed, and is often all there was to say.
    vault.until("two journal segments are full of it", |engine| {
        engine.status().heal.counts.segments > 3_000
    });
    vault.stop();
    let last = rig.frames_of(true).into_iter().map(|frame| frame.segment);
    assert!(last.max() > Some(SegmentId::new(2)));
}

/// Beside clients a fifth of what they bring is read, and they bring it for days.
#[test]
fn steady_load_does_not_keep_what_is_new_from_being_read_within_a_day() {
    let mut rig = Rig::create(3);
    rig.options.heal.scrub = Rates {
        idle_bytes_per_s: 2 << 10,
        busy_bytes_per_s: 100,
    };
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "small"), b"small");
    let mut hours = Vec::new();
    for seed in 0..48 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 900_000));
        work(&mut vault, 1, 1);
        hours.push(first_hours(&vault.engine));
    }
    assert!(hours.iter().all(|age| *age < 24), "{hours:?}");
    // It was not for want of load.
    assert!(hours.iter().any(|age| *age >= 6), "{hours:?}");
    assert_eq!(late(&mut vault.engine), []);
}

#[test]
fn what_waits_for_more_than_a_day_is_told_of_until_it_was_read() {
    let mut rig = Rig::create(3);
    // Even at its full rate this reads what was stored in more than a day.
    rig.options.heal.scrub = Rates {
        idle_bytes_per_s: 250,
        busy_bytes_per_s: 50,
    };
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "small"), b"small");
    for seed in 0..8 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 900_000));
    }
    work(&mut vault, 23, 1);
    assert_eq!(late(&mut vault.engine), []);
    work(&mut vault, 22, 1);
    let told = [(Reread::First, true), (Reread::First, false)];
    assert_eq!(late(&mut vault.engine), told);
    assert!(first_hours(&vault.engine) < 18);
}

#[test]
fn what_was_not_read_again_for_two_weeks_is_told_of_until_it_was() {
    let mut rig = Rig::create(3);
    // Nothing else would keep so few bytes from being read every week.
    rig.options.heal.due.interval_ms = 20 * 24 * HOUR_MS;
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "small"), b"small");
    for seed in 0..8 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 900_000));
    }
    work(&mut vault, 14 * 24, 60);
    assert_eq!(late(&mut vault.engine), []);
    work(&mut vault, 24, 60);
    assert_eq!(late(&mut vault.engine), [(Reread::Again, true)]);
    work(&mut vault, 7 * 24, 60);
    let told = late(&mut vault.engine);
    assert_eq!(told.last(), Some(&(Reread::Again, false)), "{told:?}");
}

#[test]
fn what_was_open_for_days_is_new_when_it_is_closed_and_a_copy_that_a_fill_made_is_not() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 900_000));
    // Read every twelve hours while it is open.
    for _ in 0..6 {
        vault.sleep(13 * HOUR_MS);
        vault.until("it is read", |engine| first_hours(engine) == 0);
    }
    rig.clock_ms = vault.now.wall.get();
    rig.monotonic_ms = vault.now.monotonic_ms;
    vault.stop();
    rig.options.heal.scrub = Rates {
        idle_bytes_per_s: 1,
        busy_bytes_per_s: 1,
    };
    let vault = rig.start();
    assert_eq!(first_hours(&vault.engine), 0, "closed by the stop");
    vault.stop();
    rig.options.heal.scrub = Rates::UNBOUNDED;
    let mut vault = rig.start();
    vault.sleep(13 * HOUR_MS);
    vault.until("it is read", |engine| first_hours(engine) == 0);
    rig.clock_ms = vault.now.wall.get();
    rig.monotonic_ms = vault.now.monotonic_ms;
    vault.stop();
    rig.handles[2] = None;
    rig.options.heal.scrub = Rates {
        idle_bytes_per_s: 1,
        busy_bytes_per_s: 1,
    };
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 52);
    vault.attach(Some(3), &fresh).expect("a blank disk");
    vault.until("it takes part", |engine| {
        engine.status().heal.fill.is_none()
    });
    let ages = vault.engine.status().heal.ages;
    assert!(
        ages.first_ms < HOUR_MS && ages.again_ms < 90 * HOUR_MS,
        "{ages:?}"
    );
    vault.stop();
    rig.handles[2] = Some(fresh);
    let kept = rig.start().engine.status().heal.ages;
    assert!(
        kept.first_ms < HOUR_MS && kept.again_ms < 90 * HOUR_MS,
        "{kept:?}"
    );
}
