//! Disks that the vault let go of are wiped because two people signed for it, whatever cut falls between; no
//! other disk is, whoever signs.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
mod support;
#[path = "destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the world")]
mod world;

use stele_device::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId, OpKind};
use stele_device::sim::disk::{SimDisk, SimDiskHandle};
use stele_device::sim::fault::{Loss, Plan};
use stele_device::sim::power::Power;
use stele_format::label::LabelError;
use stele_format::record::Body;
use stele_format::statement::{Act, Verb};
use stele_format::units::LogIndex;
use stele_store::policy::approval::{RequestState, StatementRefusal};
use stele_store::policy::wiping::NotWiped;
use stele_store::pool::MemberState;
use stele_store::recovery::read_label;
use stele_store::wipe::{Found, Pace, WipeError, Wiped, look, wipe};
use support::steps::turns;
use support::{DISK_BYTES, Rig, Running, content, name};
use world::{DAY_MS, founded, request, say, view};

const LEAVES: usize = 3;
const NUMBER: u16 = 4;

fn is_state(vault: &Running, number: u16, state: MemberState) -> bool {
    let status = vault.engine.status();
    let disk = status.disks.iter().find(|disk| disk.number == number);
    disk.is_some_and(|disk| disk.state == state) && status.state.word() == "ok"
}

/// A vault with people and data, of whose four disks the last one was drained.
fn drained() -> (Rig, Running) {
    let (rig, mut vault) = founded(4);
    vault.bucket("b", false);
    for seed in 0..4 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 400_000));
    }
    // Inside of a unit, of an earlier life.
    let handle = rig.handles[LEAVES].as_ref().unwrap();
    handle.tamper((80 << 20) + 40_960, &[7; 8_192]);
    vault.drain(NUMBER).unwrap();
    vault.until("it is drained", |engine| {
        let status = engine.status();
        let left = status.disks[LEAVES].state == MemberState::Drained;
        left && status.heal.drain.is_none() && status.state.word() == "ok"
    });
    (rig, vault)
}

fn check_data(vault: &mut Running) {
    for seed in 0..4 {
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(got.unwrap() == content(seed, 400_000), "object {seed}");
    }
}

/// What a disk is that the vault may have open: looked at on a copy of it.
fn found(handle: &SimDiskHandle) -> Result<Found, LabelError> {
    let copy = SimDiskHandle::new(DISK_BYTES, 1);
    copy.restore(&handle.snapshot());
    look(&mut copy.open())
}

/// What a request about this disk asks for.
fn act(found: &Found) -> Act {
    let disk = found.disk();
    Act::Reinitialise {
        disk: disk.disk,
        label: disk.label,
    }
}

/// Asked for, approved, rested and executed.
fn executed(vault: &mut Running, act: Act) -> LogIndex {
    let asked = request(vault, act, "sara").unwrap();
    say(vault, Verb::Approve, asked, "anna").unwrap();
    vault.sleep(3 * DAY_MS);
    say(vault, Verb::Execute, asked, "sara").unwrap();
    asked
}

/// As the keeper of disks does it, to the end.
fn wiped(vault: &mut Running, request: LogIndex, handle: &SimDiskHandle) -> Result<(), NotWiped> {
    let found = found(handle).unwrap();
    let order = vault.engine.wipe_order(request, &found)?;
    let mut disk = handle.open();
    let wiped = wipe(&mut disk, order, &Pace::default()).unwrap();
    record(vault, &wiped, request);
    wiped.unmark(&mut disk).unwrap();
    Ok(())
}

fn record(vault: &mut Running, wiped: &Wiped, request: LogIndex) {
    if let Some(done) = wiped.to_record() {
        vault.note_wiped(done).unwrap();
        turns(vault);
    }
    assert_eq!(state_of(vault, request), RequestState::Executed);
}

fn state_of(vault: &mut Running, request: LogIndex) -> RequestState {
    let requests = view(vault).requests;
    let found = requests.iter().find(|one| one.request == request);
    found.unwrap().state
}

fn is_blank(handle: &SimDiskHandle) -> bool {
    handle.is_blank(0, usize::try_from(DISK_BYTES).unwrap())
}

fn enacted(rig: &Rig) -> usize {
    let records = rig.records();
    let enacted = records
        .iter()
        .filter(|body| matches!(body, Body::Enacted(_)));
    enacted.count()
}

