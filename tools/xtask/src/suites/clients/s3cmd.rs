//! Debian's s3cmd 2.3.

use super::held::Held;
use super::{Bench, Case, change_tree, make_file, make_tree, same_tree};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install;
use std::path::PathBuf;

const BUCKET: &str = "s3cmd-exam";
const REMOTE: &str = "s3://s3cmd-exam/tree/";

/// The checks in order.
pub const CASES: [Case; 4] = [
    ("s3cmd: mb and sync up, some of it in parts", up),
    ("s3cmd: sync --delete-removed; all survives", again),
    ("s3cmd: sync down gives the same tree", down),
    ("s3cmd: del --recursive loses nothing", delete),
];

fn s3cmd(bench: &Bench, arguments: &[&str]) -> Outcome<Run> {
    let url = bench.variable("AWS_ENDPOINT_URL")?;
    let host = url
        .strip_prefix("https://")
        .ok_or_else(|| Failure::new("the endpoint is not https"))?;
    let config = format!(
        "[default]\naccess_key = {}\nsecret_key = {}\nbucket_location = {}\nhost_base = {host}\n\
         host_bucket = {host}\nca_certs_file = {}\nuse_https = True\nsignature_v2 = False\n\
         max_retries = 1\n",
        bench.variable("AWS_ACCESS_KEY_ID")?,
        bench.variable("AWS_SECRET_ACCESS_KEY")?,
        bench.variable("AWS_DEFAULT_REGION")?,
        bench.variable("AWS_CA_BUNDLE")?,
    );
    let file = bench.scratch.join("s3cfg");
    std::fs::write(&file, config)?;
    let run = bench.client(install::S3CMD.program, &[])?;
    Ok(run
        .arg("--config")
        .arg(file)
        .arg("--no-progress")
        .args(arguments))
}

fn source(bench: &Bench) -> PathBuf {
    bench.scratch.join("s3cmd-source")
}

fn up(bench: &Bench) -> Outcome {
    let source = source(bench);
    make_tree(&source, 51, 40)?;
    make_file(&source.join("dir 0").join("large"), 20 << 20, 52)?;
    s3cmd(bench, &["mb", &format!("s3://{BUCKET}")])?.succeed()?;
    let from = format!("{}/", source.display());
    s3cmd(bench, &["sync", &from, REMOTE])?.succeed().map(drop)
}

fn again(bench: &Bench) -> Outcome {
    let held = Held::now(bench, BUCKET)?;
    let source = source(bench);
    change_tree(&source, 53)?;
    let from = format!("{}/", source.display());
    s3cmd(bench, &["sync", "--delete-removed", &from, REMOTE])?.succeed()?;
    held.survived(bench, 9)
}

fn down(bench: &Bench) -> Outcome {
    let target = bench.scratch.join("s3cmd-restored");
    std::fs::create_dir_all(&target)?;
    let to = format!("{}/", target.display());
    s3cmd(bench, &["sync", REMOTE, &to])?.succeed()?;
    same_tree(&source(bench), &target)
}

fn delete(bench: &Bench) -> Outcome {
    let held = Held::now(bench, BUCKET)?;
    s3cmd(bench, &["del", "--recursive", "--force", REMOTE])?.succeed()?;
    let listed = s3cmd(bench, &["ls", "--recursive", REMOTE])?.succeed()?;
    ensure(listed.trim().is_empty(), || {
        format!("still listed: {listed}")
    })?;
    held.survived(bench, 35)
}
