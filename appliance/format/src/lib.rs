//! The bytes of a Stele vault on media. Pure: no I/O, no clock, no keys, no unsafe code.
//!
//! ```text
//! disk      label A, B | key state 0, 1 | index area | units ... | label C, D
//! segment   header | frame | frame | ... | footer | zeroes | seal          (a run of units)
//! frame     header 256 | payload | zeroes to 4 KiB
//! journal   payload = record, record, ...        record = header 192 | clear body | attachments
//! data lane payload = one sealed chunk, or a clear list of chunks
//! ```
//!
//! `FORMAT.md` beside this crate is the specification; its tables are compared with the code by
//! `tests/layout.rs`. Invariants: bytes become values only through `decode` and `verify`; a
//! decoder never panics and never allocates for a length that the input does not back; what
//! decodes encodes to the same bytes.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod cbor;
pub mod checkpoint;
pub mod codec;
pub mod digest;
pub mod frame;
pub mod fuzz;
pub mod geometry;
pub mod keystate;
pub mod label;
pub mod limits;
pub mod manifest;
pub mod proof;
pub mod record;
pub mod segment;
pub mod sshsig;
pub mod statement;
pub mod tree;
pub mod units;

pub use codec::{DecodeError, EncodeError, Fault, Unverified};
pub use digest::Digest;
pub use geometry::DiskGeometry;
pub use tree::{Frontier, TreeHash};

/// Every fixed structure, for the comparison with FORMAT.md.
#[must_use]
pub fn structures() -> Vec<codec::Structure> {
    [
        label::STRUCTURES.as_slice(),
        keystate::STRUCTURES.as_slice(),
        segment::STRUCTURES.as_slice(),
        frame::STRUCTURES.as_slice(),
        record::STRUCTURES.as_slice(),
    ]
    .concat()
}
