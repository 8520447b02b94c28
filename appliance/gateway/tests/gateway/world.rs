//! A real gateway on loopback with the test engine behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use stele_gateway::tls::Tls;
use stele_gateway::{Clients, EngineLink, Gateway, GatewayConfig, GatewayError, SlabPool, Slabs};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::client::{Call, Connection, Reply};
use crate::engine::Engine;
use crate::sign::Key;

/// Host header of all requests.
pub const HOST: &str = "localhost";
/// Slabs for uploads.
pub const SLABS: usize = 4;
/// Slabs for downloads.
const DOWNLOAD_SLABS: usize = 16;

/// Everything a test needs.
pub struct World {
    pub address: SocketAddr,
    pub engine: Engine,
    pub slabs: SlabPool,
    pub downloads: SlabPool,
    pub clients: Clients,
    pub key: Key,
    pub tls: Arc<ClientConfig>,
    pub certificate: Vec<u8>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), GatewayError>>,
}

/// A certificate and its key, DER.
pub fn certificate() -> (Vec<u8>, Zeroizing<Vec<u8>>) {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    (
        cert.der().to_vec(),
        Zeroizing::new(signing_key.serialize_der()),
    )
}

/// A client configuration that trusts one certificate.
pub fn trusting(
    certificate: &[u8],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(certificate.to_vec()))
        .expect("a certificate");
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let (certificate, private_key) = certificate();
        let tls = Arc::new(trusting(&certificate, &[&rustls::version::TLS13]));
        let key = Key {
            id: "CLIENT1".to_owned(),
            secret: "a secret".to_owned(),
        };
        let clients = Clients::new();
        clients.insert(key.id.clone(), Zeroizing::new(key.secret.clone()));
        let memory = Slabs::new(SLABS, DOWNLOAD_SLABS);
        let (slabs, downloads) = (memory.uploads.clone(), memory.downloads.clone());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config =
            GatewayConfig::new(Tls::new(vec![certificate.clone()], &private_key), memory);
        change(&mut config);
        let port = stele_gateway::listen(listen).expect("a free port");
        let (sender, questions) = mpsc::channel(16);
        let engine = Engine::default();
        tokio::spawn(engine.clone().run(questions, clients.clone()));
        let gateway = Gateway::over(port, config, EngineLink::new(sender)).expect("a gateway");
        let address = gateway.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(gateway.serve(async move {
            let _either = stopped.await;
        }));
        Self {
            address,
            engine,
            slabs,
            downloads,
            clients,
            key,
            tls,
            certificate,
            stop: Some(stop),
            serving,
        }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address, Arc::clone(&self.tls))
            .await
            .expect("a connection")
    }

    /// Sends prepared bytes on a new connection.
    pub async fn raw(&self, method: &str, bytes: &[u8]) -> Reply {
        let mut connection = self.connect().await;
        connection.send(bytes).await;
        connection.reply(method).await.expect("an answer")
    }

    /// Signs and sends a call on a new connection.
    pub async fn call(&self, call: Call) -> Reply {
        self.raw(&call.method, &call.wire(&self.key, HOST)).await
    }

    /// A bucket: with lock if the name does not begin with `plain`.
    pub async fn bucket(&self, name: &str) {
        let mut call = Call::bucket("PUT", name);
        if !name.starts_with("plain") && !name.starts_with("default") {
            call = call.header("x-amz-bucket-object-lock-enabled", "true");
        }
        self.call(call).await.expect(200);
    }

    /// Stores a small object and returns its version.
    pub async fn put(&self, bucket: &str, key: &str, content: &[u8]) -> String {
        let reply = self
            .call(Call::object("PUT", bucket, key).body(content))
            .await
            .expect(200);
        reply
            .header("x-amz-version-id")
            .unwrap_or_default()
            .to_owned()
    }

    /// Asks the gateway to stop and waits for it.
    pub async fn stop(mut self) -> Result<(), GatewayError> {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
        (&mut self.serving).await.expect("no panic")
    }

    /// Asks the gateway to stop without waiting.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
    }

    /// Waits until a condition holds, for a bounded time.
    pub async fn until(&self, what: &str, condition: impl Fn(&World) -> bool) {
        for _ in 0..12_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never happened that {what}");
    }
}
