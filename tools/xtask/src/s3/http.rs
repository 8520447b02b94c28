//! One HTTP/1.1 connection over TLS 1.3 (or in the clear, to programs that are measured), blocking.
//!
//! A read or write that gets nowhere for `STALL` fails, so that a hanging server is a failed
//! case and not a hanging run.

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Failure, Outcome};

const STALL: Duration = Duration::from_secs(120);
const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// What is read from a socket at once: rustls alone asks for 4 KiB, sixteen thousand times for 64 MiB.
const SOCKET_BYTES: usize = 256 * 1024;
/// What of a known body is held at once.
const COMPARED_BYTES: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nothing listens there, or it went away.
    Gone(std::io::Error),
    /// What came back is not HTTP.
    Garbled(&'static str),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Gone(error) => write!(f, "connection lost: {error}"),
            Trouble::Garbled(what) => write!(f, "not an HTTP answer: {what}"),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Gone(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        Failure::new(trouble.to_string())
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, and the S3 error code where there is one.
    pub fn summary(&self) -> String {
        let code = super::element(&self.text(), "Code").unwrap_or_default();
        let message = super::element(&self.text(), "Message").unwrap_or_default();
        format!("{} {code} {message}", self.status)
    }

    /// Fails unless the status is this one.
    pub fn expect(&self, status: u16) -> Outcome<&Response> {
        match self.status == status {
            true => Ok(self),
            false => Err(Failure::new(format!(
                "expected {status}, got {}",
                self.summary()
            ))),
        }
    }
}

/// TLS 1.3 trusting the certificates of one PEM file.
pub fn tls(bundle: &Path) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let bad = |error: &dyn fmt::Display| Failure::path("cannot use the CA file", bundle, error);
    for certificate in CertificateDer::pem_file_iter(bundle).map_err(|e| bad(&e))? {
        roots
            .add(certificate.map_err(|e| bad(&e))?)
            .map_err(|e| bad(&e))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| bad(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection; after an error it is of no further use.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// What is sent, and what is expected back.
pub struct Exchange<'a> {
    /// Head of the request.
    pub head: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// The answer has none, as one to HEAD.
    pub bodiless: bool,
    /// The body that a 200 has to bring: it is compared as it comes, and not kept.
    pub known: Option<&'a [u8]>,
}

/// What carries a connection.
trait Stream: Read + Write + Send {}

/// A socket that is read in large pieces.
struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.get_mut().flush()
    }
}

impl Stream for StreamOwned<ClientConnection, Socket> {}
impl Stream for TcpStream {}

impl Connection {
    /// Connects to a port of this machine as `localhost`; without TLS where there is no configuration.
    pub fn open(port: u16, config: Option<&Arc<ClientConfig>>) -> Result<Connection, Trouble> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STALL))?;
        socket.set_write_timeout(Some(STALL))?;
        let stream: Box<dyn Stream> = match config {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a valid DNS name");
                let session = ClientConnection::new(Arc::clone(config), name)
                    .map_err(|_| Trouble::Garbled("TLS could not start"))?;
                let socket = BufReader::with_capacity(SOCKET_BYTES, socket);
                Box::new(StreamOwned::new(session, Socket(socket)))
            }
        };
        let buffer = Vec::new();
        Ok(Connection { stream, buffer })
    }

    /// Sends a request and reads the answer. The answer is read even when the body could not be
    /// sent whole, since a server may refuse before it has seen all of it.
    pub fn exchange(&mut self, exchange: &Exchange<'_>) -> Result<Response, Trouble> {
        let sent = self.send(exchange.head, exchange.body);
        match (self.receive(exchange), sent) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(trouble), Ok(())) => Err(trouble),
        }
    }

    /// Sends these bytes, after a handshake if there was none yet, and waits for nothing.
    pub fn begin(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.send("", bytes)
    }

    /// Sends only a part of a request and leaves.
    pub fn abandon(mut self, head: &str, body: &[u8]) -> Result<(), Trouble> {
        Ok(self.send(head, body)?)
    }

    fn send(&mut self, head: &str, body: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.stream.flush()
    }

    fn receive(&mut self, exchange: &Exchange<'_>) -> Result<Response, Trouble> {
        loop {
            let (status, headers) = self.head()?;
            if status == 100 {
                continue;
            }
            let mut response = Response {
                status,
                headers,
                body: Vec::new(),
            };
            match exchange.known {
                Some(known) if status == 200 => self.compare(&response, known)?,
                _ if exchange.bodiless || status == 204 || status == 304 => (),
                _ => response.body = self.body(&response)?,
            }
            return Ok(response);
        }
    }

    fn head(&mut self) -> Result<(u16, Vec<(String, String)>), Trouble> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(Trouble::Garbled("endless header"));
            }
            self.fill()?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or(Trouble::Garbled("no status line"))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok((status, headers))
    }

    fn body(&mut self, response: &Response) -> Result<Vec<u8>, Trouble> {
        if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| Trouble::Garbled("bad length"))?;
            return self.take(length);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            return self.chunked();
        }
        let mut body = std::mem::take(&mut self.buffer);
        self.stream.read_to_end(&mut body)?;
        Ok(body)
    }

    /// Reads a body of which every byte is known.
    fn compare(&mut self, response: &Response, known: &[u8]) -> Result<(), Trouble> {
        let length = response.header("content-length");
        if length.and_then(|length| length.parse().ok()) != Some(known.len()) {
            return Err(Trouble::Garbled("a body of another length"));
        }
        let have = known.len().min(self.buffer.len());
        let mut piece: Vec<u8> = self.buffer.drain(..have).collect();
        let (first, rest) = known.split_at(have);
        let mut same = piece == first;
        piece.resize(COMPARED_BYTES.min(rest.len()), 0);
        for wanted in rest.chunks(COMPARED_BYTES) {
            let got = &mut piece[..wanted.len()];
            self.stream.read_exact(got)?;
            same &= got == wanted;
        }
        match same {
            true => Ok(()),
            false => Err(Trouble::Garbled("other bytes than were stored")),
        }
    }

    fn chunked(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| Trouble::Garbled("chunk"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend_from_slice(&self.take(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> Result<String, Trouble> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        let have = length.min(self.buffer.len());
        let mut body: Vec<u8> = self.buffer.drain(..have).collect();
        body.resize(length, 0);
        self.stream.read_exact(&mut body[have..])?;
        Ok(body)
    }

    fn fill(&mut self) -> Result<(), Trouble> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let count = self.stream.read(&mut self.buffer[before..]);
        self.buffer
            .truncate(before + count.as_ref().copied().unwrap_or(0));
        match count? {
            0 => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }
}
