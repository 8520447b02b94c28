//! Disks that the vault let go of and that are wiped, as two people signed for.
//!
//! A wipe may take hours, so it has a thread of its own. The stop of the vault interrupts it; the same request goes on
//! with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stele_device::disk::Disk;
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_device::linux::serial::serial_of_path;
use stele_format::units::LogIndex;
use stele_store::policy::wiping::NotWiped as Refused;
use stele_store::pool::MemberState;
use stele_store::request::{Answer, Command};
use stele_store::wipe::{Found, Pace, WipeDone, WipeError, WipeOrder, look, wipe};
use tokio::sync::oneshot;

use super::Work;
use crate::bays::FileId;
use crate::control::wipe::{WipeAsk, WipeReply};
use crate::join::candidate::unopened;
use crate::join::refusal::{NotWiped, UnderWay, Unfit, Unwiped};
use crate::limits::{BUSY_PAUSE_MS, CUT_LOOK_COUNT_MAX, CUT_LOOK_PAUSE_MS, RELEASE_MS_MAX};
use crate::media::open_disk;
use crate::supervisor::Link;

/// Where the outcome goes.
pub(super) type WipeTo = oneshot::Sender<Result<WipeReply, NotWiped>>;

/// A wipe on a thread of its own.
pub(super) struct Wiping {
    pub(super) path: PathBuf,
    pub(super) id: Option<FileId>,
    pub(super) request: u64,
    pub(super) pace: Pace,
    /// It has ended, and the disk is closed.
    pub(super) over: Arc<AtomicBool>,
    pub(super) thread: JoinHandle<()>,
}

impl Wiping {
    /// How far it is, unless it has ended.
    fn far(&self) -> Option<UnderWay> {
        let over = self.over.load(Ordering::Acquire) || self.thread.is_finished();
        (!over).then(|| far(self.request, &self.pace))
    }
}

fn far(request: u64, pace: &Pace) -> UnderWay {
    let (done, bytes) = pace.bytes();
    UnderWay {
        request,
        done,
        bytes,
    }
}

/// What a wipe works with.
struct Job {
    link: Link,
    request: LogIndex,
    disk: Box<dyn Disk>,
    found: Found,
    order: WipeOrder,
    pace: Pace,
}

impl Job {
    /// Wipes to the end, and closes the disk.
    fn run(self) -> Result<Found, Unwiped> {
        let Job {
            link,
            request,
            mut disk,
            found,
            order,
            pace,
        } = self;
        let number = request.get();
        tracing::warn!(request = number, disk = %found.disk().disk, "a disk is being wiped");
        let wiped = wipe(&mut *disk, order, &pace).map_err(|why| match why {
            WipeError::Ended => Unwiped::Interrupted(far(number, &pace)),
            other => Unwiped::Failed(other),
        })?;
        if let Some(done) = wiped.to_record() {
            write_down(&link, request, done, &pace)?;
        }
        wiped.unmark(&mut *disk)?;
        tracing::warn!(request = number, disk = %found.disk().disk, "a disk is wiped, and blank");
        Ok(found)
    }
}

/// The log says that it is done when this returns.
fn write_down(link: &Link, request: LogIndex, done: WipeDone, pace: &Pace) -> Result<(), Unwiped> {
    for _ in 0..CUT_LOOK_COUNT_MAX {
        // Each time: an engine that is started again forgets what it had not written yet.
        let noted = link.note_wiped(done).map_err(|_| Unwiped::Stopping)?;
        if is_enacted(link, request)? {
            return Ok(());
        }
        match noted {
            Ok(()) | Err(Refused::Rebuilding) => {}
            Err(why) => return Err(why.into()),
        }
        if pace.is_ended() {
            break;
        }
        std::thread::sleep(Duration::from_millis(CUT_LOOK_PAUSE_MS));
    }
    Err(Unwiped::NotNoted)
}

fn is_enacted(link: &Link, request: LogIndex) -> Result<bool, Unwiped> {
    match link.ask(|| Command::Effect { request }) {
        Ok(Answer::Effect(effect)) => Ok(effect.enacted.is_some()),
        // Asked again where the engine has no room for the question.
        Ok(_) | Err(crate::error::Error::Refused(_)) => Ok(false),
        Err(_) => Err(Unwiped::Stopping),
    }
}

