//! What was measured: one value per round, by part and name, as it is kept beside the plots.

use crate::bench::table::median;
use crate::failure::{Failure, Outcome};
use std::fmt::Write;

/// One measured thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The part that measured it; parts are measured one after the other.
    pub part: String,
    /// What was measured.
    pub name: String,
    /// Unit of the values.
    pub unit: String,
    /// One per round.
    pub values: Vec<f64>,
}

impl Series {
    /// The middle value.
    pub fn median(&self) -> f64 {
        median(&self.values)
    }

    /// The lowest and the highest value.
    pub fn range(&self) -> (f64, f64) {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(0.0, f64::max);
        (low, high)
    }
}

/// Everything measured, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<Series>);

impl Samples {
    /// Takes the lines `sample<TAB>name<TAB>unit<TAB>value` of a part's output.
    pub fn take(&mut self, part: &str, output: &str) -> Outcome {
        for line in output.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let ["sample", name, unit, value] = fields.as_slice() else {
                continue;
            };
            let value = value
                .parse()
                .map_err(|_| Failure::new(format!("{part}: no number in '{line}'")))?;
            self.add(part, name, unit, value);
        }
        Ok(())
    }

    /// Adds one value.
    pub fn add(&mut self, part: &str, name: &str, unit: &str, value: f64) {
        let same = |series: &&mut Series| series.part == part && series.name == name;
        if let Some(series) = self.0.iter_mut().find(same) {
            series.values.push(value);
            return;
        }
        self.0.push(Series {
            part: part.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            values: vec![value],
        });
    }

    /// A series by part and name.
    pub fn get(&self, part: &str, name: &str) -> Option<&Series> {
        self.0
            .iter()
            .find(|series| series.part == part && series.name == name)
    }

    /// These, and of `older` the parts that were not measured this time.
    pub fn over(self, older: Samples, order: &[&str]) -> Samples {
        let measured = |part: &str| self.0.iter().any(|series| series.part == part);
        let kept = older.0.into_iter().filter(|series| !measured(&series.part));
        let mut all: Vec<Series> = kept.chain(self.0.iter().cloned()).collect();
        let place = |series: &Series| order.iter().position(|part| *part == series.part);
        all.sort_by_key(place);
        Samples(all)
    }

    /// As a text file.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for series in &self.0 {
            let Series {
                part, name, unit, ..
            } = series;
            let _ = write!(text, "{part}\t{name}\t{unit}");
            for value in &series.values {
                let _ = write!(text, "\t{value}");
            }
            text.push('\n');
        }
        text
    }

    /// From such a text file.
    pub fn decode(text: &str) -> Outcome<Samples> {
        let series = |line: &str| {
            let mut fields = line.split('\t').map(str::to_owned);
            let (part, name, unit) = (fields.next()?, fields.next()?, fields.next()?);
            let values: Option<Vec<f64>> = fields.map(|value| value.parse().ok()).collect();
            Some(Series {
                part,
                name,
                unit,
                values: values?,
            })
        };
        let all: Option<Vec<Series>> = text.lines().map(series).collect();
        all.map(Samples)
            .ok_or_else(|| Failure::new("the recorded samples cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    fn samples(part: &str, values: &[f64]) -> Samples {
        let mut samples = Samples::default();
        for value in values {
            samples.add(part, "rate", "MiB/s", *value);
        }
        samples
    }

    #[test]
    fn output_is_gathered_by_name_and_reads_back() {
        let mut taken = Samples::default();
        let output = "hello\nsample\trate\tMiB/s\t3\nsample\trate\tMiB/s\t1.5\n";
        taken.take("one", output).unwrap();
        assert_eq!(taken, samples("one", &[3.0, 1.5]));
        assert_eq!(Samples::decode(&taken.encode()).unwrap(), taken);
        assert!(taken.take("one", "sample\trate\tMiB/s\tfast").is_err());
    }

    #[test]
    fn a_part_that_was_measured_again_replaces_what_it_gave_before() {
        let mut older = samples("one", &[1.0]);
        older.0.extend(samples("two", &[2.0]).0);
        let all = samples("two", &[4.0]).over(older, &["two", "one"]);
        let mut expected = samples("two", &[4.0]);
        expected.0.extend(samples("one", &[1.0]).0);
        assert_eq!(all, expected);
    }
}
