//! A flood of connections without a key, from two addresses that can take all places together.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::client::{Call, Connection};
use crate::sign::Key;
use crate::streamed;
use crate::world::{HOST, World};

const PLACES: usize = 24;
const PLACES_PER_SOURCE: usize = 18;
/// An address of nobody else.
const QUIET: [u8; 4] = [127, 0, 0, 1];
/// Where the flood comes from, and perhaps a client too.
const FLOODING: [[u8; 4]; 2] = [[127, 0, 0, 2], [127, 0, 0, 3]];

async fn few_places() -> World {
    let world = World::start_with(|config| {
        config.connections_max = PLACES;
        config.connections_per_source_max = PLACES_PER_SOURCE;
    })
    .await;
    world.bucket("locked").await;
    world
}

async fn connect(world: &World, source: [u8; 4]) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(source), 0))?;
    socket.connect(world.address).await
}

/// A client on a connection of its own.
async fn client(world: &World, source: [u8; 4]) -> std::io::Result<Connection> {
    let stream = connect(world, source).await?;
    Connection::over(stream, Arc::clone(&world.tls)).await
}

async fn served(world: &World, connection: &mut Connection) -> Option<u16> {
    let call = Call::bucket("GET", "").wire(&world.key, HOST);
    connection.send(&call).await;
    connection.reply("GET").await.map(|reply| reply.status)
}

/// A connection of the flood.
enum Held {
    Bare(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Held {
    /// As far as one without a key comes: nothing, the beginning of TLS, the beginning of a head, a request that
    /// nobody signed, and one under a wrong signature.
    async fn open(world: &World, source: [u8; 4], kind: usize) -> std::io::Result<Held> {
        let mut bare = connect(world, source).await?;
        let wrong = Key {
            id: world.key.id.clone(),
            secret: "guessed".to_owned(),
        };
        let call = Call::bucket("GET", "");
        let said = match kind % 5 {
            0 => return Ok(Held::Bare(bare)),
            1 => {
                bare.write_all(b"\x16\x03\x01\x02").await?;
                return Ok(Held::Bare(bare));
            }
            2 => b"GET / HTTP/1.1\r\nhost: loc".to_vec(),
            3 => call.anonymous(HOST),
            _ => call.wire(&wrong, HOST),
        };
        let mut connection = Connection::over(bare, Arc::clone(&world.tls)).await?;
        connection.stream.write_all(&said).await?;
        connection.stream.flush().await?;
        if kind % 5 > 2 {
            let reply = connection.reply("GET").await;
            assert!(reply.is_none_or(|reply| reply.status == 403));
        }
        Ok(Held::Tls(Box::new(connection.stream)))
    }

    /// Until the gateway closes it.
    async fn closed(self) {
        let mut said = Vec::new();
        match self {
            Held::Bare(mut stream) => stream.read_to_end(&mut said).await.ok(),
            Held::Tls(mut stream) => stream.read_to_end(&mut said).await.ok(),
        };
    }
}

/// More connections than there are places, of both addresses. All were accepted when this ends.
async fn wave(world: &World) -> Vec<Held> {
    let mut held = Vec::new();
    // The last ones go through TLS, so that those before them were accepted too.
    for number in 0..PLACES * 5 {
        for source in FLOODING {
            let opened = Held::open(world, source, number).await;
            held.push(opened.expect("every new one gets in"));
        }
    }
    held
}

#[tokio::test]
async fn whoever_takes_all_places_without_a_key_keeps_no_client_out() {
    let world = few_places().await;
    let first = wave(&world).await;
    let mut clients = Vec::new();
    for source in [QUIET, FLOODING[0], FLOODING[1]] {
        let mut connection = client(&world, source).await.expect("a place");
        assert_eq!(served(&world, &mut connection).await, Some(200));
        clients.push(connection);
    }
    let mut uploading = client(&world, FLOODING[0]).await.expect("a place");
    let upload = Call::object("PUT", "locked", "key").body(streamed());
    let upload = upload.wire(&world.key, HOST);
    let (begun, rest) = upload.split_at(upload.len() - 3);
    uploading.send(begun).await;
    let running = |world: &World| !world.engine.with(|state| state.idle());
    world.until("the upload began", running).await;

    let second = wave(&world).await;
    for connection in &mut clients {
        let status = served(&world, connection).await;
        assert_eq!(status, Some(200), "what has signed keeps its place");
    }
    uploading.send(rest).await;
    let stored = uploading.reply("PUT").await.expect("an answer");
    assert_eq!(stored.status, 200, "{}", stored.text());
    for held in first {
        held.closed().await;
    }
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_at_another_address_gets_in_at_once_while_the_flood_goes_on() {
    let world = Arc::new(few_places().await);
    let over = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let floods = FLOODING.map(|source| {
        let (world, over, opened) = (Arc::clone(&world), Arc::clone(&over), Arc::clone(&opened));
        tokio::spawn(async move {
            let mut held = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let kind = opened.fetch_add(1, Ordering::Relaxed);
                // One that has to make room before it is through is no loss to a flood.
                held.extend(Held::open(&world, source, kind).await.ok());
                if held.len() > PLACES {
                    held.remove(0);
                }
            }
        })
    });
    let full = |_: &World| opened.load(Ordering::Relaxed) > 2 * PLACES;
    world.until("all places were taken", full).await;
    for number in 0..50 {
        let mut connection = client(&world, QUIET).await.expect("a place");
        let status = served(&world, &mut connection).await;
        assert_eq!(status, Some(200), "client {number}");
    }
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.expect("no panic");
    }
}
