//! Receipts that clients were given: each must be believed by the log's key alone, say what was stored, and stay true
//! of the log on the disks.

use stele_format::checkpoint::{LogKey, UnverifiedCheckpoint};
use stele_format::proof::{LogProof, Receipt};
use stele_store::request::Stored;

use crate::error::Violation;

/// As many are kept of a pool.
const KEPT_COUNT: usize = 32;

/// Some of the receipts of one log.
#[derive(Debug, Clone)]
pub struct Receipts {
    key: LogKey,
    kept: Vec<String>,
    given: usize,
}

impl Receipts {
    /// None yet, of the log with this key.
    #[must_use]
    pub fn of(key: LogKey) -> Self {
        Self {
            key,
            kept: Vec::new(),
            given: 0,
        }
    }

    /// The log's key.
    #[must_use]
    pub fn key(&self) -> &LogKey {
        &self.key
    }

    /// Those that were kept.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    /// Verifies the receipt of what was stored, and keeps it or not.
    pub(super) fn take(&mut self, stored: &Stored) -> Result<(), Violation> {
        let broken = |what: String| Violation::Receipt { what };
        let (Some(text), Some(version)) = (&stored.receipt, stored.version) else {
            return match stored.version {
                Some(version) => Err(broken(format!("version {version} got none"))),
                None => Ok(()),
            };
        };
        let receipt = Receipt::verify(text, &self.key);
        let header = receipt.map_err(|error| broken(error.to_string()))?.header;
        let told = (header.version, header.log_index);
        if told != (version, stored.log_index) {
            let what = format!("{told:?} in that of {version}, record {}", stored.log_index);
            return Err(broken(what));
        }
        match self.kept.get_mut(self.given * 7 % KEPT_COUNT) {
            Some(old) => text.clone_into(old),
            None => self.kept.push(text.clone()),
        }
        self.given += 1;
        Ok(())
    }
}

/// The checkpoint that a receipt carries, unverified.
#[must_use]
pub fn checkpoint_of(receipt: &str) -> Option<UnverifiedCheckpoint> {
    Some(LogProof::parse(receipt).ok()?.checkpoint)
}
