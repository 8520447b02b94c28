//! A certificate for `localhost`, as the peers want it: one file each for certificate and key.

use crate::command::Run;
use crate::failure::Outcome;
use crate::install;
use std::path::{Path, PathBuf};

/// Files in PEM.
pub struct Certificate {
    /// Whom clients trust.
    pub bundle: PathBuf,
    /// The server's certificate.
    pub chain: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one in a directory; its authority is of no further use.
    pub fn make(directory: &Path) -> Outcome<Certificate> {
        install::require(&[install::OPENSSL])?;
        let at = |name: &str| directory.join(name);
        std::fs::write(at("openssl.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n")?;
        let request = |subject: &str, key: &Path, out: &Path, extensions: &[&str]| {
            let run = Run::new(install::OPENSSL.program)
                .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
                .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject])
                .arg("-config")
                .arg(at("openssl.cnf"))
                .arg("-keyout")
                .arg(key)
                .arg("-out")
                .arg(out);
            extensions
                .iter()
                .fold(run, |run, one| run.args(["-addext", one]))
        };
        let (authority, bundle) = (at("ca-key.pem"), at("ca.pem"));
        let root = ["basicConstraints=critical,CA:TRUE"];
        request("/CN=bench", &authority, &bundle, &root).succeed()?;
        let (key, chain) = (at("key.pem"), at("cert.pem"));
        let leaf = [
            "basicConstraints=critical,CA:FALSE",
            "subjectAltName=DNS:localhost",
        ];
        request("/CN=localhost", &key, &chain, &leaf)
            .arg("-CA")
            .arg(&bundle)
            .arg("-CAkey")
            .arg(&authority)
            .succeed()?;
        Ok(Certificate { bundle, chain, key })
    }
}
