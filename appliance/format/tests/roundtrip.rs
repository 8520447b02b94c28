//! What is written reads back, what was altered does not, and what must not be written is refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

mod support;

use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use stele_format::codec::Fault;
use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, FrameError, FrameHeader, SegmentWalk};
use stele_format::fuzz::{Mutator, refit_block};
use stele_format::keystate::KeyStateHeader;
use stele_format::label::{LabelCopy, StaticLabel};
use stele_format::limits::{COUNTING_MAX, LOG_RECORDS_MAX};
use stele_format::manifest::{
    Checksum, ChecksumAlgorithm, ChecksumType, ChunkKey, LockWishes, Manifest, ManifestEntry,
    ManifestKind, decode_entry_list, encode_entry_list,
};
use stele_format::record::{
    Attachment, Body, EntryKind, EpochReason, EpochStart, Forgetful, LockMode, LogWalk,
    RecordError, RecordHeader, RecordReader, RecordType, Trim, encode_record,
};
use stele_format::segment::{Footer, SegmentDisks};
use stele_format::units::{
    ByteCount, DiskId, Epoch, Generation, LaneId, LogIndex, Sequence, UnixMillis,
};
use support::{
    DISK, DISK_B, KEY_STATE_PLACE, SEGMENT, bodies, bucket, bucket_with_lifecycle, config,
    data_frame, data_seal, draft, journal_frame, journal_payload, manifest, object_header,
    record_header, segment_header, static_label,
};

#[test]
fn every_body_reads_back_with_its_attachments() {
    let (payload, count) = journal_payload();
    let mut log = LogWalk::new();
    let mut read = RecordReader::new(&payload, count);
    for (body, attachments) in bodies() {
        let record = read.next().unwrap().unwrap().verify().unwrap();
        assert_eq!(record.body(), &body);
        assert_eq!(record.header.record_type, body.record_type());
        for (index, bytes) in attachments.iter().enumerate() {
            assert_eq!(record.attachment(index), Some(bytes.as_slice()));
            let at = record.attachment_offset(index).unwrap();
            assert_eq!(&payload[at..at + bytes.len()], bytes);
        }
        assert_eq!(record.attachment(attachments.len()), None);
        log.advance(&record.header).unwrap();
    }
    assert!(read.next().is_none());
    assert_eq!(log.next_index(), LogIndex::new(36));
    assert_eq!(log.frontier().size(), 36);
}

#[test]
fn a_trim_names_the_disk_once_it_is_done() {
    let done = Body::Trim(Trim::Done {
        segments: vec![SEGMENT],
        disk: DISK_B,
    });
    let clear = done.encode(&[]);
    assert_eq!(
        Body::decode(RecordType::Trim, &clear).unwrap(),
        (done, vec![])
    );
}

#[test]
fn an_epoch_names_disks_that_forgot_each_once_and_with_how_much() {
    let of = |disk: u8, frames| Forgetful {
        disk: DiskId::new([disk; 16]),
        frames,
    };
    for (forgetful, fine) in [
        (vec![of(1, 1)], true),
        (vec![of(1, u32::MAX), of(2, 3)], true),
        (vec![of(1, 0)], false),
        (vec![of(2, 1), of(1, 1)], false),
        (vec![of(1, 1), of(1, 1)], false),
    ] {
        let body = Body::Epoch(EpochStart {
            previous: Epoch::new(2),
            reason: EpochReason::Start,
            abandoned: vec![],
            forgetful,
        });
        let clear = body.encode(&[]);
        let read = Body::decode(RecordType::Epoch, &clear);
        assert_eq!(read.is_ok(), fine, "{body:?}");
        assert!(read.is_err() || read == Ok((body, vec![])));
    }
}

#[test]
fn every_writable_type_has_a_sample_body() {
    let written = RecordType::ALL.iter().filter(|kind| kind.is_writable());
    let sampled: Vec<_> = bodies()
        .iter()
        .map(|(body, _)| body.record_type())
        .collect();
    assert_eq!(written.copied().collect::<Vec<_>>(), sampled);
}

#[test]
fn what_a_later_version_defines_is_walked_over_but_never_written() {
    let mut out = b"before".to_vec();
    for kind in [
        RecordType::Taped,
        RecordType::Audit,
        RecordType::Optional(0x8001),
    ] {
        let body = Body::Later(kind);
        let written = encode_record(record_header(&LogWalk::new()), &body, &[], &mut out);
        assert_eq!(written, Err(RecordError::Unwritable(kind)));
        let (read, table) = Body::decode(kind, &[0xa1, 9, 0x61, b'x']).unwrap();
        assert_eq!((read, table), (Body::Later(kind), vec![]));
    }
    assert_eq!(out, b"before");
}

