//! Rows of what people stated and of what was destroyed by it.

use stele_format::record::VersionRef;
use stele_format::statement::RecordSpan;
use stele_format::units::{DiskId, Generation, LogIndex, Month, Opening, Sequence, UnixMillis};

use super::{Leaves, RecordLocation, Table, TableRow, read_bool};
use crate::index::codec::{Malformed, Reader, Writer};

/// A recorded statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    /// Compliance time of its record.
    pub at: UnixMillis,
    /// The wall clock, as in the record.
    pub wall: UnixMillis,
    /// Versions in the vault then.
    pub versions: u64,
    /// Its text.
    pub text: String,
    /// Its signatures, without armour.
    pub signatures: Vec<Vec<u8>>,
    /// Its record, which holds the sealed note, if there is one.
    pub location: RecordLocation,
}

/// A checkpoint that witnesses cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedRow {
    /// Compliance time of its record.
    pub at: UnixMillis,
    /// The wall clock, as in the record.
    pub wall: UnixMillis,
    /// The note.
    pub note: String,
}

/// A forced opening of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedRow {
    /// Compliance time of its record.
    pub at: UnixMillis,
    /// The request.
    pub request: LogIndex,
    /// Its number.
    pub opening: Opening,
    /// The newest frame before it.
    pub last: Sequence,
    /// The newest frame that was known durable then.
    pub durable: Sequence,
    /// Disks left behind.
    pub left: Vec<DiskId>,
    /// Records that are lost before it, in spans.
    pub missing: Vec<RecordSpan>,
}

/// A piece of a list of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeRow {
    /// Pieces of the list.
    pub pieces: u32,
    /// Its entries.
    pub entries: Vec<VersionRef>,
}

/// Versions destroyed by a request, and the leaves that go with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TombstoneRow {
    /// Compliance time of its record.
    pub at: UnixMillis,
    /// Whether it is the request's last.
    pub last: bool,
    /// The month that is cut as a whole.
    pub month: Option<Month>,
    /// The versions.
    pub entries: Vec<VersionRef>,
    /// Their leaves.
    pub leaves: Leaves,
}

/// A request whose tombstones' leaves are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestroyedRow {
    /// Its record.
    pub index: LogIndex,
    /// Compliance time of its record.
    pub at: UnixMillis,
    /// The key state without the leaves.
    pub generation: Generation,
    /// Disks that have it.
    pub disks: Vec<DiskId>,
    /// Disks that were away.
    pub absent: Vec<DiskId>,
    /// Value of the anchor.
    pub anchor: Option<u64>,
}

/// What a request asked for has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnactedRow {
    /// Its record.
    pub index: LogIndex,
    /// Compliance time of its record.
    pub at: UnixMillis,
}

impl TableRow for EnactedRow {
    const TABLE: Table = Table::Enacted;

    fn write(&self, out: &mut Writer) {
        out.u64(self.index.get()).u64(self.at.get());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            index: LogIndex::new(from.u64()?),
            at: UnixMillis::new(from.u64()?),
        })
    }
}

fn write_entries(out: &mut Writer, entries: &[VersionRef]) {
    out.u32(u32::try_from(entries.len()).expect("a record holds some thousands of entries"));
    for entry in entries {
        out.raw(&entry.encode());
    }
}

fn read_entries(from: &mut Reader<'_>) -> Result<Vec<VersionRef>, Malformed> {
    let count = from.u32()?;
    (0..count)
        .map(|_| Ok(VersionRef::decode(&from.array()?)))
        .collect()
}

impl TableRow for StatementRow {
    const TABLE: Table = Table::Statements;

    fn write(&self, out: &mut Writer) {
        out.u64(self.at.get())
            .u64(self.wall.get())
            .u64(self.versions)
            .bytes(self.text.as_bytes());
        out.u16(u16::try_from(self.signatures.len()).expect("a statement has a few signatures"));
        for signature in &self.signatures {
            out.bytes(signature);
        }
        self.location.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            at: UnixMillis::new(from.u64()?),
            wall: UnixMillis::new(from.u64()?),
            versions: from.u64()?,
            text: from.text()?,
            signatures: {
                let count = from.u16()?;
                (0..count)
                    .map(|_| Ok(from.bytes()?.to_vec()))
                    .collect::<Result<_, Malformed>>()?
            },
            location: RecordLocation::read(from)?,
        })
    }
}

