//! Every field of every word survives the way down and the way up.

use stele_device::buffer::BufferMut;
use stele_format::units::{BucketId, LogIndex, ObjectId, UnixMillis, UploadId, VersionId};
use stele_gateway::Slab;
use stele_gateway::claim::Canonical;
use stele_gateway::message as gateway;
use stele_gateway::wire::Content;
use stele_store::policy::{self, BucketKind, Mode, Period};
use stele_store::request::{self as store, Command};

mod refusals;

fn command(ask: gateway::Request) -> Command {
    super::command(ask, None).expect("a question for the engine")
}

fn answer_to_gateway(answer: store::Answer) -> Option<gateway::Answer> {
    super::answer_to_gateway(answer).map(|(answer, _)| answer)
}

fn version() -> VersionId {
    VersionId::new(LogIndex::new(7), [3; 8])
}

fn gateway_name() -> gateway::ObjectName {
    gateway::ObjectName {
        bucket: "b".to_owned(),
        key: "k\u{e4}y".to_owned(),
    }
}

fn store_name() -> store::ObjectName {
    store::ObjectName {
        bucket: "b".to_owned(),
        key: "k\u{e4}y".as_bytes().to_vec(),
    }
}

fn pairs(name: &str) -> Vec<(String, String)> {
    vec![
        (name.to_owned(), "v".to_owned()),
        (name.to_uppercase(), String::new()),
    ]
}

fn gateway_metadata() -> gateway::Metadata {
    gateway::Metadata {
        headers: pairs("h"),
        user: pairs("u"),
        tags: pairs("t"),
        storage_class: "STANDARD".to_owned(),
    }
}

fn store_metadata() -> store::Metadata {
    store::Metadata {
        headers: pairs("h"),
        user: pairs("u"),
        tags: pairs("t"),
        storage_class: "STANDARD".to_owned(),
    }
}

fn gateway_checksums() -> Vec<gateway::Checksum> {
    super::CHECKSUM_NUMBERS
        .iter()
        .map(|(kind, number)| gateway::Checksum {
            kind: *kind,
            composite: number % 2 == 0,
            value: vec![*number; 4],
        })
        .collect()
}

fn store_checksums() -> Vec<store::Checksum> {
    (1..=5)
        .map(|number| store::Checksum {
            algorithm: number,
            composite: number % 2 == 0,
            value: vec![number; 4],
        })
        .collect()
}

fn gateway_retention() -> gateway::Retention {
    gateway::Retention {
        mode: gateway::LockMode::Governance,
        until: UnixMillis::new(9),
    }
}

fn store_retention() -> policy::Retention {
    policy::Retention {
        mode: Mode::Governance,
        until: UnixMillis::new(9),
    }
}

fn gateway_conditions() -> gateway::Conditions {
    gateway::Conditions {
        if_match: Some("m".to_owned()),
        if_none_match: Some("*".to_owned()),
    }
}

#[test]
fn buckets_are_asked_for_alike() {
    let name = "b".to_owned();
    let ask = gateway::Request::CreateBucket {
        name: name.clone(),
        lock: true,
    };
    assert!(matches!(command(ask), Command::CreateBucket { name, lock: true } if name == "b"));
    let ask = gateway::Request::HeadBucket { name: name.clone() };
    assert!(matches!(command(ask), Command::HeadBucket { name } if name == "b"));
    let ask = gateway::Request::DeleteBucket { name: name.clone() };
    assert!(matches!(command(ask), Command::DeleteBucket { name } if name == "b"));
    assert!(matches!(
        command(gateway::Request::ListBuckets),
        Command::ListBuckets
    ));
    let check = |down: Option<(gateway::LockMode, gateway::Period)>, expected| {
        let ask = gateway::Request::SetDefaultRetention {
            bucket: name.clone(),
            default: down,
        };
        let Command::SetDefaultRetention { bucket, default } = command(ask) else {
            panic!("another command");
        };
        assert_eq!((bucket.as_str(), default), ("b", expected));
    };
    check(None, None);
    check(
        Some((gateway::LockMode::Compliance, gateway::Period::Years(3))),
        Some((Mode::Compliance, Period::Years(3))),
    );
    check(
        Some((gateway::LockMode::Governance, gateway::Period::Days(4))),
        Some((Mode::Governance, Period::Days(4))),
    );
}

