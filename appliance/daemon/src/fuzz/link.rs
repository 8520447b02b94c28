//! What a gateway's process says on its socket: every kind of question, changed.

use std::net::IpAddr;

use stele_format::units::{UnixMillis, UploadId, VersionId};
use stele_gateway::chain::{ChunkProof, Signed};
use stele_gateway::claim::Canonical;
use stele_gateway::message::{
    Checksum, ChecksumKind, Claim, Conditions, CurrentExpiry, FilterForm, LifecycleRule, ListWish,
    LockMode, LockWish, Metadata, NamedPart, NoncurrentExpiry, ObjectName, Period, Purpose,
    RangeWish, Request, Retention, SessionId, StreamId,
};
use stele_gateway::wire::{Confined, Content, Frames, Piece, Up, encode};

use crate::bridge;
use crate::gateway::verify::verify;

/// Frames as they come, in one piece and in many; and the same bytes as the body of one whose length is right, since a
/// wrong one ends nearly every conversation at once.
pub fn run(input: &[u8]) {
    let whole = taken(input, input.len());
    let step = 1 + usize::from(input.first().copied().unwrap_or(0));
    assert_eq!(
        whole,
        taken(input, step),
        "it depends on how the bytes come"
    );
    let mut framed = u32::try_from(input.len())
        .expect("short")
        .to_le_bytes()
        .to_vec();
    framed.extend_from_slice(input);
    taken(&framed, framed.len());
}

/// What was said until the conversation ended, as it is said again.
fn taken(input: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    let mut said = Vec::new();
    for piece in input.chunks(step.max(1)) {
        frames.push(piece);
        loop {
            match frames.take::<Up>() {
                Ok(Some(frame)) => said.push(looked_at(frame)),
                Ok(None) => break,
                Err(_) => return said,
            }
        }
    }
    said
}

/// The frame as it is said again; a question goes the way to the engine as far as it does without one.
fn looked_at(frame: Up) -> Vec<u8> {
    let mut said = Vec::new();
    encode(&frame, &mut said).expect("no longer than what was read");
    let mut frames = Frames::default();
    frames.push(&said);
    let again: Up = frames.take().expect("well formed").expect("whole");
    let mut twice = Vec::new();
    encode(&again, &mut twice).expect("as long");
    assert_eq!(said, twice, "it says something else the second time");
    if let Up::Ask {
        request: Request::SignIn { claim, .. },
        ..
    } = &frame
    {
        stele_gateway::fuzz::wanted(claim, &requests());
    }
    if let Up::Ask { request, .. } = frame
        && verify(&request).is_ok()
    {
        drop(bridge::command(request, None));
    }
    said
}

fn name() -> ObjectName {
    ObjectName {
        bucket: "bucket".to_owned(),
        key: "a/key".to_owned(),
    }
}

fn metadata() -> Metadata {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Metadata {
        headers: vec![pair("content-type", "text/plain")],
        user: vec![pair("a", "b"), pair("c", "")],
        tags: vec![pair("till", "1")],
        storage_class: "STANDARD".to_owned(),
    }
}

fn lock() -> LockWish {
    LockWish {
        retention: Some(Retention {
            mode: LockMode::Compliance,
            until: UnixMillis::new(1_796_000_000_000),
        }),
        hold: Some(true),
    }
}

fn checksums() -> Vec<Checksum> {
    vec![Checksum {
        kind: ChecksumKind::Sha256,
        composite: true,
        value: vec![7; 32],
    }]
}

fn conditions() -> Conditions {
    Conditions {
        if_match: Some("an etag".to_owned()),
        if_none_match: Some("*".to_owned()),
    }
}

fn wish() -> ListWish {
    ListWish {
        bucket: "bucket".to_owned(),
        prefix: "a/".to_owned(),
        delimiter: Some("/".to_owned()),
        after: Some("a/b".to_owned()),
        after_version: Some("00112233445566778899aabbccddeeff".to_owned()),
        entries_max: 1_000,
    }
}

fn rule() -> LifecycleRule {
    LifecycleRule {
        id: "rule".to_owned(),
        form: FilterForm::AndPrefix,
        prefix: "logs/".to_owned(),
        bytes_min: 1,
        bytes_below: 1 << 40,
        disabled: false,
        upload_days: Some(3),
        current: Some(CurrentExpiry::From(UnixMillis::new(1_796_000_000_000))),
        noncurrent: Some(NoncurrentExpiry { days: 30, kept: 2 }),
    }
}

