use std::sync::Arc;

use stele_device::disk::Disk;
use stele_device::sim::entropy::SimEntropy;
use stele_device::sim::keyprovider::SimKeys;
use stele_store::engine::World;
use stele_store::keys::chunk::AwsLc;
use stele_store::recovery::{CreateParams, create};

use crate::context::Context;
use crate::driver::now;
use crate::hardware::Hardware;
use crate::limits::{DISK_BYTES, INDEX_BYTES, KEYSTATE_BYTES};
use crate::run::Settings;
use crate::swarm::{Extras, Swarm};

/// A pool of three disks that was just made.
fn made(seed: u64) -> (Context, Hardware) {
    let mut context = Context::new(seed, &Settings::default());
    let swarm = Swarm {
        disks: 3,
        ..Swarm::draw(&mut context.rng, Extras::default())
    };
    let mut hardware = Hardware::new(&mut context, &swarm);
    let disks: Vec<Box<dyn Disk>> = hardware.open().0.into_iter().flatten().collect();
    let params = CreateParams {
        unit_bytes: swarm.unit_bytes,
        segment_units: swarm.segment_units,
        keystate_bytes: KEYSTATE_BYTES,
        index_bytes: INDEX_BYTES,
        simulated_clock: true,
    };
    let mut world = World {
        entropy: Box::new(SimEntropy::new(seed)),
        keys: Box::new(SimKeys::new(seed)),
        aead: Arc::new(AwsLc),
    };
    let made = create(disks, &params, &mut world, now(&context.clock));
    assert!(made.is_ok(), "a pool on blank disks");
    (context, hardware)
}

fn shown(hardware: &Hardware, number: usize) -> Vec<u8> {
    let bytes = usize::try_from(DISK_BYTES).unwrap_or_default();
    hardware.slots[number].handle.peek(0, bytes)
}

/// A fault strikes the second disk: it counts as hurt, is counted, changes so many segments' bytes there, and leaves
/// the others alone; what it says and how quick it is ends with the process.
fn check(fault: &str, segments: u64, strike: impl Fn(&mut Hardware, &mut Context)) {
    for seed in 1..6 {
        let (mut context, mut hardware) = made(seed);
        let before = [0, 1, 2].map(|number| shown(&hardware, number));
        strike(&mut hardware, &mut context);
        let tainted = [0, 1, 2].map(|number: usize| hardware.slots[number].taint.any());
        assert_eq!(tainted, [false, true, false], "{fault} {seed}");
        assert_eq!(context.report.faults.get(fault), Some(&1), "{fault} {seed}");
        let after = [0, 1, 2].map(|number| shown(&hardware, number));
        assert!(before[0] == after[0] && before[2] == after[2], "{fault}");
        let (was, is) = (before[1].chunks(4096), after[1].chunks(4096));
        let changed = was.zip(is).filter(|(was, is)| was != is).count() as u64;
        let geometry = hardware.geometry();
        let segment = u64::from(geometry.unit_bytes) * u64::from(geometry.segment_units.get());
        assert_eq!(4096 * changed, segments * segment, "{fault} {seed}");
        hardware.settle();
        assert_eq!(hardware.slots[1].handle.told_bytes(), DISK_BYTES, "{fault}");
        assert_eq!(hardware.crawling().count(), 0, "{fault} {seed}");
    }
}

#[test]
fn what_strikes_a_disk_hurts_that_one_and_is_counted() {
    check("short at a start", 0, |hardware, context| {
        hardware.shorten(context, 1);
        assert!(hardware.slots[1].handle.told_bytes() < DISK_BYTES);
        assert!(hardware.is_planned());
        assert!(!hardware.is_index_at_risk());
    });
    check("rot of a whole segment", 1, |hardware, context| {
        hardware.rot_slot(context, 1);
    });
    check("a thousand times slower", 0, |hardware, context| {
        hardware.crawl(context, 1, 7);
        let crawling: Vec<&str> = hardware.crawling().map(|(name, _)| name).collect();
        assert_eq!(crawling, ["disk-1"]);
    });
}
