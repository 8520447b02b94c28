//! Turns: what is scarce goes round, so that nobody has it all.
//!
//! Invariants: nobody holds more than a share of it, nobody waits longer than a bounded time, and some of it is kept for
//! those that hold little: however many hold as much as they can, so many others as that is divided among find theirs.
//! Within a party whoever came first is next, of those for whom there is enough; parties take turns. Whoever could have
//! some has it: nobody who waits keeps anything from others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::{KEPT_DIVISOR, LITTLE_DIVISOR, TURN_WAIT_MS};
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

/// How something scarce is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Division {
    /// How much there is.
    pub(crate) all: usize,
    /// What nobody holds more than. No more than there is beside what is kept.
    pub(crate) each: usize,
    /// How much of it is kept for those that hold little.
    pub(crate) kept: usize,
    /// How much is little.
    pub(crate) little: usize,
}

impl Division {
    /// One of which as much is kept as usual.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all,
            each,
            kept: all / KEPT_DIVISOR,
            little: (all / LITTLE_DIVISOR).max(1),
        }
    }

    /// Whether somebody may hold so much, if then so much is free.
    fn allows(&self, held: usize, free: usize) -> bool {
        held <= self.each && (free >= self.kept || held <= self.little)
    }
}

/// Somebody's turn, until it is dropped. Clones are the same turn.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    _taken: Arc<Taken>,
}

impl Turn {
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

/// What somebody has taken. It goes back when this is dropped.
#[derive(Debug)]
struct Taken {
    from: Turns,
    who: Arc<str>,
    count: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let due = self.from.ledger().give_back(&self.who, self.count);
        self.from.hand_out(due);
    }
}

/// So much at a time for all together, and for each.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<Ledger>>);

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ledger().division.fmt(f)
    }
}

impl Turns {
    pub(crate) fn new(division: Division) -> Self {
        debug_assert!(division.each + division.kept <= division.all);
        Self(Arc::new(Mutex::new(Ledger {
            division,
            free: division.all,
            parties: HashMap::new(),
            line: VecDeque::new(),
        })))
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
        self.wait(who, 1, wait).await
    }

    /// So much in one turn, or a whole share if it is more.
    ///
    /// # Errors
    /// `Busy` when there is not so much within a bounded time.
    pub(crate) async fn several(&self, who: &str, count: usize) -> Result<Turn, Refusal> {
        self.wait(who, count, WAIT).await
    }

    /// The same, if there is as much now.
    pub(crate) fn try_several(&self, who: &str, count: usize) -> Option<Turn> {
        let mut ledger = self.ledger();
        let count = count.min(ledger.division.each);
        let taken = ledger.take(who, count)?;
        drop(ledger);
        Some(self.taken(taken, count))
    }

    /// A turn, if more than half of a share is free, and some of what is kept for nobody.
    pub(crate) fn try_spare_turn(&self, who: &str) -> Option<Turn> {
        let mut ledger = self.ledger();
        let Division { each, kept, .. } = ledger.division;
        if each - ledger.held(who) <= each / 2 || ledger.free <= kept {
            return None;
        }
        let taken = ledger.take(who, 1)?;
        drop(ledger);
        Some(self.taken(taken, 1))
    }

