//! The same gateway over HTTP/2.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::Uri;
use hyper::http::{Request, Response};

use crate::client::{Call, Connection};
use crate::sign::Key;
use crate::world::{HOST, World};

/// Opens an HTTP/2 connection.
async fn connect(world: &World) -> SendRequest<Bytes> {
    let mut tls = (*world.tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let connection = Connection::open(world.address, Arc::new(tls))
        .await
        .expect("a connection");
    assert_eq!(
        connection.stream.get_ref().1.alpn_protocol(),
        Some(&b"h2"[..])
    );
    let (sender, connection) = h2::client::handshake(connection.stream)
        .await
        .expect("HTTP/2");
    // Ends with the test.
    tokio::spawn(connection);
    sender
}

/// The head of a signed call.
pub fn signed(call: &Call, key: &Key) -> Request<()> {
    let (headers, names, signature) = call.sign(key, HOST);
    let query = crate::sign::canonical_query(&call.query);
    let uri: Uri = format!("https://{HOST}{}?{query}", call.path)
        .parse()
        .expect("a URI");
    let mut request = Request::builder().method(call.method.as_str()).uri(uri);
    for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
        request = request.header(name, value);
    }
    let scope = call.scope.text();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        key.id
    );
    request = request.header("authorization", authorization);
    if !call.body.is_empty() {
        request = request.header("content-length", call.body.len().to_string());
    }
    request.body(()).expect("a request")
}

/// Sends a signed call and collects the answer.
async fn send(world: &World, sender: &mut SendRequest<Bytes>, call: Call) -> Response<Vec<u8>> {
    let request = signed(&call, &world.key);
    let empty = call.body.is_empty();
    std::future::poll_fn(|cx| sender.poll_ready(cx))
        .await
        .expect("ready");
    let (answer, mut stream) = sender.send_request(request, empty).expect("sent");
    if !empty {
        stream
            .send_data(Bytes::from(call.body), true)
            .expect("sent");
    }
    let (parts, mut body) = answer.await.expect("an answer").into_parts();
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        body.flow_control()
            .release_capacity(piece.len())
            .expect("in order");
        content.extend_from_slice(&piece);
    }
    Response::from_parts(parts, content)
}

#[tokio::test]
async fn objects_travel_over_http_2() {
    let world = World::start_with(|config| config.http2 = true).await;
    world.bucket("locked").await;
    let mut sender = connect(&world).await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let put = Call::object("PUT", "locked", "key").body(content.clone());
    let stored = send(&world, &mut sender, put).await;
    assert_eq!(
        stored.status(),
        200,
        "{}",
        String::from_utf8_lossy(stored.body())
    );
    let got = send(&world, &mut sender, Call::object("GET", "locked", "key")).await;
    assert_eq!(got.status(), 200);
    assert!(got.body() == &content);
    let wrong = Call::object("PUT", "locked", "other")
        .header("content-md5", &crate::md5_base64(b"other"))
        .body("content");
    assert_eq!(send(&world, &mut sender, wrong).await.status(), 400);
    for (key, status) in [("key", 200), ("missing", 404)] {
        let head = send(&world, &mut sender, Call::object("HEAD", "locked", key)).await;
        assert_eq!((head.status().as_u16(), head.body().len()), (status, 0));
    }
    let list = Call::bucket("GET", "locked").query("list-type", "2");
    let listed = send(&world, &mut sender, list).await;
    assert!(String::from_utf8_lossy(listed.body()).contains("<KeyCount>1</KeyCount>"));
}

