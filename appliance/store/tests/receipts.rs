//! Signed checkpoints and receipts: what an answer proves, and that power cuts never make two histories.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_format::checkpoint::{Checkpoint, LogKey, Origin, UnverifiedCheckpoint};
use stele_format::proof::Receipt;
use stele_format::record::{RecordReader, RecordType};
use stele_format::tree::leaf_hash;
use stele_format::tree::proof::{Proofs, verify_consistency};
use stele_store::receipts::LogSigner;
use stele_store::request::{Answer, Command, Purpose};
use support::steps::{commit, object, put_data, turns};
use support::{Rig, Running, content, name};

/// The vault signs from now on; the key that verifies it.
fn sign(vault: &mut Running) -> LogKey {
    let pool = vault.engine.status().pool;
    let signer = LogSigner::new(pool, &[9; 32]).unwrap();
    let key = *signer.key();
    assert_eq!(key.origin(), Origin::of(pool));
    vault.engine.sign_with(vec![Arc::new(signer)]);
    key
}

fn checkpoint(vault: &Running, key: &LogKey) -> Checkpoint {
    let text = vault.engine.status().checkpoint.unwrap();
    UnverifiedCheckpoint::parse(&text)
        .and_then(|note| note.verify(key))
        .unwrap()
}

/// The headers of the log in order, from the frames on the disks.
fn headers(rig: &Rig) -> Vec<Vec<u8>> {
    let mut headers = BTreeMap::new();
    for frame in rig.frames_of(true) {
        let (disk, at) = rig.copies_of(&frame)[0];
        let handle = rig.handles[disk].as_ref().unwrap();
        let payload = handle.peek(at + 256, frame.payload_bytes as usize);
        for record in RecordReader::new(&payload, frame.record_count) {
            let header = *record.unwrap().claims();
            headers.insert(header.log_index.get(), header.encode().to_vec());
        }
    }
    headers.into_values().collect()
}

fn proofs(rig: &Rig) -> Proofs {
    let headers = headers(rig);
    Proofs::of_log(headers.iter().map(|header| leaf_hash(header)).collect())
}

#[test]
fn a_vault_without_a_log_key_answers_without_receipts() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    assert_eq!(vault.put(&name("b", "k"), b"x").receipt, None);
    assert_eq!(vault.engine.status().checkpoint, None);
}

#[test]
fn what_is_stored_is_answered_with_a_proof_of_its_record() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = sign(&mut vault);
    for (number, bytes) in [10, 3_000_000, 100_000].into_iter().enumerate() {
        let stored = vault.put(&name("b", &format!("k{number}")), &content(number, bytes));
        let text = stored.receipt.unwrap();
        let receipt = Receipt::verify(&text, &key).unwrap();
        assert_eq!(receipt.header.record_type, RecordType::Commit);
        assert_eq!(Some(receipt.header.version), stored.version);
        assert_eq!(receipt.header.log_index, stored.log_index);
        assert_eq!(receipt.checkpoint, checkpoint(&vault, &key));
        let size = receipt.checkpoint.size;
        assert_eq!(proofs(&rig).root(size), Some(receipt.checkpoint.root));
    }
}

/// Many uploads that end in one frame: each receipt proves its own record, all against one checkpoint.
#[test]
fn every_record_of_a_frame_has_its_receipt_under_one_signature() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = sign(&mut vault);
    let streams: Vec<_> = (0..37)
        .map(|number| {
            let name = name("b", &format!("k{number}"));
            let stream = vault.open_put(&name, object()).unwrap();
            vault.ask(put_data(stream, number, 100 + number)).unwrap();
            stream
        })
        .collect();
    // The first takes a frame alone; the others gather behind it.
    let sent: Vec<_> = streams
        .into_iter()
        .map(|stream| vault.send(commit(stream)))
        .collect();
    turns(&mut vault);
    let mut sizes = BTreeMap::new();
    for id in sent {
        let Some(Ok(Answer::Stored(stored))) = vault.replies.remove(&id) else {
            panic!("not stored")
        };
        let receipt = Receipt::verify(&stored.receipt.unwrap(), &key).unwrap();
        assert_eq!(Some(receipt.header.version), stored.version);
        *sizes.entry(receipt.checkpoint.size).or_insert(0) += 1;
    }
    assert_eq!(sizes.values().sum::<i32>(), 37);
    assert!(sizes.values().any(|count| *count > 30), "{sizes:?}");
}

