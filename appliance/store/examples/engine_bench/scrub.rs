//! Everything read again and judged, with no budget, beside fio reading the same files and the bare hash.

use std::time::Instant;

use stele_format::limits::CHUNK_PLAIN_BYTES_MAX;
use stele_store::engine::{Engine, HealPlan};
use stele_store::heal::pace::Rates;
use stele_store::heal::schedule::Due;
use stele_store::recovery::OpenOptions;

use crate::load::{Puts, bucket};
use crate::vault::Plan;
use crate::yard::{Pages, blake3_rate, fio_read};
use crate::{Order, Outcome, mib, sample};

/// Closed segments are due at once and again, open ones never.
const DUE: Due = Due {
    settle_ms: 0,
    open_ms: u64::MAX,
    interval_ms: 0,
};

/// Healing as fast as the disks go, when it is due.
pub fn healing_at_once(due: Due) -> OpenOptions {
    let heal = HealPlan {
        scrub: Rates::UNBOUNDED,
        fill: Rates::UNBOUNDED,
        due,
        ..HealPlan::default()
    };
    OpenOptions {
        heal,
        ..OpenOptions::default()
    }
}

pub fn run(order: &Order) -> Outcome<()> {
    let plan = Plan::usual(&order.directory);
    plan.create()?;
    let data_mib = order.pick(130, 1024);
    fill(&plan, data_mib)?;
    let options = healing_at_once(DUE);
    let area = |number| {
        (
            plan.disk_path(number),
            plan.geometry(number).extents_offset().get(),
        )
    };
    let areas: Vec<_> = (0..plan.disks).map(area).collect();
    // On three disks lie two copies of everything.
    let bytes = (data_mib * 2 / 3) << 20;
    let mut vault = plan.start(&options)?;
    let verified = |engine: &Engine| engine.status().heal.counts.verified_bytes;
    for _ in 0..order.rounds {
        let (before, started) = (verified(&vault.engine), Instant::now());
        let wanted = before + (data_mib << 20);
        vault.until(|engine| verified(engine) >= wanted);
        let passed = verified(&vault.engine) - before;
        sample(
            "scrub",
            "MiB/s",
            mib(passed) / started.elapsed().as_secs_f64(),
        );
        for (name, areas, pages) in [
            ("fio, one file read", &areas[..1], Pages::Small),
            ("fio on huge pages, one file read", &areas[..1], Pages::Huge),
            ("fio, three files read at once", &areas, Pages::Small),
        ] {
            if let Some(rate) = fio_read(areas, bytes, pages)? {
                sample(name, "MiB/s", rate);
            }
        }
        sample(
            "BLAKE3, one core",
            "MiB/s",
            blake3_rate(order.pick(16, 512)),
        );
    }
    let counts = vault.engine.status().heal.counts;
    if counts.repaired > 0 || !counts.lost.is_empty() {
        return Err("a sound vault was found damaged".into());
    }
    vault.stop();
    Ok(())
}

/// Fills a new vault with objects of one chunk each.
pub fn fill(plan: &Plan, data_mib: u64) -> Outcome<()> {
    let mut vault = plan.start(&OpenOptions::default())?;
    bucket(&mut vault, "bench")?;
    let puts = Puts {
        bucket: "bench",
        prefix: "bulk/",
        first: 0,
        count: data_mib,
        bytes: CHUNK_PLAIN_BYTES_MAX as usize,
        clients: 8,
    };
    puts.run(&mut vault)?;
    vault.stop();
    Ok(())
}
