//! Whether a checkpoint is cosigned.

use stele_format::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use stele_format::tree::proof::verify_consistency;

use crate::error::Refusal;
use crate::key::Pair;
use crate::proof::Consistency;
use crate::state::{Seen, State};

/// Cosigns a note at this time, if what was seen of its log is the beginning of what it says. The state has it
/// before this returns.
///
/// # Errors
/// [`Refusal`]: nothing was cosigned and nothing forgotten.
pub fn cosign(
    state: &State,
    pair: &Pair,
    note: &str,
    proof: Option<&str>,
    seconds: u64,
) -> Result<UnverifiedCheckpoint, Refusal> {
    let note = UnverifiedCheckpoint::parse(note)?;
    let log = state.log(note.claims().origin)?;
    let checkpoint = note.verify(&log.key)?;
    if let Some(seen) = &log.seen {
        compare(state, seen, (&note, checkpoint), proof)?;
        if seconds < seen.seconds {
            return Err(Refusal::ClockBack);
        }
    }
    let cosigned = pair.cosign(&note, seconds)?;
    state.remember(&log.key, &cosigned, seconds)?;
    Ok(cosigned)
}

fn compare(
    state: &State,
    seen: &Seen,
    (note, offered): (&UnverifiedCheckpoint, Checkpoint),
    proof: Option<&str>,
) -> Result<(), Refusal> {
    let (before, size) = (seen.checkpoint, offered.size);
    if size < before.size {
        return Err(Refusal::RolledBack {
            seen: before.size,
            offered: size,
            kept: state.keep(seen, note, proof)?,
        });
    }
    let path = if size == before.size || before.size == 0 {
        Vec::new()
    } else {
        let missing = Refusal::ProofMissing {
            seen: before.size,
            offered: size,
        };
        let parsed = Consistency::parse(proof.ok_or(missing)?)?;
        if (parsed.older, parsed.newer) != (before.size, size) {
            return Err(Refusal::ProofSizes {
                older: parsed.older,
                newer: parsed.newer,
                seen: before.size,
                offered: size,
            });
        }
        parsed.path
    };
    // Every log begins with the empty one.
    if before.size == 0 && size > 0 {
        return Ok(());
    }
    let (older, newer) = ((before.size, &before.root), (size, &offered.root));
    let consistent = if size == 0 {
        Ok(())
    } else {
        verify_consistency(older, newer, &path)
    };
    match consistent {
        Ok(()) => Ok(()),
        Err(why) => Err(Refusal::Forked {
            why,
            kept: state.keep(seen, note, proof)?,
        }),
    }
}
