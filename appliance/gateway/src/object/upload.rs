//! Content on its way to the engine.
//!
//! Content that fits into one slab is read first and asked about once; more of it has a stream that is opened before.
//!
//! Invariant: `CommitPut` or `Put` is sent only after the body ended and every promise the client made about
//! it was kept. In every other case, the end of the task included, an open stream is aborted and nothing else is asked.

use bytes::Buf;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::body::{BodyReader, Coding, Content};
use crate::chain::ChunkProof;
use crate::chunked::Decoder;
use crate::error::{invalid_request, wrong_answer};
use crate::front::RequestContext;
use crate::guard::{Described, Payload};
use crate::limits::{
    SLAB_PLAIN_BYTES_MAX, UPLOAD_BYTES_MAX, UPLOAD_STAGE_BYTES, UPLOAD_WHOLE_BYTES,
};
use crate::link::Pending;
use crate::message::{
    Answer, BucketKind, ChecksumKind, Conditions, ObjectName, Purpose, Refusal, Request, Stored,
    StreamId,
};
use crate::service::{Caller, Service, settle_done};
use crate::slab::{Slab, Slabs};
use crate::turns::Turn;
use crate::wire;

/// Stores the request's body as what `purpose` says. `kept` is a checksum to keep even where the client
/// does not give it.
pub(crate) async fn store(
    service: &Service,
    caller: &Caller,
    context: &RequestContext,
    kept: Option<ChecksumKind>,
    (name, purpose, conditions): (ObjectName, Purpose, Conditions),
) -> S3Result<Stored> {
    let described = &context.described;
    let content_bytes = content_length(described)?;
    if content_bytes > UPLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge {
            bytes_max: UPLOAD_BYTES_MAX,
        }
        .into());
    }
    require_integrity(caller, described, &name, &purpose).await?;
    let mut reader = BodyReader::new(
        &context.source,
        coding(context, content_bytes),
        &described.promised,
    )?;
    if let Some(kind) = kept {
        reader.keep(kind);
    }
    let short = usize::try_from(content_bytes).ok();
    let short = short.filter(|bytes| *bytes <= UPLOAD_WHOLE_BYTES);
    if let (Some(bytes), Ok(_turn)) = (short, service.wholes.try_acquire()) {
        let mut whole = Vec::with_capacity(bytes);
        let verified = loop {
            match next(caller, &mut reader).await? {
                Content::Piece(piece) => whole.extend_from_slice(&piece),
                Content::End(verified) => break verified,
            }
        };
        let request = Request::Put {
            name,
            purpose,
            content: wire::Content(whole),
            md5: verified.md5,
            checksums: verified.checksums,
            conditions,
        };
        return stored(caller.post(request, None).await?).await;
    }
    let mut upload = match usize::try_from(content_bytes) {
        Ok(bytes) if bytes <= SLAB_PLAIN_BYTES_MAX => Upload::at_once(caller, name, purpose),
        _ => Upload::open(caller, name, purpose, content_bytes).await?,
    };
    let verified = loop {
        match next(caller, &mut reader).await? {
            Content::Piece(piece) => upload.append(&service.slabs, piece).await?,
            Content::End(verified) => break verified,
        }
    };
    upload
        .commit(&service.slabs, verified.md5, verified.checksums, conditions)
        .await
}

/// What comes next of the content, the signatures of its chunks verified.
async fn next(caller: &Caller, reader: &mut BodyReader<'_>) -> S3Result<Content> {
    let content = reader.next().await;
    // Also where the content is not what was promised: a wrong signature explains more.
    prove(caller, reader.take_proofs()).await?;
    Ok(content?)
}

/// What the engine says of content it was to store. A client that leaves meanwhile may find it stored.
async fn stored(pending: Pending) -> S3Result<Stored> {
    match crate::link::settle(pending).await?.answer {
        Answer::Stored(stored) => Ok(stored),
        _ => Err(wrong_answer()),
    }
}

/// Has signatures of chunks verified.
async fn prove(caller: &Caller, proofs: Option<Vec<ChunkProof>>) -> S3Result<()> {
    let Some(proofs) = proofs else {
        return Ok(());
    };
    match caller.ask(Request::VerifyChunks { proofs }).await? {
        Answer::Done => Ok(()),
        _ => Err(wrong_answer()),
    }
}

/// The length of the content as the client announced it.
fn content_length(described: &Described) -> S3Result<u64> {
    let (length, name) = match described.payload {
        Payload::Streaming { .. } => (described.decoded_bytes, "x-amz-decoded-content-length"),
        _ => (described.content_bytes, "Content-Length"),
    };
    length.ok_or_else(|| {
        S3Error::with_message(
            S3ErrorCode::MissingContentLength,
            format!("you must provide the {name} HTTP header"),
        )
    })
}

fn coding(context: &RequestContext, content_bytes: u64) -> Coding {
    let described = &context.described;
    let Payload::Streaming { signed, trailer } = described.payload else {
        return Coding::Plain { content_bytes };
    };
    let trailers = trailer.then(|| described.promised.trailers.clone());
    let decoder = Decoder::new(content_bytes, signed, trailers);
    Coding::Chunked(Box::new(decoder))
}

