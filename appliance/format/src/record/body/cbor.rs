//! Bodies to CBOR and back.

use super::attempts::{read_attempts, write_attempts};
use super::destruction::{
    read_clock, read_destroyed, read_scope, read_statement, read_tombstone, write_clock,
    write_destroyed, write_scope, write_statement, write_tombstone,
};
use super::logkey::{read_key_change, write_key_change};
use super::opening::{read_forced_open, write_forced_open};
use super::space::{read_span, read_trim, write_span, write_trim};
use super::{
    Abandoned, Alloc, Attachment, Body, Commit, CopyHealth, EntryKind, EpochReason, EpochStart,
    Forgetful, Genesis, Loss, Marker, MemberChange, MoveStep, Part, Placed, Placement, Release,
    ReleaseReason, Relocate, Scrub, SealNote, Snapshot, StoredEntry,
};
use crate::cbor::{MapReader, MapWriter, Reader, Writer, encode_value, read_tree, write_tree};
use crate::codec::{DecodeError, Fault};
use crate::digest::Digest;
use crate::label::{MemberState, VaultFlags};
use crate::limits::{
    ATTACHMENTS_MAX, COPIES_MAX, DOCUMENT_BYTES_MAX, MEMBERS_MAX, NOTE_BYTES_MAX, PART_NUMBER_MAX,
};
use crate::record::RecordType;
use crate::units::{
    ByteOffset, DiskId, Epoch, FrameIndex, Generation, LaneId, LogIndex, SegmentId, Sequence,
    UnitCount, UnitIndex, UnixMillis, UploadId,
};

const NOUN: &str = "Body";
/// Lists inside a body are bounded by the body's length; this only caps what is allocated first.
const LIST_MAX: usize = 1 << 16;
const FORMAT_TEXT_BYTES_MAX: usize = 64;

/// Bytes of an encoded entry, at most.
const ENTRY_BYTES: usize = 48;

impl EntryKind {
    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u8 {
        match self {
            Self::Chunk => 0,
            Self::ClearList => 1,
            Self::SealedList => 2,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Chunk),
            1 => Some(Self::ClearList),
            2 => Some(Self::SealedList),
            _ => None,
        }
    }
}

impl MoveStep {
    const fn get(self) -> u8 {
        match self {
            Self::Begun => 0,
            Self::Done => 1,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Begun),
            1 => Some(Self::Done),
            _ => None,
        }
    }
}

impl EpochReason {
    const fn get(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::CounterFull => 1,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Start),
            1 => Some(Self::CounterFull),
            _ => None,
        }
    }
}

impl CopyHealth {
    const fn get(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Repaired => 1,
            Self::Holed => 2,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Whole),
            1 => Some(Self::Repaired),
            2 => Some(Self::Holed),
            _ => None,
        }
    }
}

impl ReleaseReason {
    const fn get(self) -> u8 {
        match self {
            Self::ClientDelete => 0,
            Self::Overwritten => 1,
            Self::MarkerRemoved => 2,
            Self::Expired => 3,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::ClientDelete),
            1 => Some(Self::Overwritten),
            2 => Some(Self::MarkerRemoved),
            3 => Some(Self::Expired),
            _ => None,
        }
    }
}

fn write_entry(w: &mut Writer<'_>, entry: &StoredEntry) {
    w.array(3)
        .uint(entry.kind.get())
        .bytes(entry.digest.as_bytes())
        .uint(entry.stored_bytes);
}

fn read_entry(r: &mut Reader<'_>) -> Result<StoredEntry, DecodeError> {
    r.tuple("entry", 3)?;
    let kind = r.variant("entry kind", EntryKind::new)?;
    let digest = r.digest("entry digest")?;
    let stored_bytes = r.small("entry length")?;
    if stored_bytes == 0 {
        r.refuse("entry length", Fault::Value)
    } else {
        Ok(StoredEntry {
            kind,
            digest,
            stored_bytes,
        })
    }
}

