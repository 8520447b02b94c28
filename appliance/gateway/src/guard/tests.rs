use super::*;

/// A head whose every `x-amz-*` header is signed.
fn head(method: &str, uri: &str, extra: &[(&str, &str)]) -> Parts {
    let mut names = vec!["host", "x-amz-content-sha256", "x-amz-date"];
    let mut request = hyper::Request::builder().method(method).uri(uri);
    let given = |name| extra.iter().any(|(n, _)| *n == name);
    if !given("x-amz-content-sha256") {
        request = request.header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    }
    for (name, value) in extra {
        request = request.header(*name, *value);
        if !names.contains(name) {
            names.push(name);
        }
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=K/20261123/r/s3/aws4_request,SignedHeaders={},Signature={:064}",
        names.join(";"),
        0
    );
    request
        .header("x-amz-date", "20261123T000000Z")
        .header("authorization", authorization)
        .body(())
        .expect("a request")
        .into_parts()
        .0
}

fn check(method: &str, uri: &str, extra: &[(&str, &str)], expected: &str) {
    let code = match inspect(&mut head(method, uri, extra), uri) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().as_str().to_owned(),
    };
    assert_eq!(code, expected, "{method} {uri} {extra:?}");
}

#[test]
fn what_clients_send_passes() {
    check("GET", "/", &[], "ok");
    check(
        "GET",
        "/bucket?list-type=2&prefix=a%2F&encoding-type=url&x-id=ListObjectsV2",
        &[],
        "ok",
    );
    check("GET", "/bucket?location", &[], "ok");
    check("PUT", "/bucket/key", &[("x-amz-acl", "private")], "ok");
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-acl", "bucket-owner-full-control")],
        "ok",
    );
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-storage-class", "STANDARD")],
        "ok",
    );
    check("PUT", "/bucket/key", &[("x-amz-meta-anything", "x")], "ok");
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-server-side-encryption", "AES256")],
        "ok",
    );
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-object-lock-mode", "COMPLIANCE")],
        "ok",
    );
    check("PUT", "/bucket/key?partNumber=1&uploadId=u", &[], "ok");
    check(
        "POST",
        "/bucket?delete",
        &[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")],
        "ok",
    );
    check("DELETE", "/bucket/key?versionId=x", &[], "ok");
}

#[test]
fn nothing_unknown_is_silently_accepted() {
    let not = "NotImplemented";
    for name in [
        "x-amz-object-lock-event-hold",
        "x-amz-object-lock-anything",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-website-redirect-location",
        "x-amz-write-offset-bytes",
        "x-amz-checksum-sha512",
        "x-amz-checksum-xxhash64",
        "x-amz-mfa",
        "x-amz-something-new",
    ] {
        check("PUT", "/bucket/key", &[(name, "x")], not);
    }
    for (name, value) in [("x-amz-acl", "public-read"), ("x-amz-grant-read", "id=1")] {
        let code = "AccessControlListNotSupported";
        check("PUT", "/bucket/key", &[(name, value)], code);
    }
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-server-side-encryption", "aws:kms")],
        not,
    );
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-storage-class", "GLACIER")],
        "InvalidStorageClass",
    );
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-security-token", "t")],
        "InvalidToken",
    );
    check("DELETE", "/bucket/key?acl", &[], not);
    check("DELETE", "/bucket?unknown", &[], not);
    check("PUT", "/bucket?abac", &[], not);
    check("PUT", "/bucket/key?renameObject", &[], not);
    check(
        "PUT",
        "/bucket/key?x-amz-object-lock-mode=COMPLIANCE",
        &[],
        not,
    );
    check(
        "PUT",
        "/bucket/key?X-Amz-Object-Lock-Mode=COMPLIANCE",
        &[],
        not,
    );
    check("GET", "/bucket?prefix=a&prefix=b", &[], "InvalidArgument");
    check(
        "POST",
        "/bucket",
        &[("content-type", "multipart/form-data; boundary=x")],
        not,
    );
}

