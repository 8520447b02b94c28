//! Object Lock as clients ask for it. `lock_NN` is the number of a statement of S3's semantics; the same
//! numbers name the engine's tests.

use crate::client::Call;
use crate::world::World;

const FAR: &str = "2140-02-03T04:05:06Z";

fn retention(mode: &str, until: &str) -> String {
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

fn put_retention(bucket: &str, xml: &str) -> Call {
    Call::object("PUT", bucket, "key")
        .query("retention", "")
        .document(xml)
}

#[tokio::test]
async fn lock_07_retention_is_set_extended_and_never_shortened() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let get = || Call::object("GET", "locked", "key").query("retention", "");
    world
        .call(get())
        .await
        .refused(404, "NoSuchObjectLockConfiguration");
    let near = "2130-01-01T00:00:00Z";
    world
        .call(put_retention("locked", &retention("COMPLIANCE", near)))
        .await
        .expect(200);
    world
        .call(put_retention("locked", &retention("COMPLIANCE", FAR)))
        .await
        .expect(200);
    let reply = world.call(get()).await.expect(200);
    assert_eq!(reply.one("Mode"), "COMPLIANCE");
    assert_eq!(reply.one("RetainUntilDate"), "2140-02-03T04:05:06.000Z");
    let head = world
        .call(Call::object("HEAD", "locked", "key"))
        .await
        .expect(200);
    assert_eq!(head.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
    let until = head.header("x-amz-object-lock-retain-until-date");
    assert_eq!(until, Some("2140-02-03T04:05:06.000Z"));
    for xml in [
        retention("COMPLIANCE", near),
        retention("GOVERNANCE", FAR),
        "<Retention></Retention>".to_owned(),
    ] {
        let call = put_retention("locked", &xml);
        world.call(call.clone()).await.refused(403, "AccessDenied");
        world.engine.with(|state| state.rights = true);
        let bypass = call.header("x-amz-bypass-governance-retention", "true");
        world.call(bypass).await.refused(403, "AccessDenied");
        world.engine.with(|state| state.rights = false);
    }
}

#[tokio::test]
async fn lock_07_governance_can_be_bypassed_with_the_right_only() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "key")
        .header("x-amz-object-lock-mode", "GOVERNANCE")
        .header("x-amz-object-lock-retain-until-date", FAR)
        .body("content");
    let version = world.call(put).await.expect(200);
    let version = version
        .header("x-amz-version-id")
        .expect("a version")
        .to_owned();
    let shorter = retention("GOVERNANCE", "2130-01-01T00:00:00Z");
    let bypass = |call: Call| call.header("x-amz-bypass-governance-retention", "true");
    world
        .call(bypass(put_retention("locked", &shorter)))
        .await
        .refused(403, "AccessDenied");
    world.engine.with(|state| state.rights = true);
    world
        .call(put_retention("locked", &shorter))
        .await
        .refused(403, "AccessDenied");
    world
        .call(bypass(put_retention("locked", &shorter)))
        .await
        .expect(200);
    let delete = || Call::object("DELETE", "locked", "key").query("versionId", &version);
    world.call(delete()).await.refused(403, "AccessDenied");
    world.call(bypass(delete())).await.expect(204);
}

