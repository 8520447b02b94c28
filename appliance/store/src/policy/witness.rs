//! Witnesses: keys outside the vault that cosign its checkpoints and say when they did.
//!
//! Their time is one more clock, and the only one that the vault's own machine cannot turn. Destruction
//! obeys it, retention does not: a witness that lies can delay a destruction, never bring one forward.
//!
//! Invariants: names and keys are used once for ever; what a witness said never becomes less; only lines that
//! verify say anything. Nothing here looks at roots: whoever records a note has compared them.

use stele_format::checkpoint::{UnverifiedCheckpoint, WitnessKey};
use stele_format::statement::Name;
use stele_format::units::UnixMillis;

use super::limits::{WITNESS_AHEAD_MS_MAX, WITNESS_COUNT_MAX, WITNESS_SILENT_MS_MAX};
use super::words::utc;

/// Why a cosigned checkpoint is not taken, or says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// It is no signed note, or not one of this log.
    #[error("it is no checkpoint of this log: {0}")]
    Checkpoint(#[from] stele_format::checkpoint::CheckpointError),
    /// The vault cannot tell its own checkpoints.
    #[error("the key of this vault's log cannot be used, so its checkpoints cannot be told")]
    NoKey,
    /// It is of more records than there are.
    #[error(
        "it is a checkpoint of {size} records, signed by this log's key, and this log has {records}: an older state of \
         the vault was put back. Stop, keep both, and have somebody look before anything is destroyed"
    )]
    Longer {
        /// What it says.
        size: u64,
        /// What there is.
        records: u64,
    },
    /// It has another root than this log had.
    #[error(
        "this log had another root at {size} records than this checkpoint of the same key: the log has two histories. \
         Stop, keep both, and have somebody look before anything is destroyed"
    )]
    Forked {
        /// What it says.
        size: u64,
    },
    /// The vault has no witness.
    #[error("no witness is configured; two people can agree on one")]
    NoWitness,
    /// No line is of a witness of this vault.
    #[error("no witness of this vault has cosigned it")]
    Stranger,
    /// Nothing is new.
    #[error("{name} was heard at {} already, and this says nothing later", utc(*.heard))]
    NotLater {
        /// Who.
        name: Name,
        /// The newest time heard before.
        heard: UnixMillis,
    },
    /// A time that lies ahead.
    #[error("{name} signed at {}, which lies more than a day ahead of this vault's wall clock", utc(*.stated))]
    Ahead {
        /// Who.
        name: Name,
        /// When, as it says.
        stated: UnixMillis,
    },
}

/// The last that was heard of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// When it signed, as it says.
    pub stated: UnixMillis,
    /// When that was recorded, in compliance time.
    pub recorded: UnixMillis,
}

impl Heard {
    /// The time that counts. A simulated clock runs ahead of all others, which then count as if they followed.
    fn counted(self, simulated: bool) -> UnixMillis {
        if simulated {
            self.stated.max(self.recorded)
        } else {
            self.stated
        }
    }
}

/// A witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// What people call it.
    pub name: Name,
    /// Its key.
    pub key: WitnessKey,
    /// When it was agreed on.
    pub since: UnixMillis,
    /// Whether it was removed, for ever.
    pub removed: bool,
    /// The last that was heard of it.
    pub heard: Option<Heard>,
}

/// No witness was heard for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// When one was heard last.
    pub heard: Option<UnixMillis>,
}

/// All witnesses there ever were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses(Vec<Witness>);

impl Witnesses {
    /// All of them, those that were removed included.
    pub fn iter(&self) -> impl Iterator<Item = &Witness> {
        self.0.iter()
    }

    fn active(&self) -> impl Iterator<Item = &Witness> {
        self.0.iter().filter(|witness| !witness.removed)
    }

    /// Adds one; none if its name or key was used before, or there are as many as there may be.
    #[must_use]
    pub fn with(&self, name: &Name, key: &WitnessKey, since: UnixMillis) -> Option<Self> {
        let known = |one: &Witness| one.name == *name || one.key.point() == key.point();
        if self.0.iter().any(known) || self.active().count() >= WITNESS_COUNT_MAX {
            return None;
        }
        let mut next = self.clone();
        next.0.push(Witness {
            name: name.clone(),
            key: key.clone(),
            since,
            removed: false,
            heard: None,
        });
        Some(next)
    }

    /// Removes one; none if there is no such witness.
    #[must_use]
    pub fn without(&self, name: &Name) -> Option<Self> {
        let mut next = self.clone();
        let mut all = next.0.iter_mut();
        let found = all.find(|one| one.name == *name && !one.removed)?;
        found.removed = true;
        Some(next)
    }

    /// The witnesses after a note was recorded at this compliance time and wall clock.
    ///
    /// # Errors
    /// [`WitnessRefusal`]: it says nothing, or something that cannot be.
    pub fn after(
        &self,
        note: &UnverifiedCheckpoint,
        recorded: UnixMillis,
        wall: UnixMillis,
    ) -> Result<Self, WitnessRefusal> {
        if self.active().next().is_none() {
            return Err(WitnessRefusal::NoWitness);
        }
        let mut next = self.clone();
        let mut said = Err(WitnessRefusal::Stranger);
        for witness in next.0.iter_mut().filter(|witness| !witness.removed) {
            let Some(stated) = note.cosigned(&witness.key)? else {
                continue;
            };
            if stated.get() > wall.get().saturating_add(WITNESS_AHEAD_MS_MAX) {
                let name = witness.name.clone();
                return Err(WitnessRefusal::Ahead { name, stated });
            }
            match witness.heard.map(|heard| heard.stated) {
                Some(heard) if stated <= heard => {
                    let name = witness.name.clone();
                    said = said.or(Err(WitnessRefusal::NotLater { name, heard }));
                }
                _ => {
                    witness.heard = Some(Heard { stated, recorded });
                    said = Ok(());
                }
            }
        }
        said.map(|()| next)
    }

    /// The newest time of witnesses, by which destruction is judged too; none where no witness is configured.
    ///
    /// # Errors
    /// [`Silent`]: nothing is destroyed until one is heard.
    pub fn time(
        &self,
        compliance: UnixMillis,
        simulated: bool,
    ) -> Result<Option<UnixMillis>, Silent> {
        if self.active().next().is_none() {
            return Ok(None);
        }
        let heard = || self.active().filter_map(|witness| witness.heard);
        let newest = heard().map(|heard| heard.counted(simulated)).max();
        let earliest = compliance.get().saturating_sub(WITNESS_SILENT_MS_MAX);
        // By its own time and by that of the record: an old note brought late says nothing of today, and a
        // vault that was off for a year would not notice a silence by the witness's time alone.
        let speaks = |heard: Heard| heard.counted(simulated).min(heard.recorded).get() >= earliest;
        if heard().any(speaks) {
            Ok(newest)
        } else {
            Err(Silent { heard: newest })
        }
    }
}
