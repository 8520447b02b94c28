//! K3 to K5 on whole vaults: an index that is used twice, sealed bytes at another place, and pieces that were cut,
//! reordered or opened with the wrong key. What comes out is what was stored, or a refusal that says where.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use std::sync::Arc;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::digest::Digest;
use stele_format::frame::FrameHeader;
use stele_format::record::{Body, RecordHeader, RecordReader, RecordType, encode_record};
use stele_format::units::{BucketId, KeyIndex, ObjectId, PoolId, VersionId};
use stele_store::keys::chunk::{AwsLc, BulkAead, ChunkKey, open_chunk, seal_chunk, stored_len};
use stele_store::keys::message::{OpenError, SALT_BYTES, SealContext, open_message, seal_message};
use stele_store::keys::secret::Secret32;
use stele_store::recovery::OpenError as NotOpened;
use stele_store::request::Refusal;
use support::steps::{CHUNK, turns};
use support::{Rig, Running, content, name, resealed};

/// Before the first chunk of a message: salt and commitment.
const HEAD: usize = 24 + 32;
/// A whole chunk of a message with its tag.
const PIECE: usize = (16 << 10) + 16;

/// A record of a version as it is stored.
struct Stored {
    frame: FrameHeader,
    header: RecordHeader,
    body: Body,
    attachments: Vec<Vec<u8>>,
}

/// The newest record of a version on the disks.
fn newest(rig: &Rig) -> Stored {
    let frames = rig.frames_of(true);
    let found = frames.iter().rev().find_map(|frame| {
        let payload = payload(rig, frame);
        let records = RecordReader::new(&payload, frame.record_count);
        let records = records.map(|record| record.unwrap().verify().unwrap());
        let record = records
            .into_iter()
            .find(|one| one.header.record_type == RecordType::Commit)?;
        let count = record.attachment_table().len();
        let attachments = (0..count).map(|at| record.attachment(at).unwrap().to_vec());
        Some(Stored {
            frame: *frame,
            header: record.header,
            body: record.body().clone(),
            attachments: attachments.collect(),
        })
    });
    found.unwrap()
}

fn payload(rig: &Rig, frame: &FrameHeader) -> Vec<u8> {
    let (disk, at) = rig.copies_of(frame)[0];
    let handle = rig.handles[disk].as_ref().unwrap();
    handle.peek(at + 256, frame.payload_bytes as usize)
}

/// Puts another payload in a frame's place on every disk, with header and digests as a writer makes them.
fn replace(rig: &Rig, frame: &FrameHeader, payload: &[u8]) {
    let header = resealed(frame, payload);
    let mut bytes = Vec::new();
    assert_eq!(header.total_bytes, frame.total_bytes, "it fits the place");
    header.write_frame(payload, &mut bytes);
    for (disk, at) in rig.copies_of(frame) {
        rig.handles[disk].as_ref().unwrap().tamper(at, &bytes);
    }
}

fn vault() -> (Rig, Running) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    (rig, vault)
}

/// Nothing came out, and it is said where the stored bytes lie.
fn assert_refused(vault: &mut Running, key: &str) {
    match vault.get(&name("b", key), None, None) {
        Err(Refusal::Damaged { segment, .. }) => assert!(segment > 0),
        other => panic!("{key}: {:?}", other.map(|bytes| bytes.len())),
    }
}

#[test]
fn k3_of_disks_put_back_to_an_earlier_time_no_key_seals_twice() {
    let (mut rig, vault) = vault();
    vault.stop();
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let earlier: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let mut seen = Vec::new();
    // The same payload twice, and another.
    for seed in [1, 1, 2] {
        for (disk, was) in disks.iter().zip(&earlier) {
            disk.restore(was);
        }
        let mut vault = rig.start();
        vault.put(&name("b", "k"), &content(seed, 40_000));
        assert_eq!(
            vault.get(&name("b", "k"), None, None).unwrap(),
            content(seed, 40_000)
        );
        drop(vault);
        seen.push(newest(&rig));
    }
    let index = seen[0].header.key_index;
    assert!(!index.is_none());
    for (at, one) in seen.iter().enumerate() {
        assert_eq!(one.header.key_index, index, "the index is used again");
        assert_eq!(one.attachments.len(), 2);
        for other in &seen[at + 1..] {
            let (ours, theirs) = (&one.attachments, &other.attachments);
            assert_ne!(ours[0][..24], theirs[0][..24], "salts");
            assert_ne!(
                ours[0][24..HEAD],
                theirs[0][24..HEAD],
                "keys, by their commitments"
            );
            // No block of the payload's ciphertext is that of another.
            let blocks = |bytes: &[u8]| bytes.chunks(16).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let same = blocks(&ours[1]);
            assert!(blocks(&theirs[1]).iter().all(|block| !same.contains(block)));
        }
    }
}

