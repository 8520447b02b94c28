//! `kill -9` under parallel load, again and again on one vault: nothing acknowledged is lost.
//!
//! A round starts the server, checks what earlier rounds were promised, lets the workers write,
//! and kills the server at a random moment. Versions under way at that moment may exist entirely
//! or not at all. At the end everything is read back and the offline verifier must agree.

use crate::failure::{Failure, Outcome, ensure};
use crate::load::{Book, Load, Scope, verify_all};
use crate::rng::Rng;
use crate::server::{Server, verify_disks};
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Workspace};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

const WORKERS: u64 = 6;
const BUCKET: &str = "crash-bucket";
/// What one round may send before its workers turn to small objects.
const ROUND_BYTES: u64 = 64 << 20;
const LOAD_MS_MIN: u64 = 200;
const LOAD_MS_MAX: u64 = 3000;
/// Of the versions of earlier rounds this many in a hundred are read in each round.
const OLDER_PERCENT: u64 = 5;

/// Rounds in the share that every test run takes.
pub const ROUNDS_SHARE: u64 = 12;
/// Rounds of the long form.
pub const ROUNDS_LONG: u64 = 50;

/// Everything that outlives a round.
struct Campaign<'a> {
    programs: &'a Programs,
    vault: PathBuf,
    books: Vec<Book>,
    rng: Rng,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    starts: Vec<Duration>,
}

/// Runs the suite with this many rounds.
pub fn run(workspace: &Workspace, programs: &Programs, rounds: u64, seed: u64) -> Closed {
    let mut ledger = Ledger::open("crash", workspace.ci);
    println!("seed {seed}, {rounds} rounds, {WORKERS} workers");
    match workspace.scratch("crash") {
        Ok(scratch) => {
            let books = (0..WORKERS)
                .map(|worker| Book::new(&format!("w{worker}/")))
                .collect();
            let mut campaign = Campaign {
                programs,
                vault: scratch.join("vault"),
                books,
                rng: Rng::new(seed),
                acknowledged: 0,
                refused: 0,
                unanswered: 0,
                starts: Vec::new(),
            };
            cases(&mut campaign, &mut ledger, rounds);
        }
        Err(failure) => {
            ledger.case("scratch directory", || Err(failure));
        }
    }
    ledger.close()
}

fn cases(campaign: &mut Campaign, ledger: &mut Ledger, rounds: u64) {
    for round in 1..=rounds {
        // A vault that has lost something once proves nothing more in later rounds.
        if !ledger.case(&format!("round {round}"), || campaign.round(round)) {
            return;
        }
    }
    let vault = campaign.vault.clone();
    let inspect = campaign.programs.inspect.clone();
    ledger.case("stele-inspect after the last kill", || {
        verify_disks(&inspect, &vault)
    });
    ledger.case("every acknowledged version of all rounds", || {
        campaign.last()
    });
    ledger.case("stele-inspect after the clean stop", || {
        verify_disks(&inspect, &vault)
    });
    campaign.report();
}

impl Campaign<'_> {
    fn start(&mut self) -> Outcome<Server> {
        let server = Server::start(&self.programs.stele, &self.vault)?;
        self.starts.push(server.start_time);
        Ok(server)
    }

    fn round(&mut self, round: u64) -> Outcome {
        let mut server = self.start()?;
        if round == 1 {
            server.client().create_bucket(BUCKET, true)?.expect(200)?;
        }
        let scope = Scope::Recent {
            older_percent: OLDER_PERCENT,
        };
        let right = verify_all(&server.endpoint, BUCKET, &mut self.books, scope, false)
            .map_err(|failure| failure.within("after the kill").and(&server.said()))?
            .right;
        server.expect_alive()?;
        let before = self.acknowledged;
        self.load_and_kill(server, round)?;
        let made = self.acknowledged - before;
        println!("        {right} versions verified, then {made} operations acknowledged");
        ensure(made > 0, || {
            "nothing was acknowledged before the kill".to_owned()
        })
    }

    fn load_and_kill(&mut self, server: Server, round: u64) -> Outcome {
        let load = Load::new(BUCKET, ROUND_BYTES);
        let wait = LOAD_MS_MIN + self.rng.below(LOAD_MS_MAX - LOAD_MS_MIN);
        let seeds: Vec<u64> = self.books.iter().map(|_| self.rng.next()).collect();
        let clients: Vec<_> = self.books.iter().map(|_| server.client()).collect();
        let workers = self.books.iter_mut().zip(clients).zip(seeds);
        let results = std::thread::scope(|threads| {
            let load = &load;
            let handles: Vec<_> = workers
                .map(|((book, client), seed)| {
                    book.round = round;
                    threads.spawn(move || load.work(book, client, Rng::new(seed)))
                })
                .collect();
            std::thread::sleep(Duration::from_millis(wait));
            load.killed.store(true, Ordering::SeqCst);
            let killed = server.kill();
            load.stop.store(true, Ordering::SeqCst);
            let mut results = vec![killed.map(|()| crate::load::Done::default())];
            for handle in handles {
                let joined = handle.join();
                results.push(joined.unwrap_or_else(|_| Err(Failure::new("a worker panicked"))));
            }
            results
        });
        for result in results {
            let done = result?;
            self.acknowledged += done.acknowledged;
            self.refused += done.refused;
            self.unanswered += done.unanswered;
        }
        Ok(())
    }

    fn last(&mut self) -> Outcome {
        let server = self.start()?;
        let found = verify_all(&server.endpoint, BUCKET, &mut self.books, Scope::All, false)?;
        println!("        {} versions verified", found.right);
        server.stop()
    }

    fn report(&mut self) {
        self.starts.sort();
        let versions: usize = self.books.iter().map(Book::count).sum();
        let median = self
            .starts
            .get(self.starts.len() / 2)
            .copied()
            .unwrap_or_default();
        let longest = self.starts.last().copied().unwrap_or_default();
        println!(
            "        {} operations acknowledged, {versions} versions, {} refused with 503, \
             {} unanswered by a door whose engine was dead; start median {:.2} s, longest {:.2} s",
            self.acknowledged,
            self.refused,
            self.unanswered,
            median.as_secs_f64(),
            longest.as_secs_f64(),
        );
    }
}
