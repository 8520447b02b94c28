//! Space that was given back, as the verifier and the auditor see it from the disks.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../../appliance/format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "shared/image.rs"]
mod image;
#[path = "../../../appliance/store/tests/support/mod.rs"]
mod support;
#[path = "../../../appliance/store/tests/destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the world")]
mod world;

use std::time::Duration;

use stele_device::sim::fault::Loss;
use stele_format::statement::{Cut, Verb};
use stele_format::units::VersionId;
use stele_inspect::audit::audit;
use stele_inspect::verify;

use crate::image::images;
use crate::support::steps::turns;
use crate::support::{Rig, Running, name};
use crate::world::{DAY_MS, founded, list, put, ripe, say, view, work_off};

const LARGE: usize = 3_500_000;

/// Disks are whole and the log is lawful.
fn is_clean(rig: &Rig, what: &str) {
    let images = images(rig);
    let report = verify(&images, Duration::ZERO).unwrap();
    assert!(report.damage.is_empty(), "{what}: {:#?}", report.damage);
    let report = audit(&images, Duration::ZERO).unwrap();
    assert!(report.unlawful.is_empty(), "{what}: {:#?}", report.unlawful);
    assert_eq!(report.verdict, 0, "{what}");
}

fn store(vault: &mut Running, seed: usize) -> VersionId {
    put(vault, &name("b", &format!("o{seed}")), seed, LARGE, 1)
}

/// The last tombstone of some versions is written.
fn condemned(vault: &mut Running, doomed: &[VersionId]) {
    vault.sleep(3 * DAY_MS);
    let erase = list(vault, doomed, Cut::Leaves, false);
    let request = ripe(vault, erase);
    say(vault, Verb::Execute, request, "oona").unwrap();
    work_off(vault, request).unwrap();
}

#[test]
fn disks_are_clean_at_every_stage_of_giving_space_back() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed: Vec<VersionId> = (0..4).map(|seed| store(&mut vault, seed)).collect();
    for seed in 5..7 {
        store(&mut vault, seed);
    }
    condemned(&mut vault, &doomed);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    is_clean(&rig, "condemned");
    // Power is lost a little later each time.
    for rounds in [1, 2, 4, 8, 12, 20, 40] {
        let mut vault = rig.start();
        for _ in 0..rounds {
            vault.turn();
        }
        drop(vault);
        rig.handles
            .iter()
            .flatten()
            .for_each(|handle| handle.crash(Loss::Seeded));
        is_clean(&rig, &format!("after {rounds} rounds"));
    }
    let mut vault = rig.start();
    turns(&mut vault);
    turns(&mut vault);
    vault.stop();
    is_clean(&rig, "wiped");
    let mut vault = rig.start();
    for seed in 10..14 {
        store(&mut vault, seed);
    }
    turns(&mut vault);
    vault.stop();
    is_clean(&rig, "used again");
}

#[test]
fn a_copy_that_is_not_wiped_yet_is_no_damage() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed: Vec<VersionId> = (0..4).map(|seed| store(&mut vault, seed)).collect();
    for seed in 5..7 {
        store(&mut vault, seed);
    }
    condemned(&mut vault, &doomed);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let away = rig.handles[2].take();
    let mut vault = rig.start();
    turns(&mut vault);
    turns(&mut vault);
    for seed in 10..13 {
        store(&mut vault, seed);
    }
    vault.stop();
    is_clean(&rig, "one away");
    rig.handles[2] = away;
    is_clean(&rig, "one is stale");
}
