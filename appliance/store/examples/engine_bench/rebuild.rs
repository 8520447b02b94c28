//! A lost disk filled anew, beside a bare copy of as many bytes into a file as new.

use std::time::Instant;

use stele_store::heal::schedule::Due;
use stele_store::pool::MemberState;
use stele_store::status::DiskStatus;

use crate::scrub::{fill, healing_at_once};
use crate::vault::Plan;
use crate::yard::{Pages, bare_copy, fio_copy};
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
        loop {
            let status = vault.engine.status();
            if let Some((_, progress)) = status.heal.fill {
                written = written.max(progress.bytes_written);
            }
            let active = |disk: &DiskStatus| disk.state == MemberState::Active;
            if status.disks.iter().all(active) {
                break;
            }
            vault.turn();
        }
        let elapsed = started.elapsed();
        sample("rebuild", "MiB/s", mib(written) / elapsed.as_secs_f64());
        sample("bytes rebuilt", "MiB", mib(written));
        vault.stop();
        let sources = [plan.disk_path(0), plan.disk_path(1)];
        let pieces = usize::try_from(written >> 20)?;
        let rate = bare_copy(&sources, pieces, &order.directory.join("copy"))?;
        sample("bare copy", "MiB/s", rate);
        let from = (
            sources[0].as_path(),
            plan.geometry(0).extents_offset().get(),
        );
        // What each disk has at least.
        let bytes = (data_mib * 2 / 3) << 20;
        for (name, pages) in [
            ("fio, read and written at once", Pages::Small),
            ("fio on huge pages, read and written at once", Pages::Huge),
        ] {
            let to = order.directory.join("copy");
            if let Some(rate) = fio_copy(from, bytes, &to, pages)? {
                sample(name, "MiB/s", rate);
            }
        }
    }
    Ok(())
}
