//! Answers that their client does not take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use hyper::Response;
use stele_gateway::limits::{
    ANSWER_DOCUMENT_FACTOR, DOWNLOAD_COPIED_BYTES_MAX, DOWNLOAD_PASSING_DIVISOR,
    DOWNLOAD_SHARE_DIVISOR, KEPT_DIVISOR, LITTLE_DIVISOR, MEMORY_BYTES_MAX,
    MEMORY_OF_PARTY_BYTES_MAX, REFUSED_OF_SOURCE_BYTES_MAX, REQUEST_BYTES,
};
use stele_gateway::{GatewayConfig, Slab, SlabPool};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
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

/// One more client.
fn client(world: &World, number: usize) -> Key {
    let other = Key {
        id: format!("CLIENT{number}"),
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

/// An answer that is on its way, or will be.
type Untaken = JoinHandle<Result<Response<RecvStream>, h2::Error>>;

/// Asks as often as one connection may and takes nothing of the answers.
async fn ask(sender: &mut SendRequest<Bytes>, call: &Call, key: &Key) -> Vec<Untaken> {
    let mut untaken = Vec::new();
    for _ in 0..STREAMS {
        std::future::poll_fn(|cx| sender.poll_ready(cx))
            .await
            .expect("ready");
        let sent = sender.send_request(signed(call, key), true);
        untaken.push(tokio::spawn(sent.expect("sent").0));
    }
    untaken
}

/// All slabs of a pool, as if others were using them.
fn all_of(pool: &SlabPool) -> Vec<Slab> {
    std::iter::repeat_with(|| pool.try_take())
        .map_while(|slab| slab)
        .collect()
}

/// How many of them have begun.
fn begun(untaken: &[Untaken]) -> usize {
    untaken.iter().filter(|answer| answer.is_finished()).count()
}

/// A call on an HTTP/1 connection whose client takes next to nothing.
async fn stuck(world: &World, key: &Key) -> Connection {
    let call = Call::object("GET", "locked", "long");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket.connect(world.address).await.expect("connected");
    let opened = Connection::over(stream, Arc::clone(&world.tls)).await;
    let mut connection = opened.expect("a connection");
    connection.send(&call.wire(key, HOST)).await;
    connection
}

/// A gateway with both objects, and how the shorter one is asked for.
async fn world_with(change: impl FnOnce(&mut GatewayConfig)) -> (World, Call) {
    let world = World::start_with(|config| {
        config.http2 = true;
        change(config);
    })
    .await;
    world.bucket("locked").await;
    world.put("locked", "key", &vec![7; BYTES]).await;
    world.put("locked", "long", &vec![7; LONG_BYTES]).await;
    (world, Call::object("GET", "locked", "key"))
}

/// That another client is served while all of a share is untaken.
async fn serves_others(world: &World, call: &Call) {
    let other = client(world, 2);
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
    let _untaken = ask(&mut sender, &call, &world.key).await;
    serves_others(&world, &call).await;
}

#[tokio::test]
async fn slow_readers_leave_others_their_memory() {
    let (world, call) = world_with(|_| ()).await;
    let mut slow = Vec::new();
    for _ in 0..world.downloads.count_max() {
        slow.push(stuck(&world, &world.key).await);
    }
    serves_others(&world, &call).await;
}

#[tokio::test]
async fn however_many_read_slowly_one_more_is_served() {
    let (world, call) = world_with(|_| ()).await;
    let mut slow = Vec::new();
    for number in 2..6 {
        let key = client(&world, number);
        for _ in 0..world.downloads.count_max() / 2 {
            slow.push(stuck(&world, &key).await);
        }
    }
    // Two have what they can get of what is for all, and each of the others a little of what is kept.
    let all = world.downloads.count_max();
    let kept = all / DOWNLOAD_PASSING_DIVISOR + all / KEPT_DIVISOR;
    let most = |world: &World| world.downloads.in_use() == all - kept + 2;
    world.until("they have all that they can get", most).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(most(&world), "{}", world.downloads.in_use());
    let got = timeout(AT_ONCE, world.call(call.clone())).await;
    assert_eq!(got.expect("in time").expect(200).body.len(), BYTES);
}

/// Who waits in vain for memory is told to come again, with a document, and its connection is as good as before.
#[tokio::test]
async fn a_download_that_finds_no_memory_is_refused_before_it_begins() {
    let (world, call) = world_with(|_| ()).await;
    // Of copies and short content: for a moment each.
    let held = all_of(&world.downloads);
    let mut connection = world.connect().await;
    connection.send(&call.wire(&world.key, HOST)).await;
    let reply = connection.reply("GET").await.expect("an answer");
    reply.refused(503, "SlowDown");
    drop(held);
    connection.send(&call.wire(&world.key, HOST)).await;
    let reply = connection.reply("GET").await.expect("an answer");
    assert_eq!(reply.expect(200).body.len(), BYTES);
}

/// That a client gets no more, and another is served.
async fn has_its_share(world: &World, call: &Call) {
    let other = client(world, 2);
    let began = Instant::now();
    let refused = loop {
        assert!(began.elapsed() < AT_ONCE, "there is no end to it");
        let reply = world.call(call.clone()).await;
        if reply.status != 200 {
            break reply;
        }
    };
    refused.refused(503, "SlowDown");
    let got = timeout(AT_ONCE, world.raw(&call.method, &call.wire(&other, HOST))).await;
    got.expect("in time").expect(200);
}

#[tokio::test]
async fn content_that_cannot_be_read_from_its_beginning_is_an_error_and_no_answer_that_breaks_off()
{
    let (world, call) = world_with(|_| ()).await;
    world
        .engine
        .with(|state| state.break_download_after = Some(0));
    let reply = world.call(call).await;
    assert!(reply.complete && reply.status >= 500, "{}", reply.status);
    let closed = |world: &World| world.engine.with(|state| state.idle());
    world.until("the stream is closed", closed).await;
}

#[tokio::test]
async fn whoever_leaves_before_a_download_begins_leaves_nothing_behind() {
    let (world, call) = world_with(|_| ()).await;
    let held = all_of(&world.downloads);
    let mut sender = shut(&world).await;
    let waiting = ask(&mut sender, &call, &world.key).await;
    let open = |world: &World| world.engine.with(|state| !state.idle());
    world.until("streams are open", open).await;
    for answer in waiting {
        answer.abort();
    }
    drop(sender);
    let closed = |world: &World| world.engine.with(|state| state.idle());
    world.until("streams are closed", closed).await;
    drop(held);
    let got = timeout(AT_ONCE, world.call(call)).await;
    assert_eq!(got.expect("in time").expect(200).body.len(), BYTES);
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
        untaken.push((ask(&mut sender, &call, &world.key).await, sender));
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

/// A gateway with a bucket of long names, and how many bytes a page of them has.
async fn world_of_names(call: &Call) -> (World, usize) {
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
    (world, bytes)
}

async fn check_listings(call: Call) {
    let (world, bytes) = world_of_names(&call).await;
    let most = MEMORY_OF_PARTY_BYTES_MAX / bytes / ANSWER_DOCUMENT_FACTOR;
    let mut sender = shut(&world).await;
    let answers = ask(&mut sender, &call, &world.key).await;
    world
        // The requests themselves take some of it.
        .until("it has its share", |_| begun(&answers) + 1 >= most)
        .await;
    let others = client(&world, 2);
    let got = timeout(AT_ONCE, world.raw("GET", &call.wire(&others, HOST))).await;
    got.expect("in time").expect(200);
    assert!(begun(&answers) <= most, "{} of {most}", begun(&answers));
}

#[tokio::test]
async fn however_many_take_nothing_of_their_listings_one_more_is_served() {
    let call = Call::bucket("GET", "locked");
    let (world, bytes) = world_of_names(&call).await;
    let each = bytes * ANSWER_DOCUMENT_FACTOR;
    let mut answers = Vec::new();
    let mut senders = Vec::new();
    for number in 2..8 {
        let mut sender = shut(&world).await;
        let key = client(&world, number);
        answers.extend(ask(&mut sender, &call, &key).await);
        senders.push(sender);
    }
    // Three have what they can get of what is for all, and each of the others a little of what is kept.
    let mut before = 0;
    while before == 0 || begun(&answers) > before {
        before = begun(&answers);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let held = before * each;
    let for_all = MEMORY_BYTES_MAX - MEMORY_BYTES_MAX / KEPT_DIVISOR;
    let littles = 3 * MEMORY_BYTES_MAX / LITTLE_DIVISOR;
    // The requests themselves take some of it.
    let fits = for_all - 8 * each..=for_all + littles;
    assert!(fits.contains(&held), "{held} of {MEMORY_BYTES_MAX}");
    let got = timeout(AT_ONCE, world.call(call)).await;
    got.expect("in time").expect(200);
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
async fn uploads_that_wait_for_memory_keep_no_other_of_their_connection_waiting() {
    let (world, _) = world_with(|_| ()).await;
    let _held = all_of(&world.slabs);
    let mut sender = shut(&world).await;
    let mut begun = Vec::new();
    for number in 1..STREAMS {
        let key = format!("large {number}");
        let call = Call::object("PUT", "locked", &key).body(vec![7; BYTES]);
        sender = sender.ready().await.expect("ready");
        let sent = sender.send_request(signed(&call, &world.key), false);
        let (answer, mut body) = sent.expect("sent");
        body.reserve_capacity(BYTES);
        begun.push((answer, body));
    }
    // As much as the other side lets through.
    let mut quiet = 0;
    while quiet < 20 {
        quiet += 1;
        for (_, body) in &mut begun {
            let bytes = body.capacity();
            if bytes > 0 {
                body.send_data(vec![7; bytes].into(), false).expect("sent");
                body.reserve_capacity(BYTES);
                quiet = 0;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let call = Call::object("PUT", "locked", "small").body(vec![7; 1_000]);
    sender = sender.ready().await.expect("ready");
    let sent = sender.send_request(signed(&call, &world.key), false);
    let (answer, mut body) = sent.expect("sent");
    body.send_data(call.body.clone().into(), true)
        .expect("sent");
    let answer = timeout(AT_ONCE, answer).await.expect("in time");
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[tokio::test]
async fn refusals_that_nobody_takes_keep_no_client_out() {
    let (world, call) = world_with(|_| ()).await;
    let wrong = Key {
        id: world.key.id.clone(),
        secret: "guessed".to_owned(),
    };
    let mut untaken = Vec::new();
    for _ in 0..=REFUSED_OF_SOURCE_BYTES_MAX / REQUEST_BYTES / STREAMS {
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
    let untaken = ask(&mut sender, &call, &world.key).await;
    let mut slow = stuck(&world, &world.key).await;
    for answer in untaken {
        let Ok(answer) = answer.await.expect("no panic") else {
            continue;
        };
        let mut body = answer.into_body();
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
