//! The engine beside what the machine can do without it: real files, direct I/O, real flushes.
//!
//! `engine_bench DIRECTORY PART [ROUNDS] [smoke|long]`; the parts are the functions below. Contestants
//! take turns within each round. Every figure is one line on standard output,
//! `sample<TAB>what<TAB>unit<TAB>value`; `cargo xtask bench --figures` makes tables and plots of them.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the engine has no clock, file or thread of its own; what drives it has all of them"
)]

#[path = "../../../format/tests/shared/authenticator.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with tests, of which this uses little"
)]
mod authenticator;
mod commits;
mod decade;
mod keys;
mod load;
mod many;
mod month;
mod rebuild;
mod scrub;
mod slow;
mod starts;
mod vault;
mod yard;

use std::error::Error;
use std::path::PathBuf;

/// Why a benchmark cannot be run.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Just enough to see that it works.
    Smoke,
    /// What a run takes that is written down.
    Usual,
    /// With what takes many minutes.
    Long,
}

/// What every part is told.
pub struct Order {
    /// An empty directory.
    pub directory: PathBuf,
    /// Interleaved runs of every measurement.
    pub rounds: u32,
    /// How much.
    pub size: Size,
}

impl Order {
    /// One number for the smoke form, another else.
    pub fn pick<T>(&self, smoke: T, usual: T) -> T {
        match self.size {
            Size::Smoke => smoke,
            Size::Usual | Size::Long => usual,
        }
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("engine_bench DIRECTORY PART")?;
    let part = arguments.next().ok_or("which part?")?;
    let rounds = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let size = match arguments.next().as_deref() {
        None => Size::Usual,
        Some("smoke") => Size::Smoke,
        Some("long") => Size::Long,
        Some(other) => return Err(format!("no such size: {other}").into()),
    };
    let order = Order {
        directory: PathBuf::from(directory),
        rounds,
        size,
    };
    match part.as_str() {
        "commits" => commits::run(&order),
        "scrub" => scrub::run(&order),
        "rebuild" => rebuild::run(&order),
        "starts" => starts::run(&order),
        "start" => starts::one(&order),
        "objects" => many::run(&order),
        "keys" => keys::run(&order),
        "month" => month::run(&order),
        other => Err(format!("no such part: {other}").into()),
    }
}

/// Prints one figure.
pub fn sample(what: &str, unit: &str, value: f64) {
    println!("sample\t{what}\t{unit}\t{value:.4}");
}

/// A count as a factor; exact below 2^53.
pub fn float(count: u64) -> f64 {
    let (high, low) = (
        u32::try_from(count >> 32),
        u32::try_from(count & 0xffff_ffff),
    );
    f64::from(high.unwrap_or(u32::MAX)) * 4_294_967_296.0 + f64::from(low.unwrap_or(u32::MAX))
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    float(bytes) / 1_048_576.0
}

/// The middle one of some times, in microseconds.
pub fn median_us(times: &mut [std::time::Duration]) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
