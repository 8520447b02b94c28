//! `stele tls ...`: how TLS is spoken. The serving process does what is asked; files are read here.

use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::tls::{TlsVerb, Version};
use crate::control::clients::Secret;
use crate::control::socket::ask_tls;
use crate::control::tls::{TlsAsk, TlsStatus};
use crate::disk::{existing, not_served, print};
use crate::error::{Error, Outcome};
use crate::limits::PEM_BYTES_MAX;
use crate::status::{as_json, day};
use crate::tls::certificates_pem;

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is changed.
pub fn run(verb: TlsVerb) -> Outcome<()> {
    let (vault, ask, json) = match verb {
        TlsVerb::Show(args) => (args.vault, TlsAsk::Show, args.json),
        TlsVerb::Install(args) => {
            let chain_pem = certificates_pem(&read(&args.certificate)?)?;
            let key_pem = Secret(read(&args.key)?.to_string());
            (args.vault, TlsAsk::Install { chain_pem, key_pem }, false)
        }
        TlsVerb::ClientCa(args) => {
            let pem = match args.file.as_os_str() == "off" {
                true => None,
                false => Some(read(&args.file)?.to_string()),
            };
            (args.vault, TlsAsk::ClientCa { pem }, false)
        }
        TlsVerb::Minimum(args) => {
            let tls12 = args.version == Version::Tls12;
            (args.vault, TlsAsk::Oldest { tls12 }, false)
        }
    };
    let directory = existing(&vault)?;
    let status = ask_tls(&directory.control_socket(), ask)?;
    let status = status.ok_or_else(|| not_served(&directory))?;
    print(&match json {
        true => as_json(&status),
        false => line(&status),
    });
    Ok(())
}

fn read(path: &Path) -> Outcome<Zeroizing<String>> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > PEM_BYTES_MAX {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(failed)
}

/// How TLS is spoken, as a line of the status.
pub fn line(status: &TlsStatus) -> String {
    let versions = match status.minimum.as_str() {
        "1.2" => "1.3 and 1.2",
        _ => "1.3",
    };
    let whose = if status.installed {
        "installed"
    } else {
        "the vault's own"
    };
    let until = status
        .expires_ms
        .map_or(String::new(), |ms| format!(" until {}", day(ms)));
    let clients = match status.client_authorities {
        0 => "clients need none",
        _ => "clients must show one",
    };
    format!("tls      {versions}, certificate {whose}{until}, {clients}\n")
}
