//! Debian's barman-cloud 3.4 with PostgreSQL 15.

use super::held::Held;
use super::postgres::Postgres;
use super::{Bench, Case};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Tool};
use serde_json::Value;

const BUCKET: &str = "barman-exam";
const REMOTE: &str = "s3://barman-exam/barman";
const DIRECTORY: &str = "barman";
const SERVER: &str = "pharmacy";
const TABLES: [&str; 2] = ["first", "second"];

/// What it needs.
pub const TOOLS: [Tool; 3] = [install::POSTGRES, install::BARMAN, install::BOTO3];

/// The checks in order.
pub const CASES: [Case; 3] = [
    ("barman-cloud: WAL archiving, backup, rows, backup", backup),
    (
        "barman-cloud: backup-delete by retention policy; all survives",
        expire,
    ),
    (
        "barman-cloud: restore into a new cluster gives the same rows",
        restore,
    ),
];

/// `barman-cloud-VERB --endpoint-url URL MORE s3://... pharmacy REST`.
fn call(bench: &Bench, verb: &str, more: &str, rest: &str) -> Outcome<String> {
    let url = bench.variable("AWS_ENDPOINT_URL")?;
    Ok(format!(
        "/usr/bin/barman-cloud-{verb} --endpoint-url {url} {more} {REMOTE} {SERVER} {rest}"
    ))
}

fn barman(bench: &Bench, postgres: &Postgres, verb: &str, more: &str, rest: &str) -> Outcome<Run> {
    let line = call(bench, verb, more, rest)?;
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| Failure::new("no program"))?;
    Ok(postgres.run(program)?.args(words))
}

fn backup(bench: &Bench) -> Outcome {
    let made = bench.server.client().create_bucket(BUCKET, false)?;
    made.expect(200)?;
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let archive = call(bench, "wal-archive", "--gzip", "%p")?;
    let settings = format!("archive_mode = on\narchive_command = '{archive}'");
    postgres.initialise("main", &settings)?;
    let cluster = postgres.start("main", &[])?;
    cluster.fill("first", 60_000)?;
    barman(bench, &postgres, "backup", "--immediate-checkpoint", "")?.succeed()?;
    cluster.fill("second", 30_000)?;
    cluster.sql("delete from first where id % 10 = 0")?;
    barman(bench, &postgres, "backup", "--immediate-checkpoint", "")?.succeed()?;
    let ids = backups(bench, &postgres)?;
    ensure(ids.len() == 2, || format!("{ids:?}"))
}

fn backups(bench: &Bench, postgres: &Postgres) -> Outcome<Vec<String>> {
    let said = barman(bench, postgres, "backup-list", "--format json", "")?.succeed()?;
    let said: Value = serde_json::from_str(&said)?;
    let list = said["backups_list"].as_array().cloned();
    let list = list.ok_or_else(|| Failure::new(format!("no list of backups: {said}")))?;
    let ids = list.iter().filter_map(|one| one["backup_id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

fn expire(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let held = Held::now(bench, BUCKET)?;
    barman(bench, &postgres, "backup-delete", "", "")?
        .args(["--retention-policy", "REDUNDANCY 1"])
        .succeed()?;
    let ids = backups(bench, &postgres)?;
    ensure(ids.len() == 1, || format!("still there: {ids:?}"))?;
    held.survived(bench, 2)
}

fn restore(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let cluster = postgres.start("main", &[])?;
    cluster
        .sql("insert into second select 30000 + g, 'late', 'WAL' from generate_series(1, 500) g")?;
    let rows = cluster.rows(&TABLES)?;
    cluster.archive()?;
    drop(cluster);
    let ids = backups(bench, &postgres)?;
    let newest = ids.last().ok_or_else(|| Failure::new("no backup"))?;
    let into = format!("{newest} {}", postgres.text("new"));
    barman(bench, &postgres, "restore", "", &into)?.succeed()?;
    let fetch = call(bench, "wal-restore", "", "%f %p")?;
    let auto = postgres.path("new").join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&auto)?;
    std::fs::write(&auto, format!("{before}\nrestore_command = '{fetch}'\n"))?;
    postgres.write("new/recovery.signal", "")?;
    let restored = postgres.start("new", &["archive_mode=off"])?;
    let came = restored.rows(&TABLES)?;
    ensure(came == rows, || format!("{came}\ninstead of\n{rows}"))
}