#[test]
fn a_drained_disk_is_wiped_by_two_people_and_joins_as_a_blank_one() {
    let (mut rig, mut vault) = drained();
    let handle = rig.handles[LEAVES].clone().unwrap();
    let before = found(&handle).unwrap();
    let request = executed(&mut vault, act(&before));
    assert_eq!(state_of(&mut vault, request), RequestState::Executing);
    wiped(&mut vault, request, &handle).unwrap();
    assert!(is_blank(&handle));
    assert_eq!(found(&handle), Err(LabelError::Unlabelled));
    // Once is once: a disk of the same label would not be wiped by it again.
    let again = vault.engine.wipe_order(request, &before);
    assert!(matches!(again, Err(NotWiped::Request(_))), "{again:?}");
    vault.attach(Some(NUMBER), &handle).unwrap();
    vault.until("it takes part", |engine| {
        engine.status().disks[LEAVES].state == MemberState::Active
    });
    check_data(&mut vault);
    vault.stop();
    assert_eq!(enacted(&rig), 1);
    // Two others may go, and what it was given is good.
    let mut vault = rig.start();
    turns(&mut vault);
    assert!(is_state(&vault, NUMBER, MemberState::Active));
    check_data(&mut vault);
}

#[test]
fn a_disk_whose_place_another_took_is_wiped_and_the_other_is_not() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", false);
    for seed in 0..4 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 400_000));
    }
    vault.stop();
    let old = rig.handles[2].take().unwrap();
    let mut vault = rig.start();
    let early = executed(&mut vault, act(&found(&old).unwrap()));
    let order = vault.engine.wipe_order(early, &found(&old).unwrap());
    assert_eq!(order, Err(NotWiped::Missing { number: 3 }));
    let fresh = SimDiskHandle::with("fresh", DISK_BYTES, 99, &rig.power);
    vault.attach(Some(3), &fresh).unwrap();
    vault.until("it takes part", |engine| {
        engine.status().state.word() == "ok"
    });
    // One identity, and two disks with it.
    let (twin, new) = (found(&old).unwrap(), found(&fresh).unwrap());
    assert_eq!(twin.disk().disk, new.disk().disk);
    let order = vault.engine.wipe_order(early, &new);
    assert_eq!(order, Err(NotWiped::OtherDisk(early)));
    let mistaken = executed(&mut vault, act(&found(&fresh).unwrap()));
    let order = vault.engine.wipe_order(mistaken, &found(&fresh).unwrap());
    assert!(
        matches!(
            order,
            Err(NotWiped::InForce { number: 3 } | NotWiped::OtherDisk(_))
        ),
        "{order:?}"
    );
    wiped(&mut vault, early, &old).unwrap();
    assert!(is_blank(&old));
    check_data(&mut vault);
}

#[test]
fn worm_07_no_disk_that_takes_part_or_is_of_another_vault_is_wiped_whoever_signed() {
    let (rig, mut vault) = drained();
    let mut other = Rig::create_another(3);
    other.start().stop();
    let part = rig.handles[0].clone().unwrap();
    let foreign = other.handles[0].clone().unwrap();
    let gone = rig.handles[LEAVES].clone().unwrap();
    // A copy of a disk that takes part, as new as itself.
    let copy = SimDiskHandle::new(DISK_BYTES, 5);
    copy.restore(&part.snapshot());
    let label = found(&part).unwrap();
    for found in [&label, &found(&copy).unwrap()] {
        let may = vault.engine.may_wipe(&found.disk());
        assert_eq!(may, Err(NotWiped::InForce { number: 1 }));
    }
    let asked = executed(&mut vault, act(&label));
    let now = found(&part).unwrap();
    // Its label may have been written anew meanwhile.
    let expected = match now == label {
        true => NotWiped::InForce { number: 1 },
        false => NotWiped::OtherDisk(asked),
    };
    assert_eq!(vault.engine.wipe_order(asked, &now), Err(expected));
    let strange = found(&foreign).unwrap();
    let asked = executed(&mut vault, act(&strange));
    let pool = strange.disk().pool;
    let refused = NotWiped::Foreign(pool);
    assert_eq!(
        vault.engine.wipe_order(asked, &strange),
        Err(refused.clone())
    );
    assert_eq!(vault.engine.may_wipe(&strange.disk()), Err(refused));
    // A request that nobody executed, or that is about another disk.
    let left = found(&gone).unwrap();
    let order = vault.engine.wipe_order(asked, &left);
    assert_eq!(order, Err(NotWiped::OtherDisk(asked)));
    let open = request(&mut vault, act(&left), "sara").unwrap();
    let order = vault.engine.wipe_order(open, &left);
    assert!(matches!(order, Err(NotWiped::Request(_))), "{order:?}");
    let order = vault.engine.wipe_order(LogIndex::new(0), &left);
    let none = StatementRefusal::NoRequest(LogIndex::new(0));
    assert_eq!(order, Err(NotWiped::Request(none)));
    assert!(found(&part).is_ok() && found(&gone).is_ok());
}

