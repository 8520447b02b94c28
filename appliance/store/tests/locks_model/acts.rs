//! What may happen to a vault, and how often.

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof};

/// A wished lock: whether it is COMPLIANCE and hours from now (half past, so that clocks a second apart agree), hold.
pub type Wish = (Option<(bool, i16)>, Option<bool>);

#[derive(Debug, Clone)]
pub enum Act {
    Put {
        key: u8,
        lock: Wish,
    },
    Multipart {
        key: u8,
        lock: Wish,
    },
    /// What the gateway does for a copy: the content of a version as a new one, with a lock of its own.
    Copy {
        at: u8,
        key: u8,
        lock: Wish,
    },
    Marker {
        key: u8,
    },
    /// A marker is taken away.
    Show {
        at: u8,
    },
    Delete {
        at: u8,
        bypass: bool,
    },
    DeleteMany {
        bypass: bool,
    },
    /// What was released comes back.
    BringBack {
        at: u8,
    },
    Retain {
        at: u8,
        to: Option<(bool, i16)>,
        bypass: bool,
    },
    /// Of any version, or of one on a list that people signed.
    Hold {
        at: u8,
        listed: bool,
        on: bool,
    },
    /// For an hour, of one on a list that people signed.
    HoldAwhile {
        at: u8,
    },
    Tag {
        at: u8,
        value: u8,
    },
    DropBucket,
    /// Lifecycle rules of the bucket; without any they are taken away.
    Rules(Vec<Rule>),
    /// A look at what is due by the rules, as every day.
    Look,
    /// Somebody has a version go by the rules, or claims that it is the current one.
    Expire {
        at: u8,
        claim: bool,
    },
    /// People ask for the destruction of some versions that nothing protects, and perhaps of one that is locked, and
    /// approve it.
    Ask {
        which: u16,
        locked: bool,
        early: bool,
    },
    /// What people approved is executed, after it has rested or before.
    Execute {
        rested: bool,
    },
    Sleep {
        hours: u16,
    },
    Restart,
}

/// A lifecycle rule of the bucket, for one key or for all.
#[derive(Debug, Clone)]
pub struct Rule {
    pub key: Option<u8>,
    pub current: Option<Current>,
    /// Days, and how many are kept.
    pub noncurrent: Option<(u8, u8)>,
}

/// When a current version goes.
#[derive(Debug, Clone, Copy)]
pub enum Current {
    Days(u8),
    /// So many hours from the start, and a half.
    From(u16),
    LoneMarker,
}

/// Hours from now, some of them in the past.
fn ahead() -> impl Strategy<Value = i16> {
    prop_oneof![3 => -2..24_i16, 2 => 150..400_i16]
}

fn wish() -> impl Strategy<Value = Wish> {
    let retention = option::weighted(0.5, (any::<bool>(), ahead()));
    (retention, option::weighted(0.2, any::<bool>()))
}

fn rule() -> impl Strategy<Value = Rule> {
    let current = prop_oneof![
        3 => (1..3_u8).prop_map(Current::Days),
        1 => (0..300_u16).prop_map(Current::From),
        2 => (0..1_u8).prop_map(|_| Current::LoneMarker),
    ];
    let noncurrent = (1..3_u8, 0..2_u8);
    // A rule does something.
    let deeds = prop_oneof![
        2 => (current.clone(), option::of(noncurrent.clone()))
            .prop_map(|(current, noncurrent)| (Some(current), noncurrent)),
        1 => noncurrent.prop_map(|noncurrent| (None, Some(noncurrent))),
    ];
    let parts = (option::of(0..2_u8), deeds);
    parts.prop_map(|(key, (current, noncurrent))| Rule {
        key,
        current,
        noncurrent,
    })
}

/// An act, and the special rights of whoever does it.
pub fn act() -> impl Strategy<Value = (Act, u8)> {
    let clients = prop_oneof![
        6 => (0..2_u8, wish()).prop_map(|(key, lock)| Act::Put { key, lock }),
        2 => (0..2_u8, wish()).prop_map(|(key, lock)| Act::Multipart { key, lock }),
        1 => (any::<u8>(), 0..2_u8, wish()).prop_map(|(at, key, lock)| Act::Copy { at, key, lock }),
        1 => (0..2_u8).prop_map(|key| Act::Marker { key }),
        1 => any::<u8>().prop_map(|at| Act::Show { at }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(at, bypass)| Act::Delete { at, bypass }),
        1 => any::<bool>().prop_map(|bypass| Act::DeleteMany { bypass }),
        4 => (any::<u8>(), option::of((any::<bool>(), ahead())), any::<bool>())
            .prop_map(|(at, to, bypass)| Act::Retain { at, to, bypass }),
        5 => (any::<u8>(), any::<bool>(), weighted(0.4))
            .prop_map(|(at, listed, on)| Act::Hold { at, listed, on }),
        2 => any::<u8>().prop_map(|at| Act::HoldAwhile { at }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, value)| Act::Tag { at, value }),
        1 => (0..1_u8).prop_map(|_| Act::DropBucket),
    ];
    let vault = prop_oneof![
        4 => vec(rule(), 0..3).prop_map(Act::Rules),
        6 => (0..1_u8).prop_map(|_| Act::Look),
        4 => (any::<u8>(), weighted(0.2)).prop_map(|(at, claim)| Act::Expire { at, claim }),
        1 => any::<u8>().prop_map(|at| Act::BringBack { at }),
        4 => (any::<u16>(), weighted(0.3), weighted(0.7))
            .prop_map(|(which, locked, early)| Act::Ask { which, locked, early }),
        3 => weighted(0.8).prop_map(|rested| Act::Execute { rested }),
        4 => (1..24_u16).prop_map(|hours| Act::Sleep { hours }),
        3 => (24..80_u16).prop_map(|hours| Act::Sleep { hours }),
        1 => (0..1_u8).prop_map(|_| Act::Restart),
    ];
    (prop_oneof![clients, vault], 0..4_u8)
}
