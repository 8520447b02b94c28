//! S3 requests as the load, damage and benchmark runs need them.
//!
//! A request that got no answer is never repeated: whoever asked has to know that its outcome is
//! unknown.

use super::http::{Connection, Exchange, Response, Trouble, tls};
use super::sign::{self, Credentials, EMPTY_SHA256, Subject};
use super::xml;
use crate::failure::{Failure, Outcome};
use crate::time;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// A server and the right to use it.
pub struct Endpoint {
    port: u16,
    credentials: Credentials,
    /// None: in the clear.
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// From the variables of a `client.env`.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Outcome<Endpoint> {
        let get = |name: &str| {
            let missing = || Failure::new(format!("client.env lacks {name}"));
            variables.get(name).cloned().ok_or_else(missing)
        };
        let url = get("AWS_ENDPOINT_URL")?;
        let port = url
            .strip_prefix("https://localhost:")
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| Failure::new(format!("unexpected AWS_ENDPOINT_URL {url}")))?;
        let credentials = Credentials {
            access: get("AWS_ACCESS_KEY_ID")?,
            secret: get("AWS_SECRET_ACCESS_KEY")?,
            region: get("AWS_DEFAULT_REGION")?,
        };
        Ok(Endpoint {
            port,
            credentials,
            tls: Some(tls(Path::new(&get("AWS_CA_BUNDLE")?))?),
        })
    }

    /// Another server on this machine, over TLS when there is a bundle of certificates to trust.
    pub fn on_port(
        port: u16,
        credentials: Credentials,
        bundle: Option<&Path>,
    ) -> Outcome<Endpoint> {
        let tls = bundle.map(tls).transpose()?;
        Ok(Endpoint {
            port,
            credentials,
            tls,
        })
    }
}

impl Endpoint {
    /// A connection on which nothing was said yet.
    pub fn connect(&self) -> Result<Connection, Trouble> {
        Connection::open(self.port, self.tls.as_ref())
    }

    /// A connection without even a handshake.
    pub fn silent(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port))
    }
}

/// A request before it is signed.
#[derive(Default)]
pub struct Request<'a> {
    method: &'a str,
    bucket: &'a str,
    key: &'a [u8],
    query: Vec<(&'a str, &'a str)>,
    headers: Vec<(&'a str, String)>,
    body: &'a [u8],
    /// SHA-256 of the body in hex, when it is known already.
    payload: Option<&'a str>,
    /// What a 200 has to bring, compared as it comes.
    known: Option<&'a [u8]>,
}

/// A part of a multipart upload as the completing request names it.
#[derive(Clone)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// As the server answered.
    pub etag: String,
}

/// One user of a server; keeps one connection.
pub struct Client {
    endpoint: Arc<Endpoint>,
    connection: Option<Connection>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(endpoint: &Arc<Endpoint>) -> Client {
        Client {
            endpoint: Arc::clone(endpoint),
            connection: None,
        }
    }

