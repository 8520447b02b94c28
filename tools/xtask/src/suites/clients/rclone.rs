//! Debian's rclone 1.60. It fails when AWS_CA_BUNDLE is set, so it gets its own CA variable.

use super::{Bench, Case, make_file, make_tree, same_tree};
use crate::command::Run;
use crate::failure::{Outcome, ensure};
use crate::install;
use std::ffi::OsStr;

const VARIABLES: [&str; 1] = ["RCLONE_CA_CERT"];
const REMOTE: &str = "vault:rclone-bucket/tree";

/// The checks in order.
pub const CASES: [Case; 9] = [
    ("rclone: mkdir and lsd", mkdir),
    ("rclone: sync up", sync),
    ("rclone: check and check --download", check),
    ("rclone: lsf lists every file", lsf),
    ("rclone: a second sync after changes", sync_again),
    ("rclone: copy down gives the same tree", copy_down),
    ("rclone: deletefile hides one file", deletefile),
    ("rclone: a multipart upload", large),
    ("rclone: moveto renames inside the vault", moveto),
];

fn rclone(bench: &Bench) -> Outcome<Run> {
    with(bench, install::RCLONE.program)
}

/// A call of this rclone, which knows the vault as `vault:`.
pub fn with(bench: &Bench, program: impl AsRef<OsStr>) -> Outcome<Run> {
    Ok(bench
        .client(program, &VARIABLES)?
        .env("RCLONE_CONFIG", bench.scratch.join("no-such-rclone.conf"))
        .env("RCLONE_CONFIG_VAULT_TYPE", "s3")
        .env("RCLONE_CONFIG_VAULT_PROVIDER", "Other")
        .env("RCLONE_CONFIG_VAULT_FORCE_PATH_STYLE", "true")
        .env(
            "RCLONE_CONFIG_VAULT_ENDPOINT",
            bench.variable("AWS_ENDPOINT_URL")?,
        )
        .env(
            "RCLONE_CONFIG_VAULT_ACCESS_KEY_ID",
            bench.variable("AWS_ACCESS_KEY_ID")?,
        )
        .env(
            "RCLONE_CONFIG_VAULT_SECRET_ACCESS_KEY",
            bench.variable("AWS_SECRET_ACCESS_KEY")?,
        )
        .env(
            "RCLONE_CONFIG_VAULT_REGION",
            bench.variable("AWS_DEFAULT_REGION")?,
        )
        .args(["--retries", "1", "--low-level-retries", "1"]))
}

fn source(bench: &Bench) -> String {
    bench
        .scratch
        .join("rclone-source")
        .to_string_lossy()
        .into_owned()
}

fn mkdir(bench: &Bench) -> Outcome {
    rclone(bench)?
        .args(["mkdir", "vault:rclone-bucket"])
        .succeed()?;
    let listed = rclone(bench)?.args(["lsd", "vault:"]).succeed()?;
    ensure(listed.contains("rclone-bucket"), || {
        format!("not listed: {listed}")
    })
}

fn sync(bench: &Bench) -> Outcome {
    make_tree(&bench.scratch.join("rclone-source"), 2, 40)?;
    rclone(bench)?
        .args(["sync", &source(bench), REMOTE])
        .succeed()
        .map(drop)
}

fn check(bench: &Bench) -> Outcome {
    rclone(bench)?
        .args(["check", &source(bench), REMOTE])
        .succeed()?;
    rclone(bench)?
        .args(["check", "--download", &source(bench), REMOTE])
        .succeed()
        .map(drop)
}

fn lsf(bench: &Bench) -> Outcome {
    let listed = rclone(bench)?
        .args(["lsf", "-R", "--files-only", REMOTE])
        .succeed()?;
    let local = rclone(bench)?
        .args(["lsf", "-R", "--files-only", &source(bench)])
        .succeed()?;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    ensure(sorted(&listed) == sorted(&local), || {
        format!("{listed}\ninstead of\n{local}")
    })
}

fn sync_again(bench: &Bench) -> Outcome {
    let root = bench.scratch.join("rclone-source");
    std::fs::remove_dir_all(root.join("dir 2"))?;
    make_file(&root.join("dir 3").join("new file"), 123_456, 5)?;
    rclone(bench)?
        .args(["sync", &source(bench), REMOTE])
        .succeed()?;
    check(bench)
}

fn copy_down(bench: &Bench) -> Outcome {
    let target = bench.scratch.join("rclone-restored");
    rclone(bench)?
        .args(["copy", REMOTE, &target.to_string_lossy()])
        .succeed()?;
    same_tree(&bench.scratch.join("rclone-source"), &target)
}

fn deletefile(bench: &Bench) -> Outcome {
    let file = format!("{REMOTE}/dir 3/new file");
    rclone(bench)?.args(["deletefile", &file]).succeed()?;
    let listed = rclone(bench)?
        .args(["lsf", &format!("{REMOTE}/dir 3")])
        .succeed()?;
    ensure(!listed.contains("new file"), || {
        format!("still listed: {listed}")
    })
}

fn large(bench: &Bench) -> Outcome {
    let (up, down) = (
        bench.scratch.join("rclone-large"),
        bench.scratch.join("rclone-large.back"),
    );
    let sent = make_file(&up, 40 << 20, 9)?;
    let cut = ["--s3-upload-cutoff", "8M", "--s3-chunk-size", "8M"];
    let (from, to) = (
        up.to_string_lossy().into_owned(),
        down.to_string_lossy().into_owned(),
    );
    rclone(bench)?
        .args(cut)
        .args(["copyto", &from, "vault:rclone-bucket/large"])
        .succeed()?;
    rclone(bench)?
        .args(["copyto", "vault:rclone-bucket/large", &to])
        .succeed()?;
    let got = super::file_digest(&down)?;
    ensure(got == sent, || "other bytes came back".to_owned())
}

fn moveto(bench: &Bench) -> Outcome {
    let (from, to) = ("vault:rclone-bucket/large", "vault:rclone-bucket/renamed");
    rclone(bench)?.args(["moveto", from, to]).succeed()?;
    let listed = rclone(bench)?
        .args(["lsf", "vault:rclone-bucket"])
        .succeed()?;
    let moved = listed.contains("renamed") && !listed.contains("large");
    ensure(moved, || format!("listed: {listed}"))?;
    let sent = super::file_digest(&bench.scratch.join("rclone-large"))?;
    let down = bench.scratch.join("rclone-renamed.back");
    rclone(bench)?
        .args(["copyto", to, &down.to_string_lossy()])
        .succeed()?;
    let got = super::file_digest(&down)?;
    ensure(got == sent, || "other bytes came back".to_owned())
}
