//! Disks that fail, hang or lag while the vault runs.

mod told;

use stele_device::sim::fault::Plan;
use stele_store::limits::LAG_MS_MAX;
use stele_store::request::{Answer, Command, Refusal};

use crate::support::steps::{CHUNK, assert_at_rest, commit, object, open_get, put_data, turns};
use crate::support::{Rig, content, name};

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
    vault.pass(LAG_MS_MAX);
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert_eq!(vault.engine.status().state.word(), "degraded");
    assert_at_rest(&mut vault);
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