#[test]
fn an_upload_goes_down_whole_and_its_buffer_is_not_copied() {
    let lock = gateway::LockWish {
        retention: Some(gateway_retention()),
        hold: Some(true),
    };
    let purpose = gateway::Purpose::Object {
        metadata: gateway_metadata(),
        lock,
    };
    let ask = gateway::Request::OpenPut {
        name: gateway_name(),
        purpose,
        content_bytes: Some(11),
    };
    let Command::OpenPut {
        name,
        purpose,
        content_bytes,
    } = command(ask)
    else {
        panic!("another command");
    };
    assert!(name == store_name());
    assert_eq!(content_bytes, Some(11));
    let lock = store::LockWish {
        retention: Some(store_retention()),
        hold: Some(true),
    };
    assert_eq!(
        purpose,
        store::Purpose::Object {
            metadata: store_metadata(),
            lock
        }
    );

    let buffer = BufferMut::zeroed(8192);
    let address = buffer.as_ptr();
    let slab = Slab {
        buffer,
        start: 256,
        len: 1000,
    };
    let ask = gateway::Request::PutData {
        stream: gateway::StreamId(5),
    };
    let Some(Command::PutData { stream, piece }) = super::command(ask, Some(slab)) else {
        panic!("another command")
    };
    assert_eq!(
        (stream, piece.start, piece.len),
        (store::StreamId(5), 256, 1000)
    );
    assert_eq!(piece.buffer.as_ptr(), address);

    let ask = gateway::Request::CommitPut {
        stream: gateway::StreamId(5),
        md5: Some([1; 16]),
        checksums: gateway_checksums(),
        conditions: gateway_conditions(),
    };
    let Command::CommitPut {
        stream,
        md5,
        checksums,
        conditions,
    } = command(ask)
    else {
        panic!("another command");
    };
    assert_eq!((stream, md5), (store::StreamId(5), Some([1; 16])));
    assert_eq!(checksums, store_checksums());
    assert_eq!(conditions.if_match.as_deref(), Some("m"));
    assert_eq!(conditions.if_none_match.as_deref(), Some("*"));
    let ask = gateway::Request::AbortPut {
        stream: gateway::StreamId(5),
    };
    assert!(matches!(
        command(ask),
        Command::AbortPut {
            stream: store::StreamId(5)
        }
    ));
}

#[test]
fn short_content_goes_down_with_everything_that_is_said_of_it() {
    let (metadata, lock) = (gateway_metadata(), gateway::LockWish::default());
    let ask = gateway::Request::Put {
        name: gateway_name(),
        purpose: gateway::Purpose::Object { metadata, lock },
        content: Content::default(),
        md5: None,
        checksums: gateway_checksums(),
        conditions: gateway_conditions(),
    };
    let Command::Put { name, whole, .. } = command(ask) else {
        panic!("another command");
    };
    assert!(name == store_name() && whole.piece.is_none());
    assert!(whole.checksums == store_checksums() && whole.conditions.if_match.is_some());
}

#[test]
fn reads_go_down_with_version_and_range() {
    let check = |down: Option<gateway::RangeWish>, expected: Option<store::RangeWish>| {
        let ask = gateway::Request::OpenGet {
            name: gateway_name(),
            version: Some(version()),
            range: down,
        };
        let Command::OpenGet {
            name,
            version: asked,
            range,
        } = command(ask)
        else {
            panic!("another command");
        };
        assert!(name == store_name());
        assert_eq!((asked, range), (Some(version()), expected));
    };
    check(None, None);
    let from = gateway::RangeWish::From {
        first: 1,
        last: Some(2),
    };
    check(Some(from), Some(store::RangeWish::From(1, Some(2))));
    let open = gateway::RangeWish::From {
        first: 1,
        last: None,
    };
    check(Some(open), Some(store::RangeWish::From(1, None)));
    check(
        Some(gateway::RangeWish::Suffix(3)),
        Some(store::RangeWish::Suffix(3)),
    );
    let stream = gateway::StreamId(6);
    let ask = gateway::Request::NextData { stream };
    assert!(matches!(
        command(ask),
        Command::NextData {
            stream: store::StreamId(6)
        }
    ));
    let ask = gateway::Request::CloseGet { stream };
    assert!(matches!(
        command(ask),
        Command::CloseGet {
            stream: store::StreamId(6)
        }
    ));
    let ask = gateway::Request::Head {
        name: gateway_name(),
        version: None,
    };
    assert!(matches!(command(ask), Command::Head { version: None, .. }));
}

