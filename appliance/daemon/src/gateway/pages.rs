//! Pages of listings that the engine is asked for.
//!
//! Invariant: what they take together is bounded, and nobody has more than a share of it.

use std::collections::HashMap;
use std::sync::Arc;

use stele_gateway::limits::{PAGE_COUNT_MAX, PAGE_OF_PARTY_COUNT_MAX};

/// How many are not answered yet, by whose share they are of.
#[derive(Debug, Default)]
pub struct Pages(HashMap<Arc<str>, usize>);

impl Pages {
    /// Counts one more, if there may be one. An honest gateway waits before it asks for too many.
    #[must_use]
    pub fn begin(&mut self, party: &Arc<str>) -> bool {
        let count = self.0.get(party).copied().unwrap_or_default();
        let all: usize = self.0.values().sum();
        if count >= PAGE_OF_PARTY_COUNT_MAX || all >= PAGE_COUNT_MAX {
            return false;
        }
        self.0.insert(Arc::clone(party), count + 1);
        true
    }

    /// One is answered.
    pub fn end(&mut self, party: &Arc<str>) {
        if let Some(count) = self.0.get_mut(party) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_share_and_all_together_no_more_than_there_is() {
        let mut pages = Pages::default();
        let party = |number: usize| Arc::from(format!("{number}"));
        let shares = PAGE_COUNT_MAX / PAGE_OF_PARTY_COUNT_MAX;
        for number in 0..shares {
            for _ in 0..PAGE_OF_PARTY_COUNT_MAX {
                assert!(pages.begin(&party(number)));
            }
            assert!(!pages.begin(&party(number)), "its share");
        }
        assert!(!pages.begin(&party(shares)), "all");
        pages.end(&party(0));
        assert!(pages.begin(&party(shares)));
        for number in 0..=shares {
            for _ in 0..PAGE_OF_PARTY_COUNT_MAX {
                pages.end(&party(number));
            }
        }
        assert!(pages.0.is_empty());
    }
}
