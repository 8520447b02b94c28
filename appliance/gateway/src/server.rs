//! The listener: connections in, requests to the front, a bounded stop.
//!
//! Invariants: at most `connections_max` connections are open, and a share of them of one address; connections
//! without a signed request keep out no others; each handshake, each request head, each pause in a body and each answer
//! that its client does not take has a deadline; after `serve` returns no connection is open any more.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::front::Front;
use crate::guard::host::Domains;
use crate::idle::Activity;
use crate::limits::{
    ANSWER_WINDOW_MS, CONNECTIONS_FEW, CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX, DOMAINS,
    DRAIN_MS, H1_BUFFER_BYTES, H2_CONNECTION_WINDOW_BYTES, H2_IDLE_MS_MAX, H2_STREAM_WINDOW_BYTES,
    H2_STREAMS_MAX, HANDSHAKE_MS_MAX, HEAD_BYTES_MAX, HEAD_MS_MAX, HEADERS_MAX, SEALED_BYTES_MAX,
    SILENCE_MS_MAX, UPLOAD_WHOLE_COUNT_MAX, XML_BODY_BYTES_MAX,
};
use crate::link::EngineLink;
use crate::places::{Place, Places, Visitor};
use crate::sent::Answers;
use crate::service::Service;
use crate::slab::Slabs;
use crate::stream::Paced;
use crate::tls::{ALPN_H2, Shown, Tls, TlsFault};

/// What a gateway needs to know.
pub struct GatewayConfig {
    /// How TLS is spoken.
    pub tls: Tls,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
    /// The region buckets are said to be in; clients may sign for any.
    pub region: String,
    /// Names under which the vault is reached; in front of them, a bucket may stand.
    pub domains: Vec<String>,
    /// Memory for content.
    pub slabs: Slabs,
    /// Connections served at once.
    pub connections_max: usize,
    /// Connections of one address served at once.
    pub connections_per_source_max: usize,
    /// Time after the stop signal in which running requests may finish.
    pub drain: Duration,
    /// Time after which an HTTP/2 connection without a request is closed.
    pub idle: Duration,
    /// Time in which a TLS handshake must be over.
    pub handshake: Duration,
    /// Time in which a request head must arrive.
    pub head: Duration,
    /// Time in which a client must take a little of each answer that is there for it.
    pub taken: Duration,
    /// Short contents at once that are read before the engine hears of them; more go the way of long ones.
    pub wholes_max: usize,
    /// After so long without an answer to a copy its answer begins, and goes on as often.
    pub silence: Duration,
}

impl GatewayConfig {
    /// A configuration with the usual limits.
    #[must_use]
    pub fn new(tls: Tls, slabs: Slabs) -> Self {
        Self {
            tls,
            http2: false,
            region: "us-east-1".to_owned(),
            domains: DOMAINS.map(str::to_owned).to_vec(),
            slabs,
            connections_max: CONNECTIONS_MAX,
            connections_per_source_max: CONNECTIONS_PER_SOURCE_MAX,
            drain: Duration::from_millis(DRAIN_MS),
            idle: Duration::from_millis(H2_IDLE_MS_MAX),
            handshake: Duration::from_millis(HANDSHAKE_MS_MAX),
            head: Duration::from_millis(HEAD_MS_MAX),
            taken: Duration::from_millis(ANSWER_WINDOW_MS),
            wholes_max: UPLOAD_WHOLE_COUNT_MAX,
            silence: Duration::from_millis(SILENCE_MS_MAX),
        }
    }
}

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Somebody else listens there.
    #[error("{address} is in use by another program")]
    PortBusy {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS cannot be spoken so.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// No asynchronous runtime to serve on.
    #[error("the listener cannot be used: {0}")]
    Runtime(io::Error),
}

/// A gateway that holds its port and is ready to serve.
pub struct Gateway {
    listener: StdListener,
    address: SocketAddr,
    tls: Shown,
    front: Arc<Front>,
    places: Places,
    drain: Duration,
    deadlines: Deadlines,
}

/// How long one connection may take for what.
#[derive(Clone, Copy)]
struct Deadlines {
    handshake: Duration,
    head: Duration,
    idle: Duration,
    taken: Duration,
}

