//! The thread that lets disks join: all that may block on a disk that is not the vault's yet happens
//! here, one disk after the other.
//!
//! It also goes on with what an earlier run left half filled or half drained, and notes in `vault.json`
//! when a disk takes part or has left.

mod drains;
mod wiping;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use stele_device::linux::serial::serial_of_path;
use stele_format::geometry::DiskGeometry;
use stele_store::engine::{DiskRefusal, DiskSlot, DrainRefusal, Offer};
use stele_store::pool::MemberState;
use stele_store::status::{DiskStatus as EngineDisk, Status};
use tokio::sync::oneshot;

use self::wiping::Wiping;
use super::candidate::{Candidate, Wanted};
use super::refusal::{NotDrained, NotJoined, NotWiped, Told, Unfit};
use crate::advice::Commands;
use crate::bays::{Bay, Bays, FileId, seats};
use crate::bell::Bell;
use crate::control::protocol::{Draining, Join, Joined};
use crate::control::wipe::{WipeAsk, WipeReply};
use crate::engine_thread::Arrival;
use crate::error::{Error, Outcome};
use crate::limits::{FILL_POLL_MS, JOIN_QUEUE_COUNT_MAX};
use crate::media::open_area;
use crate::supervisor::Link;
use crate::vault::Directory;
use crate::vault::config::Config;
use crate::watch::Watch;

/// A wish and where its outcome goes.
enum Order {
    Join(Join, oneshot::Sender<Result<Joined, Box<NotJoined>>>),
    Drain(u16, oneshot::Sender<Result<Draining, NotDrained>>),
    Wipe(WipeAsk, oneshot::Sender<Result<WipeReply, NotWiped>>),
}

/// A way to the keeper. Clones lead to the same one.
#[derive(Debug, Clone)]
pub struct Orders(SyncSender<Order>);

impl Order {
    /// Whether whoever gave it has given up waiting, and was told so.
    fn is_forsaken(&self) -> bool {
        match self {
            Order::Join(_, reply) => reply.is_closed(),
            Order::Drain(_, reply) => reply.is_closed(),
            Order::Wipe(_, reply) => reply.is_closed(),
        }
    }
}

impl Orders {
    /// Lets a disk join: looked at, labelled, and being filled when this returns.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn join(&self, join: Join) -> Outcome<Joined> {
        let (reply, answer) = oneshot::channel();
        self.send(Order::Join(join, reply))?;
        Ok(answer.await.map_err(|_| Error::NoAnswer)??)
    }

    /// Begins to move everything off a disk.
    ///
    /// # Errors
    /// Why it cannot be drained.
    pub async fn drain(&self, number: u16) -> Outcome<Draining> {
        let (reply, answer) = oneshot::channel();
        self.send(Order::Drain(number, reply))?;
        Ok(answer.await.map_err(|_| Error::NoAnswer)??)
    }

    /// Looks at a disk that is to be wiped, or wipes it to the end.
    ///
    /// # Errors
    /// Why it is not wiped.
    pub async fn wipe(&self, ask: WipeAsk) -> Outcome<WipeReply> {
        let (reply, answer) = oneshot::channel();
        self.send(Order::Wipe(ask, reply))?;
        Ok(answer.await.map_err(|_| Error::NoAnswer)??)
    }

    fn send(&self, order: Order) -> Outcome<()> {
        self.0.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => Error::JoinBusy,
            TrySendError::Disconnected(_) => Error::NoAnswer,
        })
    }
}

/// The thread.
pub struct Keeper {
    orders: Orders,
    thread: JoinHandle<()>,
}

/// What the thread works with.
pub struct Charge {
    /// The way to the engine.
    pub link: Link,
    /// Wakes the engine thread for new disks.
    pub bell: Bell,
    /// The vault.
    pub directory: Directory,
    /// Its configuration.
    pub config: Config,
    /// The places of its disks.
    pub bays: Bays,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(charge: Charge, watch: &Watch) -> Outcome<Keeper> {
        let (sender, orders) = sync_channel(JOIN_QUEUE_COUNT_MAX);
        let guard = watch.guard("disks");
        let watch = watch.clone();
        let run = move || {
            let _guard = guard;
            Work::new(charge, watch).run(&orders);
        };
        let thread = std::thread::Builder::new().name("disks".to_owned());
        let thread = thread.spawn(run).map_err(Error::Thread)?;
        Ok(Keeper {
            orders: Orders(sender),
            thread,
        })
    }