/// Wipes up to the marks and then takes them away, with the power gone after so many steps.
fn run(vault: &Running, request: LogIndex, disk: &mut SimDisk) -> Result<(), WipeError> {
    let found = look(disk).unwrap();
    let order = vault.engine.wipe_order(request, &found).unwrap();
    wipe(disk, order, &Pace::default())?.unmark(disk)
}

#[test]
fn a_wipe_that_a_cut_ends_at_any_step_leaves_a_label_a_mark_or_nothing_and_is_finished() {
    let (rig, mut vault) = drained();
    let was = rig.handles[LEAVES].as_ref().unwrap().snapshot();
    // On a supply of its own: the vault goes on.
    let power = Power::new();
    let handle = SimDiskHandle::with("leaves", DISK_BYTES, 3, &power);
    handle.restore(&was);
    let label = found(&handle).unwrap();
    let request = executed(&mut vault, act(&label));
    power.note_changes();
    let first = power.steps();
    run(&vault, request, &mut handle.open()).unwrap();
    let cuts: Vec<u64> = power.take_changes().iter().map(|at| at - first).collect();
    assert!(is_blank(&handle) && cuts.len() > 8, "{cuts:?}");
    let mut seen = [0; 3];
    for cut in cuts {
        for (seed, loss) in [Loss::Nothing, Loss::All, Loss::Seeded, Loss::LastTorn]
            .into_iter()
            .enumerate()
        {
            handle.restore(&was);
            handle.set_plan(Plan::default());
            power.cut_after(cut);
            let ended = run(&vault, request, &mut handle.open());
            assert!(ended.is_err(), "{cut}");
            handle.crash(loss);
            power.restore();
            let what = format!("cut {cut}, loss {seed}");
            match found(&handle) {
                Ok(Found::Labelled(reading)) => {
                    assert_eq!(reading.digest(), label.disk().label, "{what}");
                    seen[0] += 1;
                }
                Ok(Found::Begun(_)) => {
                    assert_eq!(read_label(&mut handle.open()), None, "{what}");
                    seen[1] += 1;
                }
                Err(LabelError::Unlabelled) => {
                    assert!(is_blank(&handle), "{what}");
                    seen[2] += 1;
                    continue;
                }
                Err(other) => panic!("{what}: {other}"),
            }
            run(&vault, request, &mut handle.open()).unwrap();
            assert!(is_blank(&handle), "{what}");
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_half_wiped_disk_is_adopted_by_no_start_and_finished_by_the_next_vault() {
    // Killed before the record, with the record on its way, and with the marks still there.
    for step in 0..3 {
        let (mut rig, mut vault) = drained();
        let handle = rig.handles[LEAVES].clone().unwrap();
        let request = executed(&mut vault, act(&found(&handle).unwrap()));
        let order = vault.engine.wipe_order(request, &found(&handle).unwrap());
        let half = wipe(&mut handle.open(), order.unwrap(), &Pace::default()).unwrap();
        match step {
            0 => {}
            1 => {
                vault.note_wiped(half.to_record().unwrap()).unwrap();
                // The question may come twice.
                vault.note_wiped(half.to_record().unwrap()).unwrap();
            }
            _ => record(&mut vault, &half, request),
        }
        drop(vault);
        rig.crash();
        let mut vault = rig.start();
        assert_eq!(
            vault.engine.status().disks[LEAVES].state,
            MemberState::Drained
        );
        check_data(&mut vault);
        turns(&mut vault);
        assert!(matches!(found(&handle), Ok(Found::Begun(_))), "{step}");
        wiped(&mut vault, request, &handle).unwrap();
        assert!(is_blank(&handle), "{step}");
        vault.stop();
        assert_eq!(enacted(&rig), 1, "{step}");
    }
}

#[test]
fn a_disk_that_keeps_what_was_on_it_does_not_count_as_blank() {
    let (rig, mut vault) = drained();
    let handle = rig.handles[LEAVES].clone().unwrap();
    let request = executed(&mut vault, act(&found(&handle).unwrap()));
    let order = |vault: &Running| {
        let found = found(&handle).unwrap();
        vault.engine.wipe_order(request, &found).unwrap()
    };
    // Says that it wrote the labels, and did not.
    handle.lose_write(2);
    let first = order(&vault);
    let kept = wipe(&mut handle.open(), first, &Pace::default());
    assert!(matches!(kept, Err(WipeError::NotBlank { .. })), "{kept:?}");
    assert!(matches!(found(&handle), Ok(Found::Begun(_))));
    // Another disk lies there at the moment it is wiped.
    let stale = order(&vault);
    handle.restore(&rig.handles[0].as_ref().unwrap().snapshot());
    let before = handle.digest();
    let changed = wipe(&mut handle.open(), stale, &Pace::default());
    assert_eq!(changed, Err(WipeError::Changed));
    assert_eq!(handle.digest(), before);
    assert_eq!(state_of(&mut vault, request), RequestState::Executing);
}

/// A disk that cannot discard.
struct Stiff {
    disk: SimDisk,
    refused: Vec<OpId>,
}

impl Disk for Stiff {
    fn identity(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        match op {
            Op::Discard { .. } => self.refused.push(id),
            other => self.disk.submit(id, other),
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        let refused = self.refused.drain(..).map(|id| Done {
            id,
            result: Err(DiskError::Io {
                errno: 95,
                op: OpKind::Discard,
            }),
        });
        done.extend(refused);
        self.disk.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        self.poll(done);
        if done.is_empty() {
            self.disk.wait(done);
        }
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight() + self.refused.len()
    }
}

#[test]
fn a_disk_that_cannot_discard_is_overwritten() {
    let (rig, mut vault) = drained();
    let handle = rig.handles[LEAVES].clone().unwrap();
    let request = executed(&mut vault, act(&found(&handle).unwrap()));
    let order = vault.engine.wipe_order(request, &found(&handle).unwrap());
    let mut disk = Stiff {
        disk: handle.open(),
        refused: Vec::new(),
    };
    let half = wipe(&mut disk, order.unwrap(), &Pace::default()).unwrap();
    half.unmark(&mut disk).unwrap();
    assert!(is_blank(&handle));
    assert_eq!(handle.counters().discards, 0);
}

/// A disk under which its wipe is told to end at one of its operations.
struct Ending {
    disk: Stiff,
    at: usize,
    count: usize,
    pace: Pace,
}

impl Disk for Ending {
    fn identity(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        self.count += 1;
        if self.count == self.at {
            self.pace.end();
        }
        self.disk.submit(id, op);
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        self.disk.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        self.disk.wait(done);
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight()
    }
}

/// Wipes up to the marks, told to end at this operation. How many there were, and how it ended.
fn ending(
    vault: &Running,
    request: LogIndex,
    handle: &SimDiskHandle,
    at: usize,
) -> (usize, Result<Wiped, WipeError>) {
    let pace = Pace::default();
    let stiff = Stiff {
        disk: handle.open(),
        refused: Vec::new(),
    };
    let mut disk = Ending {
        disk: stiff,
        at,
        count: 0,
        pace: pace.clone(),
    };
    let order = vault.engine.wipe_order(request, &found(handle).unwrap());
    let ended = wipe(&mut disk, order.unwrap(), &pace);
    let (done, bytes) = pace.bytes();
    assert!(done <= bytes && bytes < DISK_BYTES, "{done} of {bytes}");
    assert_eq!(ended.is_ok(), done == bytes && !pace.is_ended());
    (disk.count, ended)
}

#[test]
fn a_wipe_that_is_told_to_end_does_so_and_is_finished_by_the_same_request() {
    let (rig, mut vault) = drained();
    let handle = rig.handles[LEAVES].clone().unwrap();
    let was = handle.snapshot();
    let request = executed(&mut vault, act(&found(&handle).unwrap()));
    let (all, whole) = ending(&vault, request, &handle, usize::MAX);
    assert!(whole.is_ok(), "{whole:?}");
    // Before all, while the ends are cleared, while units are overwritten, and while all is read back.
    for at in [1, 12, all / 2, all - 3] {
        handle.restore(&was);
        let (count, ended) = ending(&vault, request, &handle, at);
        assert_eq!(ended, Err(WipeError::Ended), "{at}");
        // A piece is read, and written where it is not blank.
        assert!(count <= at + 3, "{count} after {at}");
        let left = found(&handle).unwrap();
        assert_eq!(matches!(left, Found::Labelled(_)), at == 1, "{at}");
        run(&vault, request, &mut handle.open()).unwrap();
        assert!(is_blank(&handle), "{at}");
    }
}
