//! The tables of docs/performance.md.

use super::goals::{Side, Verdict, judge};
use super::samples::{Samples, Series};
use super::svg::number;
use crate::bench::table::rounded;
use std::fmt::Write;

/// The load of the machine when a part ended, as a series of that part.
pub const LOAD: &str = "load of the machine at the end";

/// Goals, plots and all values.
pub fn markdown(samples: &Samples) -> String {
    let verdicts = judge(samples);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "Ratios of medians; in brackets the lowest and the highest ratio of a round.\n\n\
         | what | goal | measured | reached |\n|---|---|---|---|"
    );
    for verdict in &verdicts {
        let _ = writeln!(out, "{}", row(verdict));
    }
    let _ = writeln!(
        out,
        "\n![How far beyond its goal each figure is](figures/goals.svg)"
    );
    let mut part = "";
    for series in shown(samples) {
        if series.part != part {
            part = &series.part;
            head(&mut out, samples, part);
        }
        let (low, high) = series.range();
        let _ = writeln!(
            out,
            "| {} | {} {} [{}-{}] | {} |",
            series.name,
            rounded(series.median()),
            series.unit,
            rounded(low),
            rounded(high),
            series.values.len(),
        );
    }
    let _ = writeln!(out, "\n{}", crate::bench::machine());
    out
}

fn row(verdict: &Verdict) -> String {
    let goal = verdict.goal;
    let side = match goal.side {
        Side::AtLeast => "at least",
        Side::AtMost => "at most",
    };
    let unit = if goal.unit.is_empty() { "" } else { " " };
    let (low, high) = verdict.range;
    let range = match verdict.rounds {
        1 => String::new(),
        _ => format!(" [{}-{}]", rounded(low), rounded(high)),
    };
    let reached = if verdict.is_met() { "yes" } else { "**no**" };
    let text = goal.text;
    format!(
        "| {text} | {side} {}{unit}{} | {}{unit}{}{range} | {reached} |",
        number(goal.target),
        goal.unit,
        rounded(verdict.value),
        goal.unit,
    )
}

fn head(out: &mut String, samples: &Samples, part: &str) {
    let load = samples.get(part, LOAD).map_or(f64::NAN, Series::median);
    let title = match part {
        "disk" => "One disk",
        "commits" => "Small commits",
        "scrub" => "Scrub",
        "rebuild" => "Filling a replaced disk",
        "starts" => "Starts after a crash",
        "objects" => "A million objects",
        _ => "Ten million objects",
    };
    let _ = writeln!(out, "\n### {title}\n\nLoad at the end: {load}.\n");
    for plot in super::plots::of(part) {
        let _ = writeln!(out, "![{title}](figures/{plot})\n");
    }
    let _ = writeln!(
        out,
        "| measured | median [lowest-highest] | rounds |\n|---|---|---|"
    );
}

/// What is worth a line: steps of a growth are only plotted, but for the last.
fn shown(samples: &Samples) -> impl Iterator<Item = &Series> {
    let step = |series: &Series| {
        let grown = ["00000 objects", "0000 objects"];
        let last = ["1000000 objects", "10000000 objects"];
        let ends = |with: &[&str]| {
            let name = series.name.rsplit(' ').take(2).collect::<Vec<_>>();
            let name = format!("{} {}", name.last().unwrap_or(&""), name[0]);
            with.iter().any(|end| name == *end)
        };
        let is_step = grown.iter().any(|end| series.name.ends_with(end));
        is_step && !ends(&last)
    };
    let all = samples.0.iter();
    all.filter(move |series| series.name != LOAD && !step(series))
}