/// Payload of a data-lane frame with the list flag.
#[must_use]
pub fn encode_chunk_list(entries: &[StoredEntry]) -> Vec<u8> {
    encode_value(entries.len() * ENTRY_BYTES + 16, |w| {
        w.list(entries, write_entry)
    })
}

/// Reads what `encode_chunk_list` wrote.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_chunk_list(bytes: &[u8]) -> Result<Vec<StoredEntry>, DecodeError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(DecodeError::new("ChunkList", "cbor", 0, Fault::Limit));
    }
    let mut reader = Reader::open("ChunkList", bytes)?;
    let entries = reader.list("entries", LIST_MAX, read_entry)?;
    if encode_chunk_list(&entries) == bytes {
        Ok(entries)
    } else {
        Err(DecodeError::new(
            "ChunkList",
            "cbor",
            0,
            Fault::NotCanonical,
        ))
    }
}

fn write_table(map: &mut MapWriter, table: &[Attachment]) {
    if !table.is_empty() {
        map.key(0).list(table, |w, attachment| {
            w.array(2)
                .bytes(attachment.digest.as_bytes())
                .uint(attachment.bytes);
        });
    }
}

fn read_table(map: &mut MapReader<'_, '_>) -> Result<Vec<Attachment>, DecodeError> {
    let table = map.optional(0, |r| {
        let table = r.list("attachments", ATTACHMENTS_MAX, |r| {
            r.tuple("attachment", 2)?;
            Ok(Attachment {
                digest: r.digest("attachment digest")?,
                bytes: r.small("attachment length")?,
            })
        })?;
        if table.is_empty() {
            r.refuse("attachments", Fault::Count)
        } else {
            Ok(table)
        }
    })?;
    Ok(table.unwrap_or_default())
}

/// Entries and where they lie; between them the upload that a record completes.
fn write_commit(
    map: &mut MapWriter,
    placement: Placement,
    entries: &[StoredEntry],
    completes: Option<UploadId>,
) {
    let number: u8 = match placement {
        Placement::Inline => 0,
        Placement::DataLane(_) => 1,
    };
    map.key(2).uint(number);
    map.key(3).list(entries, write_entry);
    if let Some(upload) = completes {
        map.key(4).bytes(upload.as_bytes());
    }
    if let Placement::DataLane(span) = placement {
        write_span(map, span);
    }
}

fn read_commit(
    map: &mut MapReader<'_, '_>,
    completes: bool,
) -> Result<(Commit, UploadId), DecodeError> {
    let is_lane = |number: u8| (number <= 1).then_some(number == 1);
    let on_lane = map.required(2, |r| r.variant("placement", is_lane))?;
    let entries = map.required(3, |r| r.list("entries", LIST_MAX, read_entry))?;
    let upload = if completes {
        UploadId::from_bytes(map.required(4, |r| r.fixed("upload"))?)
    } else {
        UploadId::default()
    };
    let placement = if on_lane {
        Placement::DataLane(read_span(map)?)
    } else {
        Placement::Inline
    };
    Ok((Commit { placement, entries }, upload))
}

