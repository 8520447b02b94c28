//! C7 and attack 8: witnesses are a clock that the vault's machine cannot turn, and see a vault that was put back.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use stele_device::sim::disk::SimDiskHandle;
use stele_format::checkpoint::{Checkpoint, UnverifiedCheckpoint, WitnessKey};
use stele_format::digest::Digest;
use stele_format::record::Body;
use stele_format::statement::{Act, Cut, Verb};
use stele_format::tree::TreeHash;
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_store::policy::Mode;
use stele_store::policy::approval::StatementRefusal;
use stele_store::policy::witness::{Silent, WitnessRefusal};
use stele_store::receipts::LogSigner;
use stele_store::request::{Answer, Command, Refusal};
use stele_store::status::Alarm;

use crate::support::locks::{DAY, HOUR, delete, lose_index};
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{
    founded, founded_in, list, person, put, put_as, rehome, request, ripe, say, tombstone, view,
    work_off,
};

const LOG_SEED: [u8; 32] = [9; 32];

fn witness_key(seed: u8) -> WitnessKey {
    let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
    WitnessKey::new(&format!("witness.example/w{seed}"), key.as_bytes()).unwrap()
}

/// The vault signs its checkpoints from now on.
fn sign(vault: &mut Running) {
    let pool = vault.engine.status().pool;
    let signer = LogSigner::new(pool, &LOG_SEED).unwrap();
    vault.engine.sign_with(vec![Arc::new(signer)]);
}

fn add(name: &str, seed: u8) -> Act {
    Act::Witness {
        name: person(name),
        key: witness_key(seed),
    }
}

/// Two people agree, and it takes effect.
fn agree(vault: &mut Running, act: Act) {
    let asked = request(vault, act, "sara").unwrap();
    say(vault, Verb::Approve, asked, "anna").unwrap();
    let early = say(vault, Verb::Execute, asked, "sara");
    assert!(matches!(early, Err(Refusal::Statement(_))), "{early:?}");
    vault.sleep(7 * DAY);
    say(vault, Verb::Execute, asked, "sara").unwrap();
}

/// A vault that signs, with people and one witness.
fn witnessed() -> (Rig, Running) {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    sign(&mut vault);
    agree(&mut vault, add("branch", 41));
    (rig, vault)
}

fn newest(vault: &Running) -> UnverifiedCheckpoint {
    let text = vault.engine.status().checkpoint.unwrap();
    UnverifiedCheckpoint::parse(&text).unwrap()
}

fn cosigned(note: &UnverifiedCheckpoint, seed: u8, at: UnixMillis) -> UnverifiedCheckpoint {
    let seconds = at.get() / 1_000;
    let text = note.claims().cosigned_text(seconds);
    let signature = SigningKey::from_bytes(&[seed; 32]).sign(text.as_bytes());
    note.with_cosignature(&witness_key(seed), seconds, &signature.to_bytes())
        .unwrap()
}

fn bring(vault: &mut Running, note: &str) -> Result<LogIndex, Refusal> {
    let note = note.to_owned();
    match vault.ask(Command::Cosign { note })? {
        Answer::Recorded(index) => Ok(index),
        other => panic!("unexpected {other:?}"),
    }
}

/// The witness sees the newest checkpoint at this time, and what it says is brought.
fn heard_at(vault: &mut Running, seed: u8, at: UnixMillis) -> Result<LogIndex, Refusal> {
    let note = cosigned(&newest(vault), seed, at);
    bring(vault, note.text())
}

fn heard(vault: &mut Running, seed: u8) {
    let now = vault.now.wall;
    heard_at(vault, seed, now).unwrap();
}

fn refused(result: Result<LogIndex, Refusal>) -> WitnessRefusal {
    match result {
        Err(Refusal::Witness(refusal)) => *refusal,
        other => panic!("unexpected {other:?}"),
    }
}

/// A version that may go, and the executed request that it does.
fn doomed(vault: &mut Running) -> (VersionId, LogIndex) {
    let version = put(vault, &name("b", "doomed"), 1, 100, 1);
    vault.sleep(3 * DAY);
    let erase = list(vault, &[version], Cut::Leaves, false);
    let asked = ripe(vault, erase);
    say(vault, Verb::Execute, asked, "oona").unwrap();
    (version, asked)
}

