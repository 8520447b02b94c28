//! Disks that fail, hang or lag while the vault runs.

mod told;

use stele_device::sim::fault::{Plan, Span};
use stele_store::engine::Event;
use stele_store::limits::{LAG_MS_MAX, STANDSTILL_MS_MAX};
use stele_store::pool::MemberState;
use stele_store::request::{Answer, Command, Refusal};

use crate::support::steps::{CHUNK, assert_at_rest, commit, object, open_get, put_data, turns};
use crate::support::{Rig, Running, content, name};

#[test]
fn a_data_segment_is_sealed_only_when_everything_before_the_seal_is_durable() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    // Past half of the first segment the second one is there to move on to.
    for seed in 0..3 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
        turns(&mut vault);
    }
    for seed in 3..6 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
    }
    assert_eq!(vault.seals, 0, "chunks are still being written");
    // Written, but too few for a flush.
    turns(&mut vault);
    assert_eq!(vault.seals, 0, "chunks are not flushed");
    vault.commit(stream).unwrap();
    turns(&mut vault);
    assert_eq!(vault.seals, 2);
    assert_at_rest(&mut vault);
}

#[test]
fn a_segment_that_lost_a_disk_is_sealed_only_when_the_other_has_all_its_frames() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 0, CHUNK)).unwrap();
    turns(&mut vault);
    let [lost, slow] = rig.disks_of(&rig.frames_of(false)[0])[..] else {
        panic!("two copies")
    };
    let [lost, slow] = [lost, slow].map(|disk| rig.handles[disk].clone().unwrap());
    lost.fail_writes_from(0);
    slow.hang(true);
    vault.ask(put_data(stream, 1, CHUNK)).unwrap();
    turns(&mut vault);
    assert_eq!(vault.seals, 0, "the other copy is being written");
    slow.hang(false);
    vault.commit(stream).unwrap();
    assert_at_rest(&mut vault);
    assert_eq!(vault.seals, 1);
    let mut whole = content(0, CHUNK);
    whole.extend(content(1, CHUNK));
    assert!(vault.get(&name("b", "k"), None, None).unwrap() == whole);
}

#[test]
fn a_disk_that_hangs_on_a_chunk_leaves_the_pool_although_the_journal_rests() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 0, CHUNK)).unwrap();
    turns(&mut vault);
    let disks = rig.disks_of(&rig.frames_of(false)[0]);
    rig.handles[disks[0]].as_ref().unwrap().hang(true);
    vault.ask(put_data(stream, 1, CHUNK)).unwrap();
    let waiting = vault.send(commit(stream));
    turns(&mut vault);
    assert_eq!(vault.engine.status().state.word(), "ok");
    for _ in 0..4 {
        vault.pass(LAG_MS_MAX / 3);
        turns(&mut vault);
    }
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert_eq!(vault.engine.status().state.word(), "degraded");
    assert_at_rest(&mut vault);
}

/// All disks stand still for so long while something is stored, and go on; what the client is told then.
fn stand_still(ms: u64) -> (Running, Option<Result<Answer, Refusal>>) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.feed(stream, &content(1, 500)).unwrap();
    let handles = rig.handles.iter().flatten();
    handles.clone().for_each(|handle| handle.hang(true));
    let waiting = vault.send(commit(stream));
    turns(&mut vault);
    vault.pass(ms);
    handles.for_each(|handle| handle.hang(false));
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    (vault, answer)
}

#[test]
fn where_all_disks_stand_still_for_minutes_none_leaves_and_what_waited_is_stored() {
    let (mut vault, answer) = stand_still(8 * LAG_MS_MAX);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert_eq!(vault.engine.status().state.word(), "ok");
    assert_eq!(vault.get(&name("b", "k"), None, None), Ok(content(1, 500)));
    let (vault, answer) = stand_still(STANDSTILL_MS_MAX + LAG_MS_MAX);
    assert!(matches!(answer, Some(Err(_))), "{answer:?}");
    assert_eq!(vault.engine.status().state.word(), "readonly");
}