impl Body {
    /// The clear body with its attachment table.
    #[must_use]
    pub fn encode(&self, table: &[Attachment]) -> Vec<u8> {
        let mut map = MapWriter::new(256);
        write_table(&mut map, table);
        match self {
            Self::Genesis(body) => write_genesis(&mut map, body),
            Self::Epoch(body) => write_epoch(&mut map, body),
            Self::Alloc(body) => write_alloc(&mut map, body),
            Self::Seal(body) => write_seal(&mut map, body),
            Self::Marker(body) => write_tree(&mut map, 1, Some(&body.log)),
            Self::Commit(body) => {
                map.key(1).uint(0_u8);
                write_commit(&mut map, body.placement, &body.entries, None);
            }
            Self::Complete(body, upload) => {
                map.key(1).uint(0_u8);
                write_commit(&mut map, body.placement, &body.entries, Some(*upload));
            }
            Self::Part(body) => {
                map.key(1).uint(body.number);
                write_commit(&mut map, body.placement, &body.entries, None);
            }
            Self::Release(body) => {
                map.key(1).uint(body.reason.get());
            }
            Self::Member(body) => {
                map.key(1).uint(body.generation);
                map.key(2).list(&body.members, |w, (disk, state)| {
                    w.array(2).bytes(disk.as_bytes()).uint(state.get());
                });
            }
            Self::Loss(body) => {
                map.key(1).uint(body.segment);
                map.key(2).uint(body.lane.get());
                map.key(3).uint(body.from);
                map.key(4).uint(body.to);
            }
            Self::Snapshot(body) => {
                map.key(1).uint(body.covered);
                map.key(2).uint(body.rows);
                map.key(3).bytes(body.multiset.as_bytes());
            }
            Self::Scrub(body) => write_scrub(&mut map, body),
            Self::Relocate(body) => write_relocate(&mut map, body),
            Self::Tombstone(body) => write_tombstone(&mut map, body),
            Self::Destroyed(body) => write_destroyed(&mut map, body),
            Self::Statement(body) => write_statement(&mut map, body),
            Self::Clock(body) => write_clock(&mut map, body),
            Self::Scope(body) => write_scope(&mut map, body),
            Self::Trim(body) => write_trim(&mut map, body),
            Self::Enacted(request) => {
                map.key(1).uint(*request);
            }
            Self::Refused(attempts) => write_attempts(&mut map, attempts),
            Self::Cosigned(note) => {
                map.key(1).text(note);
            }
            Self::LogKey(body) => write_key_change(&mut map, body),
            Self::ForcedOpen(body) => write_forced_open(&mut map, body),
            Self::DeleteMarker
            | Self::Retention
            | Self::Hold
            | Self::Bucket
            | Self::BucketDelete
            | Self::Config
            | Self::Upload
            | Self::Abort
            | Self::Tags
            | Self::Rehome
            | Self::Unrelease
            | Self::Later(_) => {}
        }
        map.finish()
    }

    /// Reads a clear body and its attachment table.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(
        record_type: RecordType,
        clear: &[u8],
    ) -> Result<(Self, Vec<Attachment>), DecodeError> {
        let mut reader = Reader::open(NOUN, clear)?;
        let mut map = reader.map()?;
        let table = read_table(&mut map)?;
        let body = read_body(record_type, &mut map)?;
        if let Self::Later(_) = body {
            map.skip_rest()?;
        } else {
            map.finish()?;
            if body.encode(&table) != clear {
                return Err(DecodeError::new(NOUN, "cbor", 0, Fault::NotCanonical));
            }
        }
        body.check(&table)?;
        Ok((body, table))
    }
}