#[test]
fn k4_a_payload_in_the_place_of_another_gives_no_byte() {
    let (rig, mut vault) = vault();
    for (key, seed) in [("a", 1), ("b", 2)] {
        vault.put(&name("b", key), &content(seed, 900_000));
    }
    turns(&mut vault);
    let frames = rig.frames_of(false);
    let [a, b] = &frames[..] else {
        panic!("{} frames", frames.len())
    };
    let (of_a, of_b) = (payload(&rig, a), payload(&rig, b));
    assert_eq!(of_a.len(), of_b.len());
    let read = vault.get(&name("b", "b"), None, None);
    assert_eq!(read.unwrap(), content(2, 900_000));
    replace(&rig, b, &of_a);
    assert_refused(&mut vault, "b");
    let read = vault.get(&name("b", "a"), None, None);
    assert_eq!(read.unwrap(), content(1, 900_000));
}

/// The record of one version with the sealed manifest of another, and every digest made good.
fn with_manifest_of(other: &Stored, own: &Stored) -> Vec<u8> {
    let mut attachments: Vec<&[u8]> = own.attachments.iter().map(Vec::as_slice).collect();
    attachments[0] = &other.attachments[0];
    let mut bytes = Vec::new();
    encode_record(own.header, &own.body, &attachments, &mut bytes).unwrap();
    bytes
}

#[test]
fn k4_a_manifest_in_the_place_of_another_opens_nothing() {
    let (mut rig, mut vault) = vault();
    vault.put(&name("b", "a"), &content(1, 300));
    let a = newest(&rig);
    vault.put(&name("b", "b"), &content(2, 300));
    // The third copy too.
    for _ in 0..5 {
        vault.complete();
    }
    let b = newest(&rig);
    assert_eq!(rig.copies_of(&b.frame).len(), 3);
    assert_eq!(b.frame.record_count, 1);
    replace(&rig, &b.frame, &with_manifest_of(&a, &b));
    assert_refused(&mut vault, "b");
    let read = vault.get(&name("b", "a"), None, None);
    assert_eq!(read.unwrap(), content(1, 300));
    drop(vault);
    rig.crash();
    // Every digest on the way fits: it is the key that does not.
    match rig.try_start() {
        Err(NotOpened::BrokenRecord { segment, offset }) => {
            assert_eq!(segment, b.frame.segment);
            assert_eq!(offset, b.frame.segment_offset.get() + 256);
        }
        Err(other) => panic!("unexpected {other}"),
        Ok(_) => panic!("it starts"),
    }
}

/// A version of three chunks, read whole, and the frames they lie in.
fn three_chunks() -> (Rig, Running, Vec<(FrameHeader, Vec<u8>)>) {
    let (rig, mut vault) = vault();
    vault.put(&name("b", "k"), &content(1, 3 * CHUNK));
    turns(&mut vault);
    let read = vault.get(&name("b", "k"), None, None);
    assert!(read.unwrap() == content(1, 3 * CHUNK));
    let frames = rig.frames_of(false);
    assert_eq!(frames.len(), 3);
    let with_payload = |frame: FrameHeader| (frame, payload(&rig, &frame));
    let frames = frames.into_iter().map(with_payload).collect();
    (rig, vault, frames)
}

