//! One engine over simulated disks, one event at a time.
//!
//! Everything the engine wants done waits here until the seed picks it: operations on each disk,
//! jobs first in first out, the index as its two threads answer. No threads, no clock but the simulated one.
//! When the power is cut, the machine is dead from that moment: what its disks had completed may
//! still have been told and answered just before, nothing after.

mod index;

use std::collections::VecDeque;

use stele_device::area::Area;
use stele_device::clock::Clock;
use stele_device::disk::{Disk, DiskError, Done, OpId};
use stele_device::sim::clock::SimClock;
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::power::Power;
use stele_format::units::{ByteCount, UnixMillis};
use stele_store::engine::{
    Action, Attachment, DiskRefusal, DiskSlot, DrainRefusal, Engine, Event, LabelAge, Now,
};
use stele_store::index::IndexReply;
use stele_store::job::{Job, JobDone};
use stele_store::keys::chunk::AwsLc;
use stele_store::recovery::{Opened, read_label, write_static_label};
use stele_store::request::{Answer, Command, Refusal, Request, RequestId};

use crate::context::Context;
use crate::error::{Halt, Run, Violation};
use crate::limits::{CRAWL_TURNS, LEAP_MS_MAX, SLOW_TURNS, STUCK_MS, STUCK_TURN_COUNT};
use crate::plant::Plant;
use crate::plug::{Plugged, Pulse};
use crate::who::Who;

use index::Index;

/// How often the engine receives another event before it goes on.
const MORE_EVENTS_PERMILLE: u64 = 250;

/// An answer and whose it is.
pub type Reply = (RequestId, Result<Answer, Refusal>);

/// Where the next event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Disk(usize),
    Refused,
    Job,
    Index,
    Tick,
}

/// A running process: engine, index and what they wait for.
pub struct Machine {
    engine: Engine,
    index: Index,
    disks: Vec<Option<Box<dyn Disk>>>,
    power: Power,
    pulse: Pulse,
    /// The slot whose disk seldom gets a turn.
    slow: Option<usize>,
    /// Slots whose disks answer nothing now.
    hung: Vec<usize>,
    /// Slots whose disks take a thousand times as long as others, each until when, by the monotonic clock.
    crawling: Vec<(usize, u64)>,
    clock: SimClock,
    jobs: VecDeque<Job>,
    refused: VecDeque<(DiskSlot, OpId)>,
    replies: VecDeque<Reply>,
    open: std::collections::BTreeSet<RequestId>,
    next_request: u64,
    quiet_turns: u64,
    quiet_since_ms: u64,
    stopping: bool,
}

/// The time, as the engine receives it.
#[must_use]
pub fn now(clock: &SimClock) -> Now {
    Now {
        wall: UnixMillis::new(clock.wall_ms()),
        monotonic_ms: clock.monotonic_ms(),
    }
}

impl Machine {
    /// Takes over what opening a pool yields.
    #[must_use]
    pub fn new(
        opened: Opened,
        (power, pulse): (Power, Pulse),
        clock: SimClock,
        next_request: u64,
    ) -> Self {
        let quiet_since_ms = clock.monotonic_ms();
        Self {
            engine: opened.engine,
            index: Index::new(opened.index),
            disks: opened.disks,
            power,
            pulse,
            slow: None,
            hung: Vec::new(),
            crawling: Vec::new(),
            clock,
            jobs: VecDeque::new(),
            refused: VecDeque::new(),
            replies: VecDeque::new(),
            open: std::collections::BTreeSet::new(),
            next_request,
            quiet_turns: 0,
            quiet_since_ms,
            stopping: false,
        }
    }

    /// The engine, to look at.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether the server starts the engine again by now, to read what disks hold that came back: nothing that is done
    /// to the index is lost with it.
    #[must_use]
    pub fn is_reading_due(&self) -> bool {
        self.engine.is_reading_wanted() && self.index.is_idle()
    }

    /// The number the next question will have.
    #[must_use]
    pub fn next_request(&self) -> u64 {
        self.next_request
    }

    /// Asks.
    ///
    /// # Errors
    /// A broken promise.
    pub fn submit(&mut self, context: &mut Context, who: Who, command: Command) -> Run<RequestId> {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.open.insert(id);
        context.trace_command(&command);
        self.step(
            context,
            Event::Request(Request {
                id,
                asker: who.asker(),
                command,
            }),
        )?;
        Ok(id)
    }

