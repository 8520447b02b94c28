//! An index that can answer no more, keys that an approved destruction is to cut, or a journal that lies on too few of
//! the disks that are left: the engine is started again on the same disks, which makes the index anew from the
//! journal, cuts the keys, or begins a journal on all that are there. There is one recovery, that of every start, and
//! a crash in it is a crash in a start. Clients are told to come back; streams that were open are gone.

use std::sync::mpsc::{Receiver, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use stele_device::disk::Disk;
use stele_store::engine::{DiskRefusal, DrainRefusal};
use stele_store::policy::wiping::NotWiped;
use stele_store::recovery::{Opened, Progress};
use stele_store::request::{Refusal, RequestId};
use stele_store::status::StartedFor;

use super::{Asker, EngineThread, Local};
use crate::error::Outcome;
use crate::limits::{
    QUESTION_BATCH_COUNT_MAX, REBUILD_PAUSE_MS, REBUILD_PAUSE_MS_MAX, REBUILD_TICK_MS,
    RELEASE_MS_MAX,
};
use crate::opener::How;
use crate::workers::IndexCrew;

/// How a rebuild ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rebuilt {
    /// The engine serves again.
    Serving,
    /// The process is to end.
    Ending,
}

impl EngineThread {
    /// Starts the engine again, and answers everybody meanwhile.
    pub(super) fn start_again(&mut self, why: StartedFor, waker: &Waker) -> Rebuilt {
        match why {
            StartedFor::IndexLost => {
                tracing::warn!("the index cannot be used; it is made anew from the journal");
            }
            StartedFor::KeysCut => {
                tracing::info!("the keys of an approved destruction are being cut")
            }
            StartedFor::JournalStranded => {
                tracing::warn!(
                    "too few of the disks that are left have the journal; it is begun anew on all of them"
                );
            }
            StartedFor::DisksCameBack => {
                tracing::info!("what is on disks that came back is being read");
            }
        }
        self.started_for = why;
        let started = Instant::now();
        self.refuse_everybody();
        self.come_to_rest();
        std::mem::replace(&mut self.index, IndexCrew::ended()).stop();
        let progress = Progress::default();
        if why == StartedFor::IndexLost {
            if self.pause(waker, &progress) == Rebuilt::Ending {
                return Rebuilt::Ending;
            }
            self.rebuilds += 1;
        }
        let opened = match self.open_again(&progress) {
            Ok(opened) => opened,
            Err(error) => return self.end(&error),
        };
        let opened = loop {
            if self.answer(waker, &progress) == Rebuilt::Ending {
                return Rebuilt::Ending;
            }
            match opened.try_recv() {
                Ok(opened) => break opened,
                Err(std::sync::mpsc::TryRecvError::Empty) => {
                    std::thread::park_timeout(Duration::from_millis(REBUILD_TICK_MS));
                }
                // It died, and has told so by its watch.
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Rebuilt::Ending,
            }
        };
        match opened.and_then(|opened| self.take(opened)) {
            Ok(()) => {
                let took = started.elapsed();
                match why {
                    StartedFor::IndexLost => tracing::info!(?took, "the index was made anew"),
                    StartedFor::KeysCut => {
                        tracing::info!(?took, "the keys of an approved destruction are cut")
                    }
                    StartedFor::JournalStranded => {
                        tracing::info!(?took, "the journal was begun anew")
                    }
                    StartedFor::DisksCameBack => {
                        tracing::info!(?took, "what is on disks that came back is known again")
                    }
                }
                Rebuilt::Serving
            }
            Err(error) => self.end(&error),
        }
    }

    fn end(&self, error: &crate::error::Error) -> Rebuilt {
        tracing::error!(%error, "the engine could not be started again");
        self.watch.tell("engine");
        Rebuilt::Ending
    }

    fn take(&mut self, mut opened: Opened) -> Outcome<()> {
        opened.engine.take_over_from(&self.engine);
        // Where keys were cut it always is: nothing was wrong with it.
        if opened.report.index_rebuilt && self.started_for != StartedFor::KeysCut {
            opened.engine.note_index_made_anew();
        }
        if self.started_for == StartedFor::JournalStranded {
            self.moved = Some(Instant::now());
        }
        self.engine = opened.engine;
        self.disks = opened.disks;
        self.index = IndexCrew::start(opened.index, &self.bell, &self.watch)?;
        Ok(())
    }

    /// Whoever waits for an answer of the old engine gets one.
    fn refuse_everybody(&mut self) {
        for (id, asker) in self.askers.drain() {
            let refusal = match self.engine.is_being_written(RequestId(id)) {
                true => Refusal::Undecided,
                false => Refusal::Rebuilding,
            };
            match asker {
                // A gateway that went away lost what it had opened with the old engine.
                Asker::Gateway(reply) => drop(reply.send(Err(refusal))),
                Asker::Local(sender) => drop(sender.send(Err(refusal))),
                Asker::Nobody => {}
            }
        }
        self.actions.clear();
        self.orphans.clear();
        self.refused.clear();
    }

