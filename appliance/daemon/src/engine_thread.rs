//! The thread that owns the engine and the disks: events in, actions out, one sleep.
//!
//! Invariants:
//! - only this thread touches engine and disks; everybody else leaves something in a queue and
//!   rings the bell;
//! - it never waits for anybody, except asleep on the bell with nothing left to do;
//! - every question gets one answer, or its asker sees the end of the thread;
//! - all actions of a round are carried out after all its events: what arrived together shares
//!   frames and flushes.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use stele_device::clock::Clock;
use stele_device::disk::{Disk, DiskError, Done, OpId};
use stele_device::linux::clock::SystemClock;
use stele_format::units::UnixMillis;
use stele_gateway::message as gateway;
use stele_store::engine::{Action, DiskSlot, Engine, Event, Now};
use stele_store::index::{IndexReply, IndexRequest};
use stele_store::job::{Job, JobDone};
use stele_store::policy::Rights;
use stele_store::request::{Answer, Command, Refusal, Request, RequestId};
use stele_store::status::Status;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::bell::Bell;
use crate::bridge;
use crate::clients::Clients;
use crate::limits::{ENVELOPE_BATCH_COUNT_MAX, TICK_BUSY_MS, TICK_IDLE_MS};
use crate::workers::Crew;

/// What the process itself asks of the engine thread.
pub enum Local {
    /// A question to the engine, with no special right.
    Ask {
        /// The question.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Answer, Refusal>>,
    },
    /// How things are.
    Status {
        /// Where the answer goes.
        reply: oneshot::Sender<Status>,
    },
    /// The secret of an access key.
    Secret {
        /// The access key id.
        key_id: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Zeroizing<String>>,
    },
    /// Who may do what from now on.
    Clients(Clients),
    /// Finish what is open and end.
    Stop,
}

/// The queues the thread is fed from.
pub struct Inbox {
    /// From the gateway.
    pub envelopes: mpsc::Receiver<gateway::Envelope>,
    /// From the process itself.
    pub local: mpsc::Receiver<Local>,
}

/// Who waits for an answer.
enum Asker {
    Gateway(oneshot::Sender<Result<gateway::Answer, gateway::Refusal>>),
    Local(oneshot::Sender<Result<Answer, Refusal>>),
    /// Nobody: the thread cleans up after an asker that went away.
    Nobody,
}

/// The engine and everything it acts on.
pub struct EngineThread {
    engine: Engine,
    disks: Vec<Option<Box<dyn Disk>>>,
    workers: Crew<Job, JobDone>,
    index: Crew<IndexRequest, IndexReply>,
    inbox: Inbox,
    bell: Bell,
    clock: SystemClock,
    clients: Clients,
    askers: HashMap<u64, Asker>,
    next_request: u64,
    actions: Vec<Action>,
    /// Questions for the next round, from askers that went away.
    orphans: VecDeque<Command>,
    /// Operations for disks that are not there.
    refused: VecDeque<(DiskSlot, OpId)>,
    last_tick_ms: u64,
    stopping: bool,
}

impl EngineThread {
    /// Puts the parts together; nothing runs yet.
    pub fn new(
        engine: Engine,
        disks: Vec<Option<Box<dyn Disk>>>,
        workers: Crew<Job, JobDone>,
        index: Crew<IndexRequest, IndexReply>,
        inbox: Inbox,
        bell: Bell,
    ) -> EngineThread {
        EngineThread {
            engine,
            disks,
            workers,
            index,
            inbox,
            bell,
            clock: SystemClock,
            clients: Clients::default(),
            askers: HashMap::new(),
            next_request: 0,
            actions: Vec::new(),
            orphans: VecDeque::new(),
            refused: VecDeque::new(),
            last_tick_ms: 0,
            stopping: false,
        }
    }

    /// Works until the engine has stopped after `Local::Stop`, then ends its helpers.
    pub fn run(mut self) {
        self.bell.listen();
        let waker = self.bell.task_waker();
        while !self.engine.is_stopped() {
            let worked = self.round(&waker);
            if !worked && !self.engine.is_stopped() {
                std::thread::park_timeout(self.sleep());
            }
        }
        self.workers.stop();
        self.index.stop();
    }

    /// Takes one helping from every queue, then acts. False when there was nothing at all.
    fn round(&mut self, waker: &Waker) -> bool {
        let mut events = 0_usize;
        events += self.take_disks();
        while let Some(done) = self.workers.reply() {
            self.step(Event::Job(done));
            events += 1;
        }
        while let Some(reply) = self.index.reply() {
            self.step(Event::Index(reply));
            events += 1;
        }
        while let Some(command) = self.orphans.pop_front() {
            self.ask(command, Rights::default(), Asker::Nobody);
            events += 1;
        }
        events += self.take_local(waker);
        events += self.take_envelopes(waker);
        self.tick_if_due();
        self.act();
        events > 0 || !self.refused.is_empty() || !self.orphans.is_empty()
    }

