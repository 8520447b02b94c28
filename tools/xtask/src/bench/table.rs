//! The table: medians per line, as markdown, and its place in docs/performance.md.

use super::Sample;
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use std::fmt::Write;

/// One measured thing.
pub struct Line {
    /// What is measured.
    pub name: &'static str,
    /// Unit of the rate.
    pub unit: &'static str,
    /// One per round.
    pub samples: Vec<Sample>,
}

impl Line {
    /// A line nothing was measured for yet.
    pub fn new(name: &'static str, unit: &'static str) -> Line {
        Line {
            name,
            unit,
            samples: Vec::new(),
        }
    }
}

/// All lines and the sentences below them.
pub struct Table {
    /// Runs per line.
    pub rounds: u32,
    /// The lines in order.
    pub lines: Vec<Line>,
    /// Sentences.
    pub notes: Vec<String>,
}

/// The middle of some numbers; 0 when there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (count, half) if count % 2 == 1 => sorted[half],
        (_, half) => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// A number with about three digits.
pub fn rounded(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

impl Table {
    /// The table as markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let rounds = self.rounds;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "Median of {rounds} interleaved runs; in brackets the lowest and the highest run.\n\n\
             | measurement | rate | latency p50 / p99, ms | server CPU per operation, ms |\n\
             |---|---|---|---|"
        );
        for Line {
            name,
            unit,
            samples,
        } in &self.lines
        {
            let of = |pick: &dyn Fn(&Sample) -> Option<f64>| -> Vec<f64> {
                samples.iter().filter_map(pick).collect()
            };
            let shown = |values: Vec<f64>| match values.is_empty() {
                true => String::new(),
                false => rounded(median(&values)),
            };
            let rates = of(&|sample| Some(sample.rate));
            let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let high = rates.iter().copied().fold(0.0, f64::max);
            let p50 = shown(of(&|sample| sample.latency_ms.map(|(p50, _)| p50)));
            let p99 = shown(of(&|sample| sample.latency_ms.map(|(_, p99)| p99)));
            let latency = if p50.is_empty() {
                String::new()
            } else {
                format!("{p50} / {p99}")
            };
            let cpu = shown(of(&|sample| sample.server_cpu_ms));
            let _ = writeln!(
                out,
                "| {name} | {} {unit} [{}-{}] | {latency} | {cpu} |",
                rounded(median(&rates)),
                rounded(low),
                rounded(high),
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }
}

/// Replaces what stands between the markers of this name in docs/performance.md.
pub fn write(workspace: &Workspace, name: &str, table: &str) -> Outcome {
    let path = workspace.root.join("docs/performance.md");
    let text =
        std::fs::read_to_string(&path).map_err(|e| Failure::path("cannot read", &path, &e))?;
    let text = replaced(&text, name, table)
        .ok_or_else(|| Failure::new(format!("{} has no markers '{name}'", path.display())))?;
    std::fs::write(&path, text).map_err(|e| Failure::path("cannot write", &path, &e))?;
    println!("wrote {}", path.display());
    Ok(())
}

fn replaced(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}:begin -->"),
        format!("<!-- {name}:end -->"),
    );
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[]).to_string(), "0");
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let other = "<!-- x:begin -->\nkept\n<!-- x:end -->";
        let text =
            |inside: &str| format!("{other}a\n<!-- y:begin -->\n{inside}\n<!-- y:end -->\nb\n");
        assert_eq!(replaced(&text("old"), "y", "new\n"), Some(text("new")));
        assert_eq!(replaced("no markers", "y", "new"), None);
    }
}