#[tokio::test]
async fn a_broken_download_is_a_broken_stream() {
    let world = World::start_with(|config| config.http2 = true).await;
    world.bucket("locked").await;
    world.put("locked", "key", &vec![7u8; 5_000_000]).await;
    world
        .engine
        .with(|state| state.break_download_after = Some(1));
    let mut sender = connect(&world).await;
    let call = Call::object("GET", "locked", "key");
    let request = signed(&call, &world.key);
    std::future::poll_fn(|cx| sender.poll_ready(cx))
        .await
        .expect("ready");
    let (answer, _) = sender.send_request(request, true).expect("sent");
    let mut body = answer.await.expect("an answer").into_body();
    let mut broken = false;
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                body.flow_control()
                    .release_capacity(piece.len())
                    .expect("in order");
            }
            Err(_reset) => {
                broken = true;
                break;
            }
        }
    }
    assert!(broken, "a broken download must not look whole");
}

#[tokio::test]
async fn a_connection_that_only_pings_is_closed_and_one_with_a_slow_request_is_not() {
    let idle = std::time::Duration::from_millis(300);
    let world = World::start_with(|config| (config.http2, config.idle) = (true, idle)).await;
    world.bucket("locked").await;
    world.put("locked", "key", &vec![7u8; 5_000_000]).await;
    let mut tls = (*world.tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let open = || async {
        let connection = Connection::open(world.address, Arc::new(tls.clone())).await;
        let stream = connection.expect("a connection").stream;
        h2::client::handshake(stream).await.expect("HTTP/2")
    };
    // Pings are answered until it is closed all the same.
    let (_sender, mut connection) = open().await;
    let mut pings = connection.ping_pong().expect("the first one");
    let ended = tokio::spawn(connection);
    let mut answered = 0;
    while answered < 500 && pings.ping(h2::Ping::opaque()).await.is_ok() {
        answered += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(
        (1..500).contains(&answered),
        "{answered} pings were answered"
    );
    drop(ended.await.expect("not cancelled"));
    // A download whose client takes a break for longer than that goes on.
    let (mut sender, connection) = open().await;
    tokio::spawn(connection);
    let got = send_after(&world, &mut sender, idle * 3).await;
    assert_eq!(got.len(), 5_000_000);
}

/// A download that is read only after a while.
async fn send_after(
    world: &World,
    sender: &mut SendRequest<Bytes>,
    pause: std::time::Duration,
) -> Vec<u8> {
    let call = Call::object("GET", "locked", "key");
    let request = signed(&call, &world.key);
    let (answer, _) = sender.send_request(request, true).expect("sent");
    let mut body = answer.await.expect("an answer").into_body();
    tokio::time::sleep(pause).await;
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        body.flow_control()
            .release_capacity(piece.len())
            .expect("in order");
        content.extend_from_slice(&piece);
    }
    content
}

#[tokio::test]
async fn a_request_is_for_one_host_over_http_2_too() {
    let world = World::start_with(|config| config.http2 = true).await;
    world.bucket("locked").await;
    let mut sender = connect(&world).await;
    for (host, status) in [(HOST, 200), ("other.example", 400)] {
        let mut request = signed(&Call::bucket("GET", "locked"), &world.key);
        let host = host.parse().expect("a value");
        request.headers_mut().insert("host", host);
        let (answer, _) = sender.send_request(request, true).expect("sent");
        assert_eq!(answer.await.expect("an answer").status(), status);
    }
}

/// Its streams make what one client can have the gateway hold many times as much.
#[tokio::test]
async fn a_gateway_that_is_not_told_to_speak_it_speaks_http_1_alone() {
    let world = World::start().await;
    let http1 = b"http/1.1".as_slice();
    let both = vec![b"h2".to_vec(), http1.to_vec()];
    let mut tls = (*world.tls).clone();
    tls.alpn_protocols = both;
    let connection = Connection::open(world.address, Arc::new(tls.clone())).await;
    let mut connection = connection.expect("a connection");
    assert_eq!(connection.stream.get_ref().1.alpn_protocol(), Some(http1));
    let wire = Call::bucket("GET", "").wire(&world.key, HOST);
    connection.send(&wire).await;
    let reply = connection.reply("GET").await.expect("an answer");
    assert_eq!(reply.status, 200);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    assert!(
        Connection::open(world.address, Arc::new(tls))
            .await
            .is_err()
    );
}
