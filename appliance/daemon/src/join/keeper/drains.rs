//! Disks that leave: what is noted of a drain, so that the next start goes on with it, and when that note
//! is struck out.

use stele_store::engine::DrainRefusal;
use stele_store::pool::MemberState;
use stele_store::status::{DiskStatus as EngineDisk, Status};

use super::Work;
use crate::control::protocol::Draining;
use crate::join::refusal::{NotDrained, Undrained};
use crate::vault::config::Config;

impl Work {
    /// Begins to move everything off a disk. It is noted first: a crash leaves a drain that the next start
    /// goes on with.
    pub(super) fn drain(&mut self, number: u16) -> Result<Draining, NotDrained> {
        let begun = self.try_drain(number);
        begun.map_err(|why| NotDrained {
            disk: self.told(number),
            file: self.file_of(number).filter(|file| !file.is_empty()),
            why,
        })
    }

    fn try_drain(&mut self, number: u16) -> Result<Draining, Undrained> {
        let earlier = self.config.clone();
        if earlier.draining().is_none() {
            let noted = self.write_config(earlier.with_draining(Some(number)));
            noted.map_err(|error| Undrained::Config(Box::new(error)))?;
        }
        let begun = self.link.drain(number).map_err(|_| Undrained::Stopping);
        match begun.and_then(|begun| begun.map_err(|refusal| self.undrained(refusal))) {
            Ok(()) => {
                // One that was noted and waits gives way.
                let noted = self.write_config(self.config.with_draining(Some(number)));
                noted.map_err(|error| Undrained::Config(Box::new(error)))?;
                let file = self.file_of(number).unwrap_or_default();
                Ok(Draining { number, file })
            }
            Err(why) => {
                if let Err(error) = self.write_config(earlier) {
                    tracing::warn!(%error, "a drain that was refused is tried again by the next start");
                }
                Err(why)
            }
        }
    }

    fn file_of(&self, number: u16) -> Option<String> {
        let status = self.link.status_now().ok()?;
        let at = self.place_of(&status, number)?;
        Some(self.bays.now().get(at)?.file.clone())
    }

    fn undrained(&self, refusal: DrainRefusal) -> Undrained {
        let commands = self.commands();
        match refusal {
            DrainRefusal::NoSuchDisk { .. } => Undrained::NoSuchDisk {
                list: commands.list(),
            },
            DrainRefusal::NotActive { .. } => Undrained::NotActive {
                status: commands.status(),
            },
            DrainRefusal::Drained { .. } => Undrained::Already {
                list: commands.list(),
            },
            DrainRefusal::Busy { number } => Undrained::Busy {
                disk: self.told(number),
                status: commands.status(),
            },
            DrainRefusal::OtherMissing { number } => Undrained::OtherMissing {
                disk: self.told(number),
                status: commands.status(),
            },
            DrainRefusal::TooFew { disks: 1, .. } => Undrained::Only,
            DrainRefusal::TooFew { disks, .. } => Undrained::TooFew {
                disks,
                add: commands.add(),
            },
            DrainRefusal::Index { number } => Undrained::Index {
                replace: commands.replace(number, None),
            },
            DrainRefusal::NoRoom { missing_bytes, .. } => Undrained::NoRoom {
                missing_bytes,
                add: commands.add(),
            },
            DrainRefusal::ReadOnly | DrainRefusal::Rebuilding => Undrained::Engine(refusal),
        }
    }

    /// Goes on with a drain of an earlier run, and strikes out one that is done or cannot be.
    pub(super) fn look_after_drain(&mut self) {
        let Some(number) = self.config.draining() else {
            return;
        };
        let Ok(status) = self.link.status_now() else {
            return;
        };
        let disk = status.disks.iter().find(|disk| disk.number == number);
        match stand(&status, disk) {
            Stand::UnderWay => {}
            Stand::Done => {
                let place = self.place_of(&status, number);
                let slot = place.and_then(|at| self.bays.now().get(at)?.slot);
                self.strike_out_drain(self.config.with_drained(place));
                tracing::info!("disk {number} is drained and may be pulled out");
                if let Some(Err(error)) = slot.map(|slot| self.release(slot)) {
                    tracing::warn!(%error, "disk {number} stays open until the next start");
                }
            }
            Stand::Ended(why) => {
                tracing::warn!("disk {number} was not drained: {why}");
                self.strike_out_drain(self.config.with_draining(None));
            }
            Stand::NotBegun => self.go_on_draining(number),
        }
    }

    fn go_on_draining(&mut self, number: u16) {
        let Ok(begun) = self.link.drain(number) else {
            return;
        };
        match begun {
            Ok(()) => tracing::info!("disk {number} is being drained again"),
            // It goes on by itself once that is over.
            Err(
                refusal @ (DrainRefusal::Busy { .. }
                | DrainRefusal::OtherMissing { .. }
                | DrainRefusal::ReadOnly
                | DrainRefusal::Rebuilding),
            ) => {
                if self.waits != Some(refusal) {
                    tracing::warn!("the drain of disk {number} waits: {refusal}");
                }
                self.waits = Some(refusal);
            }
            Err(refusal) => {
                tracing::warn!("disk {number} is not drained: {refusal}");
                self.strike_out_drain(self.config.with_draining(None));
            }
        }
    }

    fn strike_out_drain(&mut self, config: Config) {
        self.waits = None;
        if let Err(error) = self.write_config(config) {
            // Tried again at the next look; the next start would find nothing left to move.
            tracing::warn!(%error, "the end of a drain cannot be noted");
        }
    }
}

/// How a drain that was noted stands.
enum Stand<'a> {
    /// It has not begun in this run.
    NotBegun,
    UnderWay,
    Done,
    /// It ended early.
    Ended(&'a str),
}

fn stand<'a>(status: &'a Status, disk: Option<&'a EngineDisk>) -> Stand<'a> {
    let Some(disk) = disk else {
        return Stand::Ended("the vault has no such disk");
    };
    let drained = matches!(status.heal.drain, Some((number, _)) if number == disk.number);
    match (disk.state, disk.reason) {
        _ if drained => Stand::UnderWay,
        (MemberState::Drained, _) if status.takes_writes() => Stand::Done,
        (MemberState::Drained, _) => Stand::UnderWay,
        (MemberState::Active, None) => Stand::NotBegun,
        (_, why) => Stand::Ended(why.unwrap_or("it takes no part")),
    }
}
