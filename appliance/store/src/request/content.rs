//! Content on its way in or out.

use std::fmt;

use stele_device::buffer::BufferMut;

use super::{Checksum, Conditions};

/// A piece of client data inside a buffer that has room for a frame header before it and a tag after.
pub struct Piece {
    /// The buffer.
    pub buffer: BufferMut,
    /// Where the data starts; `FRAME_HEADER_BYTES` for uploads.
    pub start: usize,
    /// How many bytes of data.
    pub len: usize,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} bytes)", self.len)
    }
}

/// Content that is all at hand, and what is kept of it.
#[derive(Debug)]
pub struct Whole {
    /// Plaintext, at most `CHUNK_PLAIN_BYTES_MAX`; none for an empty content.
    pub piece: Option<Piece>,
    /// MD5 of the content if computed.
    pub md5: Option<[u8; 16]>,
    /// Checksums to keep.
    pub checksums: Vec<Checksum>,
    /// Conditions.
    pub conditions: Conditions,
}
