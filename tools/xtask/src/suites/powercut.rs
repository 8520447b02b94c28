//! Power cuts of the real program, again and again: what is acknowledged survives the loss of
//! everything that was not flushed.
//!
//! The program is a build of its own, on evil disks: they hold what was not flushed in memory, and a
//! cut loses, tears and reorders a seeded part of it before it ends the process. A cut comes at a
//! write, at a flush or at a random moment, also during the start and while what earlier rounds
//! were promised is read back. After each cut the offline verifier must find the disks clean, and
//! the next start must give every acknowledged version byte for byte.
//!
//! The seed fixes the plans; which operation meets a cut depends on the threads.

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::load::{Book, Done, Load, Scope, verify_all};
use crate::rng::Rng;
use crate::server::{INSPECT_MAX, Server, verify_disks};
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

mod replaced;

const WORKERS: u64 = 6;
const BUCKET: &str = "powercut-bucket";
/// What one round may send before its workers turn to small objects.
const ROUND_BYTES: u64 = 8 << 20;
const LOAD_MS_MIN: u64 = 50;
const LOAD_MS_MAX: u64 = 900;
/// A cut at a write or flush that is not reached in this time comes by signal.
const PLAN_MS_MAX: u64 = 1500;
/// Cuts are planned at one of so many writes or flushes after the start, small numbers as often as large ones.
const WRITES_LOG2_MAX: u64 = 12;
const FLUSHES_LOG2_MAX: u64 = 10;
/// A vault is left after so many rounds, so that all of it can be read after each cut.
const ROUNDS_PER_VAULT: u64 = 25;
/// A cut must end the process within this time.
const DEATH_MAX: Duration = Duration::from_secs(20);
/// Attempts at catching a disk that ignores flushes; now and then its cut happens to lose nothing.
const LIES_MAX: u64 = 5;
/// What a flush of a slow disk takes more than one of the others.
const SLOW_MS: u64 = 150;
/// Writes after which a disk fails: the journal has left the slow one by then.
const FAIL_WRITES: u64 = 1_500;
/// What the server says when it has begun the journal anew.
const MOVED: &str = "the journal was begun anew";
/// Within this time it must have.
const MOVE_MAX: Duration = Duration::from_secs(120);
/// Attempts at that.
const MOVES_MAX: u64 = 3;
/// What only a build with evil disks says.
const MARK: &[u8] = b"EVIL DISKS";

/// Rounds in the share that every test run takes.
pub const ROUNDS_SHARE: u64 = 12;
/// Rounds of the long form.
pub const ROUNDS_LONG: u64 = 1000;

/// Where the cuts of a campaign fell, and what was at stake.
#[derive(Default)]
struct Tally {
    rounds: u64,
    at_write: u64,
    at_flush: u64,
    by_signal: u64,
    during_start: u64,
    during_check: u64,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    read_back: u64,
}

/// One vault through its rounds.
struct Campaign<'a> {
    evil: &'a Path,
    inspect: &'a Path,
    vault: PathBuf,
    books: Vec<Book>,
    rng: Rng,
    tally: Tally,
}

/// When a cut is planned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Write(u64),
    Flush(u64),
    Signal,
}

impl When {
    fn choose(rng: &mut Rng) -> When {
        // The exponent is chosen first: cuts early in a start are as likely as late ones.
        let one_of = |rng: &mut Rng, log2: u64| {
            let most = 1 << (1 + rng.below(log2));
            1 + rng.below(most)
        };
        match rng.below(20) {
            0..=5 => When::Write(one_of(rng, WRITES_LOG2_MAX)),
            6..=10 => When::Flush(one_of(rng, FLUSHES_LOG2_MAX)),
            _ => When::Signal,
        }
    }

    fn plan(self, seed: u64) -> String {
        match self {
            When::Write(number) => format!("seed={seed},writes={number}"),
            When::Flush(number) => format!("seed={seed},flushes={number}"),
            When::Signal => format!("seed={seed}"),
        }
    }
}

