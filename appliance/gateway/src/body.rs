//! Request bodies: read piece by piece, with deadlines, decoded and held against every promise.
//!
//! Invariant: `BodyReader::next` says "end" only when the whole body arrived as long as announced
//! and every digest and signature was right. Nothing here buffers more than one piece, except
//! `Collecting`, whose limits are its arguments.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

use crate::chain::ChunkProof;
use crate::chunked::{ChunkFault, Decoder, Step};
use crate::digest::{DigestFault, Digests, Promised, Verified};
use crate::limits::{BODY_BYTES_PER_S_MIN, BODY_GRACE_MS, BODY_PAUSE_MS_MAX, CHUNK_PROOF_COUNT};
use crate::message::ChecksumKind;
use crate::refused::Feature;

/// Why a body could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the body is shorter or longer than announced, or the connection broke")]
    Incomplete,
    #[error("the body did not arrive in time")]
    Stalled,
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("there are too many bodies of this size at once")]
    Crowded,
    #[error("the body was taken before")]
    Taken,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{}", .0.row().why)]
    Refused(Feature),
    #[error(transparent)]
    Chunk(#[from] ChunkFault),
    #[error(transparent)]
    Digest(#[from] DigestFault),
}

/// Where raw pieces of a body come from.
pub(crate) trait Pieces: Send {
    /// The next piece; an error if the connection broke.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>>;
}

impl Pieces for Incoming {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        loop {
            let frame = match Pin::new(&mut *self).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            // HTTP trailers mean nothing in S3.
            if let Ok(data) = frame.into_data() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

/// The raw body of one request, shared by whoever reads it and whoever cleans up behind.
#[derive(Clone)]
pub(crate) struct Source(Arc<Mutex<Raw>>);

struct Raw {
    pieces: Box<dyn Pieces>,
    started: bool,
    ended: bool,
    received_bytes: u64,
    /// How long the client has made us wait for it.
    waited: Duration,
}

impl Source {
    pub(crate) fn new(pieces: impl Pieces + 'static) -> Self {
        let raw = Raw {
            pieces: Box::new(pieces),
            started: false,
            ended: false,
            received_bytes: 0,
            waited: Duration::ZERO,
        };
        Self(Arc::new(Mutex::new(raw)))
    }

    /// Reads and forgets what a refused request still sends, within limits, so that the client gets
    /// to see the answer. A client that waits for `100 Continue` is not told to go on.
    pub(crate) async fn drain(&self, expects_continue: bool, bytes_max: u64) {
        let mut raw = self.0.lock().await;
        let mut left = bytes_max;
        if expects_continue && !raw.started {
            return;
        }
        while left > 0 {
            match raw.piece().await {
                Ok(Some(piece)) => {
                    left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Begins to collect a whole body of at most `bytes_max` bytes.
    pub(crate) async fn collect(&self, bytes_max: usize) -> Collecting {
        Collecting {
            raw: Arc::clone(&self.0).lock_owned().await,
            bytes_max,
            bytes: BytesMut::new(),
        }
    }
}

/// A body on its way into memory.
pub(crate) struct Collecting {
    raw: OwnedMutexGuard<Raw>,
    bytes_max: usize,
    bytes: BytesMut,
}

impl Collecting {
    /// Reads on to its end, or until more than this is held, bytes. True at its end.
    pub(crate) async fn read(&mut self, held_bytes: usize) -> Result<bool, BodyFault> {
        let bytes_max = self.bytes_max;
        while self.bytes.len() <= held_bytes {
            let Some(piece) = self.raw.piece().await? else {
                return Ok(true);
            };
            if self.bytes.len() + piece.len() > bytes_max {
                return Err(BodyFault::TooLarge { bytes_max });
            }
            match self.bytes.is_empty() {
                true => self.bytes = BytesMut::from(piece),
                false => self.bytes.extend_from_slice(&piece),
            }
        }
        Ok(false)
    }

    /// What was collected, if it is what the client promised.
    pub(crate) fn verified(self, promised: &Promised) -> Result<Bytes, BodyFault> {
        let bytes = self.bytes.freeze();
        let mut digests = Digests::new(promised);
        digests.update(&bytes);
        digests.verify(promised, &[])?;
        Ok(bytes)
    }
}

impl Raw {
    async fn piece(&mut self) -> Result<Option<Bytes>, BodyFault> {
        if self.ended {
            return Ok(None);
        }
        self.started = true;
        let pause = Duration::from_millis(BODY_PAUSE_MS_MAX);
        let asked = Instant::now();
        let piece = timeout(pause, poll_fn(|cx| self.pieces.poll_piece(cx))).await;
        self.waited += asked.elapsed();
        match piece {
            Ok(Some(Ok(piece))) => {
                let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.received_bytes = self.received_bytes.saturating_add(bytes);
                if self.is_too_slow() {
                    self.ended = true;
                    return Err(BodyFault::Stalled);
                }
                Ok(Some(piece))
            }
            Ok(Some(Err(()))) => {
                self.ended = true;
                Err(BodyFault::Incomplete)
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(_elapsed) => {
                self.ended = true;
                Err(BodyFault::Stalled)
            }
        }
    }
}

impl Raw {
    fn is_too_slow(&self) -> bool {
        let least = self.waited.as_secs().saturating_mul(BODY_BYTES_PER_S_MIN);
        self.waited > Duration::from_millis(BODY_GRACE_MS) && self.received_bytes < least
    }
}

/// How the content is wrapped.
pub(crate) enum Coding {
    /// As it is, this many bytes.
    Plain { content_bytes: u64 },
    /// `aws-chunked`.
    Chunked(Box<Decoder>),
}

/// Reads the content of one upload.
pub(crate) struct BodyReader<'p> {
    raw: OwnedMutexGuard<Raw>,
    coding: Option<Coding>,
    pending: Bytes,
    promised: &'p Promised,
    digests: Digests,
    /// Signatures of chunks that nobody verified yet.
    proofs: Vec<ChunkProof>,
}

/// What reading yields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Some content, not yet proved.
    Piece(Bytes),
    /// The end: everything was right.
    End(Verified),
}

impl<'p> BodyReader<'p> {
    /// Takes the body for reading.
    pub(crate) fn new(
        source: &Source,
        coding: Coding,
        promised: &'p Promised,
    ) -> Result<Self, BodyFault> {
        let raw = Arc::clone(&source.0)
            .try_lock_owned()
            .map_err(|_| BodyFault::Taken)?;
        if raw.started {
            return Err(BodyFault::Taken);
        }
        let digests = Digests::new(promised);
        Ok(Self {
            raw,
            coding: Some(coding),
            pending: Bytes::new(),
            promised,
            digests,
            proofs: Vec::new(),
        })
    }

    /// Also computes and keeps this checksum.
    pub(crate) fn keep(&mut self, kind: ChecksumKind) {
        self.digests.keep(kind);
    }

    /// The signatures of what was read, where there are some to verify: many, or at the end all.
    pub(crate) fn take_proofs(&mut self) -> Option<Vec<ChunkProof>> {
        let due = self.coding.is_none() || self.proofs.len() >= CHUNK_PROOF_COUNT;
        let due = due && !self.proofs.is_empty();
        due.then(|| std::mem::take(&mut self.proofs))
    }

    /// The next piece of content, or the proof that it was all and right.
    pub(crate) async fn next(&mut self) -> Result<Content, BodyFault> {
        loop {
            let Some(coding) = &mut self.coding else {
                return Err(BodyFault::Taken);
            };
            let piece = match coding {
                Coding::Plain { content_bytes } => plain(&mut self.pending, content_bytes)?,
                Coding::Chunked(decoder) => {
                    let step = decoder.step(&mut self.pending)?;
                    self.proofs.append(&mut decoder.take_proofs());
                    match step {
                        Step::Data(piece) => Some(piece),
                        Step::Need => None,
                    }
                }
            };
            if let Some(piece) = piece {
                self.digests.update(&piece);
                return Ok(Content::Piece(piece));
            }
            match self.raw.piece().await? {
                Some(piece) => self.pending = piece,
                None => return self.end().map(Content::End),
            }
        }
    }

    fn end(&mut self) -> Result<Verified, BodyFault> {
        let trailers: Vec<(ChecksumKind, String)> = match self.coding.take() {
            Some(Coding::Plain { content_bytes: 0 }) => Vec::new(),
            Some(Coding::Plain { .. }) => return Err(BodyFault::Incomplete),
            Some(Coding::Chunked(mut decoder)) => {
                let trailers = decoder.finish()?;
                self.proofs.append(&mut decoder.take_proofs());
                trailers
            }
            None => return Err(BodyFault::Taken),
        };
        let digests = std::mem::take(&mut self.digests);
        Ok(digests.verify(self.promised, &trailers)?)
    }
}

fn plain(pending: &mut Bytes, left: &mut u64) -> Result<Option<Bytes>, BodyFault> {
    if pending.is_empty() {
        return Ok(None);
    }
    let piece = std::mem::take(pending);
    let taken = u64::try_from(piece.len()).map_err(|_| BodyFault::Incomplete)?;
    *left = left.checked_sub(taken).ok_or(BodyFault::Incomplete)?;
    Ok(Some(piece))
}

#[cfg(test)]
mod tests;
