//! Plots as SVG, without a library: axes, lines with whiskers, bars. The same samples give the same bytes.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;
const COLOURS: [&str; 6] = [
    "#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f", "#c77d11", "#5f6b6d",
];

/// How values become places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
}

/// An axis.
#[derive(Clone)]
pub struct Axis {
    pub label: String,
    pub scale: Scale,
    pub from: f64,
    pub to: f64,
    /// Values that are written.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// From zero to a round number above all values, with about five ticks.
    pub fn linear(label: &str, highest: f64) -> Axis {
        let highest = highest.max(1e-9);
        let rough = highest / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = steps
            .iter()
            .map(|step| step * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let count = (highest / step).ceil();
        let mut ticks = vec![0.0];
        while ticks
            .last()
            .is_some_and(|last| *last < count * step - step / 2.0)
        {
            ticks.push(ticks.last().copied().unwrap_or(0.0) + step);
        }
        Axis {
            label: label.to_owned(),
            scale: Scale::Linear,
            from: 0.0,
            to: count * step,
            ticks,
        }
    }

    /// Logarithmic between two values, with these ticks.
    pub fn log(label: &str, from: f64, to: f64, ticks: &[f64]) -> Axis {
        Axis {
            label: label.to_owned(),
            scale: Scale::Log,
            from,
            to,
            ticks: ticks.to_vec(),
        }
    }

    /// Where a value lies between the ends of the axis.
    fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        share.clamp(0.0, 1.0)
    }
}

/// A value with the lowest and the highest of its rounds.
#[derive(Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

/// Points that belong together.
pub struct Line {
    pub name: String,
    pub points: Vec<Point>,
    /// Drawn dashed and without marks: a yardstick.
    pub dashed: bool,
}

/// Lines over two axes.
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Chart {
    /// As SVG.
    pub fn svg(&self) -> String {
        let mut page = Page::new(&self.title, HEIGHT);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let x = |value: f64| LEFT + self.x.share(value) * (right - LEFT);
        let y = |value: f64| bottom - self.y.share(value) * (bottom - TOP);
        for tick in &self.y.ticks {
            page.line((LEFT, y(*tick)), (right, y(*tick)), "#dddddd", 1.0, "");
            page.text((LEFT - 8.0, y(*tick) + 4.0), "end", 12, &number(*tick));
        }
        for tick in &self.x.ticks {
            page.line(
                (x(*tick), bottom),
                (x(*tick), bottom + 5.0),
                "#555555",
                1.0,
                "",
            );
            page.text((x(*tick), bottom + 20.0), "middle", 12, &number(*tick));
        }
        page.line((LEFT, bottom), (right, bottom), "#555555", 1.0, "");
        page.text(
            ((LEFT + right) / 2.0, HEIGHT - 12.0),
            "middle",
            13,
            &self.x.label,
        );
        page.text((12.0, TOP - 12.0), "start", 13, &self.y.label);
        page.legend(self.lines.iter().map(|line| line.name.as_str()), right);
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let dash = if line.dashed { "6 4" } else { "" };
            for pair in line.points.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                page.line(
                    (x(from.x), y(from.y)),
                    (x(to.x), y(to.y)),
                    colour,
                    2.0,
                    dash,
                );
            }
            for point in line.points.iter().filter(|_| !line.dashed) {
                page.whisker(x(point.x), y(point.low), y(point.high), colour);
                page.dot((x(point.x), y(point.y)), colour);
            }
        }
        page.end()
    }
}

/// A bar: a name, a value, and the lowest and the highest of its rounds.
pub struct Bar {
    pub name: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Bars of one kind share a colour.
    pub kind: usize,
}

/// Lying bars over one axis. With `around`, dots and whiskers about a line at that value instead.
pub struct Bars {
    pub title: String,
    pub axis: Axis,
    pub bars: Vec<Bar>,
    pub around: Option<f64>,
}

const NAMES: f64 = 330.0;
const ROW: f64 = 26.0;

