//! The same trace with a fault of a disk at work: it strikes at one event, and after some of those that follow
//! copies die and start again. The engine cannot be copied as it runs, so the trace is run anew for each strike.

use stele_device::clock::Clock;

use super::{DISKS, Enumerated, Extent, Fault, Started, quiet, violation};
use crate::context::Context;
use crate::driver::Machine;
use crate::error::{Halt, Violation};
use crate::life::{Ending, Life};
use crate::limits::STRUCK_EVENT_COUNTS;
use crate::run::{Settings, caught};
use crate::swarm::{Extras, Swarm};

/// Where a fault strikes.
#[derive(Debug, Clone, Copy)]
struct Strike {
    event: u64,
    fault: Fault,
    disk: usize,
}

/// Strikes every event of the extent with each fault of a disk at work that is asked for.
pub(super) fn strike(seed: u64, extent: &Extent, settings: &Settings, found: &mut Enumerated) {
    let events = (0..found.events).filter(|event| extent.contains(*event));
    for event in events {
        for fault in <Fault as clap::ValueEnum>::value_variants() {
            if !fault.is_of_a_disk_at_work() || !extent.strikes(*fault, event) {
                continue;
            }
            for disk in 0..usize::from(DISKS) {
                let fault = *fault;
                let strike = Strike { event, fault, disk };
                if let Err(violation) = one(seed, extent, settings, strike, found) {
                    found.failures.push((event, fault, violation));
                }
            }
        }
    }
}

fn one(
    seed: u64,
    extent: &Extent,
    settings: &Settings,
    strike: Strike,
    found: &mut Enumerated,
) -> Result<(), Violation> {
    let mut context = Context::new(seed, settings);
    context.begin_life(0);
    let mut steps_left = u64::MAX;
    let swarm = Swarm {
        victims: vec![u16::try_from(strike.disk).unwrap_or(0)],
        ..quiet(Swarm::draw(&mut context.rng, Extras::default()))
    };
    let mut life = Life::of(&mut context, &mut steps_left, swarm);
    let crashes = caught(|| life.struck(seed, extent.operations, strike, found));
    if crashes.is_err() {
        life.save();
    }
    found.count(strike.fault, crashes?);
    Ok(())
}

impl Life<'_> {
    /// Runs the trace up to the strike and some events behind it; returns how many copies died.
    fn struck(
        &mut self,
        seed: u64,
        operations: u64,
        strike: Strike,
        found: &mut Enumerated,
    ) -> Result<u64, Violation> {
        self.try_create()
            .map_err(|error| Violation::Create { error })?;
        let Started::Up(machine) = self.restart(None)? else {
            return Ok(0);
        };
        let mut machine = *machine;
        let (mut begun, mut crashes) = (0, 0);
        let last = STRUCK_EVENT_COUNTS.iter().max().copied().unwrap_or(0);
        for event in 0..=strike.event.saturating_add(last) {
            if !self.event(&mut machine, operations, &mut begun)? {
                // The server starts its engine again by itself.
                self.hardware.kill(machine);
                self.oracle.crashes(self.context);
                machine = self.start_and_compare()?;
            }
            if event == strike.event {
                self.strike(strike);
            }
            let behind = event.checked_sub(strike.event);
            if behind.is_some_and(|behind| STRUCK_EVENT_COUNTS.contains(&behind)) {
                let own = crate::rng::mix(seed ^ crate::rng::mix(event << 4 | strike.disk as u64));
                self.fork(own, &mut found.report, |copy, _| copy.die_at_work(strike))?;
                crashes += 1;
            }
        }
        Ok(crashes)
    }

    /// One event of a trace; false where the engine is to be started again.
    fn event(
        &mut self,
        machine: &mut Machine,
        operations: u64,
        begun: &mut u64,
    ) -> Result<bool, Violation> {
        let room = *begun < operations && self.workload.len() < self.swarm.concurrency;
        if room && self.context.rng.permille(self.swarm.pressure) {
            *begun += 1;
            self.workload
                .begin(machine, self.context, &mut self.oracle, &self.swarm)
                .map_err(violation)?;
        }
        self.hardware.wake(self.context.clock.monotonic_ms());
        machine.set_hung(self.hardware.hung());
        machine.set_crawling(self.hardware.crawling());
        machine.turn(self.context).map_err(violation)?;
        self.hear(machine).map_err(violation)?;
        self.next_request = machine.next_request();
        match self.start_again_if_due(machine) {
            Ok(()) => Ok(true),
            Err(Halt::Restart) => Ok(false),
            Err(halt) => Err(violation(halt)),
        }
    }

    fn strike(&mut self, Strike { fault, disk, .. }: Strike) {
        self.context
            .say(format_args!("strike: {fault}, disk {disk}"));
        let now_ms = self.context.clock.monotonic_ms();
        self.hardware.strike(self.context, disk, fault, now_ms);
        self.context.index_at_risk |= self.hardware.is_index_at_risk();
    }

    /// The power fails some time after a fault struck. What starts then is compared, twice.
    fn die_at_work(&mut self, Strike { fault, disk, .. }: Strike) -> Result<(), Violation> {
        self.oracle.crashes(self.context);
        self.context
            .say(format_args!("crash after: {fault}, disk {disk}"));
        self.context.report.cuts += 1;
        self.context.index_at_risk = self.hardware.is_index_at_risk();
        self.hardware.cut(self.context);
        self.hardware.settle();
        for _ in 0..2 {
            let machine = self.start_as_the_server()?;
            self.part_with(machine, Ending::Kill);
        }
        Ok(())
    }

    /// As the server does: where the index turns out to be lost it is made anew.
    fn start_as_the_server(&mut self) -> Result<Machine, Violation> {
        for _ in 0..2 {
            let Started::Up(mut machine) = self.restart(None)? else {
                break;
            };
            match self.compare(&mut machine, true) {
                Ok(()) => {
                    self.check_alarms(&machine)?;
                    return Ok(*machine);
                }
                Err(Halt::Restart) => {
                    self.hardware.kill(*machine);
                    self.oracle.crashes(self.context);
                    self.new_index = true;
                }
                Err(halt) => return Err(violation(halt)),
            }
        }
        Err(Violation::Open {
            error: "its index is lost again and again".to_owned(),
        })
    }
}