/// All writes there are, and which headers of Object Lock each takes in the model of S3.
const WRITES: [(&str, &str, &[&str]); 21] = [
    ("PUT", "/bucket", &[OF_BUCKET]),
    ("PUT", "/bucket?x-id=CreateBucket", &[OF_BUCKET]),
    ("PUT", "/bucket?object-lock", &[]),
    ("PUT", "/bucket?versioning", &[]),
    ("PUT", "/bucket?lifecycle", &[]),
    ("DELETE", "/bucket", &[]),
    ("DELETE", "/bucket?lifecycle", &[]),
    ("POST", "/bucket?delete", &[BYPASS]),
    ("PUT", "/bucket/key", &OF_VERSION),
    ("PUT", "/bucket/key?x-id=PutObject", &OF_VERSION),
    ("PUT", "/bucket/key?partNumber=1&uploadId=u", &[]),
    ("PUT", "/bucket/key?retention", &[BYPASS]),
    ("PUT", "/bucket/key?retention&versionId=v", &[BYPASS]),
    ("PUT", "/bucket/key?legal-hold", &[]),
    ("PUT", "/bucket/key?tagging", &[]),
    ("PUT", "/bucket/key?acl", &[]),
    ("POST", "/bucket/key?uploads", &OF_VERSION),
    ("POST", "/bucket/key?uploadId=u", &[]),
    ("DELETE", "/bucket/key?versionId=v", &[BYPASS]),
    ("DELETE", "/bucket/key?uploadId=u", &[]),
    ("DELETE", "/bucket/key?tagging&versionId=v", &[]),
];
const OF_BUCKET: &str = "x-amz-bucket-object-lock-enabled";
const BYPASS: &str = "x-amz-bypass-governance-retention";
const OF_VERSION: [&str; 3] = [
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
];

#[test]
fn headers_of_locks_pass_only_where_they_are_read() {
    let all = || OF_VERSION.into_iter().chain([OF_BUCKET, BYPASS]);
    for (method, uri, taken) in WRITES {
        check(method, uri, &[], "ok");
        for name in all() {
            let expected = match taken.contains(&name) {
                true => "ok",
                false => "InvalidArgument",
            };
            check(method, uri, &[(name, "true")], expected);
            let is_object = uri.starts_with("/bucket/key");
            if method == "PUT" && is_object && !uri.contains("versionId") {
                let copied = [("x-amz-copy-source", "/a/b"), (name, "true")];
                check(method, uri, &copied, expected);
            }
        }
    }
    for name in all() {
        check("GET", "/bucket/key", &[(name, "true")], "ok");
        check("HEAD", "/bucket/key", &[(name, "true")], "ok");
    }
}

/// The S3 library takes an empty header for none, so that a lock or a condition would be left out.
#[test]
fn a_header_that_says_nothing_is_refused() {
    let refused = "InvalidArgument";
    let source = ("x-amz-copy-source", "/a/b");
    let part = "/bucket/key?partNumber=1&uploadId=u";
    for (method, uri, name, expected) in [
        ("PUT", "/bucket/key", OF_VERSION[0], refused),
        ("PUT", "/bucket/key", OF_VERSION[1], refused),
        ("PUT", "/bucket/key", OF_VERSION[2], refused),
        ("POST", "/bucket/key?uploads", OF_VERSION[2], refused),
        ("PUT", "/bucket", OF_BUCKET, refused),
        ("DELETE", "/bucket/key?versionId=v", BYPASS, refused),
        ("PUT", part, "x-amz-copy-source-range", refused),
        ("PUT", part, "x-amz-copy-source-if-match", refused),
        ("PUT", "/bucket/key", "x-amz-checksum-crc32", refused),
        ("GET", "/bucket", "x-amz-expected-bucket-owner", refused),
        ("PUT", "/bucket/key", "if-match", refused),
        ("PUT", "/bucket/key", "if-none-match", refused),
        ("GET", "/bucket/key", "if-none-match", "ok"),
        ("PUT", "/bucket/key", "x-amz-meta-note", "ok"),
        ("PUT", "/bucket/key", "x-amz-tagging", "ok"),
        ("PUT", "/bucket/key", "x-amz-user-agent", "ok"),
        ("PUT", "/bucket/key", "x-amz-security-token", "InvalidToken"),
    ] {
        let copied = [source, (name, "")];
        let headers = match uri == part {
            true => &copied[..],
            false => &copied[1..],
        };
        check(method, uri, headers, expected);
        if expected == refused {
            let error = inspect(&mut head(method, uri, headers), uri).expect_err("refused");
            let why = error.message().unwrap_or_default();
            assert!(why.contains(name), "{why}");
        }
    }
}