/// Statement 7 at the door: what loosens GOVERNANCE needs the header and the right, removal like the rest.
#[tokio::test]
async fn lock_07_governance_is_loosened_and_removed_with_header_and_right_together() {
    let wishes = [
        ("<Retention/>".to_owned(), None),
        ("<Retention></Retention>".to_owned(), None),
        (
            retention("GOVERNANCE", "2130-01-01T00:00:00Z"),
            Some("GOVERNANCE"),
        ),
        (retention("COMPLIANCE", FAR), Some("COMPLIANCE")),
    ];
    for (xml, mode_after) in &wishes {
        for (bypass, right) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("{xml}, bypass {bypass}, right {right}");
            let world = World::start().await;
            world.bucket("locked").await;
            let put = Call::object("PUT", "locked", "key")
                .header("x-amz-object-lock-mode", "GOVERNANCE")
                .header("x-amz-object-lock-retain-until-date", FAR)
                .body("content");
            world.call(put).await.expect(200);
            world.engine.with(|state| state.rights = right);
            let call = put_retention("locked", xml);
            let call = match bypass {
                true => call.header("x-amz-bypass-governance-retention", "true"),
                false => call,
            };
            let reply = world.call(call).await;
            let get = Call::object("GET", "locked", "key").query("retention", "");
            let shown = world.call(get).await;
            if bypass && right {
                assert_eq!(reply.status, 200, "{what}: {}", reply.text());
                match mode_after {
                    None => shown.refused(404, "NoSuchObjectLockConfiguration"),
                    Some(mode) => assert_eq!(shown.expect(200).one("Mode"), *mode, "{what}"),
                }
            } else {
                let refused = (reply.status, reply.code());
                assert_eq!(refused, (403, "AccessDenied".to_owned()), "{what}");
                let shown = shown.expect(200);
                let kept = (shown.one("Mode"), shown.one("RetainUntilDate"));
                let before = ("GOVERNANCE".into(), "2140-02-03T04:05:06.000Z".into());
                assert_eq!(kept, before, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn lock_08_lock_statements_are_checked_for_form_and_digest() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("plain").await;
    world.put("locked", "key", b"content").await;
    world.put("plain", "key", b"content").await;
    for xml in [
        retention("compliance", FAR),
        "<Retention><Mode>COMPLIANCE</Mode></Retention>".to_owned(),
        "<Retention><RetainUntilDate>never</RetainUntilDate></Retention>".to_owned(),
        "<Other></Other>".to_owned(),
    ] {
        world
            .call(put_retention("locked", &xml))
            .await
            .refused(400, "MalformedXML");
    }
    let past = retention("COMPLIANCE", "2015-01-01T00:00:00Z");
    world
        .call(put_retention("locked", &past))
        .await
        .refused(400, "InvalidArgument");
    let good = retention("COMPLIANCE", FAR);
    let bare = Call::object("PUT", "locked", "key")
        .query("retention", "")
        .body(good.as_str());
    world.call(bare).await.refused(400, "InvalidRequest");
    world
        .call(put_retention("plain", &good))
        .await
        .refused(400, "InvalidRequest");
    for what in ["retention", "legal-hold"] {
        let get = |key: &str, bucket: &str| Call::object("GET", bucket, key).query(what, "");
        world
            .call(get("key", "plain"))
            .await
            .refused(400, "InvalidRequest");
        world
            .call(get("missing", "locked"))
            .await
            .refused(404, "NoSuchKey");
    }
    let hold = |bucket: &str, status: &str| {
        let xml = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        Call::object("PUT", bucket, "key")
            .query("legal-hold", "")
            .document(&xml)
    };
    world
        .call(hold("locked", "on"))
        .await
        .refused(400, "MalformedXML");
    world
        .call(hold("plain", "ON"))
        .await
        .refused(400, "InvalidRequest");
    let hidden = world
        .call(Call::object("DELETE", "locked", "key"))
        .await
        .expect(204);
    let marker = hidden
        .header("x-amz-version-id")
        .expect("a marker")
        .to_owned();
    let on_marker = put_retention("locked", &good).query("versionId", &marker);
    world.call(on_marker).await.refused(405, "MethodNotAllowed");
}

/// Everything that stores and takes lock headers: an upload, one in parts, and a copy.
#[tokio::test]
async fn lock_05_upload_lock_headers_are_checked() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("plain").await;
    world.put("locked", "source", b"content").await;
    let stores = |bucket: &str| {
        let put = || Call::object("PUT", bucket, "key");
        [
            put().body("content"),
            Call::object("POST", bucket, "key").query("uploads", ""),
            put().header("x-amz-copy-source", "locked/source"),
        ]
    };
    let with = |call: &Call, pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs.fold(call.clone(), |call, (name, value)| call.header(name, value))
    };
    let mode = ("x-amz-object-lock-mode", "COMPLIANCE");
    let governed = ("x-amz-object-lock-mode", "GOVERNANCE");
    let until = ("x-amz-object-lock-retain-until-date", FAR);
    let past = (
        "x-amz-object-lock-retain-until-date",
        "2015-01-01T00:00:00Z",
    );
    let odd = ("x-amz-object-lock-mode", "compliance");
    let unknown = ("x-amz-object-lock-mode", "FOREVER");
    let bad_date = ("x-amz-object-lock-retain-until-date", "tomorrow");
    let bad_hold = ("x-amz-object-lock-legal-hold", "on");
    let hold = ("x-amz-object-lock-legal-hold", "ON");
    for pairs in [
        &[mode][..],
        &[governed],
        &[until],
        &[mode, hold],
        &[mode, past],
        &[governed, past],
        &[odd, until],
        &[unknown, until],
        &[mode, bad_date],
        &[bad_hold],
        &[mode, until, bad_hold],
    ] {
        for call in stores("locked") {
            let reply = world.call(with(&call, pairs)).await;
            let refused = (reply.status, reply.code());
            let what = format!("{} {:?}: {pairs:?}", call.method, call.query);
            assert_eq!(refused, (400, "InvalidArgument".to_owned()), "{what}");
        }
    }
    for pairs in [&[mode, until][..], &[hold]] {
        for call in stores("plain") {
            let reply = world.call(with(&call, pairs)).await;
            reply.refused(400, "InvalidRequest");
        }
    }
    assert!(world.engine.object("locked", "key").is_none());
    assert!(world.engine.object("plain", "key").is_none());
    let uploads = || Call::bucket("GET", "locked").query("uploads", "");
    let begun = world.call(uploads()).await.expect(200);
    assert!(begun.all("UploadId").is_empty(), "{}", begun.text());
    for call in stores("locked") {
        world.call(with(&call, &[mode, until])).await.expect(200);
    }
    let begun = world.call(uploads()).await.expect(200);
    assert_eq!(begun.all("UploadId").len(), 1);
}

#[tokio::test]
async fn lock_09_legal_holds_go_on_freely_and_off_with_the_right() {
    let world = World::start().await;
    world.bucket("locked").await;
    let version = world.put("locked", "key", b"content").await;
    let get = || Call::object("GET", "locked", "key").query("legal-hold", "");
    world
        .call(get())
        .await
        .refused(404, "NoSuchObjectLockConfiguration");
    let hold = |status: &str| {
        let xml = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        Call::object("PUT", "locked", "key")
            .query("legal-hold", "")
            .document(&xml)
    };
    world.call(hold("ON")).await.expect(200);
    assert_eq!(world.call(get()).await.expect(200).one("Status"), "ON");
    let head = world
        .call(Call::object("HEAD", "locked", "key"))
        .await
        .expect(200);
    assert_eq!(head.header("x-amz-object-lock-legal-hold"), Some("ON"));
    let delete = Call::object("DELETE", "locked", "key").query("versionId", &version);
    world
        .call(delete.clone())
        .await
        .refused(403, "AccessDenied");
    world.call(hold("OFF")).await.refused(403, "AccessDenied");
    world.engine.with(|state| state.rights = true);
    world.call(hold("OFF")).await.expect(200);
    assert_eq!(world.call(get()).await.expect(200).one("Status"), "OFF");
    world.call(delete).await.expect(204);
}

#[tokio::test]
async fn lock_03_bucket_defaults_are_validated_and_told() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("default").await;
    world.bucket("plain").await;
    let get = |bucket: &str| Call::bucket("GET", bucket).query("object-lock", "");
    let reply = world.call(get("default")).await.expect(200);
    assert_eq!(reply.one("ObjectLockEnabled"), "Enabled");
    assert_eq!(
        (reply.one("Mode"), reply.one("Days")),
        ("COMPLIANCE".into(), "1".into())
    );
    let reply = world.call(get("locked")).await.expect(200);
    assert_eq!(
        (reply.one("ObjectLockEnabled"), reply.one("Mode")),
        ("Enabled".into(), "".into())
    );
    world
        .call(get("plain"))
        .await
        .refused(404, "ObjectLockConfigurationNotFoundError");

    let put = |bucket: &str, enabled: &str, rule: &str| {
        let xml = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>{enabled}</ObjectLockEnabled>{rule}\
             </ObjectLockConfiguration>"
        );
        Call::bucket("PUT", bucket)
            .query("object-lock", "")
            .document(&xml)
    };
    let rule = |inner: &str| format!("<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>");
    let mode = "<Mode>GOVERNANCE</Mode>";
    let years = rule(&format!("{mode}<Years>2</Years>"));
    world
        .call(put("locked", "Enabled", &years))
        .await
        .expect(200);
    assert_eq!(
        world.call(get("locked")).await.expect(200).one("Years"),
        "2"
    );
    world
        .call(put("plain", "Enabled", &years))
        .await
        .refused(409, "InvalidBucketState");
    world
        .call(put("locked", "Disabled", &years))
        .await
        .refused(400, "MalformedXML");
    for (inner, code) in [
        (
            format!("{mode}<Days>1</Days><Years>1</Years>"),
            "MalformedXML",
        ),
        (mode.to_owned(), "MalformedXML"),
        ("<Days>1</Days>".to_owned(), "MalformedXML"),
        (
            "<Mode>governance</Mode><Days>1</Days>".to_owned(),
            "MalformedXML",
        ),
        (format!("{mode}<Days>0</Days>"), "InvalidRetentionPeriod"),
        (format!("{mode}<Years>-1</Years>"), "InvalidRetentionPeriod"),
        (
            format!("{mode}<Days>36501</Days>"),
            "InvalidRetentionPeriod",
        ),
    ] {
        world
            .call(put("locked", "Enabled", &rule(&inner)))
            .await
            .refused(400, code);
    }
    let mut bare = put("locked", "Enabled", &years);
    bare.headers.clear();
    world.call(bare).await.refused(400, "InvalidRequest");
    world.call(put("locked", "Enabled", "")).await.expect(200);
    assert_eq!(world.call(get("locked")).await.expect(200).one("Mode"), "");
}

