//! Vaults that lose journal frames on every disk, and the index with them, and that two people force open: what they
//! gave up is what was lost, it stays out whatever disks show, and all else stays as it was.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "lost/archive.rs"]
mod archive;
#[path = "../../../appliance/format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "lost/clients.rs"]
mod clients;
#[path = "lost/destruction.rs"]
mod destruction;
#[path = "../../../appliance/store/tests/destruction/forcing.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of it")]
mod forcing;
#[path = "lost/picture.rs"]
mod picture;
#[path = "lost/rot.rs"]
mod rot;
#[path = "../../../appliance/store/tests/support/mod.rs"]
mod support;
#[path = "../../../appliance/store/tests/destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the world")]
mod world;

use std::collections::BTreeMap;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::statement::{Act, Cut, Origin};
use stele_format::units::{LogIndex, Opening, SegmentId};
use stele_sim::rng::Rng;
use stele_store::limits::SNAPSHOT_ROW_COUNT;
use stele_store::policy::Kept;
use stele_store::recovery::{CreateParams, ForcedRefusal, OpenError, Outlook};
use stele_store::request::Refusal;

use crate::archive::{Archive, Frame};
use crate::clients::Clients;
use crate::forcing::{force, look, order_for};
use crate::picture::{Picture, check_only_read};
use crate::rot::Rotten;
use crate::support::locks::{ALL_RIGHTS, lose_index};
use crate::support::steps::turns;
use crate::support::{DISK_BYTES, PARAMS, Rig, Running};
use crate::world::{DAY_MS, founded_in, list, request, view};

/// Vaults of a test run.
const SEEDS: std::ops::Range<u64> = 0..60;
/// Seeds that failed once.
const KEPT: [u64; 5] = [1071, 1657, 2138, 2182, 2213];
/// Times a vault loses something.
const ROUND_COUNT_MAX: u64 = 3;
/// Steps of clients between two stops.
const STEP_COUNT_MAX: u64 = 14;
/// Disk steps within which the power fails while a vault is forced open.
const CUT_STEP_COUNT_MAX: u64 = 500;

/// What happened, over all vaults.
type Seen = BTreeMap<&'static str, u64>;

/// A vault, its clients, and what its log is.
struct Life {
    rng: Rng,
    rig: Rig,
    log: Archive,
    clients: Clients,
    opening: Opening,
    /// Nothing is destroyed that was stored before this record.
    doubted: LogIndex,
    rotten: Vec<Rotten>,
    /// A disk that is out, and whether people left it behind. It has what the others lose.
    out: Option<(usize, SimDiskHandle)>,
    left_behind: bool,
    /// The first frames of forced openings rot, too.
    openings_rot: bool,
    seen: Seen,
}

