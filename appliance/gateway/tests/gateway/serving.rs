//! The listener itself: TLS, connections, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stele_gateway::tls::{Tls, TlsFault};
use stele_gateway::{EngineLink, Gateway, GatewayConfig, GatewayError, Slabs};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::client::{Call, Connection};
use crate::streamed;
use crate::world::{HOST, World, certificate, trusting};

fn config(
    listen: SocketAddr,
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
) -> (SocketAddr, GatewayConfig) {
    (
        listen,
        GatewayConfig::new(Tls::new(chain, &key), Slabs::new(1, 1)),
    )
}

fn bind((listen, config): (SocketAddr, GatewayConfig)) -> Result<Gateway, GatewayError> {
    let listener = stele_gateway::listen(listen)?;
    Gateway::over(listener, config, EngineLink::new(mpsc::channel(1).0))
}

#[test]
fn a_gateway_that_cannot_start_says_why() {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let (certificate, key) = certificate();
    let first = bind(config(anywhere, vec![certificate.clone()], key.clone())).expect("free");
    let busy = bind(config(
        first.local_addr(),
        vec![certificate.clone()],
        key.clone(),
    ));
    assert!(matches!(busy, Err(GatewayError::PortBusy { .. })));
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let elsewhere = bind(config(nowhere, vec![certificate.clone()], key.clone()));
    assert!(matches!(elsewhere, Err(GatewayError::Listen { .. })));
    let (_, other_key) = self::certificate();
    let mismatch = bind(config(anywhere, vec![certificate.clone()], other_key));
    assert!(matches!(
        mismatch,
        Err(GatewayError::Tls(TlsFault::OtherKey))
    ));
    let garbage = bind(config(anywhere, vec![vec![1, 2, 3]], key.clone()));
    assert!(matches!(
        garbage,
        Err(GatewayError::Tls(TlsFault::Certificate(_)))
    ));
    let none = bind(config(anywhere, Vec::new(), key));
    assert!(matches!(none, Err(GatewayError::Tls(_))));
    let no_key = bind(config(anywhere, vec![certificate], Zeroizing::new(vec![0])));
    assert!(matches!(no_key, Err(GatewayError::Tls(TlsFault::Key(_)))));
}

#[tokio::test]
async fn only_tls_1_3_is_spoken() {
    let world = World::start().await;
    let old = trusting(&world.certificate, &[&rustls::version::TLS12]);
    let new = trusting(&world.certificate, &[&rustls::version::TLS13]);
    assert!(
        Connection::open(world.address, Arc::new(old))
            .await
            .is_err()
    );
    let connection = Connection::open(world.address, Arc::new(new))
        .await
        .expect("TLS 1.3");
    let version = connection.stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
    // Plain HTTP gets nothing but an end.
    let mut plain = tokio::net::TcpStream::connect(world.address)
        .await
        .expect("a connection");
    plain
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    world.call(Call::bucket("GET", "")).await.expect(200);
}