#[tokio::test]
async fn lock_01_a_bucket_with_lock_has_versioning_that_stays() {
    let world = World::start().await;
    for bucket in ["locked", "default"] {
        world.bucket(bucket).await;
        let get = Call::bucket("GET", bucket).query("versioning", "");
        let put = |status: &str| {
            let xml = format!(
                "<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
            );
            Call::bucket("PUT", bucket)
                .query("versioning", "")
                .document(&xml)
        };
        world.call(put("Enabled")).await.expect(200);
        let suspended = world.call(put("Suspended")).await;
        suspended.refused(409, "InvalidBucketState");
        let reply = world.call(get).await.expect(200);
        assert_eq!(reply.one("Status"), "Enabled", "{bucket}");
    }
}

#[tokio::test]
async fn lock_02_a_bucket_without_versions_takes_no_configuration() {
    let world = World::start().await;
    world.bucket("plain").await;
    let xml = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    let put = Call::bucket("PUT", "plain").query("object-lock", "");
    let reply = world.call(put.document(xml)).await;
    reply.refused(409, "InvalidBucketState");
    let get = Call::bucket("GET", "plain").query("object-lock", "");
    let reply = world.call(get).await;
    reply.refused(404, "ObjectLockConfigurationNotFoundError");
}

#[tokio::test]
async fn lock_06_what_will_be_locked_must_carry_a_digest() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("default").await;
    world.bucket("plain").await;
    let md5 = crate::md5_base64(b"content");
    let crc = crate::crc32_base64(b"content");
    for bucket in ["locked", "default", "plain"] {
        let put = || {
            Call::object("PUT", bucket, "key")
                .payload("UNSIGNED-PAYLOAD")
                .body("content")
        };
        let bare = world.call(put()).await;
        assert_eq!(
            bare.status,
            if bucket == "plain" { 200 } else { 400 },
            "{bucket}"
        );
        let covered = [
            put().header("content-md5", &md5),
            put().header("x-amz-checksum-crc32", &crc),
            Call::object("PUT", bucket, "key").body("content"),
        ];
        for call in covered {
            world.call(call).await.expect(200);
        }
    }
}

