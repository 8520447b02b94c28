//! The gateway's end: questions out, answers to whoever asked.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};

use crate::limits::{LINK_BACKLOG_BYTES_MAX, LINK_READ_BYTES, SLAB_PLAIN_BYTES_MAX};
use crate::message::{Answer, Delivered, Envelope, Refusal, Reply, Request, SessionId};
use crate::slab::{Slab, Slabs};
use crate::tls::Shown;
use crate::wire::{Down, Frames, Piece, Up, WireFault, encode};

/// An open conversation. Clones are the same one.
#[derive(Clone)]
pub struct Wire(Arc<Shared>);

struct Shared {
    stream: UnixStream,
    slabs: Slabs,
    out: Mutex<Out>,
    /// Told when bytes are left that the socket did not take.
    left: Notify,
    /// Told when the backlog has shrunk, or nothing will be sent any more.
    room: Notify,
    /// Told when the gateway is to stop.
    stop: Notify,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    sent: usize,
    over: bool,
}

#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

/// One who waits, and what is to be done with the answer if he does not wait any more.
struct Waiting {
    answer: oneshot::Sender<Reply>,
    session: SessionId,
    /// The engine's until the answer came.
    slab: Option<Slab>,
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The engine's side is gone.
    #[error("the engine is gone")]
    Gone,
    /// The socket failed.
    #[error("the socket to the engine failed: {0}")]
    Io(#[from] io::Error),
    /// What came was no frame.
    #[error(transparent)]
    Fault(#[from] WireFault),
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire(..)")
    }
}

impl Wire {
    /// Over a connected socket; the slabs are those of the shared memory.
    #[must_use]
    pub fn new(stream: UnixStream, slabs: Slabs) -> Self {
        Self(Arc::new(Shared {
            stream,
            slabs,
            out: Mutex::default(),
            left: Notify::new(),
            room: Notify::new(),
            stop: Notify::new(),
            asked: Mutex::default(),
        }))
    }

    /// Says that the gateway serves.
    ///
    /// # Errors
    /// `Stopping` when there is nobody to say it to.
    pub async fn ready(
        &self,
        files: crate::wire::Confined,
        memory_bytes_max: Option<u64>,
    ) -> Result<(), Refusal> {
        self.room().await?;
        let ready = Up::Ready {
            files,
            memory_bytes_max,
        };
        self.put(&ready, None)
    }

    /// Waits until the engine's side asks to stop. The conversation goes on, so that running requests
    /// can finish.
    pub async fn stop_asked(&self) {
        self.0.stop.notified().await;
    }

    /// Receives answers, and what is to be shown, until the conversation ends; sends what `post` could not. Everybody who
    /// still waits then is told that the engine is stopping.
    pub async fn run(&self, frames: Frames, shown: &Shown) -> End {
        let end = tokio::select! {
            end = self.receive(frames, shown) => end,
            error = self.flush() => End::Io(error),
        };
        self.end();
        end
    }

    /// Sends a question; its answer goes to the envelope's asker.
    ///
    /// # Errors
    /// `Stopping` when there is no engine any more.
    pub(crate) async fn post(&self, envelope: Envelope) -> Result<(), Refusal> {
        let Envelope {
            session,
            request,
            slab,
            answer,
        } = envelope;
        let piece = match &slab {
            Some(slab) => Some(self.piece(slab).ok_or(Refusal::Busy)?),
            None => None,
        };
        let number = {
            let mut asked = lock(&self.0.asked);
            asked.last += 1;
            asked.last
        };
        let frame = Up::Ask {
            number,
            session,
            request,
            piece,
        };
        let waiting = Waiting {
            answer,
            session,
            slab,
        };
        self.room().await?;
        // From here on nothing is awaited: whoever is cancelled leaves either nothing or a question
        // that is answered.
        self.put(&frame, Some((number, waiting)))
    }

