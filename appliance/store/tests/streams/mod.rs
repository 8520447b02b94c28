//! Uploads and downloads among slow workers, full disks and clients that give up.

use stele_store::request::{Answer, Command, Conditions, LockWish, Metadata, Purpose};

use crate::support::{Rig, Running, content, name, piece};

fn object() -> Purpose {
    Purpose::Object {
        metadata: Metadata::default(),
        lock: LockWish::default(),
    }
}

fn commit(stream: stele_store::request::StreamId) -> Command {
    Command::CommitPut {
        stream,
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

/// Disk completions and ticks alone.
fn turns(vault: &mut Running) {
    for _ in 0..200 {
        vault.turn();
    }
}

#[test]
fn a_commit_that_overtakes_the_sealing_of_its_only_chunk_is_answered_without_more_traffic() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let object_name = name("b", "k");
    let bytes = content(3, 200 << 10);
    let stream = vault.open_put(&object_name, object()).unwrap();
    vault.busy = Some(Vec::new());
    vault
        .ask(Command::PutData {
            stream,
            piece: piece(&bytes),
        })
        .unwrap();
    let waiting = vault.send(commit(stream));
    turns(&mut vault);
    assert!(!vault.replies.contains_key(&waiting), "nothing is sealed");
    vault.work();
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert!(vault.get(&object_name, None, None).unwrap() == bytes);
    vault.stop();
}
