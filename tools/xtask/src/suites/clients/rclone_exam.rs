//! rclone's exam: Debian's 1.60, and the one of today from PyPI, which signs and lists otherwise.

use super::held::Held;
use super::{Bench, Case, change_tree, make_file, make_tree, rclone, same_tree};
use crate::command::Run;
use crate::failure::{Outcome, ensure};
use crate::install::{self, Wheel};
use std::path::PathBuf;

/// Debian's.
pub const DEBIAN: [Case; 4] = [
    ("rclone 1.60: sync, change, sync; all survives", |bench| {
        synced(bench, &OLD)
    }),
    ("rclone 1.60: purge is refused and loses nothing", |bench| {
        purged(bench, &OLD)
    }),
    ("rclone 1.60: a version of before can be read", |bench| {
        version_at(bench, &OLD)
    }),
    ("rclone 1.60: tags go with uploads of both kinds", |bench| {
        tagged(bench, &OLD)
    }),
];
/// Today's.
pub const PYPI: [Case; 4] = [
    ("rclone now: sync, change, sync; all survives", |bench| {
        synced(bench, &NEW)
    }),
    ("rclone now: purge is refused and loses nothing", |bench| {
        purged(bench, &NEW)
    }),
    ("rclone now: a version of before can be read", |bench| {
        version_at(bench, &NEW)
    }),
    ("rclone now: tags go with uploads of both kinds", |bench| {
        tagged(bench, &NEW)
    }),
];

/// One of the two.
struct Edition {
    bucket: &'static str,
    wheel: Option<Wheel>,
}

const OLD: Edition = Edition {
    bucket: "rclone-exam-old",
    wheel: None,
};
const NEW: Edition = Edition {
    bucket: "rclone-exam-new",
    wheel: Some(Wheel::RCLONE),
};

impl Edition {
    fn run(&self, bench: &Bench, arguments: &[&str]) -> Outcome<Run> {
        let program = match &self.wheel {
            None => install::RCLONE.program.into(),
            Some(wheel) => wheel.path(bench.tools),
        };
        Ok(rclone::with(bench, program)?.args(arguments))
    }

    fn remote(&self) -> String {
        format!("vault:{}/tree", self.bucket)
    }

    fn source(&self, bench: &Bench) -> PathBuf {
        bench.scratch.join(&format!("{}-source", self.bucket))
    }
}

fn synced(bench: &Bench, edition: &Edition) -> Outcome {
    let (source, remote) = (edition.source(bench), edition.remote());
    let from = source.to_string_lossy();
    make_tree(&source, 21, 40)?;
    let bucket = format!("vault:{}", edition.bucket);
    edition.run(bench, &["mkdir", &bucket])?.succeed()?;
    edition.run(bench, &["sync", &from, &remote])?.succeed()?;
    let held = Held::now(bench, edition.bucket)?;
    change_tree(&source, 22)?;
    edition.run(bench, &["sync", &from, &remote])?.succeed()?;
    let target = bench.scratch.join(&format!("{}-restored", edition.bucket));
    let to = target.to_string_lossy();
    edition.run(bench, &["copy", &remote, &to])?.succeed()?;
    same_tree(&source, &target)?;
    held.survived(bench, 9)
}

/// `purge` deletes by version, which is refused; what it could do is hide.
fn purged(bench: &Bench, edition: &Edition) -> Outcome {
    let held = Held::now(bench, edition.bucket)?;
    let bucket = format!("vault:{}", edition.bucket);
    let done = edition.run(bench, &["purge", &bucket])?.finish()?;
    ensure(!done.status.success(), || {
        done.unexpected("a refusal").to_string()
    })?;
    held.survived(bench, 0)
}

/// `--s3-versions` is how a file comes back that was deleted or overwritten.
fn version_at(bench: &Bench, edition: &Edition) -> Outcome {
    let versions = edition.run(bench, &["lsf", "-R", "--files-only", "--s3-versions"])?;
    let listed = versions.arg(edition.remote()).succeed()?;
    let gone = listed.lines().filter(|line| line.starts_with("dir 2/"));
    let gone = gone.collect::<Vec<_>>();
    ensure(gone.len() == 8, || format!("not all listed: {listed}"))?;
    let target = bench.scratch.join(&format!("{}-old", edition.bucket));
    let from = format!("{}/dir 2", edition.remote());
    let to = target.to_string_lossy().into_owned();
    edition
        .run(bench, &["copy", "--s3-versions", &from, &to])?
        .succeed()?;
    let count = std::fs::read_dir(&target)?.count();
    ensure(count == 8, || format!("{count} files came back"))
}

/// In parts the header goes with the beginning of the upload alone: on a part it would be refused.
fn tagged(bench: &Bench, edition: &Edition) -> Outcome {
    const WISHES: [&str; 6] = [
        "--header-upload",
        "X-Amz-Tagging: purpose=exam&of=rclone",
        "--s3-upload-cutoff",
        "5M",
        "--s3-chunk-size",
        "5M",
    ];
    for (key, bytes) in [("in one piece", 1_000), ("in parts", 11 << 20)] {
        let file = bench.scratch.join(&format!("{}-{key}", edition.bucket));
        make_file(&file, bytes, 23)?;
        let to = format!("vault:{}/{key}", edition.bucket);
        let from = file.to_string_lossy();
        let copied = edition.run(bench, &["copyto", &from, &to])?;
        copied.args(WISHES).succeed()?;
        let answer = bench.server.client().tags(edition.bucket, key)?;
        let document = answer.expect(200)?.text();
        let tags = [("purpose", "exam"), ("of", "rclone")];
        let has =
            |(name, value)| document.contains(&format!("<Key>{name}</Key><Value>{value}</Value>"));
        ensure(tags.into_iter().all(has), || format!("{key}: {document}"))?;
    }
    Ok(())
}
