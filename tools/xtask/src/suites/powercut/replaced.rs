//! A disk fails under clients that write, and the commands that the vault prints lead back to health while they go on.

use super::{BUCKET, Campaign};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::server::{Server, verify_disks};
use crate::workspace::Workspace;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes after which disk 2 fails.
const FAIL_WRITES: u64 = 600;
/// Each state must come within this time.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

/// Lets disk 2 fail, and does as the vault says.
pub(super) fn as_printed(workspace: &Workspace, evil: &Path, inspect: &Path, seed: u64) -> Outcome {
    let mut scratch = workspace.scratch("powercut-replaced")?;
    let mut campaign = Campaign::new(evil, inspect, &scratch, seed);
    let outcome = all(&mut campaign, &scratch.join("new.disk"), seed);
    outcome.inspect_err(|_| scratch.keep())
}

fn all(campaign: &mut Campaign<'_>, fresh: &Path, seed: u64) -> Outcome {
    let vault = Vault {
        program: campaign.evil.to_owned(),
        directory: campaign.vault.clone(),
    };
    let plan = format!("seed={seed},fail=2:{FAIL_WRITES}");
    let mut server = Server::start_with(campaign.evil, &campaign.vault, &plan)?;
    server.client().create_bucket(BUCKET, true)?.expect(200)?;
    let mended = |_: &mut Server| {
        let failed = |status: &Value| {
            let health = status["disks"][1]["health"].as_str();
            health.is_some_and(|health| health.starts_with("failed"))
        };
        let status = vault.wait_for("disk 2 fails", failed)?;
        vault.obey(&status, fresh)?;
        vault.wait_for("the vault is well again", |status| status["state"] == "ok")
    };
    campaign.work_until(&mut server, 1, mended)?;
    campaign.read_back(&server)?;
    server.stop()?;
    let server = Server::start_with(campaign.evil, &campaign.vault, "seed=1")?;
    campaign.read_back(&server)?;
    let status = vault.status()?;
    ensure(status["state"] == "ok", || {
        format!("after the next start: {status}")
    })?;
    server.stop()?;
    verify_disks(campaign.inspect, &campaign.vault)
}

/// What an operator has of it: the program and the directory.
struct Vault {
    program: PathBuf,
    directory: PathBuf,
}

impl Vault {
    fn status(&self) -> Outcome<Value> {
        let json = Run::new(&self.program)
            .args(["status", "--json", "--vault"])
            .arg(&self.directory)
            .succeed()?;
        Ok(serde_json::from_str(&json)?)
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status()?;
            if holds(&status) {
                return Ok(status);
            }
            ensure(Instant::now() < end, || {
                format!("not yet: {what}\n{status}")
            })?;
            std::thread::sleep(LOOK);
        }
    }

    /// Runs the command that the status prints for a blank disk, with that disk where it says PATH.
    fn obey(&self, status: &Value, fresh: &Path) -> Outcome {
        let old = std::fs::metadata(self.directory.join("disk2.disk"))?;
        std::fs::File::create_new(fresh)?.set_len(old.len())?;
        let steps = status["next"].as_array().map(Vec::as_slice);
        let commands = steps.unwrap_or_default().iter();
        let mut commands = commands.filter_map(|step| step["command"].as_str());
        let printed = commands.find(|command| command.contains("disk replace"));
        let unsaid = || Failure::new(format!("no command puts a disk in its place: {status}"));
        let words = printed.ok_or_else(unsaid)?.split(' ').skip(1);
        let words = words.map(|word| match word {
            "PATH" => fresh.as_os_str(),
            word => word.as_ref(),
        });
        Run::new(&self.program).args(words).succeed().map(drop)
    }
}
