//! The disks given, sorted into members of one pool, and what the newest labels say of them.
//!
//! The newest label speaks for the pool. A disk is stale when that label does not count it as active, or when
//! it missed one that is known to have come in force; it is still read, but nothing is expected of it that it never claimed to have.

use std::collections::BTreeMap;
use std::time::Duration;

use stele_format::label::{DynamicLabel, LabelMember, MemberState};
use stele_format::units::{DiskId, Epoch, Generation, Opening, PoolId, Sequence};
use thiserror::Error;

use crate::choice::{Choice, choose};
use crate::labels::{DiskLabels, Refusal, copy_name, read_labels};
use crate::source::Source;
use crate::verdict::{Area, Damage, DiskState, Ledger};

/// Why the disks given cannot be looked at together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolError {
    /// Disks of two vaults.
    #[error("{first} and {second} belong to different vaults; verify one vault at a time")]
    TwoPools {
        /// One disk.
        first: String,
        /// Another.
        second: String,
    },
    /// The same disk twice.
    #[error("{first} and {second} are copies of the same disk; give only one of them")]
    Twice {
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// More disks than a run takes.
    #[error("{0} disks are more than a vault can have")]
    TooMany(usize),
}

/// What can be expected of a present disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A full member: it holds all that its label claims for it.
    Active,
    /// The pool went on without it.
    Left,
}

/// One present disk of the pool.
pub struct PoolDisk<'a> {
    /// Its place in the report.
    pub entry: usize,
    /// Its bytes.
    pub source: &'a dyn Source,
    /// Its labels.
    pub labels: DiskLabels,
    /// What can be expected of it.
    pub standing: Standing,
}

/// The present disks of one pool.
pub struct Pool<'a> {
    /// The pool.
    pub id: PoolId,
    /// Its present disks, in the order given.
    pub disks: Vec<PoolDisk<'a>>,
    /// The newest label of all.
    pub newest: Option<DynamicLabel>,
    /// How often the vault was forced open.
    pub opening: Opening,
    /// Members that are not present.
    pub missing: Vec<LabelMember>,
}

impl Pool<'_> {
    /// The place of a disk in [`Pool::disks`].
    #[must_use]
    pub fn position(&self, disk: DiskId) -> Option<usize> {
        self.disks
            .iter()
            .position(|present| present.labels.disk() == disk)
    }

    /// Whether the newest label says that all a disk held was moved off it, present or not.
    #[must_use]
    pub fn is_drained(&self, disk: DiskId) -> bool {
        let members = self.newest.iter().flat_map(|label| &label.members);
        let mut of_it = members.filter(|member| member.disk == disk);
        of_it.any(|member| member.state == MemberState::Drained)
    }

    /// Whether every member is present.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether every member on which a record may lie is present: all but those that were drained.
    #[must_use]
    pub fn has_every_record(&self) -> bool {
        let mut missing = self.missing.iter();
        missing.all(|member| member.state == MemberState::Drained)
    }

    /// Highest journal frame that any label of a disk that is not left out proves durable.
    #[must_use]
    pub fn watermark(&self) -> Sequence {
        self.disks
            .iter()
            .filter(|disk| disk.standing == Standing::Active)
            .map(|disk| disk.labels.watermark())
            .max()
            .unwrap_or(Sequence::ZERO)
    }

    /// The epoch after whose last write the vault was stopped in order. A start that was cut since may have begun
    /// another one.
    #[must_use]
    pub fn stopped_clean(&self) -> Option<Epoch> {
        let newest = self.newest.as_ref();
        newest
            .filter(|label| label.clean_stop)
            .map(|label| label.epoch)
    }
}