    /// Waits for what is under way, and believes none of it. A disk that does not end in time is given
    /// up, as one that is not there, and is closed when it has ended.
    fn come_to_rest(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(RELEASE_MS_MAX);
        let mut done = Vec::new();
        loop {
            let mut busy = false;
            for disk in self.disks.iter_mut().flatten() {
                disk.poll(&mut done);
                busy |= disk.in_flight() > 0;
            }
            done.clear();
            while self.workers.reply().is_some() {}
            while self.index.reply().is_some() {}
            busy |= !self.workers.is_idle() || !self.index.is_idle();
            if !busy || Instant::now() >= deadline {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(REBUILD_TICK_MS));
        }
        self.let_leave();
        for (slot, place) in (0..).zip(&mut self.disks) {
            let hung = place.take_if(|disk| disk.in_flight() > 0);
            self.hung.extend(hung.map(|disk| (slot, disk)));
        }
    }

    /// An index that was lost again soon after it was made is not made again at once.
    fn pause(&mut self, waker: &Waker, progress: &Progress) -> Rebuilt {
        let doublings = self.rebuilds.saturating_sub(1).min(16);
        let pause = match self.rebuilds {
            0 => 0,
            _ => (REBUILD_PAUSE_MS << doublings).min(REBUILD_PAUSE_MS_MAX),
        };
        let until = Instant::now() + Duration::from_millis(pause);
        while Instant::now() < until {
            if self.answer(waker, progress) == Rebuilt::Ending {
                return Rebuilt::Ending;
            }
            std::thread::park_timeout(Duration::from_millis(REBUILD_TICK_MS));
        }
        Rebuilt::Serving
    }

    /// Opens the pool on a thread of its own.
    fn open_again(&mut self, progress: &Progress) -> Outcome<Receiver<Outcome<Opened>>> {
        let disks: Vec<Option<Box<dyn Disk>>> = std::mem::take(&mut self.disks);
        let (sender, receiver) = sync_channel(1);
        // Drives may have come since the first start.
        self.opener.serials.extend(self.engine.serials());
        let (opener, bell, progress) = (self.opener.clone(), self.bell.clone(), progress.clone());
        let guard = self.watch.guard("engine");
        // What people signed for the first start is used up.
        let how = How {
            // What is cut for good is told by the journal, not by rows that nobody compared with it.
            new_index: matches!(
                self.started_for,
                StartedFor::IndexLost | StartedFor::KeysCut
            ),
            force: None,
        };
        let run = move || {
            let _guard = guard;
            // Nobody waits any more if the process ends meanwhile.
            drop(sender.send(opener.open(disks, how, progress)));
            bell.ring();
        };
        std::thread::Builder::new()
            .name("rebuild".to_owned())
            .spawn(run)
            .map_err(crate::error::Error::Thread)?;
        Ok(receiver)
    }

    /// Answers what came in: not now, and how far it is.
    fn answer(&mut self, waker: &Waker, progress: &Progress) -> Rebuilt {
        let mut context = Context::from_waker(waker);
        for _ in 0..QUESTION_BATCH_COUNT_MAX {
            match self.inbox.questions.poll_recv(&mut context) {
                Poll::Ready(Some(question)) => {
                    drop(question.reply.send(Err(Refusal::Rebuilding)));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        while let Poll::Ready(message) = self.inbox.local.poll_recv(&mut context) {
            let Some(message) = message else {
                return Rebuilt::Ending;
            };
            match message {
                Local::Ask { reply, .. } => drop(reply.send(Err(Refusal::Rebuilding))),
                Local::Status { reply } => {
                    let mut status = self.engine.status();
                    status.rebuilding = Some(progress.frames());
                    status.started_for = self.started_for;
                    drop(reply.send(status));
                }
                Local::Offer { reply, .. } => drop(reply.send(Err(DiskRefusal::Rebuilding))),
                Local::Attach { arrival, reply } => {
                    drop(reply.send(Err((DiskRefusal::Rebuilding, arrival.disk))));
                }
                Local::Drain { reply, .. } => drop(reply.send(Err(DrainRefusal::Rebuilding))),
                Local::MayWipe { reply, .. } | Local::NoteWiped { reply, .. } => {
                    drop(reply.send(Err(NotWiped::Rebuilding)));
                }
                Local::WipeOrder { reply, .. } => {
                    drop(reply.send(Err(NotWiped::Rebuilding)));
                }
                // The disk is in use by the start.
                Local::Release { reply, .. } => {
                    drop(reply.try_send(Err(DiskRefusal::Rebuilding)));
                }
                // The mirror is one of the index that is gone; what is not at its place is told again.
                Local::Mirror { .. } | Local::Astray { .. } | Local::Back { .. } => {}
                Local::Stop => {
                    tracing::info!("stopping; the next start makes the index anew");
                    return Rebuilt::Ending;
                }
                other @ (Local::Secret { .. }
                | Local::Clients { .. }
                | Local::Sign { .. }
                | Local::Learn { .. }) => self.local(other),
            }
        }
        Rebuilt::Serving
    }
}

#[cfg(test)]
mod tests;
