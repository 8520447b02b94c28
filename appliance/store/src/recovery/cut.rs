//! Carrying out what tombstones decided: the keys are cut, on every disk that is here.
//!
//! This is the only place that cuts keys, and it is part of every start: a vault that has tombstones
//! starts itself again, a vault that lost power anywhere in between starts anyway. Steps, and what a crash
//! leaves after each: (1) the tombstones are durable, and a new epoch has begun after them, so no
//! disk that takes part can forget them: the next start is here again; (2) the key state without the leaves is
//! written to one copy of every disk, beside the old one in the other, and read back: a start finds the newest that
//! opens; (3) the anchor, where there is one, moves on: older key states never open again; (4) the new state is
//! written to both copies; (5) the index is made anew under a key of its own, since its pages held names; (6) a
//! Destroyed record says which disks have the new state in both copies. Until it is there, 4 to 6 are done again, and
//! all of it where the state that opens still has the leaves.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::entropy::Entropy;
use stele_device::keyprovider::{KeyError, KeyProvider};
use stele_format::record::{Body, Destroyed, VersionRef};
use stele_format::statement::{Act, Cut};
use stele_format::units::{DiskId, Generation, KeyClass, KeyIndex, LogIndex, Month, UnixMillis};

use super::{Disks, OpenError, desk};
use crate::engine::people::Desk;
use crate::index::rows::{
    DestroyedRow, Leaves, PartRow, Table, TableRow, TombstoneRow, UploadRow, VersionRow,
};
use crate::index::{IndexError, IndexStore, Memtable, Row, Scan, keys};
use crate::keys::copies::{KeyDisk, SaveError};
use crate::keys::secret::Secret64;
use crate::keys::state::KeyState;
use crate::keys::tree::Prefix;
use crate::limits::SCAN_ROW_COUNT;
use crate::plants::{Plant, on};
use crate::policy::approval::RequestState;
use crate::pool::Pool;

/// A row that does not decode: the index is made anew.
pub(super) const DAMAGED: OpenError = OpenError::Index(IndexError::Damaged);

/// Requests whose tombstones are complete, with no Destroyed record that this key state agrees with.
pub(super) struct Doomed {
    requests: BTreeMap<LogIndex, Condemned>,
    /// Requests whose tombstones nobody approved, or not like this: nothing is cut for them.
    pub(super) unlawful: Vec<LogIndex>,
    /// Whether a list is not worked off to its end yet.
    pub(super) unfinished: bool,
    /// Leaves that are to be cut one by one and can still be derived, with those of lists that are worked off in part.
    pub(super) leaves_due: u64,
}

/// What one request's tombstones condemn.
#[derive(Default)]
struct Condemned {
    entries: Vec<VersionRef>,
    leaves: Vec<Leaves>,
    month: Option<Month>,
    last: bool,
}

impl Condemned {
    /// Its leaves that can still be derived.
    fn known_leaves(&self, keys: &KeyState) -> u64 {
        let leaves = self.leaves.iter().flat_map(Leaves::iter);
        leaves.filter(|leaf| keys.tree.has_leaf(*leaf)).count() as u64
    }
}

/// Why keys are not cut now. What they open is gone for everybody all the same; the next start tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Postponed {
    /// Too many holes.
    #[error(
        "the key state would have {bytes} bytes without the keys to be cut, more than the {bytes_max} its place on the \
         disks can hold"
    )]
    TooLarge {
        /// What it would have.
        bytes: usize,
        /// What fits.
        bytes_max: usize,
    },
    /// A disk does not take it.
    #[error("disk {disk} does not take the new key state ({error}); replace the disk")]
    Disk {
        /// The disk.
        disk: DiskId,
        /// Why.
        error: SaveError,
    },
    /// A disk has not ended what it was asked for.
    #[error("disk {disk} is still at work")]
    AtWork {
        /// The disk.
        disk: DiskId,
    },
    /// Without the whole journal no index can be made anew, which is part of a cut.
    #[error("part of the journal is on no disk that takes part; plug in and resync the others")]
    JournalAway,
    /// The provider does not do its part.
    #[error("the key provider does not take the new key state: {0}")]
    Provider(KeyError),
}

