//! Counting: every check is a named case of a suite, every suite ends with one closing line.
//!
//! Invariants: the closing line counts exactly the cases printed (or parsed from a test runner),
//! and a skip always carries its reason. On a CI machine (`CI=true`) a skip is a failure, because
//! there nobody reads the reason.

use crate::failure::{Failure, Outcome};
use std::time::Instant;

/// The cases of one suite as they run.
pub struct Ledger {
    suite: &'static str,
    ci: bool,
    started: Instant,
    tally: Tally,
}

/// How many cases went which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Cases that held.
    pub passed: u64,
    /// Cases that did not, and skips where skipping is not allowed.
    pub failed: u64,
    /// Cases that could not run here.
    pub skipped: u64,
}

impl Tally {
    /// The closing line's text behind the suite's name.
    fn line(self) -> String {
        let Tally {
            passed,
            failed,
            skipped,
        } = self;
        match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}

impl Ledger {
    /// Opens a suite and says so.
    pub fn open(suite: &'static str, ci: bool) -> Ledger {
        println!("== {suite}");
        Ledger {
            suite,
            ci,
            started: Instant::now(),
            tally: Tally::default(),
        }
    }

    /// Runs one case and records how it went; true when it passed.
    pub fn case(&mut self, name: &str, check: impl FnOnce() -> Outcome) -> bool {
        let started = Instant::now();
        let outcome = check();
        let seconds = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => {
                self.tally.passed += 1;
                println!("ok      {name} ({seconds:.1} s)");
            }
            Err(failure) => {
                self.tally.failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {failure}");
            }
        }
        outcome.is_ok()
    }

    /// Records a case that cannot run here. The reason must tell a person what to do about it.
    pub fn skip(&mut self, name: &str, reason: &Failure) {
        if self.ci {
            self.tally.failed += 1;
            println!("FAILED  {name}: cannot be skipped where CI=true: {reason}");
        } else {
            self.tally.skipped += 1;
            println!("skipped {name}: {reason}");
        }
    }

    /// Adds what a test runner counted by itself.
    pub fn add(&mut self, counted: Tally) {
        self.tally.passed += counted.passed;
        self.tally.failed += counted.failed;
        if self.ci {
            self.tally.failed += counted.skipped;
        } else {
            self.tally.skipped += counted.skipped;
        }
    }

    /// Prints the closing line.
    pub fn close(self) -> Closed {
        let minutes = self.started.elapsed().as_secs_f64() / 60.0;
        println!("-- {} took {minutes:.1} min", self.suite);
        println!("{}: {}", self.suite, self.tally.line());
        Closed {
            suite: self.suite,
            tally: self.tally,
        }
    }
}

/// A finished suite.
pub struct Closed {
    /// Its name.
    pub suite: &'static str,
    /// Its count.
    pub tally: Tally,
}

impl Closed {
    /// True when nothing failed and something was checked.
    pub fn good(&self) -> bool {
        self.tally.failed == 0 && self.tally.passed + self.tally.skipped > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ci: bool) -> Tally {
        let mut ledger = Ledger::open("example", ci);
        ledger.case("holds", || Ok(()));
        ledger.case("does not", || Err(Failure::new("because")));
        ledger.skip("cannot", &Failure::new("no such program here"));
        ledger.add(Tally {
            passed: 5,
            failed: 0,
            skipped: 1,
        });
        ledger.close().tally
    }

    #[test]
    fn skips_count_as_skips_off_ci_and_as_failures_on_it() {
        assert_eq!(
            run(false),
            Tally {
                passed: 6,
                failed: 1,
                skipped: 2
            }
        );
        assert_eq!(
            run(true),
            Tally {
                passed: 6,
                failed: 3,
                skipped: 0
            }
        );
    }

    #[test]
    fn closing_line_names_skips_only_when_there_are_some() {
        let mut tally = Tally {
            passed: 3,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(tally.line(), "3 passed, 0 failed");
        tally.skipped = 2;
        assert_eq!(tally.line(), "3 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn an_empty_suite_is_not_good() {
        assert!(!Ledger::open("empty", false).close().good());
    }
}
