//! What people state and what is destroyed by it: bodies in the clear, so that whoever has the log and no
//! key can judge every destruction.

use crate::cbor::{MapReader, MapWriter, Reader, Writer};
use crate::codec::{DecodeError, Fault};
use crate::digest::Digest;
use crate::limits::{
    MEMBERS_MAX, SCOPE_ENTRIES_MAX, SCOPE_PIECES_MAX, SIGNATURE_BYTES_MAX, STATEMENT_BYTES_MAX,
    STATEMENT_SIGNATURES_MAX,
};
use crate::units::{DiskId, Generation, LogIndex, Month, ObjectId, UnixMillis, VersionId};

/// What somebody signed, as it was signed. Attachment 0, if there is one, is a note under the box key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementBody {
    /// The text, byte for byte.
    pub text: String,
    /// Signatures of it: the bytes inside the armour of OpenSSH signatures (PROTOCOL.sshsig).
    pub signatures: Vec<Vec<u8>>,
}

/// An object version as lists of destruction name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionRef {
    /// Its object.
    pub object: ObjectId,
    /// The version, which holds the number of the record that made it.
    pub version: VersionId,
}

impl VersionRef {
    /// Bytes of an entry.
    pub const BYTES: usize = 32;

    /// Object id, version id.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..16].copy_from_slice(self.object.as_bytes());
        out[16..].copy_from_slice(self.version.as_bytes());
        out
    }

    /// What `encode` wrote.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let (mut object, mut version) = ([0; 16], [0; 16]);
        object.copy_from_slice(&bytes[..16]);
        version.copy_from_slice(&bytes[16..]);
        Self {
            object: ObjectId::new(object),
            version: VersionId::from_bytes(version),
        }
    }
}

/// The digest a statement names a list of versions by: BLAKE3-256 over all entries, in order.
#[must_use]
pub fn scope_digest(entries: &[VersionRef]) -> Digest {
    let bytes: Vec<u8> = entries.iter().flat_map(VersionRef::encode).collect();
    Digest::of(&bytes)
}

/// A piece of an exact list of versions, recorded before a statement cites its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `scope_digest` of the whole list.
    pub digest: Digest,
    /// Number of the piece, from 0.
    pub ordinal: u32,
    /// Pieces of the list.
    pub pieces: u32,
    /// Entries, ascending by the number inside the version id over all pieces.
    pub entries: Vec<VersionRef>,
}

/// Versions that are destroyed by an approved request. From here on nobody is given them; their keys are
/// cut afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The request's record.
    pub request: LogIndex,
    /// Number of the piece, from 0.
    pub ordinal: u32,
    /// Nothing more of the request is destroyed.
    pub last: bool,
    /// The month whose keys are all cut, those of pending parts included; only with `last`.
    pub month: Option<Month>,
    /// What is destroyed: a part of the request's list.
    pub entries: Vec<VersionRef>,
}

/// The keys of a request's tombstones are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The request's record.
    pub request: LogIndex,
    /// The key state without them.
    pub generation: Generation,
    /// Disks on which both copies of it were written and read back.
    pub disks: Vec<DiskId>,
    /// Disks of the pool that were away; they are given it before anything else when they join.
    pub absent: Vec<DiskId>,
    /// What keeps an older key state from being used: the anchor's value, or none for a vault without.
    pub anchor: Option<u64>,
}

/// What happened to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockEventKind {
    /// The wall clock left the span around compliance time in which it counts.
    WallLeft,
    /// It came back.
    WallReturned,
    /// Compliance time was set forward by an approved statement.
    Corrected,
    /// Compliance time was set forward in a vault whose clock is simulated.
    Simulated,
}

impl ClockEventKind {
    const fn get(self) -> u8 {
        match self {
            Self::WallLeft => 0,
            Self::WallReturned => 1,
            Self::Corrected => 2,
            Self::Simulated => 3,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::WallLeft),
            1 => Some(Self::WallReturned),
            2 => Some(Self::Corrected),
            3 => Some(Self::Simulated),
            _ => None,
        }
    }
}

/// An event of the clocks; the header holds both as they are after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockEvent {
    /// What happened.
    pub kind: ClockEventKind,
    /// Compliance time before it.
    pub before_ms: UnixMillis,
    /// The request's record, where a statement set the clock.
    pub request: Option<LogIndex>,
}

fn write_entries(w: &mut Writer<'_>, entries: &[VersionRef]) {
    let bytes: Vec<u8> = entries.iter().flat_map(VersionRef::encode).collect();
    w.bytes(&bytes);
}

fn read_entries(r: &mut Reader<'_>) -> Result<Vec<VersionRef>, DecodeError> {
    let bytes = r.bytes("entries", SCOPE_ENTRIES_MAX * VersionRef::BYTES)?;
    let (entries, rest) = bytes.as_chunks::<{ VersionRef::BYTES }>();
    if !rest.is_empty() {
        return r.refuse("entries", Fault::Value);
    }
    let entries: Vec<VersionRef> = entries.iter().map(VersionRef::decode).collect();
    if entries.is_sorted_by(|a, b| a.version.ordinal() < b.version.ordinal()) {
        Ok(entries)
    } else {
        r.refuse("entries", Fault::Value)
    }
}

