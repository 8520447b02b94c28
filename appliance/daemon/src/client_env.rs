//! `client.env`: everything a client needs to speak to the vault, as lines a POSIX shell can source,
//! and the two certificate files it names.
//!
//! Values keep their bytes: a path need not be UTF-8. What a shell could misread is quoted.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use stele_gateway::tls::Tls;
use zeroize::Zeroizing;

use crate::error::Outcome;
use crate::files;
use crate::vault::Directory;

/// The region the vault says it is in.
pub const REGION: &str = "us-east-1";

/// Where systems keep the certificate authorities they trust; the first that exists counts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// What clients are told.
pub struct ClientFiles<'a> {
    /// The access key id; empty where no key is left.
    pub key_id: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// The URL of the vault.
    pub endpoint: &'a str,
}

/// Replaces the certificate files by one of these authorities, PEM, and one with those of the system behind
/// them, which tools with one list for everything need.
///
/// # Errors
/// What the kernel reports; each file is either old or new.
pub fn write_authorities(directory: &Directory, ca_pem: &str) -> Outcome<()> {
    let mut system = SYSTEM_ROOTS.iter();
    let roots = system.find_map(|path| std::fs::read(path).ok());
    let bundle = [ca_pem.as_bytes(), &roots.unwrap_or_default()].concat();
    files::replace(&directory.ca_file(), ca_pem.as_bytes(), 0o600)?;
    files::replace(&directory.ca_bundle_file(), &bundle, 0o600)
}

/// The URL clients use: with the first of the names that the vault was told, else with the address that it
/// listens on, else with localhost. What the certificate is not for is passed over, because no client would
/// believe the vault under it.
pub fn endpoint(address: SocketAddr, domains: &[String], tls: &Tls) -> String {
    let ip = address.ip();
    let listens = (!ip.is_unspecified() && !ip.is_loopback()).then(|| ip.to_string());
    let mut said = domains.iter().map(String::as_str).chain(listens.as_deref());
    let host = said.find(|host| tls.is_for(host)).unwrap_or("localhost");
    let port = address.port();
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
        _ => format!("https://{host}:{port}"),
    }
}

impl ClientFiles<'_> {
    /// Replaces `client.env`; the certificate files that it names stand beside it before.
    ///
    /// # Errors
    /// What the kernel reports; the file is either old or new.
    pub fn write(&self, directory: &Directory) -> Outcome<()> {
        files::replace(&directory.client_env(), &self.text(directory), 0o600)
    }

    /// The lines of `client.env`. Where there is no key, none is named.
    pub fn text(&self, directory: &Directory) -> Zeroizing<Vec<u8>> {
        let (ca, bundle) = (directory.ca_file(), directory.ca_bundle_file());
        let lines: [(&str, &[u8]); 7] = [
            ("AWS_ACCESS_KEY_ID", self.key_id.as_bytes()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.as_bytes()),
            ("AWS_CA_BUNDLE", ca.as_os_str().as_bytes()),
            ("AWS_ENDPOINT_URL", self.endpoint.as_bytes()),
            ("AWS_DEFAULT_REGION", REGION.as_bytes()),
            ("SSL_CERT_FILE", bundle.as_os_str().as_bytes()),
            ("RCLONE_CA_CERT", ca.as_os_str().as_bytes()),
        ];
        // Reserved first: a growing vector would leave copies of the secret behind.
        let size: usize = lines
            .iter()
            .map(|(name, value)| name.len() + 4 * value.len() + 8)
            .sum();
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        let without_key = if self.key_id.is_empty() { 2 } else { 0 };
        for (name, value) in lines.into_iter().skip(without_key) {
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            quote_into(value, &mut text);
            text.push(b'\n');
        }
        text
    }
}

/// A word as a POSIX shell reads it back.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len() + 2);
    quote_into(word, &mut out);
    out
}

fn quote_into(word: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:=@%,".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        out.extend_from_slice(word);
        return;
    }
    out.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::process::Command;

    #[test]
    fn words_are_quoted_only_when_a_shell_would_misread_them() {
        let check = |word: &str, expected: &str| {
            let quoted = quote(word.as_bytes());
            assert_eq!(String::from_utf8_lossy(&quoted), expected, "{word:?}");
        };
        check("/srv/vault/ca.pem", "/srv/vault/ca.pem");
        check("https://localhost:8443", "https://localhost:8443");
        check("", "''");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check("$HOME", "'$HOME'");
        check("~x", "'~x'");
        check("a;b", "'a;b'");
        check("\u{e4}", "'\u{e4}'");
    }

    #[test]
    fn the_url_has_a_name_that_the_certificate_is_for() {
        let names = ["vault.test", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = signed.signing_key.serialize_der();
        let tls = Tls::new(vec![signed.cert.der().to_vec()], &key);
        let check = |listen: &str, domains: &[&str], expected: &str| {
            let domains: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
            let url = endpoint(listen.parse().expect("an address"), &domains, &tls);
            assert_eq!(url, expected, "{listen} {domains:?}");
        };
        check("0.0.0.0:1", &["vault.test"], "https://vault.test:1");
        check(
            "192.0.2.7:1",
            &["other.test", "vault.test"],
            "https://vault.test:1",
        );
        check("192.0.2.7:1", &["other.test"], "https://192.0.2.7:1");
        check("[2001:db8::7]:1", &[], "https://[2001:db8::7]:1");
        for listen in [
            "192.0.2.8:1",
            "127.0.0.1:1",
            "[::1]:1",
            "0.0.0.0:1",
            "[::]:1",
        ] {
            check(listen, &["other.test"], "https://localhost:1");
        }
    }

    #[test]
    fn where_no_key_is_left_none_is_named() {
        let directory = Directory::new(std::path::Path::new("/v")).expect("named");
        let client = ClientFiles {
            key_id: "",
            secret: "",
            endpoint: "https://localhost:8443",
        };
        let text = client.text(&directory);
        assert!(text.starts_with(b"AWS_CA_BUNDLE=/v/ca.pem\n"));
    }

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let temp = tempfile::tempdir().expect("a directory");
        let name = OsStr::from_bytes(b"it's \xff a $(vault) \"here\" \\");
        let dir = temp.path().join(name);
        std::fs::create_dir(&dir).expect("made");
        let directory = Directory::new(&dir).expect("named");
        let client = ClientFiles {
            key_id: "STELEKEY",
            secret: "a+b/c=",
            endpoint: "https://localhost:8443",
        };
        write_authorities(&directory, "PEM\n").expect("written");
        client.write(&directory).expect("written");
        let script = r#". "$1"; printf '%s|' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" \
            "$AWS_CA_BUNDLE" "$AWS_ENDPOINT_URL" "$AWS_DEFAULT_REGION" "$SSL_CERT_FILE" \
            "$RCLONE_CA_CERT""#;
        let output = Command::new("sh")
            .args(["-eu", "-c", script, "sh"])
            .arg(directory.client_env())
            .env_clear()
            .output()
            .expect("a shell");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let ca = directory.ca_file();
        let bundle = directory.ca_bundle_file();
        let mut expected = Vec::new();
        for value in [
            OsStr::new("STELEKEY"),
            OsStr::new("a+b/c="),
            ca.as_os_str(),
            OsStr::new("https://localhost:8443"),
            OsStr::new("us-east-1"),
            bundle.as_os_str(),
            ca.as_os_str(),
        ] {
            expected.extend_from_slice(value.as_bytes());
            expected.push(b'|');
        }
        assert_eq!(output.stdout, expected);
        assert!(std::fs::read(bundle).expect("read").starts_with(b"PEM\n"));
    }
}