    fn take_disks(&mut self) -> usize {
        let mut events = 0;
        let mut done = Vec::new();
        for slot in 0..self.disks.len() {
            let Some(Some(disk)) = self.disks.get_mut(slot) else {
                continue;
            };
            disk.poll(&mut done);
            events += done.len();
            let Ok(slot) = u16::try_from(slot) else {
                continue;
            };
            for done in done.drain(..) {
                self.step(Event::Disk {
                    slot: DiskSlot(slot),
                    done,
                });
            }
        }
        while let Some((slot, id)) = self.refused.pop_front() {
            self.step(Event::Disk {
                slot,
                done: Done {
                    id,
                    result: Err(DiskError::Gone),
                },
            });
            events += 1;
        }
        events
    }

    fn take_local(&mut self, waker: &Waker) -> usize {
        let mut events = 0;
        while let Poll::Ready(message) = self.inbox.local.poll_recv(&mut Context::from_waker(waker))
        {
            match message {
                Some(Local::Ask { command, reply }) => {
                    self.ask(command, Rights::default(), Asker::Local(reply));
                }
                // Whoever asked and left does not miss the answer.
                Some(Local::Status { reply }) => drop(reply.send(self.engine.status())),
                Some(Local::Secret { key_id, reply }) => {
                    drop(reply.send(self.engine.client_secret(&key_id)));
                }
                Some(Local::Clients(clients)) => self.clients = clients,
                Some(Local::Stop) => self.stop(),
                None => {
                    // The supervisor is gone: nobody could ask for the stop any more.
                    self.stop();
                    break;
                }
            }
            events += 1;
        }
        events
    }

    fn take_envelopes(&mut self, waker: &Waker) -> usize {
        for taken in 0..ENVELOPE_BATCH_COUNT_MAX {
            let mut context = Context::from_waker(waker);
            match self.inbox.envelopes.poll_recv(&mut context) {
                Poll::Ready(Some(gateway::Envelope {
                    client,
                    request,
                    answer,
                })) => {
                    let rights = self.clients.rights(&client);
                    self.ask(bridge::command(request), rights, Asker::Gateway(answer));
                }
                Poll::Ready(None) | Poll::Pending => return taken,
            }
        }
        ENVELOPE_BATCH_COUNT_MAX
    }

    fn ask(&mut self, command: Command, rights: Rights, asker: Asker) {
        self.next_request += 1;
        self.askers.insert(self.next_request, asker);
        let id = RequestId(self.next_request);
        self.step(Event::Request(Request {
            id,
            rights,
            command,
        }));
    }

    fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.step(Event::Stop);
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        self.engine.step(now, event, &mut self.actions);
    }

    fn now(&self) -> Now {
        now(&self.clock)
    }

    fn tick_if_due(&mut self) {
        let monotonic_ms = self.clock.monotonic_ms();
        if monotonic_ms.saturating_sub(self.last_tick_ms) >= self.tick_ms() {
            self.last_tick_ms = monotonic_ms;
            self.step(Event::Tick);
        }
    }

    fn tick_ms(&self) -> u64 {
        let busy = self.stopping
            || !self.askers.is_empty()
            || !self.workers.is_idle()
            || !self.index.is_idle()
            || self.disks.iter().flatten().any(|disk| disk.in_flight() > 0);
        if busy { TICK_BUSY_MS } else { TICK_IDLE_MS }
    }

    fn sleep(&self) -> Duration {
        let since = self.clock.monotonic_ms().saturating_sub(self.last_tick_ms);
        Duration::from_millis(self.tick_ms().saturating_sub(since).max(1))
    }

    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Disk { slot, id, op } => match self.disks.get_mut(usize::from(slot.0)) {
                    Some(Some(disk)) => disk.submit(id, op),
                    _ => self.refused.push_back((slot, id)),
                },
                Action::Job(job) => self.workers.ask(job),
                Action::Index(request) => self.index.ask(request),
                Action::Reply { id, result } => self.reply(id, result),
            }
        }
        // The memory is kept for the next round.
        self.actions = actions;
    }

    fn reply(&mut self, id: RequestId, result: Result<Answer, Refusal>) {
        match self.askers.remove(&id.0) {
            Some(Asker::Gateway(sender)) => {
                let orphan = result.as_ref().ok().and_then(close);
                let result = match result {
                    Ok(answer) => {
                        bridge::answer_to_gateway(answer).ok_or(gateway::Refusal::NoSuchStream)
                    }
                    Err(refusal) => Err(bridge::refusal_to_gateway(refusal)),
                };
                if sender.send(result).is_err() {
                    // The client went away before its stream was open; close it for it.
                    self.orphans.extend(orphan);
                }
            }
            // The process asks for nothing it would have to close.
            Some(Asker::Local(sender)) => drop(sender.send(result)),
            Some(Asker::Nobody) | None => {}
        }
    }
}

/// What undoes an answer that opened something.
fn close(answer: &Answer) -> Option<Command> {
    match answer {
        Answer::Stream(stream) => Some(Command::AbortPut { stream: *stream }),
        Answer::Opened { stream, .. } => Some(Command::CloseGet { stream: *stream }),
        _ => None,
    }
}

/// The time as the engine receives it.
pub fn now(clock: &dyn Clock) -> Now {
    Now {
        wall: UnixMillis::new(clock.wall_ms()),
        monotonic_ms: clock.monotonic_ms(),
    }
}
