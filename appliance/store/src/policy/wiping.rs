//! Which disk may be wiped once two people have signed for it. No number of them overcomes these rules.
//!
//! A vault can say of its own disks alone that it let go of them. A disk of another vault says in its label that
//! it takes part there, also after that vault let go of it, since nothing is written to a disk that leaves; so
//! none is wiped here.

use stele_format::digest::Digest;
use stele_format::label::LabelReading;
use stele_format::units::{DiskId, Generation, LogIndex, PoolId};

use super::approval::StatementRefusal;
use crate::pool::MemberState;

/// What the label of a disk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundDisk {
    /// Its pool.
    pub pool: PoolId,
    /// Its identity there.
    pub disk: DiskId,
    /// Digest of the label.
    pub label: Digest,
    /// The newest generation of the label, promises included; zero where it never joined.
    pub generation: Generation,
}

impl FoundDisk {
    /// What this label says.
    #[must_use]
    pub fn of(reading: &LabelReading) -> FoundDisk {
        FoundDisk {
            pool: reading.fixed.pool,
            disk: reading.fixed.disk,
            label: reading.digest(),
            generation: reading.highest,
        }
    }
}

/// A disk of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultDisk {
    /// Its identity.
    pub disk: DiskId,
    /// Its number, from 1.
    pub number: u16,
    /// Its state.
    pub state: MemberState,
    /// Whether a start counts it.
    pub voter: bool,
}

/// How the disks of a vault stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultDisks {
    /// The pool.
    pub pool: PoolId,
    /// Nothing is written.
    pub read_only: bool,
    /// A disk is being filled or drained, or the labels of the disks are about to change.
    pub moving: bool,
    /// Something can be given back by no disk.
    pub lost: bool,
    /// The newest generation that every disk has which takes part.
    pub in_force: Generation,
    /// All disks.
    pub disks: Vec<VaultDisk>,
}

/// Why a disk is not wiped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWiped {
    /// Another vault's.
    #[error(
        "it belongs to another vault (pool {0}), and that vault alone can say that it let go of it: wipe it there"
    )]
    Foreign(PoolId),
    /// It takes part, or may.
    #[error(
        "it is disk {number} of this vault, and its label is as new as that of the disks which take part"
    )]
    InForce {
        /// Its number.
        number: u16,
    },
    /// It has a label as new, and an identity that nobody knows.
    #[error("it is a disk of this vault that nothing is known of")]
    Unknown,
    /// A start still counts it.
    #[error(
        "disk {number} was drained, and the labels of the others do not say yet that a start does without it"
    )]
    Counted {
        /// Its number.
        number: u16,
    },
    /// It may hold the only copy of something.
    #[error(
        "disk {number} does not take part, and this one may hold the only copy of something; first mend what `stele status` names"
    )]
    Missing {
        /// The disk that is missing.
        number: u16,
    },
    /// It may hold the only copy of something.
    #[error("the vault has lost something that this one may still hold; see `stele status`")]
    Lost,
    /// Things are moving.
    #[error("a disk is being filled or drained; wait until that is done")]
    Moving,
    /// The engine is being started again, as when the index is made anew.
    #[error("the vault is being started again; ask again when `stele status` no longer says so")]
    Rebuilding,
    /// Nothing is written.
    #[error("the vault is read-only, and cannot write down what is done")]
    ReadOnly,
    /// The request does not allow it, or not yet.
    #[error(transparent)]
    Request(#[from] StatementRefusal),
    /// The request is about something else.
    #[error("request {0} is about another disk, or about what this one was before")]
    OtherDisk(LogIndex),
}

/// How the vault must stand before any disk that was one of its own is wiped.
///
/// # Errors
/// [`NotWiped`]: it does not.
pub fn vault_needs_no_other(vault: &VaultDisks) -> Result<(), NotWiped> {
    if vault.read_only {
        return Err(NotWiped::ReadOnly);
    }
    if vault.moving {
        return Err(NotWiped::Moving);
    }
    let absent = vault
        .disks
        .iter()
        .find(|disk| !matches!(disk.state, MemberState::Active | MemberState::Drained));
    if let Some(disk) = absent {
        let number = disk.number;
        return Err(NotWiped::Missing { number });
    }
    if vault.lost {
        return Err(NotWiped::Lost);
    }
    let counted = |disk: &&VaultDisk| disk.state == MemberState::Drained && disk.voter;
    match vault.disks.iter().find(counted) {
        Some(disk) => Err(NotWiped::Counted {
            number: disk.number,
        }),
        None => Ok(()),
    }
}

