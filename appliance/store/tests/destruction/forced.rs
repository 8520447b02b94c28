//! A vault that cannot go on by itself is forced open by two people, for exactly what is left of it.

use std::sync::Arc;

use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::keyprovider::SimCounter;
use stele_format::checkpoint::{KeyFrom, KeyHistory, UnverifiedCheckpoint};
use stele_format::digest::Digest;
use stele_format::label::MemberState;
use stele_format::limits::KEYSTATE_COPIES;
use stele_format::record::Body;
use stele_format::statement::{Act, Answer as Said, Cut, Kind, Origin, RecordSpan, Verb};
use stele_format::units::{DiskId, LogIndex, Opening, Sequence};
use stele_store::engine::DiskRefusal;
use stele_store::keys::copies::LoadError;
use stele_store::policy::approval::{RequestState, StatementRefusal};
use stele_store::pool::MemberState as StoreState;
use stele_store::receipts::LogSigner;
use stele_store::recovery::{DiskVerdict, ForcedOrder, ForcedRefusal, OpenError, Outlook};
use stele_store::request::{ReadOnlyReason, Refusal};

use crate::forcing::{force, look, order, order_for, order_of, signed};
use crate::support::steps::turns;
use crate::support::{DISK_BYTES, PARAMS, Rig, Running, content, name};
use crate::world::{
    DAY_MS, founded, founded_in, list, person, put, request, ripe, say, tombstone, view,
};

/// Where key state lies on a disk.
const KEYS_AT: u64 = 1 << 20;
const KEYS_BYTES: usize = PARAMS.keystate_bytes as usize * KEYSTATE_COPIES as usize;

fn refusal(rig: &mut Rig, order: &ForcedOrder) -> ForcedRefusal {
    let labels = |rig: &Rig| -> Vec<Vec<u8>> {
        let disks = rig.handles.iter().flatten();
        disks.map(|disk| disk.peek(0, 256 << 10)).collect()
    };
    let before = labels(rig);
    let refused = match force(rig, order) {
        Err(OpenError::NotForced(refusal)) => refusal,
        other => panic!("unexpected {:?}", other.err()),
    };
    assert_eq!(before, labels(rig), "no label was written: {refused}");
    refused
}

