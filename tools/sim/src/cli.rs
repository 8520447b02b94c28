//! What can be asked on the command line.

use std::fmt;
use std::str::FromStr;

use clap::Parser;

use crate::dropped::Dropped;
use crate::life::enumeration::Fault;
use crate::plant::Plant;

/// Simulates whole vaults from seeds: clients, power cuts and failing disks over the real engine,
/// with an oracle that compares every acknowledged byte.
#[derive(Debug, Parser)]
#[command(name = "stele-sim", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Something else than running seeds.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// The seed; the first one where several are run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Run these seeds instead of one, the last not included.
    #[arg(long, value_name = "A..B", conflicts_with = "seed")]
    pub seeds: Option<SeedRange>,
    /// Events of work in each seed, besides those of starts and checks.
    #[arg(long, default_value_t = 2_000)]
    pub steps: u64,
    /// Run seed after seed until so many crash recoveries were checked.
    #[arg(long, value_name = "N")]
    pub recoveries: Option<u64>,
    /// End each seed after about so many crash recoveries.
    #[arg(long, value_name = "N")]
    pub crashes: Option<u64>,
    /// Occasions (starts, stops, crashes) at which the disks are inspected offline, of a thousand.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub inspect: u64,
    /// Print nothing but failures and the trace.
    #[arg(long)]
    pub quiet: bool,
    /// Print everything that happens.
    #[arg(long, conflicts_with = "quiet")]
    pub show: bool,
    /// Write the disks of a failing seed into this directory.
    #[arg(long, value_name = "DIR")]
    pub images: Option<std::path::PathBuf>,
    /// Break the oracle or the simulated hardware, to see that it is found.
    #[arg(long, value_name = "FLAW")]
    pub plant: Option<Plant>,
    /// Switch on a bug of the engine, in a build with the feature `plants`; `list` names them.
    #[arg(long, value_name = "BUG")]
    pub bug: Option<String>,
    /// Live only this pool of each seed.
    #[arg(long, value_name = "N")]
    pub life: Option<u64>,
    /// Chances to leave out, as shrinking prints them.
    #[arg(long, value_name = "A,B-C", conflicts_with = "seeds")]
    pub drop: Option<Dropped>,
    /// Make failing runs smaller: leave out operations and faults while they still fail.
    #[arg(long)]
    pub shrink: bool,
    /// Stop at the first seed that fails, or after so many events of work in all.
    #[arg(long, value_name = "EVENTS")]
    pub until_found: Option<u64>,
    /// Give pools four disks or more, and let any subset of them be there at a start.
    #[arg(long)]
    pub subsets: bool,
    /// Vaults have people, who hold, and destroy what has expired.
    #[arg(long, conflicts_with = "subsets")]
    pub people: bool,
    /// Sessions are long: most of what goes on is work and not starts.
    #[arg(long)]
    pub long: bool,
}

/// Something else than running seeds.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Crashes one trace at every event of it, with every single fault of a list.
    Enumerate(Enumerate),
}

/// What is crashed, where and how.
#[derive(Debug, clap::Args)]
pub struct Enumerate {
    /// The seed of the trace.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Operations of the trace.
    #[arg(long, default_value_t = 200)]
    pub operations: u64,
    /// The first event to crash at.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// One past the last event to crash at.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
    /// Crash only at every N-th event, beginning with number I.
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    pub share: Share,
    /// Only these faults.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Fault>,
    /// Interrupt starts at each of their steps after every N-th event of the share.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub cut_again_every: u64,
    /// Interrupt the starts after these too, after every N-th event of the share.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub cut_twice_every: u64,
    /// Strike disks at work after every N-th event of the share.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub strike_every: u64,
    /// Crashes after which the disks are inspected offline, of a thousand.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub inspect: u64,
    /// Print everything that happens.
    #[arg(long)]
    pub show: bool,
    /// Write the disks of a failing copy into this directory.
    #[arg(long, value_name = "DIR")]
    pub images: Option<std::path::PathBuf>,
    /// Switch on a bug of the engine, in a build with the feature `plants`.
    #[arg(long, value_name = "BUG")]
    pub bug: Option<String>,
}

/// One of so many shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which, from 0.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

/// Why a text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is written I/N with I below N")]
pub struct NotAShare;

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let (number, of) = text.split_once('/').ok_or(NotAShare)?;
        let parse = |text: &str| text.parse::<u64>().map_err(|_| NotAShare);
        let share = Share {
            number: parse(number)?,
            of: parse(of)?,
        };
        if share.number < share.of {
            Ok(share)
        } else {
            Err(NotAShare)
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

const EXIT_CODES: &str = "Exit status: 0 the oracle agrees with everything, 1 it does not, \
                          2 the command was used wrongly.";

/// Seeds from the first up to, not including, the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedRange {
    /// The first.
    pub first: u64,
    /// One past the last.
    pub end: u64,
}

/// Why a text is no range of seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range of seeds is written A..B with A below B")]
pub struct NotARange;

impl FromStr for SeedRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let (first, end) = text.split_once("..").ok_or(NotARange)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotARange);
        let range = SeedRange {
            first: number(first)?,
            end: number(end)?,
        };
        if range.first < range.end {
            Ok(range)
        } else {
            Err(NotARange)
        }
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::{SeedRange, Share};

    #[test]
    fn ranges_of_seeds_are_read_or_refused() {
        for (text, expected) in [
            ("1..9", Some(SeedRange { first: 1, end: 9 })),
            ("9..9", None),
            ("9", None),
            ("a..b", None),
            ("1..-2", None),
        ] {
            assert_eq!(text.parse::<SeedRange>().ok(), expected, "{text}");
        }
    }
    #[test]
    fn shares_are_read_or_refused() {
        for (text, expected) in [
            ("0/1", Some((0, 1))),
            ("6/7", Some((6, 7))),
            ("7/7", None),
            ("0/0", None),
            ("7", None),
        ] {
            let read = text.parse::<Share>().ok();
            assert_eq!(
                read.map(|share| (share.number, share.of)),
                expected,
                "{text}"
            );
        }
    }
}
