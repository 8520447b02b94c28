//! Witnesses: what they cosigned, and the time it gives to destruction.

use stele_format::checkpoint::{UnverifiedCheckpoint, WitnessKey};
use stele_format::record::RecordHeader;
use stele_format::statement::{Head, Name};
use stele_format::units::UnixMillis;

use super::finding::{Breach, second};
use super::heads::Known;
use super::{Auditor, freeing_time};
use crate::limits::{WITNESS_AHEAD_MS, WITNESS_COUNT_MAX, WITNESS_SILENCE_MS};

/// A witness.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Its name among the people.
    pub name: Name,
    /// Its key.
    pub key: WitnessKey,
    /// Nobody listens to it any more.
    pub removed: bool,
    /// The time in its newest cosignature.
    pub stated: Option<UnixMillis>,
    /// The time that counts for it, and the compliance time of the record.
    pub heard: Option<(UnixMillis, UnixMillis)>,
}

/// Every witness there is or was.
#[derive(Debug, Clone, Default)]
pub struct Witnesses {
    /// In the order in which they came.
    pub all: Vec<Witness>,
}

impl Witnesses {
    fn listened_to(&self) -> impl Iterator<Item = &Witness> {
        self.all.iter().filter(|witness| !witness.removed)
    }

    /// One more.
    ///
    /// # Errors
    /// Its name or key is used, or was, or there are as many as there may be.
    pub fn add(&mut self, name: &Name, key: &WitnessKey) -> Result<(), Breach> {
        let mut all = self.all.iter();
        let used = all.any(|other| other.name == *name || other.key.point() == key.point());
        if used || self.listened_to().count() >= WITNESS_COUNT_MAX {
            return Err(Breach::WitnessKnown);
        }
        self.all.push(Witness {
            name: name.clone(),
            key: key.clone(),
            removed: false,
            stated: None,
            heard: None,
        });
        Ok(())
    }

    /// One less.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove(&mut self, name: &Name) -> Result<(), Breach> {
        let mut all = self.all.iter_mut();
        let witness = all.find(|witness| witness.name == *name && !witness.removed);
        let witness = witness.ok_or_else(|| Breach::WitnessUnknown(name.clone()))?;
        witness.removed = true;
        Ok(())
    }

    /// What a note says that was recorded with these clocks; whether any witness says something new.
    fn hear(
        &mut self,
        note: &UnverifiedCheckpoint,
        header: &RecordHeader,
        simulated: bool,
    ) -> Result<(), Breach> {
        let recorded = header.compliance_ms;
        let latest = header.wall_ms.get().saturating_add(WITNESS_AHEAD_MS);
        let mut next = self.clone();
        let mut news = false;
        for witness in next.all.iter_mut().filter(|witness| !witness.removed) {
            let Some(time) = note.cosigned(&witness.key).map_err(Breach::CosignedNote)? else {
                continue;
            };
            if time.get() > latest {
                return Err(Breach::CosignedAhead(witness.name.clone(), second(time)));
            }
            if witness.stated >= Some(time) {
                continue;
            }
            news = true;
            witness.stated = Some(time);
            let counted = if simulated { time.max(recorded) } else { time };
            witness.heard = Some((counted, recorded));
        }
        if !news {
            return Err(Breach::CosignedNothing);
        }
        *self = next;
        Ok(())
    }

    /// The newest time of a witness; none if there is no witness.
    fn newest(&self, now: UnixMillis) -> Result<Option<UnixMillis>, Breach> {
        if self.listened_to().next().is_none() {
            return Ok(None);
        }
        let heard = self.listened_to().filter_map(|witness| witness.heard);
        let (mut newest, mut speaks) = (None, false);
        for (counted, recorded) in heard {
            newest = newest.max(Some(counted));
            let of_late =
                |time: UnixMillis| now.get().saturating_sub(time.get()) <= WITNESS_SILENCE_MS;
            speaks |= of_late(counted) && of_late(recorded);
        }
        if speaks {
            Ok(newest)
        } else {
            Err(Breach::TombstoneWitness)
        }
    }
}

impl Auditor {
    /// A checkpoint came back from witnesses.
    pub(super) fn take_cosigned(&mut self, header: &RecordHeader, text: &str) {
        if let Err(breach) = self.cosigned(header, text) {
            self.breach(header.log_index, breach);
        }
    }

    fn cosigned(&mut self, header: &RecordHeader, text: &str) -> Result<(), Breach> {
        let note = UnverifiedCheckpoint::parse(text).map_err(Breach::CosignedNote)?;
        let says = *note.claims();
        if says.origin != self.origin() {
            return Err(Breach::CosignedOtherLog);
        }
        let head = Head {
            size: says.size,
            root: says.root,
        };
        match self.heads.knows(&head) {
            Known::Yes => {}
            Known::No => return Err(Breach::CosignedHead),
            Known::Untold => {
                let what = "witnesses saw the log as it was long before, which was not compared";
                self.alarm(header.log_index, "cosigned-old", what.to_owned());
            }
        }
        let people = self.people.as_mut().ok_or(Breach::CosignedNothing)?;
        people.witnesses.hear(&note, header, self.simulated)
    }

    /// The time that frees what a tombstone destroys: the earliest of both clocks and the newest witness.
    pub(super) fn destroying_time(
        &self,
        header: &RecordHeader,
        breaches: &mut Vec<Breach>,
    ) -> UnixMillis {
        let clocks = freeing_time(header);
        let Some(people) = &self.people else {
            return clocks;
        };
        match people.witnesses.newest(header.compliance_ms) {
            Ok(newest) => newest.map_or(clocks, |newest| clocks.min(newest)),
            Err(breach) => {
                breaches.push(breach);
                clocks
            }
        }
    }
}
