//! The character of one pool: how many disks, what load, which faults how often.
//!
//! Each pool draws its own, so that some are quiet where others are wild: a run in which everything
//! happens all the time never shows what happens when one thing is left alone.

use stele_store::config::NewBucket;
use stele_store::engine::HealPlan;
use stele_store::heal::pace;
use stele_store::heal::schedule::Due;
use stele_store::index::MirrorCopying;
use stele_store::policy::{BucketKind, Mode, Period};

use crate::limits::LONG_SESSION_FACTOR;
use crate::rng::Rng;

/// Which faults a pool may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Power cuts only.
    Crashes,
    /// Power cuts, and one disk that may do anything wrong.
    OneDisk,
    /// Power cuts, and two such disks or more, or all of them: nothing may be wrong, something may be refused by name.
    TwoDisks,
    /// Power cuts, and disks that come and go: nothing is lost, something may be refused by name.
    Subsets,
}

impl Budget {
    /// Whether something may be lost, if that is told.
    #[must_use]
    pub fn is_lenient(self) -> bool {
        matches!(self, Budget::TwoDisks | Budget::Subsets)
    }
}

/// Draws that are off unless asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// Pools have four disks or more, and any subset of them may be there at a start.
    pub subsets: bool,
    /// The vaults have people, who destroy what has expired.
    pub people: bool,
    /// Sessions are long, so that most of what goes on is work and not starts.
    pub long: bool,
}

/// The character of a pool.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Disks.
    pub disks: u16,
    /// Bytes of an allocation unit.
    pub unit_bytes: u32,
    /// Units of a segment.
    pub segment_units: u32,
    /// What CreateBucket without the lock header yields.
    pub new_bucket: NewBucket,
    /// Rows in memory before a snapshot.
    pub snapshot_rows: usize,
    /// What may go wrong.
    pub budget: Budget,
    /// The disks that may go wrong.
    pub victims: Vec<u16>,
    /// How often each kind of fault strikes at a start or while running, permille.
    pub rates: Rates,
    /// Operations under way at once, at most.
    pub concurrency: usize,
    /// Events of one session, at most.
    pub session_turns: u64,
    /// Sessions that end in a clean stop, permille.
    pub stops: u64,
    /// Sessions that end by killing the process, permille.
    pub kills: u64,
    /// Starts in which the power is cut again, permille.
    pub cuts_at_start: u64,
    /// Uploads larger than rides in the journal, permille.
    pub large: u64,
    /// Operations that are uploads whatever else clients like to do, permille.
    pub uploads: u64,
    /// Operations that set rules, let go by them, take back or tag, permille.
    pub upkeep: u64,
    /// Whether parts as large as S3 demands are uploaded.
    pub long_parts: bool,
    /// Whether the wall clock may be set.
    pub wall_jumps: bool,
    /// Share of requests that come with special rights, permille.
    pub privileged: u64,
    /// Requests of clients, permille; the others are the vault's own.
    pub clients: u64,
    /// Requests that start while there is room, permille of turns.
    pub pressure: u64,
    /// Disks join: turns in which one may, permille.
    pub joins: u64,
    /// The place in the machine whose disk is slow.
    pub slow: Option<usize>,
    /// Disks change places between starts.
    pub swaps: bool,
    /// Any subset of the disks is there at a start.
    pub subsets: bool,
    /// Starts at which the index is made anew, permille.
    pub new_indexes: u64,
    /// Disks that are there, or come back, may be replaced by blank ones.
    pub replaces: bool,
    /// Another pool's disk is found among the disks at some starts.
    pub foreign: bool,
    /// The one that may go wrong changes when everything is whole again.
    pub victims_change: bool,
    /// Time after which segments are read again, milliseconds; none for not at all.
    pub scrub_ms: Option<u64>,
    /// Zeros kept ahead of the journal's head, bytes.
    pub ahead_bytes: u64,
    /// The vault has people.
    pub people: bool,
}

