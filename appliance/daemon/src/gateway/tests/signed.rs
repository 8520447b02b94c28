//! What a gateway in wrong hands can make of one signed request: what that request is for, and nothing else.

use stele_format::units::UploadId;
use stele_gateway::limits::LIST_ENTRIES_MAX;
use stele_gateway::message::{LifecycleRule, Period};

use super::super::signer::canonical;
use super::*;

const UPLOAD: [u8; 16] = [5; 16];
const VERSION: [u8; 16] = [6; 16];

fn upload() -> UploadId {
    UploadId::from_bytes(UPLOAD)
}

fn version() -> Option<VersionId> {
    Some(VersionId::from_bytes(VERSION))
}

fn wish() -> ListWish {
    ListWish {
        bucket: "locked".to_owned(),
        prefix: "a".to_owned(),
        entries_max: LIST_ENTRIES_MAX,
        ..ListWish::default()
    }
}

fn part() -> Request {
    Request::OpenPut {
        name: object("locked"),
        purpose: Purpose::Part {
            upload: upload(),
            number: 3,
        },
        content_bytes: None,
    }
}

fn rule() -> LifecycleRule {
    LifecycleRule {
        id: "rule".to_owned(),
        form: stele_gateway::message::FilterForm::Whole,
        prefix: String::new(),
        bytes_min: 0,
        bytes_below: 0,
        disabled: false,
        upload_days: Some(1),
        current: None,
        noncurrent: None,
    }
}

/// Every kind of question that begins something, about one bucket, object and upload.
fn questions() -> Vec<Request> {
    let name = || object("locked");
    let bucket = || "locked".to_owned();
    let upload = upload();
    vec![
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
            rules: vec![rule()],
        },
        Request::SetLifecycle {
            bucket: bucket(),
            rules: Vec::new(),
        },
        Request::List(wish()),
        Request::ListVersions(wish()),
        Request::ListUploads(wish()),
        whole(b"content"),
        put("locked"),
        part(),
        Request::OpenGet {
            name: name(),
            version: None,
            range: None,
        },
        Request::Head {
            name: name(),
            version: None,
        },
        Request::Delete {
            name: name(),
            version: None,
            bypass: false,
        },
        Request::Delete {
            name: name(),
            version: version(),
            bypass: true,
        },
        Request::SetRetention {
            name: name(),
            version: None,
            retention: None,
            bypass: true,
        },
        Request::SetHold {
            name: name(),
            version: None,
            on: false,
        },
        Request::SetTags {
            name: name(),
            version: None,
            tags: Vec::new(),
        },
        Request::Capacity,
        Request::CreateUpload {
            name: name(),
            metadata: Metadata::default(),
            lock: LockWish::default(),
            checksum: None,
        },
        Request::HeadUpload {
            name: name(),
            upload,
        },
        Request::ListParts {
            name: name(),
            upload,
            after: 0,
            parts_max: 10,
        },
        Request::CompleteUpload {
            name: name(),
            upload,
            parts: Vec::new(),
            checksums: Vec::new(),
            conditions: Conditions::default(),
        },
        Request::AbortUpload {
            name: name(),
            upload,
        },
    ]
}

/// Questions that serve a request though it is not for them alone.
fn serves(signed: &Request, asked: &Request) -> bool {
    match (signed, asked) {
        // Nearly every handler looks what kind of bucket it has to do with.
        (Request::ListBuckets, Request::HeadBucket { .. }) => false,
        // That one is about another bucket.
        (Request::Capacity, Request::HeadBucket { .. }) => false,
        (_, Request::HeadBucket { .. }) => true,
        (Request::Put { .. }, Request::OpenPut { purpose, .. })
        | (Request::OpenPut { purpose, .. }, Request::Put { .. }) => {
            matches!(purpose, Purpose::Object { .. })
        }
        (
            Request::OpenPut {
                purpose: Purpose::Part { .. },
                ..
            }
            | Request::HeadUpload { .. }
            | Request::ListParts { .. }
            | Request::CompleteUpload { .. },
            Request::HeadUpload { .. },
        )
        | (
            Request::HeadUpload { .. } | Request::ListParts { .. } | Request::CompleteUpload { .. },
            Request::ListParts { .. },
        )
        | (
            Request::OpenGet { .. } | Request::HeadUpload { .. } | Request::ListParts { .. },
            Request::Head { .. },
        ) => true,
        _ => false,
    }
}

/// Every question under every signature.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_asks_nothing_but_what_serves_the_request_that_was_signed() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    for (row, signed) in questions().iter().enumerate() {
        for (column, asked) in questions().into_iter().enumerate() {
            let expected = row == column || serves(signed, &asked);
            let said = format!("{asked:?} under a signature for {signed:?}");
            let session = evil.enter_for(wanting(signed)).await;
            let (result, _) = evil.ask(session, asked, None).await;
            let admitted = result.err() != Some(Refusal::NotSigned);
            assert_eq!(admitted, expected, "{said}");
        }
    }
    stop(vault, evil).await;
}

