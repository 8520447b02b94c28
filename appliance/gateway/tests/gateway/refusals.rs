//! What a vault refuses by its nature, each with its own error, and what it says it does not have.

use crate::client::Call;
use crate::world::{HOST, World};

fn bucket(method: &str, what: &str) -> Call {
    let call = Call::bucket(method, "locked").query(what, "");
    let body = document(what);
    if method == "PUT" {
        call.document(body)
    } else {
        call
    }
}

/// A document that the operation would take.
fn document(what: &str) -> &'static str {
    match what {
        "accelerate" => {
            "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>"
        }
        "analytics" => {
            "<AnalyticsConfiguration><Id>1</Id><StorageClassAnalysis></StorageClassAnalysis></AnalyticsConfiguration>"
        }
        "cors" => {
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
        }
        "encryption" => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        }
        "intelligent-tiering" => {
            "<IntelligentTieringConfiguration><Id>1</Id><Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days></Tiering></IntelligentTieringConfiguration>"
        }
        "inventory" => {
            "<InventoryConfiguration><Id>1</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule><Destination><S3BucketDestination><Bucket>arn:aws:s3:::b</Bucket><Format>CSV</Format></S3BucketDestination></Destination></InventoryConfiguration>"
        }
        "lifecycle" => {
            "<LifecycleConfiguration><Rule><ID>1</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition></Rule></LifecycleConfiguration>"
        }
        "logging" => "<BucketLoggingStatus></BucketLoggingStatus>",
        "metrics" => "<MetricsConfiguration><Id>1</Id></MetricsConfiguration>",
        "notification" => "<NotificationConfiguration></NotificationConfiguration>",
        "ownershipControls" => {
            "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"
        }
        "policy" => "{}",
        "publicAccessBlock" => "<PublicAccessBlockConfiguration></PublicAccessBlockConfiguration>",
        "replication" => {
            "<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::b</Bucket></Destination></Rule></ReplicationConfiguration>"
        }
        "requestPayment" => {
            "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
        }
        "tagging" => "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
        "website" => {
            "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>"
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_vault_cannot_be_configured_by_clients() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (what, words, deletes) in [
        ("accelerate", "acceleration", false),
        ("analytics", "analyses", true),
        ("cors", "cross-origin", true),
        ("encryption", "encrypts everything by itself", true),
        ("intelligent-tiering", "tiers", true),
        ("inventory", "inventories", true),
        ("lifecycle", "another storage class", false),
        ("logging", "access logs", false),
        ("metrics", "stele status", true),
        ("notification", "calls nobody", false),
        ("ownershipControls", "vault's owner", true),
        ("policy", "bucket policies", true),
        ("publicAccessBlock", "ever public", true),
        ("replication", "copies outside", true),
        ("requestPayment", "pays", false),
        ("tagging", "have no tags", true),
        ("website", "websites", true),
    ] {
        let mut methods = vec!["PUT"];
        if deletes {
            methods.push("DELETE");
        }
        for method in methods {
            let mut call = bucket(method, what);
            if ["analytics", "intelligent-tiering", "inventory", "metrics"].contains(&what) {
                call = call.query("id", "1");
            }
            let reply = world.call(call).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (501, "NotImplemented"),
                "{method} {what}: {}",
                reply.text()
            );
            assert!(
                reply.one("Message").contains(words),
                "{method} {what}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn what_nobody_configured_is_answered_as_s3_answers() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (what, element, value) in [
        ("accelerate", "Status", ""),
        ("logging", "LoggingEnabled", ""),
        ("notification", "Id", ""),
        ("requestPayment", "Payer", "BucketOwner"),
        ("analytics", "IsTruncated", "false"),
        ("inventory", "IsTruncated", "false"),
        ("metrics", "IsTruncated", "false"),
        ("intelligent-tiering", "IsTruncated", "false"),
    ] {
        let call = |name: &str| Call::bucket("GET", name).query(what, "");
        let reply = world.call(call("locked")).await.expect(200);
        assert_eq!(reply.one(element), value, "{what}: {}", reply.text());
        world
            .call(call("nothere"))
            .await
            .refused(404, "NoSuchBucket");
    }
    for what in ["analytics", "inventory", "metrics", "intelligent-tiering"] {
        let call = Call::bucket("GET", "locked")
            .query(what, "")
            .query("id", "1");
        world.call(call).await.refused(404, "NoSuchConfiguration");
    }
}

#[tokio::test]
async fn nothing_is_done_to_objects_that_a_vault_does_not_do() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let object = |method: &str| Call::object(method, "locked", "key");
    let not = "NotImplemented";
    let select = "<SelectObjectContentRequest><Expression>e</Expression><ExpressionType>SQL</ExpressionType><InputSerialization><CSV></CSV></InputSerialization><OutputSerialization><CSV></CSV></OutputSerialization></SelectObjectContentRequest>";
    let restore = "<RestoreRequest><Days>1</Days></RestoreRequest>";
    let grants = "<AccessControlPolicy><Owner><ID>x</ID></Owner></AccessControlPolicy>";
    let acl = "AccessControlListNotSupported";
    for (call, status, code) in [
        (object("GET").query("torrent", ""), 501, not),
        (
            object("POST")
                .query("select", "")
                .query("select-type", "2")
                .body(select),
            501,
            not,
        ),
        (object("POST").query("restore", "").body(restore), 501, not),
        (object("PUT").query("renameObject", ""), 501, not),
        (object("PUT").header("x-amz-rename-source", "a"), 501, not),
        (
            object("PUT")
                .header("x-amz-write-offset-bytes", "7")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-object-lock-event-hold", "ON")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-object-lock-event-hold-id", "1")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-object-lock-other", "1")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-website-redirect-location", "/")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-server-side-encryption-customer-key", "k")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-server-side-encryption", "aws:kms")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-storage-class", "GLACIER")
                .body("x"),
            400,
            "InvalidStorageClass",
        ),
        (
            object("PUT").header("x-amz-acl", "public-read").body("x"),
            400,
            acl,
        ),
        (
            object("PUT").header("x-amz-grant-read", "id=x").body("x"),
            400,
            acl,
        ),
        (object("PUT").query("acl", "").body(grants), 400, acl),
        (object("DELETE").header("if-match", "*"), 501, not),
        (object("DELETE").header("if-none-match", "*"), 501, not),
        (
            object("DELETE").header("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            501,
            not,
        ),
        (
            object("DELETE").header("if-modified-since", "Thu, 01 Jan 2070 00:00:00 GMT"),
            501,
            not,
        ),
        (object("DELETE").header("x-amz-mfa", "1 2"), 501, not),
        (
            object("DELETE").header("x-amz-if-match-size", "7"),
            501,
            not,
        ),
        (
            object("DELETE").header("x-amz-if-match-last-modified-time", "Thu, 01 Jan 1970 00:00:00 GMT"),
            501,
            not,
        ),
        (
            object("DELETE")
                .query("uploadId", "00000000000000000000000000000001")
                .header("x-amz-if-match-initiated-time", "Thu, 01 Jan 1970 00:00:00 GMT"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-server-side-encryption-context", "e30=")
                .body("x"),
            501,
            not,
        ),
        (
            object("PUT")
                .header("x-amz-server-side-encryption-bucket-key-enabled", "true")
                .body("x"),
            501,
            not,
        ),
        (
            Call::bucket("PUT", "locked")
                .query("versioning", "")
                .document("<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"),
            501,
            not,
        ),
        (
            Call::bucket("PUT", "locked").query("acl", "").body(grants),
            400,
            acl,
        ),
        (Call::bucket("GET", "locked").query("session", ""), 501, not),
        (
            Call::bucket("POST", "locked")
                .header("content-type", "multipart/form-data; boundary=x"),
            501,
            not,
        ),
    ] {
        let what = format!(
            "{} {} {:?} {:?}",
            call.method, call.path, call.query, call.headers
        );
        let reply = world.call(call).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{what} {}",
            reply.text()
        );
        assert!(!reply.one("Message").is_empty(), "{what}");
    }
    let versions = world
        .call(Call::bucket("GET", "locked").query("versions", ""))
        .await;
    assert_eq!(versions.expect(200).all("Version").len(), 1);
    // Its policy is signed, in the form, and the request is not.
    let form = Call::bucket("POST", "locked")
        .header("content-type", "Multipart/Form-Data; boundary=x")
        .body("--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nkey\r\n--x--\r\n");
    let reply = world.raw("POST", &form.anonymous(HOST)).await;
    reply.refused(501, not);
    assert!(
        reply.one("Message").contains("HTML form"),
        "{}",
        reply.text()
    );
    for call in [
        object("PUT")
            .query("acl", "")
            .header("x-amz-acl", "private"),
        Call::bucket("PUT", "locked")
            .query("acl", "")
            .header("x-amz-acl", "private"),
    ] {
        world.call(call).await.expect(200);
    }
}

