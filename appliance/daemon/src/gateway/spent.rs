//! Signed requests that took something back, each of which is served once.
//!
//! Whoever gets hold of one could send it again as long as it is good, and undo what was done since: a hold that was
//! set again, a default that was raised, a version that was brought back. So its signature is kept until then.
//!
//! Invariants:
//! - only the engine's process knows, and it knows for all gateways of its life;
//! - a client whose answer was lost may send the very same bytes again within a moment: it gets an answer, and whoever
//!   asks later gets none;
//! - each key has room for so many of them: where there is none left, nothing is served that would have to be kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stele_gateway::message::{Refusal, Request};

use crate::limits::{SPENT_AGAIN_MS, SPENT_COUNT_MAX, SPENT_LOOK_MS};

/// Whether a question takes back what protects or shows something.
pub fn takes_back(request: &Request) -> bool {
    match request {
        Request::Delete { version, .. } => version.is_some(),
        Request::SetRetention { bypass, .. } => *bypass,
        Request::SetHold { on, .. } => !on,
        // What it was before is not known here.
        Request::SetDefaultRetention { .. } => true,
        Request::SetLifecycle { rules, .. } => !rules.is_empty(),
        _ => false,
    }
}

/// What was served. Clones are the same.
#[derive(Debug, Clone)]
pub struct Spent {
    kept: Arc<Mutex<Kept>>,
    again_ms: u64,
}

#[derive(Debug, Default)]
struct Kept {
    of_keys: HashMap<Arc<str>, HashMap<u128, Served>>,
    looked_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Served {
    since_ms: u64,
    until_ms: u64,
}

impl Default for Spent {
    fn default() -> Self {
        Self::with_moment(SPENT_AGAIN_MS)
    }
}

impl Spent {
    /// One that takes the same request again for so long.
    pub fn with_moment(again_ms: u64) -> Spent {
        Spent {
            kept: Arc::default(),
            again_ms,
        }
    }

    /// Serves a signature that is good until then. Times are of the clock that only goes ahead.
    ///
    /// # Errors
    /// `NotAllowed` when it was served before, `Busy` when its key has no room.
    pub fn serve(
        &self,
        key_id: &Arc<str>,
        signature: &[u8; 32],
        (now_ms, until_ms): (u64, u64),
    ) -> Result<(), Refusal> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget(now_ms);
        let of_key = kept.of_keys.entry(Arc::clone(key_id)).or_default();
        // Half of it tells signatures apart as well.
        let (half, _) = signature.split_at(size_of::<u128>());
        let half = u128::from_le_bytes(half.try_into().unwrap_or_default());
        match of_key.get(&half) {
            Some(served) if now_ms.saturating_sub(served.since_ms) <= self.again_ms => Ok(()),
            Some(_) => Err(Refusal::NotAllowed(
                "this very request was served before; whoever wants it again signs it anew"
                    .to_owned(),
            )),
            None if of_key.len() >= SPENT_COUNT_MAX => Err(Refusal::Busy),
            None => {
                let since_ms = now_ms;
                of_key.insert(half, Served { since_ms, until_ms });
                Ok(())
            }
        }
    }
}

impl Kept {
    /// Forgets, now and then, what is not good any more.
    fn forget(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.looked_ms) < SPENT_LOOK_MS {
            return;
        }
        self.looked_ms = now_ms;
        self.of_keys.retain(|_, served| {
            served.retain(|_, served| served.until_ms >= now_ms);
            served.shrink_to_fit();
            !served.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::VersionId;
    use stele_gateway::message::ObjectName;

    use super::*;

    fn signature(number: u64) -> [u8; 32] {
        let mut signature = [0; 32];
        signature[..8].copy_from_slice(&number.to_le_bytes());
        signature
    }

    const NO: Result<(), u16> = Err(403);
    const CROWDED: Result<(), u16> = Err(503);

    fn serve(spent: &Spent, key_id: &str, number: u64, times: (u64, u64)) -> Result<(), u16> {
        let served = spent.serve(&key_id.into(), &signature(number), times);
        served.map_err(|refusal| match refusal {
            Refusal::NotAllowed(_) => 403,
            Refusal::Busy => 503,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_same_signature_is_served_again_for_a_moment_and_not_later() {
        let spent = Spent::default();
        let until = 1_000_000;
        let at = |now, number| serve(&spent, "A", number, (now, until));
        assert_eq!(at(100_000, 1), Ok(()));
        assert_eq!(at(100_000 + SPENT_AGAIN_MS, 1), Ok(()));
        // The moment does not begin anew.
        assert_eq!(at(100_001 + SPENT_AGAIN_MS, 1), NO);
        assert_eq!(at(until, 1), NO);
        assert_eq!(at(until, 2), Ok(()));
        assert_eq!(serve(&spent, "B", 1, (until, until)), Ok(()));
    }

    #[test]
    fn what_is_not_good_any_more_is_forgotten_and_nothing_else() {
        let spent = Spent::default();
        let at = |now, number, until| serve(&spent, "A", number, (now, until));
        assert_eq!(at(SPENT_LOOK_MS, 1, 2 * SPENT_LOOK_MS), Ok(()));
        assert_eq!(at(SPENT_LOOK_MS, 2, 9 * SPENT_LOOK_MS), Ok(()));
        let later = 3 * SPENT_LOOK_MS;
        assert_eq!(at(later, 2, 9 * SPENT_LOOK_MS), NO);
        let kept = spent.kept.lock().expect("not poisoned");
        assert_eq!(kept.of_keys["A"].len(), 1);
    }

    #[test]
    fn a_key_without_room_waits_and_no_other_does() {
        let spent = Spent::default();
        let until = 2 * SPENT_LOOK_MS;
        let at = |now, key, number| serve(&spent, key, number, (now, until));
        let most = u64::try_from(SPENT_COUNT_MAX).expect("a number");
        for number in 0..most {
            assert_eq!(at(SPENT_LOOK_MS, "A", number), Ok(()));
        }
        assert_eq!(at(SPENT_LOOK_MS, "A", most), CROWDED);
        // What is kept is known all the same.
        assert_eq!(at(SPENT_LOOK_MS, "A", 0), Ok(()));
        assert_eq!(at(SPENT_LOOK_MS, "B", most), Ok(()));
        assert_eq!(at(until + 1, "A", most), Ok(()));
    }

    #[test]
    fn only_what_takes_something_back_is_kept() {
        let name = || ObjectName {
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
        };
        let delete = |version| Request::Delete {
            name: name(),
            version,
            bypass: false,
        };
        let retention = |bypass| Request::SetRetention {
            name: name(),
            version: None,
            retention: None,
            bypass,
        };
        let hold = |on| Request::SetHold {
            name: name(),
            version: None,
            on,
        };
        let default = || Request::SetDefaultRetention {
            bucket: "bucket".to_owned(),
            default: None,
        };
        let version = Some(VersionId::from_bytes([1; 16]));
        for (request, expected) in [
            (delete(None), false),
            (delete(version), true),
            (retention(false), false),
            (retention(true), true),
            (hold(true), false),
            (hold(false), true),
            (default(), true),
            (Request::ListBuckets, false),
        ] {
            assert_eq!(takes_back(&request), expected, "{request:?}");
        }
    }
}