/// Every kind of question.
fn requests() -> Vec<Request> {
    let upload = UploadId::from_bytes([5; 16]);
    let version = Some(VersionId::from_bytes([6; 16]));
    let stream = StreamId(9);
    let bucket = || "bucket".to_owned();
    let object = || Purpose::Object {
        metadata: metadata(),
        lock: lock(),
    };
    let text = "PUT\n/bucket/a/key\npartNumber=3&uploadId=05050505050505050505050505050505\nhost:localhost\n\
         x-amz-copy-source:bucket/a%20key?versionId=null\nx-amz-object-lock-legal-hold:ON\n\n\
         host;x-amz-copy-source;x-amz-object-lock-legal-hold\nUNSIGNED-PAYLOAD";
    let request = Canonical::new(text.into(), Some("/bucket/a(key".to_owned()));
    let claim = Claim::signed("STELEA", "secret", "20261126T000000Z", "us-east-1", request);
    let proof = ChunkProof {
        signed: Signed::Chunk,
        digest: [1; 32],
        signature: [2; 32],
    };
    vec![
        Request::SignIn {
            claim,
            source: IpAddr::from([192, 0, 2, 1]),
            signs_chunks: true,
            finished: vec![SessionId(1), SessionId(u64::MAX)],
        },
        Request::VerifyChunks {
            proofs: vec![proof; 3],
        },
        Request::ListBuckets,
        Request::CreateBucket {
            name: bucket(),
            lock: true,
        },
        Request::HeadBucket { name: bucket() },
        Request::DeleteBucket { name: bucket() },
        Request::SetDefaultRetention {
            bucket: bucket(),
            default: Some((LockMode::Governance, Period::Years(7))),
        },
        Request::SetLifecycle {
            bucket: bucket(),
            rules: vec![rule(); 2],
        },
        Request::Put {
            name: name(),
            purpose: object(),
            content: Content(b"a prescription".to_vec()),
            md5: Some([3; 16]),
            checksums: checksums(),
            conditions: conditions(),
        },
        Request::OpenPut {
            name: name(),
            purpose: Purpose::Part { upload, number: 3 },
            content_bytes: Some(1 << 40),
        },
        Request::PutData { stream },
        Request::CommitPut {
            stream,
            md5: None,
            checksums: checksums(),
            conditions: conditions(),
        },
        Request::AbortPut { stream },
        Request::OpenGet {
            name: name(),
            version,
            range: Some(RangeWish::From {
                first: 1,
                last: Some(u64::MAX),
            }),
        },
        Request::OpenGet {
            name: name(),
            version: None,
            range: Some(RangeWish::Suffix(9)),
        },
        Request::NextData { stream },
        Request::CloseGet { stream },
        Request::Head {
            name: name(),
            version,
        },
        Request::Delete {
            name: name(),
            version,
            bypass: true,
        },
        Request::List(wish()),
        Request::ListVersions(wish()),
        Request::SetRetention {
            name: name(),
            version,
            retention: lock().retention,
            bypass: true,
        },
        Request::SetHold {
            name: name(),
            version,
            on: false,
        },
        Request::SetTags {
            name: name(),
            version,
            tags: metadata().tags,
        },
        Request::Capacity,
        Request::CreateUpload {
            name: name(),
            metadata: metadata(),
            lock: lock(),
            checksum: Some((ChecksumKind::Crc64Nvme, false)),
        },
        Request::HeadUpload {
            name: name(),
            upload,
        },
        Request::ListParts {
            name: name(),
            upload,
            after: 9_999,
            parts_max: 1_000,
        },
        Request::ListUploads(wish()),
        Request::CompleteUpload {
            name: name(),
            upload,
            parts: (1..4)
                .map(|number| NamedPart {
                    number,
                    etag: "an etag".to_owned(),
                    checksums: checksums(),
                })
                .collect(),
            checksums: checksums(),
            conditions: conditions(),
        },
        Request::AbortUpload {
            name: name(),
            upload,
        },
    ]
}

/// A frame with each question, its body alone, and a conversation of all of them.
pub fn samples() -> Vec<Vec<u8>> {
    let piece = Piece {
        number: 3,
        bytes: 1_000_000,
    };
    let mut frames = vec![Up::Ready {
        files: Confined::Fully,
        memory_bytes_max: Some(1 << 30),
    }];
    frames.extend((1..).zip(requests()).map(|(number, request)| Up::Ask {
        number,
        session: SessionId(7),
        request,
        piece: (number % 2 == 0).then_some(piece),
    }));
    let mut samples = Vec::new();
    for frame in frames {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes).expect("short");
        samples.push(bytes[4..].to_vec());
        samples.push(bytes);
    }
    let all = samples.iter().skip(1).step_by(2).flatten();
    samples.push(all.copied().collect());
    samples
}

#[test]
fn a_conversation_of_every_question_is_understood() {
    let samples = samples();
    let all = samples.last().expect("one");
    assert_eq!(taken(all, 7).len(), requests().len() + 1);
}

/// A question of a kind that has no sample yet is added here, and above.
#[test]
fn every_kind_of_question_has_a_sample() {
    let kinds: std::collections::BTreeSet<u32> = requests().iter().map(number_of).collect();
    assert_eq!(kinds.len(), KINDS);
}

/// Kinds of questions.
const KINDS: usize = 30;

/// The number of its kind, as it is said first.
fn number_of(request: &Request) -> u32 {
    match request {
        Request::SignIn { .. } => 0,
        Request::VerifyChunks { .. } => 1,
        Request::ListBuckets => 2,
        Request::CreateBucket { .. } => 3,
        Request::HeadBucket { .. } => 4,
        Request::DeleteBucket { .. } => 5,
        Request::SetDefaultRetention { .. } => 6,
        Request::SetLifecycle { .. } => 7,
        Request::Put { .. } => 8,
        Request::OpenPut { .. } => 9,
        Request::PutData { .. } => 10,
        Request::CommitPut { .. } => 11,
        Request::AbortPut { .. } => 12,
        Request::OpenGet { .. } => 13,
        Request::NextData { .. } => 14,
        Request::CloseGet { .. } => 15,
        Request::Head { .. } => 16,
        Request::Delete { .. } => 17,
        Request::List(_) => 18,
        Request::ListVersions(_) => 19,
        Request::SetRetention { .. } => 20,
        Request::SetHold { .. } => 21,
        Request::SetTags { .. } => 22,
        Request::Capacity => 23,
        Request::CreateUpload { .. } => 24,
        Request::HeadUpload { .. } => 25,
        Request::ListParts { .. } => 26,
        Request::ListUploads(_) => 27,
        Request::CompleteUpload { .. } => 28,
        Request::AbortUpload { .. } => 29,
    }
}
