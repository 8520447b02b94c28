//! Two readings of one log: what the vault's own fold and an auditor's make of the same statements agrees, over
//! the real engine on simulated disks.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../../appliance/format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "shared/image.rs"]
mod image;
#[path = "audit/random.rs"]
mod random;
#[path = "audit/same.rs"]
mod same;
#[path = "../../../appliance/store/tests/support/mod.rs"]
mod support;
#[path = "audit/witness.rs"]
mod witness;
#[path = "../../../appliance/store/tests/destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the world")]
mod world;

use std::sync::Arc;
use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::record::{Body, RecordHeader, RecordReader, Tombstone, VersionRef};
use stele_format::statement::{
    Act, BucketDefault, ClientKey, Cut, GrantRights, Hold, Kind, LogPublic, Nonce, ReleaseHold,
    Role, Second, Session, SpecialRights, Verb,
};
use stele_format::units::{LogIndex, PoolId, UnixMillis, VersionId};
use stele_inspect::audit::report::AuditReport;
use stele_inspect::audit::{Auditor, audit};
use stele_inspect::verdict::{Ledger, Verdict};
use stele_inspect::verify;
use stele_store::policy::approval::Accepted;
use stele_store::policy::{Asker, Client, Grants, Mode, OwnerId, Rate, Rights};
use stele_store::pool::MemberState;
use stele_store::receipts::LogSigner;
use stele_store::request::{Answer, Command};
use stele_store::wipe::{Pace, look, wipe};

use crate::authenticator::SoftKey;
use crate::image::images;
use crate::support::locks::ALL_RIGHTS;
use crate::support::steps::turns;
use crate::support::{Rig, Running, name};
use crate::world::{
    DAY_MS, founded, list, person, put, put_as, rehome, request, ripe, say, state, view, work_off,
};

const WEEK_MS: u64 = 7 * DAY_MS;

fn audited(rig: &Rig) -> AuditReport {
    audit(&images(rig), Duration::ZERO).unwrap()
}

fn one_time(vault: &mut Running) -> u64 {
    view(vault).log_records
}

fn place(vault: &mut Running, case: &str, versions: &[VersionId], by: &str) -> (Digest, u64) {
    let hold = hold_of(vault, Digest::of(case.as_bytes()), versions, by);
    let list = (hold.scope, hold.count);
    let (statement, accepted) = state(vault, Kind::Hold(hold), &[by]).unwrap();
    assert_eq!(accepted, Accepted::Held);
    work(vault, |ordinal| Command::PlaceHolds { statement, ordinal });
    list
}

/// The list is recorded, the hold not yet stated.
fn hold_of(vault: &mut Running, case: Digest, versions: &[VersionId], by: &str) -> Hold {
    let erase = list(vault, versions, Cut::Leaves, false);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&one_time(vault).to_le_bytes());
    Hold {
        case,
        scope: erase.scope,
        count: erase.count,
        nonce: Nonce(nonce),
        by: person(by),
    }
}