/// What is to be locked must not have been damaged on the way: without any digest or signature
/// over the content, nobody could tell.
async fn require_integrity(
    caller: &Caller,
    described: &Described,
    name: &ObjectName,
    purpose: &Purpose,
) -> S3Result<()> {
    let covered = match described.payload {
        Payload::Whole(_) | Payload::Streaming { signed: true, .. } => true,
        Payload::Unsigned | Payload::Streaming { signed: false, .. } => false,
    };
    if covered || described.promised.has_explicit() {
        return Ok(());
    }
    let wished = match purpose {
        Purpose::Object { lock, .. } => lock.retention.is_some() || lock.hold.is_some(),
        Purpose::Part { .. } => false,
    };
    if !wished && caller.bucket(&name.bucket).await?.kind == BucketKind::Plain {
        return Ok(());
    }
    Err(invalid_request(
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put requests with Object Lock \
         parameters or into a bucket with Object Lock, unless the payload is signed",
    ))
}

/// Content on its way into slabs; a stream it has opened is aborted when it is dropped before its commit.
///
/// Invariant: content is staged only while no slab is being filled, so that it stays in order.
pub(super) struct Upload {
    caller: Caller,
    way: Way,
    /// Content that has no slab yet.
    staged: Vec<u8>,
    filling: Option<Slab>,
    turn: Option<Turn>,
    unanswered: Option<Pending>,
}

/// How the engine hears of content.
enum Way {
    /// In one question, once all of it is here. It fits into one slab.
    AtOnce(ObjectName, Purpose),
    /// Slab by slab.
    Stream(StreamId),
    /// Nothing is to be undone any more: the engine decides.
    Asked,
}

impl Upload {
    fn at_once(caller: &Caller, name: ObjectName, purpose: Purpose) -> Self {
        Self::new(caller, Way::AtOnce(name, purpose))
    }

    fn new(caller: &Caller, way: Way) -> Self {
        Self {
            caller: caller.clone(),
            way,
            staged: Vec::new(),
            filling: None,
            turn: None,
            unanswered: None,
        }
    }

    pub(super) async fn open(
        caller: &Caller,
        name: ObjectName,
        purpose: Purpose,
        content_bytes: u64,
    ) -> S3Result<Self> {
        let request = Request::OpenPut {
            name,
            purpose,
            content_bytes: Some(content_bytes),
        };
        match caller.ask(request).await? {
            Answer::Stream(stream) => Ok(Self::new(caller, Way::Stream(stream))),
            _ => Err(wrong_answer()),
        }
    }

    pub(super) async fn append(&mut self, slabs: &Slabs, mut piece: bytes::Bytes) -> S3Result<()> {
        while piece.has_remaining() {
            let mut slab = match self.filling.take() {
                Some(slab) => slab,
                None if self.staged.len() + piece.len() <= UPLOAD_STAGE_BYTES => {
                    self.staged.extend_from_slice(&piece);
                    return Ok(());
                }
                None => {
                    if self.turn.is_none() {
                        self.turn = Some(slabs.turn(self.caller.party()).await?);
                    }
                    self.take_slab(slabs).await?
                }
            };
            let taken = slab.append(&piece);
            piece.advance(taken);
            match self.way {
                Way::Stream(stream) if slab.is_full() => {
                    self.send(stream, slab).await?;
                    // Whoever else of this owner's waits for a turn goes on.
                    self.turn = None;
                }
                // The reader gives no more than was announced, which fits.
                _ if taken == 0 => return Err(invalid_request("the content is too long")),
                _ => self.filling = Some(slab),
            }
        }
        Ok(())
    }

    /// A slab with what is staged in it.
    async fn take_slab(&mut self, slabs: &Slabs) -> S3Result<Slab> {
        let mut slab = slabs.uploads.take_soon().await?;
        // All of it fits: a slab is larger than what is ever staged.
        slab.append(&self.staged);
        self.staged.clear();
        Ok(slab)
    }

    /// Hands over a slab after the one before it was taken, so that at most one waits while the
    /// next is filled.
    async fn send(&mut self, stream: StreamId, slab: Slab) -> S3Result<()> {
        self.settle().await?;
        let request = Request::PutData { stream };
        self.unanswered = Some(self.caller.post(request, Some(slab)).await?);
        Ok(())
    }

    async fn settle(&mut self) -> S3Result<()> {
        match self.unanswered.take() {
            Some(pending) => settle_done(pending).await,
            None => Ok(()),
        }
    }

    pub(super) async fn commit(
        mut self,
        slabs: &Slabs,
        md5: Option<[u8; 16]>,
        checksums: Vec<crate::message::Checksum>,
        conditions: Conditions,
    ) -> S3Result<Stored> {
        if !self.staged.is_empty() {
            self.filling = Some(self.take_slab(slabs).await?);
        }
        let slab = self.filling.take();
        let pending = match std::mem::replace(&mut self.way, Way::Asked) {
            Way::AtOnce(name, purpose) => {
                let request = Request::Put {
                    name,
                    purpose,
                    content: wire::Content::default(),
                    md5,
                    checksums,
                    conditions,
                };
                let pending = self.caller.post(request, slab).await?;
                // From here on no client keeps the slab waiting.
                self.turn = None;
                pending
            }
            Way::Stream(stream) => {
                // Until the commit is asked for, whoever drops this aborts the stream.
                self.way = Way::Stream(stream);
                if let Some(slab) = slab {
                    self.send(stream, slab).await?;
                }
                self.settle().await?;
                let request = Request::CommitPut {
                    stream,
                    md5,
                    checksums,
                    conditions,
                };
                let pending = self.caller.post(request, None).await?;
                self.way = Way::Asked;
                pending
            }
            Way::Asked => return Err(wrong_answer()),
        };
        stored(pending).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Way::Stream(stream) = self.way else {
            return;
        };
        let caller = self.caller.clone();
        // Without a runtime the process is ending, and the engine forgets the stream by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // The engine may have dropped the stream already when it refused something.
                let _forgotten = caller.ask(Request::AbortPut { stream }).await;
            });
        }
    }
}
