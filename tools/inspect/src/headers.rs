//! The headers of the log in order: their leaves, and the first that cannot be believed.
//!
//! Each header names the digest of the one before, so a changed header shows at the next one; a
//! changed last header shows only against a checkpoint.

use stele_format::TreeHash;
use stele_format::checkpoint::Checkpoint;
use stele_format::digest::Digest;
use stele_format::record::RecordHeader;
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, leaf_hash};
use thiserror::Error;

/// Why a log proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// A record is missing or changed.
    #[error("the log is damaged: record {index} is the first that is missing or changed")]
    Bad {
        /// The first such record.
        index: u64,
    },
    /// A record is missing that people gave up.
    #[error(
        "record {index} was given up when the vault was forced open: things are proven of the log again from the next record \
         behind it that repeats its tree"
    )]
    GivenUp {
        /// The first such record.
        index: u64,
    },
    /// The log ends before the checkpoint.
    #[error("the log has {records} records and the checkpoint {size}: the end of the log is gone")]
    Short {
        /// Records of the checkpoint.
        size: u64,
        /// Records there are.
        records: u64,
    },
    /// Every link holds and the root is another: the last record was changed, or it is another history.
    #[error(
        "the log's first {size} records are not those of the checkpoint: record {index} was changed, \
         or the log was written anew"
    )]
    Other {
        /// Records of the checkpoint.
        size: u64,
        /// The last of them.
        index: u64,
    },
}

/// Reads headers in order.
#[derive(Debug, Default)]
pub struct HeaderWalk {
    /// The tree of the records before the first leaf: of all of them, unless some were given up.
    base: Frontier,
    leaves: Vec<TreeHash>,
    /// What the first header continues, where the tree was taken up.
    continued: Digest,
    /// The first record that was given up, once the tree was taken up behind it.
    passed: Option<u64>,
    last: Option<RecordHeader>,
    /// Chain digest of the header before the last.
    before: Digest,
    /// This record does not continue the one before; the next tells which of them changed.
    broken: Option<u64>,
    bad: Option<u64>,
    /// The first bad one is bad only because people gave it up.
    given_up: bool,
    wanted: Option<u64>,
    found: Option<RecordHeader>,
}

/// Headers that all continue each other.
#[derive(Debug)]
pub struct Headers {
    /// Proofs over them.
    pub proofs: Proofs,
    /// The header that was wanted.
    pub found: Option<RecordHeader>,
}

impl HeaderWalk {
    /// A walk that keeps the header of this record.
    #[must_use]
    pub fn wanting(record: Option<u64>) -> Self {
        Self {
            wanted: record,
            ..Self::default()
        }
    }

    /// The next header.
    pub fn take(&mut self, header: &RecordHeader) {
        if self.bad.is_some() {
            return;
        }
        let index = self.next();
        let last = self.last.as_ref().map(RecordHeader::chain_digest);
        let continues = header.previous_header == last.unwrap_or(self.continued);
        self.bad = match self.broken {
            Some(broken) if continues => Some(broken - 1),
            Some(broken) => Some(broken),
            None if header.log_index.get() != index => Some(index),
            None if !continues && index == 0 => Some(0),
            None => None,
        };
        if !continues {
            self.broken = Some(index);
        }
        if self.wanted == Some(index) {
            self.found = Some(*header);
        }
        self.leaves.push(header.leaf_hash());
        self.before = last.unwrap_or(Digest::ZERO);
        self.last = Some(*header);
    }

    /// What should come next cannot be read.
    pub fn lost(&mut self) {
        self.given_up = false;
        let next = self.next();
        let first = self.broken.map_or(next, |broken| broken - 1);
        self.bad.get_or_insert(first);
    }

    /// What should come next was given up.
    pub fn give_up(&mut self) {
        let first = self.bad.is_none() && self.broken.is_none();
        let given_up = first || self.given_up;
        self.lost();
        self.given_up = given_up;
    }

    /// Behind records that were given up, a record repeats the tree of all before it and continues `previous`: from here on
    /// things are proven again.
    pub fn take_up(&mut self, tree: &Frontier, previous: Digest) {
        if self.given_up && self.broken.is_none() {
            let (passed, wanted) = (self.passed.or(self.bad), self.wanted);
            *self = Self {
                base: tree.clone(),
                continued: previous,
                passed,
                wanted,
                ..Self::default()
            };
        }
    }

    fn next(&self) -> u64 {
        self.base.size() + self.leaves.len() as u64
    }

    /// This record, whose header was taken, does not fit its body.
    pub fn changed(&mut self, record: u64) {
        self.bad.get_or_insert(record);
    }

    /// All headers, if they are those of one log, and of the checkpoint.
    ///
    /// # Errors
    /// What is wrong, with the first record that cannot be believed.
    pub fn end(self, checkpoint: Option<&Checkpoint>) -> Result<Headers, HeaderFault> {
        let records = self.next();
        if let Some(index) = self.bad.filter(|_| self.given_up) {
            return Err(HeaderFault::GivenUp { index });
        }
        if let Some(index) = self.bad {
            return Err(HeaderFault::Bad { index });
        }
        if let Some(broken) = self.broken {
            let index = if self.last_was_changed(checkpoint) {
                broken
            } else {
                broken - 1
            };
            return Err(HeaderFault::Bad { index });
        }
        let wanted = self.wanted.unwrap_or(u64::MAX);
        let asked = checkpoint.map_or(wanted, |checkpoint| checkpoint.size.min(wanted));
        if let Some(index) = self.passed.filter(|_| asked < self.base.size()) {
            return Err(HeaderFault::GivenUp { index });
        }
        let proofs = Proofs::after(&self.base, self.leaves);
        if let Some(Checkpoint { size, root, .. }) = checkpoint {
            let (size, index) = (*size, size.saturating_sub(1));
            if size > records {
                return Err(HeaderFault::Short { size, records });
            }
            if proofs.root(size) != Some(*root) {
                return Err(HeaderFault::Other { size, index });
            }
        }
        Ok(Headers {
            proofs,
            found: self.found,
        })
    }

    /// Whether the last record, which does not continue the one before, is the one that was changed: the
    /// log has the checkpoint's root once its link is mended.
    fn last_was_changed(&self, checkpoint: Option<&Checkpoint>) -> bool {
        let (Some(checkpoint), Some(last)) = (checkpoint, &self.last) else {
            return false;
        };
        let mended = RecordHeader {
            previous_header: self.before,
            ..*last
        };
        let mut leaves = self.leaves.clone();
        leaves.pop();
        leaves.push(leaf_hash(&mended.encode()));
        Proofs::after(&self.base, leaves).root(checkpoint.size) == Some(checkpoint.root)
    }
}
