//! Very many objects without content: how fast they are taken, what memory the process needs, and
//! whether listings of a large bucket stay fast.

use std::time::{Duration, Instant};

use stele_store::recovery::OpenOptions;
use stele_store::request::{Answer, Command, ListWish};

use crate::load::{Puts, bucket};
use crate::vault::{Plan, Vault};
use crate::{Order, Outcome, Size, float, median_us, mib, sample};

const CLIENTS: u64 = 64;
const PAGE: u32 = 1000;
/// Pages listed in every round, spread over the bucket.
const PAGES: u64 = 9;
/// Pages listed per round one after the other.
const STRETCH: u64 = 100;

pub fn run(order: &Order) -> Outcome<()> {
    let (small, large) = order.pick((2_000, 4_000), (10_000, 1_000_000));
    let long = order.size == Size::Long;
    let plan = Plan::usual(&order.directory);
    let plan = if long {
        // On three disks it would be three times the room.
        Plan { disks: 1, ..plan }.with_disks_of(640 << 30)
    } else {
        plan.with_disks_of(64 << 30)
    };
    plan.create()?;
    let mut vault = plan.start(&OpenOptions::default())?;
    bucket(&mut vault, "small")?;
    bucket(&mut vault, "large")?;
    puts("small", 0, small).run(&mut vault)?;
    grow(&mut vault, 0, large)?;
    lists(&mut vault, order, small, large)?;
    if long {
        grow(&mut vault, large, 10 * large)?;
        lists(&mut vault, order, small, 10 * large)?;
    }
    let usage = vault.engine.status().index.ok_or("no index")?;
    sample("index file", "MiB", mib(usage.file_bytes));
    sample("index rows", "MiB", mib(usage.row_bytes));
    vault.stop();
    Ok(())
}

fn puts(bucket: &'static str, first: u64, count: u64) -> Puts<'static> {
    Puts {
        bucket,
        prefix: "backup/2026/client-17/",
        first,
        count,
        bytes: 0,
        clients: CLIENTS,
    }
}

/// Puts objects in ten steps, each with its rate and the memory after it.
fn grow(vault: &mut Vault, from: u64, to: u64) -> Outcome<()> {
    let step = (to - from) / 10;
    let begun = Instant::now();
    for number in 0..10 {
        let went = puts("large", from + number * step, step).run(vault)?;
        let count = from + (number + 1) * step;
        let (now, most) = memory()?;
        sample(
            &format!("rate up to {count} objects"),
            "op/s",
            went.per_second(),
        );
        sample(&format!("resident at {count} objects"), "MiB", now);
        sample(&format!("most resident up to {count} objects"), "MiB", most);
    }
    let rate = float(to - from) / begun.elapsed().as_secs_f64();
    sample(&format!("objects taken, {from} to {to}"), "op/s", rate);
    Ok(())
}

/// Resident memory of this process now and at most, MiB.
fn memory() -> Outcome<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| -> Outcome<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("no memory in status")?.parse::<f64>()? / 1024.0)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// Two ways to list: the same few pages again and again, and page after page, each round in another
/// part of the bucket, which a cache has not seen if the bucket is large.
fn lists(vault: &mut Vault, order: &Order, small: u64, large: u64) -> Outcome<()> {
    for round in 0..order.rounds {
        for (bucket, count) in [("small", small), ("large", large)] {
            let last = count - u64::from(PAGE) - 1;
            let spread = (0..PAGES).map(|page| last / PAGES * page);
            let what = format!("LIST of {PAGE} among {count}");
            some(vault, bucket, spread, &what)?;
            let begin = count / u64::from(order.rounds) * u64::from(round);
            let after = (0..STRETCH).map(|page| (begin + page * u64::from(PAGE)) % last);
            let what = format!("LIST of {PAGE}, page after page, among {count}");
            some(vault, bucket, after, &what)?;
        }
    }
    Ok(())
}

/// Lists pages by their first objects.
fn some(
    vault: &mut Vault,
    bucket: &'static str,
    pages: impl Iterator<Item = u64>,
    what: &str,
) -> Outcome<()> {
    let times: Outcome<Vec<Duration>> = pages.map(|first| list(vault, bucket, first)).collect();
    let mut times = times?;
    let most = times.iter().max().map_or(0.0, Duration::as_secs_f64);
    sample(what, "us", median_us(&mut times));
    sample(&format!("{what}, slowest page"), "us", most * 1e6);
    Ok(())
}

fn list(vault: &mut Vault, bucket: &'static str, first: u64) -> Outcome<Duration> {
    let after = puts(bucket, 0, 0).name(first).key;
    let started = Instant::now();
    let answer = vault.ask(Command::List(ListWish {
        bucket: bucket.to_owned(),
        after: Some(after),
        entries_max: PAGE,
        ..ListWish::default()
    }))?;
    let elapsed = started.elapsed();
    match answer {
        Answer::Listing(page) if page.rows.len() == PAGE as usize => Ok(elapsed),
        other => Err(format!("not a whole page: {other:?}").into()),
    }
}