#[test]
fn k5_chunks_of_a_version_that_were_swapped_or_cut_give_no_byte() {
    // What should be the first piece is another one, whole and well framed.
    for other in [1, 2] {
        let (rig, mut vault, frames) = three_chunks();
        replace(&rig, &frames[0].0, &frames[other].1);
        replace(&rig, &frames[other].0, &frames[0].1);
        assert_refused(&mut vault, "k");
    }
    // Cut at the edge of a padded piece of it, with zeros behind.
    let (rig, mut vault, mut frames) = three_chunks();
    let (frame, payload) = &mut frames[0];
    let edge = payload.len() - 16 - 4096;
    payload[edge..].fill(0);
    replace(&rig, frame, payload);
    assert_refused(&mut vault, "k");
}

fn context() -> SealContext {
    SealContext {
        pool: PoolId::from_bytes([1; 16]),
        record_type: 6,
        bucket: BucketId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        version: VersionId::from_bytes([4; 16]),
        key_index: KeyIndex::new(7),
    }
}

#[test]
fn k5_a_message_cut_or_reordered_at_the_edges_of_its_chunks_opens_not() {
    let (key, salt) = (Secret32::copy_of(&[5; 32]), [6; SALT_BYTES]);
    let text = content(3, 3 * (16 << 10) + 100);
    let sealed = seal_message(&key, &salt, &context(), &text);
    assert_eq!(*open_message(&key, &context(), &sealed).unwrap(), text);
    for whole in 0..=3 {
        let edge = HEAD + whole * PIECE;
        for end in [edge, edge + 1, edge + 16, edge + PIECE - 1] {
            let opened = open_message(&key, &context(), &sealed[..end.min(sealed.len() - 1)]);
            assert!(opened.is_err(), "cut at {end}");
        }
        if let 1..=2 = whole {
            let (before, rest) = sealed[HEAD..].split_at((whole - 1) * PIECE);
            let (one, rest) = rest.split_at(PIECE);
            let (two, after) = rest.split_at(PIECE);
            let swapped = [&sealed[..HEAD], before, two, one, after].concat();
            let opened = open_message(&key, &context(), &swapped);
            let chunk = whole as u64 - 1;
            assert_eq!(opened.err(), Some(OpenError::Tampered { chunk }));
        }
    }
    let wrong = open_message(&Secret32::copy_of(&[9; 32]), &context(), &sealed);
    assert_eq!(wrong.err(), Some(OpenError::WrongKey));
    let mut salted = sealed.clone();
    salted[0] ^= 1;
    let wrong = open_message(&key, &context(), &salted);
    assert_eq!(wrong.err(), Some(OpenError::WrongKey));
}

#[test]
fn k5_a_chunk_cut_or_under_a_wrong_key_opens_not_and_leaves_nothing() {
    let aead: Arc<dyn BulkAead> = Arc::new(AwsLc);
    let key = ChunkKey::copy_of(&[7; 32]);
    let plain = content(4, 3 * 4096 - 5);
    let mut sealed = vec![0; stored_len(plain.len())];
    sealed[..plain.len()].copy_from_slice(&plain);
    seal_chunk(&*aead, &key, &mut sealed, plain.len());
    let digest = Digest::of(&sealed);
    for pages in 1..3 {
        let mut cut = sealed[..pages * 4096 + 16].to_vec();
        let opened = open_chunk(&*aead, &key, &mut cut, plain.len());
        assert_eq!(opened, Err(OpenError::Truncated), "the length is known");
        let opened = open_chunk(&*aead, &key, &mut cut, pages * 4096);
        assert_eq!(opened, Err(OpenError::Tampered { chunk: 0 }));
        assert!(cut.iter().all(|byte| *byte == 0));
    }
    let mut swapped = sealed.clone();
    swapped[..8192].rotate_left(4096);
    let mut other = sealed.clone();
    let wrong = ChunkKey::copy_of(&[8; 32]);
    for (key, bytes) in [(&key, &mut swapped), (&wrong, &mut other)] {
        let opened = open_chunk(&*aead, key, bytes, plain.len());
        assert_eq!(opened, Err(OpenError::Tampered { chunk: 0 }));
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
    assert_eq!(Digest::of(&sealed), digest);
    open_chunk(&*aead, &key, &mut sealed, plain.len()).unwrap();
    assert_eq!(sealed[..plain.len()], plain);
}
