//! Listings, page by page.

use crate::client::{Call, Reply};
use crate::world::World;

async fn filled(keys: &[&str]) -> World {
    let world = World::start().await;
    world.bucket("locked").await;
    for key in keys {
        world.put("locked", key, key.as_bytes()).await;
    }
    world
}

fn list(pairs: &[(&str, &str)]) -> Call {
    pairs
        .iter()
        .fold(Call::bucket("GET", "locked"), |call, (name, value)| {
            call.query(name, value)
        })
}

fn keys_and_prefixes(reply: &Reply) -> (Vec<String>, Vec<String>) {
    let prefixes = reply.all("CommonPrefixes");
    let inner = |text: &String| {
        text.trim_start_matches("<Prefix>")
            .trim_end_matches("</Prefix>")
            .to_owned()
    };
    (reply.all("Key"), prefixes.iter().map(inner).collect())
}

#[tokio::test]
async fn version_two_pages_through_everything_once() {
    let world = filled(&["a/1", "a/2", "b", "c/1", "d & <e>"]).await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let mut call = list(&[("list-type", "2"), ("max-keys", "2"), ("delimiter", "/")]);
        if !token.is_empty() {
            call = call.query("continuation-token", &token);
        }
        let reply = world.call(call).await.expect(200);
        let (keys, prefixes) = keys_and_prefixes(&reply);
        assert_eq!(
            reply.one("KeyCount"),
            (keys.len() + prefixes.len()).to_string()
        );
        seen.extend(prefixes);
        seen.extend(keys);
        if reply.one("IsTruncated") == "false" {
            break;
        }
        token = reply.one("NextContinuationToken");
    }
    assert_eq!(seen, ["a/", "b", "c/", "d & <e>"]);
    let after = list(&[
        ("list-type", "2"),
        ("start-after", "b"),
        ("fetch-owner", "true"),
    ]);
    let reply = world.call(after).await.expect(200);
    assert_eq!(reply.all("Key"), ["c/1", "d & <e>"]);
    assert_eq!(reply.all("StorageClass"), ["STANDARD", "STANDARD"]);
    assert_eq!(reply.all("Size"), ["3", "7"]);
    assert_eq!(reply.all("Owner").len(), 2);
    assert_eq!(reply.all("StartAfter"), ["b"]);
    // What a token goes on with began somewhere else, which may hold what XML cannot carry.
    let first = list(&[("list-type", "2"), ("max-keys", "1")]);
    let token = world.call(first).await.expect(200);
    let token = token.one("NextContinuationToken");
    let fixed = [("list-type", "2"), ("continuation-token", &token)];
    let reply = world
        .call(list(&fixed).query("start-after", "z\u{1}"))
        .await;
    let reply = reply.expect(200);
    assert_eq!(reply.all("Key"), ["a/2", "b", "c/1", "d & <e>"]);
    assert!(reply.all("StartAfter").is_empty(), "{}", reply.text());
    assert!(reply.all("EncodingType").is_empty(), "{}", reply.text());
    let none = list(&[("list-type", "2"), ("max-keys", "0")]);
    assert_eq!(
        world.call(none).await.expect(200).one("IsTruncated"),
        "false"
    );
    for pairs in [
        [("list-type", "2"), ("continuation-token", "!")],
        [("list-type", "2"), ("continuation-token", "")],
        [("list-type", "2"), ("max-keys", "-1")],
        [("list-type", "2"), ("max-keys", "many")],
        [("list-type", "2"), ("encoding-type", "base64")],
    ] {
        world
            .call(list(&pairs))
            .await
            .refused(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn version_one_uses_markers() {
    let world = filled(&["a/1", "a/2", "b", "c"]).await;
    let first = list(&[("delimiter", "/"), ("max-keys", "2")]);
    let reply = world.call(first).await.expect(200);
    assert_eq!(
        keys_and_prefixes(&reply),
        (vec!["b".to_owned()], vec!["a/".to_owned()])
    );
    let marker = reply.one("NextMarker");
    assert_eq!(marker, "b");
    let second = list(&[("delimiter", "/"), ("marker", &marker)]);
    let reply = world.call(second).await.expect(200);
    assert_eq!(reply.all("Key"), ["c"]);
    let within = list(&[("prefix", "a/")]);
    assert_eq!(
        world.call(within).await.expect(200).all("Key"),
        ["a/1", "a/2"]
    );
    world
        .call(Call::bucket("GET", "nothere"))
        .await
        .refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn odd_names_never_make_the_answer_malformed() {
    let world = filled(&["a b+c", "control\u{1}\r", "\u{e4}"]).await;
    for version in ["1", "2"] {
        let encoded = list(&[("list-type", version), ("encoding-type", "url")]);
        let reply = world.call(encoded).await.expect(200);
        assert_eq!(reply.all("Key"), ["a%20b%2Bc", "control%01%0D", "%C3%A4"]);
        assert_eq!(reply.one("EncodingType"), "url");
        // Without the wish, the page with the odd name is encoded all the same and says so.
        let reply = world
            .call(list(&[("list-type", version)]))
            .await
            .expect(200);
        assert_eq!(reply.all("Key"), ["a%20b%2Bc", "control%01%0D", "%C3%A4"]);
        assert_eq!(reply.one("EncodingType"), "url");
        let page = world
            .call(list(&[("list-type", version), ("prefix", "a")]))
            .await
            .expect(200);
        assert_eq!(
            (page.all("Key"), page.one("EncodingType")),
            (vec!["a b+c".into()], "".into())
        );
    }
}

/// To XML it is a line feed, unless it is written as a reference.
#[tokio::test]
async fn a_carriage_return_in_a_name_leaves_the_page_as_it_is() {
    let world = filled(&["a b", "a/line\rbreak"]).await;
    for key in ["up load", "up\rload"] {
        let begin = Call::object("POST", "locked", key).query("uploads", "");
        world.call(begin).await.expect(200);
    }
    let keys = ["a b", "a/line&#13;break"];
    let uploads = ["up&#13;load", "up load"];
    for (page, keys) in [
        (list(&[]), keys),
        (list(&[("list-type", "2")]), keys),
        (list(&[("versions", "")]), keys),
        (list(&[("uploads", "")]), uploads),
    ] {
        let reply = world.call(page.clone()).await.expect(200);
        assert_eq!(reply.all("Key"), keys, "{}", reply.text());
        assert_eq!(reply.one("EncodingType"), "", "{}", reply.text());
        assert!(!reply.text().contains('\r'), "{}", reply.text());
        let prefix = page.clone().query("prefix", "a/line\r");
        let reply = world.call(prefix).await.expect(200);
        assert_eq!(reply.one("Prefix"), "a/line&#13;", "{}", reply.text());
        let encoded = page.query("encoding-type", "url");
        let reply = world.call(encoded).await.expect(200);
        assert!(reply.text().contains("%0D"), "{}", reply.text());
    }
}

#[tokio::test]
async fn versions_and_markers_are_listed_newest_first() {
    let world = filled(&["a", "b"]).await;
    let newer = world.put("locked", "a", b"newer").await;
    let hide = world
        .call(Call::object("DELETE", "locked", "b"))
        .await
        .expect(204);
    let marker = hide
        .header("x-amz-version-id")
        .expect("a marker")
        .to_owned();
    let reply = world.call(list(&[("versions", "")])).await.expect(200);
    assert_eq!(reply.all("Version").len(), 3, "{}", reply.text());
    let markers = reply.all("DeleteMarker");
    assert_eq!(markers.len(), 1);
    assert!(markers[0].contains(&marker) && markers[0].contains("<IsLatest>true"));
    assert!(reply.all("Version")[0].contains(&newer));

    let page = world
        .call(list(&[("versions", ""), ("max-keys", "1")]))
        .await
        .expect(200);
    assert_eq!(page.one("NextKeyMarker"), "a");
    assert_eq!(page.one("NextVersionIdMarker"), newer);
    let next = list(&[
        ("versions", ""),
        ("key-marker", "a"),
        ("version-id-marker", &newer),
    ]);
    let reply = world.call(next).await.expect(200);
    assert_eq!(
        (reply.all("Version").len(), reply.all("DeleteMarker").len()),
        (2, 1)
    );
    let lonely = list(&[("versions", ""), ("version-id-marker", &newer)]);
    world.call(lonely).await.refused(400, "InvalidArgument");
    // Nothing is left out for a marker that means nothing.
    for (of, key, id) in [
        ("versions", "version-id-marker", newer.to_uppercase()),
        ("versions", "version-id-marker", newer[1..].to_owned()),
        ("uploads", "upload-id-marker", "nonsense".to_owned()),
    ] {
        let strange = list(&[(of, ""), ("key-marker", "a"), (key, &id)]);
        world.call(strange).await.refused(400, "InvalidArgument");
    }
}

/// Kind, key and id of the versions and markers of a page, in its order.
fn in_order(reply: &Reply) -> Vec<(String, String, String)> {
    let text = reply.text();
    let mut rest = text.as_str();
    let mut found = Vec::new();
    let within = |text: &str, name: &str| {
        let (_, text) = text.split_once(&format!("<{name}>")).expect(name);
        text.split_once('<').expect(name).0.to_owned()
    };
    while let Some(at) = rest
        .find("<Version>")
        .into_iter()
        .chain(rest.find("<DeleteMarker>"))
        .min()
    {
        rest = &rest[at + 1..];
        let kind = rest.split_once('>').expect("a name").0.to_owned();
        found.push((kind, within(rest, "Key"), within(rest, "VersionId")));
    }
    found
}

#[tokio::test]
async fn versions_and_markers_come_in_one_order() {
    let world = filled(&["c/1"]).await;
    let mut expected = Vec::new();
    for key in ["a", "b"] {
        let mut of_key = Vec::new();
        for _ in 0..3 {
            let stored = world.put("locked", key, b"x").await;
            of_key.push(("Version".to_owned(), key.to_owned(), stored));
            let hide = Call::object("DELETE", "locked", key);
            let hide = world.call(hide).await.expect(204);
            let marker = hide.header("x-amz-version-id").expect("a marker");
            of_key.push(("DeleteMarker".to_owned(), key.to_owned(), marker.to_owned()));
        }
        of_key.reverse();
        expected.extend(of_key);
    }
    let fixed = [("versions", ""), ("delimiter", "/")];
    let reply = world.call(list(&fixed)).await.expect(200);
    assert_eq!(in_order(&reply), expected, "{}", reply.text());
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                 <ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes><Delimiter>/</Delimiter>";
    assert!(reply.text().starts_with(start), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/xml"));
    let (mut paged, mut after) = (Vec::new(), (String::new(), String::new()));
    loop {
        let call = list(&fixed).query("max-keys", "1");
        let call = call.query("key-marker", &after.0);
        let reply = world.call(call.query("version-id-marker", &after.1)).await;
        let reply = reply.expect(200);
        paged.extend(in_order(&reply));
        if reply.one("IsTruncated") == "false" {
            break;
        }
        after = (reply.one("NextKeyMarker"), reply.one("NextVersionIdMarker"));
    }
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn plain_buckets_list_null_versions() {
    let world = World::start().await;
    world.bucket("plain").await;
    world.put("plain", "key", b"x").await;
    let reply = world
        .call(Call::bucket("GET", "plain").query("versions", ""))
        .await
        .expect(200);
    assert_eq!(reply.all("VersionId"), ["null"]);
}

#[tokio::test]
async fn listings_and_access_lists_name_the_owner_of_the_bucket() {
    let world = World::start().await;
    world.bucket("vaults").await;
    world.engine.with(|state| state.owner = "north".to_owned());
    world.bucket("tenants").await;
    world.put("vaults", "key", b"x").await;
    world.put("tenants", "key", b"x").await;
    let owners = |reply: &crate::client::Reply| {
        let names = reply.all("DisplayName");
        let ids: std::collections::BTreeSet<_> = reply.all("ID").into_iter().collect();
        assert_eq!(ids.len(), 1, "{}", reply.text());
        (names[0].clone(), ids.into_iter().next().expect("one"))
    };
    let mut ids = Vec::new();
    for (bucket, name) in [("vaults", "vault"), ("tenants", "north")] {
        let mut seen = std::collections::BTreeSet::new();
        for (query, value) in [("prefix", ""), ("versions", ""), ("acl", "")] {
            let call = Call::bucket("GET", bucket).query(query, value);
            seen.insert(owners(&world.call(call).await.expect(200)));
        }
        let v2 = Call::bucket("GET", bucket).query("list-type", "2");
        let plain = world.call(v2).await.expect(200);
        assert_eq!(plain.all("Owner"), [""; 0]);
        let v2 = Call::bucket("GET", bucket).query("list-type", "2");
        let fetched = world
            .call(v2.query("fetch-owner", "true"))
            .await
            .expect(200);
        seen.insert(owners(&fetched));
        assert_eq!(seen.len(), 1, "{seen:?}");
        let (shown, id) = seen.into_iter().next().expect("one");
        assert_eq!((shown.as_str(), id.len()), (name, 64));
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    let all = world.call(Call::bucket("GET", "")).await.expect(200);
    assert_eq!(all.one("DisplayName"), "north", "the asker's own");
    // Whoever expects an owner finds him, or nothing is done.
    for (bucket, expected, status) in [
        ("vaults", &ids[0], 200),
        ("tenants", &ids[1], 200),
        ("vaults", &ids[1], 403),
        ("tenants", &"me".to_owned(), 403),
    ] {
        let call = Call::bucket("GET", bucket).header("x-amz-expected-bucket-owner", expected);
        assert_eq!(world.call(call).await.status, status, "{bucket} {expected}");
    }
    let copy = |owner: &str| {
        let call =
            Call::object("PUT", "tenants", "copy").header("x-amz-copy-source", "/vaults/key");
        call.header("x-amz-source-expected-bucket-owner", owner)
    };
    world.call(copy(&ids[1])).await.refused(403, "AccessDenied");
    world.call(copy(&ids[0])).await.expect(200);
}