/// Whether this disk may be wiped: one of our own that we let go of, while every disk takes part and nothing is
/// lost. That its label is older than what is in force tells it from the disk that took its place, which has its
/// identity.
///
/// # Errors
/// [`NotWiped`]: it may not.
pub fn may_wipe(found: &FoundDisk, vault: &VaultDisks) -> Result<(), NotWiped> {
    if found.pool != vault.pool {
        return Err(NotWiped::Foreign(found.pool));
    }
    let known = vault.disks.iter().find(|disk| disk.disk == found.disk);
    if found.generation >= vault.in_force {
        return Err(known.map_or(NotWiped::Unknown, |disk| NotWiped::InForce {
            number: disk.number,
        }));
    }
    if known.is_none() && found.generation != Generation::ZERO {
        return Err(NotWiped::Unknown);
    }
    vault_needs_no_other(vault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId::new([1; 16]);

    fn id(number: u8) -> DiskId {
        DiskId::new([number; 16])
    }

    fn vault() -> VaultDisks {
        let disk = |number: u16| VaultDisk {
            disk: id(u8::try_from(number).expect("few")),
            number,
            state: MemberState::Active,
            voter: true,
        };
        let mut disks: Vec<VaultDisk> = (1..=4).map(disk).collect();
        disks[3].state = MemberState::Drained;
        disks[3].voter = false;
        VaultDisks {
            pool: POOL,
            read_only: false,
            moving: false,
            lost: false,
            in_force: Generation::new(20),
            disks,
        }
    }

    fn found(number: u8, generation: u64) -> FoundDisk {
        FoundDisk {
            pool: POOL,
            disk: id(number),
            label: Digest::ZERO,
            generation: Generation::new(generation),
        }
    }

    #[test]
    fn worm_07_only_what_the_vault_let_go_of_may_be_wiped() {
        let vault = vault();
        for (found, expected) in [
            // Drained; replaced by another disk of its identity; labelled and never joined.
            (found(4, 19), Ok(())),
            (found(2, 19), Ok(())),
            (found(2, 0), Ok(())),
            (found(9, 0), Ok(())),
            // Takes part, or is a copy of one that does.
            (found(2, 20), Err(NotWiped::InForce { number: 2 })),
            (found(2, 21), Err(NotWiped::InForce { number: 2 })),
            (found(4, 20), Err(NotWiped::InForce { number: 4 })),
            // A history that is not ours.
            (found(9, 19), Err(NotWiped::Unknown)),
            (found(9, 25), Err(NotWiped::Unknown)),
        ] {
            assert_eq!(may_wipe(&found, &vault), expected, "{found:?}");
        }
        let other = PoolId::new([2; 16]);
        for generation in [0, 1, 19, 20, 99] {
            let found = FoundDisk {
                pool: other,
                ..found(4, generation)
            };
            let refused = may_wipe(&found, &vault);
            assert_eq!(refused, Err(NotWiped::Foreign(other)));
        }
    }

    #[test]
    fn worm_07_nothing_is_wiped_while_it_may_be_the_only_copy_of_something() {
        let drained = found(4, 19);
        let check = |change: fn(&mut VaultDisks), expected: NotWiped| {
            let mut vault = vault();
            change(&mut vault);
            assert_eq!(may_wipe(&drained, &vault), Err(expected));
        };
        for state in [
            MemberState::Absent,
            MemberState::Stale,
            MemberState::Expelled,
            MemberState::Joining,
        ] {
            let mut vault = vault();
            vault.disks[1].state = state;
            let refused = may_wipe(&drained, &vault);
            assert_eq!(refused, Err(NotWiped::Missing { number: 2 }), "{state:?}");
        }
        check(|vault| vault.lost = true, NotWiped::Lost);
        check(|vault| vault.moving = true, NotWiped::Moving);
        check(|vault| vault.read_only = true, NotWiped::ReadOnly);
        check(
            |vault| vault.disks[3].voter = true,
            NotWiped::Counted { number: 4 },
        );
    }
}