#[test]
fn locks_and_deletions_go_down_with_their_flags() {
    for bypass in [false, true] {
        let ask = gateway::Request::Delete {
            name: gateway_name(),
            version: Some(version()),
            bypass,
        };
        let Command::Delete {
            name,
            version: asked,
            bypass: down,
        } = command(ask)
        else {
            panic!("another command");
        };
        assert!(name == store_name());
        assert_eq!((asked, down), (Some(version()), bypass));
        let ask = gateway::Request::SetRetention {
            name: gateway_name(),
            version: None,
            retention: Some(gateway_retention()),
            bypass,
        };
        let Command::SetRetention {
            retention,
            bypass: down,
            ..
        } = command(ask)
        else {
            panic!("another command");
        };
        assert_eq!((retention, down), (Some(store_retention()), bypass));
        let ask = gateway::Request::SetHold {
            name: gateway_name(),
            version: None,
            on: bypass,
        };
        assert!(matches!(command(ask), Command::SetHold { on, .. } if on == bypass));
    }
}

#[test]
fn tags_announced_checksums_and_capacity_cross_both_ways() {
    let tags = vec![("k".to_owned(), "v".to_owned())];
    let ask = gateway::Request::SetTags {
        name: gateway_name(),
        version: Some(version()),
        tags: tags.clone(),
    };
    let Command::SetTags {
        name,
        version: named,
        tags: down,
    } = command(ask)
    else {
        panic!("another command")
    };
    assert!(name == store_name());
    assert_eq!((named, down), (Some(version()), tags));
    for versioned in [true, false] {
        let answer = answer_to_gateway(store::Answer::Tagged {
            version: version(),
            versioned,
        });
        assert!(matches!(
            answer,
            Some(gateway::Answer::Tagged { version: of, versioned: shown })
                if (of, shown) == (version(), versioned)
        ));
    }

    let upload = UploadId::new(LogIndex::new(2), [4; 8]);
    for (kind, number) in super::CHECKSUM_NUMBERS {
        for composite in [true, false] {
            let ask = gateway::Request::CreateUpload {
                name: gateway_name(),
                metadata: gateway_metadata(),
                lock: gateway::LockWish::default(),
                checksum: Some((kind, composite)),
            };
            let Command::CreateUpload { announced, .. } = command(ask) else {
                panic!("another command")
            };
            assert_eq!(announced, Some((number, composite)));
            let answer = answer_to_gateway(store::Answer::UploadInfo(announced));
            assert!(matches!(
                answer,
                Some(gateway::Answer::UploadInfo(told)) if told == Some((kind, composite))
            ));
        }
    }
    let ask = gateway::Request::HeadUpload {
        name: gateway_name(),
        upload,
    };
    assert!(matches!(command(ask), Command::HeadUpload { upload: down, .. } if down == upload));

    assert!(matches!(
        command(gateway::Request::Capacity),
        Command::Capacity
    ));
    let answer = store::Answer::Capacity {
        total_bytes: 7,
        free_bytes: 3,
    };
    assert!(matches!(
        answer_to_gateway(answer),
        Some(gateway::Answer::Capacity {
            total_bytes: 7,
            free_bytes: 3,
        })
    ));
}

