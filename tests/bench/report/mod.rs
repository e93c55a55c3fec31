//! What the run has found: one table; for others JSON and a chart; and the part of the README that holds them.

pub mod json;
mod machine;
mod pair;
mod readme;
mod svg;
mod table;

pub use machine::Machine;
pub use readme::Readme;
pub use table::in_columns;

use crate::failure::Result;
use crate::measure::Sample;
use crate::options::Options;
use crate::peers::Peer;
use crate::run::{Outcome, Row};
use crate::works::Work;

pub fn all(outcome: &Outcome, options: &Options, readme: Option<Readme<'_>>) -> Result<()> {
    print!("{}", table::drawn(outcome));
    if let Some(path) = &options.json {
        std::fs::write(path, json::written(outcome, options))?;
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, svg::drawn(outcome))?;
    }
    readme.map_or(Ok(()), |readme| readme.write(outcome, options))
}

/// A number that is taken of each sample.
#[derive(Clone, Copy)]
pub struct Measure {
    /// In the JSON.
    pub name: &'static str,
    pub of: fn(&Sample) -> f64,
    pub less_is_better: bool,
}

const RATE: Measure = Measure { name: "rate", of: Sample::rate, less_is_better: false };
const P50: Measure = Measure { name: "p50", of: |sample| sample.percentile(0.5), less_is_better: true };
const P99: Measure = Measure { name: "p99", of: |sample| sample.percentile(0.99), less_is_better: true };
pub const CPU: Measure = Measure { name: "cpu", of: Sample::cpu_per_unit, less_is_better: true };

impl Measure {
    pub fn all_of(work: &Work) -> &'static [Measure] {
        if work.is_latency() { &[P50, P99] } else { &[RATE] }
    }

    pub fn unit(&self, work: &Work) -> String {
        if self.less_is_better { format!("µs {}", self.name) } else { format!("{}/초", work.unit) }
    }

    pub fn spread(&self, row: &Row) -> Option<Spread> {
        Spread::of(row.samples.iter().map(self.of))
    }

    /// sockstep's number for each of this server's, round by round.
    pub fn ratio(&self, rows: &[Row], peer: &Row) -> Option<Spread> {
        let ours = rows.iter().find(|row| row.peer == Peer::Sockstep && row.peer != peer.peer)?;
        Spread::of(ours.samples.iter().zip(&peer.samples).map(|(ours, other)| (self.of)(ours) / (self.of)(other)))
    }
}

#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, min, max })
    }
}

/// To three digits.
pub fn short(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}