impl TableRow for CosignedRow {
    const TABLE: Table = Table::Cosigned;

    fn write(&self, out: &mut Writer) {
        out.u64(self.at.get())
            .u64(self.wall.get())
            .bytes(self.note.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            at: UnixMillis::new(from.u64()?),
            wall: UnixMillis::new(from.u64()?),
            note: from.text()?,
        })
    }
}

impl TableRow for ForcedRow {
    const TABLE: Table = Table::Openings;

    fn write(&self, out: &mut Writer) {
        out.u64(self.at.get())
            .u64(self.request.get())
            .u32(self.opening.get())
            .u64(self.last.get())
            .u64(self.durable.get());
        write_disks(out, &self.left);
        // To the end of the row: those of earlier programs have none.
        for span in &self.missing {
            out.u64(span.first.get()).u64(span.last.get());
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            at: UnixMillis::new(from.u64()?),
            request: LogIndex::new(from.u64()?),
            opening: Opening::new(from.u32()?),
            last: Sequence::new(from.u64()?),
            durable: Sequence::new(from.u64()?),
            left: read_disks(from)?,
            missing: read_spans(from)?,
        })
    }
}

impl TableRow for ScopeRow {
    const TABLE: Table = Table::Scopes;

    fn write(&self, out: &mut Writer) {
        out.u32(self.pieces);
        write_entries(out, &self.entries);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            pieces: from.u32()?,
            entries: read_entries(from)?,
        })
    }
}

impl TableRow for TombstoneRow {
    const TABLE: Table = Table::Tombstones;

    fn write(&self, out: &mut Writer) {
        out.u64(self.at.get()).u8(u8::from(self.last));
        match self.month {
            None => out.u8(0),
            Some(month) => out.u8(1).u16(month.get()),
        };
        write_entries(out, &self.entries);
        self.leaves.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            at: UnixMillis::new(from.u64()?),
            last: read_bool(from)?,
            month: match from.u8()? {
                0 => None,
                1 => Some(Month::new(from.u16()?).ok_or(Malformed)?),
                _ => return Err(Malformed),
            },
            entries: read_entries(from)?,
            leaves: Leaves::read(from)?,
        })
    }
}

impl TableRow for DestroyedRow {
    const TABLE: Table = Table::Destroyed;

    fn write(&self, out: &mut Writer) {
        out.u64(self.index.get())
            .u64(self.at.get())
            .u64(self.generation.get());
        for disks in [&self.disks, &self.absent] {
            write_disks(out, disks);
        }
        match self.anchor {
            None => out.u8(0),
            Some(anchor) => out.u8(1).u64(anchor),
        };
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            index: LogIndex::new(from.u64()?),
            at: UnixMillis::new(from.u64()?),
            generation: Generation::new(from.u64()?),
            disks: read_disks(from)?,
            absent: read_disks(from)?,
            anchor: match from.u8()? {
                0 => None,
                1 => Some(from.u64()?),
                _ => return Err(Malformed),
            },
        })
    }
}

fn write_disks(out: &mut Writer, disks: &[DiskId]) {
    out.u16(u16::try_from(disks.len()).expect("a pool has some tens of disks"));
    for disk in disks {
        out.raw(disk.as_bytes());
    }
}

fn read_spans(from: &mut Reader<'_>) -> Result<Vec<RecordSpan>, Malformed> {
    let mut spans = Vec::new();
    while !from.is_empty() {
        spans.push(RecordSpan {
            first: LogIndex::new(from.u64()?),
            last: LogIndex::new(from.u64()?),
        });
    }
    Ok(spans)
}

fn read_disks(from: &mut Reader<'_>) -> Result<Vec<DiskId>, Malformed> {
    let count = from.u16()?;
    (0..count).map(|_| Ok(DiskId::new(from.array()?))).collect()
}
