//! What is read again, when, and in which order.
mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::record::Body;
use stele_format::units::SegmentId;
use stele_store::engine::{Engine, HealPlan};
use stele_store::heal::pace::Rates;
use stele_store::heal::schedule::Due;
use stele_store::limits::SCRUB_TOLD_MS;
use stele_store::request::Refusal;
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
