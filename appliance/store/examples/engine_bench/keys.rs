//! What ten years leave in the key tree, and how long that takes.

use std::time::Instant;

use crate::decade::{Outcome as Decade, Plan, run as decade};
use crate::{Order, Outcome, float, sample};

/// A hundred and twenty million records, of which 1,200 are deleted early and as many held.
fn plan(order: &Order) -> Plan {
    Plan {
        months: 120,
        records: order.pick(10_000, 1_000_000),
        early: 10,
        held: 10,
        longest_only: false,
        rehome: true,
    }
}

pub fn run(order: &Order) -> Outcome<()> {
    let usual = plan(order);
    let plans = [
        ("ten years", usual),
        (
            "ten years, deletions and holds of what is kept longest",
            Plan {
                longest_only: true,
                ..usual
            },
        ),
        (
            "ten years without later leaves",
            Plan {
                rehome: false,
                ..usual
            },
        ),
    ];
    for _ in 0..order.rounds {
        for (name, plan) in plans {
            let started = Instant::now();
            let outcome = decade(plan);
            let elapsed = started.elapsed();
            if !(outcome.held_derive && outcome.early_gone) {
                return Err(format!("{name}: {outcome:?}").into());
            }
            sample(&format!("{name}: whole"), "s", elapsed.as_secs_f64());
            say(name, &outcome);
        }
    }
    Ok(())
}

fn say(name: &str, outcome: &Decade) {
    let bytes = |bytes: usize| float(bytes as u64);
    sample(
        &format!("{name}: most bytes"),
        "",
        bytes(outcome.peak_bytes),
    );
    sample(
        &format!("{name}: bytes at the end"),
        "",
        bytes(outcome.end_bytes),
    );
    sample(&format!("{name}: indexes"), "", float(outcome.indexes));
    sample(
        &format!("{name}: single leaves cut"),
        "",
        float(outcome.leaves_cut),
    );
    sample(&format!("{name}: later leaves"), "", float(outcome.rehomed));
}
