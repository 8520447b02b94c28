//! The delete contract that backup clients live on.

use stele_format::units::UnixMillis;

use crate::client::Call;
use crate::world::World;

fn locked_put(key: &str) -> Call {
    Call::object("PUT", "locked", key)
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header(
            "x-amz-object-lock-retain-until-date",
            "2140-01-01T00:00:00Z",
        )
        .body("kept")
}

#[tokio::test]
async fn a_delete_hides_and_the_marker_can_be_removed() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = world.call(locked_put("key")).await.expect(200);
    let version = put
        .header("x-amz-version-id")
        .expect("a version")
        .to_owned();
    let hide = world
        .call(Call::object("DELETE", "locked", "key"))
        .await
        .expect(204);
    assert_eq!(hide.header("x-amz-delete-marker"), Some("true"));
    let marker = hide
        .header("x-amz-version-id")
        .expect("the marker")
        .to_owned();
    // Not the time of the question.
    let stored = "Wed, 21 Oct 2015 07:28:00 GMT";
    let place = ("locked".to_owned(), "key".to_owned());
    world.engine.with(|state| {
        let versions = state.objects.get_mut(&place).expect("versions");
        let marker = versions.last_mut().expect("the marker");
        marker.info.modified = UnixMillis::new(1_445_412_480_999);
    });
    for method in ["GET", "HEAD"] {
        let reply = world
            .call(Call::object(method, "locked", "key"))
            .await
            .expect(404);
        assert_eq!(reply.header("x-amz-delete-marker"), Some("true"));
        assert_eq!(reply.header("x-amz-version-id"), Some(marker.as_str()));
        assert_eq!(reply.header("last-modified"), None);
        let by_id = Call::object(method, "locked", "key").query("versionId", &marker);
        let reply = world.call(by_id).await.expect(405);
        assert_eq!(reply.header("x-amz-delete-marker"), Some("true"));
        assert_eq!(reply.header("x-amz-version-id"), Some(marker.as_str()));
        assert_eq!(reply.header("allow"), Some("DELETE"));
        assert_eq!(reply.header("last-modified"), Some(stored), "{method}");
    }
    let get = world.call(Call::object("GET", "locked", "key")).await;
    get.refused(404, "NoSuchKey");
    let old = Call::object("GET", "locked", "key").query("versionId", &version);
    assert_eq!(world.call(old).await.expect(200).body, b"kept");
    let undo = Call::object("DELETE", "locked", "key").query("versionId", &marker);
    let undone = world.call(undo).await.expect(204);
    assert_eq!(undone.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(
        world
            .call(Call::object("GET", "locked", "key"))
            .await
            .expect(200)
            .body,
        b"kept"
    );
}

#[tokio::test]
async fn a_locked_version_stays_and_an_unlocked_one_goes() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = world.call(locked_put("key")).await.expect(200);
    let version = put
        .header("x-amz-version-id")
        .expect("a version")
        .to_owned();
    let delete = |key: &str, id: &str| Call::object("DELETE", "locked", key).query("versionId", id);
    let refused = world.call(delete("key", &version)).await;
    refused.refused(403, "AccessDenied");
    assert!(
        refused.one("Message").contains("2140-01-01"),
        "{}",
        refused.text()
    );
    let bypass = delete("key", &version).header("x-amz-bypass-governance-retention", "true");
    world.call(bypass).await.refused(403, "AccessDenied");
    let free = world.put("locked", "free", b"x").await;
    world.call(delete("free", &free)).await.expect(204);
    world.call(delete("free", &free)).await.expect(204);
    world
        .call(Call::object("DELETE", "locked", "never"))
        .await
        .expect(204);
    let conditional = Call::object("DELETE", "locked", "key").header("if-match", "\"x\"");
    world.call(conditional).await.refused(501, "NotImplemented");
    assert!(
        world
            .engine
            .object("locked", "key")
            .is_some_and(|version| !version.marker)
    );
}

