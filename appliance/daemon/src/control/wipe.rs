//! What is said on the control socket about disks that are wiped.

use serde::{Deserialize, Serialize};

/// What can be asked. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WipeAsk {
    /// What a disk is, if it may be wiped.
    Look {
        /// The disk.
        path: String,
    },
    /// To wipe a disk as an executed request says, or to go on with it.
    Wipe {
        /// The request.
        request: u64,
        /// The disk.
        path: String,
    },
}

/// The disk that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WipeReply {
    /// Its file or device.
    pub file: String,
    /// Its identity, hex.
    pub disk: String,
    /// Digest of its label, hex.
    pub label: String,
}