    /// Asks for a clean stop.
    ///
    /// # Errors
    /// A broken promise.
    pub fn stop(&mut self, context: &mut Context) -> Run<()> {
        self.stopping = true;
        self.step(context, Event::Stop)
    }

    /// The next answer, if there is one.
    pub fn reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// Lets one event happen.
    ///
    /// # Errors
    /// The power was cut, or a promise was broken. Answers given before are still to be taken.
    pub fn turn(&mut self, context: &mut Context) -> Run<()> {
        let source = self.choose(context);
        self.clock.advance(self.passing_ms(context, source));
        match source {
            Source::Disk(slot) => self.take_disk(context, slot)?,
            Source::Refused => self.take_refused(context)?,
            Source::Job => self.take_job(context)?,
            Source::Index => self.take_index(context)?,
            Source::Tick => self.step(context, Event::Tick)?,
        }
        if !self.power.is_on() {
            return Err(Halt::PowerCut);
        }
        self.watch()
    }

    /// Lets much time pass, if nothing at all goes on; whether it did.
    pub fn sleep(&mut self, ms: u64) -> bool {
        let mut disks = self.disks.iter().flatten();
        let busy = disks.any(|disk| disk.in_flight() > 0)
            || !self.open.is_empty()
            || !self.jobs.is_empty()
            || !self.index.is_idle()
            || !self.refused.is_empty();
        if busy {
            return false;
        }
        self.clock.advance(ms);
        self.quiet_since_ms = self.clock.monotonic_ms();
        true
    }

    /// Says whose disk is slow, if one is: it lags behind the others, which is no fault.
    pub fn set_slow(&mut self, slot: Option<usize>) {
        self.slow = slot;
    }