/// All conditions of deletions are refused, and of other writes those that nothing reads.
#[test]
fn conditions_pass_only_where_they_are_read() {
    let copied = ("x-amz-copy-source", "/a/b");
    for (method, uri, _) in WRITES {
        let reads = method == "PUT" && !uri.contains(['&', '?']) && uri.contains("key")
            || uri.ends_with("x-id=PutObject")
            || method == "POST" && uri.contains("uploadId");
        let expected = if reads { "ok" } else { "NotImplemented" };
        for name in ["if-match", "if-none-match"] {
            let condition = (name, "\"e\"");
            check(method, uri, &[condition], expected);
            if method == "PUT" && uri.contains("key") && !uri.contains("versionId") {
                check(method, uri, &[copied, condition], expected);
            }
        }
        for name in ["if-modified-since", "if-unmodified-since"] {
            let date = (name, "Thu, 01 Jan 1970 00:00:00 GMT");
            check(method, uri, &[date], "NotImplemented");
        }
    }
}

#[test]
fn names_are_opaque_but_must_be_names() {
    let key = |bytes: usize| format!("/bucket/{}", "k".repeat(bytes));
    check("PUT", &key(1024), &[], "ok");
    check("PUT", &key(1025), &[], "KeyTooLongError");
    check("PUT", "/bucket/..%2F..%2Fetc%2Fpasswd", &[], "ok");
    check("PUT", "/bucket/%00%01%0D%0A%7F", &[], "ok");
    check("PUT", "/bucket/%FF%FE", &[], "InvalidURI");
    check("PUT", "/bucket/%zz", &[], "InvalidURI");
    check("PUT", "/Bucket_name/key", &[], "InvalidBucketName");
    check("GET", "/bucket?prefix=%FF", &[], "InvalidArgument");
}

