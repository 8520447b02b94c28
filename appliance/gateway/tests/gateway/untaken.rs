//! Answers that their client does not take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use stele_gateway::GatewayConfig;
use stele_gateway::limits::{
    ANSWER_DOCUMENT_FACTOR, DOWNLOAD_COPIED_BYTES_MAX, DOWNLOAD_SHARE_DIVISOR,
    MEMORY_OF_PARTY_BYTES_MAX, REQUEST_BYTES, STRANGER_OF_SOURCE_BYTES_MAX,
};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::client::{Call, Connection};
use crate::http2::signed;
use crate::sign::Key;
use crate::world::{HOST, World};

/// How long whoever has nothing to do with it waits at most.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Of an object that needs two slabs.
const BYTES: usize = 1_500_000;
/// Of one that is longer than what sockets take of an answer.
const LONG_BYTES: usize = 8_000_000;
/// Streams of one connection.
const STREAMS: usize = 64;

/// A second client.
fn other(world: &World) -> Key {
    let other = Key {
        id: "CLIENT2".to_owned(),
        secret: "another secret".to_owned(),
    };
    let secret = Zeroizing::new(other.secret.clone());
    world.clients.insert(other.id.clone(), secret);
    other
}

/// An HTTP/2 connection whose client never lets any content come.
async fn shut(world: &World) -> SendRequest<Bytes> {
    let mut tls = (*world.tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let connection = Connection::open(world.address, Arc::new(tls))
        .await
        .expect("a connection");
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake(connection.stream)
        .await
        .expect("HTTP/2");
    // Ends with the test.
    tokio::spawn(connection);
    sender
}

/// Asks as often as one connection may and takes nothing of the answers.
async fn ask(world: &World, sender: &mut SendRequest<Bytes>, call: &Call) -> Vec<RecvStream> {
    let mut untaken = Vec::new();
    for _ in 0..STREAMS {
        std::future::poll_fn(|cx| sender.poll_ready(cx))
            .await
            .expect("ready");
        let sent = sender.send_request(signed(call, &world.key), true);
        let answer = sent.expect("sent").0.await.expect("an answer");
        untaken.push(answer.into_body());
    }
    untaken
}

/// A call on an HTTP/1 connection whose client takes next to nothing.
async fn stuck(world: &World) -> Connection {
    let call = Call::object("GET", "locked", "long");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket.connect(world.address).await.expect("connected");
    let opened = Connection::over(stream, Arc::clone(&world.tls)).await;
    let mut connection = opened.expect("a connection");
    connection.send(&call.wire(&world.key, HOST)).await;
    connection
}

/// A gateway with both objects, and how the shorter one is asked for.
async fn world_with(change: impl FnOnce(&mut GatewayConfig)) -> (World, Call) {
    let world = World::start_with(change).await;
    world.bucket("locked").await;
    world.put("locked", "key", &vec![7; BYTES]).await;
    world.put("locked", "long", &vec![7; LONG_BYTES]).await;
    (world, Call::object("GET", "locked", "key"))
}

/// That another client is served while all of a share is untaken.
async fn serves_others(world: &World, call: &Call) {
    let other = other(world);
    let share = world.downloads.count_max() / DOWNLOAD_SHARE_DIVISOR;
    let full = |world: &World| world.downloads.in_use() >= share;
    world.until("a share is untaken", full).await;
    let got = timeout(AT_ONCE, world.raw("GET", &call.wire(&other, HOST))).await;
    assert_eq!(got.expect("in time").expect(200).body.len(), BYTES);
    let no_more = |world: &World| world.downloads.in_use() == share;
    world.until("nobody has more than a share", no_more).await;
}

#[tokio::test]
async fn downloads_that_nobody_takes_leave_others_their_memory() {
    let (world, call) = world_with(|_| ()).await;
    let mut sender = shut(&world).await;
    let _untaken = ask(&world, &mut sender, &call).await;
    serves_others(&world, &call).await;
}

#[tokio::test]
async fn slow_readers_leave_others_their_memory() {
    let (world, call) = world_with(|_| ()).await;
    let mut slow = Vec::new();
    for _ in 0..world.downloads.count_max() {
        slow.push(stuck(&world).await);
    }
    serves_others(&world, &call).await;
}

/// That a client gets no more, and another is served.
async fn has_its_share(world: &World, call: &Call) {
    let other = other(world);
    let began = Instant::now();
    while world.call(call.clone()).await.status != 503 {
        assert!(began.elapsed() < AT_ONCE, "there is no end to it");
    }
    let refused = world.call(call.clone()).await;
    refused.refused(503, "SlowDown");
    let got = timeout(AT_ONCE, world.raw(&call.method, &call.wire(&other, HOST))).await;
    got.expect("in time").expect(200);
}

#[tokio::test]
async fn small_answers_that_nobody_takes_are_bounded_for_each_client() {
    let (world, _) = world_with(|_| ()).await;
    world
        .put("locked", "small", &[7; DOWNLOAD_COPIED_BYTES_MAX])
        .await;
    let call = Call::object("GET", "locked", "small");
    let each = REQUEST_BYTES + DOWNLOAD_COPIED_BYTES_MAX;
    let mut untaken = Vec::new();
    for _ in 0..=MEMORY_OF_PARTY_BYTES_MAX / each / STREAMS {
        let mut sender = shut(&world).await;
        untaken.push((ask(&world, &mut sender, &call).await, sender));
    }
    has_its_share(&world, &call).await;
    drop(untaken);
    let began = Instant::now();
    while world.call(call.clone()).await.status != 200 {
        assert!(began.elapsed() < AT_ONCE, "it has nothing any more");
    }
}

#[tokio::test]
async fn listings_that_nobody_takes_are_bounded_for_each_client() {
    for call in [
        Call::bucket("GET", "locked"),
        Call::bucket("GET", "locked").query("versions", ""),
    ] {
        check_listings(call).await;
    }
}

async fn check_listings(call: Call) {
    let (world, _) = world_with(|_| ()).await;
    world.engine.with(|state| {
        let place = ("locked".to_owned(), "key".to_owned());
        let versions = state.objects[&place].clone();
        for number in 0..1_000 {
            let place = ("locked".to_owned(), format!("{number:0>1000}"));
            state.objects.insert(place, versions.clone());
        }
    });
    let bytes = world.call(call.clone()).await.expect(200).body.len();
    assert!(bytes > 1_000_000);
    let most = MEMORY_OF_PARTY_BYTES_MAX / bytes / ANSWER_DOCUMENT_FACTOR;
    let mut sender = shut(&world).await;
    let answers = (0..STREAMS).map(|_| {
        let sent = sender.send_request(signed(&call, &world.key), true);
        tokio::spawn(sent.expect("sent").0)
    });
    let answers: Vec<_> = answers.collect();
    let answered = || answers.iter().filter(|answer| answer.is_finished()).count();
    world
        // The requests themselves take some of it.
        .until("it has its share", |_| answered() + 1 >= most)
        .await;
    let others = other(&world);
    let got = timeout(AT_ONCE, world.raw("GET", &call.wire(&others, HOST))).await;
    got.expect("in time").expect(200);
    assert!(answered() <= most, "{} of {most}", answered());
}

#[tokio::test]
async fn uploads_that_do_not_come_are_bounded_for_each_client() {
    let (world, _) = world_with(|_| ()).await;
    let call = Call::object("PUT", "locked", "new");
    // Each holds less than the one that is refused then would.
    let short = call.clone().body(vec![7; 24 * 1024]);
    let mut begun = Vec::new();
    for _ in 0..16 {
        let mut sender = shut(&world).await;
        for _ in 0..STREAMS {
            let sent = sender.send_request(signed(&short, &world.key), false);
            begun.push((sent.expect("sent"), sender.clone()));
            sender = sender.ready().await.expect("ready");
        }
    }
    let call = call.body(vec![7; BYTES]);
    has_its_share(&world, &call).await;
}

#[tokio::test]
async fn refusals_that_nobody_takes_keep_no_client_out() {
    let (world, call) = world_with(|_| ()).await;
    let wrong = Key {
        id: world.key.id.clone(),
        secret: "guessed".to_owned(),
    };
    let mut untaken = Vec::new();
    for _ in 0..=STRANGER_OF_SOURCE_BYTES_MAX / REQUEST_BYTES / STREAMS {
        let mut sender = shut(&world).await;
        for _ in 0..STREAMS {
            sender = sender.ready().await.expect("ready");
            let sent = sender.send_request(signed(&call, &wrong), true);
            let answer = sent.expect("sent").0.await.expect("an answer");
            assert_eq!(answer.status(), 403);
            untaken.push((answer, sender.clone()));
        }
    }
    let bare = untaken
        .iter()
        .filter(|(answer, _)| answer.body().is_end_stream());
    assert_eq!(bare.count(), STREAMS);
    world.call(call).await.expect(200);
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_is_cut_off() {
    let taken = Duration::from_millis(500);
    let (world, call) = world_with(|config| config.taken = taken).await;
    let mut sender = shut(&world).await;
    let mut untaken = ask(&world, &mut sender, &call).await;
    let mut slow = stuck(&world).await;
    for body in &mut untaken {
        let piece = timeout(AT_ONCE, body.data()).await.expect("in time");
        assert!(piece.is_none_or(|piece| piece.is_err()));
    }
    let none = |world: &World| world.downloads.in_use() == 0;
    world.until("all memory is back", none).await;
    let reply = slow.reply("GET").await;
    assert!(reply.is_none_or(|reply| !reply.complete));
    let got = timeout(AT_ONCE, world.call(call)).await;
    assert_eq!(got.expect("in time").expect(200).body.len(), BYTES);
}