#[test]
fn c7_with_a_witness_that_is_silent_for_30_days_destruction_is_suspended() {
    let (_rig, mut vault) = witnessed();
    let (_, asked) = doomed(&mut vault);
    // One that was never heard is silent.
    let never = Err(Refusal::WitnessSilent(Silent { heard: None }));
    assert_eq!(tombstone(&mut vault, asked, 0), never);
    heard(&mut vault, 41);
    let last = UnixMillis::new(vault.now.wall.get() / 1_000 * 1_000);
    vault.sleep(30 * DAY + 1_000);
    let silent = Refusal::WitnessSilent(Silent { heard: Some(last) });
    assert!(silent.to_string().contains("30 days"), "{silent}");
    assert_eq!(tombstone(&mut vault, asked, 0), Err(silent));
    // Everything else goes on: content comes, goes out of sight, and can be read.
    let object = name("b", "new");
    let free = put_as(&mut vault, &object, 2, 200, None);
    assert_eq!(vault.get(&object, None, None).unwrap(), content(2, 200));
    delete(&mut vault, &object, Some(free), false).unwrap();
    let doomed = vault.get(&name("b", "doomed"), None, None).unwrap();
    assert_eq!(doomed, content(1, 100));
    // The witness speaks.
    heard(&mut vault, 41);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.stop();
}

#[test]
fn c7_thirty_days_of_silence_are_counted_to_the_end() {
    let (_rig, mut vault) = witnessed();
    let (_, asked) = doomed(&mut vault);
    heard(&mut vault, 41);
    let last = vault.now.wall.get() / 1_000 * 1_000;
    let left = last + 30 * DAY - view(&mut vault).now.get();
    vault.sleep(left);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.stop();
}

#[test]
fn c7_the_earliest_clock_is_that_of_the_newest_witness_where_it_is_behind() {
    let (_rig, mut vault) = witnessed();
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    let until = vault.now.wall.get() + DAY;
    heard(&mut vault, 41);
    vault.sleep(3 * DAY);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    // By both clocks the retention is over for more than a day; the witness has not seen it.
    let behind = |vault: &mut Running| match tombstone(vault, asked, 0) {
        Err(Refusal::WitnessBehind { heard }) => heard.get(),
        other => panic!("unexpected {other:?}"),
    };
    assert!(behind(&mut vault) < until);
    let almost = UnixMillis::new(until + DAY - 1_000);
    heard_at(&mut vault, 41, almost).unwrap();
    assert_eq!(behind(&mut vault), almost.get() / 1_000 * 1_000);
    heard_at(&mut vault, 41, UnixMillis::new(until + DAY + 1_000)).unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.stop();
}

#[test]
fn c7_a_month_is_over_when_the_witness_has_seen_its_end() {
    let (_rig, mut vault) = witnessed();
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    heard(&mut vault, 41);
    vault.sleep(25 * DAY);
    let rows = crate::world::census(&mut vault);
    let month = rows[0].leaf.parts().unwrap().month;
    let erase = list(&mut vault, &[version], Cut::Month(month), false);
    let early = tombstone_of_month(&mut vault, erase);
    assert!(matches!(early.1, Err(Refusal::WitnessBehind { .. })));
    heard(&mut vault, 41);
    assert_eq!(rehome(&mut vault, early.0), 0);
    assert_eq!(work_off(&mut vault, early.0), Ok((1, 0)));
    vault.stop();
}

fn tombstone_of_month(
    vault: &mut Running,
    erase: stele_format::statement::Erase,
) -> (LogIndex, Result<(), Refusal>) {
    let asked = request(vault, Act::Erase(erase), "oona").unwrap();
    say(vault, Verb::Approve, asked, "anna").unwrap();
    say(vault, Verb::Approve, asked, "axel").unwrap();
    // The witness says something in between, of before the month's end.
    let then = UnixMillis::new(vault.now.wall.get() - 20 * DAY);
    heard_at(vault, 41, then).unwrap();
    vault.sleep(7 * DAY);
    say(vault, Verb::Execute, asked, "oona").unwrap();
    let again = Command::Rehome {
        request: asked,
        after: None,
    };
    assert!(matches!(
        vault.ask(again),
        Err(Refusal::WitnessBehind { .. })
    ));
    let done = tombstone(vault, asked, 0).map(drop);
    (asked, done)
}

#[test]
fn c7_an_old_note_brought_late_does_not_end_a_silence() {
    let (_rig, mut vault) = witnessed();
    let (_, asked) = doomed(&mut vault);
    let old = vault.now.wall;
    vault.sleep(31 * DAY);
    heard_at(&mut vault, 41, old).unwrap();
    let silent = tombstone(&mut vault, asked, 0);
    assert!(matches!(silent, Err(Refusal::WitnessSilent(_))));
    vault.stop();
}

/// Compliance time does not count what the vault was off, so that a witness's time can lie far ahead of it.
#[test]
fn c7_a_silence_is_noticed_within_30_days_also_where_compliance_time_is_far_behind() {
    let (_rig, mut vault) = witnessed();
    let (_, asked) = doomed(&mut vault);
    let compliance = view(&mut vault).now.get();
    vault.set_wall(compliance + 400 * DAY);
    heard(&mut vault, 41);
    vault.set_wall(compliance);
    vault.sleep(30 * DAY + 1_000);
    let silent = tombstone(&mut vault, asked, 0);
    assert!(matches!(silent, Err(Refusal::WitnessSilent(_))));
    vault.stop();
}

