//! Disks that answer nothing from some operation of a start on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stele_device::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId};
use stele_device::sim::disk::SimDisk;
use stele_store::pool::MemberState;
use stele_store::recovery::{DiskVerdict, OpenError};
use stele_store::request::ReadOnlyReason;

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};

/// A disk that answers so many operations and then nothing more, until whoever waits gives it up.
struct Hanging {
    disk: SimDisk,
    answers: Arc<AtomicU64>,
    unanswered: Vec<OpId>,
    given_up: bool,
}

impl Disk for Hanging {
    fn identity(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        let left = self.answers.load(Ordering::Relaxed);
        self.answers
            .store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => self.unanswered.push(id),
            _ => self.disk.submit(id, op),
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        self.disk.poll(done);
        if self.given_up {
            self.refuse(done);
        }
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        if self.disk.in_flight() > 0 {
            return self.disk.wait(done);
        }
        self.given_up |= !self.unanswered.is_empty();
        self.refuse(done);
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight() + self.unanswered.len()
    }

    fn is_given_up(&self) -> bool {
        self.given_up
    }
}

impl Hanging {
    fn refuse(&mut self, done: &mut Vec<Done>) {
        done.extend(self.unanswered.drain(..).map(|id| Done {
            id,
            result: Err(DiskError::Silent),
        }));
    }
}

/// Starts with disks that answer so many operations each, and says how many each had left.
fn start(rig: &mut Rig, answers: &[u64]) -> (Result<Running, OpenError>, Vec<u64>) {
    let left: Vec<Arc<AtomicU64>> = answers
        .iter()
        .map(|count| Arc::new(AtomicU64::new(*count)))
        .collect();
    let handles = rig.handles.iter().flatten().zip(&left);
    let disks = handles.map(|(handle, answers)| {
        let disk = Hanging {
            disk: handle.open(),
            answers: Arc::clone(answers),
            unanswered: Vec::new(),
            given_up: false,
        };
        Some(Box::new(disk) as Box<dyn Disk>)
    });
    let started = rig.try_start_on(disks.collect());
    let left = left.iter().map(|left| left.load(Ordering::Relaxed));
    (started, left.collect())
}

fn silent(vault: &Running) -> usize {
    let reports = vault.report.disks.iter();
    reports
        .filter(|report| report.verdict == DiskVerdict::Silent)
        .count()
}

const MANY: u64 = u64::MAX;

fn with_object() -> Rig {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "before"), &content(1, 3_000));
    drop(vault);
    rig.crash();
    rig
}

#[test]
fn at_whichever_step_one_of_three_disks_hangs_the_others_start() {
    let (mut without, mut expelled) = (0, 0);
    for disk in 0..3 {
        for answers in 0.. {
            let mut rig = with_object();
            let mut counts = [MANY; 3];
            counts[disk] = answers;
            let (started, left) = start(&mut rig, &counts);
            let what = format!("disk {disk} after {answers} operations");
            let mut vault = started.unwrap_or_else(|error| panic!("{what}: {error}"));
            if left[disk] > 0 {
                assert_eq!(silent(&vault), 0, "{what}");
                break;
            }
            without += silent(&vault);
            expelled += 1 - silent(&vault);
            assert_eq!(vault.engine.status().read_only, None, "{what}");
            vault.put(&name("b", "after"), &content(2, 3_000));
            drop(vault);
            rig.crash();
            let mut vault = rig.start();
            for (key, seed) in [("before", 1), ("after", 2)] {
                let read = vault.get(&name("b", key), None, None).expect("there");
                assert_eq!(read, content(seed, 3_000), "{what}");
            }
        }
    }
    assert!(without > 20 && expelled > 5, "{without} and {expelled}");
}

#[test]
fn with_too_few_that_answer_it_is_said_which_do_not() {
    let mut rig = with_object();
    let (vault, _) = start(&mut rig, &[MANY, 0, 0]);
    let vault = vault.expect("it is read");
    assert_eq!(silent(&vault), 2);
    let why = vault.engine.status().read_only;
    // One copy alone does not say where the journal ends.
    let Some(ReadOnlyReason::JournalDamaged { missing, .. }) = why else {
        panic!("{why:?}");
    };
    assert!(
        missing.contains("disk 2") && missing.contains("disk 3"),
        "{missing}"
    );
    drop(vault);
    rig.crash();
    let (error, _) = start(&mut rig, &[0, 0, 0]);
    let error = error.err().expect("none answers");
    let names: Vec<String> = rig
        .handles
        .iter()
        .flatten()
        .map(|handle| handle.open().identity().name.clone())
        .collect();
    let said = error.to_string();
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
    let OpenError::NoAnswer { why, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(*why, OpenError::NoLabel), "{why}");
}

/// The first disk refuses a flush of an index that is made anew, and the start begins again since another is silent.
#[test]
fn a_disk_that_refused_the_index_in_an_attempt_that_began_again_is_believed_no_more() {
    let mut again = 0;
    for answers in 0.. {
        let mut rig = Rig::create(4);
        rig.options.new_index = true;
        let mut vault = rig.start();
        vault.bucket("b", false);
        vault.put(&name("b", "before"), &content(1, 3_000));
        drop(vault);
        rig.crash();
        let first = rig.handles[0].clone().expect("there");
        first.fail_flush(0);
        let (started, left) = start(&mut rig, &[MANY, MANY, MANY, answers]);
        let mut vault = started.expect("the others start");
        first.plan(|plan| plan.fail_flushes = None);
        if left[3] > 0 {
            break;
        }
        again += silent(&vault);
        turns(&mut vault);
        let state = vault.engine.status().disks[0].state;
        assert_eq!(state, MemberState::Expelled, "after {answers} operations");
        let read = vault.get(&name("b", "before"), None, None).expect("there");
        assert_eq!(read, content(1, 3_000));
    }
    assert!(again > 20, "{again}");
}
