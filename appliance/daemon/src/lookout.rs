//! The thread that looks whether the disks are where they were opened. A disk that was pulled out, or whose file was
//! removed, may take writes for as long as it is open, or is asked for nothing: nobody would notice before the next
//! start.
//!
//! What it finds twice in a row is told to the engine, at each look: what could not be done without a disk then may be
//! later. So is that it is back. An error other than that nothing is there says nothing. It
//! is a thread of its own, and nobody waits for its end: a file system that hangs holds up nothing else.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use stele_store::engine::DiskSlot;

use crate::bays::{Bay, Bays, FileId};
use crate::error::{Error, Outcome};
use crate::limits::PLACE_LOOK_MS;
use crate::supervisor::Link;
use crate::watch::Watch;

/// The thread; it ends when this is dropped.
pub struct Lookout {
    _stop: SyncSender<()>,
}

impl Lookout {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(link: Link, bays: Bays, watch: &Watch) -> Outcome<Lookout> {
        let (stop, stopped) = sync_channel(1);
        let guard = watch.guard("places");
        let run = move || {
            let _guard = guard;
            run(&link, &bays, &stopped);
        };
        let thread = std::thread::Builder::new().name("places".to_owned());
        thread.spawn(run).map_err(Error::Thread)?;
        Ok(Lookout { _stop: stop })
    }
}

fn run(link: &Link, bays: &Bays, stopped: &Receiver<()>) {
    let pause = Duration::from_millis(PLACE_LOOK_MS);
    let mut looks = Looks::default();
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let seen: Vec<(DiskSlot, Whereabouts)> = bays.now().iter().filter_map(look).collect();
        for slot in looks.back(&seen) {
            // An engine that is being started again knows of none.
            link.back_at_place(slot).ok();
        }
        for (slot, alone) in looks.look(&seen) {
            // The same one is told at the next look.
            if link.gone_astray(slot, alone).is_ok() {
                looks.told(slot, alone);
            }
        }
    }
}

/// Where a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    AtPlace,
    /// Its place leads nowhere or to something else.
    Astray,
    /// An error says nothing about it.
    Unknown,
}

/// Looks where an open disk is.
fn look(bay: &Bay) -> Option<(DiskSlot, Whereabouts)> {
    let (slot, opened) = (bay.slot?, bay.id?);
    let seen = match FileId::of(&bay.path) {
        Ok(found) if found == opened => Whereabouts::AtPlace,
        Ok(_) => Whereabouts::Astray,
        Err(error) if error.kind() == ErrorKind::NotFound => Whereabouts::Astray,
        Err(_) => Whereabouts::Unknown,
    };
    Some((slot, seen))
}

/// What was seen of a disk that is not at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Once,
    Twice,
    Told {
        alone: bool,
    },
    /// Told of as one of several, of which the others were back at the last look: they may be on their way back one by
    /// one.
    LeftOver,
}

/// The last looks at all places.
#[derive(Debug, Default)]
struct Looks(BTreeMap<DiskSlot, Seen>);

impl Looks {
    /// Those told of that are at their places now, or open no more.
    fn back(&self, seen: &[(DiskSlot, Whereabouts)]) -> Vec<DiskSlot> {
        let told = |seen: &Seen| matches!(seen, Seen::Told { .. } | Seen::LeftOver);
        let known = self.0.iter().filter(|(_, seen)| told(seen));
        let back = known.map(|(slot, _)| *slot);
        back.filter(|slot| !is_away(seen, *slot)).collect()
    }

    /// Takes in which disks are not at their places now. Says which were not the last time either and are to be told of,
    /// and of each whether it is the only one that went: where several went, they were moved together.
    fn look(&mut self, seen: &[(DiskSlot, Whereabouts)]) -> Vec<(DiskSlot, bool)> {
        self.0.retain(|slot, _| is_away(seen, *slot));
        let astray = seen.iter().filter(|(_, at)| *at == Whereabouts::Astray);
        for (slot, _) in astray {
            let seen = match self.0.get(slot) {
                None => Seen::Once,
                Some(Seen::Once | Seen::Twice) => Seen::Twice,
                Some(told) => *told,
            };
            self.0.insert(*slot, seen);
        }
        // One that went alone is known, and does not go together with those after it.
        let known = Seen::Told { alone: true };
        let alone = self.0.values().filter(|seen| **seen != known).count() == 1;
        let mut due = Vec::new();
        for (slot, seen) in &mut self.0 {
            let (next, told) = match *seen {
                Seen::Once => (Seen::Once, None),
                Seen::Told { alone: true } => (known, Some(true)),
                Seen::Told { alone: false } if alone => (Seen::LeftOver, Some(false)),
                Seen::LeftOver if !alone => (Seen::Told { alone }, Some(false)),
                before => (before, Some(alone)),
            };
            *seen = next;
            due.extend(told.map(|alone| (*slot, alone)));
        }
        due
    }