#[tokio::test]
async fn lock_11_many_deletes_are_answered_key_by_key() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = world.call(locked_put("kept")).await.expect(200);
    let kept = put
        .header("x-amz-version-id")
        .expect("a version")
        .to_owned();
    let free = world.put("locked", "free & <odd> key", b"x").await;
    let mut xml = String::from("<Delete>");
    xml += &format!("<Object><Key>kept</Key><VersionId>{kept}</VersionId></Object>");
    let odd = "free &amp; &lt;odd&gt; key";
    xml += &format!("<Object><Key>{odd}</Key><VersionId>{free}</VersionId></Object>");
    xml += "<Object><Key>kept</Key></Object><Object><Key> spaced </Key></Object>";
    xml += "<Object><Key>kept</Key><VersionId>nonsense</VersionId></Object></Delete>";
    let post = || Call::bucket("POST", "locked").query("delete", "");
    let reply = world.call(post().document(&xml)).await.expect(200);
    let text = reply.text();
    let (deleted, errors): (Vec<_>, Vec<_>) = (reply.all("Deleted"), reply.all("Error"));
    assert_eq!((deleted.len(), errors.len()), (3, 2), "{text}");
    assert!(errors[0].contains("<Code>AccessDenied</Code>"), "{text}");
    assert!(errors[1].contains("<Code>InvalidArgument</Code>"), "{text}");
    assert!(deleted[0].contains("free & <odd> key"), "{text}");
    assert!(
        deleted[1].contains("<DeleteMarker>true</DeleteMarker>"),
        "{text}"
    );
    assert!(deleted[2].contains("<Key> spaced </Key>"), "{text}");

    let quiet = "<Delete><Object><Key>a</Key></Object><Quiet>true</Quiet></Delete>";
    let reply = world.call(post().document(quiet)).await.expect(200);
    assert!(reply.all("Deleted").is_empty(), "{}", reply.text());
    let summed = post().header(
        "x-amz-checksum-crc32",
        &crate::crc32_base64(quiet.as_bytes()),
    );
    world.call(summed.body(quiet)).await.expect(200);
    let bare = post().body(quiet);
    world.call(bare).await.refused(400, "InvalidRequest");
    let wrong = post()
        .header("content-md5", &crate::md5_base64(b"other"))
        .body(quiet);
    world.call(wrong).await.refused(400, "BadDigest");
    let control = "<Delete><Object><Key>a&#1;</Key></Object></Delete>";
    world
        .call(post().document(control))
        .await
        .refused(400, "MalformedXML");
    let cdata = "<Delete><Object><Key>a<![CDATA[b]]></Key></Object></Delete>";
    world
        .call(post().document(cdata))
        .await
        .refused(400, "MalformedXML");
    let many: String = (0..1001)
        .map(|n| format!("<Object><Key>{n}</Key></Object>"))
        .collect();
    let many = format!("<Delete>{many}</Delete>");
    world
        .call(post().document(&many))
        .await
        .refused(400, "MalformedXML");
    let all: String = (0..1000)
        .map(|n| format!("<Object><Key>k{n}</Key></Object>"))
        .collect();
    let all = format!("<Delete>{all}</Delete>");
    let reply = world.call(post().document(&all)).await.expect(200);
    assert_eq!(reply.all("Deleted").len(), 1000);
}

