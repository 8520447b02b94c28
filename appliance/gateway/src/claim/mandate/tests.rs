use crate::claim::Canonical;
use crate::limits::DOMAINS;
use crate::message::{BucketInfo, LockMode, Purpose, Request, Retention};
use stele_format::units::UnixMillis;

use super::*;

/// The canonical request of a client that signs these headers, in the order of their names.
fn canonical(method: &str, target: &str, headers: &[(&str, &str)]) -> Canonical {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names = names.join(";");
    let text = format!("{method}\n{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    Canonical::new(text.into_bytes(), None)
}

fn read(canonical: &Canonical) -> Option<Mandate> {
    let domains = Domains::new(DOMAINS.map(str::to_owned));
    Mandate::of(canonical.forms().next()?, &domains)
}

fn mandate(method: &str, target: &str, headers: &[(&str, &str)]) -> Mandate {
    read(&canonical(method, target, headers)).expect("well formed")
}

fn name(bucket: &str, key: &str) -> ObjectName {
    ObjectName {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    }
}

fn get(name: ObjectName, version: Option<VersionId>) -> Request {
    Request::OpenGet {
        name,
        version,
        range: None,
    }
}

#[test]
fn bucket_and_key_are_read_as_the_gateway_reads_them() {
    for (host, path, bucket, key) in [
        ("localhost", "/bucket/key", "bucket", "key"),
        ("127.0.0.1:8443", "/bucket/key", "bucket", "key"),
        ("bucket.s3.localhost:8443", "/key", "bucket", "key"),
        ("bucket.s3.localhost", "/bucket/key", "bucket", "bucket/key"),
        ("bucket.localhost", "/a/b", "bucket", "a/b"),
        ("localhost", "/bucket/a%20b%2Fc", "bucket", "a b/c"),
        ("localhost", "/bucket//a/../b/", "bucket", "/a/../b/"),
        ("localhost", "/bucket/%E2%82%AC", "bucket", "\u{20ac}"),
    ] {
        let mandate = mandate("GET", path, &[("host", host)]);
        assert!(
            mandate.admits(&get(name(bucket, key), None)),
            "{host} {path}"
        );
        assert!(!mandate.admits(&get(name(bucket, "else"), None)), "{host}");
        assert!(!mandate.admits(&get(name("else", key), None)), "{host}");
    }
}

#[test]
fn what_no_gateway_would_have_verified_means_nothing() {
    let host = &[("host", "h")];
    for canonical in [
        Canonical::new(Vec::new(), None),
        Canonical::new(b"GET\n/\n".to_vec(), None),
        Canonical::new(b"GET\n/\n\nhost:h\nhost\nUNSIGNED-PAYLOAD".to_vec(), None),
        Canonical::new(
            b"GET\n/\n\nhost:h\n\nhost;a\nUNSIGNED-PAYLOAD".to_vec(),
            None,
        ),
        Canonical::new(
            b"GET\n/\n\nhost:h\na:b\n\nhost\nUNSIGNED-PAYLOAD".to_vec(),
            None,
        ),
        Canonical::new(
            b"GET\n/\n\nother:h\n\nhost\nUNSIGNED-PAYLOAD".to_vec(),
            None,
        ),
        Canonical::new(
            b"GET\n/\n\nhosts:h\n\nhost\nUNSIGNED-PAYLOAD".to_vec(),
            None,
        ),
        canonical("GET", "bucket/key", host),
        canonical("GET", "/B/key", host),
        canonical("GET", "/bucket/%ff", host),
        canonical("GET", "/bucket/key?prefix=%zz", host),
        canonical("GET", "/bucket/key?X-Amz-Expires=soon", host),
    ] {
        assert!(read(&canonical).is_none());
    }
}

/// So does one that was signed and not sent; one that was sent empty the gateway refuses.
#[test]
fn a_header_that_says_nothing_wishes_nothing() {
    for name in [
        "x-amz-bucket-object-lock-enabled",
        "x-amz-bypass-governance-retention",
        "x-amz-copy-source",
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
    ] {
        let header = canonical("PUT", "/bucket/key", &[("host", "h"), (name, "")]);
        let url = format!("/bucket/key?X-Amz-Expires=9&{name}=");
        let presigned = canonical("PUT", &url, &[("host", "h")]);
        for signed in [header, presigned] {
            let mandate = read(&signed).expect("it was signed");
            let plain = read(&canonical("PUT", "/bucket/key", &[("host", "h")]));
            let plain = plain.expect("it was signed");
            assert_eq!(mandate.lock, plain.lock, "{name}");
            assert!(mandate.source.is_none(), "{name}");
            assert!(!mandate.bypass && !mandate.bucket_lock, "{name}");
        }
    }
}

#[test]
fn half_a_part_is_no_object() {
    let upload = UploadId::from_bytes([7; 16]);
    let put = |purpose| Request::OpenPut {
        name: name("bucket", "key"),
        purpose,
        content_bytes: None,
    };
    let object = || {
        put(Purpose::Object {
            metadata: crate::message::Metadata::default(),
            lock: LockWish::default(),
        })
    };
    let part = || put(Purpose::Part { upload, number: 3 });
    let both = format!("partNumber=3&uploadId={upload}");
    let half = format!("uploadId={upload}");
    for (query, stores_object, stores_part) in [
        ("", true, false),
        (&*both, false, true),
        (&*half, false, false),
        ("partNumber=3", false, false),
        ("versionId=null", false, false),
    ] {
        let target = format!("/bucket/key?{query}");
        let mandate = mandate("PUT", &target, &[("host", "h")]);
        assert_eq!(mandate.admits(&object()), stores_object, "{query}");
        assert_eq!(mandate.admits(&part()), stores_part, "{query}");
    }
}

/// They are answered before anything is asked in a session.
#[test]
fn no_session_is_for_making_sessions() {
    let mandate = mandate("GET", "/", &[("host", "h")]);
    assert!(mandate.admits(&Request::ListBuckets));
    assert!(!mandate.admits(&Request::VerifyChunks { proofs: Vec::new() }));
    let request = canonical("GET", "/", &[("host", "h")]);
    let claim = crate::claim::Claim::signed("K", "secret", "20261126T000000Z", "eu", request);
    assert!(!mandate.admits(&Request::SignIn {
        claim,
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        signs_chunks: false,
        finished: Vec::new(),
    }));
}

/// Clients may send them, so that they are no reason for an alarm.
#[test]
fn methods_that_no_operation_has_are_for_nothing() {
    for method in ["PATCH", "get", "OPTIONS", ""] {
        let mandate = mandate(method, "/bucket/key", &[("host", "h")]);
        assert!(
            !mandate.admits(&get(name("bucket", "key"), None)),
            "{method}"
        );
    }
}

#[test]
fn a_source_is_what_the_signed_header_or_the_signed_url_says() {
    let source = |text: &'static str| {
        mandate(
            "PUT",
            "/bucket/key",
            &[("host", "h"), ("x-amz-copy-source", text)],
        )
    };
    let version = VersionId::from_bytes([6; 16]);
    let named = "/from/a%20b?versionId=06060606060606060606060606060606";
    for (text, asked, expected) in [
        ("from/a%20%20b", get(name("from", "a  b"), None), true),
        ("from/a%20%20b", get(name("from", "a b"), None), false),
        // How many blanks there were in plain is not signed.
        ("from/a b", get(name("from", "a  b"), None), true),
        ("from/a b", get(name("from", "a \t b"), None), true),
        ("from/a b", get(name("from", "ab"), None), false),
        ("from/a b", get(name("from", "a\nb"), None), false),
        ("from/a b", get(name("from", " a b"), None), false),
        (named, get(name("from", "a b"), Some(version)), true),
        (named, get(name("from", "a b"), None), false),
        ("from/a", get(name("from", "a"), Some(version)), false),
        ("arn:aws:s3:::from/a", get(name("from", "a"), None), false),
        ("from", get(name("from", "key"), None), false),
    ] {
        assert_eq!(source(text).admits(&asked), expected, "{text} {asked:?}");
    }
    let url = "/bucket/key?X-Amz-Expires=9&X-Amz-Copy-Source=from%2Fa";
    let presigned = mandate("PUT", url, &[("host", "h")]);
    assert!(presigned.admits(&get(name("from", "a"), None)));
    let url = "/bucket/key?X-Amz-Expires=9&X-Amz-Copy-Source=from%2Fa%20b";
    let presigned = mandate("PUT", url, &[("host", "h")]);
    assert!(presigned.admits(&get(name("from", "a b"), None)));
    assert!(
        !presigned.admits(&get(name("from", "a  b"), None)),
        "nobody folds it"
    );
    // A header that nobody signed is not there.
    let unsigned = mandate("PUT", "/bucket/key", &[("host", "h")]);
    assert!(!unsigned.admits(&get(name("from", "a"), None)));
}