/// Disks that nobody asks for anything are asked, so that one that hangs is known from a machine that does.
#[test]
fn a_disk_that_hangs_leaves_also_where_the_others_have_nothing_to_do() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 0, CHUNK)).unwrap();
    turns(&mut vault);
    let disks = rig.disks_of(&rig.frames_of(false)[0]);
    for disk in &disks {
        rig.handles[*disk].as_ref().unwrap().hang(true);
    }
    vault.ask(put_data(stream, 1, CHUNK)).unwrap();
    for _ in 0..6 {
        turns(&mut vault);
        vault.pass(LAG_MS_MAX / 3);
    }
    let states = vault.engine.status().disks;
    let left = states
        .iter()
        .filter(|disk| disk.state != MemberState::Active);
    assert_eq!(left.count(), disks.len());
}

/// Nobody gives what both disks of it keep to themselves: it is not lost for that, and is there when they answer again.
#[test]
fn what_no_disk_gives_for_a_while_is_neither_damaged_nor_lost() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 2 * CHUNK));
    turns(&mut vault);
    let disks = rig.disks_of(&rig.frames_of(false)[0]);
    let hang = |on| {
        let handles = disks.iter().filter_map(|disk| rig.handles[*disk].as_ref());
        handles.for_each(|handle| handle.hang(on));
    };
    let Ok(Answer::Opened { stream, .. }) = vault.ask(open_get()) else {
        panic!("not opened")
    };
    hang(true);
    let waiting = vault.send(Command::NextData { stream });
    turns(&mut vault);
    vault.pass(3 * LAG_MS_MAX);
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Err(Refusal::Busy))), "{answer:?}");
    // Everything is due, and nothing of it comes.
    vault.sleep(14 * 24 * 3_600_000);
    for _ in 0..4 {
        vault.pass(LAG_MS_MAX);
        turns(&mut vault);
    }
    let status = vault.engine.status();
    assert_eq!(
        (status.heal.counts.lost_pieces, status.state.word()),
        (0, "ok")
    );
    hang(false);
    turns(&mut vault);
    vault.sleep(3_600_000);
    vault.until("all is read", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.oldest_unverified_ms < 2 * 3_600_000
    });
    assert_eq!(vault.engine.status().heal.counts.lost_pieces, 0);
    assert_eq!(
        vault.get(&name("b", "k"), None, None).unwrap(),
        content(3, 2 * CHUNK)
    );
}

#[test]
fn a_pause_of_the_whole_process_accuses_no_disk() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 0, CHUNK)).unwrap();
    let waiting = vault.send(commit(stream));
    vault.pause(10 * LAG_MS_MAX);
    turns(&mut vault);
    assert!(
        vault
            .replies
            .remove(&waiting)
            .is_some_and(|answer| answer.is_ok())
    );
    assert_eq!(vault.engine.status().state.word(), "ok");
}

#[test]
fn a_download_goes_on_from_another_disk_when_one_hangs() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 2 * CHUNK));
    turns(&mut vault);
    let disks = rig.disks_of(&rig.frames_of(false)[0]);
    for hung in disks {
        let Ok(Answer::Opened { stream, .. }) = vault.ask(open_get()) else {
            panic!("not opened")
        };
        rig.handles[hung].as_ref().unwrap().hang(true);
        // Whichever copy is read first, one of a few reads comes to the disk that hangs.
        for _ in 0..2 {
            let waiting = vault.send(Command::NextData { stream });
            turns(&mut vault);
            vault.pass(LAG_MS_MAX);
            turns(&mut vault);
            let answer = vault.replies.remove(&waiting);
            assert!(matches!(answer, Some(Ok(Answer::Data(_)))), "{answer:?}");
        }
        vault.ask(Command::CloseGet { stream }).unwrap();
        rig.handles[hung].as_ref().unwrap().hang(false);
        turns(&mut vault);
    }
}

#[test]
fn a_journal_left_on_one_disk_refuses_writes_until_the_next_start() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    let last = *rig.frames_of(true).last().unwrap();
    let disks = rig.disks_of(&last);
    assert_eq!(disks.len(), 3);
    for lost in &disks[..2] {
        rig.handles[*lost].as_ref().unwrap().fail_writes_from(0);
    }
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 1, 100)).unwrap();
    let waiting = vault.send(commit(stream));
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    let refused = answer.map(|answer| answer.unwrap_err());
    assert_eq!(refused, Some(Refusal::Undecided), "it was on its way");
    let refused = vault.open_put(&name("b", "k"), object()).unwrap_err();
    assert!(matches!(refused, Refusal::ReadOnly(_)), "{refused:?}");
    drop(vault);
    rig.crash();
    // What failed was the cabling.
    for lost in &disks[..2] {
        let handle = rig.handles[*lost].as_ref().unwrap();
        handle.set_plan(Plan::default());
    }
    let mut vault = rig.start();
    vault.put(&name("b", "k"), b"again");
    assert_eq!(vault.get(&name("b", "k"), None, None).unwrap(), b"again");
}