fn read_body(record_type: RecordType, map: &mut MapReader<'_, '_>) -> Result<Body, DecodeError> {
    Ok(match record_type {
        RecordType::Genesis => Body::Genesis(read_genesis(map)?),
        RecordType::Epoch => Body::Epoch(read_epoch(map)?),
        RecordType::Alloc => Body::Alloc(read_alloc(map)?),
        RecordType::Seal => Body::Seal(read_seal(map)?),
        RecordType::Marker => match read_tree(map, 1)? {
            Some(log) => Body::Marker(Marker { log }),
            None => return map.refuse("log_root", Fault::Value),
        },
        RecordType::Commit => {
            read_manifest_index(map)?;
            Body::Commit(read_commit(map, false)?.0)
        }
        RecordType::Complete => {
            read_manifest_index(map)?;
            let (commit, upload) = read_commit(map, true)?;
            Body::Complete(commit, upload)
        }
        RecordType::DeleteMarker => Body::DeleteMarker,
        RecordType::Retention => Body::Retention,
        RecordType::Hold => Body::Hold,
        RecordType::Release => {
            let reason = map.required(1, |r| r.variant("reason", ReleaseReason::new))?;
            Body::Release(Release { reason })
        }
        RecordType::Bucket => Body::Bucket,
        RecordType::BucketDelete => Body::BucketDelete,
        RecordType::Config => Body::Config,
        RecordType::Upload => Body::Upload,
        RecordType::Part => Body::Part(read_part(map)?),
        RecordType::Abort => Body::Abort,
        RecordType::Member => Body::Member(read_member(map)?),
        RecordType::Loss => Body::Loss(Loss {
            segment: SegmentId::new(map.required(1, |r| r.uint("segment"))?),
            lane: LaneId::new(map.required(2, |r| r.small("lane"))?),
            from: ByteOffset::new(map.required(3, |r| r.uint("from"))?),
            to: ByteOffset::new(map.required(4, |r| r.uint("to"))?),
        }),
        RecordType::Snapshot => Body::Snapshot(Snapshot {
            covered: Sequence::new(map.required(1, |r| r.uint("covered"))?),
            rows: map.required(2, |r| r.uint("rows"))?,
            multiset: Digest(map.required(3, |r| r.fixed("multiset"))?),
        }),
        RecordType::Scrub => Body::Scrub(read_scrub(map)?),
        RecordType::Relocate => Body::Relocate(read_relocate(map)?),
        RecordType::Tags => Body::Tags,
        RecordType::Rehome => Body::Rehome,
        RecordType::Tombstone => Body::Tombstone(read_tombstone(map)?),
        RecordType::Destroyed => Body::Destroyed(read_destroyed(map)?),
        RecordType::Statement => Body::Statement(read_statement(map)?),
        RecordType::Clock => Body::Clock(read_clock(map)?),
        RecordType::Scope => Body::Scope(read_scope(map)?),
        RecordType::Trim => Body::Trim(read_trim(map)?),
        RecordType::Enacted => {
            Body::Enacted(LogIndex::new(map.required(1, |r| r.uint("request"))?))
        }
        RecordType::Refused => Body::Refused(read_attempts(map)?),
        RecordType::Cosigned => {
            let note = map.required(1, |r| r.text("note", NOTE_BYTES_MAX))?;
            Body::Cosigned(note.to_owned())
        }
        RecordType::LogKey => Body::LogKey(read_key_change(map)?),
        RecordType::ForcedOpen => Body::ForcedOpen(read_forced_open(map)?),
        RecordType::Unrelease => Body::Unrelease,
        later => Body::Later(later),
    })
}

/// The manifest is attachment 0 in this version.
fn read_manifest_index(map: &mut MapReader<'_, '_>) -> Result<(), DecodeError> {
    match map.required(1, |r| r.uint("manifest"))? {
        0 => Ok(()),
        _ => map.refuse("manifest", Fault::Value),
    }
}

fn write_genesis(map: &mut MapWriter, body: &Genesis) {
    map.key(1).text(&body.format);
    map.key(2).list(&body.disks, |w, disk| {
        w.bytes(disk.as_bytes());
    });
    map.key(3).uint(body.unit_bytes);
    map.key(4).uint(body.segment_units.get());
    map.key(5).uint(body.flags.get());
    map.key(6).uint(body.created_ms);
}

fn read_genesis(map: &mut MapReader<'_, '_>) -> Result<Genesis, DecodeError> {
    let format = map
        .required(1, |r| r.text("format", FORMAT_TEXT_BYTES_MAX))?
        .to_owned();
    let disks = map.required(2, |r| {
        r.list("disks", MEMBERS_MAX, |r| r.fixed("disk").map(DiskId::new))
    })?;
    Ok(Genesis {
        format,
        disks,
        unit_bytes: map.required(3, |r| r.small("unit_bytes"))?,
        segment_units: UnitCount::new(map.required(4, |r| r.small("segment_units"))?),
        flags: map.required(5, |r| {
            let bits = r.small("flags")?;
            VaultFlags::new(bits).map_or_else(|| r.refuse("flags", Fault::Value), Ok)
        })?,
        created_ms: UnixMillis::new(map.required(6, |r| r.uint("created_ms"))?),
    })
}

