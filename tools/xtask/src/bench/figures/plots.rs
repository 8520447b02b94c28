//! Which plots there are and what they show.

use super::LONG;
use super::goals::{Verdict, judge};
use super::samples::{Samples, Series};
use super::svg::{Axis, Bar, Bars, Chart, Line, Point};

/// The plots of a part.
pub fn of(part: &str) -> &'static [&'static str] {
    match part {
        "disk" => &["sequential.svg", "appends.svg"],
        "commits" => &["commits.svg"],
        "scrub" => &["scrub.svg"],
        "rebuild" => &["rebuild.svg"],
        "starts" => &["starts.svg"],
        "objects" => &["memory.svg", "rate.svg", "lists.svg"],
        _ => &["memory-long.svg", "rate-long.svg", "lists-long.svg"],
    }
}

/// The plots for which something was measured, with their file names.
pub fn all(samples: &Samples) -> Vec<(&'static str, String)> {
    let mut plots = drawn(samples);
    // The background is a rectangle, too.
    let shows = |svg: &str| svg.contains("<circle") || svg.matches("<rect").count() > 1;
    plots.retain(|(_, svg)| shows(svg));
    plots
}

fn drawn(samples: &Samples) -> Vec<(&'static str, String)> {
    let long = LONG;
    vec![
        ("goals.svg", goals(samples)),
        ("sequential.svg", sequential(samples)),
        ("appends.svg", appends(samples)),
        ("commits.svg", commits(samples)),
        (
            "scrub.svg",
            rates(
                samples,
                "scrub",
                "Everything read again and judged, beside its yardsticks",
            ),
        ),
        (
            "rebuild.svg",
            rates(
                samples,
                "rebuild",
                "A replaced disk filled, beside a bare copy",
            ),
        ),
        ("starts.svg", starts(samples)),
        (
            "memory.svg",
            growth(
                samples,
                "objects",
                "resident at ",
                "MiB",
                "Resident memory, three disks",
            ),
        ),
        (
            "rate.svg",
            growth(
                samples,
                "objects",
                "rate up to ",
                "objects/s",
                "Objects without content taken, 64 clients, three disks",
            ),
        ),
        ("lists.svg", lists(samples, "objects")),
        ("lists-long.svg", lists(samples, long)),
        (
            "memory-long.svg",
            growth(
                samples,
                long,
                "resident at ",
                "MiB",
                "Resident memory, one disk",
            ),
        ),
        (
            "rate-long.svg",
            growth(
                samples,
                long,
                "rate up to ",
                "objects/s",
                "Objects without content taken, 64 clients, one disk",
            ),
        ),
    ]
}

fn goals(samples: &Samples) -> String {
    let bar = |verdict: &Verdict| {
        let (low, high) = verdict.range;
        let ends = [verdict.margin(low), verdict.margin(high)];
        Bar {
            name: verdict.goal.short.to_owned(),
            value: verdict.margin(verdict.value),
            low: ends[0].min(ends[1]),
            high: ends[0].max(ends[1]),
            kind: usize::from(!verdict.is_met()),
        }
    };
    Bars {
        title: "Beyond the goal: right of 1 is reached".to_owned(),
        axis: Axis::log(
            "times the goal (log)",
            0.25,
            4.0,
            &[0.25, 0.5, 1.0, 2.0, 4.0],
        ),
        bars: judge(samples).iter().map(bar).collect(),
        around: Some(1.0),
    }
    .svg()
}

fn bar(series: &Series, name: String, kind: usize) -> Bar {
    let (low, high) = series.range();
    Bar {
        name,
        value: series.median(),
        low,
        high,
        kind,
    }
}

fn bars(title: &str, label: &str, bars: Vec<Bar>) -> String {
    let highest = bars.iter().map(|bar| bar.high).fold(0.0, f64::max);
    Bars {
        title: title.to_owned(),
        axis: Axis::linear(label, highest),
        bars,
        around: None,
    }
    .svg()
}

fn kind_of(name: &str) -> usize {
    usize::from(
        !["fio", "bare", "BLAKE3"]
            .iter()
            .any(|yard| name.contains(yard)),
    )
}

fn sequential(samples: &Samples) -> String {
    let part = samples.0.iter().filter(|one| one.part == "disk");
    let part = part.filter(|one| one.name.starts_with("1 MiB "));
    let all = part.map(|one| {
        let name = one.name.trim_start_matches("1 MiB ").to_owned();
        bar(one, name, kind_of(&one.name))
    });
    bars(
        "1 MiB after the other, 512 MiB, direct I/O",
        "MiB/s",
        all.collect(),
    )
}

