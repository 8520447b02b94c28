//! Connections that never come to a request are closed; one whose request takes its time is not.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Call, Connection};
use crate::streamed;
use crate::world::{HOST, World};

/// A deadline that is over soon.
const SOON: Duration = Duration::from_millis(100);

/// What a gateway with the usual deadlines and one with short ones are sent.
struct Pair {
    usual: World,
    short: World,
}

impl Pair {
    /// Exactly one of the deadlines is short, so that no other can stand in for it.
    async fn handshake() -> Self {
        Self {
            usual: World::start().await,
            short: World::start_with(|config| config.handshake = SOON).await,
        }
    }

    async fn head() -> Self {
        Self {
            usual: World::start().await,
            short: World::start_with(|config| config.head = SOON).await,
        }
    }

    /// Bytes before TLS.
    async fn raw(&self, bytes: &[u8]) {
        let mut opened = Vec::new();
        for world in [&self.usual, &self.short] {
            let mut stream = TcpStream::connect(world.address).await.expect("connected");
            stream.write_all(bytes).await.expect("sent");
            opened.push(stream);
        }
        the_later_one_ends_first(opened).await;
    }

    /// Bytes over TLS.
    async fn over_tls(&self, bytes: &[u8]) {
        let mut opened = Vec::new();
        for world in [&self.usual, &self.short] {
            let mut connection = world.connect().await;
            connection.send(bytes).await;
            opened.push(connection.stream);
        }
        the_later_one_ends_first(opened).await;
    }
}

/// Of two connections, that with the short deadline is closed while the other, which was opened before it,
/// still is open. How long that takes does not matter.
async fn the_later_one_ends_first(mut opened: Vec<impl AsyncRead + Unpin>) {
    let mut short = opened.pop().expect("the second");
    let mut usual = opened.pop().expect("the first");
    tokio::select! {
        biased;
        () = end(&mut usual) => panic!("the usual deadline came first"),
        () = end(&mut short) => {}
    }
}

/// Until the far end closes.
async fn end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut said = Vec::new();
    // A reset is an end too.
    let _closed = stream.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/1.1 2"), "nothing was asked");
}

/// What a client of TLS says first.
fn hello(world: &World) -> Vec<u8> {
    let name = ServerName::try_from(HOST).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&world.tls), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory");
    bytes
}

#[tokio::test]
async fn whoever_says_nothing_is_cut_off() {
    Pair::handshake().await.raw(b"").await;
}

#[tokio::test]
async fn half_a_hello_is_cut_off() {
    let pair = Pair::handshake().await;
    let hello = hello(&pair.short);
    pair.raw(&hello[..hello.len() / 2]).await;
}

#[tokio::test]
async fn a_handshake_that_stops_after_the_hello_is_cut_off() {
    let pair = Pair::handshake().await;
    pair.raw(&hello(&pair.short)).await;
}

#[tokio::test]
async fn a_head_that_never_begins_is_cut_off() {
    Pair::head().await.over_tls(b"").await;
}

#[tokio::test]
async fn half_a_head_is_cut_off() {
    let pair = Pair::head().await;
    pair.over_tls(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-a")
        .await;
}

#[tokio::test]
async fn a_request_that_takes_its_time_is_not_cut_off() {
    let world = World::start_with(|config| (config.handshake, config.head) = (SOON, SOON)).await;
    let whole = Call::object("PUT", "locked", "key").body(streamed());
    let wire = whole.wire(&world.key, HOST);
    let (first, last) = wire.split_at(wire.len() - 3);
    let mut connection = begun(&world, first).await;
    for byte in last {
        tokio::time::sleep(SOON).await;
        connection.send(&[*byte]).await;
    }
    let reply = connection.reply("PUT").await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(world.engine.object("locked", "key").is_some());
}

/// A connection on which an upload runs. A busy machine may need longer than the deadlines to come this far;
/// then it is tried again.
async fn begun(world: &World, first: &[u8]) -> Connection {
    let mut made = false;
    for _ in 0..100 {
        if !made {
            let call =
                Call::bucket("PUT", "locked").header("x-amz-bucket-object-lock-enabled", "true");
            made = matches!(answered(world, &call).await, Some(200 | 409));
            continue;
        }
        let Ok(mut connection) = Connection::open(world.address, Arc::clone(&world.tls)).await
        else {
            continue;
        };
        connection.send(first).await;
        tokio::select! {
            () = end(&mut connection.stream) => {}
            () = world.until("the upload began", |world| !world.engine.with(|state| state.idle())) => {
                return connection;
            }
        }
    }
    panic!("no upload ever began");
}

async fn answered(world: &World, call: &Call) -> Option<u16> {
    let opened = Connection::open(world.address, Arc::clone(&world.tls)).await;
    let mut connection = opened.ok()?;
    connection.send(&call.wire(&world.key, HOST)).await;
    let reply = connection.reply(&call.method).await?;
    Some(reply.status)
}
