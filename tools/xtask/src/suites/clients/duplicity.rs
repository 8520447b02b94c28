//! Debian's duplicity 0.8.22, through boto3.

use super::held::Held;
use super::{Bench, Case, aws, change_tree, make_tree, same_tree};
use crate::command::Run;
use crate::failure::{Outcome, ensure};
use crate::install::{self, Tool};
use std::path::PathBuf;

const BUCKET: &str = "duplicity-exam";
const REMOTE: &str = "boto3+s3://duplicity-exam/chain";

/// What it needs.
pub const TOOLS: [Tool; 2] = [install::DUPLICITY, install::BOTO3];

/// The checks in order.
pub const CASES: [Case; 4] = [
    ("duplicity: full, change, incremental", first_chain),
    (
        "duplicity: a second full, remove-all-but-n-full; all survives",
        second_chain,
    ),
    ("duplicity: restore gives the same tree", restore),
    ("duplicity: collection-status knows one chain", status),
];

fn duplicity(bench: &Bench, arguments: &[&str]) -> Outcome<Run> {
    Ok(bench
        .client(install::DUPLICITY.program, &aws::VARIABLES)?
        .arg(arguments[0])
        .args(["--no-encryption", "--volsize", "5"])
        .args(["--s3-endpoint-url", bench.variable("AWS_ENDPOINT_URL")?])
        .args(&arguments[1..]))
}

fn source(bench: &Bench) -> PathBuf {
    bench.scratch.join("duplicity-source")
}

fn backup(bench: &Bench, kind: &str) -> Outcome {
    // It names its archives by the second, and two of one second confuse it.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let source = source(bench);
    let from = source.to_string_lossy();
    duplicity(bench, &[kind, &from, REMOTE])?
        .succeed()
        .map(drop)
}

fn first_chain(bench: &Bench) -> Outcome {
    bench
        .server
        .client()
        .create_bucket(BUCKET, false)?
        .expect(200)?;
    make_tree(&source(bench), 61, 40)?;
    backup(bench, "full")?;
    change_tree(&source(bench), 62)?;
    backup(bench, "incremental")
}

fn second_chain(bench: &Bench) -> Outcome {
    let held = Held::now(bench, BUCKET)?;
    backup(bench, "full")?;
    let expire = ["remove-all-but-n-full", "1", "--force", REMOTE];
    duplicity(bench, &expire)?.succeed()?;
    held.survived(bench, 6)
}

fn restore(bench: &Bench) -> Outcome {
    let target = bench.scratch.join("duplicity-restored");
    duplicity(bench, &["restore", REMOTE, &target.to_string_lossy()])?.succeed()?;
    same_tree(&source(bench), &target)
}

fn status(bench: &Bench) -> Outcome {
    let said = duplicity(bench, &["collection-status", REMOTE])?.succeed()?;
    ensure(said.contains("Number of contained backup sets: 1"), || {
        format!("it said {said}")
    })
}