fn work(vault: &mut Running, command: impl Fn(u32) -> Command) {
    for ordinal in 0.. {
        match vault.ask(command(ordinal)).unwrap() {
            Answer::Held { last: true, .. } => return,
            Answer::Held { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Asked for by sara, approved, rested and executed.
fn execute(vault: &mut Running, act: Act) -> LogIndex {
    let asked = request(vault, act, "sara").unwrap();
    if say(vault, Verb::Approve, asked, "anna") == Ok(Accepted::Supported(asked)) {
        say(vault, Verb::Approve, asked, "axel").unwrap();
    }
    vault.sleep(WEEK_MS);
    let done = say(vault, Verb::Execute, asked, "sara");
    assert_eq!(done, Ok(Accepted::Executed(asked)));
    turns(vault);
    asked
}

fn release(vault: &mut Running, case: &str, (scope, count): (Digest, u64)) {
    let act = Act::ReleaseHold(ReleaseHold {
        case: Digest::of(case.as_bytes()),
        scope,
        count,
    });
    let request = execute(vault, act);
    work(vault, |ordinal| Command::ReleaseHolds { request, ordinal });
    turns(vault);
}

fn session(vault: &mut Running, by: &str) {
    let kind = session_of(vault, by);
    assert_eq!(state(vault, kind, &[by]).unwrap().1, Accepted::Acted);
}

fn session_of(vault: &mut Running, by: &str) -> Kind {
    let at = Second::of(view(vault).now).unwrap();
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&one_time(vault).to_le_bytes());
    Kind::Session(Session {
        nonce: Nonce(nonce),
        at,
        ask: Digest::of(b"question"),
        by: person(by),
    })
}

/// Some versions whose retention is over soon.
fn store(vault: &mut Running, stem: &str, count: usize) -> Vec<VersionId> {
    let put = |seed: usize| put(vault, &name("b", &format!("{stem}{seed}")), seed, 100, 1);
    (0..count).map(put).collect()
}

fn destroy(vault: &mut Running, versions: &[VersionId], cut: Cut, early: bool) -> LogIndex {
    let erase = list(vault, versions, cut, early);
    let request = ripe(vault, erase);
    say(vault, Verb::Execute, request, "oona").unwrap();
    if let Cut::Month(_) = cut {
        rehome(vault, request);
    }
    let expected = u32::try_from(versions.len()).unwrap();
    assert_eq!(work_off(vault, request), Ok((expected, 0)));
    turns(vault);
    request
}

/// Requests that end without an effect.
fn refuse(vault: &mut Running, versions: &[VersionId]) {
    let erase = list(vault, versions, Cut::Leaves, false);
    let vetoed = request(vault, Act::Erase(erase.clone()), "oona").unwrap();
    say(vault, Verb::Veto, vetoed, "sven").unwrap();
    request(vault, Act::Erase(erase.clone()), "oona").unwrap();
    vault.sleep(4 * DAY_MS);
    // Dies with who asked for it.
    let dead = request(vault, Act::Erase(erase), "otto").unwrap();
    say(vault, Verb::Approve, dead, "anna").unwrap();
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    let suspend = request(vault, suspend, "sara").unwrap();
    let done = say(vault, Verb::Approve, suspend, "axel");
    assert_eq!(done, Ok(Accepted::TookEffect(suspend)));
}

fn change_people(vault: &mut Running) {
    let key = SoftKey::new(77).blob("ssh:");
    let key = stele_format::sshsig::PublicKey::from_blob(&key).unwrap();
    let nina = || person("nina");
    execute(
        vault,
        Act::Enrol {
            person: nina(),
            role: Role::Approver,
            key,
        },
    );
    execute(
        vault,
        Act::Policy {
            name: person("erase-cooling-hours"),
            value: person("80"),
        },
    );
    execute(
        vault,
        Act::Resume {
            person: person("otto"),
        },
    );
}

fn change_rights(vault: &mut Running) {
    let grant = grant_for(vault, 90);
    execute(vault, grant);
    let lower = lower_default(vault);
    execute(vault, lower);
}

fn grant_for(vault: &mut Running, days: u64) -> Act {
    let until = UnixMillis::new(view(vault).now.get() + days * DAY_MS);
    Act::Grant(GrantRights {
        client: ClientKey::new("AKGRANTED").unwrap(),
        rights: SpecialRights {
            hold_off: false,
            governance_bypass: true,
            lock_admin: false,
        },
        until: Second::not_before(until).unwrap(),
    })
}

fn lower_default(vault: &mut Running) -> Act {
    match vault.ask(Command::HeadBucket { name: "b".into() }) {
        Ok(Answer::Bucket(info)) => Act::LowerDefault {
            bucket: info.id,
            default: BucketDefault::None,
        },
        other => panic!("unexpected {other:?}"),
    }
}

/// A list and the release of a hold on it are signed side by side and carried out in one moment.
fn in_the_shadow(vault: &mut Running, versions: &[VersionId]) {
    let erase = list(vault, versions, Cut::Leaves, false);
    let asked = request(vault, Act::Erase(erase), "oona").unwrap();
    for approver in ["anna", "axel"] {
        say(vault, Verb::Approve, asked, approver).unwrap();
    }
    let held = place(vault, "shadow", versions, "anna");
    release(vault, "shadow", held);
    say(vault, Verb::Execute, asked, "oona").unwrap();
    let kept = versions.len();
    assert_eq!(work_off(vault, asked), Ok((0, kept)));
}

/// The log gets another key; the one it had comes from nowhere in the log.
fn change_log_key(vault: &mut Running) {
    let pool = view(vault).origin.pool();
    let signer = |seed| Arc::new(LogSigner::new(pool, &[seed; 32]).unwrap());
    let next = signer(10);
    vault.engine.sign_with(vec![signer(9), next.clone()]);
    let key = LogPublic(*next.key().public());
    let asked = request(vault, Act::LogKey { key }, "sara").unwrap();
    for by in ["sven", "anna"] {
        say(vault, Verb::Approve, asked, by).unwrap();
    }
    vault.sleep(WEEK_MS);
    let done = say(vault, Verb::Execute, asked, "anna");
    assert_eq!(done, Ok(Accepted::Executed(asked)));
    turns(vault);
}

/// A life with everything in it that people can do.
fn lived() -> (Rig, Running) {
    let (mut rig, mut vault) = founded(3);
    let vault_ref = &mut vault;
    vault_ref.bucket("b", true);
    let doomed = store(vault_ref, "o", 8);
    let govern = name("b", "govern");
    let early = put_as(vault_ref, &govern, 9, 100, Some((Mode::Governance, 900)));
    let held = place(vault_ref, "first", &doomed[..4], "oona");
    place(vault_ref, "second", &doomed[2..4], "anna");
    session(vault_ref, "oona");
    vault_ref.sleep(3 * DAY_MS);
    refuse(vault_ref, &doomed[4..]);
    release(vault_ref, "first", held);
    destroy(vault_ref, &doomed[4..6], Cut::Leaves, false);
    destroy(vault_ref, &[early], Cut::Leaves, true);
    // The same case on the same list, by the same person.
    place(vault_ref, "first", &doomed[..4], "oona");
    release(vault_ref, "first", held);
    in_the_shadow(vault_ref, &doomed[6..8]);
    change_people(vault_ref);
    change_rights(vault_ref);
    change_log_key(vault_ref);
    let rows = world::census(vault_ref);
    let row = rows.iter().find(|row| row.version == doomed[0]).unwrap();
    let month = row.leaf.parts().unwrap().month;
    destroy(vault_ref, &doomed[..2], Cut::Month(month), false);
    session(vault_ref, "sara");
    // Keys go with the next start.
    rig.clock_ms = view(vault_ref).now.get();
    vault.stop();
    let mut vault = rig.start();
    turns(&mut vault);
    (rig, vault)
}

#[test]
fn the_vault_and_the_auditor_read_the_same_log_alike() {
    let (rig, mut vault) = lived();
    let view = view(&mut vault);
    let effects: Vec<(u64, u64)> = view
        .requests
        .iter()
        .filter(|one| matches!(one.act, Act::Erase(_)) && one.executed_by.is_some())
        .map(|one| (one.request.get(), destroyed(&mut vault, one.request)))
        .collect();
    vault.stop();
    let report = audited(&rig);
    assert_eq!(
        report.verdict,
        0,
        "{:#?}",
        (&report.unlawful, &report.damage)
    );
    same::people(&view, &report);
    same::requests(&view, &report);
    same::protection(&view, &report);
    // Each of them is there to be compared.
    assert_eq!(report.people.len(), 7);
    for state in ["vetoed", "lapsed", "dead", "executed"] {
        let found = report.requests.iter().any(|one| one.state == state);
        assert!(found, "{state}");
    }
    assert_eq!((report.holds.cases.len(), report.grants.len()), (1, 1));
    assert_eq!(report.log_keys.len(), 2);
    assert_eq!(report.log_keys[1].from, view.log_keys[0].record.get() + 1);
    let lines = report.destructions.iter();
    let lines: Vec<(u64, u64)> = lines
        .inspect(|line| assert!(line.lawful && line.complete && line.destroyed.is_some()))
        .map(|line| (line.request, line.versions))
        .collect();
    assert_eq!(lines, effects);
    // The one in the shadow of a hold destroyed nothing.
    assert_eq!(effects.len(), 4);
}

fn destroyed(vault: &mut Running, request: LogIndex) -> u64 {
    match vault.ask(Command::Effect { request }).unwrap() {
        Answer::Effect(effect) => effect.destroyed,
        other => panic!("unexpected {other:?}"),
    }
}

/// No key, and of the versions that are gone nothing but digests.
#[test]
fn h4_after_a_destruction_the_whole_vault_verifies_without_a_key() {
    let (rig, vault) = lived();
    vault.stop();
    let bodies: Vec<Body> = records(&rig).into_iter().map(|(_, body)| body).collect();
    let gone = bodies
        .iter()
        .filter(|body| matches!(body, Body::Destroyed(_)));
    assert_eq!(gone.count(), 4);
    let report = verify(&images(&rig), Duration::ZERO).unwrap();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
    // It is judged, not passed over: one byte is missed.
    let frame = rig.frames_of(true)[1];
    rig.rot_everywhere(&frame, 300);
    let report = verify(&images(&rig), Duration::ZERO).unwrap();
    assert_eq!(report.verdict, Verdict::Damage);
}

/// A hold goes that no request lifts. A simulated vault keeps its keys beside its data, so that a client key may
/// have been made with that right: the auditor names the record, and leaves the verdict to whoever knows.
#[test]
fn a_hold_that_no_request_lifted_is_named_on_the_disks() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    let hold = |on| Command::SetHold {
        name: name("b", "o"),
        version: Some(version),
        on,
    };
    vault.ask(hold(true)).unwrap();
    assert!(vault.ask(hold(false)).is_err());
    vault.rights = ALL_RIGHTS;
    vault.ask(hold(false)).unwrap();
    vault.stop();
    let report = audited(&rig);
    assert!(report.evaluation);
    let names: Vec<&str> = report.by_right.iter().map(|line| line.name).collect();
    assert_eq!(names, ["hold-lifted"]);
}

/// What a client tried on a locked version, and who tried.
#[test]
fn what_a_client_tried_is_told_from_the_disks() {
    const KEY: &str = "STELEABCDEFGHIJKL234";
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.asker = Some(Asker::Client(Arc::new(Client {
        key_id: KEY.to_owned(),
        owner: OwnerId::default(),
        grants: Grants::all(),
        special: Rights::default(),
        scopes: Vec::new(),
        rate: Rate::default(),
        quotas: Arc::default(),
    })));
    for bypass in [false, true] {
        let delete = Command::Delete {
            name: name("b", "o"),
            version: Some(version),
            bypass,
        };
        vault.ask(delete).unwrap_err();
    }
    vault.asker = None;
    vault.stop();
    let report = audited(&rig);
    assert_eq!(report.verdict, 0, "{:#?}", report.unlawful);
    let lines = report.refused.iter();
    let lines: Vec<_> = lines
        .map(|line| {
            (
                line.what.as_str(),
                line.count,
                line.client.as_deref(),
                line.version,
            )
        })
        .collect();
    let made = version.ordinal().get();
    assert_eq!(lines, [("delete-version", 2, Some(KEY), Some(made))]);
}

/// Header and body of every record on the disks, in order.
fn records(rig: &Rig) -> Vec<(RecordHeader, Body)> {
    let mut all = Vec::new();
    for frame in rig.frames_of(true) {
        let (disk, at) = rig.copies_of(&frame)[0];
        let handle = rig.handles[disk].as_ref().unwrap();
        let payload = handle.peek(at + 256, frame.payload_bytes as usize);
        for record in RecordReader::new(&payload, frame.record_count) {
            let record = record.unwrap().verify().unwrap();
            all.push((record.header, record.body().clone()));
        }
    }
    all
}

/// The log of a real vault and one record more: versions destroyed once more under a request that is done,
/// or under none.
#[test]
fn a_tombstone_that_was_slipped_in_is_named() {
    let (rig, vault) = lived();
    vault.stop();
    let records = records(&rig);
    let (last, _) = records.last().unwrap();
    let done = records.iter().find_map(|(_, body)| match body {
        Body::Destroyed(destroyed) => Some(destroyed.request),
        _ => None,
    });
    let living = records.iter().rev().find_map(|(header, body)| {
        matches!(body, Body::Commit(_)).then_some(VersionRef {
            object: header.object,
            version: header.version,
        })
    });
    let pool = pool_of(&records);
    for (request, rule) in [
        (done.unwrap(), "tombstone-over"),
        (LogIndex::new(1), "tombstone-without-request"),
    ] {
        let mut auditor = Auditor::new(pool);
        records
            .iter()
            .for_each(|(header, body)| auditor.take(header, body));
        let forged = Tombstone {
            request,
            ordinal: 0,
            last: true,
            month: None,
            entries: vec![living.unwrap()],
        };
        let header = RecordHeader {
            log_index: last.log_index.next().unwrap(),
            compliance_ms: last.compliance_ms,
            wall_ms: last.wall_ms,
            ..RecordHeader::default()
        };
        auditor.take(&header, &Body::Tombstone(forged));
        let report = auditor.finish(Ledger::default().finish());
        let found: Vec<_> = report
            .unlawful
            .iter()
            .map(|line| (line.name, line.index))
            .collect();
        assert!(found.contains(&(rule, header.log_index.get())), "{found:?}");
        assert!(
            found
                .iter()
                .all(|(_, index)| *index == header.log_index.get())
        );
    }
}

/// A disk that was drained and wiped: its request is lawful and done once, and what is half wiped is no disk.
#[test]
fn a_disk_that_two_people_had_wiped_is_done_once_and_is_no_disk_from_the_first_mark_on() {
    let (mut rig, mut vault) = founded(4);
    vault.drain(4).unwrap();
    vault.until("it is drained", |engine| {
        let status = engine.status();
        status.disks[3].state == MemberState::Drained && status.heal.drain.is_none()
    });
    let handle = rig.handles[3].clone().unwrap();
    let found = look(&mut handle.open()).unwrap();
    let act = Act::Reinitialise {
        disk: found.disk().disk,
        label: found.disk().label,
    };
    let asked = request(&mut vault, act, "sara").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    vault.sleep(3 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    let order = vault.engine.wipe_order(asked, &found).unwrap();
    let wiped = wipe(&mut handle.open(), order, &Pace::default()).unwrap();
    let notes = |rig: &Rig| {
        let report = audited(rig);
        let notes = report.disks.iter().flat_map(|disk| disk.notes.clone());
        notes.collect::<Vec<String>>().join("; ")
    };
    let half = format!("half wiped, as request {asked}");
    assert!(notes(&rig).contains(&half), "{}", notes(&rig));
    vault.note_wiped(wiped.to_record().unwrap()).unwrap();
    turns(&mut vault);
    wiped.unmark(&mut handle.open()).unwrap();
    assert!(notes(&rig).contains("has no label"), "{}", notes(&rig));
    vault.stop();
    rig.handles[3] = None;
    let report = audited(&rig);
    assert_eq!((report.verdict, report.unlawful.len()), (0, 0));
    let line = report.requests.last().unwrap();
    assert_eq!((line.index, line.state), (asked.get(), "executed"));
    // Said to be done once more, by whom it may be.
    let records = records(&rig);
    let mut auditor = Auditor::new(pool_of(&records));
    records
        .iter()
        .for_each(|(header, body)| auditor.take(header, body));
    let (last, _) = records.last().unwrap();
    let header = RecordHeader {
        log_index: last.log_index.next().unwrap(),
        compliance_ms: last.compliance_ms,
        wall_ms: last.wall_ms,
        ..RecordHeader::default()
    };
    auditor.take(&header, &Body::Enacted(asked));
    let report = auditor.finish(Ledger::default().finish());
    let names: Vec<&str> = report.unlawful.iter().map(|line| line.name).collect();
    assert_eq!(names, ["enacted-without-leave"]);
}

/// The pool, from the first statement.
fn pool_of(records: &[(RecordHeader, Body)]) -> PoolId {
    let text = records.iter().find_map(|(_, body)| match body {
        Body::Statement(statement) => Some(&statement.text),
        _ => None,
    });
    let statement = stele_format::statement::Statement::parse(text.unwrap()).unwrap();
    statement.origin().pool()
}