/// Runs the suite with this many rounds.
pub fn run(workspace: &Workspace, programs: &Programs, rounds: u64, seed: u64) -> Closed {
    let mut ledger = Ledger::open("powercut", workspace.ci);
    println!("seed {seed}, {rounds} rounds, {WORKERS} workers");
    let mut built = None;
    ledger.case("build on evil disks", || {
        let home = workspace.scratch("powercut-program")?;
        let evil = workspace.build_evil(home.path())?;
        built = Some((home, evil));
        Ok(())
    });
    let Some((_home, evil)) = built else {
        return ledger.close();
    };
    ledger.case("the shipped program has no evil disks", || {
        let holds = |path: &Path| -> Outcome<bool> {
            let bytes = std::fs::read(path).map_err(|e| Failure::path("cannot read", path, &e))?;
            Ok(bytes.windows(MARK.len()).any(|window| window == MARK))
        };
        ensure(holds(&evil)?, || {
            "the test build has none either".to_owned()
        })?;
        ensure(!holds(&programs.stele)?, || "it has".to_owned())
    });
    let inspect = programs.inspect.as_path();
    ledger.case("a disk that ignores flushes is caught", || {
        caught_lying(workspace, &evil, inspect, seed)
    });
    ledger.case(
        "a vault goes on when a disk fails while another is slow",
        || goes_on_by_itself(workspace, &evil, inspect, seed),
    );
    ledger.case(
        "a disk that fails under clients is replaced as the vault says",
        || replaced::as_printed(workspace, &evil, inspect, seed),
    );
    let mut total = Tally::default();
    let mut left = rounds;
    for vault in 0.. {
        if left == 0 {
            break;
        }
        let these = left.min(ROUNDS_PER_VAULT);
        left -= these;
        let name = format!("vault {}: {these} power cuts", vault + 1);
        let good = ledger.case(&name, || {
            let mut scratch = workspace.scratch("powercut")?;
            let seed = Rng::new(seed ^ (vault << 32)).next();
            let mut campaign = Campaign::new(&evil, inspect, &scratch, seed);
            let outcome = campaign.all(these);
            total.add(&campaign.tally);
            // Whoever looks for the cause needs the disks as they are.
            outcome.inspect_err(|_| scratch.keep())
        });
        if !good {
            break;
        }
    }
    total.report();
    ledger.close()
}

/// Makes sure that this test can fail: flushes that do nothing must come to light.
fn caught_lying(workspace: &Workspace, evil: &Path, inspect: &Path, seed: u64) -> Outcome {
    for attempt in 0..LIES_MAX {
        let scratch = workspace.scratch("powercut-lie")?;
        let mut campaign = Campaign::new(evil, inspect, &scratch, seed ^ attempt);
        campaign.round(1)?;
        let plan = format!("seed={},flush=ignored", campaign.rng.next());
        let server = Server::start_with(evil, &campaign.vault, &plan)?;
        campaign.load(server, When::Signal, 2)?;
        if let Err(failure) = campaign.last() {
            let text = failure.to_string();
            println!(
                "        caught: {}",
                text.lines().next().unwrap_or_default()
            );
            return Ok(());
        }
    }
    Err(Failure::new(format!(
        "{LIES_MAX} cuts of disks that flush nothing went unnoticed"
    )))
}

/// The journal has left a slow disk when one of the two others fails: the engine starts again by itself, on the slow
/// one and the third, and nothing that was acknowledged is lost.
fn goes_on_by_itself(workspace: &Workspace, evil: &Path, inspect: &Path, seed: u64) -> Outcome {
    for attempt in 0..MOVES_MAX {
        let scratch = workspace.scratch("powercut-slow")?;
        let mut campaign = Campaign::new(evil, inspect, &scratch, seed ^ attempt);
        // Now and then the slow disk has just taken the journal again when the other one fails.
        if campaign.moves()? {
            return Ok(());
        }
    }
    let text = format!("in {MOVES_MAX} attempts it never said: {MOVED}");
    Err(Failure::new(text))
}

/// Whether the server prints this within a time.
fn said_within(server: &mut Server, text: &str, patience: Duration) -> Outcome<bool> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if server.output()?.contains(text) {
            return Ok(true);
        }
        server.expect_alive()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

