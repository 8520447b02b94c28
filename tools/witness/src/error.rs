//! Why nothing is cosigned.

use std::io;
use std::path::{Path, PathBuf};

use stele_format::checkpoint::{CheckpointError, Origin};
use stele_format::tree::proof::ProofError;
use thiserror::Error;

/// Why nothing is cosigned.
#[derive(Debug, Error)]
pub enum Refusal {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than anything that is read here.
    #[error("{}: longer than anything a witness reads", .0.display())]
    Long(PathBuf),
    /// The file is no key of a witness.
    #[error("{}: not the key of a witness", .0.display())]
    Key(PathBuf),
    /// The state is damaged; a witness that forgot what it saw is none.
    #[error(
        "{}: what this witness knows of the log cannot be read; take it from a copy, or begin with a new key", .0.display()
    )]
    State(PathBuf),
    /// A note or key is not believed.
    #[error("the checkpoint or key is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log is not known.
    #[error(
        "the log {0} is not known to this witness; `stele-witness trust` makes it known, with its key"
    )]
    Unknown(Origin),
    /// The log is known with another key.
    #[error("the log {0} is known with another key")]
    OtherKey(Origin),
    /// The file is no proof of consistency.
    #[error(
        "it is no proof that one log is the beginning of another, as `stele-inspect prove --consistency` writes it"
    )]
    ProofForm,
    /// The proof is of other logs than these.
    #[error("the proof is of {older} and {newer} records, and {seen} and {offered} are needed")]
    ProofSizes {
        /// In the proof.
        older: u64,
        /// In the proof.
        newer: u64,
        /// Seen before.
        seen: u64,
        /// In the checkpoint.
        offered: u64,
    },
    /// A proof is needed.
    #[error(
        "this witness saw {seen} records of the log before: bring the proof that they are the beginning of these \
         {offered}: stele-inspect prove DISKS --consistency {seen} {offered}"
    )]
    ProofMissing {
        /// Seen before.
        seen: u64,
        /// In the checkpoint.
        offered: u64,
    },
    /// The checkpoint is older than what was seen.
    #[error(
        "this witness saw {seen} records of the log before, and the checkpoint has {offered}: it is an old one, or an \
         older state of the vault was put back. Nothing is cosigned; both are kept in {}", kept.display()
    )]
    RolledBack {
        /// Seen before.
        seen: u64,
        /// In the checkpoint.
        offered: u64,
        /// Where the evidence is.
        kept: PathBuf,
    },
    /// Two histories.
    #[error(
        "TWO HISTORIES: what this witness saw before is not the beginning of this log ({why}). Nothing is cosigned; \
         both are kept in {}. Tell the officers of the vault and its auditor", kept.display()
    )]
    Forked {
        /// What shows it.
        why: ProofError,
        /// Where the evidence is.
        kept: PathBuf,
    },
    /// The clock went back.
    #[error("the clock of this machine stands before the time of the last cosignature; set it")]
    ClockBack,
    /// No randomness.
    #[error("the system gives no random bytes: {0}")]
    Entropy(getrandom::Error),
}

impl Refusal {
    /// About a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// Whether it says something bad of the vault, and not of how the program was used.
    #[must_use]
    pub const fn is_finding(&self) -> bool {
        matches!(self, Self::Forked { .. } | Self::RolledBack { .. })
    }
}
