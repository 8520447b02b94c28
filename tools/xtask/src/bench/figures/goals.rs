//! What the engine has to reach, each as a ratio of two things measured in turn.

use super::LONG;
use super::samples::{Samples, Series};
use crate::bench::table::median;

/// Which side of the target is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    AtLeast,
    AtMost,
}

/// A goal.
pub struct Goal {
    /// In words.
    pub text: &'static str,
    /// In few words, for plots.
    pub short: &'static str,
    /// The part that measures it.
    part: &'static str,
    /// What is judged.
    of: &'static str,
    /// Beside what: in each round the smallest of these. A number alone is judged beside itself.
    beside: &'static [&'static str],
    pub side: Side,
    pub target: f64,
    /// Unit of what is judged by itself.
    pub unit: &'static str,
}

impl Goal {
    const fn ratio(
        text: &'static str,
        short: &'static str,
        part: &'static str,
        of: &'static str,
        beside: &'static [&'static str],
        side: Side,
        target: f64,
    ) -> Goal {
        Goal {
            text,
            short,
            part,
            of,
            beside,
            side,
            target,
            unit: "",
        }
    }
}

/// All goals.
pub const GOALS: [Goal; 21] = [
    Goal::ratio(
        "a disk of ours: 1 MiB writes with a flush at the end, four in flight, beside fio with the same flags",
        "1 MiB writes / fio",
        "disk",
        "1 MiB writes: disk with a ring",
        &["1 MiB writes: fio"],
        Side::AtLeast,
        0.95,
    ),
    Goal::ratio(
        "the same beside fio on huge pages",
        "1 MiB writes / fio on huge pages",
        "disk",
        "1 MiB writes: disk with a ring",
        &["1 MiB writes: fio on huge pages"],
        Side::AtLeast,
        0.95,
    ),
    Goal::ratio(
        "a disk of ours: durable append of 4 KiB, median, beside bare pwrite and fdatasync",
        "durable append / bare calls",
        "disk",
        "append, alone: disk with a ring, p50",
        &["append, alone: bare pwrite + fdatasync, p50"],
        Side::AtMost,
        1.25,
    ),
    Goal::ratio(
        "the same beside bulk writes to the same file",
        "the same beside bulk writes",
        "disk",
        "append, beside bulk writes: disk with a ring, p50",
        &["append, beside bulk writes: bare pwrite + fdatasync, p50"],
        Side::AtMost,
        1.25,
    ),
    Goal::ratio(
        "the same beside bulk writes into holes of the same file",
        "the same beside new extents",
        "disk",
        "append, beside bulk writes into holes: disk with a ring, p50",
        &["append, beside bulk writes into holes: bare pwrite + fdatasync, p50"],
        Side::AtMost,
        1.25,
    ),
    Goal::ratio(
        "commits per second by 64 clients beside one client, objects without content",
        "64 clients / 1, no content",
        "commits",
        "commits of 0 B by 64",
        &["commits of 0 B by 1"],
        Side::AtLeast,
        20.0,
    ),
    Goal::ratio(
        "the same on disks whose flush takes 1 ms longer",
        "64 clients / 1, slower flushes",
        "commits",
        "commits of 0 B by 64, flushes 1 ms slower",
        &["commits of 0 B by 1, flushes 1 ms slower"],
        Side::AtLeast,
        20.0,
    ),
    Goal::ratio(
        "the first again, objects of 1 KiB",
        "64 clients / 1, 1 KiB",
        "commits",
        "commits of 1024 B by 64",
        &["commits of 1024 B by 1"],
        Side::AtLeast,
        20.0,
    ),
    Goal::ratio(
        "scrub without a budget, beside the slower of fio's sequential read and BLAKE3 on one core",
        "scrub / reading or hashing",
        "scrub",
        "scrub",
        &["fio, one file read", "BLAKE3, one core"],
        Side::AtLeast,
        0.9,
    ),
    Goal::ratio(
        "the same with fio on huge pages",
        "scrub / reading on huge pages",
        "scrub",
        "scrub",
        &["fio on huge pages, one file read", "BLAKE3, one core"],
        Side::AtLeast,
        0.9,
    ),
    Goal::ratio(
        "filling a replaced disk, beside a bare sequential copy",
        "filling a disk / bare copy",
        "rebuild",
        "rebuild",
        &["bare copy"],
        Side::AtLeast,
        0.8,
    ),
    Goal::ratio(
        "the same beside fio reading and writing as many bytes at once",
        "filling a disk / fio",
        "rebuild",
        "rebuild",
        &["fio, read and written at once"],
        Side::AtLeast,
        0.8,
    ),
    Goal::ratio(
        "the same with fio on huge pages",
        "filling a disk / fio on huge pages",
        "rebuild",
        "rebuild",
        &["fio on huge pages, read and written at once"],
        Side::AtLeast,
        0.8,
    ),
    Goal::ratio(
        "start after a crash with 1000 sealed segments beside one with 10",
        "start, 1000 segments / 10",
        "starts",
        "filled, 1000 segments: first answer",
        &["filled, 10 segments: first answer"],
        Side::AtMost,
        1.5,
    ),
    Goal::ratio(
        "the same, with a clean stop since they were written",
        "start after a clean stop, 1000 / 10",
        "starts",
        "stopped since, 1000 segments: first answer",
        &["stopped since, 10 segments: first answer"],
        Side::AtMost,
        1.5,
    ),
    Goal {
        unit: "MiB",
        ..Goal::ratio(
            "resident memory at most, up to 1,000,000 objects",
            "memory at 1,000,000 objects",
            "objects",
            "most resident up to 1000000 objects",
            &[],
            Side::AtMost,
            512.0,
        )
    },
    Goal {
        unit: "MiB",
        ..Goal::ratio(
            "resident memory at most, up to 10,000,000 objects",
            "memory at 10,000,000 objects",
            LONG,
            "most resident up to 10000000 objects",
            &[],
            Side::AtMost,
            512.0,
        )
    },
    Goal::ratio(
        "LIST of 1000 keys among 1,000,000 beside the same among 10,000, the same pages again",
        "LIST, 1,000,000 / 10,000",
        "objects",
        "LIST of 1000 among 1000000",
        &["LIST of 1000 among 10000"],
        Side::AtMost,
        2.0,
    ),
    Goal::ratio(
        "the same, page after page, which the cache holds of the small bucket alone",
        "page after page, 1,000,000 / 10,000",
        "objects",
        "LIST of 1000, page after page, among 1000000",
        &["LIST of 1000, page after page, among 10000"],
        Side::AtMost,
        2.0,
    ),
    Goal::ratio(
        "LIST of 1000 keys among 10,000,000 beside the same among 10,000, the same pages again",
        "LIST, 10,000,000 / 10,000",
        LONG,
        "LIST of 1000 among 10000000",
        &["LIST of 1000 among 10000"],
        Side::AtMost,
        2.0,
    ),
    Goal::ratio(
        "the same, page after page",
        "page after page, 10,000,000 / 10,000",
        LONG,
        "LIST of 1000, page after page, among 10000000",
        &["LIST of 1000, page after page, among 10000"],
        Side::AtMost,
        2.0,
    ),
];

