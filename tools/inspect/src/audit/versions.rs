//! Every version of the log and what protects it, small: 24 bytes each.

use stele_format::record::{LockMode, RecordHeader, VersionRef};
use stele_format::units::{LogIndex, UnixMillis};

use crate::limits::ERASE_MARGIN_MS;

const MONTH_BITS: u32 = 12;
const MODE_MASK: u64 = 0b11;
const HOLD: u64 = 0b100;
const CASE: u64 = 0b1000;
const DESTROYED: u64 = 0b1_0000;
const MARKER: u64 = 0b10_0000;
const FLAG_BITS: u32 = 6;
/// Times beyond it are kept as this one, which is later than any date that can be written.
const UNTIL_END: u64 = u64::MAX >> FLAG_BITS;

/// Place of a version in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(u32);

/// What protects a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Mode.
    pub mode: LockMode,
    /// End of retention.
    pub until: UnixMillis,
    /// Hold by a record of the version's own.
    pub hold: bool,
    /// Hold by a case.
    pub case: bool,
}

impl Lock {
    /// Whether its retention is in force at a time.
    #[must_use]
    pub fn is_retained(&self, now: UnixMillis) -> bool {
        self.mode != LockMode::None && self.until > now
    }

    /// Whether it keeps the version from being destroyed: until it has been over for a day.
    #[must_use]
    pub fn is_kept(&self, now: UnixMillis) -> bool {
        let end = self.until.checked_add(ERASE_MARGIN_MS);
        self.mode != LockMode::None && end.unwrap_or(UnixMillis::MAX) > now
    }
}

/// One version: its place in the log and the month of its key, what protects it, and a digest of its ids.
#[derive(Debug, Clone, Copy)]
struct Row {
    index_month: u64,
    until_flags: u64,
    ident: u64,
}

/// Why a version cannot be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its id belongs to another record.
    Id,
    /// More versions, or a longer log, than this table can hold.
    Full,
}

/// All versions, in the order of the log.
#[derive(Debug, Default)]
pub struct Versions {
    rows: Vec<Row>,
    living: u64,
}

/// The first 8 bytes of the BLAKE3 of both ids. The log index is compared besides, so that a version is never
/// taken for another; this only tells ids that were made up.
fn ident(reference: &VersionRef) -> u64 {
    let digest = stele_format::digest::Digest::of(&reference.encode());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn month_of(header: &RecordHeader) -> u64 {
    let parts = header.key_index.parts();
    parts.map_or(0, |parts| u64::from(parts.month.get()))
}

impl Versions {
    /// Takes in the version a record makes.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn add(&mut self, header: &RecordHeader, marker: bool) -> Result<(), Refused> {
        let index = header.log_index;
        let newest = self.rows.last().map(|row| row.index_month >> MONTH_BITS);
        if header.version.ordinal() != index || newest >= Some(index.get()) {
            return Err(Refused::Id);
        }
        if index.get() >> (u64::BITS - MONTH_BITS) != 0 || u32::try_from(self.rows.len()).is_err() {
            return Err(Refused::Full);
        }
        let reference = VersionRef {
            object: header.object,
            version: header.version,
        };
        self.rows.push(Row {
            index_month: index.get() << MONTH_BITS | month_of(header),
            until_flags: u64::from(header.mode.get()),
            ident: ident(&reference),
        });
        self.living += 1;
        let at = At(u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX));
        self.set_retention(at, header.mode, header.retain_until_ms);
        self.set_hold(at, header.hold);
        self.flag(at, MARKER, marker);
        Ok(())
    }

    /// The version with these ids.
    #[must_use]
    pub fn find(&self, reference: &VersionRef) -> Option<At> {
        let index = reference.version.ordinal().get();
        let found = self
            .rows
            .binary_search_by_key(&index, |row| row.index_month >> MONTH_BITS);
        let at = found.ok()?;
        (self.rows.get(at)?.ident == ident(reference)).then(|| u32::try_from(at).ok().map(At))?
    }

    fn row(&self, at: At) -> Row {
        self.rows[at.0 as usize]
    }

    fn flag(&mut self, at: At, flag: u64, on: bool) {
        let word = &mut self.rows[at.0 as usize].until_flags;
        *word = if on { *word | flag } else { *word & !flag };
    }

    /// The record that made it.
    #[must_use]
    pub fn index(&self, at: At) -> LogIndex {
        LogIndex::new(self.row(at).index_month >> MONTH_BITS)
    }

    /// What protects it.
    #[must_use]
    pub fn lock(&self, at: At) -> Lock {
        lock_of(&self.row(at))
    }

    /// Whether a tombstone names it.
    #[must_use]
    pub fn is_destroyed(&self, at: At) -> bool {
        self.row(at).until_flags & DESTROYED != 0
    }

    /// Whether it is a delete marker.
    #[must_use]
    pub fn is_marker(&self, at: At) -> bool {
        self.row(at).until_flags & MARKER != 0
    }

    /// Sets mode and end of retention.
    pub fn set_retention(&mut self, at: At, mode: LockMode, until: UnixMillis) {
        let flags = self.row(at).until_flags & ((1 << FLAG_BITS) - 1) & !MODE_MASK;
        let until = until.get().min(UNTIL_END) << FLAG_BITS;
        self.rows[at.0 as usize].until_flags = until | flags | u64::from(mode.get());
    }

    /// Sets or lifts its own hold.
    pub fn set_hold(&mut self, at: At, on: bool) {
        self.flag(at, HOLD, on);
    }

    /// Some case holds it, or none any more.
    pub fn set_case(&mut self, at: At, on: bool) {
        self.flag(at, CASE, on);
    }

    /// It is destroyed.
    pub fn destroy(&mut self, at: At) {
        if !self.is_destroyed(at) {
            self.living -= 1;
            self.flag(at, DESTROYED, true);
        }
    }

    /// Its manifest was sealed again, under a leaf of the month of this header's key.
    pub fn rehome(&mut self, at: At, header: &RecordHeader) {
        let index = self.index(at).get();
        self.rows[at.0 as usize].index_month = index << MONTH_BITS | month_of(header);
    }

    /// Versions that are not destroyed.
    #[must_use]
    pub fn living(&self) -> u64 {
        self.living
    }

    /// All versions.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    /// What protects each living version.
    pub fn locks(&self) -> impl Iterator<Item = Lock> {
        let living = self
            .rows
            .iter()
            .filter(|row| row.until_flags & DESTROYED == 0);
        living.map(lock_of)
    }

    /// Living versions whose newest key is of a month.
    pub fn of_month(&self, month: u16) -> impl Iterator<Item = LogIndex> {
        let mask = (1 << MONTH_BITS) - 1;
        let rows = self.rows.iter();
        let rows = rows.filter(move |row| {
            row.until_flags & DESTROYED == 0 && row.index_month & mask == u64::from(month)
        });
        rows.map(|row| LogIndex::new(row.index_month >> MONTH_BITS))
    }
}

fn lock_of(row: &Row) -> Lock {
    let mode = u8::try_from(row.until_flags & MODE_MASK).ok();
    Lock {
        mode: mode.and_then(LockMode::new).unwrap_or_default(),
        until: UnixMillis::new(row.until_flags >> FLAG_BITS),
        hold: row.until_flags & HOLD != 0,
        case: row.until_flags & CASE != 0,
    }
}