    async fn wait(&self, who: &str, count: usize, wait: Duration) -> Result<Turn, Refusal> {
        let mut waiting = match self.take_or_wait(who, count) {
            Ok(turn) => return Ok(turn),
            Err(waiting) => waiting,
        };
        match timeout(wait, &mut waiting.turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }

    /// A turn, or a place in line.
    fn take_or_wait(&self, who: &str, count: usize) -> Result<Turn, Waiting> {
        let mut ledger = self.ledger();
        let count = count.min(ledger.division.each);
        if let Some(who) = ledger.take(who, count) {
            drop(ledger);
            return Ok(self.taken(who, count));
        }
        let (who, turn) = ledger.stand_in_line(who, count);
        drop(ledger);
        let from = self.clone();
        Err(Waiting { from, who, turn })
    }

    /// Gives turns to those whose turn it is now.
    fn hand_out(&self, due: Vec<(Arc<str>, Waiter)>) {
        for (who, waiter) in due {
            // Whoever left in between gives it back with this.
            let _left = waiter.turn.send(self.taken(who, waiter.count));
        }
    }

    fn taken(&self, who: Arc<str>, count: usize) -> Turn {
        let from = self.clone();
        Turn {
            _taken: Arc::new(Taken { from, who, count }),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in line. It is given up when this is dropped.
struct Waiting {
    from: Turns,
    who: Arc<str>,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.turn.close();
        self.from.ledger().leave(&self.who);
    }
}

/// Somebody who waits for so much.
struct Waiter {
    count: usize,
    turn: oneshot::Sender<Turn>,
}

/// Who has how much, and who waits.
struct Ledger {
    division: Division,
    free: usize,
    /// Those that hold something or wait.
    parties: HashMap<Arc<str>, Party>,
    /// Those that wait, each once; the first is looked at first.
    line: VecDeque<Arc<str>>,
}

#[derive(Default)]
struct Party {
    held: usize,
    waiting: VecDeque<Waiter>,
}

impl Ledger {
    fn held(&self, who: &str) -> usize {
        self.parties.get(who).map_or(0, |party| party.held)
    }

    fn somebody_waits(&self, who: &str) -> bool {
        let party = self.parties.get(who);
        party.is_some_and(|party| !party.waiting.is_empty())
    }

    /// What somebody would hold with so much more, and what would be free then, if it may take that.
    fn may_take(&self, who: &str, count: usize) -> Option<(usize, usize)> {
        let free = self.free.checked_sub(count)?;
        let held = self.held(who) + count;
        self.division.allows(held, free).then_some((held, free))
    }

    /// Takes so much for somebody, if it may.
    fn take(&mut self, who: &str, count: usize) -> Option<Arc<str>> {
        let (held, free) = self.may_take(who, count)?;
        let who = self.known(who);
        self.free = free;
        self.parties.entry(Arc::clone(&who)).or_default().held = held;
        Some(who)
    }

    /// Puts somebody at the end of its party's line.
    fn stand_in_line(&mut self, who: &str, count: usize) -> (Arc<str>, oneshot::Receiver<Turn>) {
        let who = self.known(who);
        let (turn, waiting) = oneshot::channel();
        let party = self.parties.entry(Arc::clone(&who)).or_default();
        if party.waiting.is_empty() {
            self.line.push_back(Arc::clone(&who));
        }
        party.waiting.push_back(Waiter { count, turn });
        (who, waiting)
    }

    fn give_back(&mut self, who: &Arc<str>, count: usize) -> Vec<(Arc<str>, Waiter)> {
        self.free += count;
        if let Some(party) = self.parties.get_mut(who) {
            party.held -= count;
        }
        self.forget_idle(who);
        self.due()
    }

    /// Takes those out of a party's line that do not wait any more.
    fn leave(&mut self, who: &Arc<str>) {
        if let Some(party) = self.parties.get_mut(who) {
            party.waiting.retain(|waiter| !waiter.turn.is_closed());
            if party.waiting.is_empty() {
                self.line.retain(|other| other != who);
            }
        }
        self.forget_idle(who);
    }

    /// Those that may take what they wait for now. It is taken for them.
    fn due(&mut self) -> Vec<(Arc<str>, Waiter)> {
        let mut due = Vec::new();
        // Round until nobody in line gets any more.
        let mut passed = 0;
        while passed < self.line.len() {
            let Some(who) = self.line.pop_front() else {
                break;
            };
            match self.next_of(&who) {
                Some(waiter) => {
                    due.push((Arc::clone(&who), waiter));
                    passed = 0;
                }
                None => passed += 1,
            }
            if self.somebody_waits(&who) {
                self.line.push_back(who);
            }
        }
        due
    }

    /// The first of a party's line that may take what it waits for now.
    fn next_of(&mut self, who: &Arc<str>) -> Option<Waiter> {
        let waiting = &self.parties.get(who)?.waiting;
        let may = |waiter: &Waiter| self.may_take(who, waiter.count).is_some();
        let place = waiting.iter().position(may)?;
        self.take(who, waiting.get(place)?.count)?;
        self.parties.get_mut(who)?.waiting.remove(place)
    }

    /// The name under which somebody is known already, or its own.
    fn known(&self, who: &str) -> Arc<str> {
        let known = self.parties.get_key_value(who);
        known.map_or_else(|| Arc::from(who), |(known, _)| Arc::clone(known))
    }

    /// Whoever holds nothing and waits for nothing needs no entry.
    fn forget_idle(&mut self, who: &Arc<str>) {
        let party = self.parties.get(who);
        if party.is_some_and(|party| party.held == 0 && party.waiting.is_empty()) {
            self.parties.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is kept for anybody.
    fn divided(all: usize, each: usize) -> Turns {
        Turns::new(Division {
            all,
            each,
            kept: 0,
            little: 0,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_a_whole_share_waits_and_others_do_not() {
        let turns = divided(4, 2);
        let first = turns.turn("A").await.expect("free");
        let _second = turns.turn("A").await.expect("free");
        assert!(turns.turn("A").await.is_err(), "it has two already");
        let _other = turns.turn("B").await.expect("free");
        drop(first);
        turns.turn("A").await.expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn all_shares_together_are_no_more_than_there_is() {
        let turns = divided(3, 2);
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
        let turns = divided(8, 4);
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

    /// However many have all that they can get, for as many as what is kept is divided among there is a little.
    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_for_those_that_have_little() {
        let turns = Turns::new(Division {
            all: 64,
            each: 16,
            kept: 16,
            little: 4,
        });
        let mut held = Vec::new();
        for greedy in 0..32 {
            let who = format!("greedy {greedy}");
            // As much as it can get beyond a little.
            if let Some(turn) = turns.try_several(&who, 5) {
                held.push(turn);
                while let Some(turn) = turns.try_several(&who, 1) {
                    held.push(turn);
                }
            }
        }
        assert!(turns.several("greedy 0", 1).await.is_err());
        assert!(turns.try_spare_turn("modest").is_none());
        for modest in 0..4 {
            let who = format!("modest {modest}");
            for _ in 0..2 {
                held.push(turns.several(&who, 2).await.expect("kept for it"));
            }
            assert!(turns.try_several(&who, 1).is_none(), "it has its little");
        }
        assert!(turns.several("modest 4", 1).await.is_err());
        held.clear();
        assert!(turns.try_spare_turn("modest").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_came_first_of_a_party_is_next_and_parties_take_turns() {
        let turns = divided(1, 1);
        let held = turns.turn("A").await.expect("free");
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for who in ["A1", "A2", "A3", "B1", "B2"] {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _turn = turns.turn(&who[..1]).await.expect("in time");
                order.lock().expect("no panic").push(who);
            }));
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.expect("no panic");
        }
        let order = order.lock().expect("no panic");
        assert_eq!(*order, ["A1", "B1", "A2", "B2", "A3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_much_keeps_nothing_from_others() {
        let turns = divided(8, 8);
        let held = turns.turn("A").await.expect("free");
        let much = tokio::spawn({
            let turns = turns.clone();
            async move { turns.several("B", 8).await.is_err() }
        });
        tokio::task::yield_now().await;
        let others = turns.several("C", 6).await.expect("free");
        let _little = turns.try_several("B", 1).expect("as if nobody waited");
        let two = tokio::spawn({
            let turns = turns.clone();
            async move { turns.several("B", 2).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(others);
        assert!(two.await.expect("no panic"), "it passes the one before it");
        assert!(much.await.expect("no panic"), "never so much");
        drop(held);
    }

    /// Whoever waited in vain has taken nothing of what is scarce.
    #[tokio::test(start_paused = true)]
    async fn what_was_waited_for_in_vain_is_not_taken() {
        let turns = divided(1, 1);
        let held = turns.turn("A").await.expect("free");
        assert!(turns.turn("B").await.is_err());
        let given_up = turns.clone();
        let waiting = tokio::spawn(async move { given_up.turn("C").await.is_ok() });
        tokio::task::yield_now().await;
        // Given to one that never hears of it.
        drop(held);
        waiting.abort();
        drop(turns.turn("B").await.expect("its share is whole"));
        drop(turns.turn("A").await.expect("and so is that one's"));
        assert_eq!(turns.ledger().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn those_without_a_turn_are_forgotten() {
        let turns = divided(1, 1);
        let held = turns.turn("A").await.expect("free");
        for number in 0..100 {
            let who = number.to_string();
            let waited = turns.turn_within(&who, Duration::from_millis(1));
            assert!(waited.await.is_err());
        }
        assert_eq!(turns.ledger().parties.len(), 1);
        drop(held);
        let ledger = turns.ledger();
        assert_eq!((ledger.parties.len(), ledger.line.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_content_that_was_taken_in_it() {
        let turns = divided(1, 1);
        let content = turns.turn("A").await.expect("free").over(*b"content");
        let rest = content.slice(3..);
        drop(content);
        assert!(turns.try_spare_turn("A").is_none());
        assert_eq!(&rest[..], b"tent");
        drop(rest);
        assert!(turns.try_spare_turn("A").is_some());
    }

    #[test]
    fn the_keys_of_an_owner_share_and_those_of_the_vault_do_not() {
        assert_eq!(party("A", "owner"), party("B", "owner"));
        assert_ne!(party("A", ""), party("B", ""));
    }
}
