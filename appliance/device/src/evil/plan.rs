//! When the power is cut, how long flushes take, and which disk is slow or fails, as one line of text: `seed=7,writes=1200`.

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

/// Something about one disk, which is named by the order in which disks were opened, from 1: `3:150`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfDisk {
    /// Which.
    pub disk: u64,
    /// How long, or how many.
    pub number: u64,
}

impl OfDisk {
    fn read(text: &str) -> Option<OfDisk> {
        let (disk, number) = text.split_once(':')?;
        let disk = disk.parse().ok().filter(|disk| *disk > 0)?;
        let number = number.parse().ok()?;
        Some(OfDisk { disk, number })
    }
}

impl fmt::Display for OfDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.disk, self.number)
    }
}

/// Everything that decides about a cut, and what else is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Chooses what is lost, torn and written.
    pub seed: u64,
    /// When.
    pub cut: Cut,
    /// Whether flushes are believed.
    pub flushes: Flushes,
    /// Microseconds that each flush takes; without, chance says so.
    pub pace: Option<u64>,
    /// A disk whose flushes take so many milliseconds longer.
    pub slow: Option<OfDisk>,
    /// A disk that takes so many writes and no more.
    pub fail: Option<OfDisk>,
}

/// Why a line is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A part that means nothing.
    #[error(
        "'{0}' is none of seed=N, writes=N, flushes=N, flush=ignored, pace=MICROSECONDS, slow=DISK:MILLISECONDS and fail=DISK:WRITES"
    )]
    Unknown(String),
    /// No seed: such a cut could not be told again.
    #[error("a plan needs seed=N")]
    NoSeed,
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Plan, PlanError> {
        let (mut seed, mut cut, mut flushes) = (None, Cut::Asked, Flushes::Honest);
        let (mut pace, mut slow, mut fail) = (None, None, None);
        for part in text.split(',') {
            let unknown = || PlanError::Unknown(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(unknown)?;
            let number = value.parse::<u64>();
            match (name, number) {
                ("seed", Ok(number)) => seed = Some(number),
                ("writes", Ok(number)) => cut = Cut::AtWrite(number),
                ("flushes", Ok(number)) => cut = Cut::AtFlush(number),
                ("flush", _) if value == "ignored" => flushes = Flushes::Ignored,
                ("pace", Ok(number)) => pace = Some(number),
                ("slow", _) => slow = Some(OfDisk::read(value).ok_or_else(unknown)?),
                ("fail", _) => fail = Some(OfDisk::read(value).ok_or_else(unknown)?),
                _ => return Err(unknown()),
            }
        }
        let seed = seed.ok_or(PlanError::NoSeed)?;
        Ok(Plan {
            seed,
            cut,
            flushes,
            pace,
            slow,
            fail,
        })
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
        if self.flushes == Flushes::Ignored {
            f.write_str(",flush=ignored")?;
        }
        if let Some(pace) = self.pace {
            write!(f, ",pace={pace}")?;
        }
        if let Some(slow) = self.slow {
            write!(f, ",slow={slow}")?;
        }
        match self.fail {
            Some(fail) => write!(f, ",fail={fail}"),
            None => Ok(()),
        }
    }
}
