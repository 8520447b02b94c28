//! Carrying out what tombstones decided: the keys are cut, on every disk that is here.
//!
//! This is the only place that cuts keys, and it is part of every start: a vault that has tombstones
//! starts itself again, a vault that lost power anywhere in between starts anyway. Steps, and what a crash
//! leaves after each: (1) the tombstones are durable, and a new epoch has begun after them, so no
//! disk that takes part can forget them: the next start is here again; (2) the key state without the leaves is
//! written to both copies of every disk, each read back: a start finds the newest, which lacks them, and writes the
//! disks that have an older one; (3) the anchor, where there is one, moves on: older key states never open again;
//! (4) the index is made anew under a key of its own, since its pages held names; (5) a Destroyed record
//! says which disks have the new state. Until it is there, 2 to 5 are done again.

use std::collections::BTreeMap;

use stele_device::entropy::Entropy;
use stele_device::keyprovider::KeyProvider;
use stele_format::record::{Body, Destroyed};
use stele_format::units::{DiskId, Generation, KeyClass, KeyIndex, LogIndex, Month};

use super::{Disks, OpenError};
use crate::index::rows::{
    DestroyedRow, Leaves, PartRow, Table, TableRow, TombstoneRow, UploadRow, VersionRow,
};
use crate::index::{IndexStore, Memtable, Row, Scan, keys};
use crate::keys::copies::KeyDisk;
use crate::keys::secret::Secret64;
use crate::keys::state::KeyState;
use crate::keys::tree::Prefix;
use crate::limits::SCAN_ROW_COUNT;
use crate::pool::{MemberState, Pool};

/// Requests whose tombstones are complete and have no Destroyed record that this key state agrees with.
pub(super) struct Doomed {
    requests: BTreeMap<LogIndex, Condemned>,
}

/// What one request's tombstones condemn.
#[derive(Default)]
struct Condemned {
    leaves: Vec<Leaves>,
    month: Option<Month>,
    /// Its last tombstone is there.
    whole: bool,
}

impl Doomed {
    /// What the rows say is to be cut.
    pub(super) fn find(
        memtable: &Memtable,
        index: &IndexStore,
        keys: &KeyState,
    ) -> Result<Self, OpenError> {
        let rows = AllRows { memtable, index };
        let mut requests: BTreeMap<LogIndex, Condemned> = BTreeMap::new();
        let mut settled: BTreeMap<LogIndex, bool> = BTreeMap::new();
        rows.each(Table::Tombstones, |key, value| {
            let (Some((request, _)), Ok(row)) =
                (keys::tombstone_of(key), TombstoneRow::decode(value))
            else {
                return Ok(());
            };
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
                condemned.whole |= row.last;
                condemned.leaves.push(row.leaves);
            }
            Ok(())
        })?;
        // One that a crash cut short goes on first: cut now, it would count as done.
        requests.retain(|_, one| one.whole);
        Ok(Self { requests })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether any of it can still be derived.
    pub(super) fn has_keys(&self, keys: &KeyState) -> bool {
        self.leaves().any(|leaf| keys.tree.has_leaf(leaf))
    }

    fn leaves(&self) -> impl Iterator<Item = KeyIndex> + '_ {
        let condemned = self.requests.values();
        condemned.flat_map(|one| one.leaves.iter().flat_map(Leaves::iter))
    }

    /// Cuts every leaf, and the months that nothing else needs a leaf of; the state is a new one afterwards.
    pub(super) fn cut(
        &self,
        keys: &mut KeyState,
        (memtable, index): (&Memtable, &IndexStore),
        entropy: &mut dyn Entropy,
    ) -> Result<(), OpenError> {
        for prefix in self.whole_months(memtable, index)? {
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
    fn whole_months(
        &self,
        memtable: &Memtable,
        index: &IndexStore,
    ) -> Result<Vec<Prefix>, OpenError> {
        let months = self.requests.values().filter_map(|one| one.month);
        let mut wanted: Vec<(Month, KeyClass)> = months
            .flat_map(|month| [(month, KeyClass::Object), (month, KeyClass::PendingPart)])
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = AllRows { memtable, index };
        let mut spare = |leaf: KeyIndex| {
            if let Some(parts) = leaf.parts() {
                wanted.retain(|one| *one != (parts.month, parts.class));
            }
        };
        rows.each(Table::Versions, |_, value| {
            let row = VersionRow::decode(value).ok();
            row.iter().for_each(|row| spare(row.key_index));
            Ok(())
        })?;
        rows.each(Table::Uploads, |_, value| {
            let row = UploadRow::decode(value).ok();
            row.iter().for_each(|row| spare(row.key_index));
            Ok(())
        })?;
        rows.each(Table::Parts, |_, value| {
            let row = PartRow::decode(value).ok();
            row.iter().for_each(|row| spare(row.key_index));
            Ok(())
        })?;
        let prefixes = wanted
            .into_iter()
            .map(|(month, class)| Prefix::class(month, class));
        Ok(prefixes.collect())
    }

    /// The records that say so, once the leaves are gone from `disks`.
    pub(super) fn records(&self, keys: &KeyState, pool: &Pool, disks: &[DiskId]) -> Vec<Body> {
        let away = |disk: &DiskId| !disks.contains(disk);
        let absent: Vec<DiskId> = pool
            .members
            .iter()
            .filter(|member| member.state != MemberState::Drained)
            .map(|member| member.disk)
            .filter(away)
            .collect();
        let record = |request: &LogIndex| {
            Body::Destroyed(Destroyed {
                request: *request,
                generation: keys.generation,
                disks: disks.to_vec(),
                absent: absent.clone(),
                anchor: None,
            })
        };
        self.requests.keys().map(record).collect()
    }
}

/// Writes the key state to both copies of every disk that takes part, and reads it back.
///
/// # Errors
/// [`OpenError::Keys`] if it cannot be sealed. A disk that fails is not among those given back.
pub(super) fn save(
    keys: &KeyState,
    pool: &Pool,
    disks: &mut Disks,
    provider: &dyn KeyProvider,
) -> Result<Vec<DiskId>, OpenError> {
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
    let saved = keys
        .save(provider, pool.id, given)
        .map_err(crate::keys::copies::LoadError::Provider)?;
    let whole = saved.into_iter().filter(|saved| saved.result.is_ok());
    Ok(whole.map(|saved| saved.disk).collect())
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
        let row = row.and_then(|(_, value)| DestroyedRow::decode(value).ok());
        Ok(row.is_some_and(|row| row.generation <= generation))
    }
}
