//! `stele tls`: certificates put in while the vault is served, certificates of clients, and TLS 1.2.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use common::{Place, Server, refuse, succeed, text};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An authority of a test, and what it issued.
struct Authority {
    der: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let params = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params().self_signed(&key).expect("signed");
        Authority {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params(), key),
        }
    }

    fn issue(&self) -> (CertificateDer<'static>, String, KeyPair) {
        self.issue_for("localhost")
    }

    fn issue_for(&self, name: &str) -> (CertificateDer<'static>, String, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.der().clone(), certificate.pem(), key)
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Who connects, and how.
#[derive(Clone, Copy)]
struct Caller<'a> {
    trusts: &'a CertificateDer<'static>,
    shows: Option<&'a Authority>,
    tls12: bool,
}

impl Caller<'_> {
    /// The status of an unsigned request: 403 shows that TLS was spoken.
    fn asks(self, address: SocketAddr) -> Result<u16, String> {
        let mut stream = self.connects(address)?;
        ask(&mut stream)
    }

    fn connects(self, address: SocketAddr) -> Result<Stream, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let version = match self.tls12 {
            true => &rustls::version::TLS12,
            false => &rustls::version::TLS13,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(roots);
        let config = match self.shows {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let (certificate, _, key) = authority.issue();
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                let config = config.with_client_auth_cert(vec![certificate], key);
                config.expect("a pair")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(connection, socket);
        stream.flush().map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

fn ask(stream: &mut Stream) -> Result<u16, String> {
    let failed = |error: std::io::Error| error.to_string();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).map_err(failed)?;
    stream.flush().map_err(failed)?;
    let mut reply = Vec::new();
    let mut piece = [0; 4096];
    while !reply.ends_with(b"</Error>") {
        match stream.read(&mut piece).map_err(failed)? {
            0 => return Err("closed".to_owned()),
            count => reply.extend_from_slice(&piece[..count]),
        }
    }
    let line = String::from_utf8_lossy(&reply[..12]).into_owned();
    line[9..].parse().map_err(|_| line)
}

fn written(place: &Place, name: &str, content: &str) -> PathBuf {
    let path = place.beside(name);
    std::fs::write(&path, content).expect("written");
    path
}

fn verb(place: &Place, verb: &str, more: &[&str]) -> String {
    succeed(&[&["tls", verb, "--vault", text(&place.vault)], more].concat())
}

#[test]
fn an_installed_certificate_is_shown_to_new_connections_and_after_a_restart() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let own = own_authority(&place);
    let authority = Authority::new();
    let (_, chain_pem, key) = authority.issue();
    let (_, _, other_key) = authority.issue();
    let chain = written(&place, "chain.pem", &chain_pem);
    let own_pem = std::fs::read_to_string(place.file("ca.pem")).expect("read");
    let key = written(&place, "key.pem", &key.serialize_pem());
    let other = written(&place, "other.pem", &other_key.serialize_pem());
    let caller = |trusts| Caller {
        trusts,
        shows: None,
        tls12: false,
    };
    let mut before = caller(&own).connects(server.address()).expect("connected");
    assert_eq!(ask(&mut before), Ok(403));
    let vault = text(&place.vault);
    let refused = refuse(&[
        "tls",
        "install",
        "--vault",
        vault,
        text(&chain),
        text(&other),
    ]);
    assert!(refused.contains("does not belong"), "{refused}");
    assert_eq!(caller(&own).asks(server.address()), Ok(403));
    let said = verb(&place, "install", &[text(&chain), text(&key)]);
    assert!(said.contains("certificate installed until"), "{said}");
    place.wait_for("the new certificate is shown", |_| {
        caller(&authority.der).asks(server.address()) == Ok(403)
    });
    for file in ["ca.pem", "ca-bundle.pem"] {
        let trusted = std::fs::read_to_string(place.file(file)).expect("read");
        assert!(trusted.contains(chain_pem.trim()), "{file} without a start");
        assert!(trusted.starts_with(own_pem.trim()), "{file}");
    }
    assert!(caller(&own).asks(server.address()).is_err());
    assert_eq!(ask(&mut before), Ok(403), "an open connection goes on");
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    assert_eq!(caller(&authority.der).asks(server.address()), Ok(403));
    assert!(verb(&place, "show", &[]).contains("certificate installed"));
}

#[test]
fn clients_are_told_the_name_that_the_certificate_is_for() {
    let place = Place::with_vault();
    let domains = ["--domain", "other.test", "--domain", "vault.test"];
    let check = |server: &Server, name: &str| {
        let url = format!("https://{name}:{}", server.address().port());
        assert_eq!(server.env["AWS_ENDPOINT_URL"], url);
        assert_eq!(place.status()["endpoint"], url);
        assert!(
            server.said().contains(&format!("address  {url} ")),
            "{}",
            server.said()
        );
        let vault = text(&place.vault);
        let printed = succeed(&["client", "add", "--vault", vault, "--name", "n"]);
        assert!(
            printed.contains(&format!("AWS_ENDPOINT_URL={url}\n")),
            "{url}"
        );
    };
    let server = Server::start_with(&place, &domains);
    // The vault's own certificate is for localhost.
    check(&server, "localhost");
    let (_, chain, key) = Authority::new().issue_for("vault.test");
    let chain = written(&place, "chain.pem", &chain);
    let key = written(&place, "key.pem", &key.serialize_pem());
    verb(&place, "install", &[text(&chain), text(&key)]);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start_with(&place, &domains);
    check(&server, "vault.test");
    assert!(server.end(Signal::SIGTERM).success());
    check(&Server::start(&place), "localhost");
}

#[test]
fn clients_need_certificates_and_may_speak_tls_1_2_only_where_people_say_so() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let own = own_authority(&place);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = written(&place, "clients.pem", &authority.pem);
    let plain = Caller {
        trusts: &own,
        shows: None,
        tls12: false,
    };
    let old = Caller {
        tls12: true,
        ..plain
    };
    let shown = Caller {
        shows: Some(&authority),
        ..plain
    };
    let strange = Caller {
        shows: Some(&stranger),
        ..plain
    };
    let address = server.address();
    assert!(old.asks(address).is_err(), "TLS 1.2 by default");
    verb(&place, "minimum", &["1.2"]);
    place.wait_for("TLS 1.2 is spoken", |status| {
        status["tls"]["minimum"] == "1.2" && old.asks(address) == Ok(403)
    });
    assert_eq!(plain.asks(address), Ok(403));
    verb(&place, "minimum", &["1.3"]);
    place.wait_for("TLS 1.2 is refused", |_| old.asks(address).is_err());
    let said = verb(&place, "client-ca", &[text(&ca)]);
    assert!(said.contains("clients must show one"), "{said}");
    place.wait_for("clients need certificates", |_| {
        plain.asks(address).is_err()
    });
    assert_eq!(shown.asks(address), Ok(403));
    assert!(strange.asks(address).is_err());
    verb(&place, "client-ca", &["off"]);
    place.wait_for("clients need none", |_| plain.asks(address) == Ok(403));
}

fn own_authority(place: &Place) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    let pem = std::fs::read(place.file("ca.pem")).expect("read");
    CertificateDer::from_pem_slice(&pem).expect("a certificate")
}
