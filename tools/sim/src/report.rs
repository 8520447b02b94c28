//! Counts of a run, and how they are printed.

use std::collections::BTreeMap;
use std::fmt;

use stele_store::request::Answer;

use crate::oracle::book::Official;

/// What happened, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Pools made.
    pub pools: u64,
    /// Events given to engines.
    pub steps: u64,
    /// Of these, those of work: besides starts and checks.
    pub work: u64,
    /// Requests answered, those of checks included.
    pub answers: u64,
    /// Of these, client operations: what was asked as one thing, not the pieces of a stream.
    pub operations: u64,
    /// Changes acknowledged.
    pub acknowledged: u64,
    /// Changes whose outcome a crash left open.
    pub unknown: u64,
    /// Of these, those that turned out to have happened.
    pub happened: u64,
    /// Starts after a power cut or a killed process that were checked to the last byte.
    pub recoveries: u64,
    /// Starts beyond the fault budget: nothing wrong, perhaps something refused.
    pub beyond: u64,
    /// Power cuts, those during a start included.
    pub cuts: u64,
    /// Power cuts during a start.
    pub cuts_at_start: u64,
    /// Processes killed while the power stayed on.
    pub kills: u64,
    /// Clean stops.
    pub stops: u64,
    /// Versions compared after starts and at ends: that they are there, and what is said of them.
    pub versions_checked: u64,
    /// Of these, those whose every byte was read.
    pub versions_read: u64,
    /// Bytes of content compared.
    pub bytes_checked: u64,
    /// Pools beyond the fault budget in which something was missing and told of.
    pub blurred: u64,
    /// Disks that joined and took part.
    pub filled: u64,
    /// Disks that were hurt and found whole again by scrubbing.
    pub healed: u64,
    /// Inspections of the disks' images.
    pub inspections: u64,
    /// Audits of the log.
    pub audits: u64,
    /// Receipts that the disks proved in the end.
    pub receipts: u64,
    /// Reads and starts refused outside the fault budget, each by name.
    pub refused: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Refusals by kind.
    pub refusals: BTreeMap<String, u64>,
    /// What people did, by kind.
    pub deeds: BTreeMap<&'static str, u64>,
    /// Seeds that failed.
    pub failed: u64,
}

impl Report {
    /// Counts what people did.
    pub fn official(&mut self, official: &Official, answer: &Answer) {
        let (kind, count) = match (official, answer) {
            (Official::State(said), _) => (said.statement.kind().name(), 1),
            (Official::Tombstone(..), Answer::Tombstoned(done)) => {
                ("destroyed versions", u64::from(done.destroyed))
            }
            (Official::Rehome(_), Answer::Rehomed { versions, .. }) => {
                ("rehomed versions", u64::from(*versions))
            }
            (Official::Place(..), Answer::Held { versions, .. }) => {
                ("held versions", u64::from(*versions))
            }
            (Official::Lift(..), Answer::Held { versions, .. }) => {
                ("lifted versions", u64::from(*versions))
            }
            _ => return,
        };
        *self.deeds.entry(kind).or_default() += count;
    }

