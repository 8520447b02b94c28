//! What one client makes the gateway wait for keeps no other waiting.

use stele_gateway::limits::{
    PAGE_OF_PARTY_COUNT_MAX, XML_BODIES_LARGE_MAX, XML_BODIES_LARGE_OF_PARTY_MAX,
    XML_BODY_SMALL_BYTES,
};
use zeroize::Zeroizing;

use crate::client::{Call, Connection};
use crate::sign::Key;
use crate::world::{HOST, World};

async fn world() -> (World, Key) {
    let world = World::start().await;
    world.bucket("locked").await;
    let other = Key {
        id: "CLIENT2".to_owned(),
        secret: "another secret".to_owned(),
    };
    let secret = Zeroizing::new(other.secret.clone());
    world.clients.insert(other.id.clone(), secret);
    (world, other)
}

/// So many deletions in one document.
fn deletes(count: usize) -> Call {
    let objects: String = (0..count)
        .map(|number| format!("<Object><Key>{number:0>60}</Key></Object>"))
        .collect();
    let document = format!("<Delete>{objects}</Delete>");
    let call = Call::bucket("POST", "locked").query("delete", "");
    call.document(&document)
}

fn large() -> Call {
    let call = deletes(1_000);
    assert!(call.body.len() > XML_BODY_SMALL_BYTES + 3);
    call
}

/// A document as far as it is sent at first, on a connection of its own, and the rest of it.
async fn begun(world: &World, call: &Call, bytes: usize) -> (Connection, Vec<u8>) {
    let mut wire = call.wire(&world.key, HOST);
    let rest = wire.split_off(bytes);
    let mut connection = world.connect().await;
    connection.send(&wire).await;
    (connection, rest)
}

#[tokio::test]
async fn slow_documents_of_one_client_keep_no_other_waiting() {
    let (world, other) = world().await;
    let call = large();
    let bytes = call.wire(&world.key, HOST).len() - 3;
    let mut slow = Vec::new();
    for _ in 0..XML_BODIES_LARGE_MAX {
        slow.push(begun(&world, &call, bytes).await);
    }
    let reply = world.raw("POST", &call.wire(&other, HOST)).await;
    assert_eq!(reply.expect(200).all("Deleted").len(), 1_000);
    // A small one waits for no turn.
    world.call(deletes(1)).await.expect(200);
    // Its own are answered one after the other.
    for (connection, rest) in &mut slow {
        connection.send(rest).await;
    }
    for (mut connection, _) in slow {
        let reply = connection.reply("POST").await.expect("an answer");
        reply.expect(200);
    }
}

#[tokio::test]
async fn documents_that_have_not_come_yet_have_no_turn() {
    let (world, _) = world().await;
    let mut slow = Vec::new();
    for _ in 0..XML_BODIES_LARGE_OF_PARTY_MAX * 2 {
        let call = large();
        let bytes = call.wire(&world.key, HOST).len() - call.body.len();
        slow.push(begun(&world, &call, bytes).await);
    }
    world.call(large()).await.expect(200);
    for (connection, rest) in &mut slow {
        connection.send(rest).await;
        let reply = connection.reply("POST").await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test]
async fn slow_pages_of_one_client_keep_no_other_waiting() {
    let (world, other) = world().await;
    world.engine.with(|state| state.holds_pages = true);
    let list = Call::bucket("GET", "locked").wire(&world.key, HOST);
    let mut slow = Vec::new();
    for _ in 0..PAGE_OF_PARTY_COUNT_MAX {
        let mut connection = world.connect().await;
        connection.send(&list).await;
        slow.push(connection);
    }
    let held = |world: &World, id: &str| {
        let of_client = |state: &mut crate::engine::State| {
            state.held.iter().filter(|held| held.client == id).count()
        };
        world.engine.with(of_client)
    };
    let all = |world: &World| held(world, &world.key.id) == PAGE_OF_PARTY_COUNT_MAX;
    world.until("it has its share", all).await;
    // The engine goes on with pages whose client has gone away.
    drop(slow);
    let mut waiting = world.connect().await;
    waiting.send(&list).await;
    world.put("locked", "key", b"something else").await;
    let mut others = world.connect().await;
    others
        .send(&Call::bucket("GET", "locked").wire(&other, HOST))
        .await;
    let asked = |world: &World| held(world, &other.id) == 1;
    world.until("the other is asked for", asked).await;
    assert_eq!(held(&world, &world.key.id), PAGE_OF_PARTY_COUNT_MAX);
    world.engine.with(crate::engine::State::release);
    for connection in [&mut waiting, &mut others] {
        let reply = connection.reply("GET").await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}