#[test]
fn c7_what_witnesses_said_is_the_same_after_a_stop_a_crash_and_without_an_index() {
    let (mut rig, mut vault) = witnessed();
    agree(&mut vault, add("auditor", 42));
    heard(&mut vault, 41);
    vault.sleep(HOUR);
    heard(&mut vault, 42);
    let of_one = Act::RemoveWitness {
        name: person("auditor"),
    };
    agree(&mut vault, of_one);
    vault.sleep(HOUR);
    heard(&mut vault, 41);
    let before = view(&mut vault).witnesses;
    let all: Vec<_> = before.iter().collect();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|witness| witness.heard.is_some()));
    assert!(!all[0].removed && all[1].removed);
    for round in 0..3 {
        match round {
            0 => vault.stop(),
            1 => {
                turns(&mut vault);
                drop(vault);
                rig.crash();
            }
            _ => {
                vault.stop();
                lose_index(&rig);
            }
        }
        vault = rig.start();
        sign(&mut vault);
        assert_eq!(view(&mut vault).witnesses, before, "round {round}");
    }
    vault.stop();
    let notes = rig.records().into_iter();
    let notes = notes.filter(|body| matches!(body, Body::Cosigned(_)));
    assert_eq!(notes.count(), 3);
}

#[test]
fn c7_one_witness_of_several_is_enough_and_without_any_the_clocks_alone_count() {
    let (_rig, mut vault) = witnessed();
    agree(&mut vault, add("auditor", 42));
    let (_, asked) = doomed(&mut vault);
    heard(&mut vault, 42);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.sleep(31 * DAY);
    let (_, asked) = doomed(&mut vault);
    let silent = |done: Result<_, Refusal>| matches!(done, Err(Refusal::WitnessSilent(_)));
    assert!(silent(tombstone(&mut vault, asked, 0)));
    for name in ["branch", "auditor"] {
        assert!(silent(tombstone(&mut vault, asked, 0)));
        let name = person(name);
        agree(&mut vault, Act::RemoveWitness { name });
    }
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.stop();
}

#[test]
fn a_name_and_a_key_of_a_witness_are_used_once_for_ever() {
    let (_rig, mut vault) = witnessed();
    let name = person("branch");
    agree(&mut vault, Act::RemoveWitness { name: name.clone() });
    let mut ask = |act| match request(&mut vault, act, "sara") {
        Err(Refusal::Statement(refusal)) => *refusal,
        other => panic!("unexpected {other:?}"),
    };
    assert_eq!(ask(add("branch", 42)), StatementRefusal::Witness);
    assert_eq!(ask(add("other", 41)), StatementRefusal::Witness);
    let again = ask(Act::RemoveWitness { name });
    assert_eq!(again, StatementRefusal::NoWitness);
    vault.stop();
}

#[test]
fn what_is_no_cosignature_of_a_witness_is_not_recorded() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    sign(&mut vault);
    let now = vault.now.wall;
    let none = heard_at(&mut vault, 41, now);
    assert_eq!(refused(none), WitnessRefusal::NoWitness);
    agree(&mut vault, add("branch", 41));
    let now = vault.now.wall;
    let stranger = heard_at(&mut vault, 42, now);
    assert_eq!(refused(stranger), WitnessRefusal::Stranger);
    let bare = newest(&vault);
    assert_eq!(
        refused(bring(&mut vault, bare.text())),
        WitnessRefusal::Stranger
    );
    // One bit of the cosignature, or of the checkpoint.
    let good = cosigned(&bare, 41, now).text().to_owned();
    for place in [0, 60, good.len() - 20] {
        let mut bytes = good.clone().into_bytes();
        bytes[place] ^= 1;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let done = refused(bring(&mut vault, &text));
        assert!(matches!(done, WitnessRefusal::Checkpoint(_)), "{done}");
    }
    // A stranger's line beside a good one does no harm, and is kept.
    let both = cosigned(&cosigned(&bare, 42, now), 41, now);
    bring(&mut vault, both.text()).unwrap();
    let again = refused(bring(&mut vault, both.text()));
    assert!(matches!(again, WitnessRefusal::NotLater { .. }), "{again}");
    let earlier = heard_at(&mut vault, 41, UnixMillis::new(now.get() - DAY));
    let earlier = refused(earlier);
    assert!(matches!(earlier, WitnessRefusal::NotLater { .. }));
    let ahead = heard_at(&mut vault, 41, UnixMillis::new(now.get() + DAY + 2_000));
    let ahead = refused(ahead);
    assert!(matches!(ahead, WitnessRefusal::Ahead { .. }), "{ahead}");
    vault.stop();
    let notes = rig.records().into_iter();
    let notes: Vec<_> = notes
        .filter_map(|body| match body {
            Body::Cosigned(note) => Some(note),
            _ => None,
        })
        .collect();
    assert_eq!(notes, [both.text()]);
}

