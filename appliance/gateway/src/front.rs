//! One request from head to answer: guard, S3 library, and what both leave to be put right.
//!
//! Invariants: the S3 library never sees the content of an upload, only its headers; what it logs
//! goes nowhere, because it would name keys; every answer carries a request id and nothing is
//! cleanly ended that is not complete.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, S3Error, S3ErrorCode, S3Result, StdError};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber;

use crate::auth::strip;
use crate::body::{BodyFault, Source};
use crate::bucket::owner;
use crate::digest::DigestFault;
use crate::document::{self, Written};
use crate::elements::check_elements;
use crate::error::access_denied;
use crate::guard::host::{Domains, to_path_style};
use crate::guard::{BodyUse, Described, Payload, inspect};
use crate::limits::{
    REFUSED_BODY_BYTES_MAX, REFUSED_BODY_MS_MAX, XML_BODIES_LARGE_MAX,
    XML_BODIES_LARGE_OF_PARTY_MAX, XML_BODY_BYTES_MAX, XML_BODY_MS_MAX, XML_BODY_SMALL_BYTES,
};
use crate::link::{EngineLink, Session};
use crate::memory::{Kept, request_bytes};
use crate::object::attributes::unquote;
use crate::patience::unhurried;
use crate::places::Visitor;
use crate::service::Caller;
use crate::text::{query_pairs, xml_safe};
use crate::turns::{Division, Turn, Turns};

/// Names what is copied.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// What the handlers know of the request beside what the S3 library parsed.
pub(crate) struct RequestContext {
    /// Whose request it is.
    pub session: Session,
    /// The head, as the guard understood it.
    pub described: Described,
    /// The body, if the handler is to read it.
    pub source: Source,
}

/// Answers requests.
pub(crate) struct Front {
    s3: S3Service,
    link: EngineLink,
    domains: Domains,
    large_documents: Turns,
    requests: AtomicU64,
    started: u64,
    /// After so long without an answer to a copy its answer begins.
    silence: Duration,
}

impl Front {
    pub(crate) fn new(
        s3: S3Service,
        link: EngineLink,
        domains: Domains,
        silence: Duration,
    ) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let documents = Division::new(XML_BODIES_LARGE_MAX, XML_BODIES_LARGE_OF_PARTY_MAX);
        Self {
            s3,
            link,
            domains,
            large_documents: Turns::new(documents),
            requests: AtomicU64::new(0),
            started: since.map_or(0, |d| d.as_secs()),
            silence,
        }
    }

    /// Answers one request. Failures are answers too.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        visitor: Arc<Visitor>,
    ) -> Result<Response<Body>, Infallible> {
        let began = Instant::now();
        let id = format!(
            "{:08X}{:08X}",
            self.started & 0xffff_ffff,
            self.requests.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff
        );
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        let expects_continue = parts.headers.contains_key(EXPECT);
        let is_copy = is_copy(&parts);
        let empty = body.size_hint().exact() == Some(0);
        let source = Source::new(body);

        let silence = self.silence;
        let answering = self.answer(parts, (source.clone(), empty), visitor, id.clone());
        let mut response = match is_copy {
            true => unhurried(answering, silence).await,
            false => answering.await,
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let most = Duration::from_millis(REFUSED_BODY_MS_MAX);
            let drained = source.drain(expects_continue, REFUSED_BODY_BYTES_MAX);
            // What is still unread then is cut off with the connection.
            let _in_time = timeout(most, drained).await;
        }
        tracing::debug!(
            request = %id,
            %method,
            status = status.as_u16(),
            micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        Ok(response)
    }

    async fn answer(
        self: Arc<Self>,
        mut parts: Parts,
        (source, empty): (Source, bool),
        visitor: Arc<Visitor>,
        id: String,
    ) -> Response<Body> {
        let method = parts.method.clone();
        let mut response = match self.admit(&mut parts, &visitor, empty).await {
            Ok((described, session, memory)) => {
                let head = Request::from_parts(parts, ());
                let mut kept = Kept::new(memory);
                let serving = self.serve(head, (described, session), (&source, empty), &mut kept);
                let mut response = serving.await;
                response.extensions_mut().insert(kept);
                response
            }
            Err(error) => self.not_admitted(error, &visitor),
        };
        finish(&mut response, &method, &id);
        response
    }

    /// Checks a head and has its signature verified; nothing of the body was looked at then.
    async fn admit(
        &self,
        parts: &mut Parts,
        visitor: &Visitor,
        empty: bool,
    ) -> S3Result<(Described, Session, Turn)> {
        let unverified = self.link.memory().of_head(visitor.source(), parts, empty)?;
        let sent_path = to_path_style(parts, &self.domains)?;
        let (claim, described) = inspect(parts, &sent_path)?;
        let session = {
            let chunks = matches!(described.payload, Payload::Streaming { signed: true, .. });
            let signing_in = self
                .link
                .sign_in(claim, visitor.address(), chunks, unverified);
            signing_in.await?
        };
        if !visitor.signed() {
            // Nothing was begun that the end of the connection would leave in the dark.
            let why = "the connection makes room for others; connect again";
            return Err(S3Error::with_message(S3ErrorCode::SlowDown, why));
        }
        let memory = session.try_memory(request_bytes(&described, parts, empty))?;
        if parts.method == Method::GET {
            session.show_pages();
        }
        let caller = Caller::from(session.clone());
        for (bucket, id) in &described.owners {
            let found = owner(&caller.bucket(bucket).await?.owner);
            if found.id.as_ref() != Some(id) {
                return Err(access_denied("the bucket belongs to somebody else"));
            }
        }
        strip(parts);
        Ok((described, session, memory))
    }

    /// The answer to a request that was not let in. Where there are too many that nobody takes, it has no document: then
    /// there is nothing to take.
    fn not_admitted(&self, error: S3Error, visitor: &Visitor) -> Response<Body> {
        let mut response = error_response(error);
        match self.link.memory().of_refusal(visitor.source()) {
            Ok(memory) => {
                response.extensions_mut().insert(Kept::new(memory));
            }
            Err(_busy) => *response.body_mut() = Body::empty(),
        }
        response
    }

    async fn serve(
        &self,
        head: Request<()>,
        (described, session): (Described, Session),
        (source, empty): (&Source, bool),
        kept: &mut Kept,
    ) -> Response<Body> {
        let upload = described.body == BodyUse::Upload;
        if empty && !upload && described.payload.contradicts_nothing() {
            return error_response(DigestFault::Payload.into());
        }
        let size = if empty {
            Some(0)
        } else {
            described.content_bytes
        };
        let context = Arc::new(RequestContext {
            session,
            described,
            source: source.clone(),
        });
        let document = Document::new(&context, &self.large_documents);
        let body = match upload {
            true => Body::empty(),
            false => Body::http_body_unsync(document.body(size)),
        };
        let mut request = head.map(|()| body);
        request.extensions_mut().insert(Arc::clone(&context));

        let quiet = tracing::Dispatch::none();
        let answered = self.s3.call(request).with_subscriber(quiet).await;
        if let Some(fault) = document.fault() {
            return error_response(fault.into());
        }
        let response = answered.unwrap_or_else(|_error| {
            error_response(S3Error::with_message(
                S3ErrorCode::InternalError,
                "the answer could not be written",
            ))
        });
        let session = &context.session;
        let waits = session.has_page() || document.has_turn();
        match kept.grow(session, &response, waits).await {
            Ok(()) => response,
            Err(busy) => error_response(busy.into()),
        }
    }
}