    /// The engine knows of it.
    fn told(&mut self, slot: DiskSlot, alone: bool) {
        if let Some(seen) = self.0.get_mut(&slot)
            && (alone || *seen != Seen::LeftOver)
        {
            *seen = Seen::Told { alone };
        }
    }
}

/// Whether a disk is not at its place, as far as can be told: of one of which nothing can be, what was seen before holds.
fn is_away(seen: &[(DiskSlot, Whereabouts)], slot: DiskSlot) -> bool {
    let at = seen.iter().find(|(known, _)| *known == slot);
    at.is_some_and(|(_, at)| *at != Whereabouts::AtPlace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DiskSlot = DiskSlot(1);
    const TWO: DiskSlot = DiskSlot(2);

    fn away(slots: &[DiskSlot]) -> Vec<(DiskSlot, Whereabouts)> {
        let astray = slots.iter().map(|slot| (*slot, Whereabouts::Astray));
        astray.collect()
    }

    #[test]
    fn an_error_changes_nothing_about_a_disk() {
        let mut looks = Looks::default();
        let unknown = [(ONE, Whereabouts::Unknown)];
        assert_eq!(looks.look(&unknown), []);
        assert_eq!(looks.look(&away(&[ONE])), []);
        assert_eq!(looks.look(&unknown), []);
        assert_eq!(looks.look(&away(&[ONE])), [(ONE, true)]);
        looks.told(ONE, true);
        assert_eq!(looks.back(&unknown), []);
        assert_eq!(looks.look(&unknown), [(ONE, true)]);
        let there = [(ONE, Whereabouts::AtPlace)];
        assert_eq!(looks.back(&there), [ONE]);
        assert_eq!(looks.look(&there), []);
    }

    #[test]
    fn a_disk_is_told_of_when_it_is_missed_twice_in_a_row_and_until_it_is_back() {
        let mut looks = Looks::default();
        assert_eq!(looks.look(&away(&[ONE])), []);
        assert_eq!(looks.look(&away(&[])), []);
        assert_eq!(looks.look(&away(&[ONE])), []);
        assert_eq!(looks.look(&away(&[ONE])), [(ONE, true)]);
        // Nobody could be told.
        assert_eq!(looks.look(&away(&[ONE])), [(ONE, true)]);
        assert_eq!(looks.back(&away(&[])), [], "nobody knows that it went");
        looks.told(ONE, true);
        assert_eq!(looks.look(&away(&[ONE])), [(ONE, true)]);
        // Another one goes later.
        assert_eq!(looks.look(&away(&[ONE, TWO])), [(ONE, true)]);
        assert_eq!(looks.look(&away(&[ONE, TWO])), [(ONE, true), (TWO, true)]);
        // It came back, and went again.
        assert_eq!(looks.back(&away(&[TWO])), [ONE]);
        assert_eq!(looks.look(&away(&[])), []);
        assert_eq!(looks.back(&away(&[])), []);
        assert_eq!(looks.look(&away(&[ONE])), []);
        assert_eq!(looks.look(&away(&[ONE])), [(ONE, true)]);
    }

    #[test]
    fn disks_that_went_together_are_told_of_as_such() {
        let mut looks = Looks::default();
        assert_eq!(looks.look(&away(&[ONE])), []);
        assert_eq!(looks.look(&away(&[ONE, TWO])), [(ONE, false)]);
        looks.told(ONE, false);
        assert_eq!(looks.look(&away(&[ONE, TWO])), [(ONE, false), (TWO, false)]);
        looks.told(TWO, false);
        // One of them is back, and the other one is not at the next look either: it is alone now.
        assert_eq!(looks.back(&away(&[TWO])), [ONE]);
        assert_eq!(looks.look(&away(&[TWO])), [(TWO, false)]);
        looks.told(TWO, false);
        assert_eq!(looks.back(&away(&[])), [TWO]);
        assert_eq!(looks.look(&away(&[TWO])), [(TWO, true)]);
    }

    #[test]
    fn a_place_that_cannot_be_looked_at_says_nothing() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("a.disk");
        std::fs::write(&path, "x").expect("written");
        let mut bay = Bay {
            path: path.clone(),
            file: "a.disk".to_owned(),
            slot: Some(ONE),
            fault: None,
            serial: None,
            backend: None,
            bytes: None,
            id: FileId::of(&path).ok(),
        };
        let at = |whereabouts| Some((ONE, whereabouts));
        assert_eq!(look(&bay), at(Whereabouts::AtPlace));
        std::fs::rename(&path, temp.path().join("b.disk")).expect("moved");
        assert_eq!(look(&bay), at(Whereabouts::Astray));
        std::fs::write(&path, "another").expect("written");
        assert_eq!(look(&bay), at(Whereabouts::Astray));
        bay.path = path.join("below a file");
        assert_eq!(
            look(&bay),
            at(Whereabouts::Unknown),
            "not a directory: an error like any other"
        );
        bay.path = temp.path().join("nothing");
        bay.slot = None;
        assert_eq!(look(&bay), None, "it is not open");
    }
}
