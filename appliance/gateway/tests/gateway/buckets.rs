//! Buckets and the questions clients ask about them.

use crate::client::Call;
use crate::world::World;

#[tokio::test]
async fn buckets_are_made_listed_and_removed() {
    let world = World::start().await;
    let create = Call::bucket("PUT", "first-bucket")
        .header("x-amz-acl", "private")
        .body(
            "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
               </CreateBucketConfiguration>",
        );
    let reply = world.call(create.clone()).await.expect(200);
    assert_eq!(reply.header("location"), Some("/first-bucket"));
    world
        .call(create)
        .await
        .refused(409, "BucketAlreadyOwnedByYou");
    world.bucket("second").await;
    let list = world.call(Call::bucket("GET", "")).await.expect(200);
    assert_eq!(list.all("Name"), ["first-bucket", "second"]);
    let page = world
        .call(Call::bucket("GET", "").query("max-buckets", "1"))
        .await
        .expect(200);
    assert_eq!(page.all("Name"), ["first-bucket"]);
    let token = page.one("ContinuationToken");
    let rest = Call::bucket("GET", "").query("continuation-token", &token);
    assert_eq!(world.call(rest).await.expect(200).all("Name"), ["second"]);
    // The answer repeats it.
    let odd = Call::bucket("GET", "").query("prefix", "a\u{1}");
    world.call(odd).await.refused(400, "InvalidArgument");

    let head = world.call(Call::bucket("HEAD", "second")).await.expect(200);
    assert_eq!(head.header("x-amz-bucket-region"), Some("us-east-1"));
    world
        .call(Call::bucket("HEAD", "nothere"))
        .await
        .expect(404);
    world
        .call(Call::bucket("PUT", "Bad_Name"))
        .await
        .refused(400, "InvalidBucketName");

    world.put("second", "key", b"x").await;
    world
        .call(Call::bucket("DELETE", "second"))
        .await
        .refused(409, "BucketNotEmpty");
    world
        .call(Call::bucket("DELETE", "first-bucket"))
        .await
        .expect(204);
    world
        .call(Call::bucket("DELETE", "first-bucket"))
        .await
        .refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn versioning_is_on_and_stays_on_where_there_are_locks() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("plain").await;
    let get = |bucket: &str| Call::bucket("GET", bucket).query("versioning", "");
    assert_eq!(
        world.call(get("locked")).await.expect(200).one("Status"),
        "Enabled"
    );
    assert_eq!(world.call(get("plain")).await.expect(200).one("Status"), "");
    let put = |bucket: &str, status: &str| {
        let xml = format!("<VersioningConfiguration><Status>{status}</Status>");
        let xml = format!("{xml}</VersioningConfiguration>");
        Call::bucket("PUT", bucket)
            .query("versioning", "")
            .document(&xml)
    };
    world.call(put("locked", "Enabled")).await.expect(200);
    world
        .call(put("locked", "Suspended"))
        .await
        .refused(409, "InvalidBucketState");
    world
        .call(put("locked", "Off"))
        .await
        .refused(400, "MalformedXML");
    world
        .call(put("plain", "Enabled"))
        .await
        .refused(501, "NotImplemented");
    let mut wrong = put("locked", "Enabled");
    wrong.body = wrong.body.to_ascii_uppercase();
    world.call(wrong).await.refused(400, "BadDigest");
}

#[tokio::test]
async fn what_a_bucket_never_has_is_said_so() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (what, status, code) in [
        ("lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("policy", 404, "NoSuchBucketPolicy"),
        ("policyStatus", 404, "NoSuchBucketPolicy"),
        (
            "encryption",
            404,
            "ServerSideEncryptionConfigurationNotFoundError",
        ),
        ("cors", 404, "NoSuchCORSConfiguration"),
        ("tagging", 404, "NoSuchTagSet"),
        ("website", 404, "NoSuchWebsiteConfiguration"),
        ("replication", 404, "ReplicationConfigurationNotFoundError"),
        ("ownershipControls", 404, "OwnershipControlsNotFoundError"),
        (
            "publicAccessBlock",
            404,
            "NoSuchPublicAccessBlockConfiguration",
        ),
    ] {
        let reply = world
            .call(Call::bucket("GET", "locked").query(what, ""))
            .await;
        reply.refused(status, code);
        let missing = world
            .call(Call::bucket("GET", "nothere").query(what, ""))
            .await;
        missing.refused(404, "NoSuchBucket");
        let xml = "<X></X>";
        let put = Call::bucket("PUT", "locked").query(what, "").document(xml);
        assert!(world.call(put).await.status >= 400, "{what}");
    }
    let location = world
        .call(Call::bucket("GET", "locked").query("location", ""))
        .await;
    assert_eq!(location.expect(200).one("LocationConstraint"), "");
    let acl = world
        .call(Call::bucket("GET", "locked").query("acl", ""))
        .await
        .expect(200);
    assert_eq!(acl.one("Permission"), "FULL_CONTROL");
    world.put("locked", "key", b"x").await;
    let acl = world
        .call(Call::object("GET", "locked", "key").query("acl", ""))
        .await;
    assert_eq!(acl.expect(200).one("Permission"), "FULL_CONTROL");
}

#[tokio::test]
async fn oversized_and_malformed_documents_are_refused() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = |body: Vec<u8>| {
        Call::bucket("PUT", "locked")
            .query("versioning", "")
            .body(body)
    };
    let huge = put(vec![b' '; (8 << 20) + 1]);
    world
        .call(huge)
        .await
        .refused(400, "MaxMessageLengthExceeded");
    world
        .call(put(b"<VersioningConfiguration>".to_vec()))
        .await
        .refused(400, "MalformedXML");
    let cdata = b"<VersioningConfiguration><Status><![CDATA[Enabled]]></Status>\
                  </VersioningConfiguration>";
    world
        .call(put(cdata.to_vec()))
        .await
        .refused(400, "MalformedXML");
    let wrong = Call::bucket("PUT", "another").payload(&"0".repeat(64));
    world
        .call(wrong)
        .await
        .refused(400, "XAmzContentSHA256Mismatch");
    let wrong = put(b"<VersioningConfiguration/>".to_vec()).payload(&"0".repeat(64));
    world
        .call(wrong)
        .await
        .refused(400, "XAmzContentSHA256Mismatch");
}
