//! A door with nothing behind it: TLS 1.3, a thread for each connection, requests read to their end and answered at once.
//!
//! It checks no signature and stores nothing. What a client waits for here, it waits for at any server on the same cores.

use super::objects::{BUCKET, SMALL_BYTES, SMALL_OPERATIONS, at_once, latencies};
use crate::failure::{Failure, Outcome};
use crate::rng::Rng;
use crate::s3::{Client, Credentials, Endpoint, sha256_hex};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::Scope;
use std::time::{Duration, Instant};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Median and 99th percentile, in milliseconds, of PUTs of 4 KiB by so many clients at once.
pub fn small_puts(scratch: &Path, streams: u64) -> Outcome<(f64, f64)> {
    let bundle = scratch.join("bare.pem");
    let config = certificate(&bundle)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let credentials = Credentials {
        access: "bare".to_owned(),
        secret: "bare".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let port = listener.local_addr()?.port();
    let endpoint = Arc::new(Endpoint::on_port(port, credentials, Some(&bundle))?);
    std::thread::scope(|threads| {
        let mut clients = Vec::new();
        for _ in 0..streams {
            let mut client = Client::new(&endpoint);
            let door = threads.spawn(|| listener.accept());
            // Connection and TLS handshake are not part of the figure.
            let ask = threads.spawn(move || client.ask(BUCKET, &[]).map(|_| client));
            let (socket, _) = door.join().map_err(|_| panicked())??;
            serve(threads, Arc::clone(&config), socket);
            clients.push(ask.join().map_err(|_| panicked())??);
        }
        Ok(latencies(&mut at_once(clients, stream)?))
    })
}

pub fn panicked() -> Failure {
    Failure::new("a thread panicked")
}

/// A certificate for `localhost`, which is left at this path, and what a server needs of it.
pub fn certificate(bundle: &Path) -> Outcome<Arc<ServerConfig>> {
    let bad = |error: &dyn std::fmt::Display| Failure::new(format!("no certificate: {error}"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(|error| bad(&error))?;
    std::fs::write(bundle, made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| bad(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| bad(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|error| bad(&error))?;
    Ok(Arc::new(config))
}

/// Answers one connection until its client leaves.
fn serve<'scope>(threads: &'scope Scope<'scope, '_>, config: Arc<ServerConfig>, socket: TcpStream) {
    threads.spawn(move || {
        // A connection that ends is no failure here; a client that waits for an answer would tell.
        drop(answers(config, socket));
    });
}

fn answers(config: Arc<ServerConfig>, socket: TcpStream) -> Outcome {
    socket.set_nodelay(true)?;
    let session = ServerConnection::new(config).map_err(|e| Failure::new(e.to_string()))?;
    let mut stream = StreamOwned::new(session, socket);
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        while request_bytes(&buffer[..filled]).is_none_or(|bytes| bytes > filled) {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
        }
        // A client asks again only when it has its answer.
        filled = 0;
        stream.write_all(ANSWER)?;
        stream.flush()?;
    }
}

/// Bytes of a request, once its head is whole.
fn request_bytes(bytes: &[u8]) -> Option<usize> {
    let head = bytes
        .windows(HEAD_END.len())
        .position(|at| at == HEAD_END)?
        + HEAD_END.len();
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    });
    Some(head + length.unwrap_or(0_usize))
}

/// One client: so many objects, each as soon as the last was answered.
fn stream(mut client: Client) -> Outcome<Vec<Duration>> {
    let body = Rng::new(1).bytes(SMALL_BYTES);
    let digest = sha256_hex(&body);
    let mut times = Vec::new();
    for number in 0..SMALL_OPERATIONS {
        let one = Instant::now();
        let answer = client.put(BUCKET, &format!("small-{number}"), &body, Some(&digest))?;
        times.push(one.elapsed());
        answer.expect(200)?;
    }
    Ok(times)
}