/// A method, a target, headers, a question, and whether it serves them.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Request,
    bool,
);

const BYPASS: &[(&str, &str)] = &[("x-amz-bypass-governance-retention", "true")];
const COPY: &[(&str, &str)] = &[("x-amz-copy-source", "/source/of")];

fn get(bucket: &str, key: &str, version: Option<VersionId>) -> Request {
    Request::OpenGet {
        name: ObjectName {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        },
        version,
        range: None,
    }
}

fn head(bucket: &str, key: &str) -> Request {
    Request::Head {
        name: ObjectName {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        },
        version: None,
    }
}

fn delete(bucket: &str, version: Option<VersionId>, bypass: bool) -> Request {
    Request::Delete {
        name: object(bucket),
        version,
        bypass,
    }
}

fn list(prefix: &str, delimiter: &str) -> Request {
    let delimiter = Some(delimiter.to_owned()).filter(|text| !text.is_empty());
    Request::List(ListWish {
        prefix: prefix.to_owned(),
        delimiter,
        after: Some("a/b".to_owned()),
        ..wish()
    })
}

fn create(lock: bool) -> Request {
    Request::CreateBucket {
        name: "new".to_owned(),
        lock,
    }
}

fn parts(after: u16, parts_max: u32) -> Request {
    Request::ListParts {
        name: object("locked"),
        upload: upload(),
        after,
        parts_max,
    }
}

fn tags(count: usize) -> Request {
    Request::SetTags {
        name: object("locked"),
        version: None,
        tags: vec![("tag".to_owned(), String::new()); count],
    }
}

fn head_bucket(name: &str) -> Request {
    Request::HeadBucket {
        name: name.to_owned(),
    }
}