/// People, a small and a large object on three disks, stopped in order; a request that is open.
pub fn three() -> Rig {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    put(&mut vault, &name("b", "small"), 1, 300, 1);
    put(&mut vault, &name("b", "large"), 2, 1_500_000, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    rig
}

pub fn one_left(rig: &mut Rig) -> [Option<SimDiskHandle>; 2] {
    [rig.handles[1].take(), rig.handles[2].take()]
}

pub fn reads(vault: &mut Running) {
    let small = vault.get(&name("b", "small"), None, None).unwrap();
    assert_eq!(small, content(1, 300));
}

#[test]
fn two_people_open_a_vault_of_which_one_disk_is_left() {
    let mut rig = three();
    let _lost = one_left(&mut rig);
    let mut vault = rig.start();
    reads(&mut vault);
    let refused = vault.ask_put();
    let Err(Refusal::ReadOnly(reason)) = refused else {
        panic!("{refused:?}")
    };
    assert!(!matches!(reason, ReadOnlyReason::LookedAt), "{reason}");
    drop(vault);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    reads(&mut vault);
    // Nothing is stored on one disk alone; what people say is.
    match vault.ask_put() {
        Err(Refusal::ReadOnly(ReadOnlyReason::Alone { missing })) => {
            assert!(missing.starts_with("disk 2 ("), "{missing}");
        }
        other => panic!("unexpected {other:?}"),
    }
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    request(&mut vault, suspend, "sara").unwrap();
    let people = view(&mut vault);
    assert_eq!(people.origin.opening(), Opening::new(1));
    let [forced] = people.openings.as_slice() else {
        panic!("{:?}", people.openings)
    };
    assert_eq!((forced.opening, forced.left.len()), (Opening::new(1), 2));
    assert_eq!(
        people.frees_from.map(|until| until.get() - forced.at.get()),
        Some(7 * DAY_MS)
    );
    let asked = &people.requests[0];
    assert_eq!(asked.state, RequestState::Executed);
    rig.clock_ms = people.now.get();
    vault.stop();
    // The log is as FORMAT.md says.
    let log = rig.log();
    let at = log
        .iter()
        .position(|(_, body)| matches!(body, Body::ForcedOpen(_)))
        .unwrap();
    let Body::ForcedOpen(body) = &log[at].1 else {
        unreachable!()
    };
    assert_eq!(body.request.get() + 2, log[at].0.log_index.get());
    let epochs = log[at].0.epoch.get() - log[at - 3].0.epoch.get();
    assert!(epochs > 1 << 10, "{epochs}");
    let member = log[at..].iter().find_map(|(_, body)| match body {
        Body::Member(change) => Some(change),
        _ => None,
    });
    let active = member.unwrap().members.iter();
    let active = active.filter(|(_, state)| *state == MemberState::Active);
    assert_eq!(active.count(), 1);
    assert!(
        rig.frames_of(true)
            .iter()
            .any(|frame| frame.sequence == Sequence::first_of(Opening::new(1)))
    );
    // From now on it opens like any other, also without its index.
    for new_index in [false, true] {
        rig.options.new_index = new_index;
        let mut vault = rig.start();
        reads(&mut vault);
        let people = view(&mut vault);
        assert_eq!(people.requests.len(), 2, "new index {new_index}");
        assert!(people.log_records > log[at].0.log_index.get() + 4);
        rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
    }
}

#[test]
fn nothing_frees_for_seven_days_and_what_was_asked_before_is_dead() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 300, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let open = ripe(&mut vault, erase.clone());
    let executed = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, executed, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let _lost = one_left(&mut rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let people = view(&mut vault);
    let state = |asked: LogIndex| {
        let found = people.requests.iter().find(|one| one.request == asked);
        found.unwrap().state
    };
    assert_eq!(state(open), RequestState::Dead);
    assert_eq!(state(executed), RequestState::Executing);
    let refused = |vault: &mut Running| match tombstone(vault, executed, 0).unwrap_err() {
        Refusal::Statement(why) => matches!(*why, StatementRefusal::AfterForcedOpening { .. }),
        other => panic!("unexpected {other}"),
    };
    assert!(refused(&mut vault));
    vault.sleep(7 * DAY_MS - 3_600_000);
    assert!(refused(&mut vault));
    vault.sleep(3_600_000);
    assert!(tombstone(&mut vault, executed, 0).unwrap().last);
    // What was signed for the log before counts no more.
    let old = Origin::of(people.origin.pool());
    let kind = Kind::Answer(Said {
        verb: Verb::Veto,
        request: executed,
        digest: people.requests[0].digest,
        by: person("anna"),
    });
    let said = signed(old, kind, "anna");
    let command = stele_store::request::Command::State {
        text: said.text,
        signatures: said.signatures,
        note: None,
    };
    assert_eq!(
        vault.ask(command).unwrap_err(),
        Refusal::from(StatementRefusal::OtherLog)
    );
}

#[test]
fn only_what_two_people_signed_for_exactly_this_vault_opens_it() {
    let mut rig = three();
    let (_, healthy) = look(&mut rig);
    assert_eq!(healthy, Err(ForcedRefusal::NotNeeded));
    let lost = one_left(&mut rig);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let good = order_for(origin, &outlook);
    let act = |opening, disks: Vec<DiskId>| Act::ForceOpen {
        opening: Opening::new(opening),
        lost: outlook.known_lost,
        missing: Vec::new(),
        disks,
    };
    let of = |act, outlook: &Outlook, who| order_of(origin, act, outlook, who);
    let right = || act(1, outlook.disks.clone());
    let people = ("sara", "anna");
    let mut other_root = outlook.clone();
    other_root.head.root.0[0] ^= 1;
    let mut longer = outlook.clone();
    longer.head.size += 1;
    let mut unsigned = good.clone();
    unsigned.approval.signatures.clear();
    let mut swapped = good.clone();
    std::mem::swap(&mut swapped.request, &mut swapped.approval);
    let mut twice = good.clone();
    twice.approval = twice.request.clone();
    let elsewhere = Origin::of(stele_format::units::PoolId::from_bytes([9; 16]));
    let reinitialise = Act::Reinitialise {
        disk: outlook.disks[0],
        label: Digest::of(b"label"),
    };
    let cases: Vec<(&str, ForcedOrder)> = vec![
        ("root", of(right(), &other_root, people)),
        ("size", of(right(), &longer, people)),
        (
            "loss",
            of(
                Act::ForceOpen {
                    opening: Opening::new(1),
                    lost: outlook.known_lost + 1,
                    missing: Vec::new(),
                    disks: outlook.disks.clone(),
                },
                &outlook,
                people,
            ),
        ),
        (
            "missing",
            of(
                Act::ForceOpen {
                    opening: Opening::new(1),
                    lost: outlook.known_lost,
                    missing: vec![RecordSpan {
                        first: LogIndex::new(3),
                        last: LogIndex::new(3),
                    }],
                    disks: outlook.disks.clone(),
                },
                &outlook,
                people,
            ),
        ),
        (
            "number",
            of(act(2, outlook.disks.clone()), &outlook, people),
        ),
        ("disks", of(act(1, vec![outlook.left[0]]), &outlook, people)),
        (
            "more disks",
            of(
                act(1, {
                    let mut all = [outlook.disks.clone(), outlook.left.clone()].concat();
                    all.sort_unstable();
                    all
                }),
                &outlook,
                people,
            ),
        ),
        ("one person", of(right(), &outlook, ("sara", "sara"))),
        ("two officers", of(right(), &outlook, ("sara", "sven"))),
        (
            "asked by an approver",
            of(right(), &outlook, ("axel", "anna")),
        ),
        ("operator", of(right(), &outlook, ("sara", "oona"))),
        ("unsigned", unsigned),
        ("swapped", swapped),
        ("twice", twice),
        ("another vault", order_for(elsewhere, &outlook)),
        ("another act", of(reinitialise, &outlook, people)),
    ];
    for (what, order) in cases {
        let refused = refusal(&mut rig, &order);
        assert_ne!(refused, ForcedRefusal::DiskFailed, "{what}");
    }
    // With another disk there the log may be longer, and the vault may open by itself.
    let [second, _] = lost;
    rig.handles[1] = second;
    assert_eq!(refusal(&mut rig, &good), ForcedRefusal::NotNeeded);
    rig.handles[1] = None;
    assert!(force(&mut rig, &good).is_ok());
}

fn images(rig: &Rig) -> Vec<SimSnapshot> {
    let disks = rig.handles.iter().flatten();
    disks.map(SimDiskHandle::snapshot).collect()
}

/// Disks are put back to before the opening, all but the key state, which remembers it.
#[test]
fn an_order_opens_once() {
    let mut rig = three();
    let _lost = one_left(&mut rig);
    let before = images(&rig);
    let order = order(&mut rig);
    let vault = force(&mut rig, &order).unwrap();
    vault.stop();
    let disk = rig.handles[0].clone().unwrap();
    let keys = disk.peek(KEYS_AT, KEYS_BYTES);
    disk.restore(&before[0]);
    disk.tamper(KEYS_AT, &keys);
    let refused = refusal(&mut rig, &order);
    let used = ForcedRefusal::OtherNumber {
        named: Opening::new(1),
        next: Opening::new(2),
    };
    assert_eq!(refused, used);
}

#[test]
fn a_vault_without_people_is_not_forced() {
    let mut rig = Rig::create(3);
    rig.start().stop();
    let _lost = one_left(&mut rig);
    assert_eq!(look(&mut rig).1, Err(ForcedRefusal::NobodyFounded));
}

/// Two disks of four were put back to an earlier time while the others went on.
pub fn two_behind() -> Rig {
    behind(4, &[0, 1])
}

/// These disks of so many were put back to an earlier time while the others went on.
pub fn behind(disks: usize, behind: &[usize]) -> Rig {
    let (mut rig, mut vault) = founded(disks);
    vault.bucket("b", true);
    put(&mut vault, &name("b", "small"), 1, 300, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let behind: Vec<SimDiskHandle> = behind
        .iter()
        .filter_map(|at| rig.handles[*at].clone())
        .collect();
    let earlier: Vec<SimSnapshot> = behind.iter().map(SimDiskHandle::snapshot).collect();
    let mut vault = rig.start();
    put(&mut vault, &name("b", "lost"), 5, 400, 1);
    put(&mut vault, &name("b", "lost too"), 6, 900_000, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    for (disk, image) in behind.iter().zip(&earlier) {
        let keys = disk.peek(KEYS_AT, KEYS_BYTES);
        disk.restore(image);
        disk.tamper(KEYS_AT, &keys);
    }
    rig
}

/// Those that went on are lost, and later they come back.
#[test]
fn a_lost_end_is_named_and_does_not_come_back() {
    let mut rig = two_behind();
    let lost = [rig.handles[2].take(), rig.handles[3].take()];
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    assert!(outlook.known_lost > 0, "{outlook:?}");
    let order = order_for(origin, &outlook);
    let mut vault = force(&mut rig, &order).unwrap();
    reads(&mut vault);
    let gone = Err(Refusal::NoSuchKey { marker: None });
    assert_eq!(vault.get(&name("b", "lost"), None, None), gone);
    put(&mut vault, &name("b", "new"), 7, 500, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let [third, fourth] = lost;
    (rig.handles[2], rig.handles[3]) = (third, fourth);
    for new_index in [false, true] {
        rig.options.new_index = new_index;
        let mut vault = rig.start();
        let verdict = |of: DiskVerdict| {
            let disks = vault.report.disks.iter();
            disks.filter(|disk| disk.verdict == of).count()
        };
        let found = (verdict(DiskVerdict::Active), verdict(DiskVerdict::Stale));
        assert_eq!(found, (2, 2));
        reads(&mut vault);
        let new = vault.get(&name("b", "new"), None, None).unwrap();
        assert_eq!(new, content(7, 500));
        assert_eq!(vault.get(&name("b", "lost"), None, None), gone);
        put(&mut vault, &name("b", "more"), 8, 300, 1);
        rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
    }
}

/// A second opening: of a vault that was put back to an earlier time after the first.
#[test]
fn a_vault_is_forced_open_again() {
    let mut rig = three();
    let _lost = one_left(&mut rig);
    let disk = rig.handles[0].clone().unwrap();
    let asks = |vault: &mut Running, who: &str| {
        let suspend = Act::Suspend {
            person: person(who),
        };
        request(vault, suspend, "sara").unwrap();
    };
    for opening in [1, 2] {
        let (origin, outlook) = look(&mut rig);
        assert_eq!(origin.opening(), Opening::new(opening - 1));
        let order = order_for(origin, &outlook.unwrap());
        let mut vault = force(&mut rig, &order).unwrap();
        reads(&mut vault);
        asks(&mut vault, "otto");
        rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
        let image = disk.snapshot();
        let mut vault = rig.start();
        asks(&mut vault, "oona");
        rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
        if opening == 1 {
            let keys = disk.peek(KEYS_AT, KEYS_BYTES);
            disk.restore(&image);
            disk.tamper(KEYS_AT, &keys);
        }
    }
    rig.options.new_index = true;
    let mut vault = rig.start();
    reads(&mut vault);
    let people = view(&mut vault);
    let openings = people.openings.iter().map(|one| one.opening.get());
    assert_eq!(openings.collect::<Vec<_>>(), [1, 2]);
    // The opening and what was asked for after it, twice; of the first what was lost is not there.
    let acts: Vec<&str> = people.requests.iter().map(|one| one.act.name()).collect();
    let asked = ["force-open", "suspend", "force-open", "suspend", "suspend"];
    assert_eq!(acts, asked);
}

/// Disks that are gone left holes of whole segments in the log, and what is behind them is there.
#[test]
fn a_log_whose_segments_went_with_disks_goes_on_behind_them() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    vault.bucket("b", true);
    vault.stop();
    let (mut rig, mut vault) = founded_in(rig);
    put(&mut vault, &name("b", "small"), 1, 300, 1);
    vault.pass(1_000);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    // The journal has three copies: the first disk lacks a segment in the middle.
    rig.handles[1..].fill(None);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let [span] = outlook.lost[..] else {
        panic!("{:?}", outlook.lost)
    };
    assert!(span.next.get() - span.first.get() > 1, "{span:?}");
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    assert_eq!(view(&mut vault).openings.len(), 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    rig.options.new_index = true;
    let mut vault = rig.start();
    assert_eq!(view(&mut vault).openings.len(), 1);
    // Its bucket was made by one of the lost records.
    let read = vault.get(&name("b", "small"), None, None);
    assert_eq!(read, Err(Refusal::NoSuchBucket));
}

/// What was left behind has another end of the log; only blank disks make the vault whole again.
#[test]
fn a_disk_left_behind_never_joins_and_blank_ones_heal_the_vault() {
    let mut rig = three();
    let lost = one_left(&mut rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let kept = view(&mut vault).log_records;
    for (number, disk) in (2..).zip(&lost) {
        let refused = vault.attach(Some(number), disk.as_ref().unwrap());
        assert_eq!(refused, Err(DiskRefusal::LeftBehind { number }));
    }
    for number in [2, 3] {
        let fresh = SimDiskHandle::new(DISK_BYTES, 70 + u64::from(number));
        vault.attach(Some(number), &fresh).unwrap();
        vault.until("the disk takes part", |engine| {
            let disks = engine.status().disks;
            disks[usize::from(number) - 1].state == StoreState::Active
        });
        turns(&mut vault);
        rig.handles[usize::from(number) - 1] = Some(fresh);
        let object = name("b", &format!("with {number}"));
        put(&mut vault, &object, usize::from(number), 900_000, 1);
    }
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    // Any one of them may be gone now.
    let whole = images(&rig);
    for gone in 0..3 {
        for (disk, image) in rig.handles.iter().flatten().zip(&whole) {
            disk.restore(image);
        }
        let away = rig.handles[gone].take();
        let mut vault = rig.start();
        reads(&mut vault);
        for number in [2, 3] {
            let read = vault.get(&name("b", &format!("with {number}")), None, None);
            assert_eq!(read.unwrap(), content(number, 900_000), "without {gone}");
        }
        let people = view(&mut vault);
        assert!(people.log_records > kept && people.openings.len() == 1);
        assert!(vault.ask_put().is_ok());
        vault.stop();
        rig.handles[gone] = away;
    }
}

/// The others went on without the disk with which the vault was opened: it is no blank one to them.
#[test]
fn a_disk_of_an_opened_vault_is_not_written_over_by_those_that_know_of_none() {
    let mut rig = three();
    let lost = one_left(&mut rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    request(&mut vault, suspend, "sara").unwrap();
    vault.stop();
    let opened = rig.handles[0].take().unwrap();
    let whole = usize::try_from(DISK_BYTES).unwrap();
    let before = opened.peek(0, whole);
    [rig.handles[1], rig.handles[2]] = lost;
    let mut vault = rig.start();
    assert!(vault.ask_put().is_ok());
    let refused = vault.attach(Some(1), &opened);
    assert_eq!(refused, Err(DiskRefusal::OpenedElsewhere { number: 1 }));
    turns(&mut vault);
    assert!(opened.peek(0, whole) == before, "written to");
    let fresh = SimDiskHandle::new(DISK_BYTES, 71);
    assert_eq!(vault.attach(Some(1), &fresh), Ok(()));
}

/// Two records of one number exist then, so the log has another name; whoever knows the old one is told by its key.
#[test]
fn h7_after_a_forced_opening_the_log_has_another_name_that_its_key_tells() {
    let mut rig = three();
    let mut vault = rig.start();
    let pool = view(&mut vault).origin.pool();
    let signer = Arc::new(LogSigner::new(pool, &[5; 32]).unwrap());
    let note = |vault: &mut Running| {
        vault.engine.sign_with(vec![Arc::clone(&signer)]);
        let status = vault.engine.status();
        let note = UnverifiedCheckpoint::parse(&status.checkpoint.unwrap()).unwrap();
        (note, status.log_keys)
    };
    let old = KeyHistory::from(signer.key());
    let (before, keys) = note(&mut vault);
    assert_eq!(old.verify(&before).unwrap().origin, Origin::of(pool));
    assert_eq!(keys, [signer.key().to_string()]);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let _lost = one_left(&mut rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let (after, keys) = note(&mut vault);
    let renamed = signer.key().after(Opening::new(1));
    let linked = old.verify(&after).unwrap();
    assert_eq!(linked.origin, renamed.origin());
    assert!(linked.size > before.claims().size);
    assert_eq!(after.verify(&renamed), Ok(linked));
    let people = view(&mut vault);
    let from = people.openings[0].record.get() + 1;
    assert_eq!(
        keys,
        [signer.key().to_string(), format!("{renamed}@{from}")]
    );
    let all = keys.iter().map(|key| KeyFrom::parse(key).unwrap());
    let all = KeyHistory::new(all.collect()).unwrap();
    assert!(all.verify(&before).is_ok() && all.verify(&after).is_ok());
}

/// The opening moves the anchor as every start does: what the disks were before it opens nowhere.
#[test]
fn of_an_anchored_vault_nothing_from_before_the_opening_opens() {
    let anchored = Rig::create_on(&[DISK_BYTES; 3], Some(SimCounter::new(5)));
    let (mut rig, mut vault) = founded_in(anchored);
    vault.bucket("b", true);
    put(&mut vault, &name("b", "small"), 1, 300, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let whole = images(&rig);
    let lost = one_left(&mut rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    reads(&mut vault);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let [second, third] = lost;
    (rig.handles[1], rig.handles[2]) = (second, third);
    for (disk, image) in rig.handles.iter().flatten().zip(&whole) {
        disk.restore(image);
    }
    let refused = rig.try_start().err().unwrap();
    let shut = matches!(refused, OpenError::Keys(LoadError::Shut { .. }));
    assert!(shut, "{refused}");
}

/// An order that was not used dies when the vault goes on by itself: it gave nothing up that was written since.
#[test]
fn an_order_that_was_not_used_gives_nothing_up_that_came_later() {
    let mut rig = three();
    let lost = one_left(&mut rig);
    let unused = order(&mut rig);
    let disk = rig.handles[0].clone().unwrap();
    let before = disk.snapshot();
    let [second, third] = lost;
    (rig.handles[1], rig.handles[2]) = (second, third);
    let mut vault = rig.start();
    put(&mut vault, &name("b", "later"), 3, 300, 1);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    // Somebody puts all but the key state back and takes the other disks away.
    let _lost = one_left(&mut rig);
    let keys = disk.peek(KEYS_AT, KEYS_BYTES);
    disk.restore(&before);
    disk.tamper(KEYS_AT, &keys);
    match refusal(&mut rig, &unused) {
        ForcedRefusal::OtherLoss { named: 0, here } => assert!(here > 0),
        other => panic!("unexpected {other}"),
    }
}