#[tokio::test]
async fn lock_14_rules_by_which_versions_go_are_kept_and_take_no_lock_away() {
    let world = World::start().await;
    world.bucket("locked").await;
    let xml = "<LifecycleConfiguration><Rule><ID>1</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
               <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>\
               </Rule></LifecycleConfiguration>";
    let call = |method: &str| Call::bucket(method, "locked").query("lifecycle", "");
    let until = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2090-01-01T00:00:00Z",
        ),
    ];
    let locked = until.into_iter().fold(
        Call::object("PUT", "locked", "key").body("content"),
        |call, (name, value)| call.header(name, value),
    );
    world.call(locked).await.expect(200);
    world.call(call("PUT").document(xml)).await.expect(200);
    let reply = world.call(call("GET")).await.expect(200);
    assert_eq!(reply.all("NoncurrentDays"), ["1"]);
    let there = world
        .call(Call::object("HEAD", "locked", "key"))
        .await
        .expect(200);
    for (name, value) in until {
        assert!(
            there
                .header(name)
                .is_some_and(|found| found.starts_with(&value[..10])),
            "{name}"
        );
    }
}

#[tokio::test]
async fn lock_15_reads_tell_the_lock_of_each_version() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = |lock: &[(&str, &str)]| {
        let call = Call::object("PUT", "locked", "key").body("content");
        lock.iter()
            .fold(call, |call, (name, value)| call.header(name, value))
    };
    let mode = "x-amz-object-lock-mode";
    let until = "x-amz-object-lock-retain-until-date";
    let hold = "x-amz-object-lock-legal-hold";
    for (mode_given, hold_given) in [
        (None, None),
        (Some("GOVERNANCE"), None),
        (Some("COMPLIANCE"), Some("ON")),
        (None, Some("ON")),
    ] {
        let mut lock = Vec::new();
        if let Some(given) = mode_given {
            lock.extend([(mode, given), (until, FAR)]);
        }
        lock.extend(hold_given.map(|given| (hold, given)));
        let stored = world.call(put(&lock)).await.expect(200);
        let version = stored.header("x-amz-version-id").expect("a version");
        let date = mode_given.map(|_| "2140-02-03T04:05:06.000Z");
        for method in ["GET", "HEAD"] {
            let call = Call::object(method, "locked", "key").query("versionId", version);
            let reply = world.call(call).await.expect(200);
            assert_eq!(reply.header(mode), mode_given, "{method}");
            assert_eq!(reply.header(until), date, "{method}");
            assert_eq!(reply.header(hold), hold_given, "{method}");
        }
    }
}

/// A copy that leaves the vault is a file like any other, and a copy inside has only the lock its own request or
/// bucket gives it. The page for users says so, and the answers do: no lock of the source is told of a copy.
#[tokio::test]
async fn worm_09_a_copy_elsewhere_is_not_protected_and_users_are_told() {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where");
    let page = std::path::Path::new(&package).join("../../docs/s3.md");
    let page = std::fs::read_to_string(page).expect("docs/s3.md");
    assert!(page.contains("What is copied out of the vault is not protected by it"));
    let world = World::start().await;
    world.bucket("locked").await;
    let source = Call::object("PUT", "locked", "key")
        .body("content")
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header("x-amz-object-lock-retain-until-date", FAR);
    world.call(source).await.expect(200);
    let copy = Call::object("PUT", "locked", "copy").header("x-amz-copy-source", "locked/key");
    world.call(copy).await.expect(200);
    for (key, lock) in [("key", Some("COMPLIANCE")), ("copy", None)] {
        let reply = world
            .call(Call::object("HEAD", "locked", key))
            .await
            .expect(200);
        assert_eq!(reply.header("x-amz-object-lock-mode"), lock, "{key}");
    }
}