#[test]
fn a_completed_upload_has_a_receipt_and_a_part_has_none() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = sign(&mut vault);
    let name = name("b", "k");
    let create = Command::CreateUpload {
        name: name.clone(),
        metadata: stele_store::request::Metadata::default(),
        lock: stele_store::request::LockWish::default(),
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(create).unwrap() else {
        panic!("no upload")
    };
    let purpose = Purpose::Part { upload, number: 1 };
    let stream = vault.open_put(&name, purpose).unwrap();
    vault.feed(stream, &content(1, 5_000)).unwrap();
    let part = vault.commit(stream).unwrap();
    assert_eq!(part.receipt, None);
    let complete = Command::CompleteUpload {
        name,
        upload,
        parts: vec![stele_store::request::NamedPart {
            number: 1,
            etag: part.etag,
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: stele_store::request::Conditions::default(),
    };
    let Answer::Stored(stored) = vault.ask(complete).unwrap() else {
        panic!("not stored")
    };
    let receipt = Receipt::verify(&stored.receipt.unwrap(), &key).unwrap();
    assert_eq!(receipt.header.record_type, RecordType::Complete);
}

/// Power is cut at ever other moments of writing. Whatever was signed stays the beginning of the log.
#[test]
fn no_power_cut_makes_two_roots_of_one_size() {
    let mut rig = Rig::create(3);
    let mut seen: BTreeMap<u64, Checkpoint> = BTreeMap::new();
    let mut key = None;
    for life in 0..40_usize {
        let mut vault = rig.start();
        let key = *key.insert(sign(&mut vault));
        if life == 0 {
            vault.bucket("b", false);
        }
        for number in 0..4 {
            let name = name("b", &format!("k{life}-{number}"));
            let stream = vault.open_put(&name, object()).unwrap();
            vault.ask(put_data(stream, number, 300)).unwrap();
            vault.send(commit(stream));
        }
        for turn in 0..=life % 9 {
            let signed = checkpoint(&vault, &key);
            let known = *seen.entry(signed.size).or_insert(signed);
            assert_eq!(signed, known, "life {life}, turn {turn}");
            vault.complete();
        }
        drop(vault);
        rig.crash();
    }
    let mut vault = rig.start();
    let key = sign(&mut vault);
    let last = checkpoint(&vault, &key);
    turns(&mut vault);
    let proofs = proofs(&rig);
    assert!(seen.len() > 40, "{}", seen.len());
    for (size, signed) in seen {
        let path = proofs.consistency(size, last.size).unwrap();
        let consistent = verify_consistency((size, &signed.root), (last.size, &last.root), &path);
        assert_eq!(consistent, Ok(()), "{size}");
    }
}

/// What the frame in flight would make is signed early, and nobody sees it before it is durable.
#[test]
fn a_checkpoint_is_never_ahead_of_what_is_durable() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = sign(&mut vault);
    let before = checkpoint(&vault, &key);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 1, 300)).unwrap();
    for handle in rig.handles.iter().flatten() {
        handle.hang(true);
    }
    vault.send(commit(stream));
    turns(&mut vault);
    assert!(
        vault.engine.status().log_size > before.size,
        "a frame is in flight"
    );
    assert_eq!(checkpoint(&vault, &key), before);
    for handle in rig.handles.iter().flatten() {
        handle.hang(false);
    }
    turns(&mut vault);
    assert!(checkpoint(&vault, &key).size > before.size);
}

/// Two vaults that differ only in what clients store, byte for byte of the same length: their clear
/// headers differ in nothing but what digests of sealed bytes, and the chain over them, make differ.
#[test]
fn no_byte_of_a_header_comes_from_plaintext() {
    let run = |seed: usize| {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        for bytes in [0, 1, 5_000, 4_096, 100_000, 2_000_000] {
            let kept = content(seed + bytes, bytes);
            vault.put(&name("b", &format!("k{bytes}")), &kept);
        }
        turns(&mut vault);
        drop(vault);
        headers(&rig)
    };
    let (one, other) = (run(1), run(2));
    assert_eq!(one.len(), other.len());
    assert!(one.len() > 8);
    // `body_root` and `previous_header` are digests of ciphertext and of the header before.
    for (index, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!(one[..112], other[..112], "record {index}");
    }
    assert_ne!(one, other, "what was stored differs");
}