impl<'a> Campaign<'a> {
    fn new(evil: &'a Path, inspect: &'a Path, scratch: &Scratch, seed: u64) -> Campaign<'a> {
        let books = (0..WORKERS).map(|worker| Book::new(&format!("w{worker}/")));
        Campaign {
            evil,
            inspect,
            vault: scratch.join("vault"),
            books: books.collect(),
            rng: Rng::new(seed),
            tally: Tally::default(),
        }
    }

    fn all(&mut self, rounds: u64) -> Outcome {
        for round in 1..=rounds {
            self.round(round)
                .map_err(|failure| failure.within(&format!("round {round}")))?;
        }
        self.last().map_err(|failure| failure.within("at the end"))
    }

    /// One life of the process and its end. A cut before the load began is a round too.
    fn round(&mut self, round: u64) -> Outcome {
        let seed = self.rng.next();
        // Creating a vault is not safe against cuts: a half-made one is refused, not repaired.
        let when = if round == 1 {
            When::Signal
        } else {
            When::choose(&mut self.rng)
        };
        let plan = when.plan(seed);
        self.live_and_die(round, when, &plan)
            .map_err(|failure| failure.within(&plan))?;
        self.tally.rounds += 1;
        self.judge()
            .map_err(|failure| failure.within(&format!("{plan}, after the cut")))
    }

    /// The verifier must find the disks clean.
    fn judge(&self) -> Outcome {
        let run = Run::new(self.inspect).arg("verify").arg(&self.vault);
        run.deadline(INSPECT_MAX).finish()?.expect_success()
    }

    fn live_and_die(&mut self, round: u64, when: When, plan: &str) -> Outcome {
        let Some(mut server) = Server::start_or_cut(self.evil, &self.vault, plan)? else {
            self.tally.during_start += 1;
            self.tally.died(when);
            return Ok(());
        };
        if round == 1 {
            server.client().create_bucket(BUCKET, true)?.expect(200)?;
        }
        match verify_all(&server.endpoint, BUCKET, &mut self.books, Scope::All, false) {
            Ok(found) => self.tally.read_back += found.right,
            Err(_) if when != When::Signal && server.was_cut(DEATH_MAX / 10)? => {
                self.tally.during_check += 1;
                self.tally.died(when);
                return Ok(());
            }
            Err(failure) => return Err(failure.and(&server.said())),
        }
        self.load(server, when, round)
    }

    /// Lets the workers write until the power goes.
    fn load(&mut self, mut server: Server, when: When, round: u64) -> Outcome {
        let load = Load::new(BUCKET, ROUND_BYTES);
        // The server may go at any moment; how it went is looked at afterwards.
        load.killed.store(true, Ordering::SeqCst);
        let patience = match when {
            When::Signal => LOAD_MS_MIN + self.rng.below(LOAD_MS_MAX - LOAD_MS_MIN),
            When::Write(_) | When::Flush(_) => PLAN_MS_MAX,
        };
        let patience = Duration::from_millis(patience);
        let cut = |server: &mut Server| cut_within(server, patience);
        let (cut, results) = self.work(&mut server, &load, round, cut);
        let by_itself = cut.map_err(|failure| failure.and(&server.said()))?;
        self.tally.died(if by_itself { when } else { When::Signal });
        for result in results {
            self.tally.count(&result?);
        }
        Ok(())
    }

    /// A life with a slow disk and one that fails; false when the journal had not left the slow one then.
    fn moves(&mut self) -> Outcome<bool> {
        let seed = self.rng.next();
        let plan = format!("seed={seed},slow=3:{SLOW_MS},fail=2:{FAIL_WRITES}");
        let mut server = Server::start_with(self.evil, &self.vault, &plan)?;
        server.client().create_bucket(BUCKET, true)?.expect(200)?;
        let moved = |server: &mut Server| said_within(server, MOVED, MOVE_MAX);
        if !self.work_until(&mut server, 1, moved)? {
            return Ok(false);
        }
        self.read_back(&server)?;
        // What is acknowledged from here on is so by the two that are left.
        let before = self.tally.acknowledged;
        let pause = |_: &mut Server| {
            std::thread::sleep(Duration::from_millis(LOAD_MS_MAX));
            Ok(())
        };
        self.work_until(&mut server, 2, pause)?;
        let after = self.tally.acknowledged - before;
        let nothing = || format!("nothing is acknowledged any more\n{}", server.said());
        ensure(after > 0, nothing)?;
        self.read_back(&server)?;
        server.stop()?;
        let server = Server::start_with(self.evil, &self.vault, "seed=1")?;
        self.read_back(&server)?;
        println!("        {before} operations acknowledged before it, {after} after it");
        server.stop()?;
        Ok(true)
    }

    /// Lets the workers write to a server that stays, until `until` returns.
    fn work_until<T>(
        &mut self,
        server: &mut Server,
        round: u64,
        until: impl FnOnce(&mut Server) -> Outcome<T>,
    ) -> Outcome<T> {
        let load = Load::new(BUCKET, ROUND_BYTES);
        // It answers 503, or 500, while it starts again.
        load.killed.store(true, Ordering::SeqCst);
        let (came, results) = self.work(server, &load, round, until);
        let came = came.map_err(|failure| failure.and(&server.said()))?;
        for result in results {
            self.tally.count(&result?);
        }
        Ok(came)
    }

    fn read_back(&mut self, server: &Server) -> Outcome {
        let found = verify_all(&server.endpoint, BUCKET, &mut self.books, Scope::All, false)
            .map_err(|failure| failure.and(&server.said()))?;
        self.tally.read_back += found.right;
        Ok(())
    }

    /// Runs the workers beside `until`.
    fn work<T>(
        &mut self,
        server: &mut Server,
        load: &Load<'_>,
        round: u64,
        until: impl FnOnce(&mut Server) -> T,
    ) -> (T, Vec<Outcome<Done>>) {
        let seeds: Vec<u64> = self.books.iter().map(|_| self.rng.next()).collect();
        let clients: Vec<_> = self.books.iter().map(|_| server.client()).collect();
        let workers = self.books.iter_mut().zip(clients).zip(seeds);
        std::thread::scope(|threads| {
            let handles: Vec<_> = workers
                .map(|((book, client), seed)| {
                    book.round = round;
                    threads.spawn(move || load.work(book, client, Rng::new(seed)))
                })
                .collect();
            let came = until(server);
            load.stop.store(true, Ordering::SeqCst);
            let panicked = |_| Err(Failure::new("a worker panicked"));
            let join = |handle: std::thread::ScopedJoinHandle<'_, Outcome<Done>>| {
                handle.join().unwrap_or_else(panicked)
            };
            (came, handles.into_iter().map(join).collect())
        })
    }

    /// Everything once more, then a clean stop; what was not flushed then is lost too.
    fn last(&mut self) -> Outcome {
        let server = Server::start_with(self.evil, &self.vault, "seed=1")?;
        self.read_back(&server)?;
        server.stop()?;
        verify_disks(self.inspect, &self.vault)
    }
}

