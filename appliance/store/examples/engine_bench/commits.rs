//! Small objects, each durable before its client asks again: by one client, and by many at once.

use stele_store::engine::Engine;
use stele_store::recovery::OpenOptions;

use crate::load::{Puts, bucket};
use crate::vault::{Plan, Vault};
use crate::yard::durable_appends;
use crate::{Order, Outcome, median_us, sample};

const CLIENTS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
const BODY_BYTES: usize = 1024;

pub fn run(order: &Order) -> Outcome<()> {
    // The share of such disks that the index gets takes all objects of many rounds.
    let plan = Plan::usual(&order.directory).with_disks_of(64 << 30);
    plan.create()?;
    let mut vault = plan.start(&OpenOptions::default())?;
    bucket(&mut vault, "bench")?;
    let mut first = 0;
    for _ in 0..order.rounds {
        for bytes in [0, BODY_BYTES] {
            for clients in CLIENTS {
                let count = order.pick(2, 600) * (1 + clients / 2);
                first += one(&mut vault, first, count, bytes, clients)?;
            }
        }
        let mut times = durable_appends(&order.directory, order.pick(10, 400))?;
        sample(
            "bare pwrite + fdatasync, one file",
            "us",
            median_us(&mut times),
        );
    }
    vault.stop();
    Ok(())
}

fn one(vault: &mut Vault, first: u64, count: u64, bytes: usize, clients: u64) -> Outcome<u64> {
    let puts = Puts {
        bucket: "bench",
        prefix: "commits/",
        first,
        count,
        bytes,
        clients,
    };
    // A snapshot that the last clients made due is theirs.
    vault.until(Engine::is_idle);
    let frames = vault.engine.status().counters.frames;
    let mut went = puts.run(vault)?;
    let frames = vault.engine.status().counters.frames - frames;
    let what = format!("commits of {bytes} B by {clients}");
    sample(&what, "op/s", went.per_second());
    let what = format!("latency of {bytes} B by {clients}");
    sample(&what, "us", median_us(&mut went.times));
    let what = format!("commits of {bytes} B in a frame by {clients}");
    sample(
        &what,
        "op",
        crate::float(count) / crate::float(frames.max(1)),
    );
    Ok(count)
}