/// The log's key signs what another history of the same vault would have.
fn other_history(vault: &Running, size: u64) -> UnverifiedCheckpoint {
    let origin = newest(vault).claims().origin;
    let checkpoint = Checkpoint {
        origin,
        size,
        root: TreeHash(Digest::of(b"another history").0),
    };
    let pool = vault.engine.status().pool;
    let key = *LogSigner::new(pool, &LOG_SEED).unwrap().key();
    let pair = SigningKey::from_bytes(&LOG_SEED);
    let signature = pair.sign(checkpoint.to_string().as_bytes()).to_bytes();
    UnverifiedCheckpoint::parse(&checkpoint.note(&key, &signature)).unwrap()
}

#[test]
fn attack_08_a_checkpoint_of_another_history_is_named_and_frees_nothing() {
    let (_rig, mut vault) = witnessed();
    let (_, asked) = doomed(&mut vault);
    let size = newest(&vault).claims().size;
    let forked = cosigned(&other_history(&vault, size), 41, vault.now.wall);
    let done = refused(bring(&mut vault, forked.text()));
    assert_eq!(done, WitnessRefusal::Forked { size });
    let told = |alarm: &Alarm| matches!(alarm, Alarm::OtherHistory { size: of, .. } if *of == size);
    assert!(vault.engine.status().alarms.iter().any(told));
    let silent = tombstone(&mut vault, asked, 0);
    assert!(matches!(silent, Err(Refusal::WitnessSilent(_))));
    // A checkpoint of some time ago is one of this history.
    let older = newest(&vault);
    put(&mut vault, &name("b", "more"), 3, 100, 1);
    let now = vault.now.wall;
    bring(&mut vault, cosigned(&older, 41, now).text()).unwrap();
    vault.stop();
}

#[test]
fn attack_08_disks_and_keys_that_were_put_back_are_told_by_what_a_witness_has_seen() {
    let (mut rig, mut vault) = witnessed();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let earlier: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let mut vault = rig.start();
    sign(&mut vault);
    for number in 0..5 {
        put(
            &mut vault,
            &name("b", &format!("k{number}")),
            number,
            100,
            1,
        );
    }
    let seen = cosigned(&newest(&vault), 41, vault.now.wall);
    vault.stop();
    for (disk, was) in disks.iter().zip(&earlier) {
        disk.restore(was);
    }
    let mut vault = rig.start();
    sign(&mut vault);
    let done = refused(bring(&mut vault, seen.text()));
    assert!(matches!(done, WitnessRefusal::Longer { .. }), "{done}");
    assert!(done.to_string().contains("put back"), "{done}");
    // Grown again, it has another history than the one that the witness has seen.
    for number in 0..20 {
        put(&mut vault, &name("b", &format!("n{number}")), number, 90, 1);
    }
    assert!(newest(&vault).claims().size > seen.claims().size);
    let done = bring(&mut vault, seen.text());
    let size = seen.claims().size;
    assert!(
        matches!(&done, Err(Refusal::Witness(why)) if **why == WitnessRefusal::Forked { size }),
        "{done:?}"
    );
    vault.stop();
}

#[test]
fn in_a_vault_with_a_simulated_clock_a_witness_counts_as_if_it_followed() {
    let params = stele_store::recovery::CreateParams {
        simulated_clock: true,
        ..crate::support::PARAMS
    };
    let rig = Rig::create_as(&params, &[crate::support::DISK_BYTES; 3], None);
    let (_rig, mut vault) = founded_in(rig);
    vault.bucket("b", true);
    sign(&mut vault);
    let real = vault.now.wall;
    let advance = |vault: &mut Running, days: u64| {
        let by_ms = days * DAY;
        vault.ask(Command::AdvanceClock { by_ms }).unwrap();
    };
    let asked = request(&mut vault, add("branch", 41), "sara").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    advance(&mut vault, 7);
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    let version = put_as(
        &mut vault,
        &name("b", "o"),
        1,
        100,
        Some((Mode::Compliance, 1)),
    );
    advance(&mut vault, 400);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    say(&mut vault, Verb::Approve, asked, "axel").unwrap();
    advance(&mut vault, 7);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    let silent = tombstone(&mut vault, asked, 0);
    assert!(matches!(silent, Err(Refusal::WitnessSilent(_))));
    heard_at(&mut vault, 41, real).unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    vault.stop();
}
