//! Debian's restic 0.14, as a user backs up with it.

use super::held::Held;
use super::{Bench, Case, make_file, make_tree, same_tree};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install;
use std::path::{Path, PathBuf};

const VARIABLES: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
];

/// The checks in order.
pub const CASES: [Case; 9] = [
    ("restic: init", init),
    ("restic: three backups of a changing tree", backups),
    ("restic: check --read-data", check),
    ("restic: restore gives the same tree", restore),
    ("restic: stale locks are removed", unlock),
    ("restic: forget", forget),
    (
        "restic: forget --prune, then check --read-data; all survives",
        prune,
    ),
    ("restic: restore after prune gives the same tree", restore),
    ("restic: a wrong password opens nothing", wrong_password),
];

fn restic(bench: &Bench) -> Outcome<Run> {
    let url = bench.variable("AWS_ENDPOINT_URL")?;
    Ok(bench
        .client(install::RESTIC.program, &VARIABLES)?
        .env("RESTIC_PASSWORD", "a test password")
        .env(
            "RESTIC_REPOSITORY",
            format!("s3:{url}/restic-bucket/repository"),
        )
        .args(["--cacert", bench.variable("AWS_CA_BUNDLE")?]))
}

fn source(bench: &Bench) -> PathBuf {
    bench.scratch.join("restic-source")
}

fn init(bench: &Bench) -> Outcome {
    restic(bench)?.arg("init").succeed().map(drop)
}

fn backup(bench: &Bench) -> Outcome {
    restic(bench)?
        .args(["backup", "restic-source"])
        .succeed()
        .map(drop)
}

fn backups(bench: &Bench) -> Outcome {
    let source = source(bench);
    make_tree(&source, 1, 60)?;
    backup(bench)?;
    make_file(&source.join("dir 0").join("one more"), 3_000_000, 77)?;
    backup(bench)?;
    std::fs::remove_dir_all(source.join("dir 1"))?;
    make_file(&source.join("dir 0").join("one more"), 2_000_000, 78)?;
    backup(bench)?;
    let listed = restic(bench)?.args(["snapshots", "--json"]).succeed()?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let count = listed.as_array().map_or(0, Vec::len);
    ensure(count == 3, || format!("{count} snapshots"))
}

fn check(bench: &Bench) -> Outcome {
    restic(bench)?
        .args(["check", "--read-data"])
        .succeed()
        .map(drop)
}

fn restore(bench: &Bench) -> Outcome {
    let target = bench.scratch.join("restic-restored");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let path = target.to_string_lossy().into_owned();
    restic(bench)?
        .args(["restore", "latest", "--target", &path])
        .succeed()?;
    same_tree(&source(bench), &target.join(Path::new("restic-source")))
}

/// A backup that is killed leaves its lock; `unlock --remove-all` deletes it.
fn unlock(bench: &Bench) -> Outcome {
    let mut command = restic(bench)?.args(["backup", "--stdin"]).into_command();
    let mut child = command.stdin(std::process::Stdio::piped()).spawn()?;
    let locked = wait_for_lock(bench);
    child.kill()?;
    child.wait()?;
    locked?;
    restic(bench)?.args(["unlock", "--remove-all"]).succeed()?;
    let locks = locks(bench)?;
    ensure(locks.is_empty(), || format!("still locked: {locks}"))
}

fn locks(bench: &Bench) -> Outcome<String> {
    let listed = restic(bench)?
        .args(["list", "locks", "--no-lock"])
        .succeed()?;
    Ok(listed.trim().to_owned())
}

fn wait_for_lock(bench: &Bench) -> Outcome {
    for _ in 0..100 {
        if !locks(bench)?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(Failure::new("the backup made no lock"))
}

fn forget(bench: &Bench) -> Outcome {
    restic(bench)?
        .args(["forget", "--keep-last", "2"])
        .succeed()?;
    let listed = restic(bench)?.args(["snapshots", "--json"]).succeed()?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let count = listed.as_array().map_or(0, Vec::len);
    ensure(count == 2, || format!("{count} snapshots"))
}

fn prune(bench: &Bench) -> Outcome {
    let held = Held::now(bench, "restic-bucket")?;
    restic(bench)?
        .args(["forget", "--keep-last", "1", "--prune"])
        .succeed()?;
    check(bench)?;
    held.survived(bench, 2)
}

fn wrong_password(bench: &Bench) -> Outcome {
    let run = restic(bench)?
        .env("RESTIC_PASSWORD", "not the password")
        .arg("snapshots");
    run.finish()?.expect_refusal("wrong password")
}
