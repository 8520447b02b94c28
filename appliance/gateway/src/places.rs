//! Places for connections: so many in all, so many for one address.
//!
//! Invariant: a connection on which a client has proved who it is keeps its place until it ends. One on which nobody
//! has is a guest: where places are short, the oldest guest of the address with the most of them goes, so that
//! whoever holds places without a key keeps nobody out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All places. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Places(Arc<Shared>);

struct Shared {
    all_max: usize,
    source_max: usize,
    taken: Mutex<Taken>,
    /// A place came back.
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Number of the last connection that got a place.
    last: u64,
    /// Only sources that have one.
    by_source: HashMap<IpAddr, Source>,
}

/// The connections of one source.
#[derive(Default)]
struct Source {
    taken: usize,
    /// Those on which nobody has signed yet, the oldest first, and how each is told to go.
    guests: BTreeMap<u64, Arc<Notify>>,
}

/// A place that is taken until this is dropped. Its connection's end drops it, whatever still works for that one.
pub(crate) struct Place {
    visitor: Arc<Visitor>,
    wanted: Arc<Notify>,
    /// Connections there were with this one.
    among: usize,
}

/// Who has a place.
pub(crate) struct Visitor {
    places: Places,
    address: IpAddr,
    source: IpAddr,
    number: u64,
    is_guest: AtomicBool,
}

impl Places {
    pub(crate) fn new(all_max: usize, source_max: usize) -> Self {
        Self(Arc::new(Shared {
            all_max,
            source_max,
            taken: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// A place for a connection from this address; none where all are with connections of clients. Waits for the
    /// end of the guest that makes room, so that there are never more connections than places. Only one caller at
    /// a time: nobody else may take the place that this one waits for.
    pub(crate) async fn take(&self, address: IpAddr) -> Option<Place> {
        let source = network(address);
        let mut told = false;
        loop {
            {
                let mut taken = self.taken();
                let shortage = taken.shortage(source, self.0.all_max, self.0.source_max);
                let Some(of) = shortage else {
                    let (number, wanted) = taken.seat(source);
                    let among = taken.all;
                    let visitor = Visitor {
                        places: self.clone(),
                        address,
                        source,
                        number,
                        is_guest: AtomicBool::new(true),
                    };
                    return Some(Place {
                        visitor: Arc::new(visitor),
                        wanted,
                        among,
                    });
                };
                if !told {
                    taken.uninvite(of)?.notify_one();
                    told = true;
                }
            }
            self.0.freed.notified().await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose guests can make room.
#[derive(Clone, Copy)]
enum Of {
    Anyone,
    Source(IpAddr),
}

impl Taken {
    /// Whether a connection of this source must wait for the end of another, and of whose.
    fn shortage(&self, source: IpAddr, all_max: usize, source_max: usize) -> Option<Of> {
        let of_source = self.by_source.get(&source).map_or(0, |known| known.taken);
        match (of_source >= source_max, self.all >= all_max) {
            (true, _) => Some(Of::Source(source)),
            (false, true) => Some(Of::Anyone),
            (false, false) => None,
        }
    }

    fn seat(&mut self, source: IpAddr) -> (u64, Arc<Notify>) {
        let wanted = Arc::new(Notify::new());
        self.all += 1;
        self.last += 1;
        let known = self.by_source.entry(source).or_default();
        known.taken += 1;
        known.guests.insert(self.last, Arc::clone(&wanted));
        (self.last, wanted)
    }

    /// The guest that makes room, who is one no longer: of the source with the most guests, or of those with as
    /// many the one whose oldest came first, the oldest.
    fn uninvite(&mut self, of: Of) -> Option<Arc<Notify>> {
        let first = |known: &Source| known.guests.keys().next().copied();
        let source = match of {
            Of::Source(source) => self.by_source.get_mut(&source),
            Of::Anyone => self
                .by_source
                .values_mut()
                .max_by_key(|known| (known.guests.len(), Reverse(first(known)))),
        };
        source?.guests.pop_first().map(|(_, wanted)| wanted)
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

impl Visitor {
    /// Where the connection comes from.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The address, of IPv6 its /64, as which it counts.
    pub(crate) fn source(&self) -> IpAddr {
        self.source
    }

    /// Notes that a client has proved here who it is; false if the connection was told to make room before, and ends.
    pub(crate) fn signed(&self) -> bool {
        // Once is enough, and all connections share the lock.
        if !self.is_guest.load(Ordering::Relaxed) {
            return true;
        }
        let mut taken = self.places.taken();
        let guests = taken.by_source.get_mut(&self.source);
        let stays = guests.is_some_and(|known| known.guests.remove(&self.number).is_some());
        if stays {
            self.is_guest.store(false, Ordering::Relaxed);
        }
        stays
    }
}

impl Place {
    /// How many connections there were when this one came, itself counted.
    pub(crate) fn among(&self) -> usize {
        self.among
    }

    /// Who has it.
    pub(crate) fn visitor(&self) -> Arc<Visitor> {
        Arc::clone(&self.visitor)
    }

    /// Ends when the place is wanted for another connection.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Visitor {
            places,
            source,
            number,
            ..
        } = &*self.visitor;
        let mut taken = places.taken();
        taken.all -= 1;
        if let Some(known) = taken.by_source.get_mut(source) {
            known.taken -= 1;
            known.guests.remove(number);
            if known.taken == 0 {
                taken.by_source.remove(source);
            }
        }
        drop(taken);
        places.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
