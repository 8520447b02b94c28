//! Work for the CPU workers: sealing and opening chunks. Pure, so that the simulator runs it inline.

use stele_device::buffer::BufferMut;
use stele_format::digest::Digest;
use stele_format::limits::FRAME_HEADER_BYTES;

use crate::heal::Identity;
use crate::heal::frames::{self, Judgement, Run};
use crate::keys::chunk::{self, BulkAead, ChunkKey};
use crate::plants::{Plant, on};

const HEADER: usize = FRAME_HEADER_BYTES as usize;

/// Ties a finished job to what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// One piece of CPU work.
pub enum Job {
    /// Seal plaintext in place and hash the result.
    Seal {
        /// Ties the result.
        id: JobId,
        /// The chunk's own key.
        key: ChunkKey,
        /// Room for a frame header, then plaintext, then room for padding and tag.
        buffer: BufferMut,
        /// Plaintext bytes.
        plain_len: usize,
    },
    /// Verify stored bytes against their digest, then open them in place.
    Open {
        /// Ties the result.
        id: JobId,
        /// The chunk's own key.
        key: ChunkKey,
        /// A whole frame as read.
        buffer: BufferMut,
        /// What the stored bytes must hash to.
        digest: Digest,
        /// Sealed bytes, tag included.
        stored_len: usize,
        /// Plaintext bytes.
        plain_len: usize,
    },
    /// Judge frames as one copy gave them.
    Judge(JudgeJob),
}

/// Frames of one copy to be judged, without keys.
pub struct JudgeJob {
    /// Ties the result.
    pub id: JobId,
    pub(crate) identity: Identity,
    pub(crate) run: Run,
    pub(crate) buffer: BufferMut,
}

/// What came of a job.
pub enum JobDone {
    /// Sealed.
    Sealed {
        /// Which.
        id: JobId,
        /// Sealed bytes after the room for the frame header.
        buffer: BufferMut,
        /// Their number.
        stored_len: usize,
        /// Their BLAKE3 digest.
        digest: Digest,
    },
    /// Opened; the plaintext stands after the frame header.
    Opened {
        /// Which.
        id: JobId,
        /// The buffer.
        buffer: BufferMut,
        /// Whether digest and tag verified; the content must not be used otherwise.
        verified: bool,
    },
    /// Judged: what each piece is.
    Judged {
        /// Which.
        id: JobId,
        /// The buffer as it was.
        buffer: BufferMut,
        /// For each piece whether it verifies.
        good: Vec<bool>,
        /// For each piece whether it was never written whole.
        torn: Vec<bool>,
    },
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Job::Seal { id, plain_len, .. } => write!(f, "Seal({id:?}, {plain_len} bytes)"),
            Job::Open { id, stored_len, .. } => write!(f, "Open({id:?}, {stored_len} bytes)"),
            Job::Judge(job) => write!(f, "Judge({:?}, {} bytes)", job.id, job.run.bytes),
        }
    }
}

impl std::fmt::Debug for JobDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JobDone::Sealed { id, stored_len, .. } => write!(f, "Sealed({id:?}, {stored_len})"),
            JobDone::Opened { id, verified, .. } => write!(f, "Opened({id:?}, {verified})"),
            JobDone::Judged { id, good, .. } => write!(f, "Judged({id:?}, {good:?})"),
        }
    }
}

impl Job {
    /// Does the work.
    #[must_use]
    pub fn run(self, aead: &dyn BulkAead) -> JobDone {
        match self {
            Job::Seal {
                id,
                key,
                mut buffer,
                plain_len,
            } => {
                let room = &mut buffer[HEADER..];
                let stored_len = chunk::seal_chunk(aead, &key, room, plain_len);
                let digest = Digest::of(&buffer[HEADER..HEADER + stored_len]);
                JobDone::Sealed {
                    id,
                    buffer,
                    stored_len,
                    digest,
                }
            }
            Job::Open {
                id,
                key,
                mut buffer,
                digest,
                stored_len,
                plain_len,
            } => {
                let verified = open(aead, &key, &mut buffer, &digest, stored_len, plain_len);
                JobDone::Opened {
                    id,
                    buffer,
                    verified,
                }
            }
            Job::Judge(job) => {
                let judged = frames::judge(&job.identity, &job.run, &job.buffer);
                let are = |what: Judgement| judged.iter().map(|piece| *piece == what).collect();
                JobDone::Judged {
                    id: job.id,
                    good: are(Judgement::Good),
                    torn: are(Judgement::Torn),
                    buffer: job.buffer,
                }
            }
        }
    }
}

fn open(
    aead: &dyn BulkAead,
    key: &ChunkKey,
    buffer: &mut BufferMut,
    digest: &Digest,
    stored_len: usize,
    plain_len: usize,
) -> bool {
    let Some(stored) = buffer.get_mut(HEADER..HEADER + stored_len) else {
        return false;
    };
    if on(Plant::HoleDelivered) && stored.iter().all(|byte| *byte == 0) {
        return true;
    }
    Digest::of(stored) == *digest && chunk::open_chunk(aead, key, stored, plain_len).is_ok()
}
