//! One trace, crashed at every event of it, with every single fault of a list.
//!
//! Where the other runs draw, this one counts through: the trace of one seed goes on undisturbed, and after
//! each of its events copies of the machine die there, one for each fault, start again and are compared with
//! what was acknowledged up to that event. A start is also interrupted at each step that may change a disk,
//! and the start after that once more.

use std::collections::VecDeque;
use std::fmt;

use stele_device::sim::fault::Loss;

use super::Life;
use crate::context::Context;
use crate::driver::Machine;
use crate::error::{Halt, Violation};
use crate::hardware::Condition;
use crate::limits::{LAGGING_EVENT_COUNT, TRACE_EVENT_COUNT_MAX};
use crate::report::Report;
use crate::rng::mix;
use crate::run::{Settings, caught};
use crate::swarm::{Budget, Extras, Rates, Swarm};
use crate::workload::Workload;

mod running;

/// Disks of the pool that is traced.
const DISKS: u16 = 3;

/// What goes wrong besides the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Nothing; the seed says what of the unflushed is left.
    None,
    /// Nothing of the unflushed is left.
    AllLost,
    /// All of the unflushed is left.
    NothingLost,
    /// The last write of each disk is torn, everything before it is left.
    LastTorn,
    /// A disk is not there at the next start, and back at the one after it.
    Missing,
    /// A bit of a used block is flipped on a disk.
    Rot,
    /// One of the youngest frames of the journal is rotten on a disk.
    RotAtHead,
    /// Written blocks of a disk read as zeros.
    Hole,
    /// A disk is as it was some events ago.
    Lagging,
    /// A disk is as it was before the vault was started.
    RolledBack,
    /// A disk is blank.
    Blank,
    /// A disk says at the next start that it is shorter than it was, and has its length back at the one after it.
    Short,
    /// All of a segment's place on a disk is garbage, header and seal with it.
    SegmentRot,
    /// The wall clock is set forward or back, as far as a month.
    WallClock,
    /// The next start is interrupted, at each step that may change a disk.
    CutAgain,
    /// The start after an interrupted one is interrupted too, at each such step.
    CutTwice,
    /// A disk and the next one are at each other's place.
    Swapped,
    /// A disk of another vault is plugged in beside at one start.
    Foreign,
    /// A write of a disk at work fails, and all of it, a part, or nothing happens.
    FailedWrite,
    /// A flush fails, and all of what it was for, a part, or nothing is durable.
    FailedFlush,
    /// A flush says that it worked, and did nothing.
    LyingFlush,
    /// A write is acknowledged and never happens.
    LostWrite,
    /// A write lands elsewhere.
    StrayWrite,
    /// A read comes from elsewhere.
    StrayRead,
    /// Blocks cannot be read any more.
    Unreadable,
    /// The disk takes no further byte.
    Full,
    /// It is pulled out.
    Pulled,
    /// It answers nothing for a minute.
    Hung,
    /// It takes a thousand times as long as others for a minute.
    Crawling,
}

impl Fault {
    /// Whether it strikes one of the disks: then each of them in turn.
    fn is_of_a_disk(self) -> bool {
        use Fault::{Blank, Hole, Lagging, Missing, RolledBack, Rot, RotAtHead};
        use Fault::{SegmentRot, Short, Swapped};
        matches!(self, Missing | Rot | RotAtHead | Hole | Lagging)
            || matches!(self, RolledBack | Blank | Swapped | Short | SegmentRot)
    }