#[test]
fn multipart_goes_down_part_by_part() {
    let upload = UploadId::new(LogIndex::new(2), [4; 8]);
    let purpose = gateway::Purpose::Part { upload, number: 77 };
    let ask = gateway::Request::OpenPut {
        name: gateway_name(),
        purpose,
        content_bytes: None,
    };
    let Command::OpenPut { purpose, .. } = command(ask) else {
        panic!("another command")
    };
    assert_eq!(purpose, store::Purpose::Part { upload, number: 77 });
    let part = gateway::NamedPart {
        number: 77,
        etag: "e".to_owned(),
        checksums: gateway_checksums(),
    };
    let ask = gateway::Request::CompleteUpload {
        name: gateway_name(),
        upload,
        parts: vec![part],
        checksums: gateway_checksums(),
        conditions: gateway_conditions(),
    };
    let Command::CompleteUpload {
        upload: asked,
        parts,
        checksums,
        ..
    } = command(ask)
    else {
        panic!("another command");
    };
    assert_eq!(asked, upload);
    let expected = store::NamedPart {
        number: 77,
        etag: "e".to_owned(),
        checksums: store_checksums(),
    };
    assert_eq!(parts, [expected]);
    assert_eq!(checksums, store_checksums());
    let ask = gateway::Request::ListParts {
        name: gateway_name(),
        upload,
        after: 3,
        parts_max: 9,
    };
    let listed = command(ask);
    assert!(matches!(
        listed,
        Command::ListParts {
            after: 3,
            parts_max: 9,
            ..
        }
    ));
    let ask = gateway::Request::AbortUpload {
        name: gateway_name(),
        upload,
    };
    assert!(matches!(command(ask), Command::AbortUpload { upload: asked, .. } if asked == upload));
}

#[test]
fn listings_go_down_and_come_up() {
    let wish = gateway::ListWish {
        bucket: "b".to_owned(),
        prefix: "p".to_owned(),
        delimiter: Some("/".to_owned()),
        after: Some("a".to_owned()),
        after_version: Some("v".to_owned()),
        entries_max: 3,
    };
    let expected = store::ListWish {
        bucket: "b".to_owned(),
        prefix: b"p".to_vec(),
        delimiter: Some(b"/".to_vec()),
        after: Some(b"a".to_vec()),
        after_version: Some("v".to_owned()),
        entries_max: 3,
    };
    let ask = gateway::Request::List(wish.clone());
    assert!(matches!(command(ask), Command::List(down) if down == expected));
    let ask = gateway::Request::ListVersions(wish.clone());
    assert!(matches!(command(ask), Command::ListVersions(down) if down == expected));
    let ask = gateway::Request::ListUploads(wish);
    assert!(matches!(command(ask), Command::ListUploads(down) if down == expected));

    let row = store::ListedVersion {
        key: b"k".to_vec(),
        version: version(),
        marker: true,
        current: true,
        etag: "e".to_owned(),
        content_bytes: 5,
        modified: UnixMillis::new(6),
    };
    let page = store::Page {
        rows: vec![row],
        common_prefixes: vec![b"c/".to_vec(), vec![b'x', 0xff]],
        next: Some((b"n".to_vec(), Some("nv".to_owned()))),
    };
    let up = answer_to_gateway(store::Answer::VersionListing(page));
    let Some(gateway::Answer::VersionListing(page)) = up else {
        panic!("another answer")
    };
    let expected = gateway::ListedVersion {
        key: "k".to_owned(),
        version: version(),
        marker: true,
        current: true,
        etag: "e".to_owned(),
        content_bytes: 5,
        modified: UnixMillis::new(6),
    };
    assert!(page.rows == [expected]);
    assert_eq!(page.common_prefixes, ["c/", "x\u{fffd}"]);
    assert_eq!(page.next, Some(("n".to_owned(), Some("nv".to_owned()))));
}

#[test]
fn what_is_known_of_a_version_comes_up_whole() {
    let info = store::ObjectInfo {
        object: ObjectId::new([1; 16]),
        version: version(),
        versioned: true,
        content_bytes: 12,
        etag: "e".to_owned(),
        modified: UnixMillis::new(13),
        metadata: store_metadata(),
        checksums: store_checksums(),
        retention: Some(store_retention()),
        hold: Some(false),
        part_sizes: vec![7, 5],
        lock_enabled: true,
    };
    let expected = gateway::ObjectInfo {
        version: version(),
        versioned: true,
        content_bytes: 12,
        etag: "e".to_owned(),
        modified: UnixMillis::new(13),
        metadata: gateway_metadata(),
        checksums: gateway_checksums(),
        retention: Some(gateway_retention()),
        hold: Some(false),
        part_sizes: vec![7, 5],
        lock_enabled: true,
    };
    let opened = store::Answer::Opened {
        stream: store::StreamId(8),
        info: Box::new(info),
        range: (3, 4),
    };
    let Some(gateway::Answer::Opened {
        stream,
        info,
        range,
    }) = answer_to_gateway(opened)
    else {
        panic!("another answer");
    };
    assert_eq!(
        (stream, *info, range),
        (gateway::StreamId(8), expected, (3, 4))
    );
}

