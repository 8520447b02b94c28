//! Starts of a vault: through power cuts that strike during them, and beside another pool's disk.

use stele_device::sim::disk::SimDiskHandle;
use stele_store::recovery::{OpenError, create, open};
use stele_store::request::ReadOnlyReason;
use stele_store::status::Status;

use super::Life;
use crate::driver::{Machine, now};
use crate::error::Violation;
use crate::hardware::{check_known, check_majority};
use crate::limits::{CUT_START_COUNT_MAX, DISK_BYTES};
use crate::swarm::Budget;

/// What the labels of the disks say, in pools where any subset of them may be here.
struct Labels {
    /// Members that are here, of how many.
    picture: Option<(usize, usize)>,
    /// Disks that lack something, as one that is here tells.
    known_behind: Vec<u16>,
}

impl Life<'_> {
    /// Starts the machine, through power cuts that strike during the start. None when the pool need
    /// not open, with two disks at fault.
    pub(super) fn start(&mut self, crashed: bool) -> Result<Option<Machine>, Violation> {
        let mut cuts = 0;
        loop {
            self.rest()?;
            if crashed || cuts > 0 {
                self.inspect("after a crash", false)?;
            }
            let at_work = self.context.rng.permille(300);
            if at_work {
                self.hardware.hurt_at_work(self.context, &self.swarm);
            }
            if self.swarm.foreign && self.context.rng.permille(200) {
                self.meet_foreign()?;
            }
            let cut =
                cuts < CUT_START_COUNT_MAX && self.context.rng.permille(self.swarm.cuts_at_start);
            if cut {
                self.cut_within(400);
            }
            let labels = self.look_at_labels();
            self.anew = self.hardware.has_whole_journal()
                && self.context.rng.permille(self.swarm.new_indexes);
            let opened = self.open();
            if !self.hardware.power().is_on() {
                self.context.say(format_args!("power cut at the start"));
                self.context.report.cuts += 1;
                self.context.report.cuts_at_start += 1;
                cuts += 1;
                self.hardware.cut(self.context);
                self.hardware.settle();
                if let Ok(machine) = opened {
                    self.hardware.cut_behind(&machine.engine().status());
                }
                continue;
            }
            self.hardware.power().restore();
            return match opened {
                Ok(machine) => {
                    let status = machine.engine().status();
                    self.check_members(&labels, &status)?;
                    self.hardware.started(self.context, &status);
                    self.must_serve(&status)?;
                    let shows_all = self.swarm.subsets && self.hardware.must_show_all(&status);
                    self.oracle.must_show_all(shows_all);
                    Ok(Some(machine))
                }
                Err(error) if self.oracle.is_lenient() && !self.has_all_disks() => {
                    self.context.say(format_args!("does not open: {error}"));
                    self.context.report.refused += 1;
                    Ok(None)
                }
                Err(error) => Err(Violation::Open { error }),
            };
        }
    }

    /// What the labels say before a start changes them.
    fn look_at_labels(&mut self) -> Labels {
        let subsets = self.swarm.subsets;
        let picture = subsets.then(|| self.hardware.label_picture()).flatten();
        self.hardware.note_activations();
        let known_behind = subsets.then(|| self.hardware.known_behind());
        Labels {
            picture,
            known_behind: known_behind.unwrap_or_default(),
        }
    }

    /// Disks that lack something take no part.
    fn check_members(&self, labels: &Labels, status: &Status) -> Result<(), Violation> {
        check_known(&labels.known_behind, status)?;
        check_majority(labels.picture, status)?;
        match self.swarm.budget {
            // With two disks behind, nothing that is here need know.
            Budget::TwoDisks => Ok(()),
            // Nor need a few of many disks know: one may count as what its own label says, while nothing is written.
            Budget::Subsets if status.read_only.is_some() => Ok(()),
            _ => self.hardware.check_members(status),
        }
    }

    /// Whether no disk is away in a pool in which nothing else is wrong with any.
    fn has_all_disks(&self) -> bool {
        self.swarm.subsets && self.hardware.all_here()
    }

    /// A start within the fault budget takes writes, if there is room: what is asked here is asked as by the vault
    /// itself, which may use up its own reserve.
    fn must_serve(&mut self, status: &Status) -> Result<(), Violation> {
        let few = matches!(status.read_only, Some(ReadOnlyReason::TooFewDisks { .. }));
        let may_lack = few && self.hardware.may_lack_members();
        let must_serve = self.hardware.must_serve(&self.swarm) && !may_lack;
        let must_serve = must_serve || self.has_all_disks();
        self.oracle.must_serve(must_serve, status.read_only.clone());
        match &status.read_only {
            Some(ReadOnlyReason::Full) | None => Ok(()),
            Some(reason) if must_serve => Err(Violation::Answer {
                deed: "a start".to_owned(),
                expected: "a vault that takes writes".to_owned(),
                got: format!("{reason:?}"),
            }),
            Some(_) => Ok(()),
        }
    }

    /// Another pool's disk is plugged in beside ours: the start is refused by name, or goes on without it;
    /// that disk stays as it is.
    pub(super) fn meet_foreign(&mut self) -> Result<(), Violation> {
        let seed = self.context.rng.next();
        let foreign = SimDiskHandle::new(DISK_BYTES, seed);
        let params = self.params();
        let mut world = self.world();
        let now = now(&self.context.clock);
        let made = create(vec![Box::new(foreign.open())], &params, &mut world, now);
        made.map_err(|error| Violation::Create {
            error: error.to_string(),
        })?;
        let before = foreign.digest();
        let world = self.world();
        let options = self.options();
        let mut areas = self.hardware.areas();
        let (mut disks, _) = self.hardware.open();
        disks.push(Some(Box::new(foreign.open())));
        let opened = open(disks, &mut *areas, world, &options, now);
        self.context.report.fault("another pool's disk");
        let got = match &opened {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string(),
        };
        self.context
            .say(format_args!("with another pool's disk: {got}"));
        let name = foreign.name();
        let is_refused = match &opened {
            Err(OpenError::ForeignDisk { disk, .. }) => disk.contains(name),
            Err(OpenError::MixedDisks { disks }) => disks.contains(name),
            _ => false,
        };
        drop(opened);
        // Beside nothing that can be read it is the only pool there is.
        if !is_refused && self.hardware.has_labels() {
            let foreign = name.to_owned();
            return Err(Violation::ForeignTaken { foreign, got });
        }
        if foreign.digest() == before {
            Ok(())
        } else {
            Err(Violation::ForeignWritten)
        }
    }
}