fn write_epoch(map: &mut MapWriter, body: &EpochStart) {
    map.key(1).uint(body.previous.get());
    map.key(2).uint(body.reason.get());
    map.key(3).list(&body.abandoned, |w, tail| {
        w.array(5)
            .uint(tail.segment)
            .uint(tail.lane.get())
            .uint(tail.data_end)
            .uint(tail.units_kept.get())
            .uint(tail.last_sequence);
    });
    if !body.forgetful.is_empty() {
        map.key(4).list(&body.forgetful, |w, of| {
            w.array(2).bytes(&of.disk.to_bytes()).uint(of.frames);
        });
    }
}

fn read_epoch(map: &mut MapReader<'_, '_>) -> Result<EpochStart, DecodeError> {
    let previous = Epoch::new(map.required(1, |r| r.small("previous"))?);
    if !previous.in_range() {
        return map.refuse("previous", Fault::Limit);
    }
    let reason = map.required(2, |r| r.variant("reason", EpochReason::new))?;
    let abandoned = map.required(3, |r| {
        r.list("abandoned", LIST_MAX, |r| {
            r.tuple("abandoned", 5)?;
            Ok(Abandoned {
                segment: SegmentId::new(r.uint("segment")?),
                lane: LaneId::new(r.small("lane")?),
                data_end: ByteOffset::new(r.uint("data_end")?),
                units_kept: UnitCount::new(r.small("units_kept")?),
                last_sequence: Sequence::new(r.uint("last_sequence")?),
            })
        })
    })?;
    let forgetful = map.optional(4, |r| {
        r.list("forgetful", MEMBERS_MAX, |r| {
            r.tuple("forgetful", 2)?;
            Ok(Forgetful {
                disk: DiskId::new(r.fixed("disk")?),
                frames: r.small("frames")?,
            })
        })
    })?;
    let forgetful = forgetful.unwrap_or_default();
    let ascending = forgetful.is_sorted_by(|a, b| a.disk < b.disk);
    if !ascending || forgetful.iter().any(|of| of.frames == 0) {
        return map.refuse("forgetful", Fault::Value);
    }
    Ok(EpochStart {
        previous,
        reason,
        abandoned,
        forgetful,
    })
}

fn write_alloc(map: &mut MapWriter, body: &Alloc) {
    map.key(1).uint(body.segment);
    map.key(2).uint(body.lane.get());
    map.key(3).uint(body.units.get());
    map.key(4).list(&body.placements, |w, placed| {
        w.array(2)
            .bytes(placed.disk.as_bytes())
            .uint(placed.first_unit.get());
    });
}

fn read_alloc(map: &mut MapReader<'_, '_>) -> Result<Alloc, DecodeError> {
    Ok(Alloc {
        segment: SegmentId::new(map.required(1, |r| r.uint("segment"))?),
        lane: LaneId::new(map.required(2, |r| r.small("lane"))?),
        units: UnitCount::new(map.required(3, |r| r.small("units"))?),
        placements: map.required(4, |r| {
            r.list("placements", COPIES_MAX, |r| {
                r.tuple("placement", 2)?;
                Ok(Placed {
                    disk: DiskId::new(r.fixed("disk")?),
                    first_unit: UnitIndex::new(r.small("first_unit")?),
                })
            })
        })?,
    })
}

fn write_seal(map: &mut MapWriter, body: &SealNote) {
    map.key(1).uint(body.segment);
    map.key(2).uint(body.lane.get());
    map.key(3).uint(body.units_kept.get());
    map.key(4).bytes(body.seal.as_bytes());
    write_tree(map, 5, body.log.as_ref());
}

