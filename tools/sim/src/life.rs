//! One pool from its creation to its end: sessions of work, each ended by a power cut, a kill or a
//! clean stop, each begun by a start that the oracle checks to the last byte.

mod drains;
pub mod enumeration;
mod people;
mod reunion;
mod starts;
mod told;

use std::sync::Arc;

use stele_device::clock::Clock;
use stele_device::disk::Disk;
use stele_device::sim::entropy::SimEntropy;
use stele_device::sim::keyprovider::SimKeys;
use stele_store::engine::{Engine, World};
use stele_store::keys::chunk::AwsLc;
use stele_store::pool::MemberState;
use stele_store::receipts::LogSigner;
use stele_store::recovery::{CreateParams, OpenOptions, create, open};
use stele_store::status::Alarm;

use crate::context::Context;
use crate::driver::{Machine, now};
use crate::error::{Halt, Run, Violation};
use crate::hardware::Hardware;
use crate::inspection;
use crate::limits::{
    DAY_MS, FULL_CHECK_INTERVAL, INDEX_BYTES, INDEX_CACHE_BYTES, KEYSTATE_BYTES,
    LIFE_CONTENT_BYTES_MAX, LIFE_RECOVERY_COUNT_MAX, LIFE_VERSION_COUNT_MAX, LOG_SEED, READ_SHARE,
};
use crate::oracle::receipts::Receipts;
use crate::oracle::reconcile::Circumstances;
use crate::oracle::{Oracle, survey};
use crate::plant::Plant;
use crate::swarm::{Budget, Extras, Swarm};
use crate::workload::Workload;
use crate::workload::office::Office;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// In order.
    Stop,
    /// The process was killed, the power stayed on.
    Kill,
    /// The power failed.
    Cut,
}

/// A pool and all around it.
pub struct Life<'a> {
    context: &'a mut Context,
    swarm: Swarm,
    hardware: Hardware,
    oracle: Oracle,
    workload: Workload,
    key_seed: u64,
    next_request: u64,
    recoveries: u64,
    /// Disks that were put out in this session, and the frames acknowledged when that was seen.
    left_out: Option<(Vec<u16>, u64)>,
    /// Turns in which people have waited for time to pass.
    waited: u64,
    /// Everything was read again before this session ended.
    scrubbed: bool,
    /// The server starts itself again: nobody pulls a disk meanwhile.
    again: bool,
    /// The index was lost: the next start makes it anew, as the server does.
    new_index: bool,
    /// The next start makes the index anew although it was not lost, as one does that cuts keys.
    anew: bool,
    /// The last start: every version is read to its last byte.
    ending: bool,
    /// Events of work left for the whole run.
    steps_left: &'a mut u64,
}

impl<'a> Life<'a> {
    /// A pool of the seed's choice, not yet made.
    pub fn new(context: &'a mut Context, steps_left: &'a mut u64, extras: Extras) -> Self {
        let mut swarm = Swarm::draw(&mut context.rng, extras);
        if context.plant == Some(Plant::LyingFlush) {
            // With two disks that lie, three must have none that tells the truth twice.
            swarm = Swarm {
                budget: Budget::Crashes,
                victims: Vec::new(),
                disks: 3,
                ..swarm
            };
        }
        Self::of(context, steps_left, swarm)
    }

    /// A pool of this character, not yet made.
    fn of(context: &'a mut Context, steps_left: &'a mut u64, swarm: Swarm) -> Self {
        context.report.pools += 1;
        context.say(format_args!("pool: {swarm:?}"));
        let hardware = Hardware::new(context, &swarm);
        let lenient = swarm.budget.is_lenient();
        let must_serve = hardware.must_serve(&swarm);
        let key_seed = context.rng.next();
        let mut oracle = Oracle::new(lenient, must_serve);
        let mut workload = Workload::default();
        if swarm.people {
            oracle.book.open = true;
            workload.office = Office::new(key_seed);
        }
        Self {
            context,
            swarm,
            hardware,
            oracle,
            workload,
            key_seed,
            next_request: 1,
            recoveries: 0,
            left_out: None,
            waited: 0,
            scrubbed: false,
            again: false,
            new_index: false,
            anew: false,
            ending: false,
            steps_left,
        }
    }