impl Gateway {
    /// A gateway on an open port. Connections wait in the system's queue until `serve` runs.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub fn over(
        listener: StdListener,
        config: GatewayConfig,
        link: EngineLink,
    ) -> Result<Self, GatewayError> {
        let tls = Shown::new(&config.tls, config.http2)?;
        listener
            .set_nonblocking(true)
            .map_err(GatewayError::Runtime)?;
        let address = listener.local_addr().map_err(GatewayError::Runtime)?;

        let mut limits = S3Config::default();
        limits.xml_max_body_size = XML_BODY_BYTES_MAX;
        let service = Service::new(config.slabs, config.region, config.wholes_max);
        let mut builder = S3ServiceBuilder::new(service);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
        Ok(Self {
            listener,
            address,
            tls,
            front: Arc::new(Front::new(
                builder.build(),
                link,
                Domains::new(config.domains),
                config.silence,
            )),
            places: Places::new(config.connections_max, config.connections_per_source_max),
            drain: config.drain,
            deadlines: Deadlines {
                handshake: config.handshake,
                head: config.head,
                idle: config.idle,
                taken: config.taken,
            },
        })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What new connections are shown, to be replaced while it serves.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.tls.clone()
    }

    /// Serves until `shutdown` is ready, then stops accepting, lets running requests finish for a
    /// bounded time and cuts off the rest.
    ///
    /// # Errors
    /// `Runtime` if it is not called on a runtime with I/O.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), GatewayError> {
        let listener = TcpListener::from_std(self.listener).map_err(GatewayError::Runtime)?;
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&listener, &self.places) => accepted,
            };
            while connections.try_join_next().is_some() {}
            let (stream, place) = accepted;
            let connection = Connection {
                front: Arc::clone(&self.front),
                acceptor: TlsAcceptor::from(self.tls.now()),
                watcher: graceful.watcher(),
                deadlines: self.deadlines,
            };
            connections.spawn(connection.run(stream, place));
        }
        drop(listener);
        if timeout(self.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still running at the end of the drain time; cut off");
        }
        connections.shutdown().await;
        Ok(())
    }
}

/// Lets the cryptographic library look around in the machine, which it does once, when it is first
/// used. To be called before a process gives up its access to files.
///
/// # Errors
/// `Runtime` when there is no randomness.
pub fn prepare() -> Result<(), GatewayError> {
    let mut drawn = [0; 32];
    aws_lc_rs::rand::fill(&mut drawn).map_err(|_| {
        let error = io::Error::other("the system gives no random bytes");
        GatewayError::Runtime(error)
    })
}

/// Takes a port; port 0 picks a free one. Nothing is served before a gateway is put on it.
///
/// # Errors
/// `PortBusy` or `Listen`.
pub fn listen(address: SocketAddr) -> Result<StdListener, GatewayError> {
    StdListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => GatewayError::PortBusy { address },
        _ => GatewayError::Listen { address, source },
    })
}

async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, Place) {
    let mut failures: u64 = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures = 0;
                // Where clients have all places the connection is closed at once: one that waited
                // for them would keep those behind it waiting too.
                if let Some(place) = places.take(peer.ip().to_canonical()).await {
                    return (stream, place);
                }
            }
            Err(error) => {
                // Out of descriptors, or the peer left already: neither ends the listener. What lasts is told ever
                // more rarely.
                failures += 1;
                if failures.is_power_of_two() {
                    tracing::warn!(%error, failures, "a connection could not be accepted");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection and what it needs.
struct Connection {
    front: Arc<Front>,
    acceptor: TlsAcceptor,
    watcher: Watcher,
    deadlines: Deadlines,
}

impl Connection {
    async fn run(self, stream: TcpStream, place: Place) {
        let visitor = place.visitor();
        let sealed_max = match place.among() <= CONNECTIONS_FEW {
            true => SEALED_BYTES_MAX,
            false => SEALED_BYTES_MAX / 4,
        };
        tokio::select! {
            () = place.wanted() => tracing::debug!("a connection without a signed request made room"),
            () = self.serve(stream, visitor, sealed_max) => {}
        }
    }

    async fn serve(self, stream: TcpStream, visitor: Arc<Visitor>, sealed_max: usize) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let stream = Paced::new(stream);
        let Deadlines {
            handshake,
            head,
            idle,
            taken,
        } = self.deadlines;
        let mut stream = match timeout(handshake, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                return;
            }
            Err(_elapsed) => return,
        };
        stream.get_mut().1.set_buffer_limit(Some(sealed_max));
        let h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
        let builder = http(h2, head);
        let front = self.front;
        let activity = Activity::new();
        let answers = Answers::default();
        let (running, given) = (activity.clone(), answers.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (running, given) = (running.begin(), given.clone());
            let answer = Arc::clone(&front).handle(request, Arc::clone(&visitor));
            async move { answer.await.map(|response| given.sent(response, running)) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            ended = self.watcher.watch(connection) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended early");
                }
            }
            // No request runs, so nothing is cut off.
            () = activity.quiet(idle), if h2 => {}
            // Over HTTP/2 nothing else ends what one answer holds.
            () = answers.stalled(taken) => {
                tracing::debug!("a client took too little of an answer; cut off");
            }
        }
    }
}

pub(crate) fn http(h2: bool, head: Duration) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if h2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(HEADERS_MAX + 16)
        .max_buf_size(H1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(head)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX * 2).unwrap_or(u32::MAX));
    builder
}