    /// Counts a fault.
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Counts a refusal.
    pub fn refusal(&mut self, kind: String) {
        *self.refusals.entry(kind).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Report) {
        let pairs = [
            (&mut self.seeds, other.seeds),
            (&mut self.pools, other.pools),
            (&mut self.steps, other.steps),
            (&mut self.work, other.work),
            (&mut self.answers, other.answers),
            (&mut self.operations, other.operations),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.unknown, other.unknown),
            (&mut self.happened, other.happened),
            (&mut self.recoveries, other.recoveries),
            (&mut self.beyond, other.beyond),
            (&mut self.cuts, other.cuts),
            (&mut self.cuts_at_start, other.cuts_at_start),
            (&mut self.kills, other.kills),
            (&mut self.stops, other.stops),
            (&mut self.versions_checked, other.versions_checked),
            (&mut self.versions_read, other.versions_read),
            (&mut self.bytes_checked, other.bytes_checked),
            (&mut self.blurred, other.blurred),
            (&mut self.filled, other.filled),
            (&mut self.healed, other.healed),
            (&mut self.inspections, other.inspections),
            (&mut self.audits, other.audits),
            (&mut self.receipts, other.receipts),
            (&mut self.refused, other.refused),
            (&mut self.failed, other.failed),
        ];
        for (into, more) in pairs {
            *into += more;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.deeds {
            *self.deeds.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.refusals {
            *self.refusals.entry(kind.clone()).or_default() += count;
        }
    }

    /// Three in so many recoveries: with 95 % confidence the true rate of loss lies below, when
    /// none was seen.
    fn bound(&self) -> String {
        if self.recoveries == 0 || self.failed > 0 {
            return "no bound".to_owned();
        }
        let thousandths_of_millionth = 3_000_000_000 / self.recoveries;
        let (whole, rest) = (
            thousandths_of_millionth / 1000,
            thousandths_of_millionth % 1000,
        );
        format!(
            "95 % bound 3/{} = {whole}.{rest:03} per million recoveries",
            self.recoveries
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seeds {}, pools {}, events {}, {} of them work",
            self.seeds, self.pools, self.steps, self.work
        )?;
        writeln!(
            f,
            "answers {}, changes acknowledged {}, left open by crashes {} ({} had happened)",
            self.answers, self.acknowledged, self.unknown, self.happened
        )?;
        writeln!(
            f,
            "crash recoveries {} (power cuts {}, of them {} during a start; kills {}), \
             clean stops {}; starts beyond the fault budget {}, pools that lost something and said so {}",
            self.recoveries,
            self.cuts,
            self.cuts_at_start,
            self.kills,
            self.stops,
            self.beyond,
            self.blurred
        )?;
        writeln!(f, "faults: {}", list(self.faults.iter()))?;
        writeln!(
            f,
            "disks that joined and took part {}, disks whole again by scrubbing {}",
            self.filled, self.healed
        )?;
        if !self.deeds.is_empty() {
            let deeds = list(self.deeds.iter());
            writeln!(f, "people: {deeds}; audits {}", self.audits)?;
        }
        writeln!(f, "refusals: {}", list(self.refusals.iter()))?;
        writeln!(
            f,
            "versions checked {}, {} of them read, bytes {}, inspections {}; refused outside the budget {}",
            self.versions_checked,
            self.versions_read,
            self.bytes_checked,
            self.inspections,
            self.refused
        )?;
        writeln!(
            f,
            "seeds failed {}, lost 0 in the others; {}",
            self.failed,
            self.bound()
        )?;
        write!(f, "{}", Totals::of(self))
    }
}

/// What many runs come to together, in one line that programs can read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Client operations answered.
    pub operations: u64,
    /// Crash recoveries within the fault budget.
    pub budgeted: u64,
    /// Crash recoveries beyond it.
    pub beyond: u64,
    /// Versions read to their last byte.
    pub versions_read: u64,
    /// Seeds that failed.
    pub failed: u64,
}

impl Totals {
    /// Those of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            seeds: report.seeds,
            operations: report.operations,
            budgeted: report.recoveries,
            beyond: report.beyond,
            versions_read: report.versions_read,
            failed: report.failed,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "totals seeds={} operations={} budgeted={} beyond={} versions_read={} failed={}",
            self.seeds,
            self.operations,
            self.budgeted,
            self.beyond,
            self.versions_read,
            self.failed
        )
    }
}

fn list<K: fmt::Display>(counts: impl Iterator<Item = (K, impl fmt::Display)>) -> String {
    let items: Vec<String> = counts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn the_bound_is_three_in_n_and_a_failure_takes_it_away() {
        let report = Report {
            recoveries: 100_000,
            ..Report::default()
        };
        assert!(report.to_string().contains("3/100000 = 30.000 per million"));
        let failed = Report {
            recoveries: 100_000,
            failed: 1,
            ..Report::default()
        };
        assert!(failed.to_string().contains("no bound"));
    }

    #[test]
    fn the_last_line_gives_the_totals_to_programs() {
        let report = Report {
            seeds: 1,
            operations: 2,
            recoveries: 3,
            beyond: 4,
            versions_read: 5,
            failed: 6,
            ..Report::default()
        };
        let text = report.to_string();
        assert_eq!(
            text.lines().last(),
            Some("totals seeds=1 operations=2 budgeted=3 beyond=4 versions_read=5 failed=6")
        );
    }

    #[test]
    fn counts_add_up() {
        let mut one = Report {
            steps: 1,
            ..Report::default()
        };
        one.fault("rot");
        let mut two = Report {
            steps: 2,
            recoveries: 3,
            ..Report::default()
        };
        two.fault("rot");
        two.add(&one);
        assert_eq!((two.steps, two.recoveries, two.faults["rot"]), (3, 3, 2));
    }
}