    /// Waits until the backlog is short.
    async fn room(&self) -> Result<(), Refusal> {
        loop {
            let room = self.0.room.notified();
            {
                let out = lock(&self.0.out);
                if out.over {
                    return Err(Refusal::Stopping);
                }
                if out.bytes.len() - out.sent <= LINK_BACKLOG_BYTES_MAX {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Puts a frame behind what is to be sent, and notes who waits for its answer.
    fn put(&self, frame: &Up, waiting: Option<(u64, Waiting)>) -> Result<(), Refusal> {
        let mut out = lock(&self.0.out);
        if out.over {
            return Err(Refusal::Stopping);
        }
        // A question too long for a frame was checked nowhere: refuse it here.
        encode(frame, &mut out.bytes).map_err(|_| Refusal::Busy)?;
        if let Some((number, waiting)) = waiting {
            lock(&self.0.asked).waiting.insert(number, waiting);
        }
        self.push(&mut out)
    }

    /// Where a slab lies in the shared memory.
    fn piece(&self, slab: &Slab) -> Option<Piece> {
        let Slabs {
            uploads, downloads, ..
        } = &self.0.slabs;
        let number = match uploads.number_of(slab) {
            Some(number) => number,
            None => uploads.count_max() + downloads.number_of(slab)?,
        };
        Some(Piece {
            number: u32::try_from(number).ok()?,
            bytes: u32::try_from(slab.len).ok()?,
        })
    }

    /// Gives the socket what it takes at once.
    fn push(&self, out: &mut Out) -> Result<(), Refusal> {
        while out.sent < out.bytes.len() {
            match self.0.stream.try_write(&out.bytes[out.sent..]) {
                Ok(bytes) => out.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.left.notify_one();
                    return Ok(());
                }
                Err(_) => {
                    out.over = true;
                    return Err(Refusal::Stopping);
                }
            }
        }
        out.bytes.clear();
        out.sent = 0;
        self.0.room.notify_waiters();
        Ok(())
    }

    /// Sends what is left whenever the socket takes more. Ends only with a fault.
    async fn flush(&self) -> io::Error {
        loop {
            self.0.left.notified().await;
            loop {
                if let Err(error) = self.0.stream.writable().await {
                    return error;
                }
                let mut out = lock(&self.0.out);
                if self.push(&mut out).is_err() {
                    return io::ErrorKind::BrokenPipe.into();
                }
                if out.bytes.is_empty() {
                    break;
                }
            }
        }
    }

    async fn receive(&self, mut frames: Frames, shown: &Shown) -> End {
        let mut bytes = vec![0; LINK_READ_BYTES];
        loop {
            loop {
                match frames.take::<Down>() {
                    Ok(Some(Down::Reply {
                        number,
                        result,
                        bytes,
                    })) => self.deliver(number, result, bytes),
                    Ok(Some(Down::Tls(tls))) => {
                        if let Err(error) = shown.replace(&tls) {
                            // The engine's side has checked it; the old one goes on.
                            tracing::error!(%error, "the new certificate cannot be used");
                        }
                    }
                    Ok(Some(Down::Stop)) => self.0.stop.notify_one(),
                    Ok(Some(Down::Setup(_))) => return End::Fault(WireFault::Malformed),
                    Ok(None) => break,
                    Err(fault) => return End::Fault(fault),
                }
            }
            if let Err(error) = self.0.stream.readable().await {
                return End::Io(error);
            }
            match self.0.stream.try_read(&mut bytes) {
                Ok(0) => return End::Gone,
                Ok(count) => frames.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return End::Io(error),
            }
        }
    }

    fn deliver(&self, number: u64, result: Result<Answer, Refusal>, bytes: u32) {
        let Some(waiting) = lock(&self.0.asked).waiting.remove(&number) else {
            return;
        };
        let undo = result.as_ref().ok().and_then(undo);
        // Any other slab is free at once, whenever its owner looks at the answer.
        let filled = waiting.slab.filter(|_| matches!(result, Ok(Answer::Data)));
        let slab = filled.map(|mut slab| {
            let bytes = usize::try_from(bytes).unwrap_or(0);
            slab.len = bytes.min(SLAB_PLAIN_BYTES_MAX);
            slab
        });
        let reply = result.map(|answer| Delivered { answer, slab });
        let left = waiting.answer.send(reply).is_err();
        if let (true, Some(request)) = (left, undo) {
            // Whoever asked is gone: nobody else would close the stream. Its few bytes are not held
            // back by a backlog: answers must go on being read for the backlog to shrink. Nobody
            // waits for the answer, and number 0 is nobody's.
            let frame = Up::Ask {
                number: 0,
                session: waiting.session,
                request,
                piece: None,
            };
            self.put(&frame, None).ok();
        }
    }

    fn end(&self) {
        lock(&self.0.out).over = true;
        self.0.room.notify_waiters();
        lock(&self.0.asked).waiting.clear();
    }
}

/// What undoes an answer that opened something.
fn undo(answer: &Answer) -> Option<Request> {
    match answer {
        Answer::Stream(stream) => Some(Request::AbortPut { stream: *stream }),
        Answer::Opened { stream, .. } => Some(Request::CloseGet { stream: *stream }),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