#[tokio::test]
async fn a_connection_serves_many_requests_also_after_refusals() {
    let world = World::start().await;
    world.bucket("locked").await;
    let mut connection = world.connect().await;
    let good = Call::object("PUT", "locked", "key").body("content");
    let bad = good
        .clone()
        .header("content-md5", &crate::md5_base64(b"other"));
    let unknown = Call::object("PUT", "nothere", "key").body(vec![0u8; 300_000]);
    for (call, status) in [(&good, 200), (&bad, 400), (&unknown, 404), (&good, 200)] {
        connection.send(&call.wire(&world.key, HOST)).await;
        let reply = connection.reply("PUT").await.expect("an answer");
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[tokio::test]
async fn a_refusal_comes_before_a_long_body_is_sent() {
    let world = World::start().await;
    let call = Call::object("PUT", "nothere", "key")
        .payload("UNSIGNED-PAYLOAD")
        .header("content-md5", &crate::md5_base64(b"x"))
        .header("content-length", "1000000000")
        .header("expect", "100-continue");
    let mut connection = world.connect().await;
    connection.send(&call.wire(&world.key, HOST)).await;
    let reply = connection.reply("PUT").await.expect("an answer");
    reply.refused(404, "NoSuchBucket");

    // Short content is asked for before its bucket is; the connection goes on either way.
    world.bucket("locked").await;
    let mut connection = world.connect().await;
    for (bucket, status) in [("nothere", 404), ("locked", 200)] {
        let call = Call::object("PUT", bucket, "key")
            .header("expect", "100-continue")
            .body("x");
        let wire = call.wire(&world.key, HOST);
        connection.send(&wire[..wire.len() - 1]).await;
        let go_on = connection.reply("PUT").await.expect("an answer");
        assert_eq!(go_on.status, 100, "{bucket}");
        connection.send(b"x").await;
        let reply = connection.reply("PUT").await.expect("an answer");
        assert_eq!(reply.status, status, "{bucket}: {}", reply.text());
    }
}

#[tokio::test]
async fn connections_are_counted_in_all_and_for_one_address() {
    let all = World::start_with(|config| config.connections_max = 1).await;
    let one_address = World::start_with(|config| config.connections_per_source_max = 1).await;
    for world in [all, one_address] {
        let mut first = world.connect().await;
        let call = Call::bucket("GET", "").wire(&world.key, HOST);
        first.send(&call).await;
        assert_eq!(first.reply("GET").await.expect("an answer").status, 200);
        let second = Connection::open(world.address, Arc::clone(&world.tls)).await;
        assert!(second.is_err(), "the second connection is closed at once");
        first.send(&call).await;
        assert_eq!(first.reply("GET").await.expect("an answer").status, 200);
        drop(first);
        let mut second = None;
        for _ in 0..1000 {
            second = Connection::open(world.address, Arc::clone(&world.tls))
                .await
                .ok();
            if second.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut second = second.expect("the place of the first came back");
        second.send(&call).await;
        assert_eq!(second.reply("GET").await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let world = World::start().await;
    let large = Call::bucket("GET", "").header("user-agent", &"v".repeat(40_000));
    world
        .call(large)
        .await
        .refused(400, "RequestHeaderSectionTooLarge");
    let huge = Call::bucket("GET", "").header("user-agent", &"v".repeat(400_000));
    let mut connection = world.connect().await;
    connection.send(&huge.wire(&world.key, HOST)).await;
    let reply = connection.reply("GET").await;
    let status = reply.map(|reply| reply.status);
    assert!(matches!(status, None | Some(400 | 431)), "{status:?}");
}

#[tokio::test]
async fn stopping_lets_running_requests_finish() {
    let mut world = World::start().await;
    world.bucket("locked").await;
    let wire = Call::object("PUT", "locked", "key")
        .body(streamed())
        .wire(&world.key, HOST);
    let mut busy = world.connect().await;
    busy.send(&wire[..wire.len() - 3]).await;
    world
        .until("the upload began", |world| {
            !world.engine.with(|state| state.idle())
        })
        .await;
    world.begin_stop();
    let (address, tls) = (world.address, Arc::clone(&world.tls));
    let refused = async { while Connection::open(address, Arc::clone(&tls)).await.is_ok() {} };
    refused.await;
    busy.send(&wire[wire.len() - 3..]).await;
    assert_eq!(busy.reply("PUT").await.expect("an answer").status, 200);
    let engine = world.engine.clone();
    world.stop().await.expect("stopped");
    assert!(engine.object("locked", "key").is_some());
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_finish() {
    let world = World::start_with(|config| config.drain = Duration::from_millis(50)).await;
    world.bucket("locked").await;
    let wire = Call::object("PUT", "locked", "key")
        .body(streamed())
        .wire(&world.key, HOST);
    let mut stuck = world.connect().await;
    stuck.send(&wire[..wire.len() - 3]).await;
    world
        .until("the upload began", |world| {
            !world.engine.with(|state| state.idle())
        })
        .await;
    let engine = world.engine.clone();
    world.stop().await.expect("stopped");
    for _ in 0..1000 {
        if engine.with(|state| state.idle()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(engine.with(|state| state.idle()));
    assert!(engine.object("locked", "key").is_none());
}