fn outcome(path: &Path, done: Result<Found, Unwiped>) -> Result<WipeReply, NotWiped> {
    let found = done.map_err(|why| NotWiped {
        path: path.to_owned(),
        serial: serial_of_path(path),
        why: Box::new(why),
    })?;
    let disk = found.disk();
    Ok(WipeReply {
        file: path.display().to_string(),
        disk: disk.disk.to_string(),
        label: disk.label.to_string(),
    })
}

impl Work {
    /// Looks at a disk, or begins to wipe it.
    pub(super) fn about_wiping(&mut self, ask: &WipeAsk, reply: WipeTo) {
        let (WipeAsk::Look { path } | WipeAsk::Wipe { path, .. }) = ask;
        let path = Path::new(path);
        let job = match ask {
            WipeAsk::Look { .. } => return drop(reply.send(outcome(path, self.look_at(path)))),
            WipeAsk::Wipe { request, .. } => self.job(LogIndex::new(*request), path),
        };
        match job {
            Ok(job) => self.begin(path, job, reply),
            Err(why) => drop(reply.send(outcome(path, Err(why)))),
        }
    }

    /// Wipes on a thread of its own. Whoever asked and left sees the outcome in the log.
    fn begin(&mut self, path: &Path, job: Job, reply: WipeTo) {
        let (request, pace) = (job.request.get(), job.pace.clone());
        let over = Arc::new(AtomicBool::new(false));
        let (ended, guard, disk) = (Arc::clone(&over), self.watch.guard("wipe"), path.to_owned());
        let run = move || {
            let _guard = guard;
            let done = outcome(&disk, job.run());
            if let Err(why) = &done {
                tracing::warn!(request, "{why}");
            }
            ended.store(true, Ordering::Release);
            // Nobody may wait any more.
            drop(reply.send(done));
        };
        let thread = std::thread::Builder::new().name("wipe".to_owned());
        match thread.spawn(run) {
            Ok(thread) => {
                self.wiping = Some(Wiping {
                    path: path.to_owned(),
                    id: FileId::of(path).ok(),
                    request,
                    pace,
                    over,
                    thread,
                });
            }
            // Whoever asked hears that there is no answer.
            Err(error) => tracing::warn!(%error, request, "a disk is not wiped: no thread for it"),
        }
    }

    /// How far the wipe of a disk is, under whatever name.
    pub(super) fn being_wiped(&self, path: &Path) -> Option<UnderWay> {
        let wiping = self.wiping.as_ref()?;
        let same = match (FileId::of(path).ok(), wiping.id) {
            (Some(id), Some(wiped)) => id == wiped,
            _ => wiping.path == path,
        };
        wiping.far().filter(|_| same)
    }

    /// Ends a wipe early. What hangs in the kernel is left to the end of the process: it is as a crash, of which the
    /// same request finishes what is left.
    pub(super) fn interrupt_wiping(&mut self) {
        let Some(wiping) = self.wiping.take() else {
            return;
        };
        wiping.pace.end();
        let deadline = Instant::now() + Duration::from_millis(RELEASE_MS_MAX);
        while !wiping.thread.is_finished() {
            if Instant::now() >= deadline {
                let (request, path) = (wiping.request, wiping.path.display());
                tracing::warn!(
                    request,
                    "the wipe of {path} does not end in time; the vault stops without it"
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(BUSY_PAUSE_MS));
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

    /// Everything up to the first write.
    fn job(&self, request: LogIndex, path: &Path) -> Result<Job, Unwiped> {
        if let Some(wiping) = &self.wiping
            && let Some(far) = wiping.far()
            && self.being_wiped(path).is_none()
        {
            let path = wiping.path.clone();
            return Err(Unwiped::Other { path, far });
        }
        let mut disk = self.open_loose(path, OpenMode::Write)?;
        let found = look(&mut *disk).map_err(Unwiped::Label)?;
        let order = self.link.wipe_order(request, found.clone());
        let order = order.map_err(|_| Unwiped::Stopping)??;
        Ok(Job {
            link: self.link.clone(),
            request,
            disk,
            found,
            order,
            pace: Pace::default(),
        })
    }

    /// Opens a disk that the vault does not use.
    fn open_loose(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn Disk>, Unwiped> {
        if let Some(far) = self.being_wiped(path) {
            return Err(Unwiped::Unfit(Box::new(Unfit::Wiped(far))));
        }
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
            return Err(Unwiped::Taken(self.told(disk.number)));
        }
        let released = bay.slot.map(|slot| self.release(slot));
        released.unwrap_or(Ok(())).map_err(|why| match why {
            Unfit::Stopping => Unwiped::Stopping,
            other => Unwiped::Unfit(Box::new(other)),
        })
    }
}