fn appends(samples: &Samples) -> String {
    let part = samples.0.iter().filter(|one| one.part == "disk");
    let part = part.filter(|one| one.name.starts_with("append, "));
    let all = part.map(|one| {
        let name = one.name.trim_start_matches("append, ").to_owned();
        bar(one, name, kind_of(&one.name))
    });
    bars(
        "4 KiB written and made durable, one at a time",
        "microseconds",
        all.collect(),
    )
}

fn rates(samples: &Samples, part: &str, title: &str) -> String {
    let all = samples
        .0
        .iter()
        .filter(|one| one.part == part && one.unit == "MiB/s");
    let all = all.map(|one| bar(one, one.name.clone(), kind_of(&one.name)));
    bars(title, "MiB/s", all.collect())
}

fn lists(samples: &Samples, part: &str) -> String {
    let all = samples.0.iter().filter(|one| one.name.starts_with("LIST"));
    let all = all.filter(|one| one.part == part && !one.name.contains("slowest"));
    let all = all.map(|one| bar(one, one.name.clone(), 1));
    bars("A page of a listing", "microseconds", all.collect())
}

fn point(x: f64, series: &Series) -> Point {
    let (low, high) = series.range();
    Point {
        x,
        y: series.median(),
        low,
        high,
    }
}

fn commits(samples: &Samples) -> String {
    let clients = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let line = |bytes: &str, name: &str| {
        let at = |clients: &f64| {
            let series = samples.get("commits", &format!("commits of {bytes} B by {clients}"))?;
            Some(point(*clients, series))
        };
        Line {
            name: name.to_owned(),
            points: clients.iter().filter_map(at).collect(),
            dashed: false,
        }
    };
    let lines = vec![
        line("0", "no content"),
        line("1024", "1 KiB"),
        twenty(samples),
    ];
    let ticks = [
        1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0,
    ];
    Chart {
        title: "Durable commits by clients that each wait for their own".to_owned(),
        x: Axis::log("clients", 1.0, 64.0, &clients),
        y: Axis::log("commits/s (log)", 1_000.0, 200_000.0, &ticks),
        lines,
    }
    .svg()
}

/// Twenty times what one client gets.
fn twenty(samples: &Samples) -> Line {
    let one = samples.get("commits", "commits of 0 B by 1");
    let at = |x: f64, series: &Series| {
        let y = 20.0 * series.median();
        Point {
            x,
            y,
            low: y,
            high: y,
        }
    };
    let points = one.map(|one| vec![at(1.0, one), at(64.0, one)]);
    Line {
        name: "20 x one client".to_owned(),
        points: points.unwrap_or_default(),
        dashed: true,
    }
}

fn starts(samples: &Samples) -> String {
    let counts = [10.0, 100.0, 1000.0];
    let line = |which: &str, name: &str| {
        let at = |count: &f64| {
            let name = format!("{which}, {count} segments: first answer");
            Some(point(*count, samples.get("starts", &name)?))
        };
        Line {
            name: name.to_owned(),
            points: counts.iter().filter_map(at).collect(),
            dashed: false,
        }
    };
    let lines = vec![
        line("filled", "killed while filling"),
        line("stopped since", "killed later"),
    ];
    let points = lines.iter().flat_map(|line| &line.points);
    let highest = points.map(|point| point.high).fold(0.0, f64::max);
    Chart {
        title: "From the start of the engine to its first answer, after a crash".to_owned(),
        x: Axis::log("sealed segments of 1 MiB (log)", 8.0, 1250.0, &counts),
        y: Axis::linear("ms", highest),
        lines,
    }
    .svg()
}

/// What changes with the number of objects.
fn growth(samples: &Samples, part: &str, prefix: &str, unit: &str, title: &str) -> String {
    let at = |series: &Series| {
        let count = series.name.strip_prefix(prefix)?.strip_suffix(" objects")?;
        Some(point(count.parse().ok()?, series))
    };
    let all = samples.0.iter().filter(|series| series.part == part);
    let points: Vec<Point> = all.filter_map(at).collect();
    let most = |of: fn(&Point) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let (x, y) = (most(|point| point.x), most(|point| point.high));
    let limit = unit == "MiB";
    let mut lines = vec![Line {
        name: "measured".to_owned(),
        points,
        dashed: false,
    }];
    if limit {
        let at = |x| Point {
            x,
            y: 512.0,
            low: 512.0,
            high: 512.0,
        };
        lines.push(Line {
            name: "goal".to_owned(),
            points: vec![at(0.0), at(x)],
            dashed: true,
        });
    }
    Chart {
        title: title.to_owned(),
        x: Axis::linear("objects", x),
        y: Axis::linear(unit, if limit { y.max(512.0) } else { y }),
        lines,
    }
    .svg()
}
