//! TLS 1.3 and nothing older.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use zeroize::Zeroizing;

use crate::server::GatewayError;

/// Protocol name of HTTP/2 in the handshake.
pub(crate) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A server configuration for one certificate chain (leaf first) and its private key (PKCS#8,
/// SEC1 or PKCS#1), all DER.
///
/// # Errors
/// `Certificate` if the chain is empty or malformed or does not belong to the key.
pub(crate) fn server_config(
    chain: Vec<Vec<u8>>,
    key: &Zeroizing<Vec<u8>>,
) -> Result<Arc<ServerConfig>, GatewayError> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(key.to_vec()).map_err(GatewayError::PrivateKey)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}