#[test]
fn data_comes_up_without_a_copy() {
    let buffer = BufferMut::zeroed(4096);
    let address = buffer.as_ptr();
    let piece = store::Piece {
        buffer,
        start: 100,
        len: 200,
    };
    let up = super::answer_to_gateway(store::Answer::Data(piece));
    let Some((gateway::Answer::Data, Some(slab))) = up else {
        panic!("another answer");
    };
    assert_eq!(
        (slab.start, slab.len, slab.buffer.as_ptr()),
        (100, 200, address)
    );
}

#[test]
fn buckets_and_stored_versions_come_up_and_configuration_never_does() {
    let check = |kind, expected| {
        let bucket = store::BucketInfo {
            id: BucketId::new([2; 16]),
            name: "b".to_owned(),
            kind,
            created: UnixMillis::new(5),
            default: Some((Mode::Compliance, Period::Days(1))),
            rules: std::sync::Arc::default(),
            lifecycle: std::sync::Arc::new(vec![policy::LifecycleRule {
                id: "i".to_owned(),
                form: policy::FilterForm::Prefix,
                prefix: b"wal/".to_vec(),
                bytes_min: 0,
                bytes_below: 0,
                disabled: true,
                upload_days: Some(3),
                current: None,
                noncurrent: None,
            }]),
            max_days: Some(30),
            owner: policy::OwnerId::new("a1").expect("an owner"),
        };
        let expected = gateway::BucketInfo {
            owner: "a1".to_owned(),
            name: "b".to_owned(),
            kind: expected,
            created: UnixMillis::new(5),
            default: Some((gateway::LockMode::Compliance, gateway::Period::Days(1))),
            lifecycle: vec![gateway::LifecycleRule {
                id: "i".to_owned(),
                form: gateway::FilterForm::Prefix,
                prefix: "wal/".to_owned(),
                bytes_min: 0,
                bytes_below: 0,
                disabled: true,
                upload_days: Some(3),
                current: None,
                noncurrent: None,
            }],
        };
        let up = answer_to_gateway(store::Answer::Bucket(bucket));
        assert!(matches!(up, Some(gateway::Answer::Bucket(info)) if info == expected));
    };
    check(
        BucketKind::DefaultLocked,
        gateway::BucketKind::DefaultLocked,
    );
    check(BucketKind::ClientLocked, gateway::BucketKind::ClientLocked);
    check(BucketKind::Plain, gateway::BucketKind::Plain);
    let stored = store::Stored {
        version: Some(version()),
        versioned: true,
        etag: "e".to_owned(),
        checksums: store_checksums(),
        log_index: LogIndex::new(1),
        receipt: Some("a receipt".to_owned()),
    };
    let expected = gateway::Stored {
        version: Some(version()),
        versioned: true,
        etag: "e".to_owned(),
        checksums: gateway_checksums(),
        receipt: Some("a receipt".to_owned()),
    };
    let up = answer_to_gateway(store::Answer::Stored(stored));
    assert!(matches!(up, Some(gateway::Answer::Stored(stored)) if stored == expected));
    assert!(answer_to_gateway(store::Answer::Config(Some(vec![1]))).is_none());
}

#[test]
fn what_is_not_the_engines_to_answer_does_not_go_down() {
    let data = gateway::Request::PutData {
        stream: gateway::StreamId(5),
    };
    assert!(super::command(data, None).is_none(), "without its content");
    let claim = gateway::Claim {
        key_id: "K".to_owned(),
        day: String::new(),
        region: String::new(),
        date: String::new(),
        request: Canonical::new(Vec::new(), None),
        signature: [0; 32],
    };
    let sign_in = gateway::Request::SignIn {
        claim,
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        signs_chunks: false,
        finished: Vec::new(),
    };
    assert!(super::command(sign_in, None).is_none());
}
