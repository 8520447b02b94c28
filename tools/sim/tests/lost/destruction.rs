//! People destroy versions that nothing locks.

use stele_format::statement::{Act, Cut, Verb};
use stele_format::units::{LogIndex, VersionId};
use stele_sim::rng::Rng;

use crate::support::Running;
use crate::world::{DAY_MS, census, list, request, say, work_off};

/// Versions of one list.
const COUNT_MAX: u64 = 4;

/// Asked for, approved, rested, executed and worked off, if the vault takes it; nothing stored before `doubted` is named.
pub fn destroy(vault: &mut Running, rng: &mut Rng, doubted: LogIndex) -> bool {
    let rows = census(vault);
    let free = rows.iter().filter(|row| {
        let lock = &row.lock;
        row.version.ordinal() >= doubted && lock.retention.is_none() && !lock.hold
    });
    let mut chosen: Vec<VersionId> = free.map(|row| row.version).collect();
    let count = rng.magnitude(COUNT_MAX);
    while chosen.len() as u64 > count {
        let at = rng.index(chosen.len());
        chosen.swap_remove(at);
    }
    if chosen.is_empty() {
        return false;
    }
    let erase = list(vault, &chosen, Cut::Leaves, false);
    let request = request(vault, Act::Erase(erase), "oona").unwrap();
    for approver in ["anna", "axel"] {
        // Where it is a small part of the vault, one will do.
        if say(vault, Verb::Approve, request, approver).is_err() {
            break;
        }
    }
    vault.sleep(8 * DAY_MS);
    // It rests longer where it is early, or was open when the vault was forced open.
    say(vault, Verb::Execute, request, "oona").is_ok() && work_off(vault, request).is_ok()
}
