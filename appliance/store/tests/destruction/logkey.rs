//! H7: another key for the log is named by people and by the key before; at every size exactly one key counts, and
//! power lost at any moment makes no second history.

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::Loss;
use stele_format::checkpoint::{Checkpoint, KeyFrom, KeyHistory, Origin, UnverifiedCheckpoint};
use stele_format::proof::Receipt;
use stele_format::record::Body;
use stele_format::statement::{Act, LogPublic, Verb};
use stele_format::tree::leaf_hash;
use stele_format::tree::proof::{Proofs, verify_consistency};
use stele_format::units::{LogIndex, PoolId};
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal};
use stele_store::receipts::LogSigner;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{DAY_MS, answer_of, founded, request, say, view};

fn signer(pool: PoolId, seed: u8) -> Arc<LogSigner> {
    Arc::new(LogSigner::new(pool, &[seed; 32]).unwrap())
}

/// The vault has both keys; the log says which of them signs.
fn sign(vault: &mut Running) -> [Arc<LogSigner>; 2] {
    let pool = vault.engine.status().pool;
    let both = [signer(pool, 9), signer(pool, 10)];
    vault.engine.sign_with(both.to_vec());
    both
}

fn note(vault: &Running) -> Option<UnverifiedCheckpoint> {
    let text = vault.engine.status().checkpoint?;
    Some(UnverifiedCheckpoint::parse(&text).unwrap())
}

fn act(key: &LogSigner) -> Act {
    Act::LogKey {
        key: LogPublic(*key.key().public()),
    }
}

fn refusal(result: Result<impl std::fmt::Debug, Refusal>) -> StatementRefusal {
    match result {
        Err(Refusal::Statement(refusal)) => *refusal,
        other => panic!("unexpected {other:?}"),
    }
}

/// Asked for, approved by the other officer and an approver, and rested.
fn ripe(vault: &mut Running, key: &LogSigner) -> LogIndex {
    let asked = request(vault, act(key), "sara").unwrap();
    say(vault, Verb::Approve, asked, "sven").unwrap();
    let approved = say(vault, Verb::Approve, asked, "anna");
    assert_eq!(approved, Ok(Accepted::Approved(asked)));
    vault.sleep(7 * DAY_MS);
    asked
}

/// The keys of the log, as its own records have them.
fn history(rig: &Rig, first: &LogSigner) -> KeyHistory {
    let origin = first.key().origin();
    let mut keys = vec![KeyFrom {
        key: *first.key(),
        from: 0,
    }];
    for (header, body) in rig.log() {
        if let Body::LogKey(change) = body {
            let (old, new) = change.verify(origin).unwrap();
            assert_eq!(keys.last().unwrap().key, old);
            let from = header.log_index.get() + 1;
            keys.push(KeyFrom { key: new, from });
        }
    }
    KeyHistory::new(keys).unwrap()
}

#[test]
fn h7_another_log_key_takes_two_officers_an_approver_and_a_week() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let [old, new] = sign(&mut vault);
    let stranger = signer(vault.engine.status().pool, 77);
    let unknown = request(&mut vault, act(&stranger), "sara");
    assert_eq!(refusal(unknown), StatementRefusal::LogKeyUnknown);
    for by in ["oona", "anna"] {
        let wrong = refusal(request(&mut vault, act(&new), by));
        assert!(
            matches!(wrong, StatementRefusal::WrongRole { .. }),
            "{wrong}"
        );
    }
    let asked = request(&mut vault, act(&new), "sara").unwrap();
    let again = request(&mut vault, act(&new), "sven");
    assert_eq!(refusal(again), StatementRefusal::LogKeyAsked);
    let same = refusal(say(&mut vault, Verb::Approve, asked, "sara"));
    assert!(matches!(same, StatementRefusal::SamePerson(_)), "{same}");
    let approvals = [
        ("anna", Accepted::Supported(asked)),
        ("sven", Accepted::Approved(asked)),
    ];
    for (by, accepted) in approvals {
        assert_eq!(say(&mut vault, Verb::Approve, asked, by), Ok(accepted));
    }
    vault.sleep(6 * DAY_MS);
    assert!(say(&mut vault, Verb::Execute, asked, "sara").is_err());
    vault.sleep(DAY_MS);
    let before = note(&vault).unwrap();
    assert!(before.verify(old.key()).is_ok());
    assert_eq!(
        say(&mut vault, Verb::Execute, asked, "sara"),
        Ok(Accepted::Executed(asked))
    );
    turns(&mut vault);
    let first = vault.engine.status().first_checkpoint.unwrap();
    let first = UnverifiedCheckpoint::parse(&first).unwrap();
    assert!(first.verify(old.key()).is_ok() && first.verify(new.key()).is_ok());
    let stored = vault.put(&name("b", "k"), &content(1, 300));
    let after = note(&vault).unwrap();
    assert!(after.verify(old.key()).is_err() && after.verify(new.key()).is_ok());
    assert!(Receipt::verify(&stored.receipt.unwrap(), new.key()).is_ok());
    assert_eq!(view(&mut vault).requests[0].state, RequestState::Executed);
    vault.stop();
    let keys = history(&rig, &old);
    assert_eq!(keys.keys().len(), 2);
    assert_eq!(
        keys.keys()[1].key.origin(),
        Origin::of(before.claims().origin.pool())
    );
    for one in [&before, &first, &after] {
        assert!(keys.verify(one).is_ok());
    }
    // What the key before would still sign does not count.
    assert!(first.claims().size >= keys.keys()[1].from);
    let mut vault = rig.start();
    assert_eq!(view(&mut vault).log_keys.len(), 1);
    sign(&mut vault);
    assert!(note(&vault).unwrap().verify(new.key()).is_ok());
}

