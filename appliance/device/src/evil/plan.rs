//! When the power is cut, as one line of text: `seed=7,writes=1200`.

use std::fmt;
use std::str::FromStr;

/// When the power is cut, apart from being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not by itself.
    Asked,
    /// At this write of all disks together.
    AtWrite(u64),
    /// At this flush of all disks together.
    AtFlush(u64),
}

/// What a flush does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushes {
    /// What it says.
    Honest,
    /// Nothing, and says that it did: the lie that a test must be able to see.
    Ignored,
}

/// Everything that decides about a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Chooses what is lost, torn and written.
    pub seed: u64,
    /// When.
    pub cut: Cut,
    /// Whether flushes are believed.
    pub flushes: Flushes,
}

/// Why a line is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A part that means nothing.
    #[error("'{0}' is none of seed=N, writes=N, flushes=N and flush=ignored")]
    Unknown(String),
    /// No seed: such a cut could not be told again.
    #[error("a plan needs seed=N")]
    NoSeed,
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Plan, PlanError> {
        let (mut seed, mut cut, mut flushes) = (None, Cut::Asked, Flushes::Honest);
        for part in text.split(',') {
            let unknown = || PlanError::Unknown(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(unknown)?;
            let number = value.parse::<u64>();
            match (name, number) {
                ("seed", Ok(number)) => seed = Some(number),
                ("writes", Ok(number)) => cut = Cut::AtWrite(number),
                ("flushes", Ok(number)) => cut = Cut::AtFlush(number),
                ("flush", _) if value == "ignored" => flushes = Flushes::Ignored,
                _ => return Err(unknown()),
            }
        }
        let seed = seed.ok_or(PlanError::NoSeed)?;
        Ok(Plan { seed, cut, flushes })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        match self.cut {
            Cut::Asked => {}
            Cut::AtWrite(number) => write!(f, ",writes={number}")?,
            Cut::AtFlush(number) => write!(f, ",flushes={number}")?,
        }
        match self.flushes {
            Flushes::Honest => Ok(()),
            Flushes::Ignored => f.write_str(",flush=ignored"),
        }
    }
}
