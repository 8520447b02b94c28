//! What witnesses said, read by the vault and by the auditor.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{UnverifiedCheckpoint, WitnessKey};
use stele_format::record::{Body, RecordHeader, Tombstone};
use stele_format::statement::{Act, Cut, Second, Verb};
use stele_inspect::audit::Auditor;
use stele_inspect::verdict::Ledger;
use stele_store::receipts::LogSigner;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Running, name};
use crate::world::{DAY_MS, founded, list, person, put, ripe, say, tombstone, view, work_off};
use crate::{audited, execute, pool_of, records};

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn witness(seed: u8) -> WitnessKey {
    WitnessKey::new("witness.example/w", secret(seed).verifying_key().as_bytes()).unwrap()
}

fn add(vault: &mut Running, name: &str, seed: u8) {
    let act = Act::Witness {
        name: person(name),
        key: witness(seed),
    };
    execute(vault, act);
}

fn heard(vault: &mut Running, seed: u8) {
    let seconds = vault.now.wall.get() / 1_000;
    let note = vault.engine.status().checkpoint.unwrap();
    let note = UnverifiedCheckpoint::parse(&note).unwrap();
    let signature = secret(seed).sign(note.claims().cosigned_text(seconds).as_bytes());
    let note = note.with_cosignature(&witness(seed), seconds, &signature.to_bytes());
    let note = note.unwrap().text().to_owned();
    vault.ask(Command::Cosign { note }).unwrap();
}

#[test]
fn c7_the_vault_and_the_auditor_hear_witnesses_alike() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let pool = vault.engine.status().pool;
    let signer = LogSigner::new(pool, &[9; 32]).unwrap();
    vault.engine.sign_with(vec![Arc::new(signer)]);
    add(&mut vault, "branch", 41);
    add(&mut vault, "auditor", 42);
    heard(&mut vault, 41);
    let versions = [1, 2].map(|seed| put(&mut vault, &name("b", "o"), seed, 100, 1));
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &versions[..1], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    heard(&mut vault, 42);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    let name = person("auditor");
    execute(&mut vault, Act::RemoveWitness { name });
    let erase = list(&mut vault, &versions[1..], Cut::Leaves, false);
    let entries = [crate::world::census(&mut vault)];
    let entry = entries[0].iter().find(|row| row.version == versions[1]);
    let entry = entry.map(|row| stele_format::record::VersionRef {
        object: row.object,
        version: row.version,
    });
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    vault.sleep(20 * DAY_MS);
    let silent = tombstone(&mut vault, asked, 0);
    assert!(matches!(silent, Err(Refusal::WitnessSilent(_))));
    turns(&mut vault);
    let view = view(&mut vault);
    vault.stop();
    let report = audited(&rig);
    assert_eq!(report.verdict, 0, "{:#?}", report.unlawful);
    let of_vault: Vec<_> = view
        .witnesses
        .iter()
        .map(|one| {
            let heard = one.heard.map(|heard| Second::of(heard.stated).unwrap());
            let state = if one.removed {
                "removed"
            } else {
                "listened-to"
            };
            (
                one.name.to_string(),
                one.key.to_string(),
                state,
                heard.map(|time| time.to_string()),
            )
        })
        .collect();
    let of_auditor: Vec<_> = report
        .witnesses
        .into_iter()
        .map(|one| (one.name, one.key, one.state, one.heard))
        .collect();
    assert_eq!(of_vault, of_auditor);
    assert!(of_vault.iter().all(|one| one.3.is_some()));
    // What the vault refuses, slipped in.
    let records = records(&rig);
    let mut auditor = Auditor::new(pool_of(&records));
    for (header, body) in &records {
        auditor.take(header, body);
    }
    let (last, _) = records.last().unwrap();
    let header = RecordHeader {
        log_index: last.log_index.next().unwrap(),
        compliance_ms: last.compliance_ms,
        wall_ms: last.wall_ms,
        ..RecordHeader::default()
    };
    let forged = Tombstone {
        request: asked,
        ordinal: 0,
        last: true,
        month: None,
        entries: vec![entry.unwrap()],
    };
    auditor.take(&header, &Body::Tombstone(forged));
    let report = auditor.finish(Ledger::default().finish());
    let names: Vec<_> = report.unlawful.iter().map(|line| line.name).collect();
    assert_eq!(names, ["tombstone-witness"]);
}