#[test]
fn a_record_that_contradicts_itself_is_not_written() {
    let log = LogWalk::new();
    let mut out = b"before".to_vec();
    let mut refuse = |header, body: &Body, attachments: &[&[u8]]| {
        let error = encode_record(header, body, attachments, &mut out).unwrap_err();
        assert_eq!(out, b"before");
        error
    };
    let field = |error| match error {
        RecordError::Decode { error, .. } => error.field,
        other => panic!("{other:?}"),
    };
    let good = object_header(&log);
    let without_until = RecordHeader {
        retain_until_ms: UnixMillis::NONE,
        ..good
    };
    assert_eq!(
        field(refuse(without_until, &Body::Retention, &[])),
        "retain_until_ms"
    );
    assert_eq!(field(refuse(good, &Body::DeleteMarker, &[])), "attachments");
    assert_eq!(field(refuse(good, &Body::Hold, &[b"x"])), "attachments");
    let (commit, attachments) = bodies().remove(5);
    let manifest_only: &[&[u8]] = &[&attachments[0]];
    assert_eq!(field(refuse(good, &commit, manifest_only)), "entries");
    let huge = vec![0; 4 * 1024 * 1024 + 1];
    assert_eq!(refuse(good, &Body::Config, &[&huge]), RecordError::TooLarge);
    assert_eq!(
        refuse(good, &Body::Config, &[b"x".as_slice(); 65]),
        RecordError::TooLarge
    );
}

#[test]
fn bounds_of_writers_are_refused_by_name() {
    let too_long = vec![1; 16 * 1024 * 1024 - 4096 + 1];
    let key_state = |body| KeyStateHeader::encode(KEY_STATE_PLACE, Generation::new(1), body);
    assert_eq!(key_state(&too_long).unwrap_err().what, Fault::Limit);
    assert!(key_state(&too_long[1..]).is_ok());
    assert_eq!(key_state(&[]).unwrap_err().what, Fault::Limit);
    let header = segment_header(LaneId::new(1));
    let frame = draft(&header, &SegmentWalk::new(&header), 0);
    assert_eq!(frame.seal(&[]), Err(FrameError::Unframable(0)));
    let digest = Digest::ZERO;
    assert!(frame.seal_digest(4 * 1024 * 1024 - 256, digest).is_ok());
    let over = 4 * 1024 * 1024 - 255;
    assert_eq!(
        frame.seal_digest(over, digest),
        Err(FrameError::Unframable(over.into()))
    );
    let largest = FrameHeader::total_bytes_for(1_044_480 + 16);
    assert_eq!(largest, Some(1024 * 1024), "the largest chunk fills 1 MiB");
    let disk = |i: u8| DiskId::new([i; 16]);
    assert_eq!(SegmentDisks::new(&[]), None);
    assert_eq!(SegmentDisks::new(&[disk(1), disk(1)]), None);
    assert_eq!(SegmentDisks::new(&[1, 2, 3, 4, 5].map(disk)), None);
    assert_eq!(SegmentDisks::new(&[DiskId::ZERO]), None);
    let mut footer = Footer::decode(&data_seal().0).unwrap().claims().clone();
    footer.entries[1].sequence = Sequence::new(9);
    assert_eq!(footer.encode().unwrap_err().field, "entries");
}

/// Every single bit of these counts: no altered byte is ever accepted.
#[test]
fn any_flipped_bit_is_noticed() {
    let block = static_label().encode(LabelCopy::A, 0);
    every_flip(&block, |bytes| StaticLabel::decode(bytes).is_err());
    every_flip(&data_seal().0, |bytes| Footer::decode(bytes).is_err());
    for frame in [journal_frame(), data_frame(true)] {
        every_flip(&frame, |bytes| match FrameHeader::decode(&bytes[..256]) {
            Err(_) => true,
            Ok(header) => header.claims().check_payload(bytes).is_err(),
        });
    }
}

fn every_flip(good: &[u8], refused: impl Fn(&[u8]) -> bool) {
    let mut bytes = good.to_vec();
    assert!(!refused(&bytes));
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            bytes[at] ^= bit;
            assert!(refused(&bytes), "byte {at}, bit {bit:#x}");
            bytes[at] ^= bit;
        }
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let manifest = manifest();
    let shown = format!(
        "{manifest:?} {:?} {:?} {:?} {:?}",
        bucket(),
        bucket_with_lifecycle(),
        config(),
        manifest.entries
    );
    for secret in [
        "backups", "zeta", "pharmacy", "secret", "145", "91, 91", "0011", "site", "locks", "wal",
    ] {
        assert!(!shown.contains(secret), "{secret} shows in {shown}");
    }
}

