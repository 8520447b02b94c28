//! aws-cli's exam, `s3 sync` and `s3 rm`: Debian's 2.9, and version 1 of today from PyPI, which signs
//! uploads in chunks with a checksum behind them.

use super::held::Held;
use super::{Bench, Case, aws, change_tree, make_tree, same_tree};
use crate::command::Run;
use crate::failure::Outcome;
use crate::install::{PYTHON, Wheel};
use std::path::PathBuf;

/// Debian's.
pub const DEBIAN: [Case; 2] = [
    (
        "aws 2.9: sync, change, sync --delete; all survives",
        |bench| synced(bench, &OLD),
    ),
    ("aws 2.9: rm --recursive loses nothing", |bench| {
        removed(bench, &OLD)
    }),
];
/// Today's.
pub const PYPI: [Case; 2] = [
    (
        "aws now: sync, change, sync --delete; all survives",
        |bench| synced(bench, &NEW),
    ),
    ("aws now: rm --recursive loses nothing", |bench| {
        removed(bench, &NEW)
    }),
];

/// One of the two.
struct Edition {
    bucket: &'static str,
    call: fn(&Bench, &[&str]) -> Outcome<Run>,
}

const OLD: Edition = Edition {
    bucket: "aws-exam-old",
    call: aws::command,
};
const NEW: Edition = Edition {
    bucket: "aws-exam-new",
    call: now,
};

fn now(bench: &Bench, arguments: &[&str]) -> Outcome<Run> {
    let directory = Wheel::AWS.directory(bench.tools);
    Ok(bench
        .client(PYTHON.program, &aws::VARIABLES)?
        .env("PYTHONPATH", directory)
        .env("AWS_ENDPOINT_URL", bench.variable("AWS_ENDPOINT_URL")?)
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .args(["-m", "awscli"])
        .args(arguments))
}

impl Edition {
    fn succeed(&self, bench: &Bench, arguments: &[&str]) -> Outcome {
        (self.call)(bench, arguments)?.succeed().map(drop)
    }

    fn source(&self, bench: &Bench) -> PathBuf {
        bench.scratch.join(&format!("{}-source", self.bucket))
    }

    fn remote(&self) -> String {
        format!("s3://{}/tree", self.bucket)
    }
}

fn synced(bench: &Bench, edition: &Edition) -> Outcome {
    let (source, remote) = (edition.source(bench), edition.remote());
    let from = source.to_string_lossy();
    make_tree(&source, 31, 40)?;
    // Above the size from which it uploads in parts.
    super::make_file(&source.join("dir 0").join("large"), 20 << 20, 32)?;
    edition.succeed(bench, &["s3", "mb", &format!("s3://{}", edition.bucket)])?;
    edition.succeed(bench, &["s3", "sync", "--no-progress", &from, &remote])?;
    let held = Held::now(bench, edition.bucket)?;
    change_tree(&source, 33)?;
    let sync = ["s3", "sync", "--no-progress", "--delete", &from, &remote];
    edition.succeed(bench, &sync)?;
    let target = bench.scratch.join(&format!("{}-restored", edition.bucket));
    let to = target.to_string_lossy();
    edition.succeed(bench, &["s3", "sync", "--no-progress", &remote, &to])?;
    same_tree(&source, &target)?;
    held.survived(bench, 9)
}

fn removed(bench: &Bench, edition: &Edition) -> Outcome {
    let held = Held::now(bench, edition.bucket)?;
    let remove = ["s3", "rm", "--recursive", &edition.remote()];
    edition.succeed(bench, &remove)?;
    held.survived(bench, 35)
}