/// Reads the labels of every source. Sources that are no disks are entered as such and left out of
/// the pool; `None` when nothing remains.
///
/// # Errors
/// [`PoolError`] when the sources do not make one pool.
pub fn open<'a>(
    sources: &'a [Box<dyn Source>],
    pause: Duration,
    ledger: &mut Ledger,
) -> Result<Option<Pool<'a>>, PoolError> {
    if sources.len() > crate::limits::DISK_COUNT_MAX {
        return Err(PoolError::TooMany(sources.len()));
    }
    let mut disks: Vec<PoolDisk<'a>> = Vec::new();
    for source in sources {
        let entry = ledger.add_disk(source.name().to_owned(), None, DiskState::Clean);
        match read_labels(source.as_ref(), pause) {
            Ok(labels) => {
                check_together(&disks, source.as_ref(), &labels)?;
                ledger.set_id(entry, labels.disk().to_string());
                ledger.totals.bytes_verified += labels.bytes_verified;
                let standing = Standing::Active;
                disks.push(PoolDisk {
                    entry,
                    source: source.as_ref(),
                    labels,
                    standing,
                });
            }
            Err(refusal) => refuse(ledger, entry, &refusal),
        }
    }
    let Some(id) = disks.first().map(|disk| disk.labels.pool()) else {
        return Ok(None);
    };
    let labels: Vec<&DiskLabels> = disks.iter().map(|disk| &disk.labels).collect();
    let choice = choose(&labels);
    let telling = choice.telling(&labels);
    if !telling.is_empty() {
        let named: Vec<String> = telling.iter().map(|disk| format!("disk {disk}")).collect();
        let named = named.join(", ");
        ledger.note_pool(format!(
            "two starts that were cut short named different disks, and only {named} would tell which one counts"
        ));
    }
    let newest = choice.labels.first().cloned();
    let mut pool = Pool {
        id,
        disks,
        opening: choice.opening,
        newest,
        missing: Vec::new(),
    };
    settle_standings(&mut pool, &choice, ledger);
    report_labels(&pool, &choice, ledger);
    list_missing(&mut pool, ledger);
    Ok(Some(pool))
}

fn refuse(ledger: &mut Ledger, entry: usize, refusal: &Refusal) {
    ledger.set_state(entry, DiskState::Unjudged);
    ledger.note(entry, refusal.to_string());
}

fn check_together(
    disks: &[PoolDisk<'_>],
    source: &dyn Source,
    labels: &DiskLabels,
) -> Result<(), PoolError> {
    for known in disks {
        let first = known.source.name().to_owned();
        let second = source.name().to_owned();
        if known.labels.pool() != labels.pool() {
            return Err(PoolError::TwoPools { first, second });
        }
        if known.labels.disk() == labels.disk() {
            return Err(PoolError::Twice { first, second });
        }
    }
    Ok(())
}

fn settle_standings(pool: &mut Pool<'_>, choice: &Choice, ledger: &mut Ledger) {
    let Some(newest) = pool.newest.clone() else {
        return;
    };
    let in_force = choice.in_force;
    ledger.totals.generation = newest.generation.get();
    ledger.totals.epoch = newest.epoch.get();
    ledger.totals.pool = Some(pool.id.to_string());
    for disk in &mut pool.disks {
        let own = choice.reached(&disk.labels);
        let id = disk.labels.disk();
        let member = newest.members.iter().find(|member| member.disk == id);
        let active = choice.is_active(id);
        if let Some(frames) = member
            .map(|m| m.forgotten_frames)
            .filter(|count| *count > 0)
        {
            let what = format!(
                "forgetful: at some start it did not have {frames} journal frames that it had confirmed"
            );
            ledger.note(disk.entry, what);
        }
        if choice.is_left_behind(&disk.labels) {
            disk.standing = Standing::Left;
            ledger.set_state(disk.entry, DiskState::Stale);
            let what = "stale: it was left behind when the vault was forced open";
            ledger.note(disk.entry, what);
        } else if !active || own < in_force {
            disk.standing = Standing::Left;
            ledger.set_state(disk.entry, DiskState::Stale);
            let state = member.map_or("not a member any more", |m| member_word(m.state));
            ledger.note(
                disk.entry,
                match member.map(|member| member.state) {
                    Some(MemberState::Drained) => {
                        "drained: what it held lies on other disks".to_owned()
                    }
                    _ => format!("stale: generation {own} of {}, {state}", newest.generation),
                },
            );
        } else if own < newest.generation {
            ledger.note(
                disk.entry,
                "its label is behind that of another disk: a write was cut short",
            );
        }
    }
}

/// A member's state as operators read it.
#[must_use]
pub fn member_word(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Absent => "absent",
        MemberState::Expelled => "expelled",
        MemberState::Stale => "stale",
        MemberState::Drained => "drained",
    }
}

