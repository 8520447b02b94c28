//! `cargo xtask bench slow-sockets`: what thousands of connections that do next to nothing cost an honest client.
//!
//! A quarter of them sends nothing at all, a quarter a TLS handshake only, a quarter the beginning of a request's
//! head, a quarter the beginning of the head of a PUT; those that began go on by one byte a second.

use super::objects::latencies;
use crate::failure::{Failure, Outcome, ensure};
use crate::s3::{Client, Connection};
use crate::server::Server;
use crate::workspace::Workspace;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BUCKET: &str = "slow-sockets";
const BODY_BYTES: usize = 4096;
/// Files this process needs beside the sockets.
const OTHER_FILES: u64 = 64;
const DRIP_PAUSE: Duration = Duration::from_secs(1);
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ";
const PUT_HEAD: &[u8] =
    b"PUT /slow-sockets/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
                          Authorization: AWS4-HMAC-SHA256 Credential=X";

/// What to measure.
#[derive(clap::Args)]
pub struct Wishes {
    /// Connections that do next to nothing.
    #[arg(long, default_value_t = 2000)]
    sockets: usize,
    /// Objects of 4 KiB that the honest client stores each time.
    #[arg(long, default_value_t = 400)]
    puts: usize,
}

/// A slow connection.
enum Slow {
    Silent(#[expect(dead_code, reason = "held open")] TcpStream),
    Begun(Box<Connection>),
}

/// Measures and prints.
pub fn run(workspace: &Workspace, wishes: &Wishes) -> Outcome {
    if cfg!(debug_assertions) {
        let (sockets, puts) = (wishes.sockets.to_string(), wishes.puts.to_string());
        let words = ["slow-sockets", "--sockets", &sockets, "--puts", &puts];
        return super::optimised(workspace, &words);
    }
    allow(wishes.sockets)?;
    let programs = workspace.build()?;
    let scratch = workspace.scratch("slow-sockets")?;
    let server = Server::start(&programs.stele, &scratch.join("vault"))?;
    let mut client = server.client();
    client.create_bucket(BUCKET, false)?.expect(200)?;
    honest(&mut client, wishes.puts / 4)?;
    say("before", honest(&mut client, wishes.puts)?);
    let (mut held, refused) = slow(&server, wishes.sockets);
    println!(
        "{} slow connections are open, {refused} were refused",
        held.len()
    );
    let stop = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        let dripper = scope.spawn(|| drip(&mut held, &stop));
        let during = honest(&mut client, wishes.puts);
        stop.store(true, Ordering::Release);
        dripper.thread().unpark();
        during
    });
    say("with them", during?);
    println!("gateway's process: at most {} MiB", gateway_mib(&server)?);
    drop(held);
    say("after", honest(&mut client, wishes.puts)?);
    server.stop().map(drop)
}

fn say(when: &str, (median, slowest): (f64, f64)) {
    println!("PUT of 4 KiB {when}: p50 {median:.1} ms, p99 {slowest:.1} ms");
}

/// Lets this process have that many sockets.
fn allow(sockets: usize) -> Outcome {
    let failed = |error| Failure::new(format!("cannot open so many sockets: {error}"));
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let wanted = u64::try_from(sockets)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_FILES);
    ensure(wanted <= most, || {
        format!("at most {most} files may be open here")
    })?;
    setrlimit(Resource::RLIMIT_NOFILE, wanted.max(now), most).map_err(failed)
}

/// Median and 99th percentile, milliseconds.
fn honest(client: &mut Client, puts: usize) -> Outcome<(f64, f64)> {
    let body = vec![b'x'; BODY_BYTES];
    let mut times = Vec::with_capacity(puts);
    for number in 0..puts {
        let began = Instant::now();
        let stored = client.put(BUCKET, &format!("k{number}"), &body, None)?;
        times.push(began.elapsed());
        stored.expect(200)?;
    }
    Ok(latencies(&mut times))
}

/// Opens them, a quarter of each kind, and says how many were refused.
fn slow(server: &Server, count: usize) -> (Vec<Slow>, usize) {
    let open = |number: usize| -> Option<Slow> {
        if number.is_multiple_of(4) {
            return server.endpoint.silent().ok().map(Slow::Silent);
        }
        let mut connection = server.endpoint.connect().ok()?;
        let beginning: &[u8] = match number % 4 {
            1 => b"",
            2 => HEAD,
            _ => PUT_HEAD,
        };
        connection.begin(beginning).ok()?;
        Some(Slow::Begun(Box::new(connection)))
    };
    let held: Vec<Slow> = (0..count).filter_map(open).collect();
    let refused = count - held.len();
    (held, refused)
}

/// One byte each, again and again. What the server has closed is passed over.
fn drip(held: &mut [Slow], stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        for slow in &mut *held {
            if let Slow::Begun(connection) = slow {
                connection.begin(b"a").ok();
            }
        }
        std::thread::park_timeout(DRIP_PAUSE);
    }
}

/// The most memory the gateway's process ever had.
fn gateway_mib(server: &Server) -> Outcome<u64> {
    let Some(process) = server.gateway()? else {
        return Err(Failure::new("the vault has no gateway"));
    };
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.unwrap_or(0) / 1024)
}