    fn head_of(&self, request: &Request) -> String {
        let Endpoint {
            port, credentials, ..
        } = &*self.endpoint;
        let payload = match request.payload {
            Some(known) => known.to_owned(),
            None if request.body.is_empty() => EMPTY_SHA256.to_owned(),
            None => sign::sha256_hex(request.body),
        };
        let slash = if request.key.is_empty() { "" } else { "/" };
        let key = sign::encode(request.key, true);
        let path = format!("/{}{slash}{key}", request.bucket);
        let query = sign::query(&request.query);
        let moment = time::basic(time::unix_seconds());
        let mut headers: Vec<(String, String)> = vec![
            ("host".to_owned(), format!("localhost:{port}")),
            ("x-amz-content-sha256".to_owned(), payload.clone()),
            ("x-amz-date".to_owned(), moment.clone()),
        ];
        headers.extend(
            request
                .headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.clone())),
        );
        headers.sort();
        let subject = Subject {
            method: request.method,
            path: &path,
            query: &query,
            headers: &headers,
            payload: &payload,
        };
        let authorization = sign::authorization(credentials, &moment, &subject);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut head = format!("{} {path}{mark}{query} HTTP/1.1\r\n", request.method);
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = request.body.len();
        head.push_str(&format!(
            "authorization: {authorization}\r\ncontent-length: {length}\r\n"
        ));
        head.push_str("\r\n");
        head
    }

    fn send(&mut self, request: &Request) -> Result<Response, Trouble> {
        let head = self.head_of(request);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.endpoint.port, self.endpoint.tls.as_ref())?,
        };
        let response = connection.exchange(&Exchange {
            head: &head,
            body: request.body,
            bodiless: request.method == "HEAD",
            known: request.known,
        })?;
        if response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// Creates a bucket; with `locked` one whose objects may carry locks chosen by the client.
    pub fn create_bucket(&mut self, bucket: &str, locked: bool) -> Result<Response, Trouble> {
        let lock = ("x-amz-bucket-object-lock-enabled", "true".to_owned());
        let headers = if locked { vec![lock] } else { Vec::new() };
        self.send(&Request {
            method: "PUT",
            bucket,
            headers,
            ..Request::default()
        })
    }

    /// Stores a body whose SHA-256 may be known already.
    pub fn put(
        &mut self,
        bucket: &str,
        key: &str,
        body: &[u8],
        payload: Option<&str>,
    ) -> Result<Response, Trouble> {
        let key = key.as_bytes();
        self.send(&Request {
            method: "PUT",
            bucket,
            key,
            body,
            payload,
            ..Request::default()
        })
    }

    /// Stores under a name that need not be UTF-8.
    pub fn put_raw_name(
        &mut self,
        bucket: &str,
        key: &[u8],
        body: &[u8],
    ) -> Result<Response, Trouble> {
        self.send(&Request {
            method: "PUT",
            bucket,
            key,
            body,
            ..Request::default()
        })
    }

    /// Stores with one more header line, which the signature does not cover.
    pub fn put_with_unsigned(
        &mut self,
        bucket: &str,
        key: &str,
        body: &[u8],
        line: &str,
    ) -> Result<Response, Trouble> {
        let key = key.as_bytes();
        let head = self.head_of(&Request {
            method: "PUT",
            bucket,
            key,
            body,
            ..Request::default()
        });
        let head = head.replacen("\r\n", &format!("\r\n{line}"), 1);
        let mut connection = Connection::open(self.endpoint.port, self.endpoint.tls.as_ref())?;
        connection.exchange(&Exchange {
            head: &head,
            body,
            bodiless: false,
            known: None,
        })
    }

    /// Sends the head of a PUT and only a part of its body, then hangs up.
    pub fn put_abandoned(&mut self, bucket: &str, key: &str, body: &[u8], sent: usize) -> Outcome {
        let key = key.as_bytes();
        let request = Request {
            method: "PUT",
            bucket,
            key,
            body,
            ..Request::default()
        };
        let head = self.head_of(&request);
        let connection = Connection::open(self.endpoint.port, self.endpoint.tls.as_ref())?;
        Ok(connection.abandon(&head, &body[..sent])?)
    }

    /// Reads an object or one version of it.
    pub fn get(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Response, Trouble> {
        self.on_key("GET", bucket, key, &version_query(version))
    }

    /// Reads an object whose bytes are known: other ones are an error, and the same ones are not kept.
    pub fn get_known(
        &mut self,
        bucket: &str,
        key: &str,
        known: &[u8],
    ) -> Result<Response, Trouble> {
        self.send(&Request {
            method: "GET",
            bucket,
            key: key.as_bytes(),
            known: Some(known),
            ..Request::default()
        })
    }

    /// The tags of an object, as a document.
    pub fn tags(&mut self, bucket: &str, key: &str) -> Result<Response, Trouble> {
        self.on_key("GET", bucket, key, &[("tagging", "")])
    }

    /// Deletes an object or one version of it.
    pub fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Response, Trouble> {
        self.on_key("DELETE", bucket, key, &version_query(version))
    }

    fn on_key(
        &mut self,
        method: &str,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, Trouble> {
        let (key, query) = (key.as_bytes(), query.to_vec());
        self.send(&Request {
            method,
            bucket,
            key,
            query,
            ..Request::default()
        })
    }

    /// A listing or another question about a bucket (`""` asks for the buckets).
    pub fn ask(&mut self, bucket: &str, query: &[(&str, &str)]) -> Result<Response, Trouble> {
        let query = query.to_vec();
        self.send(&Request {
            method: "GET",
            bucket,
            query,
            ..Request::default()
        })
    }

    /// Starts a multipart upload; the inner value is its id, or the answer that was no 200.
    pub fn upload(&mut self, bucket: &str, key: &str) -> Result<Result<String, Response>, Trouble> {
        let response = self.on_key("POST", bucket, key, &[("uploads", "")])?;
        match (response.status, xml::element(&response.text(), "UploadId")) {
            (200, Some(id)) => Ok(Ok(id)),
            _ => Ok(Err(response)),
        }
    }

    /// Stores a part.
    pub fn part(
        &mut self,
        bucket: &str,
        key: &str,
        (upload, number): (&str, u32),
        body: &[u8],
    ) -> Result<Response, Trouble> {
        let number = number.to_string();
        let query = vec![("partNumber", number.as_str()), ("uploadId", upload)];
        let key = key.as_bytes();
        self.send(&Request {
            method: "PUT",
            bucket,
            key,
            query,
            body,
            ..Request::default()
        })
    }

    /// Makes the object of its parts.
    pub fn complete(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        parts: &[Part],
    ) -> Result<Response, Trouble> {
        let list: String = parts
            .iter()
            .map(|Part { number, etag }| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let (key, body) = (key.as_bytes(), body.as_bytes());
        let query = vec![("uploadId", upload)];
        self.send(&Request {
            method: "POST",
            bucket,
            key,
            query,
            body,
            ..Request::default()
        })
    }
}

fn version_query(version: Option<&str>) -> Vec<(&'static str, &str)> {
    version.map(|id| ("versionId", id)).into_iter().collect()
}