impl Bars {
    /// As SVG.
    pub fn svg(&self) -> String {
        let rows = self.bars.iter().fold(0.0, |sum, _| sum + ROW);
        let height = TOP + rows + BOTTOM;
        let mut page = Page::new(&self.title, height);
        let (right, bottom) = (WIDTH - RIGHT - 60.0, TOP + rows);
        let x = |value: f64| NAMES + self.axis.share(value) * (right - NAMES);
        for tick in &self.axis.ticks {
            page.line(
                (x(*tick), TOP - 6.0),
                (x(*tick), bottom),
                "#dddddd",
                1.0,
                "",
            );
            page.text((x(*tick), bottom + 18.0), "middle", 12, &number(*tick));
        }
        page.text(
            ((NAMES + right) / 2.0, bottom + 40.0),
            "middle",
            13,
            &self.axis.label,
        );
        if let Some(value) = self.around {
            page.line(
                (x(value), TOP - 6.0),
                (x(value), bottom),
                "#222222",
                1.5,
                "",
            );
        }
        let mut middle = TOP + ROW / 2.0;
        for bar in &self.bars {
            let colour = COLOURS[bar.kind % COLOURS.len()];
            page.text((NAMES - 10.0, middle + 4.0), "end", 12, &bar.name);
            let whisker = if self.around.is_some() {
                page.dot((x(bar.value), middle), colour);
                colour
            } else {
                page.rect((NAMES, middle - 8.0), (x(bar.value) - NAMES, 16.0), colour);
                "#222222"
            };
            page.line(
                (x(bar.low), middle),
                (x(bar.high), middle),
                whisker,
                1.5,
                "",
            );
            let end = x(bar.high).max(x(bar.value)) + 8.0;
            page.text((end, middle + 4.0), "start", 12, &number(bar.value));
            middle += ROW;
        }
        page.end()
    }
}

/// SVG being written.
struct Page(String);

impl Page {
    fn new(title: &str, height: f64) -> Page {
        let mut page = Page(String::new());
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            page.0,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" fill=\"#222222\">\n\
             <title>{}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>",
            escaped(title)
        );
        page.text((12.0, 24.0), "start", 16, title);
        page
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dash: &str) {
        let dash = match dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        let _ = writeln!(
            self.0,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"{dash}/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn whisker(&mut self, x: f64, low: f64, high: f64, colour: &str) {
        self.line((x, low), (x, high), colour, 1.2, "");
        for y in [low, high] {
            self.line((x - 4.0, y), (x + 4.0, y), colour, 1.2, "");
        }
    }

    fn dot(&mut self, at: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.0,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
            at.0, at.1
        );
    }

    fn rect(&mut self, at: (f64, f64), size: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            at.0,
            at.1,
            size.0.max(0.0),
            size.1
        );
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, size: u32, text: &str) {
        let _ = writeln!(
            self.0,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{}</text>",
            at.0,
            at.1,
            escaped(text)
        );
    }

    /// Names in their colours, from the right.
    fn legend<'a>(&mut self, names: impl Iterator<Item = &'a str>, right: f64) {
        let names: Vec<&str> = names.collect();
        if names.len() < 2 {
            return;
        }
        let width = |name: &str| name.chars().fold(34.0, |sum, _| sum + 6.6);
        let all: f64 = names.iter().map(|name| width(name)).sum();
        let mut x = right - all;
        for (name, colour) in names.iter().zip(COLOURS) {
            self.rect((x, TOP - 24.0), (14.0, 10.0), colour);
            self.text((x + 20.0, TOP - 14.0), "start", 12, name);
            x += width(name);
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A number as short as it can be said.
pub fn number(value: f64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{unit}")
    };
    match value {
        value if value >= 999_500.0 => short(value / 1e6, "M"),
        value if value >= 10_000.0 => format!("{:.0}k", value / 1e3),
        value if value >= 1_000.0 => short(value / 1e3, "k"),
        value if value >= 100.0 => format!("{value:.0}"),
        value => short(value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Bar, Bars, number};

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.95, 20.0, 512.0, 1_000.0, 32_412.0, 1e6, 1e7].map(number);
        let expected = ["0", "0.95", "20", "512", "1k", "32k", "1M", "10M"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number_above_everything() {
        for highest in [0.3, 7.0, 99.0, 1234.0] {
            let axis = Axis::linear("", highest);
            assert!(axis.to >= highest && axis.to < highest * 1.5, "{highest}");
            let last = axis.ticks.last().copied().unwrap_or_default();
            assert!((last - axis.to).abs() < axis.to * 1e-6, "{last}");
        }
    }

    #[test]
    fn a_plot_is_whole_and_quotes_what_xml_needs() {
        let bars = Bars {
            title: "a < b & c".to_owned(),
            axis: Axis::linear("MiB/s", 10.0),
            bars: vec![Bar {
                name: "x".to_owned(),
                value: 5.0,
                low: 4.0,
                high: 6.0,
                kind: 0,
            }],
            around: None,
        };
        let svg = bars.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b &amp; c"));
        assert_eq!(svg, bars.svg());
    }
}