    /// Whether it strikes while the engine runs, and not with the crash.
    fn is_of_a_disk_at_work(self) -> bool {
        use Fault::{Crawling, FailedFlush, FailedWrite, Full, Hung, LostWrite, LyingFlush};
        use Fault::{Pulled, StrayRead, StrayWrite, Unreadable};
        matches!(self, FailedWrite | FailedFlush | LyingFlush | LostWrite)
            || matches!(self, StrayWrite | StrayRead | Unreadable | Full)
            || matches!(self, Pulled | Hung | Crawling)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What is counted through.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Operations of the trace.
    pub operations: u64,
    /// The first event to crash at.
    pub from: u64,
    /// One past the last.
    pub to: u64,
    /// Of so many shares, this one: every so-manieth event.
    pub share: (u64, u64),
    /// Faults to strike; all if there are none.
    pub only: Vec<Fault>,
    /// Starts are interrupted after every so-manieth event.
    pub cut_again_every: u64,
    /// And those after them, after every so-manieth.
    pub cut_twice_every: u64,
    /// Disks at work are struck after every so-manieth event.
    pub strike_every: u64,
}

impl Extent {
    fn contains(&self, event: u64) -> bool {
        let (share, of) = self.share;
        (self.from..self.to).contains(&event) && event % of == share
    }

    fn strikes(&self, fault: Fault, event: u64) -> bool {
        let (_, of) = self.share;
        let every = match fault {
            Fault::CutAgain => self.cut_again_every,
            Fault::CutTwice => self.cut_twice_every,
            _ if fault.is_of_a_disk_at_work() => self.strike_every,
            _ => 1,
        };
        let asked_for = self.only.is_empty() || self.only.contains(&fault);
        // Counted within a share, so that all shares have the same work; not at its very beginning.
        asked_for && (event / of) % every == every / 2
    }
}

/// What was found in counting through.
#[derive(Debug, Default)]
pub struct Enumerated {
    /// Events of the trace.
    pub events: u64,
    /// Of these, those crashed at.
    pub crashed_at: u64,
    /// Crashes with each fault: one for each disk and each interruption.
    pub crashes: Vec<(Fault, u64)>,
    /// Counts of all copies.
    pub report: Report,
    /// Event, fault, and what was wrong.
    pub failures: Vec<(u64, Fault, Violation)>,
    /// The trace's own digest.
    pub trace: [u8; 32],
}

impl Enumerated {
    fn count(&mut self, fault: Fault, crashes: u64) {
        match self.crashes.iter_mut().find(|(of, _)| *of == fault) {
            Some((_, count)) => *count += crashes,
            None => self.crashes.push((fault, crashes)),
        }
    }
}

impl fmt::Display for Enumerated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crashes = self
            .crashes
            .iter()
            .map(|(fault, count)| format!("{fault} {count}"));
        let crashes: Vec<String> = crashes.collect();
        writeln!(
            f,
            "events {}, crashed at {}: {}",
            self.events,
            self.crashed_at,
            crashes.join(", ")
        )?;
        let report = &self.report;
        write!(
            f,
            "crash recoveries {} (power cuts {}, of them {} during a start); versions read {}, inspections {}; failed {}",
            report.recoveries,
            report.cuts,
            report.cuts_at_start,
            report.versions_read,
            report.inspections,
            self.failures.len()
        )
    }
}

/// Counts through the trace of a seed.
///
/// # Errors
/// A promise broken by the trace itself.
pub fn enumerate(seed: u64, extent: &Extent, settings: &Settings) -> Result<Enumerated, Violation> {
    let mut context = Context::new(seed, settings);
    context.begin_life(0);
    let mut steps_left = u64::MAX;
    let mut found = Enumerated::default();
    let swarm = quiet(Swarm::draw(&mut context.rng, Extras::default()));
    let mut life = Life::of(&mut context, &mut steps_left, swarm);
    caught(|| life.trace(seed, extent, &mut found))?;
    found.trace = context.trace.digest();
    running::strike(seed, extent, settings, &mut found);
    Ok(found)
}

/// The character of a traced pool: nothing goes wrong in it by itself.
fn quiet(drawn: Swarm) -> Swarm {
    Swarm {
        disks: DISKS,
        budget: Budget::OneDisk,
        victims: Vec::new(),
        rates: Rates::default(),
        concurrency: drawn.concurrency.max(2),
        large: drawn.large.min(100),
        long_parts: false,
        wall_jumps: false,
        joins: 0,
        swaps: false,
        foreign: false,
        victims_change: false,
        scrub_ms: None,
        ..drawn
    }
}

