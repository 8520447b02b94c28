//! Tags of versions on the wire.

use crate::client::{Call, Reply};
use crate::world::World;

fn document(pairs: &[(&str, &str)]) -> String {
    let tag =
        |(key, value): &(&str, &str)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let tags: String = pairs.iter().map(tag).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

fn tagging(method: &str, key: &str) -> Call {
    Call::object(method, "locked", key).query("tagging", "")
}

async fn tags(world: &World, call: Call) -> Vec<(String, String)> {
    let reply: Reply = world.call(call).await.expect(200);
    reply
        .all("Key")
        .into_iter()
        .zip(reply.all("Value"))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn tags_are_put_got_counted_and_deleted_by_version() {
    let world = World::start().await;
    world.bucket("locked").await;
    let old = world.put("locked", "key", b"old").await;
    let new = world.put("locked", "key", b"new").await;
    let of = |method: &str, version: &str| tagging(method, "key").query("versionId", version);
    let put = of("PUT", &old).body(document(&[("a", "1"), ("b &amp; c", "")]));
    let reply = world.call(put).await.expect(200);
    assert_eq!(reply.header("x-amz-version-id"), Some(old.as_str()));
    let put = tagging("PUT", "key").body(document(&[("current", "yes")]));
    let reply = world.call(put).await.expect(200);
    assert_eq!(reply.header("x-amz-version-id"), Some(new.as_str()));
    let expected = pairs(&[("a", "1"), ("b & c", "")]);
    assert_eq!(tags(&world, of("GET", &old)).await, expected);
    let expected = pairs(&[("current", "yes")]);
    assert_eq!(tags(&world, tagging("GET", "key")).await, expected);
    for method in ["GET", "HEAD"] {
        for (version, count) in [(&old, "2"), (&new, "1")] {
            let call = Call::object(method, "locked", "key").query("versionId", version);
            let reply = world.call(call).await.expect(200);
            assert_eq!(reply.header("x-amz-tagging-count"), Some(count), "{method}");
        }
    }
    let reply = world.call(of("DELETE", &old)).await.expect(204);
    assert_eq!(reply.header("x-amz-version-id"), Some(old.as_str()));
    assert_eq!(tags(&world, of("GET", &old)).await, pairs(&[]));
    let head = Call::object("HEAD", "locked", "key").query("versionId", &old);
    let reply = world.call(head).await.expect(200);
    assert_eq!(reply.header("x-amz-tagging-count"), None);
    assert_eq!(tags(&world, tagging("GET", "key")).await.len(), 1);
}

#[tokio::test]
async fn tags_are_set_by_whoever_may_write_and_read_by_whoever_may_read() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.bucket("plain").await;
    let version = world.put("locked", "key", b"content").await;
    let plain = |method: &str| Call::object(method, "plain", "key").query("tagging", "");
    world.put("plain", "key", b"content").await;
    world.engine.with(|state| state.blind = true);
    for method in ["PUT", "DELETE"] {
        let body = document(&[("a", "1")]);
        let call = |call: Call| match method {
            "PUT" => call.body(body.clone()),
            _ => call,
        };
        let reply = world.call(call(tagging(method, "key"))).await;
        assert!(reply.status < 300, "{method}: {}", reply.text());
        assert_eq!(reply.header("x-amz-version-id"), Some(version.as_str()));
        let reply = world.call(call(plain(method))).await;
        assert!(reply.status < 300, "{method}: {}", reply.text());
        assert_eq!(reply.header("x-amz-version-id"), None);
    }
    let read = tagging("GET", "key");
    world.call(read).await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn what_is_no_set_of_tags_is_refused_and_changes_nothing() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"x").await;
    let before = [("kept", "yes")];
    let put = |body: String| tagging("PUT", "key").body(body);
    world.call(put(document(&before))).await.expect(200);
    let long = |chars: usize| "x".repeat(chars);
    let many: Vec<(String, &str)> = (0..11).map(|n| (format!("k{n}"), "v")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let no_value = "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>";
    for (body, code) in [
        (document(&many), "BadRequest"),
        (document(&[(&long(129), "v")]), "InvalidTag"),
        (document(&[("k", &long(257))]), "InvalidTag"),
        (document(&[("", "v")]), "InvalidTag"),
        (document(&[("k", "1"), ("k", "2")]), "InvalidTag"),
        (document(&[("aws:k", "1")]), "InvalidTag"),
        (no_value.to_owned(), "MalformedXML"),
        ("<Tagging>".to_owned(), "MalformedXML"),
    ] {
        let reply = world.call(put(body.clone())).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
    }
    assert_eq!(tags(&world, tagging("GET", "key")).await, pairs(&before));
    world.call(put(document(&many[..10]))).await.expect(200);
    let missing = tagging("PUT", "missing").body(document(&before));
    world.call(missing).await.refused(404, "NoSuchKey");
    let hidden = world.call(Call::object("DELETE", "locked", "key")).await;
    let hidden = hidden.expect(204);
    let marker = hidden.header("x-amz-version-id").expect("a marker");
    let of_marker = put(document(&before)).query("versionId", marker);
    world.call(of_marker).await.refused(405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_copy_takes_the_tags_along_or_replaces_them() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "key").header("x-amz-tagging", "stored=with");
    world.call(put.body("x")).await.expect(200);
    let replace = tagging("PUT", "key").body(document(&[("later", "1")]));
    world.call(replace).await.expect(200);
    let copy = || Call::object("PUT", "locked", "copy").header("x-amz-copy-source", "locked/key");
    world.call(copy()).await.expect(200);
    let expected = pairs(&[("later", "1")]);
    assert_eq!(tags(&world, tagging("GET", "copy")).await, expected);
    let replaced = copy()
        .header("x-amz-tagging-directive", "REPLACE")
        .header("x-amz-tagging", "n=2&m=");
    world.call(replaced).await.expect(200);
    let expected = pairs(&[("n", "2"), ("m", "")]);
    assert_eq!(tags(&world, tagging("GET", "copy")).await, expected);
    for (directive, given, status) in [
        (Some("COPY"), None, 200),
        (Some("REPLACE"), None, 200),
        (Some("OTHER"), None, 400),
        (None, Some("a=1"), 400),
        (Some("COPY"), Some("a=1"), 400),
        (Some("REPLACE"), Some("a=1&a=2"), 400),
    ] {
        let mut call = copy();
        for (name, value) in [
            ("x-amz-tagging-directive", directive),
            ("x-amz-tagging", given),
        ] {
            if let Some(value) = value {
                call = call.header(name, value);
            }
        }
        let reply = world.call(call).await;
        assert_eq!(reply.status, status, "{directive:?} {given:?}");
    }
}