fn report_labels(pool: &Pool<'_>, choice: &Choice, ledger: &mut Ledger) {
    let own = pool.disks.iter().map(|disk| disk.labels.generation());
    let newest = own.max().unwrap_or(Generation::ZERO);
    let mut everywhere: BTreeMap<Generation, DynamicLabel> = BTreeMap::new();
    for disk in &pool.disks {
        for (generation, label) in &disk.labels.generations {
            everywhere
                .entry(*generation)
                .or_insert_with(|| label.clone());
        }
    }
    let of_disk = |labels: &DiskLabels| {
        let newest = labels.newest().map(|label| label.generation);
        newest.into_iter().chain([choice.reached(labels)])
    };
    let held = pool.disks.iter().flat_map(|disk| of_disk(&disk.labels));
    let held: Vec<u16> = held.map(DynamicLabel::slot).collect();
    let pool_wide = PoolWide {
        newest,
        everywhere: &everywhere,
        held: &held,
    };
    for disk in &pool.disks {
        report_disk_labels(disk, &pool_wide, ledger);
    }
}

/// What all disks say of labels.
struct PoolWide<'a> {
    newest: Generation,
    everywhere: &'a BTreeMap<Generation, DynamicLabel>,
    /// Ring slots that promises spare.
    held: &'a [u16],
}

fn report_disk_labels(disk: &PoolDisk<'_>, all: &PoolWide<'_>, ledger: &mut Ledger) {
    let labels = &disk.labels;
    let mut damage = |what: String| {
        let (segment, frame) = (None, None);
        let entry = disk.entry;
        ledger.damage(Damage {
            disk: entry,
            area: Area::Label,
            segment,
            frame,
            what,
            good_copy: false,
        });
    };
    let wanted = labels.fixed.geometry.disk_bytes.get();
    if disk.source.bytes() < wanted {
        let missing = wanted - disk.source.bytes();
        damage(format!(
            "the disk ends {missing} bytes before its label says"
        ));
    }
    if labels.reserved_in_use {
        damage("bytes between the labels and the key state that are always zero are not".into());
    }
    if labels.newest().is_none() {
        damage("no dynamic block of any copy verifies".into());
    }
    let mut unfinished = 0_usize;
    for fault in &labels.faults {
        if labels.is_unfinished_write(fault, all.newest, all.everywhere, all.held) {
            unfinished += 1;
        } else {
            damage(format!(
                "copy {} block {}: {}",
                copy_name(fault.copy),
                fault.block,
                fault.what
            ));
        }
    }
    if unfinished > 0 {
        ledger.note(
            disk.entry,
            format!("{unfinished} label blocks of a write that was cut short"),
        );
    }
    if disk.source.bytes() > wanted {
        let more = disk.source.bytes() - wanted;
        ledger.note(
            disk.entry,
            format!("{more} bytes beyond its end are not judged"),
        );
    }
}

fn list_missing(pool: &mut Pool<'_>, ledger: &mut Ledger) {
    let Some(newest) = &pool.newest else { return };
    let absent = newest.members.iter().enumerate();
    let absent = absent.filter(|(_, member)| pool.position(member.disk).is_none());
    let mut missing = Vec::new();
    for (number, member) in absent {
        let file = format!("(missing) disk {} {}", number + 1, member.disk);
        let entry = ledger.add_disk(file, Some(member.disk.to_string()), DiskState::Missing);
        ledger.note(
            entry,
            format!("{} in the newest label", member_word(member.state)),
        );
        missing.push(*member);
    }
    pool.missing = missing;
}
