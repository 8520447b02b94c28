//! Getting the programs a suite needs from Debian's archive.
//!
//! On Debian and as root a missing program is installed; elsewhere the reason says what to do,
//! and the caller skips (which is a failure on a CI machine).

use crate::command::{Run, quote};
use crate::failure::{Failure, Outcome};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program and the Debian package that brings it.
pub struct Tool {
    /// Where the package puts the program; other copies on PATH are not what is tested.
    pub program: &'static str,
    /// Package name.
    pub package: &'static str,
}

/// aws-cli 2.9.
pub const AWS: Tool = Tool {
    program: "/usr/bin/aws",
    package: "awscli",
};
/// restic 0.14.
pub const RESTIC: Tool = Tool {
    program: "/usr/bin/restic",
    package: "restic",
};
/// rclone 1.60.
pub const RCLONE: Tool = Tool {
    program: "/usr/bin/rclone",
    package: "rclone",
};
/// OpenSSL's command line, for the TLS checks.
pub const OPENSSL: Tool = Tool {
    program: "/usr/bin/openssl",
    package: "openssl",
};
/// The I/O benchmark.
pub const FIO: Tool = Tool {
    program: "/usr/bin/fio",
    package: "fio",
};

const APT_DEADLINE: Duration = Duration::from_secs(900);

/// Makes sure that every tool is there.
///
/// Fails with what a person has to do when a tool is missing and cannot be installed.
pub fn require(tools: &[Tool]) -> Outcome {
    let missing: Vec<&str> = tools
        .iter()
        .filter(|tool| !Path::new(tool.program).is_file())
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !PathBuf::from("/usr/bin/apt-get").is_file() {
        return Err(Failure::new(format!(
            "needs {list}, and this is not a Debian machine"
        )));
    }
    if !nix::unistd::geteuid().is_root() {
        let hint = format!("run `apt-get install --no-install-recommends {list}` as root first");
        return Err(Failure::new(format!("needs {list}: {hint}")));
    }
    println!("installing {list}");
    let first = apt_install(&missing)?;
    if first.is_ok() {
        return Ok(());
    }
    // The package lists may be absent (a new machine) or too old: fetch them and try once more.
    let update = apt(&["update"]).finish()?;
    match apt_install(&missing)? {
        Ok(()) => Ok(()),
        Err(said) => {
            let said = quote(&format!("{}\n{said}", update.stderr));
            Err(Failure::new(format!("cannot install {list}\n{said}")))
        }
    }
}

fn apt(args: &[&str]) -> Run {
    Run::new("/usr/bin/apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
        .args(args)
        .deadline(APT_DEADLINE)
}

/// The inner result is apt's own verdict, the outer one whether it could be run.
fn apt_install(packages: &[&str]) -> Outcome<Result<(), String>> {
    let run = apt(&["install", "-y", "--no-install-recommends"]).args(packages);
    let finished = run.finish()?;
    match finished.status.success() {
        true => Ok(Ok(())),
        false => Ok(Err(format!("{}\n{}", finished.stdout, finished.stderr))),
    }
}
