//! Objects in and out of a served vault: one signed request a connection.

use std::net::SocketAddr;

use aws_lc_rs::{digest, hmac};

use super::{Place, Server, exchange_slowly};

/// What a request says of its payload.
pub const PAYLOAD: &str = "x-amz-content-sha256";

/// An answer.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    head: String,
}

impl Reply {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, and the code of S3 where it was refused.
    pub fn outcome(&self) -> (u16, String) {
        let text = self.text();
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        (
            self.status,
            code.map(|(code, _)| code.to_owned()).unwrap_or_default(),
        )
    }
}

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

    /// A client with the key that `stele client add` printed.
    pub fn with(place: &Place, server: &Server, printed: &str) -> Client {
        let value = |name: &str| {
            let start = format!("{name}=");
            let mut lines = printed.lines();
            let found = lines.find_map(|line| line.strip_prefix(&start));
            found.expect("a setting").to_owned()
        };
        Client {
            id: value("AWS_ACCESS_KEY_ID"),
            secret: value("AWS_SECRET_ACCESS_KEY"),
            address: server.address(),
            ca_pem: std::fs::read_to_string(place.file("ca.pem")).expect("read"),
        }
    }

    /// The same key at another start of the vault.
    pub fn at(&self, server: &Server) -> Client {
        Client {
            address: server.address(),
            ..self.clone()
        }
    }

    /// Its access key id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One request, by status and the code of S3 where it was refused.
    pub fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        self.answer_slowly(method, path, &[body], &mut |_| {})
    }

    /// As [`Client::answer`], with something done before each part of the body.
    pub fn answer_slowly(
        &self,
        method: &str,
        path: &str,
        parts: &[&[u8]],
        before: &mut dyn FnMut(usize),
    ) -> (u16, String) {
        let reply = self.call_slowly(method, path, parts, before);
        let (status, body) = reply.expect("answered");
        let text = String::from_utf8_lossy(&body);
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        (
            status,
            code.map(|(code, _)| code.to_owned()).unwrap_or_default(),
        )
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
        self.call_slowly(method, path, &[body], &mut |_| {})
    }

    /// A path may be followed by one parameter, with a value.
    pub fn call_slowly(
        &self,
        method: &str,
        path: &str,
        parts: &[&[u8]],
        before: &mut dyn FnMut(usize),
    ) -> Option<(u16, Vec<u8>)> {
        let (head, body) = self.reply(method, path, &[], parts, before)?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body))
    }

    /// One request with further headers, all of them signed; the parameters of its path are in order, each with
    /// a value. The payload is signed unless `x-amz-content-sha256` is among the headers.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let reply = self.reply(method, path, headers, &[body], &mut |_| {});
        let (head, body) = reply.expect("answered");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Reply {
            status: status.expect("a status"),
            body,
            head,
        }
    }

    /// Stores something; the receipt that the answer carries.
    pub fn put_for_receipt(&self, path: &str, body: &[u8]) -> Option<String> {
        let (head, _) = self.reply("PUT", path, &[], &[body], &mut |_| {})?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut lines = head.lines();
        let value = lines.find_map(|line| line.strip_prefix("x-stele-receipt: "))?;
        let text = base64_simd::STANDARD.decode_to_vec(value).ok()?;
        String::from_utf8(text).ok()
    }

    /// Stores the chunks in the aws-chunked coding, each signed; where `forged`, the last one by nobody. Status and code.
    pub fn put_in_signed_chunks(
        &self,
        path: &str,
        chunks: &[&[u8]],
        forged: bool,
    ) -> (u16, String) {
        let date = date();
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let host = format!("localhost:{}", self.address.port());
        let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        let payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        let names = "host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length";
        let canonical = format!(
            "PUT\n{path}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n\
             x-amz-decoded-content-length:{bytes}\n\n{names}\n{payload}"
        );
        let hashed = sha256(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
        let seed = self.sign(&scope, &text);
        let (mut previous, nothing) = (seed.clone(), sha256(b""));
        let mut body = Vec::new();
        for (at, chunk) in chunks.iter().copied().chain([&b""[..]]).enumerate() {
            let content = sha256(chunk);
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{nothing}\n{content}"
            );
            previous = self.sign(&scope, &text);
            if forged && at + 1 == chunks.len() {
                previous = sha256(b"of nobody");
            }
            let line = format!("{:x};chunk-signature={previous}\r\n", chunk.len());
            body.extend_from_slice(line.as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {date}\r\n\
             x-amz-content-sha256: {payload}\r\nx-amz-decoded-content-length: {bytes}\r\n\
             content-encoding: aws-chunked\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
             SignedHeaders={names}, Signature={seed}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.id,
            body.len()
        );
        let sent = [head.as_bytes(), &body];
        let reply = exchange_slowly(&self.ca_pem, self.address, "localhost", &sent, &mut |_| {});
        let reply = String::from_utf8_lossy(&reply.expect("answered")).into_owned();
        let code = reply.split_once("<Code>").map(|(_, rest)| rest);
        let code = code.and_then(|rest| rest.split_once("</Code>"));
        (
            reply[9..12].parse().expect("a status"),
            code.map(|(code, _)| code.to_owned()).unwrap_or_default(),
        )
    }

    /// Head and body of the reply.
    fn reply(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        parts: &[&[u8]],
        before: &mut dyn FnMut(usize),
    ) -> Option<(String, Vec<u8>)> {
        let body = parts.concat();
        let body = body.as_slice();
        let (resource, query) = path.split_once('?').unwrap_or((path, ""));
        let host = format!("localhost:{}", self.address.port());
        let given = more.iter().find(|(name, _)| *name == PAYLOAD);
        let hashed = sha256(body);
        let (date, payload) = (date(), given.map_or(hashed.as_str(), |(_, value)| value));
        let mut signed = vec![
            ("host", host.as_str()),
            (PAYLOAD, payload),
            ("x-amz-date", date.as_str()),
        ];
        signed.extend(more.iter().filter(|(name, _)| *name != PAYLOAD));
        signed.sort_unstable();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = |colon: &str, end: &str| -> String {
            let line = |(name, value): &(&str, &str)| [*name, colon, *value, end].concat();
            signed.iter().map(line).collect()
        };
        let headers = lines(":", "\n");
        let canonical = format!("{method}\n{resource}\n{query}\n{headers}\n{names}\n{payload}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let hashed = sha256(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
        let signature = self.sign(&scope, &text);
        let id = &self.id;
        let headers = lines(": ", "\r\n");
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{headers}authorization: AWS4-HMAC-SHA256 \
             Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let sent: Vec<&[u8]> = [head.as_bytes()]
            .into_iter()
            .chain(parts.iter().copied())
            .collect();
        let mut before = |at: usize| at.checked_sub(1).into_iter().for_each(&mut *before);
        let (ca_pem, address) = (&self.ca_pem, self.address);
        let reply = exchange_slowly(ca_pem, address, "localhost", &sent, &mut before).ok()?;
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        Some((head, reply[end + 4..].to_vec()))
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

/// The value of `x-amz-checksum-sha256` of some bytes.
pub fn checksum(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(digest::digest(&digest::SHA256, bytes))
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