    /// Lives it.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn live(mut self) -> Result<(), Violation> {
        let lived = self.lives();
        if lived.is_err() {
            self.save();
        }
        lived
    }

    /// Writes the disks of a failing run, if that was asked for.
    fn save(&self) {
        if let Some(directory) = &self.context.images
            && let Err(error) = self.hardware.save(directory)
        {
            eprintln!("the disks could not be written: {error}");
        }
    }

    fn lives(&mut self) -> Result<(), Violation> {
        self.create()?;
        let mut crashed = false;
        while !self.is_over() {
            let Some(machine) = self.start(crashed)? else {
                return Ok(());
            };
            let ending = self.session(machine, crashed)?;
            crashed = ending != Ending::Stop;
        }
        self.finish_destructions(&mut crashed)?;
        self.reunite(&mut crashed)?;
        self.end(crashed)
    }

    fn is_over(&self) -> bool {
        *self.steps_left == 0
            || self.oracle.is_full()
            || self.recoveries >= LIFE_RECOVERY_COUNT_MAX
            || self.oracle.model.version_count() >= LIFE_VERSION_COUNT_MAX
            || self.workload.content_bytes() >= LIFE_CONTENT_BYTES_MAX
    }

    fn world(&mut self) -> World {
        World {
            entropy: Box::new(SimEntropy::new(self.context.rng.next())),
            keys: Box::new(SimKeys::new(self.key_seed)),
            aead: Arc::new(AwsLc),
        }
    }

    /// Makes the pool. A creation that the power cuts short may leave nothing that opens as a pool
    /// half made; then the disks are made blank and it begins again.
    fn create(&mut self) -> Result<(), Violation> {
        if self.context.rng.permille(100) {
            self.cut_within(200);
        }
        let made = self.try_create();
        let cut = !self.hardware.power().is_on();
        self.hardware.power().restore();
        match made {
            Ok(()) => Ok(()),
            Err(_) if cut => {
                self.hardware.cut(self.context);
                self.context.report.fault("power cut while a pool is made");
                self.context
                    .say(format_args!("power cut while the pool is made"));
                // It must open as nothing or as a whole.
                let opened = self.open();
                self.context
                    .say(format_args!("then it opens: {}", opened.is_ok()));
                drop(opened);
                self.hardware = Hardware::new(self.context, &self.swarm);
                self.try_create()
                    .map_err(|error| Violation::Create { error })
            }
            Err(error) => Err(Violation::Create { error }),
        }
    }

    fn params(&self) -> CreateParams {
        CreateParams {
            unit_bytes: self.swarm.unit_bytes,
            segment_units: self.swarm.segment_units,
            keystate_bytes: KEYSTATE_BYTES,
            index_bytes: INDEX_BYTES,
            simulated_clock: true,
        }
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            cache_bytes: INDEX_CACHE_BYTES,
            snapshot_rows: self.swarm.snapshot_rows,
            snapshot_segments: self.swarm.snapshot_rows as u64 / 8,
            new_bucket: self.swarm.new_bucket,
            heal: self.swarm.heal_plan(),
            ahead_bytes: self.swarm.ahead_bytes,
            new_index: self.new_index || self.anew,
            mirror_copying: self.swarm.mirror_copying(),
            ..OpenOptions::default()
        }
    }

    fn try_create(&mut self) -> Result<(), String> {
        let disks: Vec<Box<dyn Disk>> = self.hardware.open().0.into_iter().flatten().collect();
        let params = self.params();
        let mut world = self.world();
        let now = now(&self.context.clock);
        create(disks, &params, &mut world, now)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn open(&mut self) -> Result<Machine, String> {
        let world = self.world();
        let options = self.options();
        let mut areas = self.hardware.areas();
        let clock = self.context.clock.clone();
        let (disks, pulse) = self.hardware.open();
        let mut opened = open(disks, &mut *areas, world, &options, now(&clock))
            .map_err(|error| error.to_string())?;
        self.sign(&mut opened.engine)?;
        let report = &opened.report;
        self.context.say(format_args!("opened: {report:?}"));
        if report.index_rebuilt {
            self.hardware.index_made_anew();
        }
        let power = self.hardware.power().clone();
        let mut machine = Machine::new(opened, (power, pulse), clock, self.next_request);
        machine.set_slow(self.swarm.slow);
        Ok(machine)
    }

    /// The engine gives receipts.
    fn sign(&mut self, engine: &mut Engine) -> Result<(), String> {
        let signer = LogSigner::new(engine.status().pool, &LOG_SEED);
        let signer = Arc::new(signer.map_err(|error| error.to_string())?);
        // One that a cut ended while it was made is made again, as another pool.
        let of_it = |known: &Receipts| known.key() == signer.key();
        if !self.oracle.receipts.as_ref().is_some_and(of_it) {
            self.oracle.receipts = Some(Receipts::of(*signer.key()));
        }
        engine.sign_with(vec![signer]);
        Ok(())
    }

    /// The machine is off for a while, and the victims suffer.
    fn rest(&mut self) -> Result<(), Violation> {
        let off_ms = match self.context.rng.below(6) {
            // Time that is not counted suspends destruction until somebody sets the clock.
            0 if self.swarm.people && !self.context.rng.permille(100) => 60_000,
            0 => self.context.rng.magnitude(3 * DAY_MS),
            _ => self.context.rng.magnitude(60_000),
        };
        self.context.reboot(off_ms);
        self.check_keys()?;
        self.change_victims();
        let again = std::mem::take(&mut self.again);
        self.hardware.hurt_at_rest(self.context, &self.swarm, again);
        Ok(())
    }

    /// A start that is up: checks everything, works, and ends somehow.
    fn session(&mut self, machine: Machine, crashed: bool) -> Result<Ending, Violation> {
        let mut machine = machine;
        let ended = self
            .check(&mut machine, crashed)
            .and_then(|()| self.work(&mut machine));
        self.next_request = machine.next_request();
        let ending = match ended {
            Ok(ending) => ending,
            Err(Halt::PowerCut) => Ending::Cut,
            Err(Halt::Restart) => Ending::Kill,
            Err(Halt::Violation(violation)) => {
                let status = machine.engine().status();
                self.context.say(format_args!("status: {status:?}"));
                return Err(*violation);
            }
        };
        let heard = self
            .workload
            .hear_last(&mut machine, self.context, &mut self.oracle);
        if let Err(Halt::Violation(violation)) = heard {
            return Err(*violation);
        }
        self.check_alarms(&machine)?;
        self.context.say(format_args!("session ends: {ending:?}"));
        self.note_health(&machine);
        // One that takes no writes leaves copies as they were.
        let settled = machine.engine().status().takes_writes();
        self.part_with(machine, ending);
        if std::mem::take(&mut self.scrubbed) && ending == Ending::Stop {
            inspection::check(self.context, &self.hardware, "after scrubbing", settled)?;
        } else if ending == Ending::Stop {
            self.inspect("after a clean stop", settled)?;
        }
        Ok(ending)
    }

    /// Every unit is free or held by something. Where nothing is written nobody counts.
    fn check_units(machine: &Machine, settled: bool) -> Result<(), Violation> {
        let writes = machine.engine().status().takes_writes();
        match machine.engine().misplaced_unit(settled).filter(|_| writes) {
            None => Ok(()),
            Some((number, unit, marked)) => Err(Violation::Units {
                number,
                unit,
                marked,
            }),
        }
    }

    fn check_alarms(&self, machine: &Machine) -> Result<(), Violation> {
        Self::check_units(machine, false)?;
        let status = machine.engine().status();
        let contradiction = status.alarms.iter().find_map(|alarm| match alarm {
            Alarm::IndexContradiction { what } => Some(what.clone()),
            _ => None,
        });
        let accused = status.disks.iter().find(|disk| disk.forgotten_frames > 0);
        match (contradiction, accused) {
            (Some(what), _) if !self.oracle.is_lenient() => Err(Violation::Index { what }),
            (_, Some(disk)) if !self.hardware.was_ever_hurt() => Err(Violation::Accused {
                number: disk.number,
            }),
            _ => Ok(()),
        }
    }

    fn part_with(&mut self, machine: Machine, ending: Ending) {
        let engine = machine.engine();
        self.again =
            ending == Ending::Kill && (engine.is_move_wanted() || machine.is_reading_due());
        if ending == Ending::Kill && engine.is_reading_wanted() {
            self.context.report.fault("(started again to read)");
        }
        self.new_index = ending == Ending::Kill && machine.engine().is_index_lost();
        match ending {
            Ending::Stop => {
                self.context.report.stops += 1;
                self.oracle.ended();
                drop(machine);
                self.hardware.power().restore();
            }
            Ending::Kill => {
                self.context.report.kills += 1;
                self.oracle.crashes(self.context);
                self.hardware.kill(machine);
            }
            Ending::Cut => {
                self.context.report.cuts += 1;
                self.oracle.crashes(self.context);
                self.hardware.cut(self.context);
                drop(machine);
            }
        }
        self.context.stranded = false;
        // What is wrong with the disks stays so when the server starts itself again.
        match self.again {
            true => self.hardware.wake(u64::MAX),
            false => self.hardware.settle(),
        }
    }

    /// After a start: settles what the crash left open, then compares every byte.
    fn check(&mut self, machine: &mut Machine, crashed: bool) -> Run<()> {
        if self.context.plant == Some(Plant::PhantomVersion) {
            self.oracle.plant_phantom();
        }
        if self.context.rng.permille(80) {
            self.cut_within(1000);
        }
        Self::check_units(machine, true)?;
        self.compare(machine, crashed)
    }

    /// Everything the vault shows against everything it has acknowledged.
    fn compare(&mut self, machine: &mut Machine, crashed: bool) -> Run<()> {
        self.context.damaged = 0;
        self.context.index_at_risk = self.hardware.is_index_at_risk();
        let survey = survey::take(machine, self.context, &self.oracle)?;
        let circumstances = Circumstances {
            read_only: machine.engine().status().read_only.is_some(),
            forgetful: self.hardware.is_forgetful(),
            comes_back: self.swarm.subsets && !self.hardware.is_lacking(),
        };
        self.oracle
            .reconcile(self.context, &survey, circumstances)?;
        let share = if self.ending || self.recoveries.is_multiple_of(FULL_CHECK_INTERVAL) {
            1
        } else {
            READ_SHARE
        };
        survey::read_all(machine, self.context, &self.oracle, &survey, share)?;
        self.check_carried_out(machine)?;
        if self.context.damaged > 0 && self.hardware.can_be_judged() {
            inspection::check_refusals(self.context, &self.hardware, self.context.damaged)?;
        }
        self.inspect("while running", false)?;
        if crashed {
            self.recoveries += 1;
            if self.oracle.is_lenient() {
                self.context.report.beyond += 1;
            } else {
                self.context.report.recoveries += 1;
            }
        }
        Ok(())
    }

    /// Work until the seed or the power ends it.
    fn work(&mut self, machine: &mut Machine) -> Run<Ending> {
        self.workload = Workload::after(&self.workload);
        self.hardware.hurt_at_work(self.context, &self.swarm);
        self.context.index_at_risk |= self.hardware.is_index_at_risk();
        self.hardware
            .begin_work(machine.engine().compliance().get());
        self.left_out = None;
        if self.context.rng.permille(700) {
            self.cut_within(2 * self.swarm.session_turns);
        }
        let turns = self.context.rng.magnitude(self.swarm.session_turns);
        for _ in 0..turns.min(*self.steps_left) {
            *self.steps_left -= 1;
            self.context.report.work += 1;
            self.turn(machine)?;
            // The server starts itself again then.
            if machine.engine().is_cut_wanted() && self.context.rng.permille(20) {
                break;
            }
        }
        if self.swarm.budget == Budget::OneDisk
            && self.swarm.scrub_ms.is_some()
            && self.hardware.wants_scrub()
            && self.context.rng.permille(500)
            && self.scrub(machine)?
        {
            self.stop(machine)?;
            self.scrubbed = true;
            return Ok(Ending::Stop);
        }
        if machine.engine().status().heal.drain.is_some() && self.context.rng.permille(700) {
            self.see_drained(machine)?;
        }
        let ending = self.context.rng.below(1000);
        if ending < self.swarm.stops {
            self.stop(machine)?;
            Ok(Ending::Stop)
        } else if ending < self.swarm.stops + self.swarm.kills {
            Ok(Ending::Kill)
        } else {
            Ok(Ending::Cut)
        }
    }

    fn turn(&mut self, machine: &mut Machine) -> Run<()> {
        if self.swarm.people {
            self.let_people_work(machine)?;
        }
        if self.workload.len() < self.swarm.concurrency
            && self.workload.office.rests().is_none()
            && self.context.rng.permille(self.swarm.pressure)
        {
            let Self {
                workload,
                oracle,
                swarm,
                ..
            } = self;
            self.context
                .chance(|context| workload.begin(machine, context, oracle, swarm))
                .unwrap_or(Ok(()))?;
        }
        if self.context.rng.permille(5) {
            let now_ms = self.context.clock.monotonic_ms();
            self.hardware.hurt_now(self.context, &self.swarm, now_ms);
        }
        self.hardware
            .fail_flushes_before_a_cut(self.context, &self.swarm);
        self.hardware.wake(self.context.clock.monotonic_ms());
        machine.set_hung(self.hardware.hung());
        machine.set_crawling(self.hardware.crawling());
        self.look_at_members(machine)?;
        if self.swarm.wall_jumps && self.context.rng.permille(10) {
            self.jump_wall();
        }
        let turned = machine.turn(self.context);
        if turned == Err(Halt::PowerCut) {
            return turned;
        }
        self.hear(machine)?;
        turned?;
        self.start_again_if_due(machine)
    }

    /// The server starts itself again where a start moves the journal, or reads what came back, once no person waits
    /// for an answer.
    fn start_again_if_due(&self, machine: &Machine) -> Run<()> {
        let reads = machine.is_reading_due() && !self.workload.office.waits();
        match machine.engine().is_move_wanted() || reads {
            true => Err(Halt::Restart),
            false => Ok(()),
        }
    }

    /// Takes the answers there are.
    fn hear(&mut self, machine: &mut Machine) -> Run<()> {
        let hurt = self.hardware.is_hurt_now() || self.hardware.is_planned();
        self.context.stranded = hurt && machine.engine().is_journal_stranded();
        self.workload
            .hear(machine, self.context, &mut self.oracle, &self.swarm)
    }

    /// Lets the power fail within so many steps of the disks.
    fn cut_within(&mut self, steps_max: u64) {
        let drawn = self
            .context
            .chance(|context| context.rng.magnitude(steps_max));
        if let Some(steps) = drawn {
            self.hardware.power().cut_after(steps);
        }
    }

    /// Disks join, and those that fell out are noticed.
    fn look_at_members(&mut self, machine: &mut Machine) -> Run<()> {
        let joins = self.swarm.joins;
        if joins > 0 {
            let Self {
                hardware, swarm, ..
            } = self;
            self.context
                .chance(|context| match context.rng.permille(joins) {
                    true => hardware.join(context, machine, swarm),
                    false => Ok(()),
                })
                .unwrap_or(Ok(()))?;
        }
        let looks = self.hardware.is_hurt_now() || self.hardware.is_filling();
        if !looks || !self.context.rng.permille(300) {
            return Ok(());
        }
        let status = machine.engine().status();
        self.hardware.note_filled(self.context, machine, &status);
        if status.read_only.is_none() {
            let out: Vec<u16> = status
                .disks
                .iter()
                .filter(|disk| disk.state == MemberState::Expelled)
                .map(|disk| disk.number)
                .collect();
            let acknowledged = status.counters.frames;
            match &self.left_out {
                // What was acknowledged since was so under a label that leaves them out.
                Some((before, then)) if *before == out && acknowledged > *then => {
                    out.iter()
                        .for_each(|number| self.hardware.left_behind(*number));
                }
                Some((before, _)) if *before == out => {}
                _ => self.left_out = Some((out, acknowledged)),
            }
        }
        Ok(())
    }

    /// What the engine knows at the end of a session of the disks that were hurt.
    fn note_health(&mut self, machine: &Machine) {
        let status = machine.engine().status();
        // Beyond the budget a walk may have had nothing to go by.
        if self.swarm.budget == Budget::OneDisk {
            self.hardware.note_scrubbed(self.context, &status);
        }
        self.hardware.forget_fillings(self.context, &status);
    }

    fn jump_wall(&mut self) {
        let far = self.context.rng.magnitude(40 * DAY_MS);
        let true_ms = self.context.true_ms();
        let wall = match self.context.rng.below(3) {
            0 => true_ms,
            1 => true_ms.saturating_sub(far),
            _ => true_ms + far,
        };
        self.context.report.fault("wall clock set");
        self.context.clock.jump_wall(wall);
    }

    /// A clean stop: what is under way is finished or refused.
    fn stop(&mut self, machine: &mut Machine) -> Run<()> {
        self.oracle.stops();
        machine.stop(self.context)?;
        while !machine.engine().is_stopped() {
            let turned = machine.turn(self.context);
            if turned == Err(Halt::PowerCut) {
                return turned;
            }
            self.hear(machine)?;
            turned?;
        }
        machine.keep_head()
    }

    fn inspect(&mut self, when: &'static str, stopped: bool) -> Result<(), Violation> {
        if self.context.rng.permille(self.context.inspect_permille) {
            inspection::check(self.context, &self.hardware, when, stopped)?;
        }
        Ok(())
    }

    /// The end: one more start, everything compared, a clean stop, the last inspection.
    fn end(&mut self, crashed: bool) -> Result<(), Violation> {
        self.ending = true;
        let Some(mut machine) = self.start(crashed)? else {
            return Ok(());
        };
        self.hardware.calm();
        let mut ended = self.check(&mut machine, crashed);
        self.hardware.power().restore();
        if ended == Err(Halt::PowerCut) {
            self.oracle.crashes(self.context);
            self.hardware.cut(self.context);
            self.hardware.settle();
            drop(machine);
            self.swarm.cuts_at_start = 0;
            return self.end_again();
        }
        if ended.is_ok() {
            ended = self.see_it_told(&mut machine);
        }
        if ended.is_ok() {
            ended = self.stop(&mut machine);
        }
        if let Err(Halt::Violation(violation)) = ended {
            return Err(*violation);
        }
        self.check_alarms(&machine)?;
        let settled = machine.engine().status().takes_writes();
        self.part_with(machine, Ending::Stop);
        self.context.say(format_args!("the end"));
        inspection::check(self.context, &self.hardware, "at the end", settled)?;
        self.check_keys()?;
        self.audit()?;
        if let Some(receipts) = self
            .oracle
            .receipts
            .as_ref()
            .filter(|_| !self.oracle.is_lenient())
        {
            inspection::check_receipts(self.context, &self.hardware, receipts)?;
        }
        inspection::find_rot(self.context, &self.hardware)
    }

    /// The power failed in the last check: once more.
    fn end_again(&mut self) -> Result<(), Violation> {
        self.context.report.cuts += 1;
        self.end(true)
    }
}