fn read_seal(map: &mut MapReader<'_, '_>) -> Result<SealNote, DecodeError> {
    Ok(SealNote {
        segment: SegmentId::new(map.required(1, |r| r.uint("segment"))?),
        lane: LaneId::new(map.required(2, |r| r.small("lane"))?),
        units_kept: UnitCount::new(map.required(3, |r| r.small("units_kept"))?),
        seal: Digest(map.required(4, |r| r.fixed("seal"))?),
        log: read_tree(map, 5)?,
    })
}

fn read_part(map: &mut MapReader<'_, '_>) -> Result<Part, DecodeError> {
    let number = map.required(1, |r| r.small("part number"))?;
    if !(1..=PART_NUMBER_MAX).contains(&number) {
        return map.refuse("part number", Fault::Value);
    }
    let (Commit { placement, entries }, _) = read_commit(map, false)?;
    Ok(Part {
        number,
        placement,
        entries,
    })
}

fn read_member(map: &mut MapReader<'_, '_>) -> Result<MemberChange, DecodeError> {
    Ok(MemberChange {
        generation: Generation::new(map.required(1, |r| r.uint("generation"))?),
        members: map.required(2, |r| {
            r.list("members", MEMBERS_MAX, |r| {
                r.tuple("member", 2)?;
                let disk = DiskId::new(r.fixed("disk")?);
                Ok((disk, r.variant("state", MemberState::new)?))
            })
        })?,
    })
}

fn write_relocate(map: &mut MapWriter, body: &Relocate) {
    map.key(1).uint(body.segment);
    map.key(2).uint(body.lane.get());
    map.key(3).bytes(body.from.as_bytes());
    map.key(4)
        .array(2)
        .bytes(body.to.disk.as_bytes())
        .uint(body.to.first_unit.get());
    map.key(5).uint(body.step.get());
}

fn read_relocate(map: &mut MapReader<'_, '_>) -> Result<Relocate, DecodeError> {
    Ok(Relocate {
        segment: SegmentId::new(map.required(1, |r| r.uint("segment"))?),
        lane: LaneId::new(map.required(2, |r| r.small("lane"))?),
        from: DiskId::new(map.required(3, |r| r.fixed("disk"))?),
        to: map.required(4, |r| {
            r.tuple("placement", 2)?;
            Ok(Placed {
                disk: DiskId::new(r.fixed("disk")?),
                first_unit: UnitIndex::new(r.small("first_unit")?),
            })
        })?,
        step: map.required(5, |r| r.variant("step", MoveStep::new))?,
    })
}

fn write_scrub(map: &mut MapWriter, body: &Scrub) {
    map.key(1).uint(body.segment);
    map.key(2).uint(body.lane.get());
    map.key(3).list(&body.copies, |w, (disk, health)| {
        w.array(2).bytes(disk.as_bytes()).uint(health.get());
    });
    map.key(4).list(&body.lost, |w, frame| {
        w.uint(frame.get());
    });
}

fn read_scrub(map: &mut MapReader<'_, '_>) -> Result<Scrub, DecodeError> {
    let body = Scrub {
        segment: SegmentId::new(map.required(1, |r| r.uint("segment"))?),
        lane: LaneId::new(map.required(2, |r| r.small("lane"))?),
        copies: map.required(3, |r| {
            r.list("copies", COPIES_MAX, |r| {
                r.tuple("copy", 2)?;
                let disk = DiskId::new(r.fixed("disk")?);
                Ok((disk, r.variant("health", CopyHealth::new)?))
            })
        })?,
        lost: map.required(4, |r| {
            r.list("lost", LIST_MAX, |r| r.small("frame").map(FrameIndex::new))
        })?,
    };
    if body.lost.is_sorted_by(|a, b| a < b) {
        Ok(body)
    } else {
        map.refuse("lost", Fault::Value)
    }
}