/// Waits for the planned cut, and cuts when it does not come in time. True when it came by itself.
fn cut_within(server: &mut Server, patience: Duration) -> Outcome<bool> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if server.was_cut(Duration::ZERO)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    server.cut()?;
    let gone = server.was_cut(DEATH_MAX)?;
    ensure(gone, || "the server outlives a power cut".to_owned())?;
    Ok(false)
}

impl Tally {
    fn died(&mut self, when: When) {
        match when {
            When::Write(_) => self.at_write += 1,
            When::Flush(_) => self.at_flush += 1,
            When::Signal => self.by_signal += 1,
        }
    }

    fn count(&mut self, done: &Done) {
        self.acknowledged += done.acknowledged;
        self.refused += done.refused;
        self.unanswered += done.unanswered;
    }

    fn add(&mut self, other: &Tally) {
        let pairs = [
            (&mut self.rounds, other.rounds),
            (&mut self.at_write, other.at_write),
            (&mut self.at_flush, other.at_flush),
            (&mut self.by_signal, other.by_signal),
            (&mut self.during_start, other.during_start),
            (&mut self.during_check, other.during_check),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.refused, other.refused),
            (&mut self.unanswered, other.unanswered),
            (&mut self.read_back, other.read_back),
        ];
        for (sum, part) in pairs {
            *sum += part;
        }
    }

    fn report(&self) {
        let Tally {
            rounds,
            at_write,
            at_flush,
            by_signal,
            during_start,
            during_check,
            acknowledged,
            refused,
            unanswered,
            read_back,
        } = self;
        println!(
            "        {rounds} power cuts survived: {at_write} at a write, {at_flush} at a flush, \
             {by_signal} by signal; {during_start} of them during a start, {during_check} while \
             earlier rounds were read back\n        \
             {acknowledged} operations acknowledged, {refused} refused with 503, {unanswered} \
             unanswered by a door whose engine was dead; {read_back} times a version was read back and right"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_come_early_and_late_and_in_every_way() {
        let mut rng = Rng::new(1);
        let all: Vec<When> = (0..500).map(|_| When::choose(&mut rng)).collect();
        let writes = |number: u64, least: u64| {
            let hits = all.iter().filter(|when| match when {
                When::Write(at) => (least..=number).contains(at),
                When::Flush(_) | When::Signal => false,
            });
            hits.count()
        };
        assert!(writes(8, 1) > 10 && writes(4096, 500) > 5);
        assert!(all.iter().filter(|when| **when == When::Signal).count() > 100);
        assert_eq!(When::Flush(3).plan(9), "seed=9,flushes=3");
    }
}
