//! Programs of today, from PyPI, for pages that are executed with Debian's and with these.
//!
//! They stand first in PATH under the names that the pages call.

use crate::failure::{Failure, Outcome, ensure};
use crate::install::{PYTHON, Wheel};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What comes from PyPI in the place of what Debian has.
pub struct Today {
    wheel: Wheel,
    /// The name by which a page calls it.
    program: &'static str,
    /// What starts it, from the directory of its package.
    start: fn(&Path) -> String,
}

impl Today {
    /// rclone.
    pub const RCLONE: Today = Today {
        wheel: Wheel::RCLONE,
        program: "rclone",
        start: |directory| format!("'{}/bin/rclone'", directory.display()),
    };
    /// aws-cli.
    pub const AWS: Today = Today {
        wheel: Wheel::AWS,
        program: "aws",
        start: |directory| {
            let (directory, python) = (directory.display(), PYTHON.program);
            format!("env PYTHONPATH='{directory}' {python} -m awscli")
        },
    };
    /// Python, which finds today's boto3.
    pub const BOTO3: Today = Today {
        wheel: Wheel::BOTO3,
        program: "python3",
        start: |directory| {
            let (directory, python) = (directory.display(), PYTHON.program);
            format!("env PYTHONPATH='{directory}' {python}")
        },
    };

    /// Makes sure that it is there.
    pub fn require(&self, tools: &Path) -> Outcome {
        self.wheel.require(tools)
    }

    /// The page names the version it is executed with.
    pub fn is_named_in(&self, text: &str) -> Outcome {
        let version = self.wheel.version;
        ensure(text.contains(version), || {
            format!("the page does not say that it is executed with {version}")
        })
    }

    /// A folder for the front of PATH, with nothing else in it.
    pub fn folder(&self, tools: &Path, into: &Path) -> Outcome<PathBuf> {
        let folder = into.join(format!("today-{}", self.program));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(self.program);
        let start = (self.start)(&self.wheel.directory(tools));
        let script = format!("#!/bin/sh\nexec {start} \"$@\"\n");
        let written = std::fs::write(&file, script);
        written.map_err(|error| Failure::path("cannot write", &file, &error))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }
}
