//! Turns: what is scarce goes round, so that nobody has it all.
//!
//! Invariants: nobody holds more than a share of it, and nobody waits longer than a bounded time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::limits::{SHARES_MAX, TURN_WAIT_MS, TURNS_LOOK_MS};
use crate::message::Request;
use crate::refusal::Refusal;

/// Whose share a key takes from: all keys of an owner have one together, each of the vault's own has one.
#[must_use]
pub fn party<'a>(key_id: &'a str, owner: &'a str) -> &'a str {
    if owner.is_empty() { key_id } else { owner }
}

/// Whether a question's answer is a page of many rows: it takes memory, and may take long.
#[must_use]
pub fn is_page(request: &Request) -> bool {
    matches!(
        request,
        Request::List(_)
            | Request::ListVersions(_)
            | Request::ListUploads(_)
            | Request::ListParts { .. }
            | Request::ListBuckets
    )
}

const WAIT: Duration = Duration::from_millis(TURN_WAIT_MS);
const LOOK_AGAIN: Duration = Duration::from_millis(TURNS_LOOK_MS);

/// Somebody's turn, until it is dropped. Clones are the same turn.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    _permits: Arc<Permits>,
}

#[derive(Debug)]
struct Permits {
    _of_share: OwnedSemaphorePermit,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Turn {
    fn new(of_share: OwnedSemaphorePermit, of_all: Option<OwnedSemaphorePermit>) -> Self {
        let permits = Permits {
            _of_share: of_share,
            _of_all: of_all,
        };
        Self {
            _permits: Arc::new(permits),
        }
    }

    /// Content as bytes whose turn lasts until the last of them is gone.
    pub(crate) fn over(self, content: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held {
            content,
            _turn: self,
        })
    }
}

/// Content that somebody's turn lasts for.
struct Held<C> {
    content: C,
    _turn: Turn,
}

impl<C: AsRef<[u8]>> AsRef<[u8]> for Held<C> {
    fn as_ref(&self) -> &[u8] {
        self.content.as_ref()
    }
}

/// So many turns at a time for each.
#[derive(Clone)]
pub(crate) struct Shares {
    each: usize,
    taken: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shares({} each)", self.each)
    }
}

impl Shares {
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each,
            taken: Arc::default(),
        }
    }

    /// A turn, as soon as there is one within a bounded time.
    ///
    /// # Errors
    /// `Busy` when there is none in that time.
    pub(crate) async fn turn(&self, who: &str) -> Result<Turn, Refusal> {
        self.turn_within(who, WAIT).await
    }

    /// The same within this time.
    ///
    /// # Errors
    /// `Busy` when there is none in that time.
    pub(crate) async fn turn_within(&self, who: &str, wait: Duration) -> Result<Turn, Refusal> {
        let turn = async { Ok(Turn::new(self.of(who).acquire_owned().await?, None)) };
        within(wait, turn).await
    }

    /// A turn, if more than half of them are free.
    pub(crate) fn try_spare_turn(&self, who: &str) -> Option<Turn> {
        let turns = self.of(who);
        if turns.available_permits() <= self.each / 2 {
            return None;
        }
        Some(Turn::new(turns.try_acquire_owned().ok()?, None))
    }

    fn at_most(&self, count: u32) -> u32 {
        count.min(u32::try_from(self.each).unwrap_or(u32::MAX))
    }

    fn of(&self, who: &str) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has all turns free needs no entry.
        if taken.len() > SHARES_MAX {
            taken.retain(|_, turns| turns.available_permits() < self.each);
        }
        let turns = taken
            .entry(who.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.each)));
        Arc::clone(turns)
    }
}