/// How often each fault strikes, permille of opportunities.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// At a start: the disk is not there.
    pub missing: u64,
    /// At a start: flipped bits.
    pub rot: u64,
    /// At a start, beyond the budget: bursts of rot where the youngest segment ends, on every victim.
    pub head_rot: u64,
    /// At a start: written blocks read as zeros.
    pub hole: u64,
    /// At a start: blocks that cannot be read.
    pub unreadable: u64,
    /// At a start: the disk is as it was some time ago.
    pub rollback: u64,
    /// At a start: the disk is blank.
    pub wipe: u64,
    /// In a session: a write is acknowledged and never happens.
    pub lost_write: u64,
    /// In a session: a write lands elsewhere.
    pub stray_write: u64,
    /// In a session: reads come from elsewhere.
    pub stray_read: u64,
    /// In a session: flushes lie.
    pub lie: u64,
    /// In a session: writes fail.
    pub fail_write: u64,
    /// In a session: a flush fails.
    pub fail_flush: u64,
    /// In a session: the disk is pulled.
    pub vanish: u64,
    /// In a session: flipped bits under the running engine.
    pub live_rot: u64,
    /// In a session: the disk is out of room.
    pub full: u64,
    /// In a session: the disk answers nothing for some time.
    pub hang: u64,
    /// At a start: a disk that was lost and replaced is back.
    pub lost_returns: u64,
    /// At a start: the disk is shorter than its label says.
    pub short: u64,
    /// At a start or in a session: all of a segment's place is garbage.
    pub slot_rot: u64,
    /// In a session: the disk takes a thousand times as long as others for some time.
    pub crawl: u64,
}

impl Rates {
    /// Each kind is off, rare or frequent.
    fn draw(rng: &mut Rng) -> Self {
        let mut rate = |high: u64| match rng.below(4) {
            0 | 1 => 0,
            2 => high / 4,
            _ => high,
        };
        Self {
            missing: rate(300),
            rot: rate(500),
            head_rot: rate(600),
            hole: rate(500),
            unreadable: rate(300),
            rollback: rate(120),
            wipe: rate(60),
            lost_write: rate(400),
            stray_write: rate(200),
            stray_read: rate(200),
            lie: rate(200),
            fail_write: rate(300),
            fail_flush: rate(300),
            vanish: rate(200),
            live_rot: rate(300),
            full: rate(80),
            hang: rate(150),
            lost_returns: rate(100),
            short: rate(60),
            slot_rot: rate(100),
            crawl: rate(500),
        }
    }
}

impl Rates {
    /// Without the faults that make a disk forget what it acknowledged: two of the others are always told.
    fn without_forgetting(self) -> Self {
        Self {
            rollback: 0,
            lost_returns: 0,
            lost_write: 0,
            stray_write: 0,
            hole: 0,
            lie: 0,
            ..self
        }
    }
}

impl Swarm {
    /// How mirrors of the index are made anew: where it is committed often, in pieces.
    #[must_use]
    pub fn mirror_copying(&self) -> MirrorCopying {
        match self.snapshot_rows {
            8 => MirrorCopying {
                whole_bytes_max: 0,
                piece_pages: 3,
            },
            _ => MirrorCopying::USUAL,
        }
    }

    /// How the engine heals.
    #[must_use]
    pub fn heal_plan(&self) -> HealPlan {
        let due_ms = self.scrub_ms.unwrap_or(u64::MAX);
        HealPlan {
            scrub: pace::Rates::UNBOUNDED,
            fill: pace::Rates::UNBOUNDED,
            due: Due {
                settle_ms: due_ms,
                open_ms: due_ms,
                interval_ms: due_ms,
            },
            // Few, so that commits come between.
            index_rows: 16,
        }
    }

    /// Draws the character of a pool.
    #[must_use]
    pub fn draw(rng: &mut Rng, extras: Extras) -> Self {
        let mut drawn = Self::draw_any(rng, extras);
        if extras.long {
            drawn.session_turns *= LONG_SESSION_FACTOR;
            drawn.pressure = drawn.pressure.max(200);
        }
        match extras.people {
            true => drawn.with_people(rng),
            false => drawn,
        }
    }

    /// The same with people: within the fault budget, and long enough for what they do.
    fn with_people(self, rng: &mut Rng) -> Self {
        let lenient = self.budget.is_lenient();
        let budget = match self.budget {
            _ if lenient && self.disks >= 3 => Budget::OneDisk,
            _ if lenient => Budget::Crashes,
            budget => budget,
        };
        let victims = match budget {
            Budget::OneDisk => self.victims.iter().copied().take(1).collect(),
            _ => Vec::new(),
        };
        let victims = match (budget, victims) {
            (Budget::OneDisk, none) if none.is_empty() => vec![0],
            (_, victims) => victims,
        };
        Self {
            budget,
            rates: match budget {
                Budget::OneDisk if lenient => Rates::draw(rng),
                Budget::OneDisk => self.rates,
                _ => Rates::default(),
            },
            victims,
            subsets: false,
            concurrency: self.concurrency.min(4),
            session_turns: self.session_turns + 300,
            wall_jumps: self.wall_jumps && rng.permille(200),
            people: true,
            ..self
        }
    }