#[tokio::test]
async fn a_key_that_is_to_be_deleted_on_a_condition_is_not_deleted() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (key, condition) in [
        ("etag", "<ETag>\"9a0364b9e99bb480dd25e1f0284c8555\"</ETag>"),
        ("size", "<Size>7</Size>"),
        (
            "time",
            "<LastModifiedTime>Thu, 01 Jan 1970 00:00:00 GMT</LastModifiedTime>",
        ),
    ] {
        world.put("locked", key, b"content").await;
        world.put("locked", "free", b"content").await;
        let xml = format!(
            "<Delete><Object><Key>{key}</Key>{condition}</Object><Object><Key>free</Key></Object></Delete>"
        );
        let call = Call::bucket("POST", "locked").query("delete", "");
        let reply = world.call(call.document(&xml)).await.expect(200);
        let errors = reply.all("Error").concat();
        assert!(errors.contains(&format!("<Key>{key}</Key>")), "{errors}");
        assert!(errors.contains("<Code>NotImplemented</Code>"), "{errors}");
        assert!(errors.contains("conditional deletion"), "{errors}");
        assert_eq!(reply.all("Deleted").len(), 1, "{}", reply.text());
        let get = |key: &str| Call::object("GET", "locked", key);
        world.call(get(key)).await.expect(200);
        world.call(get("free")).await.expect(404);
    }
}