#[test]
fn payload_words_are_checked() {
    let sha = |value| [("x-amz-content-sha256", value)];
    let whole = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check("PUT", "/bucket/key", &sha(whole), "ok");
    check(
        "PUT",
        "/bucket/key",
        &sha("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        "ok",
    );
    check(
        "PUT",
        "/bucket/key",
        &sha("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        "ok",
    );
    check(
        "PUT",
        "/bucket/key",
        &sha("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
        "InvalidRequest",
    );
    check("PUT", "/bucket/key", &sha("nonsense"), "InvalidArgument");
    check(
        "POST",
        "/bucket?delete",
        &sha("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        "NotImplemented",
    );
    check(
        "PUT",
        "/bucket/key?tagging",
        &sha("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        "NotImplemented",
    );
    check(
        "PUT",
        "/bucket/key",
        &[("x-amz-decoded-content-length", "-1")],
        "InvalidArgument",
    );
    // Without the coding that it belongs to, the frames of the chunks would be stored as content.
    let decoded = ("x-amz-decoded-content-length", "1");
    for (sha, expected) in [
        (whole, "InvalidArgument"),
        ("UNSIGNED-PAYLOAD", "InvalidArgument"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "ok"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "ok"),
    ] {
        let headers = [("x-amz-content-sha256", sha), decoded];
        check("PUT", "/bucket/key", &headers, expected);
    }
    let coding = [("content-encoding", "aws-chunked")];
    check("PUT", "/bucket/key", &coding, "ok");
    let twice = [
        ("x-amz-decoded-content-length", "1"),
        ("x-amz-decoded-content-length", "2"),
    ];
    check("PUT", "/bucket/key", &twice, "InvalidRequest");
}

#[test]
fn bodies_go_where_they_belong() {
    let body = |method, uri, extra: &[(&str, &str)]| {
        inspect(&mut head(method, uri, extra), uri)
            .map(|(_, described)| described.body)
            .ok()
    };
    assert_eq!(body("PUT", "/bucket/key", &[]), Some(BodyUse::Upload));
    assert_eq!(body("PUT", "/bucket%2Fkey", &[]), Some(BodyUse::Upload));
    assert_eq!(
        body("PUT", "/bucket/key?uploadId=a&partNumber=1", &[]),
        Some(BodyUse::Upload)
    );
    assert_eq!(
        body("PUT", "/bucket/key?retention", &[]),
        Some(BodyUse::Document)
    );
    assert_eq!(body("PUT", "/bucket", &[]), Some(BodyUse::Document));
    assert_eq!(
        body("POST", "/bucket/key?uploadId=a", &[]),
        Some(BodyUse::Document)
    );
    let copy = [("x-amz-copy-source", "/a/b")];
    assert_eq!(body("PUT", "/bucket/key", &copy), Some(BodyUse::Document));
    // Half a part would be all of an object, and a version is never named by who writes it.
    for query in ["uploadId=a", "partNumber=1", "versionId=a"] {
        let uri = format!("/bucket/key?{query}");
        check("PUT", &uri, &[], "InvalidArgument");
        check("PUT", &uri, &copy, "InvalidArgument");
    }
    let part = "/bucket/key?partNumber=1&uploadId=a";
    assert_eq!(body("PUT", part, &copy), Some(BodyUse::Document));
}

#[test]
fn checksums_of_a_completed_object_are_not_those_of_the_document() {
    let extra = [("x-amz-checksum-crc32", "AAAAAA==-3")];
    let (_, described) = inspect(
        &mut head("POST", "/bucket/key?uploadId=a", &extra),
        "/bucket/key",
    )
    .expect("fine");
    assert!(!described.promised.has_explicit());
    check("PUT", "/bucket/key", &extra, "InvalidRequest");
}

/// The S3 library reads a number as far as it is one.
#[test]
fn the_size_of_a_completed_object_is_a_number() {
    for (size, expected) in [
        ("10", "ok"),
        ("10x", "InvalidArgument"),
        ("1e9", "InvalidArgument"),
        ("-1", "InvalidArgument"),
        ("99999999999999999999", "InvalidArgument"),
    ] {
        let size = [("x-amz-mp-object-size", size)];
        check("POST", "/bucket/key?uploadId=u", &size, expected);
    }
}

#[test]
fn a_head_has_a_limit() {
    let value = "v".repeat(HEAD_BYTES_MAX);
    check(
        "GET",
        "/bucket",
        &[("user-agent", &value)],
        "RequestHeaderSectionTooLarge",
    );
}

/// HTTP/2 passes them on, and what is signed has none.
#[test]
fn blanks_at_the_ends_of_what_matters_are_refused() {
    for (name, value, expected) in [
        ("x-amz-copy-source", "/bucket/key ", "InvalidRequest"),
        ("x-amz-copy-source", "\t/bucket/key", "InvalidRequest"),
        ("x-amz-copy-source", "/bucket/a key", "ok"),
        ("host", "bucket.localhost ", "InvalidRequest"),
        ("x-amz-meta-note", "ends in one ", "ok"),
    ] {
        check("PUT", "/bucket/key", &[(name, value)], expected);
    }
}

#[test]
fn half_a_select_is_no_other_operation() {
    for (query, expected) in [
        ("uploadId=u&select-type=2", "InvalidArgument"),
        ("uploadId=u&select", "InvalidArgument"),
        ("select&select-type=1", "InvalidArgument"),
        ("select&select-type=2", "ok"),
    ] {
        check("POST", &format!("/bucket/key?{query}"), &[], expected);
    }
}
