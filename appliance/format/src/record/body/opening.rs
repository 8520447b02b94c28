//! A forced opening: the vault goes on without disks that its log needed.

use crate::cbor::{MapReader, MapWriter, Reader, Writer};
use crate::codec::{DecodeError, Fault};
use crate::digest::Digest;
use crate::limits::{LOST_SPANS_MAX, MEMBERS_MAX};
use crate::statement::RecordSpan;
use crate::units::{ByteOffset, DiskId, LogIndex, Opening, SegmentId, Sequence};

/// From here on the log is another one, which begins with the records before. Records that a disk left behind may
/// have held after them are lost, though they were acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedOpen {
    /// The request of two people, which names the disks that take part and the head of the log they have.
    pub request: LogIndex,
    /// Which forced opening it is.
    pub opening: Opening,
    /// The newest frame of the log before.
    pub last: Sequence,
    /// The newest frame that anything on the disks calls durable. With one above `last`, frames are surely lost.
    pub durable: Sequence,
    /// Disks of the pool that are left behind, ascending: they do not take part again.
    pub left: Vec<DiskId>,
    /// What is lost before `last`, in the order of the log. A reader passes over it, whatever disks show there.
    pub lost: Vec<LostSpan>,
}

/// Frames and records in the middle of the log that no disk had any more, and where it goes on behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostSpan {
    /// First journal frame that is lost.
    pub first: Sequence,
    /// The frame with which the journal goes on.
    pub next: Sequence,
    /// What that frame calls the digest of the header before it.
    pub chain: Digest,
    /// First record that is lost.
    pub first_record: LogIndex,
    /// The record with which the log goes on.
    pub next_record: LogIndex,
    /// What that record calls the chain digest of the header before it.
    pub previous: Digest,
    /// Segment of the frame with which the journal goes on.
    pub segment: SegmentId,
    /// Where that frame begins in it.
    pub offset: ByteOffset,
}

impl LostSpan {
    /// The records, as a request to force the vault open names them.
    #[must_use]
    pub const fn records(&self) -> RecordSpan {
        RecordSpan {
            first: self.first_record,
            last: LogIndex::new(self.next_record.get().saturating_sub(1)),
        }
    }

    /// Something is lost, of one opening.
    #[must_use]
    pub fn is_span(&self) -> bool {
        self.first < self.next
            && self.first.opening() == self.next.opening()
            && self.first_record < self.next_record
    }

    /// Whether another one lies behind it.
    fn is_before(&self, next: &Self) -> bool {
        self.next <= next.first && self.next_record <= next.first_record
    }
}

fn write_span(w: &mut Writer<'_>, span: &LostSpan) {
    w.array(8).uint(span.first).uint(span.next);
    w.bytes(span.chain.as_bytes());
    w.uint(span.first_record).uint(span.next_record);
    w.bytes(span.previous.as_bytes());
    w.uint(span.segment).uint(span.offset);
}

fn read_span(r: &mut Reader<'_>) -> Result<LostSpan, DecodeError> {
    r.tuple("span", 8)?;
    Ok(LostSpan {
        first: Sequence::new(r.uint("first")?),
        next: Sequence::new(r.uint("next")?),
        chain: Digest(r.fixed("chain")?),
        first_record: LogIndex::new(r.uint("first_record")?),
        next_record: LogIndex::new(r.uint("next_record")?),
        previous: Digest(r.fixed("previous")?),
        segment: SegmentId::new(r.uint("segment")?),
        offset: ByteOffset::new(r.uint("offset")?),
    })
}

pub(super) fn write_forced_open(map: &mut MapWriter, body: &ForcedOpen) {
    map.key(1).uint(body.request);
    map.key(2).uint(u64::from(body.opening.get()));
    map.key(3).uint(body.last);
    map.key(4).uint(body.durable);
    map.key(5).list(&body.left, |w, disk| {
        w.bytes(disk.as_bytes());
    });
    if !body.lost.is_empty() {
        map.key(6).list(&body.lost, write_span);
    }
}

pub(super) fn read_forced_open(map: &mut MapReader<'_, '_>) -> Result<ForcedOpen, DecodeError> {
    let body = ForcedOpen {
        request: LogIndex::new(map.required(1, |r| r.uint("request"))?),
        opening: Opening::new(map.required(2, |r| r.small("opening"))?),
        last: Sequence::new(map.required(3, |r| r.uint("last"))?),
        durable: Sequence::new(map.required(4, |r| r.uint("durable"))?),
        left: map.required(5, |r| {
            r.list("left", MEMBERS_MAX, |r| r.fixed("left").map(DiskId::new))
        })?,
        lost: map
            .optional(6, |r| r.list("lost", LOST_SPANS_MAX, read_span))?
            .unwrap_or_default(),
    };
    if body.opening.is_zero() || !body.opening.in_range() {
        return map.refuse("opening", Fault::Value);
    }
    if body.durable < body.last {
        return map.refuse("durable", Fault::Value);
    }
    if !body.left.is_sorted_by(|one, next| one < next) {
        return map.refuse("left", Fault::Value);
    }
    let within = body.lost.iter().all(|span| {
        let before = span.next <= body.last && span.next_record < body.request;
        before && span.is_span()
    });
    if !within || !body.lost.is_sorted_by(LostSpan::is_before) {
        return map.refuse("lost", Fault::Value);
    }
    Ok(body)
}