/// Writes that read no header of a lock, each as it would be done without one.
fn writes_without_locks(upload: &str) -> [Call; 7] {
    let object = |method: &str| Call::object(method, "locked", "key");
    let part = |number: &str| {
        let call = object("PUT").query("partNumber", number);
        call.query("uploadId", upload)
    };
    let hold = "<LegalHold><Status>ON</Status></LegalHold>";
    let parts = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>";
    [
        part("1").body("content"),
        part("2").header("x-amz-copy-source", "/locked/key"),
        object("POST").query("uploadId", upload).body(parts),
        object("PUT")
            .query("tagging", "")
            .document(document("tagging")),
        object("DELETE").query("tagging", ""),
        object("PUT").query("legal-hold", "").document(hold),
        object("DELETE").query("uploadId", upload),
    ]
}

#[tokio::test]
async fn a_lock_is_not_silently_left_out_where_none_is_set() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let begun = Call::object("POST", "locked", "key").query("uploads", "");
    let upload = world.call(begun).await.expect(200).one("UploadId");
    for (name, value) in [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2140-02-03T04:05:06Z",
        ),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-bypass-governance-retention", "true"),
        ("x-amz-bucket-object-lock-enabled", "true"),
    ] {
        for call in writes_without_locks(&upload) {
            let what = format!("{} {:?} {name}", call.method, call.query);
            let reply = world.call(call.header(name, value)).await;
            let refused = (reply.status, reply.code());
            assert_eq!(refused, (400, "InvalidArgument".to_owned()), "{what}");
            let why = reply.one("Message");
            assert!(why.contains("nothing would come of it"), "{what}: {why}");
            assert!(why.ends_with(name), "{what}: {why}");
        }
    }
    let parts = Call::object("GET", "locked", "key").query("uploadId", &upload);
    assert!(
        world
            .call(parts)
            .await
            .expect(200)
            .all("PartNumber")
            .is_empty()
    );
    let tags = Call::object("GET", "locked", "key").query("tagging", "");
    assert!(world.call(tags).await.expect(200).all("Tag").is_empty());
}