impl Doomed {
    /// What the rows say is to be cut, as far as people approved it.
    pub(super) fn find(
        rows: &AllRows<'_>,
        keys: &KeyState,
        desk: &Desk,
    ) -> Result<Self, OpenError> {
        let mut requests: BTreeMap<LogIndex, Condemned> = BTreeMap::new();
        let mut settled: BTreeMap<LogIndex, bool> = BTreeMap::new();
        rows.each(Table::Tombstones, |key, value| {
            let (request, _) = keys::tombstone_of(key).ok_or(DAMAGED)?;
            let row = TombstoneRow::decode(value).map_err(|_| DAMAGED)?;
            let is_settled = match settled.get(&request) {
                Some(known) => *known,
                None => {
                    let known = rows.is_settled(request, keys.generation)?;
                    settled.insert(request, known);
                    known
                }
            };
            if !is_settled {
                let condemned = requests.entry(request).or_default();
                condemned.month = condemned.month.or(row.month);
                condemned.last |= row.last;
                condemned.entries.extend(row.entries);
                condemned.leaves.push(row.leaves);
            }
            Ok(())
        })?;
        // A list that is not worked off to its end waits for it.
        let partly = requests.extract_if(.., |_, condemned| !condemned.last);
        let partly: Vec<(LogIndex, Condemned)> = partly.collect();
        let unfinished = !partly.is_empty();
        let mut unlawful = Vec::new();
        for (request, condemned) in &requests {
            if !is_approved(rows, desk, *request, condemned)? {
                unlawful.push(*request);
            }
        }
        requests.retain(|request, _| !unlawful.contains(request));
        for (request, condemned) in &mut requests {
            // A version whose record is lost has no row, and its leaf may be of that month.
            if desk.approvals.is_doubted(*request) {
                condemned.month = None;
            }
        }
        let singly = requests.values().filter(|one| one.month.is_none());
        let mut leaves_due: u64 = singly.map(|one| one.known_leaves(keys)).sum();
        for (request, condemned) in &partly {
            leaves_due += leaves_of(rows, keys, desk, (*request, condemned))?;
        }
        Ok(Self {
            requests,
            unlawful,
            unfinished,
            leaves_due,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether any of it can still be derived.
    pub(super) fn has_keys(&self, keys: &KeyState, rows: &AllRows<'_>) -> Result<bool, OpenError> {
        if self.leaves().any(|leaf| keys.tree.has_leaf(leaf)) {
            return Ok(true);
        }
        let months = self.whole_months(rows)?;
        Ok(months.into_iter().any(|month| keys.tree.has_any(month)))
    }

    fn leaves(&self) -> impl Iterator<Item = KeyIndex> + '_ {
        let condemned = self.requests.values();
        condemned.flat_map(|one| one.leaves.iter().flat_map(Leaves::iter))
    }

    /// Cuts every leaf, and the months that nothing else needs a leaf of; the state is a new one afterwards.
    pub(super) fn cut(
        &self,
        keys: &mut KeyState,
        rows: &AllRows<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<(), OpenError> {
        for prefix in self.whole_months(rows)? {
            keys.tree.cut_prefix(prefix);
        }
        for leaf in self.leaves() {
            keys.tree.cut_leaf(leaf);
        }
        keys.index_key = Secret64::random(entropy);
        keys.generation = Generation::new(keys.generation.get() + 1);
        Ok(())
    }

    /// The prefixes of months to be cut in which no version and no upload that stays has a leaf.
    fn whole_months(&self, rows: &AllRows<'_>) -> Result<Vec<Prefix>, OpenError> {
        let months = self.requests.values().filter_map(|one| one.month);
        let mut wanted: Vec<(Month, KeyClass)> = months
            .flat_map(|month| [(month, KeyClass::Object), (month, KeyClass::PendingPart)])
            .collect();
        let as_prefix = |(month, class)| Prefix::class(month, class);
        if wanted.is_empty() || on(Plant::MonthUnspared) {
            return Ok(wanted.into_iter().map(as_prefix).collect());
        }
        let mut spare = |leaf: KeyIndex| {
            if let Some(parts) = leaf.parts() {
                wanted.retain(|one| *one != (parts.month, parts.class));
            }
        };
        // A row that cannot be read may be of something that stays: nothing is cut then.
        rows.each(Table::Versions, |_, value| {
            spare(VersionRow::decode(value).map_err(|_| DAMAGED)?.key_index);
            Ok(())
        })?;
        rows.each(Table::Uploads, |_, value| {
            spare(UploadRow::decode(value).map_err(|_| DAMAGED)?.key_index);
            Ok(())
        })?;
        rows.each(Table::Parts, |_, value| {
            spare(PartRow::decode(value).map_err(|_| DAMAGED)?.key_index);
            Ok(())
        })?;
        Ok(wanted.into_iter().map(as_prefix).collect())
    }

    /// The records that say so, once the leaves are gone from every disk that takes part.
    pub(super) fn records(&self, keys: &KeyState, pool: &Pool, anchor: Option<u64>) -> Vec<Body> {
        let disks: Vec<DiskId> = pool.active().map(|member| member.disk).collect();
        let members = pool.members.iter().map(|member| member.disk);
        let absent: Vec<DiskId> = members.filter(|disk| !disks.contains(disk)).collect();
        let record = |request: &LogIndex| {
            Body::Destroyed(Destroyed {
                request: *request,
                generation: keys.generation,
                disks: disks.clone(),
                absent: absent.clone(),
                anchor,
            })
        };
        self.requests.keys().map(record).collect()
    }
}

/// Leaves of a list that is worked off in part: those that wait to be cut, and those of the versions that are left.
fn leaves_of(
    rows: &AllRows<'_>,
    state: &KeyState,
    desk: &Desk,
    (request, condemned): (LogIndex, &Condemned),
) -> Result<u64, OpenError> {
    let view = desk.approvals.request(request, UnixMillis::ZERO);
    let Some(Act::Erase(erase)) = view.map(|view| view.act) else {
        return Ok(0);
    };
    if erase.cut != Cut::Leaves {
        return Ok(0);
    }
    let mut leaves = condemned.known_leaves(state);
    for entry in desk::scope(rows, erase.scope)?.unwrap_or_default() {
        // What is gone has no row.
        let key = keys::version(entry.object, entry.version);
        rows.prefix(Table::Versions, key, |_, value| {
            let row = VersionRow::decode(value).map_err(|_| DAMAGED)?;
            leaves += row.leaves().count() as u64;
            Ok(())
        })?;
    }
    Ok(leaves)
}

/// Whether people approved and executed a request, and its list has everything that is condemned by it.
fn is_approved(
    rows: &AllRows<'_>,
    desk: &Desk,
    request: LogIndex,
    condemned: &Condemned,
) -> Result<bool, OpenError> {
    // Time changes nothing about a request that was executed.
    let Some(view) = desk.approvals.request(request, UnixMillis::ZERO) else {
        return Ok(false);
    };
    let executed = matches!(view.state, RequestState::Executing | RequestState::Executed);
    let Act::Erase(erase) = view.act else {
        return Ok(false);
    };
    let month = match erase.cut {
        Cut::Leaves => None,
        Cut::Month(month) => Some(month),
    };
    let listed: BTreeSet<[u8; 32]> = desk::scope(rows, erase.scope)?
        .unwrap_or_default()
        .iter()
        .map(VersionRef::encode)
        .collect();
    let all = condemned.entries.iter();
    let listed = all.map(VersionRef::encode).all(|one| listed.contains(&one));
    Ok(executed && listed && month == condemned.month)
}

/// Another state of the keys than the one that opens: written, and the old one given up.
///
/// # Errors
/// [`Postponed`]. The old one may or may not count then: whoever goes on reads again what the disks hold.
pub(super) fn carry_out(
    keys: &KeyState,
    pool: &Pool,
    disks: &mut Disks,
    provider: &dyn KeyProvider,
) -> Result<(), Postponed> {
    let areas = pool.active().filter_map(|member| member.geometry.as_ref());
    let area = areas.map(|geometry| geometry.keystate_bytes).min();
    let bytes_max = usize::try_from(area.unwrap_or(0)).unwrap_or(usize::MAX) / 4 * 3;
    let bytes = keys.tree.encoded_len();
    if bytes > bytes_max {
        return Err(Postponed::TooLarge { bytes, bytes_max });
    }
    hand_over(keys, pool, disks, provider)
}

/// The new state is durable in one place of every disk that takes part, beside the one that opens, before the
/// anchor moves on; from then on it is the only one that opens.
fn hand_over(
    keys: &KeyState,
    pool: &Pool,
    disks: &mut Disks,
    provider: &dyn KeyProvider,
) -> Result<(), Postponed> {
    let sealed = keys
        .seal_next(provider, pool.id)
        .map_err(Postponed::Provider)?;
    for mut disk in key_disks(pool, disks) {
        let copy = disk.spare_copy(provider, pool.id);
        let written = sealed.write_copy(pool.id, &mut disk, copy);
        written.map_err(|error| Postponed::Disk {
            disk: disk.id(),
            error,
        })?;
    }
    provider
        .advance(&sealed.body)
        .map_err(Postponed::Provider)?;
    Ok(())
}

/// Writes the key state to both copies of every disk that takes part, and reads it back.
///
/// # Errors
/// [`Postponed`] with the first disk that failed: it may hold an older state still.
pub(super) fn save(
    keys: &KeyState,
    pool: &Pool,
    disks: &mut Disks,
    provider: &dyn KeyProvider,
) -> Result<(), Postponed> {
    let saved = keys
        .save(provider, pool.id, key_disks(pool, disks))
        .map_err(Postponed::Provider)?;
    for saved in saved {
        saved.result.map_err(|error| Postponed::Disk {
            disk: saved.disk,
            error,
        })?;
    }
    Ok(())
}

/// The key-state areas of the disks that take part.
fn key_disks<'a>(pool: &'a Pool, disks: &'a mut Disks) -> Vec<KeyDisk<'a>> {
    let mut given = Vec::new();
    for (number, disk) in disks.0.iter_mut().enumerate() {
        let Some(disk) = disk else { continue };
        let member = pool.active().find(|member| {
            member
                .slot
                .is_some_and(|slot| usize::from(slot.0) == number)
        });
        let Some(member) = member else { continue };
        if let Some(geometry) = &member.geometry {
            given.push(KeyDisk::new(&mut **disk, member.disk, geometry));
        }
    }
    given
}

/// All rows of a table, the memtable laid over the file.
pub(super) struct AllRows<'a> {
    pub(super) memtable: &'a Memtable,
    pub(super) index: &'a IndexStore,
}

impl AllRows<'_> {
    pub(super) fn each(
        &self,
        table: Table,
        visit: impl FnMut(&[u8], &[u8]) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        self.prefix(table, Vec::new(), visit)
    }

    pub(super) fn prefix(
        &self,
        table: Table,
        prefix: Vec<u8>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut scan = Scan::prefix(table, prefix, SCAN_ROW_COUNT);
        loop {
            let merged = self.memtable.merge_scan(&scan, &self.index.scan(&scan)?);
            for (key, value) in &merged.rows {
                visit(key, value)?;
            }
            match merged.resume {
                None => return Ok(()),
                Some(resume) => scan.from = resume,
            }
        }
    }

    /// Whether a record says that the request's leaves are gone, from a key state no newer than this one.
    fn is_settled(&self, request: LogIndex, generation: Generation) -> Result<bool, OpenError> {
        let mut scan = Scan::prefix(Table::Destroyed, keys::destroyed(request), 1);
        scan.from = keys::destroyed(request);
        let merged = self.memtable.merge_scan(&scan, &self.index.scan(&scan)?);
        let row: Option<&Row> = merged.rows.first();
        let row = row
            .map(|(_, value)| DestroyedRow::decode(value))
            .transpose();
        let row = row.map_err(|_| DAMAGED)?;
        Ok(row.is_some_and(|row| row.generation <= generation))
    }
}