/// Whether a request is CopyObject or UploadPartCopy, by its head or, presigned, by its query.
fn is_copy(parts: &Parts) -> bool {
    let query = query_pairs(parts.uri.query().unwrap_or_default()).unwrap_or_default();
    let named = |(name, _): &(String, String)| name.eq_ignore_ascii_case(COPY_SOURCE);
    let of_copies = |(name, _): &(String, String)| {
        let signed = name
            .get(..6)
            .is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
        signed || ["x-id", "partNumber", "uploadId"].contains(&name.as_str())
    };
    let names_source = parts.headers.contains_key(COPY_SOURCE) || query.iter().any(named);
    parts.method == Method::PUT && names_source && query.iter().all(of_copies)
}

pub(crate) fn error_response(error: S3Error) -> Response<Body> {
    error.to_http_response().unwrap_or_else(|_error| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Puts right what the S3 library cannot express.
fn finish(response: &mut Response<Body>, method: &Method, id: &str) {
    if let Some(Written(document)) = response.extensions_mut().remove() {
        *response.body_mut() = Body::from(document);
    }
    explain(response, id);
    unquote(response);
    if response.status() == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().remove(CONTENT_TYPE);
    }
    if method == Method::HEAD {
        // HTTP/1 drops the body of such an answer by itself, HTTP/2 would send it.
        *response.body_mut() = Body::empty();
    }
    let partial = response.headers().contains_key(CONTENT_RANGE);
    if method == Method::HEAD && partial && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
}

/// Some errors of the S3 library come without a sentence, and none knows the request's id; some repeat what XML cannot
/// carry.
fn explain(response: &mut Response<Body>, id: &str) {
    const END: &str = "</Error>";
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    let Some(bytes) = response.body().bytes() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return;
    };
    let Some(start) = text.strip_suffix(END) else {
        return;
    };
    let code = start
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    let message = match code {
        Some((code, _)) if !start.contains("<Message>") => {
            format!("<Message>{}</Message>", default_message(code))
        }
        _ => String::new(),
    };
    let start = start.replace(|c: char| !xml_safe(c.encode_utf8(&mut [0; 4])), "\u{fffd}");
    let text = format!("{start}{message}<RequestId>{id}</RequestId>{END}");
    *response.body_mut() = Body::from(text);
}

