//! Debian's pgBackRest 2.45 with PostgreSQL 15.

use super::held::Held;
use super::postgres::Postgres;
use super::{Bench, Case};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Tool};
use serde_json::Value;

const BUCKET: &str = "pgbackrest-exam";
const DIRECTORY: &str = "pgbackrest";
const TABLES: [&str; 3] = ["first", "second", "third"];

/// What it needs.
pub const TOOLS: [Tool; 2] = [install::POSTGRES, install::PGBACKREST];

/// The checks in order.
pub const CASES: [Case; 6] = [
    ("pgbackrest: stanza, WAL archiving, check", prepare),
    ("pgbackrest: full, rows, incremental", first_chain),
    (
        "pgbackrest: a second full expires the first; all survives",
        second_chain,
    ),
    ("pgbackrest: verify finds every file whole", verify),
    (
        "pgbackrest: restore into a new cluster gives the same rows",
        restore,
    ),
    (
        "pgbackrest: restore to a moment before a mistake",
        back_in_time,
    ),
];

fn configuration(bench: &Bench, postgres: &Postgres) -> Outcome<String> {
    let url = bench.variable("AWS_ENDPOINT_URL")?;
    let port = url.rsplit(':').next();
    let port = port.ok_or_else(|| Failure::new("the endpoint has no port"))?;
    let at = |name| postgres.text(name);
    Ok(format!(
        "[global]\nrepo1-type=s3\nrepo1-path=/repository\nrepo1-s3-bucket={BUCKET}\n\
         repo1-s3-endpoint=localhost\nrepo1-storage-port={port}\nrepo1-s3-uri-style=path\n\
         repo1-s3-region={}\nrepo1-s3-key={}\nrepo1-s3-key-secret={}\n\
         repo1-storage-ca-file={}\nrepo1-retention-full=1\nrepo1-bundle=y\nstart-fast=y\n\
         process-max=2\nlog-level-file=off\nlock-path={}\nspool-path={}\nlog-path={}\n\n\
         [pharmacy]\npg1-path={}\npg1-socket-path={}\n",
        bench.variable("AWS_DEFAULT_REGION")?,
        bench.variable("AWS_ACCESS_KEY_ID")?,
        bench.variable("AWS_SECRET_ACCESS_KEY")?,
        at("ca.pem"),
        at("lock"),
        at("spool"),
        at("log"),
        at("main"),
        at(""),
    ))
}

fn pgbackrest(postgres: &Postgres, arguments: &[&str]) -> Outcome<Run> {
    let config = format!("--config={}", postgres.text("pgbackrest.conf"));
    let run = postgres.run(install::PGBACKREST.program)?;
    Ok(run.args([&config, "--stanza=pharmacy"]).args(arguments))
}

fn prepare(bench: &Bench) -> Outcome {
    let made = bench.server.client().create_bucket(BUCKET, false)?;
    made.expect(200)?;
    let postgres = Postgres::at(bench, DIRECTORY)?;
    postgres.write("pgbackrest.conf", &configuration(bench, &postgres)?)?;
    let settings = format!(
        "archive_mode = on\narchive_command = '{} --config={} --stanza=pharmacy archive-push %p'",
        install::PGBACKREST.program,
        postgres.text("pgbackrest.conf"),
    );
    postgres.initialise("main", &settings)?;
    let cluster = postgres.start("main", &[])?;
    cluster.fill("first", 60_000)?;
    pgbackrest(&postgres, &["stanza-create"])?.succeed()?;
    pgbackrest(&postgres, &["check"])?.succeed().map(drop)
}

fn first_chain(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let cluster = postgres.start("main", &[])?;
    pgbackrest(&postgres, &["--type=full", "backup"])?.succeed()?;
    cluster.fill("second", 30_000)?;
    cluster.sql("update first set note = 'changed' where id % 10 = 0")?;
    pgbackrest(&postgres, &["--type=incr", "backup"])?.succeed()?;
    let types = backups(&postgres, "type")?;
    ensure(types == ["full", "incr"], || format!("{types:?}"))
}

fn second_chain(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let cluster = postgres.start("main", &[])?;
    let held = Held::now(bench, BUCKET)?;
    cluster.fill("third", 10_000)?;
    pgbackrest(&postgres, &["--type=full", "backup"])?.succeed()?;
    let types = backups(&postgres, "type")?;
    ensure(types == ["full"], || format!("expire has left {types:?}"))?;
    // Two backups with their files, and the WAL before the second one.
    held.survived(bench, 10)
}

fn backups(postgres: &Postgres, field: &str) -> Outcome<Vec<String>> {
    let said = pgbackrest(postgres, &["--output=json", "info"])?.succeed()?;
    let said: Value = serde_json::from_str(&said)?;
    let all = said[0]["backup"].as_array().cloned().unwrap_or_default();
    let texts = all.iter().filter_map(|one| one[field].as_str());
    Ok(texts.map(str::to_owned).collect())
}

fn verify(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let said = pgbackrest(&postgres, &["--log-level-console=info", "verify"])?.finish()?;
    let lines: Vec<&str> = said.stdout.lines().chain(said.stderr.lines()).collect();
    let finished = lines
        .iter()
        .any(|line| line.contains("verify command end: completed"));
    let bad = ["ERROR", "WARN", "status: invalid"];
    let clean = !lines
        .iter()
        .any(|line| bad.iter().any(|word| line.contains(word)));
    ensure(said.status.success() && finished && clean, || {
        said.unexpected("nothing invalid").to_string()
    })
}

fn restore(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let cluster = postgres.start("main", &[])?;
    cluster.sql(
        "insert into third select 10000 + g, 'late', 'WAL only' from generate_series(1, 500) g",
    )?;
    let rows = cluster.rows(&TABLES)?;
    cluster.archive()?;
    drop(cluster);
    let into = format!("--pg1-path={}", postgres.text("new"));
    pgbackrest(&postgres, &[&into, "restore"])?.succeed()?;
    let restored = postgres.start("new", &["archive_mode=off"])?;
    let came = restored.rows(&TABLES)?;
    ensure(came == rows, || format!("{came}\ninstead of\n{rows}"))
}

fn back_in_time(bench: &Bench) -> Outcome {
    let postgres = Postgres::at(bench, DIRECTORY)?;
    let cluster = postgres.start("main", &[])?;
    let rows = cluster.rows(&TABLES)?;
    let moment = cluster.sql("select clock_timestamp()")?;
    cluster.sql("drop table second")?;
    cluster.archive()?;
    drop(cluster);
    let (into, target) = (
        format!("--pg1-path={}", postgres.text("then")),
        format!("--target={moment}"),
    );
    let when = ["--type=time", "--target-action=promote"];
    let restore = [into.as_str(), when[0], when[1], &target, "restore"];
    pgbackrest(&postgres, &restore)?.succeed()?;
    let restored = postgres.start("then", &["archive_mode=off"])?;
    let came = restored.rows(&TABLES)?;
    ensure(came == rows, || format!("{came}\ninstead of\n{rows}"))
}
