//! Places for connections: so many in all, so many for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Places(Arc<Shared>);

struct Shared {
    all_max: usize,
    source_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only sources that have one.
    by_source: HashMap<IpAddr, usize>,
}

/// A place that is taken until this is dropped.
pub(crate) struct Place {
    places: Places,
    source: IpAddr,
}

impl Places {
    pub(crate) fn new(all_max: usize, source_max: usize) -> Self {
        Self(Arc::new(Shared {
            all_max,
            source_max,
            taken: Mutex::default(),
        }))
    }

    /// A place for a connection from this address, if there is one.
    pub(crate) fn take(&self, source: IpAddr) -> Option<Place> {
        let source = network(source);
        let mut taken = self.taken();
        let of_source = taken.by_source.get(&source).copied().unwrap_or(0);
        if taken.all >= self.0.all_max || of_source >= self.0.source_max {
            return None;
        }
        taken.all += 1;
        taken.by_source.insert(source, of_source + 1);
        drop(taken);
        Some(Place {
            places: self.clone(),
            source,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has one address of IPv6 has its whole /64.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(address) => {
            let bits = u128::from(address) >> 64 << 64;
            IpAddr::V6(bits.into())
        }
        other => other,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        match taken.by_source.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_one_address_and_come_back() {
        let places = Places::new(3, 2);
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let first = places.take(address(1)).expect("free");
        let second = places.take(address(1)).expect("free");
        assert!(
            places.take(address(1)).is_none(),
            "one address has its share"
        );
        let third = places.take(address(2)).expect("free");
        assert!(places.take(address(3)).is_none(), "all are taken");
        drop(first);
        let fourth = places.take(address(3)).expect("came back");
        drop((second, third, fourth));
        let taken = places.taken();
        assert_eq!((taken.all, taken.by_source.len()), (0, 0));
    }
}