fn default_message(code: &str) -> &'static str {
    match code {
        "MalformedXML" => "the XML you provided is not well-formed or not what this request needs",
        "SignatureDoesNotMatch" => {
            "the signature computed for this request does not match the one you provided; check \
             your secret key and signing method"
        }
        "IncompleteBody" => "the body is not as long as the request said",
        "MissingRequestBodyError" => "the request has no body",
        "MethodNotAllowed" => "the method is not allowed for this resource",
        _ => "the request cannot be served as it is",
    }
}

/// A small request body that is collected, within limits, when the S3 library first asks for it.
struct Document {
    context: Arc<RequestContext>,
    turns: Turns,
    outcome: Arc<Mutex<Outcome>>,
}

/// What came of collecting.
#[derive(Default)]
struct Outcome {
    fault: Option<BodyFault>,
    /// Held until the request is answered.
    turn: Option<Turn>,
}

impl Document {
    fn new(context: &Arc<RequestContext>, turns: &Turns) -> Self {
        Self {
            context: Arc::clone(context),
            turns: turns.clone(),
            outcome: Arc::default(),
        }
    }

    /// Why collecting failed, if it did. The S3 library would call it an internal error.
    fn fault(&self) -> Option<BodyFault> {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fault
    }

    fn has_turn(&self) -> bool {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.turn.is_some()
    }

    fn body(&self, size: Option<u64>) -> DocumentBody {
        let (context, turns) = (Arc::clone(&self.context), self.turns.clone());
        let outcome = Arc::clone(&self.outcome);
        let collect = async move {
            let collected = collect(&context, &turns).await;
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.fault = collected.as_ref().err().copied();
            let (bytes, turn) = collected?;
            outcome.turn = turn;
            Ok(bytes)
        };
        DocumentBody {
            collect: Some(Box::pin(collect)),
            size,
        }
    }
}

/// A whole document. Only what has arrived and is not small takes a turn, so that a client that says much
/// and sends little has none.
async fn collect(
    context: &RequestContext,
    turns: &Turns,
) -> Result<(Bytes, Option<Turn>), BodyFault> {
    let bytes_max = XML_BODY_BYTES_MAX;
    let announced = match context.described.content_bytes {
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        None => bytes_max,
    };
    if announced > bytes_max {
        return Err(BodyFault::TooLarge { bytes_max });
    }
    let mut left = Duration::from_millis(XML_BODY_MS_MAX);
    let mut document = context.source.collect(announced).await;
    let mut turn = None;
    if !in_time(&mut left, document.read(XML_BODY_SMALL_BYTES)).await? {
        let taken = turns.turn(context.session.party()).await;
        turn = Some(taken.map_err(|_busy| BodyFault::Crowded)?);
        in_time(&mut left, document.read(bytes_max)).await?;
    }
    let bytes = document.verified(&context.described.promised)?;
    check_elements(&bytes)?;
    Ok((check_document(bytes)?, turn))
}

/// Part of a body, in what is left of its time.
async fn in_time(
    left: &mut Duration,
    read: impl Future<Output = Result<bool, BodyFault>>,
) -> Result<bool, BodyFault> {
    let began = Instant::now();
    let done = timeout(*left, read).await;
    *left = left.saturating_sub(began.elapsed());
    done.unwrap_or(Err(BodyFault::Stalled))
}

/// The S3 library overlooks CDATA sections, so that a key written as one would lose that part and
/// name another object; document types have no place here either.
pub(crate) fn check_document(bytes: Bytes) -> Result<Bytes, BodyFault> {
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    if has(b"<![CDATA[") || has(b"<!DOCTYPE") {
        return Err(BodyFault::Malformed(
            "CDATA sections and document types are not accepted",
        ));
    }
    document::read(bytes)
}

type Collecting = Pin<Box<dyn Future<Output = Result<Bytes, BodyFault>> + Send>>;

struct DocumentBody {
    collect: Option<Collecting>,
    /// Its length, if known beforehand.
    size: Option<u64>,
}

impl HttpBody for DocumentBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let Some(collect) = &mut self.collect else {
            return Poll::Ready(None);
        };
        let collected = std::task::ready!(collect.as_mut().poll(cx));
        self.collect = None;
        Poll::Ready(match collected {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(fault) => Some(Err(Box::new(fault))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_document_whatever_it_is_about() {
        for (message, expected) in [
            ("plain & <simple>", "plain &amp; &lt;simple&gt;"),
            (
                "a\u{1}b\u{1b}c\rd\u{ffff}",
                "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}",
            ),
            ("", "the request cannot be served as it is"),
        ] {
            let error = match message {
                "" => S3Error::new(S3ErrorCode::InvalidArgument),
                message => S3Error::with_message(S3ErrorCode::InvalidArgument, message),
            };
            let mut response = error_response(error);
            explain(&mut response, "ID");
            let body = response.body().bytes().expect("a document");
            let text = std::str::from_utf8(&body).expect("text");
            let expected = format!("<Message>{expected}</Message>");
            assert!(text.contains(&expected), "{text}");
            assert!(text.contains("<RequestId>ID</RequestId>"), "{text}");
        }
    }
}