#[test]
fn a_lock_is_exactly_the_signed_one() {
    let put = |lock| Request::OpenPut {
        name: name("bucket", "key"),
        purpose: Purpose::Object {
            metadata: crate::message::Metadata::default(),
            lock,
        },
        content_bytes: None,
    };
    let signed = |mode: &'static str, until: &'static str, hold: &'static str| {
        let headers = [
            ("host", "h"),
            ("x-amz-object-lock-legal-hold", hold),
            ("x-amz-object-lock-mode", mode),
            ("x-amz-object-lock-retain-until-date", until),
        ];
        mandate("PUT", "/bucket/key", &headers)
    };
    let good = signed("COMPLIANCE", "2030-01-01T00:00:00Z", "ON");
    let lock = |mode, until, hold| {
        let until = UnixMillis::new(until);
        LockWish {
            retention: Some(Retention { mode, until }),
            hold,
        }
    };
    let until = 1_893_456_000_000;
    let exact = lock(LockMode::Compliance, until, Some(true));
    for (asked, expected) in [
        (exact, true),
        (LockWish::default(), false),
        (lock(LockMode::Governance, until, Some(true)), false),
        (lock(LockMode::Compliance, until - 1, Some(true)), false),
        (lock(LockMode::Compliance, until + 1, Some(true)), false),
        (lock(LockMode::Compliance, until, Some(false)), false),
        (lock(LockMode::Compliance, until, None), false),
    ] {
        assert_eq!(good.admits(&put(asked)), expected, "{asked:?}");
    }
    for bad in [
        signed("ELSE", "2030-01-01T00:00:00Z", "ON"),
        signed("COMPLIANCE", "soon", "ON"),
        signed("COMPLIANCE", "2030-01-01T00:00:00Z", "MAYBE"),
    ] {
        assert!(!bad.admits(&put(exact)) && !bad.admits(&put(LockWish::default())));
    }
    let plain = mandate("PUT", "/bucket/key", &[("host", "h")]);
    assert!(plain.admits(&put(LockWish::default())) && !plain.admits(&put(exact)));
}

