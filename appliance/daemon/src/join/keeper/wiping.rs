//! Disks that the vault let go of and that are wiped, as two people signed for.

use std::path::Path;
use std::time::Duration;

use stele_device::disk::Disk;
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_format::units::LogIndex;
use stele_store::pool::MemberState;
use stele_store::request::{Answer, Command};
use stele_store::wipe::{Found, WipeDone, look, wipe};

use super::Work;
use crate::bays::FileId;
use crate::control::wipe::{WipeAsk, WipeReply};
use crate::join::candidate::unopened;
use crate::join::refusal::{NotWiped, Unfit, Unwiped};
use crate::limits::{CUT_LOOK_COUNT_MAX, CUT_LOOK_PAUSE_MS};
use crate::media::open_disk;

impl Work {
    /// Looks at a disk, or wipes it.
    pub(super) fn about_wiping(&mut self, ask: &WipeAsk) -> Result<WipeReply, NotWiped> {
        let (WipeAsk::Look { path } | WipeAsk::Wipe { path, .. }) = ask;
        let path = Path::new(path);
        let done = match ask {
            WipeAsk::Look { .. } => self.look_at(path),
            WipeAsk::Wipe { request, .. } => self.wipe(LogIndex::new(*request), path),
        };
        match done {
            Ok(found) => {
                let disk = found.disk();
                Ok(WipeReply {
                    file: path.display().to_string(),
                    disk: disk.disk.to_string(),
                    label: disk.label.to_string(),
                })
            }
            Err(why) => Err(NotWiped {
                path: path.to_owned(),
                why: Box::new(why),
            }),
        }
    }

    fn look_at(&self, path: &Path) -> Result<Found, Unwiped> {
        let mut disk = self.open_loose(path, OpenMode::ReadOnly)?;
        let found = look(&mut *disk).map_err(Unwiped::Label)?;
        if let Found::Begun(mark) = &found {
            return Err(Unwiped::Begun {
                request: mark.request.get(),
            });
        }
        let may = self.link.may_wipe(found.disk());
        may.map_err(|_| Unwiped::Stopping)??;
        Ok(found)
    }

    fn wipe(&self, request: LogIndex, path: &Path) -> Result<Found, Unwiped> {
        let mut disk = self.open_loose(path, OpenMode::Write)?;
        let found = look(&mut *disk).map_err(Unwiped::Label)?;
        let order = self.link.wipe_order(request, found.clone());
        let order = order.map_err(|_| Unwiped::Stopping)??;
        let number = request.get();
        tracing::warn!(request = number, disk = %found.disk().disk, "a disk is being wiped");
        let wiped = wipe(&mut *disk, order)?;
        if let Some(done) = wiped.to_record() {
            self.write_down(request, done)?;
        }
        wiped.unmark(&mut *disk)?;
        tracing::warn!(request = number, disk = %found.disk().disk, "a disk is wiped, and blank");
        Ok(found)
    }

    /// The log says that it is done when this returns.
    fn write_down(&self, request: LogIndex, done: WipeDone) -> Result<(), Unwiped> {
        let noted = self.link.note_wiped(done);
        noted.map_err(|_| Unwiped::Stopping)??;
        for _ in 0..CUT_LOOK_COUNT_MAX {
            match self.link.ask(|| Command::Effect { request }) {
                Ok(Answer::Effect(effect)) if effect.enacted.is_some() => return Ok(()),
                // Asked again where the engine has no room for the question.
                Ok(_) | Err(crate::error::Error::Refused(_)) => {}
                Err(_) => return Err(Unwiped::Stopping),
            }
            std::thread::sleep(Duration::from_millis(CUT_LOOK_PAUSE_MS));
        }
        Err(Unwiped::NotNoted)
    }

    /// Opens a disk that the vault does not use.
    fn open_loose(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn Disk>, Unwiped> {
        self.let_go_of_loose(path)?;
        let opened = open_disk(path, mode, &Wishes::default(), self.bell.disk_waker());
        opened.map_err(|error| Unwiped::Unfit(Box::new(unopened(error))))
    }

    /// What the engine thread has open under this or another name is left alone if it is a disk of the vault,
    /// and closed if it is what one of them was before.
    fn let_go_of_loose(&self, path: &Path) -> Result<(), Unwiped> {
        let Ok(id) = FileId::of(path) else {
            return Ok(());
        };
        let bays = self.bays.now();
        let Some(bay) = bays.iter().find(|bay| bay.id == Some(id)) else {
            return Ok(());
        };
        let status = self.link.status_now().map_err(|_| Unwiped::Stopping)?;
        let owner = status.disks.iter().find(|disk| disk.name == bay.file);
        if let Some(disk) = owner.filter(|disk| disk.state != MemberState::Drained) {
            return Err(Unwiped::Taken {
                number: disk.number,
            });
        }
        let released = bay.slot.map(|slot| self.release(slot));
        released.unwrap_or(Ok(())).map_err(|why| match why {
            Unfit::Stopping => Unwiped::Stopping,
            other => Unwiped::Unfit(Box::new(other)),
        })
    }
}
