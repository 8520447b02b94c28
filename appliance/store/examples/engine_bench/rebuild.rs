//! A lost disk filled anew, beside a bare copy of as many bytes into a file as new.

use std::time::Instant;

use stele_store::engine::Engine;
use stele_store::heal::schedule::Due;
use stele_store::pool::MemberState;

use crate::scrub::{fill, healing_at_once};
use crate::vault::Plan;
use crate::yard::bare_copy;
use crate::{Order, Outcome, mib, sample};

/// Nothing else is read again meanwhile.
const NEVER: Due = Due {
    settle_ms: u64::MAX,
    open_ms: u64::MAX,
    interval_ms: u64::MAX,
};

pub fn run(order: &Order) -> Outcome<()> {
    let plan = Plan::usual(&order.directory);
    plan.create()?;
    let data_mib = order.pick(130, 1024);
    fill(&plan, data_mib)?;
    let options = healing_at_once(NEVER);
    let lost = plan.disk_path(2);
    for _ in 0..order.rounds {
        std::fs::remove_file(&lost)?;
        let mut vault = plan.start(&options)?;
        let started = Instant::now();
        vault.replace(3, &lost, plan.disk_bytes)?;
        let mut written = 0;
        let active = |engine: &Engine| {
            let status = engine.status();
            status
                .disks
                .iter()
                .all(|disk| disk.state == MemberState::Active)
        };
        while !active(&vault.engine) {
            if let Some((_, progress)) = vault.engine.status().heal.fill {
                written = written.max(progress.bytes_written);
            }
            vault.turn();
        }
        let elapsed = started.elapsed();
        sample("rebuild", "MiB/s", mib(written) / elapsed.as_secs_f64());
        sample("bytes rebuilt", "MiB", mib(written));
        vault.stop();
        let bytes = written >> 20 << 20;
        let copy = order.directory.join("copy");
        let rate = bare_copy(
            &plan.disk_path(1),
            plan.geometry(1).extents_offset().get(),
            bytes,
            &copy,
        )?;
        sample("bare copy", "MiB/s", rate);
    }
    Ok(())
}
