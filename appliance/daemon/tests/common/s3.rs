//! Objects in and out of a served vault: one signed request a connection.

use std::net::SocketAddr;

use aws_lc_rs::{digest, hmac};

use super::{Place, Server, exchange};

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    ca_pem: String,
    id: String,
    secret: String,
}

impl Client {
    /// A client with the key that `client.env` names.
    pub fn of(place: &Place, server: &Server) -> Client {
        let value = |name: &str| server.env[name].clone();
        Client {
            address: server.address(),
            ca_pem: std::fs::read_to_string(place.file("ca.pem")).expect("read"),
            id: value("AWS_ACCESS_KEY_ID"),
            secret: value("AWS_SECRET_ACCESS_KEY"),
        }
    }

    /// Stores a body, or makes a bucket without one; it must succeed.
    pub fn put(&self, path: &str, body: &[u8]) {
        let (status, said) = self.call("PUT", path, body).expect("answered");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status, 200, "PUT {path}: {said}");
    }

    /// Reads an object; it must succeed.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let (status, body) = self.call("GET", path, b"").expect("answered");
        assert_eq!(status, 200, "GET {path}");
        body
    }

    /// One request; none when the server is gone.
    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let host = format!("localhost:{}", self.address.port());
        let (date, payload) = (date(), sha256(body));
        let names = "host;x-amz-content-sha256;x-amz-date";
        let headers = format!("host:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n");
        let canonical = format!("{method}\n{path}\n\n{headers}\n{names}\n{payload}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let hashed = sha256(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
        let signature = self.sign(&scope, &text);
        let id = &self.id;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {date}\r\n\
             x-amz-content-sha256: {payload}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let parts = [head.as_bytes(), body];
        let reply = exchange(&self.ca_pem, self.address, "localhost", &parts).ok()?;
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
        let line = String::from_utf8_lossy(&reply[..end]).into_owned();
        let status = line.split(' ').nth(1)?.parse().ok()?;
        Some((status, reply[end + 4..].to_vec()))
    }

    fn sign(&self, scope: &str, text: &str) -> String {
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').chain([text]).fold(first, |key, part| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            hmac::sign(&key, part.as_bytes()).as_ref().to_vec()
        });
        hex(&key)
    }
}

/// Now, as `YYYYMMDDTHHMMSSZ`.
fn date() -> String {
    let now = time::OffsetDateTime::from(std::time::SystemTime::now());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
