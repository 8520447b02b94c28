//! The documents that exist in every bucket and can be written in none.

use crate::client::Call;
use crate::world::{HOST, World};

const PREFIX: &str = ".system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/";

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

#[tokio::test]
async fn every_bucket_tells_what_the_store_can_and_how_much_fits() {
    let world = World::start().await;
    for bucket in ["locked", "plain", "default"] {
        world.bucket(bucket).await;
        for (name, element, value) in [
            ("system.xml", "ProtocolVersion", "\"1.0\""),
            ("system.xml", "CapacityInfo", "true"),
            ("capacity.xml", "Capacity", "1000"),
            ("capacity.xml", "Available", "400"),
            ("capacity.xml", "Used", "600"),
        ] {
            let got = world.call(Call::object("GET", bucket, &key(name))).await;
            let got = got.expect(200);
            assert_eq!(got.one(element), value, "{bucket} {name}");
            assert_eq!(got.header("content-type"), Some("application/xml"));
            let head = world.call(Call::object("HEAD", bucket, &key(name))).await;
            let head = head.expect(200);
            let length = got.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(length.as_str()));
        }
        for query in ["versions", "list-type=2", "uploads"] {
            let (name, value) = query.split_once('=').unwrap_or((query, ""));
            let list = world
                .call(Call::bucket("GET", bucket).query(name, value))
                .await;
            assert!(!list.expect(200).text().contains(".system-"), "{query}");
        }
    }
    let part = Call::object("GET", "locked", &key("system.xml")).header("range", "bytes=0-4");
    assert_eq!(world.call(part).await.expect(206).text(), "<?xml");
    let missing = Call::object("GET", "nothere", &key("system.xml"));
    world.call(missing).await.refused(404, "NoSuchBucket");
    let other = Call::object("GET", "locked", &key("other.xml"));
    world.call(other).await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn they_are_not_for_everybody() {
    let world = World::start().await;
    world.bucket("locked").await;
    let call = Call::object("GET", "locked", &key("capacity.xml"));
    let reply = world.raw("GET", &call.anonymous(HOST)).await;
    reply.refused(403, "AccessDenied");
}

#[tokio::test]
async fn nobody_writes_what_begins_like_them() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "source", b"x").await;
    for name in ["system.xml", "capacity.xml", "anything"] {
        let at = |method: &str| Call::object(method, "locked", &key(name));
        for call in [
            at("PUT").body("x"),
            at("PUT").header("x-amz-copy-source", "locked/source"),
            at("POST").query("uploads", ""),
            at("DELETE"),
        ] {
            world.call(call).await.refused(403, "AccessDenied");
        }
        let many = format!("<Delete><Object><Key>{}</Key></Object></Delete>", key(name));
        let many = Call::bucket("POST", "locked")
            .query("delete", "")
            .document(&many);
        assert_eq!(world.call(many).await.expect(200).code(), "AccessDenied");
        assert!(world.engine.object("locked", &key(name)).is_none());
    }
}
