//! The cut of a month in which as much stays as goes: later leaves for what stays, tombstones for the rest, and the
//! start that cuts the keys.

use std::time::Instant;

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer as Said, Cut, Erase, Found, FoundKey, Head, Kind, Name, Nonce, Request, Role,
    Second, Statement, Verb,
};
use stele_format::units::LogIndex;
use stele_store::policy::approval::RequestState;
use stele_store::recovery::OpenOptions;
use stele_store::request::{Answer, CensusRow, Command, PeopleView};

use crate::authenticator::SoftKey;
use crate::load::{Puts, bucket};
use crate::vault::{Plan, Vault, skip};
use crate::{Order, Outcome, float, sample};

const DAY_MS: u64 = 86_400_000;
const PEOPLE: [(&str, Role, u64); 5] = [
    ("oona", Role::Operator, 1),
    ("anna", Role::Approver, 2),
    ("axel", Role::Approver, 3),
    ("sara", Role::Officer, 4),
    ("sven", Role::Officer, 5),
];
/// Versions of one piece of a list.
const PIECE: usize = 256;

pub fn run(order: &Order) -> Outcome<()> {
    let each = order.pick(100, 10_000);
    for _ in 0..order.rounds {
        let directory = order.directory.join("month");
        let plan = Plan::usual(&directory);
        plan.create()?;
        one(&plan, each)?;
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// Fills a month with twice so many objects and destroys every second one.
fn one(plan: &Plan, each: u64) -> Outcome<()> {
    let mut vault = plan.start(&OpenOptions::default())?;
    bucket(&mut vault, "bench")?;
    let puts = Puts {
        bucket: "bench",
        prefix: "month/",
        first: 0,
        count: 2 * each,
        bytes: 4_000,
        clients: 64,
    };
    puts.run(&mut vault)?;
    found(&mut vault)?;
    rest(&mut vault, 40);
    let rows = census(&mut vault)?;
    let parts = rows.first().and_then(|row| row.leaf.parts());
    let month = parts.ok_or("no leaf")?.month;
    let doomed: Vec<CensusRow> = rows.into_iter().step_by(2).collect();
    let erase = list(&mut vault, doomed, Cut::Month(month))?;
    let pieces = erase.count.div_ceil(PIECE as u64);
    let asked = ask(&mut vault, erase)?;
    for who in ["anna", "axel"] {
        answer(&mut vault, Verb::Approve, asked, who)?;
    }
    rest(&mut vault, 8);
    answer(&mut vault, Verb::Execute, asked, "oona")?;
    let started = Instant::now();
    let staying = rehome(&mut vault, asked)?;
    sample("later leaves", "s", started.elapsed().as_secs_f64());
    sample("versions that stay", "", float(staying));
    let started = Instant::now();
    for ordinal in 0..u32::try_from(pieces)? {
        vault.ask(Command::Tombstone {
            request: asked,
            ordinal,
        })?;
    }
    sample("tombstones", "s", started.elapsed().as_secs_f64());
    sample("versions that go", "", float(each));
    vault.until(stele_store::engine::Engine::is_idle);
    vault.stop();
    let started = Instant::now();
    let mut vault = plan.start(&OpenOptions::default())?;
    vault.ask(Command::ListBuckets)?;
    sample("start that cuts", "s", started.elapsed().as_secs_f64());
    while state_of(&mut vault, asked)? != RequestState::Executed {
        vault.turn();
    }
    sample("until it is recorded", "s", started.elapsed().as_secs_f64());
    vault.stop();
    let started = Instant::now();
    let mut vault = plan.start(&OpenOptions::default())?;
    vault.ask(Command::ListBuckets)?;
    sample("start after it", "s", started.elapsed().as_secs_f64());
    if census(&mut vault)?.len() as u64 != staying {
        return Err("other versions stay than were to".into());
    }
    vault.stop();
    Ok(())
}

/// Days go by in which nothing happens.
fn rest(vault: &mut Vault, days: u64) {
    vault.until(stele_store::engine::Engine::is_idle);
    skip(days * DAY_MS);
    vault.turn();
}

fn people(vault: &mut Vault) -> Outcome<PeopleView> {
    match vault.ask(Command::People)? {
        Answer::People(view) => Ok(*view),
        other => Err(format!("unexpected {other:?}").into()),
    }
}

fn state_of(vault: &mut Vault, request: LogIndex) -> Outcome<RequestState> {
    let requests = people(vault)?.requests;
    let found = requests.iter().find(|one| one.request == request);
    Ok(found.ok_or("no such request")?.state)
}

fn name(text: &str) -> Outcome<Name> {
    Ok(Name::new(text)?)
}

fn state(vault: &mut Vault, kind: Kind, signers: &[&str]) -> Outcome<LogIndex> {
    let text = Statement::new(people(vault)?.origin, kind)?.to_text();
    let keys = PEOPLE.iter().filter(|(who, ..)| signers.contains(who));
    let command = Command::State {
        signatures: keys
            .map(|(.., seed)| SoftKey::new(*seed).sign(&text))
            .collect(),
        text,
        note: None,
    };
    match vault.ask(command)? {
        Answer::Stated { index, .. } => Ok(index),
        other => Err(format!("unexpected {other:?}").into()),
    }
}

fn found(vault: &mut Vault) -> Outcome<()> {
    let key = |(who, role, seed): &(&str, Role, u64)| {
        Ok(FoundKey {
            person: name(who)?,
            role: *role,
            key: PublicKey::from_blob(&SoftKey::new(*seed).blob("ssh:"))?,
        })
    };
    let kind = Kind::Found(Found {
        keys: PEOPLE.iter().map(key).collect::<Outcome<Vec<_>>>()?,
        policies: Vec::new(),
    });
    let all: Vec<&str> = PEOPLE.iter().map(|(who, ..)| *who).collect();
    state(vault, kind, &all).map(drop)
}

fn census(vault: &mut Vault) -> Outcome<Vec<CensusRow>> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        match vault.ask(Command::Census { after })? {
            Answer::Census(page) => {
                rows.extend(page.rows);
                match page.resume {
                    None => return Ok(rows),
                    resume => after = resume,
                }
            }
            other => return Err(format!("unexpected {other:?}").into()),
        }
    }
}

