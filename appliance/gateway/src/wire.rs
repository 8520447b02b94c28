//! The conversation between a gateway process and the engine's process: frames over a Unix socket,
//! content beside them in shared memory.
//!
//! A frame is its length (4 bytes, little-endian) and a `postcard` body. Both processes are of the
//! same build and neither stores a frame, so the form needs no version. The engine's side believes
//! nothing of what it reads: a frame that is malformed or too long ends the conversation.
//!
//! The first frame comes from the engine's side and is the [`Setup`]; the gateway answers `Ready`,
//! then asks. Content lies in the shared memory, in pieces of `SLAB_BYTES`: first those for uploads,
//! then those for downloads. A question names the piece that goes with it; the piece is the engine's
//! until the answer came.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::LINK_FRAME_BYTES_MAX;
use crate::message::{Answer, Refusal, Request, SessionId};
use crate::tls::Tls;

mod content;
pub mod gateway;
pub(crate) mod plain;

pub use content::Content;

/// What the gateway sends.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every one is a question, and none is kept"
)]
#[derive(Debug, Serialize, Deserialize)]
pub enum Up {
    /// It serves, confined as far as it says.
    Ready {
        /// How far files and new connections are closed to it.
        files: Confined,
        /// Most bytes of memory of its own, if that is bounded.
        memory_bytes_max: Option<u64>,
    },
    /// A question.
    Ask {
        /// Its number; comes back with the answer.
        number: u64,
        /// The signed request that it serves.
        session: SessionId,
        /// What is asked.
        request: Request,
        /// The piece that goes with it.
        piece: Option<Piece>,
    },
}

/// What the gateway receives.
#[derive(Debug, Serialize, Deserialize)]
pub enum Down {
    /// What it needs to begin.
    Setup(Setup),
    /// An answer.
    Reply {
        /// The number of the question.
        number: u64,
        /// The answer.
        result: Result<Answer, Refusal>,
        /// Bytes of content that lie in the question's piece now.
        bytes: u32,
    },
    /// Show this to new connections from now on.
    Tls(Tls),
    /// Take no new connections, let running requests finish, and end.
    Stop,
}

/// How far a gateway gave up files and new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confined {
    /// As far as this program knows how to.
    Fully,
    /// As far as this kernel knows how to.
    Partly,
    /// Not at all: only the filter of system calls holds.
    Not,
}

/// A piece of the shared memory and what is in it, from the place of a slab's plaintext on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its number, from 0.
    pub number: u32,
    /// Bytes of content.
    pub bytes: u32,
}

/// What a gateway process needs to begin.
#[derive(Serialize, Deserialize)]
pub struct Setup {
    /// How TLS is spoken.
    pub tls: Tls,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// The region buckets are said to be in.
    pub region: String,
    /// Names under which the vault is reached.
    pub domains: Vec<String>,
    /// Pieces of the shared memory for uploads.
    pub upload_slabs: u32,
    /// Pieces of the shared memory for downloads.
    pub download_slabs: u32,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Setup(..)")
    }
}

/// Why a conversation cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// A frame is longer than any may be.
    #[error("a frame is longer than {LINK_FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// A frame's body is not one of this conversation.
    #[error("a frame is malformed")]
    Malformed,
}

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Appends a frame.
///
/// # Errors
/// `TooLong`, or `Malformed` for what has no form; nothing was appended then.
pub fn encode<T: Serialize>(frame: &T, out: &mut Vec<u8>) -> Result<(), WireFault> {
    let body = postcard::to_stdvec(frame).map_err(|_| WireFault::Malformed)?;
    if body.len() > LINK_FRAME_BYTES_MAX {
        return Err(WireFault::TooLong);
    }
    let length = u32::try_from(body.len()).map_err(|_| WireFault::TooLong)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Takes frames out of a stream of bytes.
#[derive(Default)]
pub struct Frames {
    held: Vec<u8>,
    /// How much of it was given out.
    used: usize,
}

impl Frames {
    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.held.drain(..self.used);
            self.used = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next frame, if all of it arrived.
    ///
    /// # Errors
    /// A frame that no honest process sends; the conversation is over then.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireFault> {
        let rest = self.held.get(self.used..).unwrap_or_default();
        let Some((length, body)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > LINK_FRAME_BYTES_MAX {
            return Err(WireFault::TooLong);
        }
        let Some(body) = body.get(..length) else {
            return Ok(None);
        };
        let (frame, rest) = postcard::take_from_bytes(body).map_err(|_| WireFault::Malformed)?;
        if !rest.is_empty() {
            return Err(WireFault::Malformed);
        }
        self.used += LENGTH_BYTES + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests;