/// The mutator reaches behind the digests: a property that is false must be found false.
#[test]
fn a_false_property_is_found_by_mutation() {
    let corpus = vec![static_label().encode(LabelCopy::A, 0).to_vec()];
    let found = catch_unwind(|| {
        let mut mutator = Mutator::new(1);
        for _ in 0..5000 {
            let mut bytes = mutator.mutate(&corpus);
            refit_block(&mut bytes);
            if let Ok(label) = StaticLabel::decode(&bytes) {
                assert_eq!(label.claims().disk_ordinal, 0, "canary");
            }
        }
    });
    assert!(
        found.is_err(),
        "5000 mutations never changed a field that may change"
    );
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zA-Z0-9/ äß-]{1,40}"]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..6)
}

fn entry() -> impl Strategy<Value = ManifestEntry> {
    (
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<u32>(),
        0..=COUNTING_MAX,
        1..u32::MAX,
        any::<bool>(),
    )
        .prop_map(
            |(digest, key, stored_bytes, plain_bytes, count, list)| ManifestEntry {
                kind: if list {
                    EntryKind::SealedList
                } else {
                    EntryKind::Chunk
                },
                digest: Digest(digest),
                stored_bytes,
                plain_bytes: ByteCount::new(plain_bytes),
                key: ChunkKey::new(key),
                count: if list { count } else { 1 },
            },
        )
}

fn checksum() -> impl Strategy<Value = Checksum> {
    (1..6_u8, any::<bool>(), any::<u8>()).prop_map(|(algorithm, composite, byte)| {
        let algorithm = ChecksumAlgorithm::new(algorithm).unwrap();
        let coverage = if composite {
            ChecksumType::Composite
        } else {
            ChecksumType::FullObject
        };
        Checksum {
            algorithm,
            coverage,
            value: vec![byte; algorithm.bytes()],
        }
    })
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let described = (
        (0..6_u8).prop_map(|kind| ManifestKind::new(kind).unwrap()),
        vec(any::<u8>(), 0..64),
        0..=COUNTING_MAX,
        text(),
        pairs(),
        pairs(),
        pairs(),
    );
    let rest = (
        vec(checksum(), 0..4),
        vec(entry(), 0..30),
        option::of((0..3_u8, 0..=COUNTING_MAX, any::<bool>())),
        vec(0..=COUNTING_MAX, 0..30),
        text(),
        option::of(1..10_001_u16),
        option::of(any::<[u8; 16]>()),
        option::of((1..6_u8, 0..2_u8)),
    );
    (described, rest).prop_map(|(described, rest)| {
        let (kind, name, bytes, etag, headers, user_metadata, tags) = described;
        let (checksums, entries, lock, sizes, storage_class, part_number, md5, announced) = rest;
        Manifest {
            kind,
            name,
            content_bytes: ByteCount::new(bytes),
            etag,
            content_headers: headers.into_iter().collect(),
            user_metadata,
            checksums,
            tags,
            entries,
            lock_wishes: lock.map(|(mode, until, hold)| LockWishes {
                mode: LockMode::new(mode).unwrap(),
                until: UnixMillis::new(until),
                hold,
            }),
            part_sizes: sizes.into_iter().map(ByteCount::new).collect(),
            storage_class,
            part_number,
            md5,
            announced: announced.map(|(algorithm, coverage)| {
                (
                    ChecksumAlgorithm::new(algorithm).unwrap(),
                    ChecksumType::new(coverage).unwrap(),
                )
            }),
        }
    })
}