impl Life {
    fn new(seed: u64, openings_rot: bool) -> Self {
        // Segments of a few dozen frames.
        let params = CreateParams {
            segment_units: 5,
            ..PARAMS
        };
        let mut rig = Rig::create_as(&params, &[DISK_BYTES; 3], None);
        rig.rights = ALL_RIGHTS;
        let mut rng = Rng::new(seed);
        // With few, a journal is replayed in many stages.
        rig.options.snapshot_rows = *rng.pick(&[1, 8, 150, SNAPSHOT_ROW_COUNT]).unwrap();
        let (rig, vault) = founded_in(rig);
        let mut life = Self {
            rng,
            rig,
            log: Archive::default(),
            clients: Clients::default(),
            opening: Opening::ZERO,
            doubted: LogIndex::ZERO,
            rotten: Vec::new(),
            out: None,
            left_behind: false,
            openings_rot,
            seen: Seen::new(),
        };
        life.stop(vault);
        life
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A clean stop; the log is as the disks have it then.
    fn stop(&mut self, mut vault: Running) {
        // Long enough, most of the time, for the record that repeats the tree.
        if self.rng.permille(900) {
            vault.pass(1_000);
        }
        self.rig.clock_ms = view(&mut vault).now.get();
        vault.stop();
        let tags = &mut self.clients.tags;
        self.log.take_in(&self.rig, self.opening, tags);
    }

    /// Clients work, and the vault is started again now and then.
    fn work(&mut self) {
        for _ in 0..self.rng.between(1, 3) {
            let mut vault = self.start();
            for _ in 0..self.rng.between(1, STEP_COUNT_MAX) {
                self.clients.step(&mut vault, &mut self.rng);
            }
            self.stop(vault);
        }
        let made = self.clients.stored.iter();
        let mut unsaid = made.filter(|stored| {
            let index = stored.version.ordinal().get();
            !self.log.has(index) && index >= self.log.size()
        });
        assert_eq!(unsaid.next().map(|one| one.version), None);
        if self.rng.permille(300) {
            self.destroy();
        }
    }

    /// People destroy something, and the next start cuts its keys.
    fn destroy(&mut self) {
        let mut vault = self.start();
        let destroyed = destruction::destroy(&mut vault, &mut self.rng, self.doubted);
        self.stop(vault);
        if destroyed {
            self.note("destroyed");
            let vault = self.start();
            self.stop(vault);
        }
    }

    /// A start that takes writes.
    fn start(&mut self) -> Running {
        self.rig.options.new_index = self.rng.permille(300);
        let vault = self.rig.start();
        self.rig.options.new_index = false;
        assert_eq!(vault.engine.status().read_only, None);
        vault
    }

    /// Everything as the log says.
    fn check(&mut self, vault: &mut Running) -> Picture {
        let picture = picture::take(vault, &self.clients);
        picture.check(&self.clients, &self.log);
        picture
    }

    /// Frames rot on all disks, and the index is lost. Told whether the vault goes on.
    fn lose(&mut self) -> bool {
        self.pull_out();
        let rotten = rot::rot(&mut self.rng, &self.rig, &self.log, self.openings_rot);
        self.rotten.extend(rotten);
        lose_index(&self.rig);
        match self.rig.try_start() {
            Ok(mut vault) if vault.engine.status().read_only.is_none() => {
                self.note("not needed");
                self.check(&mut vault);
                self.stop(vault);
                return true;
            }
            Ok(mut vault) => check_only_read(&mut vault, &self.clients, &self.log),
            Err(OpenError::LogShort { .. }) => self.note("short"),
            // The header of its first segment is lost.
            Err(OpenError::NoJournal { .. }) => {
                self.note("no journal");
                return false;
            }
            Err(other) => panic!("does not open: {other}"),
        }
        let (origin, outlook) = look(&mut self.rig);
        match outlook {
            Ok(outlook) => {
                self.judge(&outlook);
                self.force(origin, &outlook);
                true
            }
            Err(refusal) => {
                let what = match refusal {
                    ForcedRefusal::Hole => "hole",
                    ForcedRefusal::Holes { .. } => "holes",
                    ForcedRefusal::NobodyFounded => "nobody founded",
                    ForcedRefusal::NoRoom => "no room",
                    ForcedRefusal::LostOpening => "an opening is lost",
                    other => panic!("not forced: {other}"),
                };
                self.note(what);
                false
            }
        }
    }

    /// It gives up what rotted, and nothing else; and what is left is the log.
    fn judge(&mut self, outlook: &Outlook) {
        let size = outlook.head.size;
        let spans = outlook.missing();
        let given_up = |index: u64| {
            let mut spans = spans.iter();
            index >= size || spans.any(|span| (span.first.get()..=span.last.get()).contains(&index))
        };
        for (sequence, frame) in &self.log.frames {
            let lost = self.is_lost(frame);
            if !lost && self.lacks_header(frame.header.segment) {
                continue;
            }
            for index in frame.records() {
                assert_eq!(given_up(index), lost, "record {index} of frame {sequence}");
            }
        }
        assert_eq!(outlook.head.root, self.log.tree(size));
        self.note("forced open");
        let what = match spans.len() {
            0 => "only the end",
            1 => "one span",
            _ => "several spans",
        };
        self.note(what);
        if self
            .rotten
            .iter()
            .any(|one| one.is_bad && one.header_of.is_some())
        {
            self.note("a segment's header");
        }
        if size < self.log.size() {
            self.note("an end");
        }
        if spans.iter().any(|span| {
            let mut before = self.log.given_up.iter();
            before.any(|index| (span.first.get()..=span.last.get()).contains(index))
        }) {
            self.note("around an earlier one");
        }
    }

    /// No disk that is here has it.
    fn is_lost(&self, frame: &Frame) -> bool {
        frame.copies.iter().all(|(disk, _)| {
            let of = |one: &Rotten| one.sequence == frame.header.sequence && one.disk == *disk;
            let mut bad = self.rotten.iter().filter(|one| one.is_bad);
            self.rig.handles[*disk].is_none() || bad.any(of)
        })
    }

    fn lacks_header(&self, segment: SegmentId) -> bool {
        let mut bad = self.rotten.iter().filter(|one| one.is_bad);
        bad.any(|one| one.header_of == Some(segment))
    }

    /// Sometimes a disk is away from now on.
    fn pull_out(&mut self) {
        if self.out.is_none() && self.rng.permille(200) {
            let disk = self.rng.index(self.rig.handles.len());
            let handle = self.rig.handles[disk].take().unwrap();
            self.out = Some((disk, handle));
        }
    }

    fn force(&mut self, origin: Origin, outlook: &Outlook) {
        let order = order_for(origin, outlook);
        let cut = self
            .rng
            .permille(300)
            .then(|| self.rng.below(CUT_STEP_COUNT_MAX));
        if let Some(steps) = cut {
            self.rig.power.cut_after(steps);
        }
        let forced = force(&mut self.rig, &order);
        let mut vault = match (forced, cut) {
            (forced, Some(_)) => {
                drop(forced);
                self.rig.crash();
                self.rig.power.restore();
                self.after_cut(outlook)
            }
            (forced, None) => forced.unwrap(),
        };
        self.opening = outlook.opening;
        self.log.give_up(outlook);
        self.clients.may_lack = true;
        assert_eq!(vault.engine.status().read_only, None, "forced open");
        let openings = view(&mut vault).openings;
        let opened = openings.last().unwrap();
        assert_eq!(opened.opening, self.opening);
        if !outlook.lost.is_empty() {
            self.doubted = opened.record;
        }
        if self.out.is_some() {
            self.left_behind = true;
            self.note("a disk left behind");
        }
        let picture = self.check(&mut vault);
        self.clients.go_on_with(&picture);
        self.stop(vault);
    }

    /// The power failed: the vault is open, or as it was and then forced open.
    fn after_cut(&mut self, outlook: &Outlook) -> Running {
        if let Ok(mut vault) = self.rig.try_start()
            && view(&mut vault).openings.last().map(|one| one.opening) == Some(outlook.opening)
        {
            self.note("cut, and open");
            return vault;
        }
        self.note("cut, and undone");
        let (origin, again) = look(&mut self.rig);
        let again = again.unwrap();
        assert_eq!(
            (again.missing(), again.head),
            (outlook.missing(), outlook.head)
        );
        assert_eq!(again.opening, outlook.opening);
        force(&mut self.rig, &order_for(origin, &again)).unwrap()
    }

    /// The same at every start, with the index at hand or made anew, and with the bytes back.
    fn stays(&mut self) {
        let mut vault = self.start();
        let before = self.check(&mut vault);
        self.stop(vault);
        for back in [false, true] {
            if back {
                self.put_back();
            }
            lose_index(&self.rig);
            let mut vault = self.start();
            assert_eq!(self.check(&mut vault), before);
            self.stop(vault);
            if back && let Some((disk, _)) = &self.out {
                self.rig.handles[*disk] = None;
            }
        }
    }

    fn put_back(&mut self) {
        let share = *self.rng.pick(&[0, 500, 1000]).unwrap();
        for one in &mut self.rotten {
            if one.is_bad && self.rng.permille(share) {
                one.put_back(&self.rig);
            }
        }
        if self.left_behind
            && let Some((disk, handle)) = &self.out
        {
            self.rig.handles[*disk] = Some(handle.clone());
        }
    }

    /// Nothing stored before is destroyed, once its lock is over.
    fn is_doubted(&mut self) {
        let mut vault = self.start();
        let picture = self.check(&mut vault);
        vault.sleep(60 * DAY_MS);
        let stored = self.clients.stored.iter();
        let mut shown = stored.filter(|one| {
            let marks = picture.versions.get(&one.version);
            marks.is_some_and(|marks| !marks.hold)
        });
        if let Some(old) = shown.find(|one| one.version.ordinal() < self.doubted) {
            let erase = list(&mut vault, &[old.version], Cut::Leaves, false);
            let asked = request(&mut vault, Act::Erase(erase), "oona");
            let refused = Refusal::ScopeKept {
                record: old.version.ordinal(),
                why: Kept::Doubted,
            };
            assert_eq!(asked, Err(refused));
            self.note("doubted");
        }
        turns(&mut vault);
        self.check(&mut vault);
    }

    fn live(&mut self) {
        self.work();
        let mut opened = false;
        for _ in 0..self.rng.between(1, ROUND_COUNT_MAX) {
            let before = self.opening;
            if !self.lose() {
                // What nobody can give up is as it was with its bytes.
                for one in self.rotten.iter_mut().filter(|one| one.is_bad) {
                    one.put_back(&self.rig);
                }
            }
            if self.opening > before {
                opened = true;
                self.work();
            }
            self.stays();
            self.work();
        }
        if opened {
            self.is_doubted();
        }
    }
}

/// The seeds of a run: those of `STELE_LOST_SEEDS=FIRST..END`, if it is there.
fn seeds() -> Vec<u64> {
    let Ok(wish) = std::env::var("STELE_LOST_SEEDS") else {
        return SEEDS.collect();
    };
    let (first, end) = wish.split_once("..").unwrap();
    (first.parse().unwrap()..end.parse().unwrap()).collect()
}

/// Lives of these seeds; what happened.
fn lives(seeds: &[u64], openings_rot: bool) -> Seen {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| {
        let live = |seed| {
            let mut life = Life::new(seed, openings_rot);
            life.live();
            life.seen
        };
        let seeds = seeds.iter().skip(first).step_by(threads);
        seeds
            .map(|seed| (*seed, std::panic::catch_unwind(|| live(*seed))))
            .collect::<Vec<_>>()
    };
    let lived = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        let shares = shares.into_iter().map(|share| share.join().unwrap());
        shares.flatten().collect::<Vec<_>>()
    });
    let failed = lived.iter().filter(|(_, lived)| lived.is_err());
    let failed: Vec<u64> = failed.map(|(seed, _)| *seed).collect();
    let mut seen = Seen::new();
    for (what, count) in lived
        .into_iter()
        .filter_map(|(_, lived)| lived.ok())
        .flatten()
    {
        *seen.entry(what).or_default() += count;
    }
    println!("{seen:?}");
    assert!(failed.is_empty(), "seeds {failed:?}");
    seen
}

#[test]
fn what_two_people_give_up_is_what_was_lost_and_stays_out_while_all_else_stays() {
    let seen = lives(&seeds(), false);
    for what in [
        "one span",
        "several spans",
        "an end",
        "around an earlier one",
        "a disk left behind",
        "cut, and open",
        "cut, and undone",
        "destroyed",
        "doubted",
    ] {
        assert!(seen.contains_key(what), "{what}: {seen:?}");
    }
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    lives(&KEPT, false);
}

/// Nobody gives up the record of an opening, which says what was given up.
#[test]
fn it_stays_out_where_openings_rot() {
    lives(&seeds(), true);
}
