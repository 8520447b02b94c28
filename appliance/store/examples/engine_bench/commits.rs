//! Small objects, each durable before its client asks again: by one client, and by many at once.

use std::time::Duration;

use stele_store::engine::Engine;
use stele_store::recovery::OpenOptions;

use crate::load::{Puts, bucket};
use crate::vault::{Plan, Vault};
use crate::yard::durable_appends;
use crate::{Order, Outcome, median_us, sample};

const CLIENTS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
const ENDS: [u64; 2] = [1, 64];
const BODY_BYTES: usize = 1024;
/// What is added to each flush of the disks of a second vault.
const FLUSH_ADDED: Duration = Duration::from_millis(1);

pub fn run(order: &Order) -> Outcome<()> {
    // The share of such disks that the index gets takes all objects of many rounds.
    let plan = Plan::usual(&order.directory).with_disks_of(64 << 30);
    plan.create()?;
    let mut vault = plan.start(&OpenOptions::default())?;
    bucket(&mut vault, "bench")?;
    let slow = Plan {
        flush_added: FLUSH_ADDED,
        ..Plan::usual(&order.directory.join("slow")).with_disks_of(64 << 30)
    };
    slow.create()?;
    let mut slow = slow.start(&OpenOptions::default())?;
    bucket(&mut slow, "bench")?;
    let (mut first, mut first_slow) = (0, 0);
    for _ in 0..order.rounds {
        for bytes in [0, BODY_BYTES] {
            for clients in CLIENTS {
                let count = order.pick(2, 600) * (1 + clients / 2);
                first += one(&mut vault, first, count, bytes, clients, "")?;
                if bytes == 0 && ENDS.contains(&clients) {
                    let after = ", flushes 1 ms slower";
                    first_slow += one(&mut slow, first_slow, count, bytes, clients, after)?;
                }
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
    slow.stop();
    Ok(())
}

fn one(
    vault: &mut Vault,
    first: u64,
    count: u64,
    bytes: usize,
    clients: u64,
    after: &str,
) -> Outcome<u64> {
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
    let what = format!("commits of {bytes} B by {clients}{after}");
    sample(&what, "op/s", went.per_second());
    let what = format!("latency of {bytes} B by {clients}{after}");
    sample(&what, "us", median_us(&mut went.times));
    let what = format!("commits of {bytes} B in a frame by {clients}{after}");
    sample(
        &what,
        "op",
        crate::float(count) / crate::float(frames.max(1)),
    );
    Ok(count)
}