pub(super) fn write_statement(map: &mut MapWriter, body: &StatementBody) {
    map.key(1).text(&body.text);
    map.key(2).list(&body.signatures, |w, signature| {
        w.bytes(signature);
    });
}

pub(super) fn read_statement(map: &mut MapReader<'_, '_>) -> Result<StatementBody, DecodeError> {
    let text = map.required(1, |r| r.text("text", STATEMENT_BYTES_MAX))?;
    Ok(StatementBody {
        text: text.to_owned(),
        signatures: map.required(2, |r| {
            r.list("signatures", STATEMENT_SIGNATURES_MAX, |r| {
                Ok(r.bytes("signature", SIGNATURE_BYTES_MAX)?.to_vec())
            })
        })?,
    })
}

pub(super) fn write_scope(map: &mut MapWriter, body: &Scope) {
    map.key(1).bytes(body.digest.as_bytes());
    map.key(2).uint(body.ordinal);
    map.key(3).uint(body.pieces);
    write_entries(&mut map.key(4), &body.entries);
}

pub(super) fn read_scope(map: &mut MapReader<'_, '_>) -> Result<Scope, DecodeError> {
    let body = Scope {
        digest: map.required(1, |r| r.digest("scope"))?,
        ordinal: map.required(2, |r| r.small("ordinal"))?,
        pieces: map.required(3, |r| r.small("pieces"))?,
        entries: map.required(4, read_entries)?,
    };
    let fits = body.ordinal < body.pieces && body.pieces <= SCOPE_PIECES_MAX;
    if fits && !body.entries.is_empty() {
        Ok(body)
    } else {
        map.refuse("pieces", Fault::Value)
    }
}

pub(super) fn write_tombstone(map: &mut MapWriter, body: &Tombstone) {
    map.key(1).uint(body.request);
    map.key(2).uint(body.ordinal);
    map.key(3).uint(u8::from(body.last));
    map.optional(4, body.month, |w, month| {
        w.uint(month.get());
    });
    write_entries(&mut map.key(5), &body.entries);
}

pub(super) fn read_tombstone(map: &mut MapReader<'_, '_>) -> Result<Tombstone, DecodeError> {
    let body = Tombstone {
        request: LogIndex::new(map.required(1, |r| r.uint("request"))?),
        ordinal: map.required(2, |r| r.small("ordinal"))?,
        last: map.required(3, |r| r.variant("last", flag))?,
        month: map.optional(4, |r| {
            let month = r.small("month")?;
            Month::new(month).map_or_else(|| r.refuse("month", Fault::Value), Ok)
        })?,
        entries: map.required(5, read_entries)?,
    };
    if body.ordinal < SCOPE_PIECES_MAX && (body.last || body.month.is_none()) {
        Ok(body)
    } else {
        map.refuse("month", Fault::Value)
    }
}

pub(super) fn write_destroyed(map: &mut MapWriter, body: &Destroyed) {
    map.key(1).uint(body.request);
    map.key(2).uint(body.generation);
    for (key, disks) in [(3, &body.disks), (4, &body.absent)] {
        map.key(key).list(disks, |w, disk| {
            w.bytes(disk.as_bytes());
        });
    }
    map.optional(5, body.anchor, |w, anchor| {
        w.uint(anchor);
    });
}

pub(super) fn read_destroyed(map: &mut MapReader<'_, '_>) -> Result<Destroyed, DecodeError> {
    let disks =
        |r: &mut Reader<'_>| r.list("disks", MEMBERS_MAX, |r| r.fixed("disk").map(DiskId::new));
    Ok(Destroyed {
        request: LogIndex::new(map.required(1, |r| r.uint("request"))?),
        generation: Generation::new(map.required(2, |r| r.uint("generation"))?),
        disks: map.required(3, disks)?,
        absent: map.required(4, disks)?,
        anchor: map.optional(5, |r| r.uint("anchor"))?,
    })
}

pub(super) fn write_clock(map: &mut MapWriter, body: &ClockEvent) {
    map.key(1).uint(body.kind.get());
    map.key(2).uint(body.before_ms);
    map.optional(3, body.request, |w, request| {
        w.uint(request);
    });
}

pub(super) fn read_clock(map: &mut MapReader<'_, '_>) -> Result<ClockEvent, DecodeError> {
    Ok(ClockEvent {
        kind: map.required(1, |r| r.variant("kind", ClockEventKind::new))?,
        before_ms: UnixMillis::new(map.required(2, |r| r.uint("before_ms"))?),
        request: map.optional(3, |r| r.uint("request"))?.map(LogIndex::new),
    })
}

const fn flag(number: u8) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