    /// Says which disks answer nothing now, by name.
    pub fn set_hung<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.hung = self.slots_of(names);
    }

    /// Says which disks take a thousand times as long as others, by name, and until when.
    pub fn set_crawling<'a>(&mut self, disks: impl Iterator<Item = (&'a str, u64)>) {
        let found = disks.map(|(name, until_ms)| (self.slots_of(std::iter::once(name)), until_ms));
        let slots =
            found.flat_map(|(slots, until_ms)| slots.into_iter().map(move |slot| (slot, until_ms)));
        self.crawling = slots.collect();
    }

    fn slots_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
        let names: Vec<&str> = names.collect();
        let is_named = |disk: &dyn Disk| names.contains(&disk.identity().name.as_str());
        let slots = self.disks.iter().enumerate();
        slots
            .filter(|(_, disk)| disk.as_ref().is_some_and(|disk| is_named(&**disk)))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Closes the disk of this name, so that it can be opened again; false while something is under way
    /// on it.
    pub fn let_go_of(&mut self, name: &str) -> bool {
        let of_name = |disk: &dyn Disk| disk.identity().name == name;
        for disk in &mut self.disks {
            match disk {
                Some(open) if of_name(&**open) && open.in_flight() > 0 => return false,
                Some(open) if of_name(&**open) => *disk = None,
                _ => {}
            }
        }
        true
    }

    /// Gives the running engine a disk for the place of disk `number`, or as a further one, as the daemon
    /// does: with a static label, unless it has that very one.
    ///
    /// # Errors
    /// A broken promise, or the power was cut.
    pub fn attach(
        &mut self,
        context: &mut Context,
        number: Option<u16>,
        handle: &SimDiskHandle,
    ) -> Run<Result<(), DiskRefusal>> {
        let offer = match self.engine.offer(number) {
            Ok(offer) => offer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut disk: Box<dyn Disk> = Box::new(Plugged::new(handle.open(), self.pulse.clone()));
        let mut label = offer.label;
        label.geometry.disk_bytes = ByteCount::new(disk.identity().bytes);
        let reading = read_label(&mut *disk).filter(|read| read.fixed.disk == label.disk);
        let known = reading.is_some();
        if !known && write_static_label(&mut *disk, &label).is_err() {
            // The power went, or the disk failed before it was anything.
            return match self.power.is_on() {
                true => Ok(Err(DiskRefusal::ReadOnly)),
                false => Err(Halt::PowerCut),
            };
        }
        if !self.power.is_on() {
            return Err(Halt::PowerCut);
        }
        let slot = DiskSlot(u16::try_from(self.disks.len()).unwrap_or(u16::MAX));
        let attachment = Attachment {
            slot,
            name: disk.identity().name.clone(),
            serial: None,
            disk: label.disk,
            geometry: label.geometry,
            age: reading.as_ref().map(LabelAge::of).unwrap_or_default(),
        };
        self.disks.push(Some(disk));
        let mut actions = Vec::new();
        let given = self
            .engine
            .attach(now(&self.clock), attachment, &mut actions);
        self.act(context, actions)?;
        context.check_clock(self.engine.compliance().get())?;
        Ok(given)
    }

    /// Has everything moved off a disk.
    ///
    /// # Errors
    /// A broken promise, or the power was cut.
    pub fn drain(&mut self, context: &mut Context, number: u16) -> Run<Result<(), DrainRefusal>> {
        let mut actions = Vec::new();
        let begun = self.engine.drain(now(&self.clock), number, &mut actions);
        self.act(context, actions)?;
        context.check_clock(self.engine.compliance().get())?;
        Ok(begun)
    }

    /// Lets the index be mirrored on one more area.
    pub fn add_mirror(&mut self, number: u16, area: Box<dyn Area>) {
        if let Some(request) = self.engine.mirror_on(number, area) {
            self.index.ask(request);
        }
    }

    fn choose(&mut self, context: &mut Context) -> Source {
        let mut sources = Vec::with_capacity(self.disks.len() + 4);
        let now_ms = self.clock.monotonic_ms();
        self.crawling.retain(|(_, until_ms)| *until_ms > now_ms);
        for (slot, disk) in self.disks.iter().enumerate() {
            let waits = disk.as_ref().is_some_and(|disk| disk.in_flight() > 0);
            let turns = match self.crawling.iter().any(|(crawls, _)| *crawls == slot) {
                true => CRAWL_TURNS,
                false if self.slow == Some(slot) => SLOW_TURNS,
                false => 1,
            };
            let lags = turns > 1 && context.rng.below(turns) > 0;
            if waits && !lags && !self.hung.contains(&slot) {
                sources.push(Source::Disk(slot));
            }
        }
        if !self.refused.is_empty() {
            sources.push(Source::Refused);
        }
        if !self.jobs.is_empty() {
            sources.push(Source::Job);
        }
        if !self.index.is_idle() {
            sources.push(Source::Index);
        }
        if sources.is_empty() || context.rng.permille(60) {
            return Source::Tick;
        }
        context.rng.pick(&sources).copied().unwrap_or(Source::Tick)
    }

    /// Whether nothing can happen but that a disk answers again, or is given up.
    fn waits_for_hung(&self) -> bool {
        let mut disks = self.disks.iter().enumerate();
        let answers = |slot: usize, disk: &Option<Box<dyn Disk>>| {
            !self.hung.contains(&slot) && disk.as_ref().is_some_and(|disk| disk.in_flight() > 0)
        };
        let idle = self.jobs.is_empty() && self.index.is_idle();
        !self.hung.is_empty() && idle && !disks.any(|(slot, disk)| answers(slot, disk))
    }

    /// Time is short while something goes on, and longer while all wait for time itself.
    fn passing_ms(&self, context: &mut Context, source: Source) -> u64 {
        match source {
            Source::Tick if self.waits_for_hung() => context.rng.below(LEAP_MS_MAX),
            Source::Tick => context.rng.below(12),
            _ => context.rng.below(2),
        }
    }

    fn take_disk(&mut self, context: &mut Context, slot: usize) -> Run<()> {
        let mut done = Vec::new();
        if let Some(Some(disk)) = self.disks.get_mut(slot) {
            disk.poll(&mut done);
        }
        let dead = !self.power.is_on();
        // A process dies with its machine, sometimes a moment after its last completion.
        if dead && context.rng.permille(500) {
            return Ok(());
        }
        let slot = DiskSlot(u16::try_from(slot).unwrap_or(u16::MAX));
        for done in done {
            if matches!(done.result, Err(DiskError::PowerLost)) {
                continue;
            }
            self.step(context, Event::Disk { slot, done })?;
        }
        Ok(())
    }

    fn take_refused(&mut self, context: &mut Context) -> Run<()> {
        let Some((slot, id)) = self.refused.pop_front() else {
            return Ok(());
        };
        let done = Done {
            id,
            result: Err(DiskError::Gone),
        };
        self.step(context, Event::Disk { slot, done })
    }

    fn take_job(&mut self, context: &mut Context) -> Run<()> {
        let Some(job) = self.jobs.pop_front() else {
            return Ok(());
        };
        let mut done = job.run(&AwsLc);
        if context.plant == Some(Plant::WrongBytes)
            && let JobDone::Opened { buffer, .. } = &mut done
            && let Some(byte) = buffer.get_mut(300)
        {
            *byte ^= 1;
        }
        self.step(context, Event::Job(done))
    }

    fn take_index(&mut self, context: &mut Context) -> Run<()> {
        let told = self.index.step(&mut context.rng);
        let Some(reply) = told.filter(|_| self.power.is_on()) else {
            return Ok(());
        };
        if let IndexReply::Failed { query, error } = &reply {
            context.say(format_args!("index failed: {query:?} {error}"));
        }
        self.step(context, Event::Index(reply))
    }

    fn step(&mut self, context: &mut Context, event: Event) -> Run<()> {
        context.trace.event(&event);
        context.report.steps += 1;
        let may_wait = !matches!(event, Event::Tick | Event::Stop);
        self.engine.receive(now(&self.clock), event);
        if may_wait && context.rng.permille(MORE_EVENTS_PERMILLE) {
            // As in a driver that finds several at once: the engine goes on after another one.
            return Ok(());
        }
        let mut actions = Vec::new();
        self.engine.go_on(&mut actions);
        self.act(context, actions)?;
        context.check_clock(self.engine.compliance().get())?;
        Ok(())
    }

    /// Does what the engine wants done.
    fn act(&mut self, context: &mut Context, actions: Vec<Action>) -> Run<()> {
        let dead = !self.power.is_on();
        for action in actions {
            context.trace.action(&action);
            match action {
                Action::Reply { id, result } => self.answer(context, id, result)?,
                _ if dead => {}
                Action::Disk { slot, id, op } => match self.disks.get_mut(usize::from(slot.0)) {
                    Some(Some(disk)) => disk.submit(id, op),
                    _ => self.refused.push_back((slot, id)),
                },
                Action::Job(job) => self.jobs.push_back(job),
                Action::Index(request) => self.index.ask(request),
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        context: &mut Context,
        id: RequestId,
        result: Result<Answer, Refusal>,
    ) -> Run<()> {
        context.report.answers += 1;
        self.quiet_turns = 0;
        self.quiet_since_ms = self.clock.monotonic_ms();
        if !self.open.remove(&id) {
            return Err(Violation::Answer {
                deed: format!("question {}", id.0),
                expected: "one answer".to_owned(),
                got: "another".to_owned(),
            }
            .into());
        }
        self.replies.push_back((id, result));
        Ok(())
    }

    /// Open questions must be answered some time.
    fn watch(&mut self) -> Run<()> {
        if self.open.is_empty() && !self.stopping {
            self.quiet_turns = 0;
            self.quiet_since_ms = self.clock.monotonic_ms();
            return Ok(());
        }
        self.quiet_turns += 1;
        let quiet_ms = self
            .clock
            .monotonic_ms()
            .saturating_sub(self.quiet_since_ms);
        if self.quiet_turns > STUCK_TURN_COUNT || quiet_ms > STUCK_MS {
            let what = format!(
                "oldest {:?}, stopping {}, engine idle {}",
                self.open.first(),
                self.stopping,
                self.engine.is_idle()
            );
            return Err(Violation::Stuck {
                waiting: self.open.len(),
                what,
            }
            .into());
        }
        Ok(())
    }

    /// Asks with nothing else going on, and waits.
    ///
    /// # Errors
    /// The power was cut, or a promise was broken.
    pub fn ask(&mut self, context: &mut Context, command: Command) -> Run<Result<Answer, Refusal>> {
        let id = self.submit(context, Who::default(), command)?;
        loop {
            while let Some((answered, result)) = self.reply() {
                if answered == id {
                    return Ok(result);
                }
            }
            self.turn(context)?;
        }
    }

    /// After a clean stop: where the log ended is kept in the key state.
    ///
    /// # Errors
    /// The power was cut.
    pub fn keep_head(&mut self) -> Run<()> {
        // What a disk refuses is kept at the next start.
        drop(self.engine.keep_head(&mut self.disks));
        if self.power.is_on() {
            Ok(())
        } else {
            Err(Halt::PowerCut)
        }
    }

    /// Goes on until the clean stop is complete.
    ///
    /// # Errors
    /// The power was cut, or a promise was broken, for example to stop at all.
    pub fn run_down(&mut self, context: &mut Context) -> Run<()> {
        while !self.engine.is_stopped() {
            self.turn(context)?;
        }
        Ok(())
    }
}