/// Names, versions and words that differ in one thing.
fn rows() -> Vec<Row> {
    const KEY: &str = "/locked/key";
    const NAMED: &str = "/locked/key?versionId=06060606060606060606060606060606";
    const PART: &str = "/locked/key?partNumber=3&uploadId=05050505050505050505050505050505";
    const OTHER_PART: &str = "/locked/key?partNumber=4&uploadId=05050505050505050505050505050505";
    const OTHER_UPLOAD: &str = "/locked/key?partNumber=3&uploadId=15050505050505050505050505050505";
    let named = version();
    vec![
        ("GET", KEY, &[], get("locked", "key", None), true),
        ("GET", KEY, &[], get("locked", "yek", None), false),
        ("GET", KEY, &[], get("other", "key", None), false),
        ("GET", KEY, &[], get("locked", "key", named), false),
        ("GET", NAMED, &[], get("locked", "key", named), true),
        ("GET", NAMED, &[], get("locked", "key", None), false),
        (
            "GET",
            "/locked/key?versionId=null",
            &[],
            get("locked", "key", None),
            false,
        ),
        (
            "GET",
            "/locked/key?versionId=x",
            &[],
            get("locked", "key", None),
            false,
        ),
        (
            "GET",
            "/locked/key?acl=",
            &[],
            get("locked", "key", None),
            false,
        ),
        (
            "GET",
            "/locked/key?tagging=",
            &[],
            head("locked", "key"),
            true,
        ),
        (
            "GET",
            "/locked/key?unknown=",
            &[],
            get("locked", "key", None),
            false,
        ),
        (
            "GET",
            "/locked/key?response-expires=x&x-id=GetObject",
            &[],
            get("locked", "key", None),
            true,
        ),
        ("HEAD", KEY, &[], get("locked", "key", None), false),
        ("PUT", KEY, &[], get("locked", "key", None), false),
        ("PUT", KEY, &[], head("locked", "key"), false),
        ("PUT", "/locked/key?acl=", &[], head("locked", "key"), true),
        ("PUT", "/locked/key?acl=", &[], put("locked"), false),
        ("PUT", KEY, COPY, put("locked"), true),
        ("PUT", KEY, COPY, get("source", "of", None), true),
        ("PUT", KEY, COPY, get("source", "of", named), false),
        ("PUT", KEY, COPY, get("locked", "key", None), false),
        ("PUT", KEY, COPY, head("locked", "key"), true),
        ("PUT", KEY, COPY, head("source", "of"), true),
        ("PUT", KEY, COPY, get("other", "of", None), false),
        ("PUT", "/locked/key?tagging=", &[], tags(1), true),
        ("DELETE", "/locked/key?tagging=", &[], tags(0), true),
        ("DELETE", "/locked/key?tagging=", &[], tags(1), false),
        ("PUT", KEY, COPY, head("source", "else"), false),
        ("PUT", KEY, COPY, put("source"), false),
        ("PUT", KEY, COPY, head_bucket("source"), true),
        ("PUT", KEY, &[], head_bucket("source"), false),
        ("GET", KEY, COPY, get("source", "of", None), false),
        (
            "PUT",
            "/locked/key?retention=",
            COPY,
            get("source", "of", None),
            false,
        ),
        ("PUT", PART, &[], part(), true),
        ("PUT", OTHER_PART, &[], part(), false),
        ("PUT", OTHER_UPLOAD, &[], part(), false),
        ("PUT", KEY, &[], part(), false),
        ("PUT", PART, &[], put("locked"), false),
        ("PUT", PART, COPY, parts(2, 1), true),
        ("PUT", PART, COPY, parts(2, 2), false),
        ("PUT", PART, COPY, parts(0, 1), false),
        ("PUT", PART, &[], parts(2, 1), false),
        ("DELETE", KEY, &[], delete("locked", None, false), true),
        ("DELETE", KEY, &[], delete("locked", None, true), false),
        ("DELETE", KEY, &[], delete("locked", named, false), false),
        ("DELETE", KEY, &[], delete("other", None, false), false),
        ("DELETE", KEY, BYPASS, delete("locked", None, true), true),
        ("DELETE", NAMED, &[], delete("locked", named, false), true),
        ("DELETE", NAMED, &[], delete("locked", None, false), false),
        (
            "POST",
            "/locked?delete=",
            &[],
            delete("locked", named, false),
            true,
        ),
        (
            "POST",
            "/locked?delete=",
            &[],
            delete("locked", named, true),
            false,
        ),
        (
            "POST",
            "/locked?delete=",
            BYPASS,
            delete("locked", named, true),
            true,
        ),
        (
            "POST",
            "/locked?delete=",
            &[],
            delete("other", None, false),
            false,
        ),
        ("POST", "/locked", &[], delete("locked", None, false), false),
        (
            "GET",
            "/locked?prefix=a%2F&delimiter=%2F",
            &[],
            list("a/", "/"),
            true,
        ),
        (
            "GET",
            "/locked?prefix=a%2F&delimiter=%2F",
            &[],
            list("a", "/"),
            false,
        ),
        (
            "GET",
            "/locked?prefix=a%2F&delimiter=%2F",
            &[],
            list("", "/"),
            false,
        ),
        (
            "GET",
            "/locked?prefix=a%2F&delimiter=%2F",
            &[],
            list("a/", ""),
            false,
        ),
        (
            "GET",
            "/locked?list-type=2&start-after=z",
            &[],
            list("", ""),
            true,
        ),
        ("GET", "/other", &[], list("", ""), false),
        ("GET", "/locked?acl=", &[], list("", ""), false),
        ("GET", "/locked/key", &[], list("", ""), false),
        ("PUT", "/new", &[], create(false), true),
        ("PUT", "/new", &[], create(true), false),
        (
            "PUT",
            "/new",
            &[("x-amz-bucket-object-lock-enabled", "true")],
            create(true),
            true,
        ),
        (
            "PUT",
            "/new",
            &[("x-amz-bucket-object-lock-enabled", "true")],
            create(false),
            false,
        ),
        ("PUT", "/new?acl=", &[], create(false), false),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_changes_no_name_no_version_and_no_word_of_what_was_signed() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    for (method, target, headers, asked, expected) in rows() {
        let said = format!("{method} {target} {headers:?}: {asked:?}");
        let session = evil.enter_for(canonical(method, target, headers)).await;
        let (result, _) = evil.ask(session, asked, None).await;
        let admitted = result.err() != Some(Refusal::NotSigned);
        assert_eq!(admitted, expected, "{said}");
    }
    stop(vault, evil).await;
}

/// The honest gateway reads what is current by the id that the engine named; another id it has nowhere from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reads_no_version_that_the_engine_did_not_name() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let old = evil.store(&vault, "locked").await;
    let (_, stored) = evil.asks(whole(b"new")).await;
    let Ok(Answer::Stored(stored)) = stored else {
        panic!("{stored:?}")
    };
    let (session, known) = evil.asks(get("locked", "key", None)).await;
    assert!(matches!(known, Ok(Answer::Opened { .. })), "{known:?}");
    let again = get("locked", "key", stored.version);
    evil.ask(session, again, None).await.0.expect("current");
    let other = get("locked", "key", Some(old));
    evil.refused(session, other, Refusal::NotSigned).await;
    stop(vault, evil).await;
}

/// A head that is not one is signed by a client that plays along, and begins nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_opens_no_session() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    for text in [
        "",
        "GET",
        "GET\n/\n",
        "GET\n/\n\nhost:h\nhost\nx",
        "GET\nb\n\nhost:h\n\nhost\nx",
    ] {
        let canonical = Canonical::new(text.into(), None);
        let claim = evil.signed_for(SECRET, now(), canonical);
        let refusal = evil.sign_in(claim).await.expect_err("nothing");
        let expected = matches!(refusal, Refusal::NotSigned | Refusal::Signature);
        assert!(expected, "{text:?}: {refusal:?}");
    }
    stop(vault, evil).await;
}