    /// A way to it.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Waits for the end of what it has begun, and interrupts a wipe. Whoever else has a way to it must be gone.
    pub fn stop(self) {
        drop(self.orders);
        // A panic has been told by the watch.
        drop(self.thread.join());
    }
}

/// A disk that is to join, as the order or an earlier run states it.
struct Wish {
    /// Its number; none for a further disk.
    number: Option<u16>,
    /// Where it is; none for the known place of the disk.
    path: Option<PathBuf>,
    /// Size of the file to make where nothing is; none for the size of the others.
    bytes: Option<u64>,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// A blank disk, or the one that was lost, named by an operator; its file may be made.
    Named,
    /// The one that was lost, at its known place.
    Returned,
    /// Begun in an earlier run.
    GoOn,
}

struct Work {
    link: Link,
    bell: Bell,
    directory: Directory,
    config: Config,
    bays: Bays,
    /// Disks given to the engine in this run and not yet seen to take part.
    joining: BTreeMap<u16, (PathBuf, DiskGeometry)>,
    /// Fillings of an earlier run that need not be tried again.
    tried: BTreeSet<u16>,
    /// Why a drain of an earlier run does not go on yet.
    waits: Option<DrainRefusal>,
    /// The last disk that was wiped, or is.
    wiping: Option<Wiping>,
    watch: Watch,
}

impl Work {
    fn new(charge: Charge, watch: Watch) -> Work {
        let Charge {
            link,
            bell,
            directory,
            config,
            bays,
        } = charge;
        bays.note_draining(config.draining());
        Work {
            link,
            bell,
            directory,
            config,
            bays,
            joining: BTreeMap::new(),
            tried: BTreeSet::new(),
            waits: None,
            wiping: None,
            watch,
        }
    }