/// Everything from the execution to a record after it; what was handed out signed. Steps of the disks before it.
fn run(
    rig: &mut Rig,
    asked: LogIndex,
    cut: Option<u64>,
    seen: &mut Vec<UnverifiedCheckpoint>,
) -> u64 {
    let mut vault = rig.start();
    sign(&mut vault);
    let from = rig.power.steps();
    rig.power.note_changes();
    if let Some(steps) = cut {
        rig.power.cut_after(steps);
    }
    let power = rig.power.clone();
    let mut look = |vault: &Running| seen.extend(note(vault).filter(|_| power.is_on()));
    look(&vault);
    let state = view(&mut vault).requests[0].state;
    if state == RequestState::Executable {
        let command = answer_of(&mut vault, Verb::Execute, asked, "sara");
        vault.send(command);
    }
    for turn in 0..60 {
        if !power.is_on() {
            break;
        }
        vault.turn();
        look(&vault);
        if turn == 20 {
            vault.send(Command::CreateBucket {
                name: format!(
                    "after-{}",
                    note(&vault).map_or(0, |note| note.claims().size)
                ),
                lock: false,
            });
        }
    }
    from
}

#[test]
fn h7_power_lost_at_any_step_of_a_change_of_the_log_key_makes_no_two_histories() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let [old, new] = sign(&mut vault);
    let asked = ripe(&mut vault, &new);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let fresh: Vec<SimSnapshot> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let from = run(&mut rig, asked, None, &mut Vec::new());
    let changes = rig.power.take_changes();
    assert!(changes.len() > 20, "{} steps", changes.len());
    let (mut by_old, mut by_new) = (0, 0);
    for cut in changes.iter().map(|at| at - from) {
        for (disk, was) in disks.iter().zip(&fresh) {
            disk.restore(was);
        }
        let mut seen = Vec::new();
        run(&mut rig, asked, Some(cut), &mut seen);
        rig.power.restore();
        disks.iter().for_each(|disk| disk.crash(Loss::Seeded));
        run(&mut rig, asked, None, &mut seen);
        let mut vault = rig.start();
        sign(&mut vault);
        turns(&mut vault);
        seen.extend(note(&vault));
        assert_eq!(
            view(&mut vault).requests[0].state,
            RequestState::Executed,
            "cut {cut}"
        );
        vault.stop();
        let keys = history(&rig, &old);
        assert_eq!(keys.keys().len(), 2, "cut {cut}: the key changes once");
        let mut roots: BTreeMap<u64, Checkpoint> = BTreeMap::new();
        for note in seen {
            let signed = keys.verify(&note);
            let signed = signed.unwrap_or_else(|error| panic!("cut {cut}: {error}"));
            let known = *roots.entry(signed.size).or_insert(signed);
            assert_eq!(known, signed, "cut {cut}");
            let is_old = signed.size < keys.keys()[1].from;
            by_old += u32::from(is_old);
            by_new += u32::from(!is_old);
        }
        let proofs = proofs(&rig);
        let last = *roots.values().last().unwrap();
        for (size, signed) in roots {
            let path = proofs.consistency(size, last.size).unwrap();
            let (old, new) = ((size, &signed.root), (last.size, &last.root));
            assert_eq!(verify_consistency(old, new, &path), Ok(()), "cut {cut}");
        }
    }
    assert!(by_old > 20 && by_new > 20, "{by_old} {by_new}");
}

fn proofs(rig: &Rig) -> Proofs {
    let mut headers = BTreeMap::new();
    for (header, _) in rig.log() {
        headers.insert(header.log_index, leaf_hash(&header.encode()));
    }
    Proofs::of_log(headers.into_values().collect())
}