/// So many turns at a time for all together, and for each.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    shares: Shares,
    all: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            shares: Shares::new(each),
            all: Arc::new(Semaphore::new(all)),
        }
    }

    /// A turn, as soon as there is one within a bounded time.
    ///
    /// # Errors
    /// `Busy` when there is none in that time.
    pub(crate) async fn turn(&self, who: &str) -> Result<Turn, Refusal> {
        within(WAIT, async {
            // The share first: then nobody waits for those of all with more than a share.
            let of_share = self.shares.of(who).acquire_owned().await?;
            let of_all = Arc::clone(&self.all).acquire_owned().await?;
            Ok(Turn::new(of_share, Some(of_all)))
        })
        .await
    }

    /// So many turns in one, or a whole share if they are more.
    ///
    /// # Errors
    /// `Busy` when there are not so many within a bounded time.
    pub(crate) async fn several(&self, who: &str, count: u32) -> Result<Turn, Refusal> {
        // Looked for again and again: whoever stands in line for many keeps those that are free from all who need few.
        within(WAIT, async {
            loop {
                if let Some(turn) = self.try_several(who, count) {
                    return Ok(turn);
                }
                sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }

    /// The same, if there are as many now.
    pub(crate) fn try_several(&self, who: &str, count: u32) -> Option<Turn> {
        let count = self.shares.at_most(count);
        let of_share = self.shares.of(who).try_acquire_many_owned(count).ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(count).ok()?;
        Some(Turn::new(of_share, Some(of_all)))
    }
}

async fn within(
    wait: Duration,
    turn: impl Future<Output = Result<Turn, AcquireError>>,
) -> Result<Turn, Refusal> {
    match timeout(wait, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_a_whole_share_waits_and_others_do_not() {
        let turns = Turns::new(4, 2);
        let first = turns.turn("A").await.expect("free");
        let _second = turns.turn("A").await.expect("free");
        assert!(turns.turn("A").await.is_err(), "it has two already");
        let _other = turns.turn("B").await.expect("free");
        drop(first);
        turns.turn("A").await.expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn all_shares_together_are_no_more_than_there_is() {
        let turns = Turns::new(3, 2);
        let mut held = Vec::new();
        for who in ["A", "A", "B"] {
            held.push(turns.turn(who).await.expect("free"));
        }
        assert!(turns.turn("B").await.is_err(), "all are taken");
        held.remove(0);
        held.push(turns.turn("B").await.expect("free again"));
    }

    #[tokio::test(start_paused = true)]
    async fn several_at_once_are_had_together_or_not_at_all() {
        let turns = Turns::new(8, 4);
        let three = turns.try_several("A", 3).expect("free");
        assert!(turns.try_several("A", 2).is_none(), "one is left");
        assert!(turns.several("A", 2).await.is_err(), "one is left");
        let all = turns.try_several("B", 9).expect("no more than a share");
        assert!(turns.try_several("C", 2).is_none(), "one of all is left");
        drop(three.clone());
        assert!(turns.try_several("A", 2).is_none(), "the same turn");
        drop((three, all));
        let _all = turns.several("A", 4).await.expect("free again");
        let _others = turns.several("B", 4).await.expect("free again");
    }

    /// Whoever waited in vain has taken nothing of what is scarce.
    #[tokio::test(start_paused = true)]
    async fn what_was_waited_for_in_vain_is_not_taken() {
        let turns = Turns::new(1, 1);
        let held = turns.turn("A").await.expect("free");
        assert!(turns.turn("B").await.is_err());
        drop(held);
        turns.turn("B").await.expect("its share is whole");
        turns.turn("A").await.expect("and so is that one's");
    }

    #[tokio::test]
    async fn those_without_a_turn_are_forgotten_and_those_with_one_are_not() {
        let shares = Shares::new(1);
        let held = shares.turn("A").await.expect("free");
        for number in 0..=SHARES_MAX + 1 {
            shares.turn(&number.to_string()).await.expect("free");
        }
        let taken = shares.taken.lock().expect("no panic");
        assert!(taken.len() < SHARES_MAX);
        assert!(taken.contains_key("A"));
        drop(held);
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_content_that_was_taken_in_it() {
        let shares = Shares::new(1);
        let content = shares.turn("A").await.expect("free").over(*b"content");
        let rest = content.slice(3..);
        drop(content);
        assert!(shares.try_spare_turn("A").is_none());
        assert_eq!(&rest[..], b"tent");
        drop(rest);
        assert!(shares.try_spare_turn("A").is_some());
    }

    #[test]
    fn the_keys_of_an_owner_share_and_those_of_the_vault_do_not() {
        assert_eq!(party("A", "owner"), party("B", "owner"));
        assert_ne!(party("A", ""), party("B", ""));
    }
}
