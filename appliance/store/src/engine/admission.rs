//! Who may go on: mutating requests on the same name run one after the other, from their first look
//! at the index until their record is applied; bucket changes run alone in their bucket.
//!
//! This makes what a request has read stay true until its record is applied, without versions or
//! retries. The price: writes to one and the same key take one group commit each.

use std::collections::{BTreeMap, VecDeque};

use stele_format::units::BucketId;

use crate::request::RequestId;

/// What a request must hold to go on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// One name in a bucket; keeps bucket changes out.
    Name(BucketId, Vec<u8>),
    /// A whole bucket, alone.
    Bucket(BucketId),
    /// The set of bucket names, alone.
    BucketNames,
    /// Everything, alone: what is destroyed must be what was judged.
    Everything,
}

#[derive(Default)]
struct BucketUse {
    names: u32,
    exclusive: bool,
}

/// The claims held and the requests waiting for theirs, first come first served.
#[derive(Default)]
pub struct Admission {
    held: BTreeMap<RequestId, Claim>,
    names: BTreeMap<(BucketId, Vec<u8>), RequestId>,
    buckets: BTreeMap<BucketId, BucketUse>,
    bucket_names: bool,
    everything: bool,
    waiting: VecDeque<(RequestId, Claim)>,
}

impl Admission {
    /// Asks for a claim; true if it is held now, false if the request must wait for
    /// [`Admission::release`] to name it.
    pub fn claim(&mut self, id: RequestId, claim: Claim) -> bool {
        let must_queue = self
            .waiting
            .iter()
            .any(|(_, earlier)| conflict(earlier, &claim));
        if must_queue || !self.free(&claim) {
            self.waiting.push_back((id, claim));
            return false;
        }
        self.take(id, claim);
        true
    }

    /// Claims held and waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len() + self.waiting.len()
    }

    /// Gives a request's claim back and returns the requests that hold theirs now.
    pub fn release(&mut self, id: RequestId) -> Vec<RequestId> {
        self.waiting.retain(|(waiter, _)| *waiter != id);
        let Some(claim) = self.held.remove(&id) else {
            return Vec::new();
        };
        match claim {
            Claim::Name(bucket, name) => {
                self.names.remove(&(bucket, name));
                self.leave(bucket, |usage| usage.names = usage.names.saturating_sub(1));
            }
            Claim::Bucket(bucket) => self.leave(bucket, |usage| usage.exclusive = false),
            Claim::BucketNames => self.bucket_names = false,
            Claim::Everything => self.everything = false,
        }
        self.admit_waiting()
    }

    fn admit_waiting(&mut self) -> Vec<RequestId> {
        let mut admitted = Vec::new();
        let mut still_waiting: VecDeque<(RequestId, Claim)> = VecDeque::new();
        for (id, claim) in std::mem::take(&mut self.waiting) {
            let behind = still_waiting
                .iter()
                .any(|(_, earlier)| conflict(earlier, &claim));
            if !behind && self.free(&claim) {
                self.take(id, claim);
                admitted.push(id);
            } else {
                still_waiting.push_back((id, claim));
            }
        }
        self.waiting = still_waiting;
        admitted
    }

    fn free(&self, claim: &Claim) -> bool {
        if self.everything {
            return false;
        }
        match claim {
            Claim::Name(bucket, name) => {
                !self
                    .buckets
                    .get(bucket)
                    .is_some_and(|usage| usage.exclusive)
                    && !self.names.contains_key(&(*bucket, name.clone()))
            }
            Claim::Bucket(bucket) => !self
                .buckets
                .get(bucket)
                .is_some_and(|usage| usage.exclusive || usage.names > 0),
            Claim::BucketNames => !self.bucket_names,
            Claim::Everything => self.held.is_empty(),
        }
    }

    fn take(&mut self, id: RequestId, claim: Claim) {
        match &claim {
            Claim::Name(bucket, name) => {
                self.names.insert((*bucket, name.clone()), id);
                self.buckets.entry(*bucket).or_default().names += 1;
            }
            Claim::Bucket(bucket) => self.buckets.entry(*bucket).or_default().exclusive = true,
            Claim::BucketNames => self.bucket_names = true,
            Claim::Everything => self.everything = true,
        }
        self.held.insert(id, claim);
    }

    fn leave(&mut self, bucket: BucketId, change: impl FnOnce(&mut BucketUse)) {
        if let Some(usage) = self.buckets.get_mut(&bucket) {
            change(usage);
            if usage.names == 0 && !usage.exclusive {
                self.buckets.remove(&bucket);
            }
        }
    }
}

fn conflict(earlier: &Claim, later: &Claim) -> bool {
    match (earlier, later) {
        (Claim::Name(a, x), Claim::Name(b, y)) => a == b && x == y,
        (Claim::Name(a, _) | Claim::Bucket(a), Claim::Bucket(b))
        | (Claim::Bucket(a), Claim::Name(b, _)) => a == b,
        (Claim::BucketNames, Claim::BucketNames) => true,
        (Claim::Everything, _) | (_, Claim::Everything) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Claim};
    use crate::request::RequestId;
    use stele_format::units::BucketId;

    const BUCKET: BucketId = BucketId::new([1; 16]);

    fn name(name: &[u8]) -> Claim {
        Claim::Name(BUCKET, name.to_vec())
    }

    #[test]
    fn same_name_waits_in_order_and_other_names_do_not() {
        let mut admission = Admission::default();
        assert!(admission.claim(RequestId(1), name(b"a")));
        assert!(!admission.claim(RequestId(2), name(b"a")));
        assert!(!admission.claim(RequestId(3), name(b"a")));
        assert!(admission.claim(RequestId(4), name(b"b")));
        assert_eq!(admission.release(RequestId(1)), [RequestId(2)]);
        assert_eq!(admission.release(RequestId(2)), [RequestId(3)]);
    }

    #[test]
    fn a_bucket_change_waits_for_names_and_later_names_wait_for_it() {
        let mut admission = Admission::default();
        assert!(admission.claim(RequestId(1), name(b"a")));
        assert!(!admission.claim(RequestId(2), Claim::Bucket(BUCKET)));
        assert!(
            !admission.claim(RequestId(3), name(b"b")),
            "no overtaking of the bucket change"
        );
        assert_eq!(admission.release(RequestId(1)), [RequestId(2)]);
        assert_eq!(admission.release(RequestId(2)), [RequestId(3)]);
    }

    #[test]
    fn what_needs_everything_waits_for_all_and_all_wait_for_it() {
        let mut admission = Admission::default();
        assert!(admission.claim(RequestId(1), name(b"a")));
        assert!(!admission.claim(RequestId(2), Claim::Everything));
        assert!(!admission.claim(RequestId(3), name(b"b")));
        assert_eq!(admission.release(RequestId(1)), [RequestId(2)]);
        assert!(!admission.claim(RequestId(4), Claim::BucketNames));
        assert_eq!(
            admission.release(RequestId(2)),
            [RequestId(3), RequestId(4)]
        );
    }

    #[test]
    fn a_waiting_request_that_gives_up_is_forgotten() {
        let mut admission = Admission::default();
        assert!(admission.claim(RequestId(1), name(b"a")));
        assert!(!admission.claim(RequestId(2), name(b"a")));
        assert!(admission.release(RequestId(2)).is_empty());
        assert!(admission.release(RequestId(1)).is_empty());
        assert!(admission.claim(RequestId(3), name(b"a")));
    }
}