    /// Works until nobody can order any more.
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            self.look_after_fillings();
            self.look_after_drain();
            let filling = !self.config.filling(self.directory.path()).is_empty();
            let busy = filling || self.config.draining().is_some();
            let order = if busy {
                orders.recv_timeout(Duration::from_millis(FILL_POLL_MS))
            } else {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match order {
                // Its asker was told that it came to nothing, and may have done something else since.
                Ok(order) if order.is_forsaken() => {
                    tracing::warn!("an act on disks is left undone: nobody waits for it any more");
                }
                // Whoever leaves from now on sees the outcome in the status.
                Ok(Order::Join(join, reply)) => drop(reply.send(self.join(&Wish::from(join)))),
                Ok(Order::Drain(number, reply)) => drop(reply.send(self.drain(number))),
                Ok(Order::Wipe(ask, reply)) => self.about_wiping(&ask, reply),
                Err(RecvTimeoutError::Timeout) => {}
                // What takes part by now must not be filled again by the next start.
                Err(RecvTimeoutError::Disconnected) => {
                    self.interrupt_wiping();
                    return self.strike_out_filled();
                }
            }
        }
    }

    /// Goes on with disks an earlier run left half filled, and strikes out those that take part.
    fn look_after_fillings(&mut self) {
        self.strike_out_filled();
        for (number, path) in self.config.filling(self.directory.path()) {
            let Ok(status) = self.link.status_now() else {
                return;
            };
            if status.heal.fill.is_none() && self.tried.insert(number) {
                self.go_on(number, path);
            }
        }
    }

    fn strike_out_filled(&mut self) {
        let filling = self.config.filling(self.directory.path());
        if filling.is_empty() {
            return;
        }
        let Ok(status) = self.link.status_now() else {
            return;
        };
        for (number, _) in filling {
            let disk = status.disks.iter().find(|disk| disk.number == number);
            if disk.is_some_and(|disk| disk.state == MemberState::Active) {
                self.note_filled(number);
            }
        }
    }

    fn go_on(&mut self, number: u16, path: PathBuf) {
        let wish = Wish {
            number: Some(number),
            path: Some(path),
            bytes: None,
            how: How::GoOn,
        };
        match self.join(&wish) {
            Ok(joined) => {
                tracing::info!("disk {number} ({}) is being filled again", joined.file);
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// The disk takes part: the next start has nothing left to do.
    fn note_filled(&mut self, number: u16) {
        let config = self.config.filled(number);
        if let Err(error) = self.write_config(config) {
            // Tried again at the next look; the next start would only compare.
            tracing::warn!(%error, "disk {number} is filled, which cannot be noted");
            return;
        }
        tracing::info!("disk {number} takes part in the vault");
        let Some((path, geometry)) = self.joining.remove(&number) else {
            return;
        };
        let (offset, bytes) = (geometry.index_offset().get(), geometry.index_bytes.get());
        if bytes == 0 {
            return;
        }
        // Without it the index has one mirror until the next start.
        let bays = self.bays.now();
        let bay = bays.iter().find(|bay| bay.path == path && bay.id.is_some());
        match open_area(&path, bay.and_then(|bay| bay.id), offset, bytes) {
            Ok(area) => drop(self.link.add_mirror(number, area)),
            Err(error) => tracing::warn!(%error, "the index is not mirrored on disk {number}"),
        }
    }

    fn write_config(&mut self, config: Config) -> Outcome<()> {
        if config != self.config {
            config.replace(&self.directory.config_file())?;
            self.config = config;
            self.bays.note_draining(self.config.draining());
        }
        Ok(())
    }

    fn commands(&self) -> Commands<'_> {
        let founded = self.link.status_now().is_ok_and(|status| status.founded);
        Commands::new(self.directory.path()).asked_by_people(founded)
    }

    /// Lets a disk join, up to where the engine fills it.
    fn join(&mut self, wish: &Wish) -> Result<Joined, Box<NotJoined>> {
        let path = self.known_path(wish);
        let joined = self.try_join(wish, path.as_deref());
        joined.map_err(|why| {
            Box::new(NotJoined {
                serial: path.as_deref().and_then(serial_of_path),
                path,
                disk: wish.number.map(|number| self.told(number)),
                why,
            })
        })
    }

    fn try_join(&mut self, wish: &Wish, path: Option<&Path>) -> Result<Joined, Unfit> {
        let offer = self.offer(wish)?;
        let status = self.link.status_now().map_err(|_| Unfit::Stopping)?;
        let number = offer.label.disk_ordinal + 1;
        let Some(path) = path else {
            let list = self.commands().list();
            return Err(Unfit::NoSuchDisk { list });
        };
        if let Some(far) = self.being_wiped(path) {
            return Err(Unfit::Wiped(far));
        }
        let place = self.place_of(&status, number);
        self.require_own_place(&status, path, place)?;
        self.let_go_of(&status, path, number, wish.how)?;
        let wanted = self.wanted(wish, offer, &status, path);
        let candidate = Candidate::open(path, &wanted, self.bell.disk_waker())?;
        self.take_in(candidate, number, path, place)
    }

    /// A disk by its number and serial. Where it is not, another drive may lie at its place.
    fn told(&self, number: u16) -> Told {
        let status = self.link.status_now().ok();
        let serial = status.and_then(|status| {
            let at = self.place_of(&status, number)?;
            let bays = self.bays.now();
            let is_here = seats(&status.disks, &bays).get(at)?.here;
            let bay = bays.get(at).filter(|_| is_here);
            bay.map_or_else(|| self.config.serial(at).cloned(), |bay| bay.serial.clone())
        });
        Told { number, serial }
    }

    /// Where the disk of a wish is.
    fn known_path(&self, wish: &Wish) -> Option<PathBuf> {
        if let Some(path) = &wish.path {
            return Some(path.clone());
        }
        let status = self.link.status_now().ok()?;
        let place = self.place_of(&status, wish.number?)?;
        Some(self.bays.now().get(place)?.path.clone())
    }

    /// The place of a disk in `vault.json`.
    fn place_of(&self, status: &Status, number: u16) -> Option<usize> {
        let seats = seats(&status.disks, &self.bays.now());
        let is_it = |at: Option<usize>| {
            at.and_then(|at| status.disks.get(at))
                .map(|disk| disk.number)
                == Some(number)
        };
        seats.iter().position(|seat| is_it(seat.disk))
    }

    fn offer(&self, wish: &Wish) -> Result<Offer, Unfit> {
        let ask = |number| self.link.offer(number).map_err(|_| Unfit::Stopping);
        let offer = match (ask(wish.number)?, wish) {
            // A further disk of an earlier run that stopped before anybody knew of it.
            (Err(DiskRefusal::NoSuchDisk { number }), wish) if wish.how == How::GoOn => {
                ask(None)?.map(|offer| (offer.label.disk_ordinal + 1 == number, offer))
            }
            (offer, _) => offer.map(|offer| (true, offer)),
        };
        match offer {
            Ok((true, offer)) => Ok(offer),
            Ok((false, _)) => Err(Unfit::Unknown),
            Err(DiskRefusal::Healthy { number }) => Err(self.in_use(number, wish)),
            Err(refusal) => Err(self.unfit(refusal)),
        }
    }

    fn unfit(&self, refusal: DiskRefusal) -> Unfit {
        match refusal {
            DiskRefusal::NoSuchDisk { .. } => Unfit::NoSuchDisk {
                list: self.commands().list(),
            },
            DiskRefusal::Healthy { number } => Unfit::Healthy {
                disk: self.told(number),
            },
            DiskRefusal::Filling { number } => Unfit::Filling {
                disk: self.told(number),
                status: self.commands().status(),
            },
            DiskRefusal::CountFixed => Unfit::CountFixed,
            DiskRefusal::CountMax { disks_max } => Unfit::CountMax { disks_max },
            other => Unfit::Engine(other),
        }
    }

    /// Says which disk is meant where another one takes no part, or how one that does is exchanged: of two neither can be
    /// taken out first.
    fn in_use(&self, number: u16, wish: &Wish) -> Unfit {
        let disk = self.told(number);
        let Ok(status) = self.link.status_now() else {
            return Unfit::Stopping;
        };
        let counts = |disk: &&EngineDisk| disk.state != MemberState::Drained;
        let is_lost = |disk: &&EngineDisk| {
            let lost = [
                MemberState::Absent,
                MemberState::Expelled,
                MemberState::Stale,
            ];
            lost.contains(&disk.state)
        };
        let lost: Vec<&EngineDisk> = status.disks.iter().filter(is_lost).collect();
        if let [first, ..] = lost.as_slice() {
            let returned = first.state == MemberState::Stale || wish.how == How::Returned;
            let names: Vec<String> = lost
                .iter()
                .map(|disk| self.told(disk.number).to_string())
                .collect();
            return Unfit::Mistaken {
                disk,
                lost: names.join(" and "),
                command: match returned {
                    true => self.commands().resync(first.number),
                    false => self.commands().replace(first.number, wish.path.as_deref()),
                },
            };
        }
        match status.disks.iter().filter(counts).count() == 2 {
            true => Unfit::Needed {
                disk,
                add: self.commands().add(),
            },
            false => Unfit::Healthy { disk },
        }
    }

    /// Refuses a path that is the place of another disk.
    fn require_own_place(
        &self,
        status: &Status,
        path: &Path,
        place: Option<usize>,
    ) -> Result<(), Unfit> {
        let bays = self.bays.now();
        let seats = seats(&status.disks, &bays);
        let other = |at: &usize| Some(*at) != place;
        let at = (0..bays.len())
            .filter(other)
            .find(|at| bays.get(*at).is_some_and(|bay| bay.path == path));
        let disk = at.and_then(|at| seats.get(at)?.disk);
        match disk.and_then(|disk| status.disks.get(disk)) {
            Some(disk) if disk.state == MemberState::Active => {
                Err(Unfit::Taken(self.told(disk.number)))
            }
            Some(disk) => Err(Unfit::PlaceOf {
                disk: self.told(disk.number),
            }),
            None => Ok(()),
        }
    }

    /// The disk behind a path may be open already, under this name or another one. A disk of the vault
    /// is refused; one that nobody uses, or the very disk that comes back, is closed to be opened anew:
    /// a handle that has seen a failed flush takes no more writes.
    fn let_go_of(&self, status: &Status, path: &Path, number: u16, how: How) -> Result<(), Unfit> {
        let Ok(id) = FileId::of(path) else {
            return Ok(());
        };
        let bays = self.bays.now();
        let Some(bay) = bays.iter().find(|bay| bay.id == Some(id)) else {
            return Ok(());
        };
        let owner = status.disks.iter().find(|disk| disk.name == bay.file);
        match owner {
            Some(disk) if disk.number != number => {
                return Err(Unfit::Taken(self.told(disk.number)));
            }
            Some(_) if how == How::Named => {
                let resync = self.commands().resync(number);
                return Err(Unfit::Itself { resync });
            }
            Some(_) | None => {}
        }
        match bay.slot {
            Some(slot) => self.release(slot),
            None => Ok(()),
        }
    }

    fn release(&self, slot: DiskSlot) -> Result<(), Unfit> {
        match self.link.release(slot).map_err(|_| Unfit::Stopping)? {
            Ok(true) => {
                // Also where it was closed since, after this was asked for before in vain.
                self.bays.emptied(slot);
                Ok(())
            }
            Ok(false) => Err(Unfit::Busy),
            Err(refusal) => Err(Unfit::Engine(refusal)),
        }
    }

    fn wanted(&self, wish: &Wish, offer: Offer, status: &Status, path: &Path) -> Wanted {
        let others = self.bays.now().iter().filter_map(|bay| bay.bytes).max();
        let usual = others.unwrap_or(offer.label.geometry.disk_bytes.get());
        let number = offer.label.disk_ordinal + 1;
        let there = path.exists().then_some(path);
        let members = status.disks.iter();
        let members = members.map(|disk| (disk.disk, self.told(disk.number)));
        Wanted {
            members: members.collect(),
            make_bytes: (wish.how == How::Named).then(|| wish.bytes.unwrap_or(usual)),
            blank: wish.how != How::Returned,
            replace: self.commands().replace(number, there),
            offer,
        }
    }

    /// Notes the disk, labels it and gives it to the engine.
    fn take_in(
        &mut self,
        mut candidate: Candidate,
        number: u16,
        path: &Path,
        place: Option<usize>,
    ) -> Result<Joined, Unfit> {
        let earlier = self.config.clone();
        let name = self.directory.name_of(path);
        let noted = earlier
            .with_filling(place, &name, number)
            .and_then(|config| self.write_config(config));
        noted.map_err(|error| Unfit::Config(Box::new(error)))?;
        let before = place.and_then(|place| self.bays.now().get(place)?.slot);
        match candidate
            .write_label()
            .and_then(|()| self.attach(candidate, path, place))
        {
            Ok(geometry) => {
                self.joining.insert(number, (path.to_owned(), geometry));
                self.tried.insert(number);
                if let Some(Err(error)) = before.map(|slot| self.release(slot)) {
                    tracing::warn!(%error, "the disk that was replaced stays open until the next start");
                }
                Ok(Joined {
                    number,
                    file: path.display().to_string(),
                })
            }
            Err(why) => {
                if let Err(error) = self.write_config(earlier) {
                    tracing::warn!(%error, "the vault's list of disks names a disk that did not join");
                }
                Err(why)
            }
        }
    }

    fn attach(
        &self,
        candidate: Candidate,
        path: &Path,
        place: Option<usize>,
    ) -> Result<DiskGeometry, Unfit> {
        let facts = candidate.facts().clone();
        let file = path.display().to_string();
        let age = candidate.age();
        let (label, disk, made) = candidate.into_parts();
        let geometry = label.geometry;
        let arrival = Arrival {
            name: file.clone(),
            identity: label.disk,
            geometry,
            age,
            disk,
        };
        let attached = self.link.attach(arrival).map_err(|_| Unfit::Stopping)?;
        let slot = attached.map_err(|refusal| self.unfit(refusal))?;
        made.keep();
        let bay = Bay {
            path: path.to_owned(),
            file,
            slot: Some(slot),
            fault: None,
            serial: facts.serial,
            backend: Some(facts.backend),
            bytes: Some(facts.bytes),
            id: FileId::of(path).ok(),
        };
        self.bays.put(place, bay);
        Ok(geometry)
    }
}

impl From<Join> for Wish {
    fn from(join: Join) -> Wish {
        let named = |number, path: String, bytes| Wish {
            number,
            path: Some(PathBuf::from(path)),
            bytes,
            how: How::Named,
        };
        match join {
            Join::Replace {
                number,
                path,
                bytes,
            } => named(Some(number), path, bytes),
            Join::Add { path, bytes } => named(None, path, bytes),
            Join::Resync { number } => Wish {
                number: Some(number),
                path: None,
                bytes: None,
                how: How::Returned,
            },
        }
    }
}

#[cfg(test)]
mod tests;
