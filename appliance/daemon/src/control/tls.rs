//! What is said on the control socket about TLS.

use serde::{Deserialize, Serialize};

use super::clients::Secret;

/// What can be asked about TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TlsAsk {
    /// How it is spoken.
    Show,
    /// To show this certificate from now on.
    Install {
        /// The chain, PEM, the server's own certificate first.
        chain_pem: String,
        /// Its private key, PEM.
        key_pem: Secret,
    },
    /// To require certificates of clients, or not to.
    ClientCa {
        /// Certificates of authorities, PEM; none to require nothing.
        pem: Option<String>,
    },
    /// To speak TLS 1.2 too, or not to.
    Oldest {
        /// Whether TLS 1.2 is spoken.
        tls12: bool,
    },
}

/// How TLS is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsStatus {
    /// The oldest version: `1.2` or `1.3`.
    pub minimum: String,
    /// Whether people installed the certificate; else the vault made it.
    pub installed: bool,
    /// The end of the certificate's life, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Authorities of which clients must show a certificate; 0 where they need none.
    pub client_authorities: usize,
}