/// What a start came to.
enum Started {
    Up(Box<Machine>),
    Cut,
}

impl Life<'_> {
    fn trace(
        &mut self,
        seed: u64,
        extent: &Extent,
        found: &mut Enumerated,
    ) -> Result<(), Violation> {
        self.try_create()
            .map_err(|error| Violation::Create { error })?;
        let before = self.hardware.condition();
        let Started::Up(mut machine) = self.restart(None)? else {
            return Ok(());
        };
        let mut lately = VecDeque::new();
        let mut begun = 0;
        while begun < extent.operations || self.workload.len() > 0 {
            let room = begun < extent.operations && self.workload.len() < self.swarm.concurrency;
            if room && self.context.rng.permille(self.swarm.pressure) {
                begun += 1;
                self.workload
                    .begin(&mut machine, self.context, &mut self.oracle, &self.swarm)
                    .map_err(violation)?;
            }
            machine.turn(self.context).map_err(violation)?;
            self.workload
                .hear(&mut machine, self.context, &mut self.oracle, &self.swarm)
                .map_err(violation)?;
            self.next_request = machine.next_request();
            lately.push_back(self.hardware.condition());
            if lately.len() > LAGGING_EVENT_COUNT {
                lately.pop_front();
            }
            if extent.contains(found.events) {
                let then = lately.front().unwrap_or(&before);
                self.crash_here(seed, extent, (&before, then), found);
            }
            found.events += 1;
            if found.events > TRACE_EVENT_COUNT_MAX {
                break;
            }
        }
        self.stop(&mut machine).map_err(violation)?;
        self.part_with(*machine, super::Ending::Stop);
        crate::inspection::check(self.context, &self.hardware, "at the end", true)
    }

    /// Copies die at this event.
    fn crash_here(
        &self,
        seed: u64,
        extent: &Extent,
        (before, lately): (&Condition, &Condition),
        found: &mut Enumerated,
    ) {
        let event = found.events;
        found.crashed_at += 1;
        for fault in <Fault as clap::ValueEnum>::value_variants() {
            if fault.is_of_a_disk_at_work() || !extent.strikes(*fault, event) {
                continue;
            }
            let disks = if fault.is_of_a_disk() { DISKS } else { 1 };
            let mut crashes = 0;
            for disk in 0..usize::from(disks) {
                let own = mix(seed ^ mix(event << 4 | disk as u64));
                let died = self.fork(own, &mut found.report, |copy, report| {
                    copy.oracle.crashes(copy.context);
                    copy.die(*fault, disk, (before, lately), report)
                });
                match died {
                    Ok(count) => crashes += count,
                    Err(violation) => found.failures.push((event, *fault, violation)),
                }
            }
            found.count(*fault, crashes);
        }
    }

    /// Something happens to a copy of everything; what it counted is added to a report.
    fn fork<T>(
        &self,
        seed: u64,
        report: &mut Report,
        act: impl FnOnce(&mut Life<'_>, &mut Report) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let mut context = self.context.fork(seed);
        let mut steps_left = 0;
        let mut copy = Life {
            context: &mut context,
            swarm: self.swarm.clone(),
            hardware: self.hardware.fork(),
            oracle: self.oracle.clone(),
            workload: Workload::default(),
            key_seed: self.key_seed,
            next_request: self.next_request,
            new_index: false,
            recoveries: 0,
            waited: 0,
            left_out: None,
            scrubbed: false,
            again: false,
            anew: false,
            ending: false,
            steps_left: &mut steps_left,
        };
        let done = caught(|| act(&mut copy, report));
        if done.is_err() {
            copy.save();
        }
        report.add(&context.report);
        done
    }

    /// The power fails, a fault strikes, and what starts then is compared. Returns how many crashes it was.
    fn die(
        &mut self,
        fault: Fault,
        disk: usize,
        (before, lately): (&Condition, &Condition),
        report: &mut Report,
    ) -> Result<u64, Violation> {
        self.context
            .say(format_args!("crash: {fault}, disk {disk}"));
        self.context.report.cuts += 1;
        self.hardware.cut_with(match fault {
            Fault::AllLost => Loss::All,
            Fault::NothingLost => Loss::Nothing,
            Fault::LastTorn => Loss::LastTorn,
            _ => Loss::Seeded,
        });
        let victim = [u16::try_from(disk).unwrap_or(0)];
        match fault {
            Fault::Missing => self.hardware.unplug(disk),
            Fault::Rot => self.hardware.flip(self.context, disk),
            Fault::RotAtHead => self.hardware.rot_at_head(self.context, &victim),
            Fault::Hole => self.hardware.hole(self.context, disk),
            Fault::Lagging => self.hardware.roll_back(disk, lately),
            Fault::RolledBack => self.hardware.roll_back(disk, before),
            Fault::Blank => self.hardware.make_blank(disk),
            Fault::Short => self.hardware.shorten(self.context, disk),
            Fault::SegmentRot => self.hardware.rot_slot(self.context, disk),
            Fault::WallClock => self.jump_wall(),
            Fault::CutAgain => return self.interrupt(1, report),
            Fault::CutTwice => return self.interrupt(2, report),
            Fault::Swapped => self.hardware.swap(disk),
            Fault::Foreign => {
                self.context.reboot(1_000);
                self.meet_foreign()?;
            }
            _ => {}
        }
        let machine = self.start_and_compare()?;
        if matches!(fault, Fault::Missing | Fault::Short) {
            self.hardware.kill(machine);
            self.oracle.crashes(self.context);
            self.hardware.settle();
            self.start_and_compare()?;
        }
        Ok(1)
    }

    /// Copies of what a crash left start, and are interrupted at each step that may change a disk, so many
    /// times in a row.
    fn interrupt(&mut self, times: u32, report: &mut Report) -> Result<u64, Violation> {
        let seed = self.context.rng.next();
        let steps = self.fork(seed, report, |copy, _| {
            copy.hardware.power().note_changes();
            copy.restart(None)?;
            Ok(copy.hardware.power().take_changes())
        })?;
        let mut crashes = 0;
        for step in steps {
            crashes += self.fork(seed, report, |copy, report| {
                match copy.restart(Some(step))? {
                    // Dropping it is the end of that process.
                    Started::Up(machine) => copy.hardware.kill(*machine),
                    Started::Cut => {}
                }
                if times > 1 {
                    return copy.interrupt(times - 1, report);
                }
                copy.start_and_compare()?;
                Ok(1)
            })?;
        }
        Ok(crashes)
    }

    /// Starts, with the power failing after so many steps of the disks.
    fn restart(&mut self, cut_after: Option<u64>) -> Result<Started, Violation> {
        self.context.reboot(1_000);
        if let Some(steps) = cut_after {
            self.hardware.power().cut_after(steps);
        }
        let opened = self.open();
        if !self.hardware.power().is_on() {
            self.context.report.cuts += 1;
            self.context.report.cuts_at_start += 1;
            self.hardware.cut(self.context);
            return Ok(Started::Cut);
        }
        self.hardware.power().restore();
        let machine = opened.map_err(|error| Violation::Open { error })?;
        let status = machine.engine().status();
        self.hardware.check_members(&status)?;
        self.hardware.started(self.context, &status);
        Ok(Started::Up(Box::new(machine)))
    }

    fn start_and_compare(&mut self) -> Result<Machine, Violation> {
        let Started::Up(mut machine) = self.restart(None)? else {
            return Err(Violation::Open {
                error: "the power is off".to_owned(),
            });
        };
        self.compare(&mut machine, true).map_err(violation)?;
        self.check_alarms(&machine)?;
        Ok(*machine)
    }
}

/// Nothing but a broken promise ends a trace or a comparison here.
fn violation(halt: Halt) -> Violation {
    match halt {
        Halt::Violation(violation) => *violation,
        Halt::PowerCut | Halt::Restart => Violation::Open {
            error: format!("{halt:?} where nothing goes wrong"),
        },
    }
}
