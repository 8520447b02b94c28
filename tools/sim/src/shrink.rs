//! Makes a failing run smaller: leaves out operations, faults and power cuts while it still fails in the
//! same way.

use crate::dropped::Dropped;
use crate::error::Violation;
use crate::run::{Outcome, Settings, run};

/// Runs that one shrinking may take.
const RUN_COUNT_MAX: u64 = 2_000;

/// A run that fails, as small as it was made.
pub struct Smallest {
    /// Its settings.
    pub settings: Settings,
    /// What it shows.
    pub outcome: Outcome,
    /// Chances left in it.
    pub kept: usize,
    /// Runs it took to find it.
    pub runs: u64,
}

struct Shrinking<'a> {
    seed: u64,
    settings: &'a Settings,
    wanted: Violation,
    chances: u64,
    runs: u64,
    best: Option<Outcome>,
}

impl Shrinking<'_> {
    fn settings_with(&self, kept: &[u64]) -> Settings {
        Settings {
            dropped: Dropped::all_but(kept, self.chances),
            ..self.settings.clone()
        }
    }

    /// Whether the run with only these chances still fails in the same way.
    fn fails(&mut self, kept: &[u64]) -> bool {
        self.runs += 1;
        let outcome = run(self.seed, &self.settings_with(kept));
        let kind = std::mem::discriminant(&self.wanted);
        let same = outcome
            .violation
            .as_ref()
            .is_some_and(|violation| std::mem::discriminant(violation) == kind);
        if same {
            self.best = Some(outcome);
        }
        same
    }
}

/// Shrinks the run of a seed that failed like this.
#[must_use]
pub fn shrink(seed: u64, settings: &Settings, failed: &Outcome) -> Option<Smallest> {
    // Pools are independent of each other: the one that failed is enough.
    let (life, steps) = failed.last_life;
    let settings = &Settings {
        life: Some(life),
        steps,
        show: false,
        ..settings.clone()
    };
    let failed = &run(seed, settings);
    let mut shrinking = Shrinking {
        seed,
        settings,
        wanted: failed.violation.clone()?,
        chances: failed.chances,
        runs: 0,
        best: None,
    };
    let mut kept: Vec<u64> = (0..failed.chances)
        .filter(|number| !settings.dropped.contains(*number))
        .collect();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let before = kept.len();
        let mut at = 0;
        while at < kept.len() && shrinking.runs < RUN_COUNT_MAX {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if shrinking.fails(&fewer) {
                kept = fewer;
            } else {
                at += size;
            }
        }
        let smaller = kept.len() < before;
        if shrinking.runs >= RUN_COUNT_MAX || (size == 1 && !smaller) {
            break;
        }
        size = (size / 2).max(1);
    }
    let outcome = match shrinking.best.take() {
        Some(outcome) => outcome,
        None => failed.clone(),
    };
    Some(Smallest {
        settings: shrinking.settings_with(&kept),
        outcome,
        kept: kept.len(),
        runs: shrinking.runs,
    })
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use crate::plant::Plant;
    use crate::run::{Settings, hush_panics, run};

    #[test]
    fn a_failing_run_becomes_smaller_and_fails_again_from_its_settings() {
        hush_panics();
        let settings = Settings {
            steps: 300,
            plant: Some(Plant::PhantomVersion),
            ..Settings::default()
        };
        let failing = (1..20).map(|seed| (seed, run(seed, &settings)));
        let mut failing = failing.filter(|(_, outcome)| outcome.violation.is_some());
        let (seed, failed) = failing.next().expect("a phantom is missed");
        let smallest = shrink(seed, &settings, &failed).expect("it failed");
        assert!(
            (smallest.kept as u64) < failed.chances / 2,
            "{} of {}",
            smallest.kept,
            failed.chances
        );
        let again = run(seed, &smallest.settings);
        assert_eq!(again, smallest.outcome);
        assert!(again.violation.is_some());
    }
}
