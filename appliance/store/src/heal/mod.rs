//! Healing: segments are read again from every copy, judged without keys, and what does not verify is
//! written again from a copy that does.
//!
//! One walk over one segment serves scrub, read-repair, and the copying that brings a
//! disk back into the pool: they differ in which copies are judged and which may be written.
//!
//! Invariants: what is written again counts as repaired once it was flushed and read back; only bytes that verify are written, and only where a copy of the same segment belongs;
//! nothing at or above the write head of an open segment is touched; a disk that is filled gets seal
//! and footer of a segment only after everything before them was flushed there, so that a whole seal
//! on it proves a whole copy.

pub(crate) mod discovery;
pub(crate) mod frames;
pub mod late;
pub mod pace;
pub(crate) mod roots;
pub mod rows;
pub mod schedule;
mod waiting;
pub(crate) mod walk;

use std::collections::BTreeMap;

use stele_format::units::{DiskId, LaneId, PoolId, SegmentId};

use crate::engine::DiskSlot;

/// Which segment is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pool: PoolId,
    pub(crate) segment: SegmentId,
    pub(crate) lane: LaneId,
    pub(crate) unit_bytes: u32,
    /// Units it holds on each disk.
    pub(crate) units: u32,
}

impl Identity {
    /// Bytes of its extents.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.units) * u64::from(self.unit_bytes)
    }
}

/// What may be done with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Judged, and written where it does not verify: a disk that takes part.
    Member,
    /// Read only where nothing else verifies: a disk without a vote.
    Witness,
    /// Written where it does not verify, its state said by none yet: a disk that is being filled.
    Target,
}

/// One copy of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyAt {
    pub(crate) disk: DiskId,
    pub(crate) slot: DiskSlot,
    /// Byte offset of the segment on the disk.
    pub(crate) base: u64,
    pub(crate) role: Role,
}

/// Something of a segment that no copy could give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The segment.
    pub segment: SegmentId,
    /// The frame by its number in the segment; none for header, footer or seal.
    pub frame: Option<u32>,
    /// Byte offset in the segment.
    pub offset: u64,
}

impl Lost {
    /// Whether it is footer or seal, without which every frame can still be read.
    pub(crate) fn is_root(&self) -> bool {
        self.frame.is_none() && self.offset > 0
    }
}

/// What a walk found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Bytes read and judged good, over all copies.
    pub(crate) verified_bytes: u64,
    /// Bytes written again, and read back.
    pub(crate) repaired_bytes: u64,
    /// Bytes written to disks that are being filled.
    pub(crate) filled_bytes: u64,
    /// Frames and roots written again and read back, over all copies that take part.
    pub(crate) repaired: u64,
    /// Frames and roots that a copy does not give although they were written there again.
    pub(crate) unmended: BTreeMap<DiskId, u64>,
    /// Copies on which something was written again, and read back.
    pub(crate) repaired_on: Vec<DiskId>,
    /// Those of them whose disk is at fault: it did not give what it once held. What a power cut kept it from writing
    /// is none of that.
    pub(crate) failed_on: Vec<DiskId>,
    /// What no copy could give back.
    pub(crate) lost: Vec<Lost>,
    /// Frames of which several disks give the same wrong bytes.
    pub(crate) alike: u64,
    /// Copies that hold the whole segment now.
    pub(crate) whole: Vec<DiskId>,
    /// Whether every copy that takes part was read to its end; a walk that a failing disk cut short was not.
    pub(crate) complete: bool,
    /// Whether a disk did not answer.
    pub(crate) unheard: bool,
}

impl Outcome {
    /// Whether what it says of the segment is so: what is lost may be on a disk that did not answer.
    pub(crate) fn is_conclusive(&self) -> bool {
        self.complete && (!self.unheard || self.lost.is_empty())
    }
}
