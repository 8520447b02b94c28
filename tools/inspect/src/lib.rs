//! Offline reader and verifier of the disks of a Stele vault.
//!
//! It shares the bytes on media with the vault (crate `stele-format`) and none of its logic: what it
//! finds is found from the disks alone, read-only and without keys. Nothing is decrypted.
#![forbid(unsafe_code)]

pub mod audit;
pub mod choice;
pub mod cli;
pub mod compare;
pub mod dump;
pub mod gaps;
pub mod headers;
pub mod journal;
pub mod keystate;
pub mod labels;
pub mod limits;
pub mod line;
pub mod lost;
pub mod media;
pub mod moves;
mod places;
pub mod pool;
pub mod prove;
mod records;
pub mod report;
pub mod rules;
pub mod scan;
pub mod seal;
pub mod segments;
pub mod source;
pub mod space;
pub mod survey;
pub mod ties;
pub mod verdict;

use std::time::Duration;

use crate::pool::PoolError;
use crate::source::Source;
use crate::verdict::{Ledger, Report};

/// Verifies the disks of one vault. What looks unfinished is read again after `pause`, in case a
/// running vault is writing there; zero will do for images that nobody writes.
///
/// # Errors
/// [`PoolError`] when the sources are not the disks of one vault.
pub fn verify(sources: &[Box<dyn Source>], pause: Duration) -> Result<Report, PoolError> {
    let mut ledger = Ledger::default();
    if let Some(mut pool) = pool::open(sources, pause, &mut ledger)? {
        keystate::judge(&pool, pause, &mut ledger);
        segments::verify(&mut pool, pause, &mut ledger);
    }
    Ok(ledger.finish())
}
