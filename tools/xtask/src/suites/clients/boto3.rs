//! boto3 of today, as a backup script of one's own uses it.

use super::held::Held;
use super::{Bench, Case, aws, change_tree, make_file, make_tree, same_tree};
use crate::failure::{Outcome, ensure};
use crate::install::{PYTHON, Wheel};
use std::path::PathBuf;

const BUCKET: &str = "boto3-exam";
const SCRIPT: &str = include_str!("boto3_exam.py");

/// The checks in order.
pub const CASES: [Case; 4] = [
    ("boto3: upload a tree, some of it in parts", upload),
    (
        "boto3: upload again after changes, delete what is gone",
        again,
    ),
    ("boto3: download gives the same tree", download),
    (
        "boto3: locks are seen, deleting a version is refused with AccessDenied",
        locks,
    ),
];

fn script(bench: &Bench, arguments: &[&str]) -> Outcome<String> {
    bench
        .client(PYTHON.program, &aws::VARIABLES)?
        .env("PYTHONPATH", Wheel::BOTO3.directory(bench.tools))
        .env("AWS_ENDPOINT_URL", bench.variable("AWS_ENDPOINT_URL")?)
        .env("AWS_MAX_ATTEMPTS", "1")
        .args(["-c", SCRIPT, BUCKET])
        .args(arguments)
        .succeed()
}

fn source(bench: &Bench) -> PathBuf {
    bench.scratch.join("boto3-source")
}

fn upload(bench: &Bench) -> Outcome {
    let source = source(bench);
    make_tree(&source, 41, 40)?;
    make_file(&source.join("dir 0").join("large"), 20 << 20, 42)?;
    script(bench, &["upload", &source.to_string_lossy()]).map(drop)
}

fn again(bench: &Bench) -> Outcome {
    let held = Held::now(bench, BUCKET)?;
    let source = source(bench);
    change_tree(&source, 43)?;
    script(bench, &["upload", &source.to_string_lossy()])?;
    held.survived(bench, 9)
}

fn download(bench: &Bench) -> Outcome {
    let target = bench.scratch.join("boto3-restored");
    script(bench, &["download", &target.to_string_lossy()])?;
    same_tree(&source(bench), &target)
}

fn locks(bench: &Bench) -> Outcome {
    let said = script(bench, &["locks", "dir 3/new file"])?;
    ensure(said.trim() == "COMPLIANCE AccessDenied", || {
        format!("the script said {said}")
    })
}