#[tokio::test]
async fn tags_are_not_silently_left_out_where_none_are_set() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let begun = Call::object("POST", "locked", "key").query("uploads", "");
    let upload = world.call(begun).await.expect(200).one("UploadId");
    let check = async |call: Call, (name, value): (&str, &str)| {
        let what = format!("{} {:?} {name}", call.method, call.query);
        let reply = world.call(call.header(name, value)).await;
        let refused = (reply.status, reply.code());
        assert_eq!(refused, (400, "InvalidArgument".to_owned()), "{what}");
        let why = reply.one("Message");
        assert!(
            why.contains("stores no tags from a header"),
            "{what}: {why}"
        );
        assert!(why.ends_with(name), "{what}: {why}");
    };
    let tags = ("x-amz-tagging", "a=1");
    let directive = ("x-amz-tagging-directive", "REPLACE");
    for header in [tags, directive] {
        for call in writes_without_locks(&upload) {
            check(call, header).await;
        }
        check(Call::bucket("PUT", "other"), header).await;
        check(Call::object("DELETE", "locked", "key"), header).await;
    }
    // Only a copy has tags to choose from.
    let put = Call::object("PUT", "locked", "key").body("content");
    check(put, directive).await;
    let begin = Call::object("POST", "locked", "key").query("uploads", "");
    check(begin, directive).await;
    let begin = Call::object("POST", "locked", "key").query("uploads", "");
    world.call(begin.header(tags.0, tags.1)).await.expect(200);
    let versions = Call::bucket("GET", "locked").query("versions", "");
    let versions = world.call(versions).await.expect(200);
    assert_eq!(versions.all("VersionId").len(), 1);
}

#[tokio::test]
async fn what_the_rest_of_a_request_makes_impossible_is_refused() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("plain").await;
    let check = async |call: Call, status: u16, code: &str| {
        world.call(call).await.refused(status, code);
    };
    for status in ["Enabled", "Suspended"] {
        let versioning = Call::bucket("PUT", "plain")
            .query("versioning", "")
            .document(&format!(
                "<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
            ));
        check(versioning, 501, "NotImplemented").await;
    }
    let tags = document("tagging");
    let chunked = Call::object("PUT", "locked", "key")
        .query("tagging", "")
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &tags.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(format!("{:x}\r\n{tags}\r\n0\r\n\r\n", tags.len()));
    check(chunked, 501, "NotImplemented").await;
    let point = "arn:aws:s3:us-east-1:123456789012:accesspoint/point";
    check(Call::object("GET", point, "key"), 400, "InvalidBucketName").await;
    let copy = Call::object("PUT", "locked", "key")
        .header("x-amz-copy-source", &format!("{point}/object/key"));
    check(copy, 501, "NotImplemented").await;
    let directory = "<CreateBucketConfiguration><Location><Name>a</Name><Type>AvailabilityZone</Type>\
                     </Location></CreateBucketConfiguration>";
    let directory = Call::bucket("PUT", "other").body(directory);
    check(directory, 501, "NotImplemented").await;
}
