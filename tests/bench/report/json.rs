//! The same for a script: every sample, and what the table says of them.

use tinyjson::JsonValue;

use super::pair::Pair;
use super::{CPU, Machine, Measure, Spread};
use crate::hold::Held;
use crate::measure::Sample;
use crate::options::Options;
use crate::run::{Outcome, Row};
use crate::works::Work;

pub fn written(outcome: &Outcome, options: &Options) -> String {
    let whole = object([
        ("machine", Machine::this().in_json()),
        ("rounds", number(options.rounds)),
        ("seconds", number(options.seconds)),
        ("missing", array(outcome.missing.iter().map(|program| text(program)))),
        ("works", array(outcome.works.iter().map(|(work, rows)| work_of(work, rows)))),
        ("pairs", object(Pair::all_of(outcome).iter().map(|pair| (pair.name, pair_of(pair))))),
        ("held", array(outcome.held.iter().map(Held::in_json))),
    ]);
    whole.format().unwrap_or_default() + "\n"
}

fn work_of(work: &Work, rows: &[Row]) -> JsonValue {
    object([
        ("name", text(&work.name)),
        ("title", text(&work.title)),
        ("unit", text(work.unit)),
        ("servers", array(rows.iter().map(|row| row_of(work, rows, row)))),
    ])
}

fn row_of(work: &Work, rows: &[Row], row: &Row) -> JsonValue {
    let measures = Measure::all_of(work).iter().chain([&CPU]).map(|measure| {
        let of = maybe(measure.spread(row).map(spread_of));
        (measure.name, object([("of", of), ("ratio", maybe(measure.ratio(rows, row).map(spread_of)))]))
    });
    let about = [
        ("name", text(&row.peer.name())),
        ("failure", maybe(row.failure.as_deref().map(text))),
        ("samples", array(row.samples.iter().map(sample_of))),
    ];
    object(about.into_iter().chain(measures))
}

fn sample_of(sample: &Sample) -> JsonValue {
    object([
        ("units", number(sample.units)),
        ("seconds", number(sample.seconds)),
        ("server_cpu", number(sample.server_cpu.as_secs_f64())),
        ("load_cpu", number(sample.load_cpu.as_secs_f64())),
    ])
}

fn pair_of(pair: &Pair) -> JsonValue {
    let side = |(name, spread): (&str, Spread)| object([("name", text(name)), ("of", spread_of(spread))]);
    object([
        ("title", text(pair.title)),
        ("unit", text(pair.unit)),
        ("ours", side(pair.ours)),
        ("other", side(pair.other)),
        ("ratio", spread_of(pair.ratio)),
    ])
}

fn spread_of(spread: Spread) -> JsonValue {
    object([("median", number(spread.median)), ("min", number(spread.min)), ("max", number(spread.max))])
}

pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, JsonValue)>) -> JsonValue {
    JsonValue::Object(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

pub fn array(items: impl Iterator<Item = JsonValue>) -> JsonValue {
    JsonValue::Array(items.collect())
}

fn maybe(value: Option<JsonValue>) -> JsonValue {
    value.unwrap_or(JsonValue::Null)
}

pub fn text(text: &str) -> JsonValue {
    JsonValue::String(text.into())
}

pub fn number(number: impl Into<f64>) -> JsonValue {
    JsonValue::Number(number.into())
}
