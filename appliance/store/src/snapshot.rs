//! What a snapshot says beside rows: the journal position, the log there, and the segments known.
//!
//! Kept inside the index file, encrypted and committed in one transaction with the rows. It is a
//! cache: when it does not decode, everything is rebuilt from the segments themselves.

use std::convert::Infallible;

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};
use stele_format::digest::Digest;
use stele_format::tree::Frontier;
use stele_format::units::{
    BucketId, DiskId, Epoch, Generation, LaneId, LogIndex, SegmentId, Sequence, UnitIndex,
    UnixMillis,
};

use crate::index::rows::ROW_VERSION;
use crate::index::{Extra, SnapshotMeta};
use crate::journal::{Journal, JournalPosition};
use crate::lane::Lane;
use crate::plants::{Plant, on};
use crate::policy::Usage;
use crate::pool::space::{Freed, FreedCopy};
use crate::pool::stated::Stated;
use crate::pool::{FirstRead, Flaw, Place, Pool, SegmentInfo};
use crate::sequence::LogHead;
use crate::usage::Usages;

const SNAPSHOT_VERSION: u8 = 6;
const FLAW_UNMENDED: u8 = 0;
const FLAW_LOST: u8 = 1;

/// The engine's part of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotState {
    /// Where every copy of the journal is complete: replay reads from here.
    pub(crate) position: JournalPosition,
    /// Records before this one are in the rows.
    pub(crate) apply_from: LogIndex,
    pub(crate) next_segment: SegmentId,
    /// Data segments whose frames the rows may not cover completely, and segments that the journal left and of which
    /// no record may say yet that they are sealed.
    pub(crate) open_segments: Vec<SegmentId>,
    pub(crate) segments: Vec<(SegmentId, SegmentInfo)>,
    /// Segments that were given up, as far as they are not wiped: what is, is free for whoever starts from this.
    pub(crate) freed: Freed,
    /// What the records before `apply_from` brought.
    pub(crate) usages: Usages,
}

/// The state as of the last applied frame, as the index stores it.
pub(crate) fn snapshot_of(
    pool: &mut Pool,
    lane: &Lane,
    journal: &Journal,
    usages: &Usages,
) -> SnapshotMeta {
    let position = if on(Plant::SnapshotUnsettled) {
        journal.applied()
    } else {
        journal.settled()
    };
    let next = if on(Plant::SnapshotAhead) {
        journal.log().next
    } else {
        journal.applied().log.next
    };
    let open: Vec<SegmentId> = lane
        .open_segments()
        .into_iter()
        .chain(journal.unstated())
        .chain(pool.unread.segments())
        .collect();
    let (following, count) = (pool.next_segment, pool.segments.len());
    let head = encode_head(position, following, &open, count);
    let groups = pool.segments.said(encode_segment);
    let tail = encode_tail(usages, &pool.freed.unwiped());
    let pieces = std::iter::once(head.into())
        .chain(groups)
        .chain([tail.into()]);
    SnapshotMeta {
        next,
        segment: position.segment,
        offset: position.offset,
        frontier: position.log.frontier.encode(),
        extra: Extra(pieces.collect()),
    }
}

/// All up to the segments, of which there are so many.
fn encode_head(
    position: &JournalPosition,
    following: SegmentId,
    open: &[SegmentId],
    count: usize,
) -> Vec<u8> {
    let mut head = Vec::new();
    write_to(&mut head, |e| {
        e.array(13)?.u8(SNAPSHOT_VERSION)?.u8(ROW_VERSION)?;
        e.u64(position.sequence.get())?;
        e.bytes(&position.chain.0)?
            .bytes(&position.log.previous.0)?;
        e.u64(position.compliance.get())?.u64(following.get())?;
        e.array(open.len() as u64)?;
        for segment in open {
            e.u64(segment.get())?;
        }
        e.array(count as u64)?;
        Ok(())
    });
    head
}

/// One segment, behind those before it.
fn encode_segment(id: &SegmentId, info: &SegmentInfo, into: &mut Vec<u8>) {
    write_to(into, |e| {
        // One with a flaw is rare, and says so in a further place, which earlier builds do not know.
        e.array(13 + u64::from(info.flaw.is_some()))?
            .u64(id.get())?
            .u16(info.lane.get())?
            .u32(info.epoch.get())?;
        e.u32(info.units)?.u64(info.first_sequence.get())?;
        match info.data_end {
            Some(end) => e.u64(end)?,
            None => e.null()?,
        };
        let stated = info.stated.as_ref();
        match stated {
            Some(stated) => e.bytes(&stated.digest.0)?,
            None => e.null()?,
        };
        match stated.and_then(|stated| stated.log.as_ref()) {
            Some(log) => e.bytes(&log.encode())?,
            None => e.null()?,
        };
        for places in [&info.places, &info.aside] {
            e.array(places.len() as u64)?;
            for place in places {
                e.array(2)?
                    .bytes(place.disk.as_bytes())?
                    .u32(place.first_unit.get())?;
            }
        }
        e.u64(info.written.get())?.u64(info.verified.get())?;
        match info.first_read {
            Some(first) => e.array(2)?.u64(first.since.get())?.bool(first.new)?,
            None => e.null()?,
        };
        match info.flaw {
            Some(Flaw::Unmended) => e.u8(FLAW_UNMENDED)?,
            Some(Flaw::Lost) => e.u8(FLAW_LOST)?,
            None => e,
        };
        Ok(())
    });
}