proptest! {
    #[test]
    fn manifests_read_back(manifest in any_manifest()) {
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }

    #[test]
    fn entry_lists_read_back(entries in vec(entry(), 0..40)) {
        prop_assert_eq!(decode_entry_list(&encode_entry_list(&entries)), Ok(entries));
    }

    #[test]
    fn frames_read_back(
        payload in vec(any::<u8>(), 1..9000), records in 1..4097_u16, journal: bool,
        sequence in 2..COUNTING_MAX,
    ) {
        let lane = LaneId::new(u16::from(!journal));
        let mut header = segment_header(lane);
        header.first_sequence = Sequence::new(sequence);
        let walk = SegmentWalk::new(&header);
        let count = if journal { records } else { 0 };
        let frame = draft(&header, &walk, count).seal(&payload).unwrap();
        let mut bytes = vec![0xee; 3];
        frame.write_frame(&payload, &mut bytes);
        let bytes = &bytes[3..];
        prop_assert_eq!(bytes.len() % 4096, 0);
        let read = FrameHeader::decode(&bytes[..256]).unwrap().verify(walk.expectation()).unwrap();
        prop_assert_eq!(read, frame);
        prop_assert_eq!(read.check_payload(bytes), Ok(payload.as_slice()));
        let digest = read.digest();
        prop_assert_eq!(&digest.0[..], &bytes[192..224]);
    }

    #[test]
    fn record_headers_read_back(
        index in 1..LOG_RECORDS_MAX, wall in 0..=COUNTING_MAX, until in 1..=COUNTING_MAX, mode in 0..3_u8, hold: bool,
        sealed: bool, clear in 1..262_145_u32, attached in 0..4_194_305_u32, fill: u8,
    ) {
        let mode = LockMode::new(mode).unwrap();
        let until = if mode == LockMode::None { 0 } else { until };
        let header = RecordHeader {
            mode,
            hold,
            sealed,
            log_index: LogIndex::new(index),
            wall_ms: UnixMillis::new(wall),
            retain_until_ms: UnixMillis::new(until),
            clear_bytes: clear,
            attached_bytes: attached,
            body_root: Digest([fill; 32]),
            previous_header: Digest([fill | 1; 32]),
            ..object_header(&LogWalk::new())
        };
        let read = RecordHeader::decode(&header.encode()).unwrap();
        prop_assert_eq!(read.claims(), &header);
    }

    #[test]
    fn bodies_refuse_any_other_bytes_of_the_same_values(
        at in 0..20_usize, byte: u8, position in 0..400_usize,
    ) {
        let (body, attachments) = bodies().remove(at);
        let table: Vec<_> = attachments.iter().map(|bytes| Attachment::of(bytes)).collect();
        let good = body.encode(&table);
        let mut bytes = good.clone();
        let position = position % bytes.len();
        bytes[position] = byte;
        if let Ok((read, read_table)) = Body::decode(body.record_type(), &bytes) {
            let same = read == body && read_table == table;
            prop_assert_eq!(same, bytes == good);
        }
    }
}

/// A frame of one place is not accepted at another, whatever the difference.
#[test]
fn a_walk_accepts_only_the_next_frame() {
    let header = segment_header(LaneId::new(1));
    let mut walk = SegmentWalk::new(&header);
    let mut frames = Vec::new();
    for payload in [[1; 5000], [2; 5000], [3; 5000]] {
        let frame = draft(&header, &walk, 0).seal(&payload).unwrap();
        walk.advance(&frame);
        frames.push(frame);
    }
    assert_eq!((walk.frame_count(), walk.next_sequence().get()), (3, 4));
    let mut walk = SegmentWalk::new(&header);
    for (next, frame) in frames.iter().enumerate() {
        for (index, other) in frames.iter().enumerate() {
            let read = FrameHeader::decode(&other.encode()).unwrap();
            assert_eq!(read.verify(walk.expectation()).is_ok(), index == next);
        }
        walk.advance(frame);
    }
    assert_eq!(walk.chain_head(), frames[2].digest());
    let promise = FrameDraft {
        list: true,
        ..draft(&header, &SegmentWalk::new(&header), 0)
    };
    let sealed = promise.seal(&[1; 5000]).unwrap();
    let mut expect = SegmentWalk::new(&header).expectation();
    expect.payload_digest = Some(Digest::of(&[9]));
    let read = FrameHeader::decode(&sealed.encode()).unwrap();
    assert_eq!(read.verify(expect), Err(FrameError::Payload));
    assert_ne!(DISK, DiskId::ZERO);
}

#[test]
fn a_bucket_may_bound_what_clients_set_and_not_to_nothing() {
    let bounded = stele_format::manifest::BucketBody {
        max_days: 731,
        ..support::bucket_with_lifecycle()
    };
    let bytes = bounded.encode();
    let read = stele_format::manifest::BucketBody::decode(&bytes);
    assert_eq!(read.as_ref(), Ok(&bounded));
    // The bound is last: key 10, and its number in three bytes.
    let mut none = bytes.to_vec();
    let end = none.len() - 3;
    assert_eq!(none[end..], [0x19, 0x02, 0xdb]);
    none.splice(end.., [0]);
    assert!(stele_format::manifest::BucketBody::decode(&none).is_err());
}
