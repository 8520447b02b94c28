//! Roots that the log had a while ago: what people sign shows one, and it must be this log's.

use std::collections::VecDeque;

use stele_format::statement::Head;
use stele_format::tree::{Frontier, TreeHash};

use crate::limits::HEAD_RECORDS_MAX;

/// Whether the log had a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It had.
    Yes,
    /// It had not.
    No,
    /// Too long ago, or records are missing.
    Untold,
}

/// The tree some records ago and the leaves since.
#[derive(Debug, Default)]
pub struct Heads {
    base: Frontier,
    leaves: VecDeque<TreeHash>,
    lost: bool,
}

impl Heads {
    /// The next record.
    pub fn push(&mut self, leaf: TreeHash) {
        if self.leaves.len() == HEAD_RECORDS_MAX
            && let Some(oldest) = self.leaves.pop_front()
        {
            self.base.push(oldest);
        }
        self.leaves.push_back(leaf);
    }

    /// Records are missing: no root can be told, until a record repeats the tree.
    pub fn lose(&mut self) {
        self.lost = true;
        self.leaves.clear();
    }

    /// The tree of all records so far is repeated: if it was lost, it goes on from there.
    pub fn regain(&mut self, tree: &Frontier) {
        if self.lost {
            *self = Self {
                base: tree.clone(),
                ..Self::default()
            };
        }
    }

    /// Whether the log had this head before the record that is looked at.
    #[must_use]
    pub fn knows(&self, head: &Head) -> Known {
        if self.lost {
            return Known::Untold;
        }
        let Some(after) = head.size.checked_sub(self.base.size()) else {
            return Known::Untold;
        };
        let Ok(after) = usize::try_from(after) else {
            return Known::No;
        };
        if after > self.leaves.len() {
            return Known::No;
        }
        let mut tree = self.base.clone();
        self.leaves
            .iter()
            .take(after)
            .for_each(|leaf| tree.push(*leaf));
        if tree.root() == head.root {
            Known::Yes
        } else {
            Known::No
        }
    }
}