    fn draw_any(rng: &mut Rng, extras: Extras) -> Self {
        let subsets = extras.subsets;
        let disks: &[u16] = match subsets {
            true => &[4, 5, 5, 6, 6, 7],
            false => &[1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 6, 7],
        };
        let disks = *rng.pick(disks).unwrap_or(&3);
        let budget = match draw_budget(rng, disks) {
            _ if subsets => Budget::Subsets,
            budget => budget,
        };
        let victims = draw_victims(rng, disks, budget);
        let unit_bytes = *rng
            .pick(&[64 << 10, 64 << 10, 128 << 10, 256 << 10])
            .unwrap_or(&65536);
        // A chunk and all around it must fit.
        let segment_bytes = *rng
            .pick(&[5 << 18, 5 << 18, 5 << 18, 2 << 20, 4 << 20])
            .unwrap_or(&(2 << 20));
        Self {
            disks,
            unit_bytes,
            segment_units: segment_bytes / unit_bytes,
            new_bucket: draw_bucket(rng),
            snapshot_rows: *rng.pick(&[8, 40, 150, 5_000]).unwrap_or(&150),
            budget,
            victims,
            rates: match budget {
                Budget::Crashes | Budget::Subsets => Rates::default(),
                Budget::OneDisk => Rates::draw(rng),
                Budget::TwoDisks if rng.permille(700) => Rates::draw(rng).without_forgetting(),
                Budget::TwoDisks => Rates::draw(rng),
            },
            joins: match subsets {
                true => *rng.pick(&[0, 30, 100]).unwrap_or(&30),
                false => *rng.pick(&[0, 5, 30]).unwrap_or(&0),
            },
            slow: rng.permille(300).then(|| rng.index(usize::from(disks))),
            swaps: rng.permille(300),
            subsets,
            new_indexes: match subsets {
                true => *rng.pick(&[0, 0, 200]).unwrap_or(&0),
                false => 0,
            },
            replaces: !subsets || rng.permille(500),
            foreign: rng.permille(50),
            victims_change: budget == Budget::OneDisk && rng.permille(600),
            concurrency: *rng.pick(&[1, 2, 4, 8, 16]).unwrap_or(&4),
            session_turns: rng.between(60, 900),
            stops: *rng.pick(&[0, 100, 300]).unwrap_or(&100),
            kills: *rng.pick(&[0, 100, 400]).unwrap_or(&100),
            cuts_at_start: *rng.pick(&[0, 100, 300, 500]).unwrap_or(&100),
            large: *rng.pick(&[0, 100, 400, 900]).unwrap_or(&0),
            uploads: *rng.pick(&[0, 0, 500]).unwrap_or(&0),
            clients: *rng.pick(&[0, 0, 300]).unwrap_or(&0),
            upkeep: *rng.pick(&[0, 60, 250]).unwrap_or(&0),
            long_parts: rng.permille(40),
            wall_jumps: rng.permille(250),
            privileged: *rng.pick(&[0, 200, 700]).unwrap_or(&200),
            pressure: *rng.pick(&[60, 200, 500]).unwrap_or(&200),
            scrub_ms: *rng
                .pick(&[None, Some(20), Some(20), Some(400)])
                .unwrap_or(&None),
            ahead_bytes: *rng.pick(&[0, 0, 64 << 10, 512 << 10]).unwrap_or(&0),
            people: false,
        }
    }
}

fn draw_budget(rng: &mut Rng, disks: u16) -> Budget {
    match (disks, rng.below(10)) {
        (1, 0..=4) | (_, 0..=2) => Budget::Crashes,
        (1, _) => Budget::TwoDisks,
        (_, 3..=7) => Budget::OneDisk,
        _ => Budget::TwoDisks,
    }
}

fn draw_victims(rng: &mut Rng, disks: u16, budget: Budget) -> Vec<u16> {
    // Of more than five disks three may be a minority.
    let last = u64::from(disks.div_ceil(2).max(3)) - 1;
    let count = match budget {
        Budget::Crashes | Budget::Subsets => 0,
        Budget::OneDisk => 1,
        Budget::TwoDisks if rng.permille(600) => usize::from(disks),
        Budget::TwoDisks => usize::try_from(rng.between(2, last)).unwrap_or(2),
    };
    let mut victims: Vec<u16> = (0..disks).collect();
    while victims.len() > count {
        victims.remove(rng.index(victims.len()));
    }
    victims
}

fn draw_bucket(rng: &mut Rng) -> NewBucket {
    match rng.below(3) {
        0 => NewBucket {
            kind: BucketKind::Plain,
            default: None,
            floor_ms: 0,
        },
        1 => NewBucket {
            kind: BucketKind::DefaultLocked,
            default: Some((Mode::Governance, Period::Days(2))),
            floor_ms: 0,
        },
        _ => NewBucket::default(),
    }
}
