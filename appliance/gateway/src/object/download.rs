//! Content on its way to a client.
//!
//! Invariant: the body ends cleanly only after exactly the promised number of bytes. A refusal in
//! mid-stream becomes a body error, which breaks the connection, so that no client takes a part
//! for the whole.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use s3s::{S3Result, StdError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::wrong_answer;
use crate::limits::{
    COPY_SLABS, DOWNLOAD_AHEAD_PIECES, DOWNLOAD_COPIED_BYTES_MAX, DOWNLOAD_PAUSE_MS_MAX,
    SLAB_PLAIN_BYTES_MAX, TURN_WAIT_MS,
};
use crate::link::{Pending, settle};
use crate::message::{Answer, Delivered, Refusal, Request, StreamId};
use crate::service::Caller;
use crate::slab::{Slab, Slabs};
use crate::turns::Turn;

/// Why a download broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the engine refused to go on: {0}")]
    Refused(Refusal),
    #[error("the client took nothing for too long")]
    Stalled,
    #[error("the engine gave more or less content than it had promised")]
    Length,
}

/// Who takes the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    /// A client, in its own time.
    Client,
    /// An upload of this process, which waits for memory as well: all of it comes in one turn, so that neither waits for
    /// what the other one has.
    Copy,
}

/// A running download. Dropping it closes the engine's stream.
pub(super) struct Download {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    /// The first piece, where it was waited for.
    first: Option<Bytes>,
    left: u64,
}

impl Download {
    /// Starts to fetch `bytes` bytes from an open stream for somebody.
    pub(super) fn start(
        caller: Caller,
        slabs: &Slabs,
        (stream, bytes): (StreamId, u64),
        taker: Taker,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        let slabs = slabs.clone();
        tokio::spawn(async move {
            let fetched = fetch((&caller, &slabs), (stream, bytes), taker, &sender).await;
            if let Err(broken) = fetched {
                // The client may be gone; then nobody needs to know.
                let _told = sender.try_send(Err(broken));
            }
            let _closed = caller.ask(Request::CloseGet { stream }).await;
        });
        Self {
            pieces,
            first: None,
            left: bytes,
        }
    }

    /// The same with its first piece there: who has to wait in vain for memory, or asks for content that cannot be
    /// read, is told so in the place of an answer that breaks off.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn begun(mut self) -> S3Result<Self> {
        if self.left > 0 {
            self.first = Some(self.receive().await?);
        }
        Ok(self)
    }

    /// The next piece; none after the last.
    ///
    /// # Errors
    /// Why the content cannot be read to its end.
    pub(super) async fn next(&mut self) -> S3Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = match self.first.take() {
            Some(piece) => piece,
            None => self.receive().await?,
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(wrong_answer)?;
        Ok(Some(piece))
    }

    async fn receive(&mut self) -> S3Result<Bytes> {
        match self.pieces.recv().await {
            Some(Ok(piece)) => Ok(piece),
            Some(Err(Broken::Refused(refusal))) => Err(refusal.into()),
            Some(Err(Broken::Length | Broken::Stalled)) | None => Err(wrong_answer()),
        }
    }
}

/// Closes a stream that nobody is going to read.
pub(super) fn close(caller: Caller, stream: StreamId) {
    tokio::spawn(async move {
        let _closed = caller.ask(Request::CloseGet { stream }).await;
    });
}

