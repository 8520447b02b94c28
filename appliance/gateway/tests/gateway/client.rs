//! A client that says exactly what a test tells it to: requests are built by hand, signed, and sent
//! as bytes over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::sign::{Key, Scope, canonical_query, encode, sha256_hex, string_to_sign};

/// A request in the making.
#[derive(Clone)]
pub struct Call {
    pub method: String,
    /// Encoded path.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Signed headers.
    pub headers: Vec<(String, String)>,
    /// Headers added after signing.
    pub unsigned: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// `x-amz-content-sha256`; by default the body's.
    pub payload: Option<String>,
    pub scope: Scope,
    /// A `Date` header in the place of `x-amz-date`.
    pub dated: Option<String>,
    /// Whether a Content-Length is sent; else the body goes in HTTP chunks.
    pub length: bool,
}

fn call(method: &str, path: String) -> Call {
    Call {
        method: method.to_owned(),
        path,
        query: Vec::new(),
        headers: Vec::new(),
        unsigned: Vec::new(),
        body: Vec::new(),
        payload: None,
        scope: Scope::shifted(0),
        dated: None,
        length: true,
    }
}

impl Call {
    /// A call about a bucket or, with an empty name, about the vault.
    pub fn bucket(method: &str, bucket: &str) -> Self {
        call(method, format!("/{bucket}"))
    }

    /// A call about an object.
    pub fn object(method: &str, bucket: &str, key: &str) -> Self {
        call(method, format!("/{bucket}/{}", encode(key, true)))
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.to_owned());
        self
    }

    /// An XML body with the Content-MD5 that statements about locks need.
    pub fn document(self, body: &str) -> Self {
        let md5 = crate::md5_base64(body.as_bytes());
        self.header("content-md5", &md5).body(body)
    }

    fn payload_text(&self) -> String {
        self.payload
            .clone()
            .unwrap_or_else(|| sha256_hex(&self.body))
    }

    /// Signed headers, their names, and the signature.
    pub fn sign(&self, key: &Key, host: &str) -> (Vec<(String, String)>, String, String) {
        let payload = self.payload_text();
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), host.to_owned()));
        let (dated, date) = match &self.dated {
            Some(date) => ("date", date),
            None => ("x-amz-date", &self.scope.date),
        };
        headers.push((dated.to_owned(), date.clone()));
        headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        let head = (
            self.method.as_str(),
            self.path.as_str(),
            self.query.as_slice(),
        );
        let (text, names) = string_to_sign(&self.scope, head, &headers, &payload);
        let signature = self.scope.sign(&key.secret, &text);
        (headers, names, signature)
    }

    /// The request with a signature in its header.
    pub fn wire(&self, key: &Key, host: &str) -> Vec<u8> {
        let (mut headers, names, signature) = self.sign(key, host);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            key.id,
            self.scope.text()
        );
        headers.push(("authorization".to_owned(), authorization));
        self.bytes(headers, &self.query)
    }

    /// The request as a presigned URL.
    pub fn presigned(&self, key: &Key, host: &str, expires_s: u32) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), host.to_owned()));
        let mut names: Vec<_> = headers.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        let names = names.join(";");
        let mut query = self.query.clone();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            (
                "X-Amz-Credential",
                format!("{}/{}", key.id, self.scope.text()),
            ),
            ("X-Amz-Date", self.scope.date.clone()),
            ("X-Amz-Expires", expires_s.to_string()),
            ("X-Amz-SignedHeaders", names),
        ] {
            query.push((name.to_owned(), value));
        }
        let head = (self.method.as_str(), self.path.as_str(), query.as_slice());
        let (text, _) = string_to_sign(&self.scope, head, &headers, "UNSIGNED-PAYLOAD");
        query.push((
            "X-Amz-Signature".to_owned(),
            self.scope.sign(&key.secret, &text),
        ));
        self.bytes(headers, &query)
    }

    /// The request without any signature.
    pub fn anonymous(&self, host: &str) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), host.to_owned()));
        self.bytes(headers, &self.query)
    }

    fn bytes(&self, mut headers: Vec<(String, String)>, query: &[(String, String)]) -> Vec<u8> {
        headers.extend(self.unsigned.iter().cloned());
        let given = |name: &str| headers.iter().any(|(n, _)| n == name);
        let has_length = given("content-length") || given("transfer-encoding");
        if !self.length {
            headers.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
        } else if !has_length && (!self.body.is_empty() || self.method == "PUT") {
            headers.push(("content-length".to_owned(), self.body.len().to_string()));
        }
        let query = canonical_query(query);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut out = format!("{} {}{mark}{query} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if self.length {
            out.extend_from_slice(&self.body);
            return out;
        }
        for chunk in self.body.chunks(1000) {
            out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
        out
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body came whole.
    pub complete: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Contents of all elements of this name, entities resolved.
    pub fn all(&self, element: &str) -> Vec<String> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let text = self.text();
        text.split(&open)
            .skip(1)
            .filter_map(|rest| rest.split_once(&close))
            .map(|(content, _)| unescape(content))
            .collect()
    }

    /// Content of the only element of this name; empty if there is none.
    pub fn one(&self, element: &str) -> String {
        self.all(element).into_iter().next().unwrap_or_default()
    }

    /// The S3 error code.
    pub fn code(&self) -> String {
        self.one("Code")
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text()
        );
        assert!(!self.one("Message").is_empty(), "{}", self.text());
    }
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, plain);
    }
    text
}

/// A TLS connection.
pub struct Connection {
    pub stream: TlsStream<TcpStream>,
    held: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, config).await
    }

    /// Begins TLS on a connection.
    pub async fn over(stream: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Self {
            stream,
            held: Vec::new(),
        })
    }

    /// Sends bytes; a server that already answered and closed is no error here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _refused_early = self.stream.write_all(bytes).await;
        let _refused_early = self.stream.flush().await;
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 65_536];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.held.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..at + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next answer; none if the connection ended before one.
    pub async fn reply(&mut self, method: &str) -> Option<Reply> {
        let head = self.head().await?;
        let mut lines = head.lines();
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
            complete: true,
        };
        let length = reply
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let bodyless = method == "HEAD" || status == 204 || status == 304 || status < 200;
        if !bodyless {
            self.body(&mut reply, length).await;
        }
        Some(reply)
    }

    async fn body(&mut self, reply: &mut Reply, length: Option<usize>) {
        let chunked = reply.header("transfer-encoding") == Some("chunked");
        let wanted = if chunked {
            usize::MAX
        } else {
            length.unwrap_or(0)
        };
        loop {
            if chunked && let Some(body) = unchunk(&self.held) {
                self.held.clear();
                reply.body = body;
                return;
            }
            if self.held.len() >= wanted {
                reply.body = self.held.drain(..wanted).collect();
                return;
            }
            if !self.more().await {
                reply.complete = false;
                reply.body = std::mem::take(&mut self.held);
                return;
            }
        }
    }
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let data = bytes.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(data);
        bytes = bytes.get(end + 4 + size..)?;
    }
}