#[tokio::test]
async fn lock_11_there_is_nothing_to_bypass_where_there_are_no_locks() {
    let world = World::start().await;
    world.bucket("plain").await;
    world.bucket("locked").await;
    let xml = "<Delete><Object><Key>key</Key></Object></Delete>";
    for (bucket, bypass, refused) in [
        ("plain", "true", true),
        ("plain", "false", false),
        ("locked", "true", false),
    ] {
        for many in [false, true] {
            world.put(bucket, "key", b"x").await;
            let call = match many {
                false => Call::object("DELETE", bucket, "key"),
                true => Call::bucket("POST", bucket)
                    .query("delete", "")
                    .document(xml),
            };
            let call = call.header("x-amz-bypass-governance-retention", bypass);
            let reply = world.call(call).await;
            match refused {
                true => reply.refused(400, "InvalidArgument"),
                false => assert!(reply.status < 300, "{bucket} {bypass}: {}", reply.text()),
            }
            let newest = world.engine.object(bucket, "key");
            let is_there = newest.is_some_and(|version| !version.marker);
            assert_eq!(is_there, refused, "{bucket} {bypass}");
        }
    }
}

const GOVERNED: [(&str, &str); 2] = [
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    (
        "x-amz-object-lock-retain-until-date",
        "2140-01-01T00:00:00Z",
    ),
];
const HOLD: (&str, &str) = ("x-amz-object-lock-legal-hold", "ON");

/// Versions under every kind of lock, by key.
async fn all_locks(world: &World) -> Vec<(&'static str, String)> {
    let plain = |key: &str| Call::object("PUT", "locked", key).body("kept");
    let governed = |key: &str| {
        let lock = GOVERNED.iter();
        lock.fold(plain(key), |call, (name, value)| call.header(name, value))
    };
    let held = |call: Call| call.header(HOLD.0, HOLD.1);
    let mut versions = Vec::new();
    for (key, call) in [
        ("governed-1", governed("governed-1")),
        ("compliance", locked_put("compliance")),
        ("governed-held", held(governed("governed-held"))),
        ("held", held(plain("held"))),
        ("free", plain("free")),
        ("governed-2", governed("governed-2")),
    ] {
        let reply = world.call(call).await.expect(200);
        let version = reply.header("x-amz-version-id").expect("a version");
        versions.push((key, version.to_owned()));
    }
    versions
}

#[tokio::test]
async fn lock_11_the_bypass_header_is_for_all_keys_and_lifts_governance_alone() {
    let free = &["free"][..];
    let governed = &["governed-1", "free", "governed-2"][..];
    for (bypass, right, goes) in [
        (None, true, free),
        (Some("false"), true, free),
        (Some("true"), false, free),
        (Some("true"), true, governed),
    ] {
        let what = format!("bypass {bypass:?}, right {right}");
        let world = World::start().await;
        world.bucket("locked").await;
        let versions = all_locks(&world).await;
        world.engine.with(|state| state.rights = right);
        let line = |(key, id): &(&str, String)| {
            format!("<Object><Key>{key}</Key><VersionId>{id}</VersionId></Object>")
        };
        let objects: String = versions.iter().map(line).collect();
        let post = Call::bucket("POST", "locked").query("delete", "");
        let post = post.document(&format!("<Delete>{objects}</Delete>"));
        let post = bypass.into_iter().fold(post, |call, value| {
            call.header("x-amz-bypass-governance-retention", value)
        });
        let reply = world.call(post).await.expect(200);
        let (deleted, errors) = (reply.all("Deleted"), reply.all("Error"));
        assert_eq!(deleted.len() + errors.len(), versions.len(), "{what}");
        for (key, version) in &versions {
            let named = [
                format!("<Key>{key}</Key>"),
                format!("<VersionId>{version}</VersionId>"),
            ];
            let names = |part: &&String| named.iter().all(|name| part.contains(name));
            let told = deleted.iter().any(|part| names(&part));
            let refused = errors.iter().find(names);
            let refused = refused.is_some_and(|part| part.contains("<Code>AccessDenied</Code>"));
            let gone = goes.contains(key);
            let text = reply.text();
            assert_eq!((told, refused), (gone, !gone), "{what}, {key}: {text}");
            let get = Call::object("GET", "locked", key).query("versionId", version);
            let got = world.call(get).await;
            assert_eq!(got.status, if gone { 404 } else { 200 }, "{what}, {key}");
        }
    }
}