/// All behind the segments.
fn encode_tail(usages: &Usages, freed: &Freed) -> Vec<u8> {
    let mut tail = Vec::new();
    write_to(&mut tail, |e| {
        e.array(usages.buckets.len() as u64)?;
        for (bucket, usage) in &usages.buckets {
            e.array(3)?.bytes(bucket.as_bytes())?;
            e.u64(usage.bytes)?.u64(usage.versions)?;
        }
        e.array(usages.expiries.len() as u64)?;
        for until in usages.expiries.values() {
            e.u64(until.get())?;
        }
        e.u64(freed.searched.get())?;
        e.array(freed.copies().count() as u64)?;
        for (segment, copy) in freed.copies() {
            e.array(4)?.u64(segment.get())?;
            e.bytes(copy.place.disk.as_bytes())?
                .u32(copy.place.first_unit.get())?;
            e.u32(copy.units)?;
        }
        Ok(())
    });
    tail
}

type ToMemory<'a> = Encoder<&'a mut Vec<u8>>;

fn write_to(
    bytes: &mut Vec<u8>,
    write: impl FnOnce(&mut ToMemory<'_>) -> Result<(), minicbor::encode::Error<Infallible>>,
) {
    write(&mut Encoder::new(bytes)).expect("writing to memory cannot fail");
}

impl SnapshotState {
    /// Reads what a snapshot said.
    pub(crate) fn decode(meta: &SnapshotMeta) -> Option<Self> {
        Self::read(meta).ok()
    }

    fn read(meta: &SnapshotMeta) -> Result<Self, CborError> {
        let whole = meta.extra.whole();
        let mut d = Decoder::new(&whole);
        expect_array(&mut d, 13)?;
        // Rows of another version mean that the index is made anew, as this does.
        if d.u8()? != SNAPSHOT_VERSION || d.u8()? != ROW_VERSION {
            return Err(CborError::message("version"));
        }
        let sequence = Sequence::new(d.u64()?);
        let chain = Digest(read_array(&mut d)?);
        let previous = Digest(read_array(&mut d)?);
        let compliance = UnixMillis::new(d.u64()?);
        let next_segment = SegmentId::new(d.u64()?);
        let open = read_count(&mut d)?;
        let open_segments = (0..open)
            .map(|_| Ok(SegmentId::new(d.u64()?)))
            .collect::<Result<_, CborError>>()?;
        let count = read_count(&mut d)?;
        let segments = (0..count)
            .map(|_| read_segment(&mut d))
            .collect::<Result<_, CborError>>()?;
        let usages = read_usages(&mut d)?;
        let freed = read_freed(&mut d)?;
        let frontier =
            Frontier::decode(&meta.frontier).map_err(|_| CborError::message("frontier"))?;
        let log = LogHead {
            next: LogIndex::new(frontier.size()),
            previous,
            frontier,
        };
        if log.next > meta.next {
            return Err(CborError::message("log"));
        }
        let (segment, offset) = (meta.segment, meta.offset);
        let position = JournalPosition {
            segment,
            offset,
            sequence,
            chain,
            compliance,
            log,
        };
        Ok(Self {
            position,
            apply_from: meta.next,
            next_segment,
            open_segments,
            segments,
            freed,
            usages,
        })
    }
}

fn read_freed(d: &mut Decoder<'_>) -> Result<Freed, CborError> {
    let mut freed = Freed {
        searched: Generation::new(d.u64()?),
        ..Freed::default()
    };
    for _ in 0..read_count(d)? {
        expect_array(d, 4)?;
        let segment = SegmentId::new(d.u64()?);
        let place = Place {
            disk: DiskId::new(read_array(d)?),
            first_unit: UnitIndex::new(d.u32()?),
        };
        let copy = FreedCopy {
            place,
            units: d.u32()?,
            wiped: false,
        };
        freed.segments.entry(segment).or_default().push(copy);
    }
    Ok(freed)
}

fn read_segment(d: &mut Decoder<'_>) -> Result<(SegmentId, SegmentInfo), CborError> {
    let fields = d.array()?;
    let id = SegmentId::new(d.u64()?);
    let lane = LaneId::new(d.u16()?);
    let epoch = Epoch::new(d.u32()?);
    let units = d.u32()?;
    let first_sequence = Sequence::new(d.u64()?);
    let data_end = if is_null(d)? { None } else { Some(d.u64()?) };
    let stated = read_stated(d)?;
    let (places, aside) = (read_places(d)?, read_places(d)?);
    let written = UnixMillis::new(d.u64()?);
    let verified = UnixMillis::new(d.u64()?);
    let first_read = read_first_read(d)?;
    let flaw = match fields {
        Some(13) => None,
        Some(14) => Some(read_flaw(d)?),
        _ => return Err(CborError::message("a segment has another number of fields")),
    };
    Ok((
        id,
        SegmentInfo {
            lane,
            epoch,
            units,
            first_sequence,
            data_end,
            stated,
            places,
            aside,
            written,
            verified,
            first_read,
            flaw,
        },
    ))
}

fn read_stated(d: &mut Decoder<'_>) -> Result<Option<Stated>, CborError> {
    let digest = if is_null(d)? {
        None
    } else {
        Some(Digest(read_array(d)?))
    };
    let log = if is_null(d)? {
        None
    } else {
        let log = Frontier::decode(d.bytes()?).map_err(|_| CborError::message("frontier"))?;
        Some(Box::new(log))
    };
    Ok(digest.map(|digest| Stated { digest, log }))
}

/// Steps over what stands for nothing, if that is next.
fn is_null(d: &mut Decoder<'_>) -> Result<bool, CborError> {
    let null = d.datatype()? == minicbor::data::Type::Null;
    if null {
        d.null()?;
    }
    Ok(null)
}

fn read_flaw(d: &mut Decoder<'_>) -> Result<Flaw, CborError> {
    match d.u8()? {
        FLAW_UNMENDED => Ok(Flaw::Unmended),
        FLAW_LOST => Ok(Flaw::Lost),
        _ => Err(CborError::message("an unknown flaw")),
    }
}

fn read_first_read(d: &mut Decoder<'_>) -> Result<Option<FirstRead>, CborError> {
    if is_null(d)? {
        return Ok(None);
    }
    expect_array(d, 2)?;
    let since = UnixMillis::new(d.u64()?);
    let new = d.bool()?;
    Ok(Some(FirstRead { since, new }))
}

fn read_usages(d: &mut Decoder<'_>) -> Result<Usages, CborError> {
    let mut usages = Usages::default();
    for _ in 0..read_count(d)? {
        expect_array(d, 3)?;
        let bucket = BucketId::new(read_array(d)?);
        let (bytes, versions) = (d.u64()?, d.u64()?);
        usages.buckets.insert(bucket, Usage { bytes, versions });
    }
    for _ in 0..read_count(d)? {
        usages.expires(Some(UnixMillis::new(d.u64()?)));
    }
    Ok(usages)
}

fn read_places(d: &mut Decoder<'_>) -> Result<Vec<Place>, CborError> {
    let count = read_count(d)?;
    let places = (0..count).map(|_| {
        expect_array(d, 2)?;
        let disk = DiskId::new(read_array(d)?);
        Ok(Place {
            disk,
            first_unit: UnitIndex::new(d.u32()?),
        })
    });
    places.collect()
}

fn expect_array(d: &mut Decoder<'_>, len: u64) -> Result<(), CborError> {
    if d.array()? == Some(len) {
        Ok(())
    } else {
        Err(CborError::message("array"))
    }
}

fn read_count(d: &mut Decoder<'_>) -> Result<u64, CborError> {
    d.array()?.ok_or_else(|| CborError::message("array"))
}

fn read_array<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], CborError> {
    d.bytes()?
        .try_into()
        .map_err(|_| CborError::message("bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_over_rows_of_another_version_is_not_one() {
        let log = LogHead {
            next: LogIndex::ZERO,
            previous: Digest::ZERO,
            frontier: Frontier::new(),
        };
        let position = JournalPosition {
            segment: SegmentId::new(1),
            offset: Default::default(),
            sequence: Sequence::new(1),
            chain: Digest::ZERO,
            compliance: UnixMillis::new(1),
            log,
        };
        let head = encode_head(&position, SegmentId::new(2), &[], 0);
        let tail = encode_tail(&Usages::default(), &Freed::default());
        let meta = |head: &[u8]| SnapshotMeta {
            next: LogIndex::ZERO,
            segment: position.segment,
            offset: position.offset,
            frontier: position.log.frontier.encode(),
            extra: Extra(vec![head.into(), tail.clone().into()]),
        };
        assert!(SnapshotState::decode(&meta(&head)).is_some());
        // Behind the array's head: the snapshot's own version, then that of the rows.
        for at in [1, 2] {
            let mut older = head.clone();
            older[at] -= 1;
            let older = SnapshotState::decode(&meta(&older));
            assert!(older.is_none(), "byte {at}");
        }
    }
}
