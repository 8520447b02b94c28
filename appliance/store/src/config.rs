//! Policy that comes from the vault's creation, not from requests.

use crate::policy::{BucketKind, Mode, Period};

/// What CreateBucket without the lock header yields, and the floor of `client-locked` buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewBucket {
    /// Its kind.
    pub kind: BucketKind,
    /// Its default retention if the kind has one.
    pub default: Option<(Mode, Period)>,
    /// Least retention in milliseconds where a client sets less; 0 in evaluation vaults.
    pub floor_ms: u64,
}

impl Default for NewBucket {
    fn default() -> Self {
        Self {
            kind: BucketKind::DefaultLocked,
            default: Some((Mode::Compliance, Period::Days(1))),
            floor_ms: 0,
        }
    }
}