/// Keeps a few questions in flight and passes the answers on in order.
async fn fetch(
    from: (&Caller, &Slabs),
    (stream, bytes): (StreamId, u64),
    taker: Taker,
    sender: &mpsc::Sender<Result<Bytes, Broken>>,
) -> Result<(), Broken> {
    let (caller, _) = from;
    let mut asked: VecDeque<(Pending, Turn)> = VecDeque::new();
    let mut left = bytes;
    if left == 0 {
        return Ok(());
    }
    let whole = tokio::select! {
        whole = whole(from, bytes, taker) => whole.map_err(Broken::Refused)?,
        () = sender.closed() => return Ok(()),
    };
    // Whoever has a part of it already waits for the next one as long as for anything else.
    let mut patience = Duration::from_millis(TURN_WAIT_MS);
    while left > 0 {
        // Nothing is asked for before there is a place for it, so that a client that takes nothing
        // holds little.
        let pause = Duration::from_millis(DOWNLOAD_PAUSE_MS_MAX);
        let place = match timeout(pause, sender.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_gone)) => return Ok(()),
            Err(_elapsed) => return Err(Broken::Stalled),
        };
        while wants_more(asked.len(), left, taker) {
            // With a piece on its way, one that would have to wait for memory can wait for that too.
            let wait = asked.is_empty().then_some(patience);
            let memory = tokio::select! {
                memory = memory(from, whole.as_ref(), wait) => memory,
                () = sender.closed() => return Ok(()),
            };
            let Some((slab, turn)) = memory.map_err(Broken::Refused)? else {
                break;
            };
            let request = Request::NextData { stream };
            let pending = caller.post(request, Some(slab)).await;
            asked.push_back((pending.map_err(Broken::Refused)?, turn));
        }
        let Some((first, turn)) = asked.pop_front() else {
            return Err(Broken::Length);
        };
        let slab = match settle(first).await.map_err(Broken::Refused)? {
            Delivered {
                answer: Answer::Data,
                slab: Some(slab),
            } => slab,
            _ => return Err(Broken::Length),
        };
        let piece = piece(slab, turn);
        let length = u64::try_from(piece.len()).map_err(|_| Broken::Length)?;
        if length == 0 {
            return Err(Broken::Length);
        }
        left = left.checked_sub(length).ok_or(Broken::Length)?;
        place.send(Ok(piece));
        patience = pause;
    }
    Ok(())
}

/// The turn in which all of it comes, if that is so: of little content, and of what is copied.
async fn whole(
    (caller, slabs): (&Caller, &Slabs),
    bytes: u64,
    taker: Taker,
) -> Result<Option<Turn>, Refusal> {
    let small = usize::try_from(bytes).ok();
    match (
        small.filter(|bytes| *bytes <= DOWNLOAD_COPIED_BYTES_MAX),
        taker,
    ) {
        (Some(bytes), _) => caller.memory(bytes).await.map(Some),
        (None, Taker::Copy) => slabs.copier_turn(caller.party()).await.map(Some),
        (None, Taker::Client) => Ok(None),
    }
}

/// A slab, and the turn in which whoever is sent its content has it: within this time, or now or not at all. What comes
/// as a `whole` has its turn already.
async fn memory(
    (caller, slabs): (&Caller, &Slabs),
    whole: Option<&Turn>,
    wait: Option<Duration>,
) -> Result<Option<(Slab, Turn)>, Refusal> {
    let began = Instant::now();
    let turn = match (whole, wait) {
        (Some(turn), _) => Some(turn.clone()),
        (None, Some(wait)) => Some(slabs.reader_turn(caller.party(), wait).await?),
        (None, None) => slabs.try_reader_turn(caller.party()),
    };
    let Some(turn) = turn else {
        return Ok(None);
    };
    let slab = match wait.map(|wait| wait.saturating_sub(began.elapsed())) {
        Some(left) => Some(slabs.downloads.take_within(left).await?),
        None => slabs.downloads.try_take(),
    };
    Ok(slab.map(|slab| (slab, turn)))
}

/// What a slab holds, as bytes. Their turn lasts until they are gone: nobody knows when a client takes them.
fn piece(slab: Slab, turn: Turn) -> Bytes {
    match slab.len <= DOWNLOAD_COPIED_BYTES_MAX {
        true => turn.over(slab.data().to_vec()),
        false => turn.over(slab),
    }
}

/// Whether to ask for one more piece: not if those asked for may be all that is left.
fn wants_more(asked: usize, left: u64, taker: Taker) -> bool {
    let covered = u64::try_from(asked * SLAB_PLAIN_BYTES_MAX).unwrap_or(u64::MAX);
    let ahead = match taker {
        Taker::Client => DOWNLOAD_AHEAD_PIECES,
        // Beside the piece that is being stored.
        Taker::Copy => COPY_SLABS - 1,
    };
    asked < ahead && covered < left
}

impl Body for Download {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => std::task::ready!(self.pieces.poll_recv(cx)),
        };
        Poll::Ready(match next {
            Some(Ok(piece)) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(length);
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(broken)) => Some(Err(Box::new(broken))),
            None => Some(Err(Box::new(Broken::Length))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
