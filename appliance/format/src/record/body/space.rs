//! Space: the data segments that hold a body, and how segments that hold nothing any more are given back.

use crate::cbor::{MapReader, MapWriter};
use crate::codec::{DecodeError, Fault};
use crate::limits::TRIM_SEGMENTS_MAX;
use crate::units::{DiskId, Generation, SegmentId};

/// First and last data segment in which chunks or lists of a body lie. Those between may hold some, or none:
/// a segment is needed as long as any span has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    first: SegmentId,
    last: SegmentId,
}

impl SegmentSpan {
    /// One segment.
    #[must_use]
    pub const fn of(segment: SegmentId) -> Self {
        Self {
            first: segment,
            last: segment,
        }
    }

    /// From one segment to another; none if they are the wrong way round or `first` is no segment.
    #[must_use]
    pub fn new(first: SegmentId, last: SegmentId) -> Option<Self> {
        (first <= last && first > SegmentId::NONE).then_some(Self { first, last })
    }

    /// The first segment.
    #[must_use]
    pub const fn first(self) -> SegmentId {
        self.first
    }

    /// The last segment.
    #[must_use]
    pub const fn last(self) -> SegmentId {
        self.last
    }

    /// The shortest span that has both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether a segment lies in it.
    #[must_use]
    pub fn contains(self, segment: SegmentId) -> bool {
        self.first <= segment && segment <= self.last
    }
}

/// How data segments that hold nothing any more are given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trim {
    /// From here on these segments are not read. Every version, part and upload whose span has one of them was
    /// destroyed, or never became part of anything.
    Begun {
        /// Which, ascending.
        segments: Vec<SegmentId>,
        /// With the last record of a search: the key state up to which destruction is accounted for.
        through: Option<Generation>,
    },
    /// Their copies on this disk read as zeros.
    Done {
        /// Which, ascending.
        segments: Vec<SegmentId>,
        /// The disk.
        disk: DiskId,
    },
}

impl Trim {
    /// The segments it names.
    #[must_use]
    pub fn segments(&self) -> &[SegmentId] {
        match self {
            Self::Begun { segments, .. } | Self::Done { segments, .. } => segments,
        }
    }
}

pub(super) fn write_span(map: &mut MapWriter, span: SegmentSpan) {
    map.key(5).array(2).uint(span.first).uint(span.last);
}

pub(super) fn read_span(map: &mut MapReader<'_, '_>) -> Result<SegmentSpan, DecodeError> {
    let (first, last) = map.required(5, |r| {
        r.tuple("span", 2)?;
        let first = SegmentId::new(r.uint("first segment")?);
        Ok((first, SegmentId::new(r.uint("last segment")?)))
    })?;
    match SegmentSpan::new(first, last) {
        Some(span) => Ok(span),
        None => map.refuse("span", Fault::Value),
    }
}

pub(super) fn write_trim(map: &mut MapWriter, body: &Trim) {
    let step = match body {
        Trim::Begun { .. } => 0_u8,
        Trim::Done { .. } => 1,
    };
    map.key(1).uint(step);
    map.key(2).list(body.segments(), |w, segment| {
        w.uint(*segment);
    });
    match body {
        Trim::Begun { through, .. } => {
            if let Some(generation) = through {
                map.key(3).uint(*generation);
            }
        }
        Trim::Done { disk, .. } => {
            map.key(4).bytes(disk.as_bytes());
        }
    }
}

pub(super) fn read_trim(map: &mut MapReader<'_, '_>) -> Result<Trim, DecodeError> {
    let done = map.required(1, |r| {
        r.variant("step", |step| match step {
            0_u8 => Some(false),
            1 => Some(true),
            _ => None,
        })
    })?;
    let segments = map.required(2, |r| {
        r.list("segments", TRIM_SEGMENTS_MAX, |r| {
            r.uint("segment").map(SegmentId::new)
        })
    })?;
    if !segments.is_sorted_by(|a, b| a < b) || segments.first() == Some(&SegmentId::NONE) {
        return map.refuse("segments", Fault::Value);
    }
    if done {
        let disk = DiskId::new(map.required(4, |r| r.fixed("disk"))?);
        return Ok(Trim::Done { segments, disk });
    }
    let through = map.optional(3, |r| r.uint("through").map(Generation::new))?;
    Ok(Trim::Begun { segments, through })
}