/// Records a list and says what a request says of it.
fn list(vault: &mut Vault, mut rows: Vec<CensusRow>, cut: Cut) -> Outcome<Erase> {
    rows.sort_by_key(|row| row.version.ordinal());
    let entry = |row: &CensusRow| VersionRef {
        object: row.object,
        version: row.version,
    };
    let entries: Vec<VersionRef> = rows.iter().map(entry).collect();
    let digest = scope_digest(&entries);
    let pieces: Vec<&[VersionRef]> = entries.chunks(PIECE).collect();
    for (ordinal, piece) in (0..).zip(&pieces) {
        vault.ask(Command::PutScope(Scope {
            digest,
            ordinal,
            pieces: u32::try_from(pieces.len())?,
            entries: piece.to_vec(),
        }))?;
    }
    let stored = || rows.iter().map(|row| row.stored);
    let ends = rows.iter().filter_map(|row| row.lock.retention);
    Ok(Erase {
        scope: digest,
        count: entries.len() as u64,
        bytes: rows.iter().map(|row| row.content_bytes).sum(),
        cut,
        governance: false,
        oldest: stored().min().and_then(Second::of).ok_or("no time")?,
        newest: stored().max().and_then(Second::of).ok_or("no time")?,
        latest_retention: ends
            .map(|retention| retention.until)
            .max()
            .and_then(Second::not_before),
    })
}

fn ask(vault: &mut Vault, erase: Erase) -> Outcome<LogIndex> {
    let now = people(vault)?;
    let kind = Kind::Request(Request {
        act: Act::Erase(erase),
        head: Head {
            size: now.log_records,
            root: now.log_root,
        },
        nonce: Nonce([1; 16]),
        reason: Digest::of(b"reason"),
        by: name("oona")?,
    });
    state(vault, kind, &["oona"])
}

fn answer(vault: &mut Vault, verb: Verb, request: LogIndex, by: &str) -> Outcome<()> {
    let requests = people(vault)?.requests;
    let found = requests.iter().find(|one| one.request == request);
    let kind = Kind::Answer(Said {
        verb,
        request,
        digest: found.ok_or("no such request")?.digest,
        by: name(by)?,
    });
    state(vault, kind, &[by]).map(drop)
}

/// Gives what stays later leaves; how many versions.
fn rehome(vault: &mut Vault, request: LogIndex) -> Outcome<u64> {
    let (mut after, mut all) = (None, 0);
    loop {
        match vault.ask(Command::Rehome { request, after })? {
            Answer::Rehomed { versions, resume } => {
                all += u64::from(versions);
                match resume {
                    None => return Ok(all),
                    resume => after = resume,
                }
            }
            other => return Err(format!("unexpected {other:?}").into()),
        }
    }
}
