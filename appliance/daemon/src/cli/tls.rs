//! `stele tls ...` as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::StatusArgs;

/// What can be done about TLS.
#[derive(Debug, Subcommand)]
pub enum TlsVerb {
    /// Show how TLS is spoken.
    Show(StatusArgs),
    /// Show this certificate to new connections from now on.
    Install(InstallArgs),
    /// Require certificates of clients, or, with `off`, none.
    ClientCa(ClientCaArgs),
    /// Set the oldest version of TLS that is spoken.
    Minimum(MinimumArgs),
}

/// `stele tls install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The chain in PEM form, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM form, not encrypted.
    pub key: PathBuf,
}

/// `stele tls client-ca`.
#[derive(Debug, Args)]
pub struct ClientCaArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Certificates of authorities in PEM form, or `off`.
    #[arg(value_name = "FILE|off")]
    pub file: PathBuf,
}

/// `stele tls minimum`.
#[derive(Debug, Args)]
pub struct MinimumArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The version.
    pub version: Version,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// For clients that know nothing newer.
    #[value(name = "1.2")]
    Tls12,
    /// The usual one.
    #[value(name = "1.3")]
    Tls13,
}