/// A goal with what was measured.
pub struct Verdict {
    pub goal: &'static Goal,
    /// The ratio of the medians.
    pub value: f64,
    /// Lowest and highest ratio of a round.
    pub range: (f64, f64),
    pub rounds: usize,
}

impl Verdict {
    /// Whether the goal is reached.
    pub fn is_met(&self) -> bool {
        match self.goal.side {
            Side::AtLeast => self.value >= self.goal.target,
            Side::AtMost => self.value <= self.goal.target,
        }
    }

    /// How far beyond the target: 1 is the target, more is better.
    pub fn margin(&self, value: f64) -> f64 {
        match self.goal.side {
            Side::AtLeast => value / self.goal.target,
            Side::AtMost => self.goal.target / value,
        }
    }
}

/// The goals that something was measured for.
pub fn judge(samples: &Samples) -> Vec<Verdict> {
    GOALS
        .iter()
        .filter_map(|goal| verdict(goal, samples))
        .collect()
}

fn verdict(goal: &'static Goal, samples: &Samples) -> Option<Verdict> {
    let of = samples.get(goal.part, goal.of)?;
    let beside: Option<Vec<&Series>> = goal
        .beside
        .iter()
        .map(|name| samples.get(goal.part, name))
        .collect();
    let beside = beside?;
    let least = |of: &dyn Fn(&Series) -> f64| {
        let all = beside.iter().map(|series| of(series));
        all.reduce(f64::min).unwrap_or(1.0)
    };
    let ratios: Vec<f64> = of
        .values
        .iter()
        .enumerate()
        .map(|(round, value)| {
            value / least(&|series| series.values.get(round).copied().unwrap_or(f64::NAN))
        })
        .filter(|ratio| ratio.is_finite())
        .collect();
    let range = Series {
        values: ratios.clone(),
        ..of.clone()
    }
    .range();
    Some(Verdict {
        goal,
        value: of.median() / least(&Series::median),
        range,
        rounds: ratios.len(),
    })
    .filter(|verdict| verdict.value.is_finite() && median(&ratios).is_finite())
}

#[cfg(test)]
mod tests {
    use super::{Samples, judge};

    #[test]
    fn a_ratio_is_of_medians_beside_the_smaller_yardstick() {
        let mut samples = Samples::default();
        for (scrub, fio, hash) in [(9.0, 10.0, 100.0), (8.0, 12.0, 5.0), (10.0, 14.0, 100.0)] {
            samples.add("scrub", "scrub", "MiB/s", scrub);
            samples.add("scrub", "fio, one file read", "MiB/s", fio);
            samples.add("scrub", "BLAKE3, one core", "MiB/s", hash);
        }
        let verdicts = judge(&samples);
        let [verdict] = verdicts.as_slice() else {
            panic!("one goal was measured")
        };
        assert!((verdict.value - 0.75).abs() < 1e-9 && !verdict.is_met());
        let (low, high) = verdict.range;
        assert!((low - 10.0 / 14.0).abs() < 1e-9 && (high - 1.6).abs() < 1e-9);
    }
}
