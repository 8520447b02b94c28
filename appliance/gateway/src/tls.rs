//! What the vault shows to prove who it is, and what clients must show: TLS 1.3, and 1.2 where people at
//! the vault allow it.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

mod life;

/// Protocol name of HTTP/2 in the handshake.
pub(crate) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Oldest {
    /// TLS 1.2, for clients that know nothing newer.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

/// How TLS is spoken.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate chain, DER, leaf first.
    pub chain_der: Vec<Vec<u8>>,
    /// The leaf's private key, DER (PKCS#8, SEC1 or PKCS#1).
    pub key_der: Vec<u8>,
    /// Authorities of which clients must show a certificate, DER; none where they need none.
    pub client_authorities_der: Vec<Vec<u8>>,
    /// The oldest version.
    pub oldest: Oldest,
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.key_der.zeroize();
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// Why TLS cannot be spoken so.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// No certificate in the text.
    #[error("there is no certificate in PEM form in it")]
    NoCertificate,
    /// No private key in the text.
    #[error("there is no private key in PEM form in it, or one that is encrypted")]
    NoKey,
    /// The private key is in no known form.
    #[error("the TLS private key cannot be used: {0}")]
    Key(&'static str),
    /// Certificate and key are not one pair.
    #[error(
        "the private key does not belong to the first certificate; the server's own comes first"
    )]
    OtherKey,
    /// It cannot be read.
    #[error("a certificate cannot be read")]
    Malformed,
    /// Its life is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its life has not begun.
    #[error("the certificate is not valid yet")]
    NotYet,
    /// The library refuses it.
    #[error("the TLS certificate cannot be used: {0}")]
    Certificate(rustls::Error),
    /// An authority of clients cannot be used.
    #[error("a certificate of an authority for clients cannot be used: {0}")]
    Authority(String),
}

/// The certificates in a PEM text, DER.
///
/// # Errors
/// `NoCertificate` or `Malformed`.
pub fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, TlsFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| TlsFault::Malformed)?;
    match found.is_empty() {
        true => Err(TlsFault::NoCertificate),
        false => Ok(found.into_iter().map(|der| der.to_vec()).collect()),
    }
}

/// The private key in a PEM text, DER.
///
/// # Errors
/// `NoKey`.
pub fn private_key(pem: &[u8]) -> Result<Zeroizing<Vec<u8>>, TlsFault> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsFault::NoKey)?;
    Ok(Zeroizing::new(key.secret_der().to_vec()))
}

/// The last millisecond of a certificate's life, since 1970.
#[must_use]
pub fn expires_ms(certificate_der: &[u8]) -> Option<u64> {
    let (_, last) = life::of(certificate_der)?;
    u64::try_from(last).ok()?.checked_mul(1_000)
}

impl Tls {
    /// TLS 1.3 with this certificate, for clients without one.
    #[must_use]
    pub fn new(chain_der: Vec<Vec<u8>>, key_der: &[u8]) -> Self {
        Self {
            chain_der,
            key_der: key_der.to_vec(),
            client_authorities_der: Vec::new(),
            oldest: Oldest::Tls13,
        }
    }

    /// Whether it can be served so.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), TlsFault> {
        self.config(false).map(drop)
    }

    /// Whether the certificate is in its life.
    ///
    /// # Errors
    /// `Expired`, `NotYet` or `Malformed`.
    pub fn check_life(&self, now_ms: u64) -> Result<(), TlsFault> {
        let leaf = self.chain_der.first().ok_or(TlsFault::NoCertificate)?;
        let (first, last) = life::of(leaf).ok_or(TlsFault::Malformed)?;
        let now = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
        match now {
            _ if now < first => Err(TlsFault::NotYet),
            _ if now > last => Err(TlsFault::Expired),
            _ => Ok(()),
        }
    }

    /// Whether the certificate is for this name, or this address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let (Some(leaf), Ok(host)) = (self.chain_der.first(), ServerName::try_from(host)) else {
            return false;
        };
        let leaf = CertificateDer::from(leaf.as_slice());
        ParsedCertificate::try_from(&leaf)
            .is_ok_and(|leaf| verify_server_name(&leaf, &host).is_ok())
    }

    /// `http2` says whether HTTP/2 is offered beside HTTP/1.1.
    pub(crate) fn config(&self, http2: bool) -> Result<Arc<ServerConfig>, TlsFault> {
        let chain: Vec<CertificateDer<'static>> = self
            .chain_der
            .iter()
            .cloned()
            .map(CertificateDer::from)
            .collect();
        let key = PrivateKeyDer::try_from(self.key_der.clone()).map_err(TlsFault::Key)?;
        let versions: &[&SupportedProtocolVersion] = match self.oldest {
            Oldest::Tls12 => &[&TLS13, &TLS12],
            Oldest::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .map_err(TlsFault::Certificate)?;
        let builder = match self.client_authorities_der.is_empty() {
            true => builder.with_no_client_auth(),
            false => {
                let roots = self.client_authorities()?;
                let provider = Arc::new(default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier.map_err(|error| TlsFault::Authority(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsFault::OtherKey,
                rustls::Error::NoCertificatesPresented => TlsFault::NoCertificate,
                other => TlsFault::Certificate(other),
            })?;
        let offered: &[&[u8]] = match http2 {
            true => &[ALPN_H2, ALPN_HTTP1],
            false => &[ALPN_HTTP1],
        };
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn client_authorities(&self) -> Result<Arc<RootCertStore>, TlsFault> {
        let mut roots = RootCertStore::empty();
        for der in &self.client_authorities_der {
            let added = roots.add(CertificateDer::from(der.clone()));
            added.map_err(|error| TlsFault::Authority(error.to_string()))?;
        }
        Ok(Arc::new(roots))
    }
}

/// What new connections are shown; those that are open keep what they have. Clones are the same.
#[derive(Clone)]
pub struct Shown {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    http2: bool,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl Shown {
    pub(crate) fn new(tls: &Tls, http2: bool) -> Result<Self, TlsFault> {
        let config = Arc::new(RwLock::new(tls.config(http2)?));
        Ok(Self { config, http2 })
    }

    pub(crate) fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows this from now on. Sessions of before are not resumed: each configuration has its own.
    ///
    /// # Errors
    /// Why not; what was shown before is shown on then.
    pub fn replace(&self, tls: &Tls) -> Result<(), TlsFault> {
        let config = tls.config(self.http2)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}
