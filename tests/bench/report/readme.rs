//! The README's part that holds what was measured: between two marks, and never written by hand.

use std::path::Path;

use super::table::{self, HOW_TO_READ};
use super::{Machine, svg};
use crate::failure::{Failure, Result, failed};
use crate::hold::Held;
use crate::options::Options;
use crate::run::Outcome;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";
/// Beside the README.
const CHART: &str = "tests/bench/bench.svg";

/// A README that has its marks.
#[derive(Clone, Copy)]
pub struct Readme<'a> {
    path: &'a Path,
}

impl<'a> Readme<'a> {
    /// Before anything is measured: it would be a pity about it.
    pub fn open(path: &'a Path) -> Result<Readme<'a>> {
        parts(path)?;
        Ok(Readme { path })
    }

    pub fn write(&self, outcome: &Outcome, options: &Options) -> Result<()> {
        let chart = self.path.with_file_name(CHART);
        std::fs::write(&chart, svg::drawn(outcome))
            .map_err(|error| Failure::new(format!("{}: {error}", chart.display())))?;
        let [before, after] = parts(self.path)?;
        let section = section(outcome, options);
        Ok(std::fs::write(self.path, format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))?)
    }
}

/// What stands before the marks, and what after them.
fn parts(path: &Path) -> Result<[String; 2]> {
    let failure = |why: String| Failure::new(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
    for mark in [BEGIN, END] {
        match text.matches(mark).count() {
            1 => {}
            count => return failed(format!("{}: {mark}가 한 번 있어야 하는데 {count}번 있습니다", path.display())),
        }
    }
    let split = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = split.ok_or_else(|| failure(format!("{END}가 {BEGIN}보다 앞에 있습니다")))?;
    Ok([before.into(), after.into()])
}

fn section(outcome: &Outcome, options: &Options) -> String {
    let (machine, rounds, seconds) = (Machine::this().in_words(), options.rounds, options.seconds);
    let (table, held) = (table::lines(outcome), Held::table(&outcome.held));
    format!(
        "잰 컴퓨터: {machine}. 한 번에 {seconds}초씩 {rounds}회.\n\n{table}\n{HOW_TO_READ}\n\n\
         ![일마다 서버들의 중앙값을 막대로 견준 그림. 파란 막대가 sockstep입니다]({CHART})\n\n\
         {}명이 동시에 접속해 있을 때는 다음과 같습니다. 메모리는 그 서버의 모든 프로세스에서 한 명마다 늘어난 양입니다.\n\n{held}",
        options.held
    )
}