#[test]
fn what_is_current_is_read_by_the_id_that_the_engine_named() {
    let mut mandate = mandate("GET", "/bucket/key", &[("host", "h")]);
    let (told, other) = (
        VersionId::from_bytes([1; 16]),
        VersionId::from_bytes([2; 16]),
    );
    let asks = |version| get(name("bucket", "key"), version);
    assert!(mandate.admits(&asks(None)) && !mandate.admits(&asks(Some(told))));
    let stored = crate::message::Stored {
        version: Some(told),
        versioned: true,
        etag: String::new(),
        checksums: Vec::new(),
        receipt: None,
    };
    mandate.learn(&Answer::Stored(stored));
    mandate.learn(&Answer::Done);
    assert!(mandate.admits(&asks(Some(told))) && !mandate.admits(&asks(Some(other))));
}

proptest::proptest! {
    /// Whatever was signed, reading it ends, and without a key nothing is wanted of an object.
    #[test]
    fn nothing_that_was_signed_is_too_strange(text in "\\PC{0,40}\n/[a-z/%0-9]{0,20}\n([a-zA-Z-]{0,12}=[a-z%0-9]{0,9}&?){0,4}\n(host:[a-z.:]{0,9}\n)?\n(host)?\n.{0,9}") {
        let canonical = Canonical::new(text.into_bytes(), None);
        if let Some(mandate) = read(&canonical) {
            proptest::prop_assert!(!mandate.admits(&get(name("bucket", ""), None)));
        }
    }
}

#[test]
fn null_is_what_is_current_where_the_engine_called_the_bucket_plain() {
    let info = |name: &str, kind| BucketInfo {
        name: name.to_owned(),
        kind,
        created: UnixMillis::new(1),
        default: None,
        owner: String::new(),
        lifecycle: Vec::new(),
    };
    let host = ("host", "h");
    let source = ("x-amz-copy-source", "from/a?versionId=null");
    let of_null = || mandate("GET", "/bucket/key?versionId=null", &[host]);
    let copy = || mandate("PUT", "/bucket/key", &[host, source]);
    for (mut mandate, asked, told, expected) in [
        (of_null(), name("bucket", "key"), None, false),
        (
            of_null(),
            name("bucket", "key"),
            Some(("bucket", BucketKind::Plain)),
            true,
        ),
        (
            of_null(),
            name("bucket", "key"),
            Some(("bucket", BucketKind::ClientLocked)),
            false,
        ),
        (
            of_null(),
            name("bucket", "key"),
            Some(("other", BucketKind::Plain)),
            false,
        ),
        (copy(), name("from", "a"), None, false),
        (
            copy(),
            name("from", "a"),
            Some(("bucket", BucketKind::Plain)),
            false,
        ),
        (
            copy(),
            name("from", "a"),
            Some(("from", BucketKind::Plain)),
            true,
        ),
    ] {
        if let Some((name, kind)) = told {
            mandate.learn(&Answer::Bucket(info(name, kind)));
        }
        assert_eq!(mandate.admits(&get(asked, None)), expected, "{told:?}");
    }
}

#[test]
fn a_prefix_that_no_name_has_is_for_no_listing() {
    let list = |prefix: String| {
        let wish = crate::message::ListWish {
            bucket: "bucket".to_owned(),
            prefix,
            delimiter: None,
            after: None,
            after_version: None,
            entries_max: 1,
        };
        Request::List(wish)
    };
    let mandate =
        |prefix: &str| mandate("GET", &format!("/bucket?prefix={prefix}"), &[("host", "h")]);
    let longest = "a".repeat(crate::limits::KEY_BYTES_MAX);
    let longer = format!("{longest}a");
    assert!(mandate(&longest).admits(&list(longest.clone())));
    assert!(!mandate(&longer).admits(&list(longer.clone())));
    assert!(!mandate(&longer).admits(&list(String::new())));
}