/// The first disk fails one flush, after some others; whether it came to that.
fn flush_fails(after: u64) -> bool {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 3;
    let mut vault = rig.start();
    vault.bucket("b", false);
    assert_at_rest(&mut vault);
    let disk = rig.handles[0].clone().unwrap();
    disk.fail_flush(after);
    for seed in 0..6 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 500));
        turns(&mut vault);
    }
    let mut left = None;
    disk.plan(|plan| left = plan.fail_flushes);
    let failed = left.is_none_or(|span| span.count == 0);
    vault.sleep(1_000);
    turns(&mut vault);
    let state = vault.engine.status().disks[0].state;
    let expected = match failed {
        true => MemberState::Expelled,
        false => MemberState::Active,
    };
    assert_eq!(state, expected, "after {after} flushes");
    assert_eq!(vault.engine.status().read_only, None);
    for seed in 0..6 {
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(got.unwrap() == content(seed, 500), "object {seed}");
    }
    failed
}

#[test]
fn a_disk_that_fails_a_flush_is_believed_no_more_whoever_asked_for_it() {
    // The journal's flushes, and the index's between them.
    let failed = (0..).take_while(|after| flush_fails(*after)).count();
    assert!(
        failed > 12,
        "{failed} flushes of six objects and two snapshots"
    );
}

/// As [`flush_fails`], while nobody looks at the disks: one object and the snapshot behind it, without a tick.
fn flush_fails_between_ticks(after: u64) -> bool {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 1;
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 1, 100)).unwrap();
    turns(&mut vault);
    let disk = rig.handles[0].clone().unwrap();
    disk.fail_flush(after);
    vault.send(commit(stream));
    (0..200).for_each(|_| vault.complete());
    let mut left = None;
    disk.plan(|plan| left = plan.fail_flushes);
    let failed = left.is_none_or(|span| span.count == 0);
    let state = vault.engine.status().disks[0].state;
    let expected = match failed {
        true => MemberState::Expelled,
        false => MemberState::Active,
    };
    assert_eq!(state, expected, "after {after} flushes");
    failed
}

#[test]
fn a_disk_that_fails_a_flush_is_expelled_before_the_next_tick() {
    let failed = (0..)
        .take_while(|after| flush_fails_between_ticks(*after))
        .count();
    assert!(failed > 2, "{failed} flushes of an object and a snapshot");
}

/// These disks refuse what the index writes at one moment, and nothing else.
fn index_refused(rig: &Rig, vault: &mut Running, bucket: &str, slots: &[usize]) {
    vault.index_busy = Some(Vec::new());
    vault.bucket(bucket, false);
    turns(vault);
    let asked = vault.asked_of_index();
    assert!(!asked.is_empty(), "a snapshot is due");
    let disks = slots
        .iter()
        .map(|slot| rig.handles[*slot].as_ref().unwrap());
    for disk in disks.clone() {
        disk.plan(|plan| plan.fail_flushes = Some(Span::from(0)));
    }
    let replies: Vec<_> = asked
        .into_iter()
        .map(|request| vault.index.execute(request))
        .collect();
    disks.for_each(|disk| disk.set_plan(Plan::default()));
    for reply in replies {
        vault.event(Event::Index(reply));
    }
    turns(vault);
}

#[test]
fn the_last_disk_with_a_share_of_the_index_stays_whatever_it_refuses() {
    let check = |refusals: &[&[usize]], expelled: &[usize]| {
        let mut rig = Rig::create(3);
        rig.options.snapshot_rows = 1;
        let mut vault = rig.start();
        vault.bucket("b", false);
        turns(&mut vault);
        for (number, slots) in refusals.iter().enumerate() {
            index_refused(&rig, &mut vault, &format!("c{number}"), slots);
        }
        let states = vault.engine.status().disks;
        let gone = |slot: &usize| states[*slot].state == MemberState::Expelled;
        let found: Vec<usize> = (0..3).filter(gone).collect();
        assert_eq!(found, expelled, "{refusals:?}");
    };
    check(&[&[0]], &[0]);
    check(&[&[1]], &[1]);
    check(&[&[0, 1]], &[]);
    check(&[&[0], &[1]], &[0]);
}
