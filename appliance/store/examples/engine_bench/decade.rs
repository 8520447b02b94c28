//! Ten years of a vault's keys, without its data: what is written, deleted early, held and cut, month by month.
//!
//! Records of four kinds are kept for 1, 3, 12 and 84 months. Some are deleted before their date, which cuts a single
//! leaf; some are held past it, and get a leaf of a later month before theirs is cut; everything else goes with the
//! cut of its month. Once a month the epoch changes, as a start does it.

use stele_format::units::{Epoch, KeyClass, KeyIndex, Month};
use stele_store::keys::counter::KeyCounter;
use stele_store::keys::secret::Secret32;
use stele_store::keys::tree::{KeyTree, Prefix};

/// The kinds of records, by how many months they are kept.
const KEPT_MONTHS: [u16; 4] = [1, 3, 12, 84];
/// December 2026, counted as key indexes count.
const FIRST_MONTH: u16 = 683;
/// Longest that something is held behind its date.
const HELD_MONTHS_MAX: u64 = 24;

/// What is simulated.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Months of the vault's life.
    pub months: u16,
    /// Records written in each month.
    pub records: u64,
    /// Of those, how many are deleted before their date.
    pub early: u64,
    /// And how many are held past it.
    pub held: u64,
    /// Deletions and holds hit only what is kept longest.
    pub longest_only: bool,
    /// What is held gets a later leaf before its month is cut. Without it the cut goes around it.
    pub rehome: bool,
}

/// What became of the keys.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Indexes that were given out.
    pub indexes: u64,
    /// Single leaves that were cut.
    pub leaves_cut: u64,
    /// Months that were cut.
    pub months_cut: u64,
    /// Records that got a later leaf.
    pub rehomed: u64,
    /// Most bytes of tree that there were at once.
    pub peak_bytes: usize,
    /// Bytes at the end.
    pub end_bytes: usize,
    /// Held records whose key derives at the end of each month; all of them, or something is wrong.
    pub held_derive: bool,
    /// Records deleted early whose key does not.
    pub early_gone: bool,
}

/// Numbers from a seed, the same everywhere (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A record that does not simply go with its month, and the month in which that ends.
struct Special {
    leaf: KeyIndex,
    until: u16,
}

struct Decade {
    plan: Plan,
    tree: KeyTree,
    counter: KeyCounter,
    chance: Chance,
    early: Vec<Special>,
    held: Vec<Special>,
    outcome: Outcome,
}

/// Runs the plan.
pub fn run(plan: Plan) -> Outcome {
    let mut decade = Decade {
        plan,
        tree: KeyTree::new(&Secret32::copy_of(&[7; 32])),
        counter: KeyCounter::new(Epoch::new(1)),
        chance: Chance(1),
        early: Vec::new(),
        held: Vec::new(),
        outcome: Outcome {
            held_derive: true,
            early_gone: true,
            ..Outcome::default()
        },
    };
    for month in 0..plan.months {
        decade.write(month);
        decade.delete_early(month);
        decade.measure();
        decade.cut(month);
        decade.measure();
    }
    decade.outcome.end_bytes = decade.tree.encoded_len();
    decade.outcome
}

fn month(number: u16) -> Month {
    Month::new(FIRST_MONTH + number).unwrap_or_default()
}

impl Decade {
    fn index(&mut self, until: u16) -> KeyIndex {
        self.outcome.indexes += 1;
        loop {
            if let Some(index) = self.counter.next(month(until), KeyClass::Object) {
                return index;
            }
            self.next_epoch();
        }
    }

    fn next_epoch(&mut self) {
        self.counter = KeyCounter::new(Epoch::new(self.counter.epoch().get() + 1));
    }

    /// A month's records, in the order of a busy vault: all kinds mixed.
    fn write(&mut self, now: u16) {
        self.next_epoch();
        let special = self.plan.early + self.plan.held;
        let every = (self.plan.records / special.max(1)).max(1);
        for number in 0..self.plan.records {
            let marked = number % every == every / 2 && number / every < special;
            let kept = if marked && self.plan.longest_only {
                KEPT_MONTHS[3]
            } else {
                KEPT_MONTHS[usize::try_from(self.chance.below(4)).unwrap_or(0)]
            };
            let leaf = self.index(now + kept);
            if !marked {
                continue;
            }
            if number / every % special < self.plan.early {
                let life = self.chance.below(u64::from(kept));
                let until = now + u16::try_from(life).unwrap_or(0);
                self.early.push(Special { leaf, until });
            } else {
                let longer = 1 + self.chance.below(HELD_MONTHS_MAX);
                let until = now + kept + u16::try_from(longer).unwrap_or(1);
                self.held.push(Special { leaf, until });
            }
        }
    }

    fn delete_early(&mut self, now: u16) {
        for special in std::mem::take(&mut self.early) {
            if special.until > now {
                self.early.push(special);
                continue;
            }
            self.outcome.leaves_cut += u64::from(self.tree.cut_leaf(special.leaf));
            self.outcome.early_gone &= !self.tree.has_leaf(special.leaf);
        }
    }

    /// Cuts the month that is over.
    fn cut(&mut self, now: u16) {
        self.held.retain(|special| special.until > now);
        let mut held = std::mem::take(&mut self.held);
        let in_month = |leaf: KeyIndex| leaf.parts().is_some_and(|parts| parts.month == month(now));
        for special in held.iter_mut().filter(|special| in_month(special.leaf)) {
            if self.plan.rehome {
                special.leaf = self.index(now + 1);
                self.outcome.rehomed += 1;
            }
        }
        self.held = held;
        let mut staying: Vec<KeyIndex> = self.held.iter().map(|special| special.leaf).collect();
        staying.retain(|leaf| in_month(*leaf));
        staying.sort_unstable();
        cut_around(&mut self.tree, Prefix::month(month(now)), &staying);
        self.outcome.months_cut += 1;
        self.outcome.held_derive &= self
            .held
            .iter()
            .all(|special| self.tree.has_leaf(special.leaf));
    }

    fn measure(&mut self) {
        let bytes = self.tree.encoded_len();
        self.outcome.peak_bytes = self.outcome.peak_bytes.max(bytes);
    }
}

/// Cuts everything under `prefix` but these leaves.
fn cut_around(tree: &mut KeyTree, prefix: Prefix, staying: &[KeyIndex]) {
    if staying.is_empty() {
        tree.cut_prefix(prefix);
        return;
    }
    let inside = |half: Prefix| -> Vec<KeyIndex> {
        let leaves = staying.iter().copied();
        leaves
            .filter(|leaf| Prefix::leaf(*leaf).is_some_and(|leaf| half.covers(leaf)))
            .collect()
    };
    let Some(low) = Prefix::around(prefix.first(), prefix.depth() + 1) else {
        return;
    };
    let bit = 1_u64 << (59 - prefix.depth());
    let Some(high) = Prefix::around(KeyIndex::new(prefix.first().get() | bit), low.depth()) else {
        return;
    };
    for half in [low, high] {
        cut_around(tree, half, &inside(half));
    }
}
