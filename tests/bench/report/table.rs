//! The table, for a terminal and for a README: Markdown, and in columns.

use sockstep::text::width;

use super::pair::Pair;
use super::{CPU, Measure, Spread, short};
use crate::run::{Outcome, Row};
use crate::works::Work;

const HEAD: [&str; 8] = ["일", "단위", "서버", "중앙값", "최소", "최대", "비율", "CPU µs (비율)"];
/// Under the table.
pub const HOW_TO_READ: &str = "비율은 같은 회차에서 잰 sockstep의 값을 그 서버의 값으로 나눈 것의 중앙값입니다. CPU는 서버의 모든 프로세스가\n한 단위에 쓴 시간입니다. 지연(p50, p99), CPU, 명령어의 비율은 작을수록, 나머지는 클수록 좋습니다.";
/// The columns before those of numbers.
const WORDS: usize = 3;

pub fn drawn(outcome: &Outcome) -> String {
    let mut out = lines(outcome);
    out.push_str(&format!("\n{HOW_TO_READ}\n"));
    if !outcome.missing.is_empty() {
        out.push_str(&format!("설치되어 있지 않아 재지 못한 것: {}\n", outcome.missing.join(", ")));
    }
    out
}

pub fn lines(outcome: &Outcome) -> String {
    let mut lines = vec![HEAD.map(String::from)];
    for (work, rows) in &outcome.works {
        for measure in Measure::all_of(work) {
            lines.extend(rows.iter().map(|row| line(work, measure, rows, row)));
        }
    }
    lines.extend(Pair::all_of(outcome).iter().flat_map(pair_lines));
    in_columns(&lines, WORDS)
}

fn pair_lines(pair: &Pair) -> [[String; 8]; 2] {
    let line = |(name, spread): (&str, Spread), ratio: String| {
        let [median, min, max] = [spread.median, spread.min, spread.max].map(short);
        [pair.title.into(), pair.unit.into(), name.into(), median, min, max, ratio, String::new()]
    };
    [line(pair.ours, String::new()), line(pair.other, format!("{:.2}", pair.ratio.median))]
}

fn line(work: &Work, measure: &Measure, rows: &[Row], row: &Row) -> [String; 8] {
    let spread = measure.spread(row).filter(|_| row.failure.is_none());
    let number = |of: fn(Spread) -> f64| spread.map_or("실패".into(), |spread| short(of(spread)));
    let ratio = |measure: &Measure| measure.ratio(rows, row).map(|ratio| format!("{:.2}", ratio.median));
    let cpu = CPU.spread(row).map_or(String::new(), |cpu| short(cpu.median));
    [
        work.title.clone(),
        measure.unit(work),
        row.peer.name(),
        number(|spread| spread.median),
        number(|spread| spread.min),
        number(|spread| spread.max),
        ratio(measure).unwrap_or_default(),
        ratio(&CPU).map_or(cpu.clone(), |ratio| format!("{cpu} ({ratio})")),
    ]
}

/// Markdown, and in columns for a terminal. The first so many columns are words, the others numbers.
pub fn in_columns<const N: usize>(lines: &[[String; N]], words: usize) -> String {
    let wide = |text: &str| text.chars().map(width).sum::<usize>();
    let columns: [usize; N] = std::array::from_fn(|at| lines.iter().map(|line| wide(&line[at])).max().unwrap_or(0));
    let mut out = String::new();
    for (nth, line) in lines.iter().enumerate() {
        for (at, text) in line.iter().enumerate() {
            let blanks = " ".repeat(columns[at] - wide(text));
            let cell = if at < words { format!("{text}{blanks}") } else { format!("{blanks}{text}") };
            out.push_str(&format!("| {cell} "));
        }
        out.push_str("|\n");
        if nth == 0 {
            for (at, width) in columns.iter().enumerate() {
                let end = if at < words { '-' } else { ':' };
                out.push_str(&format!("| {}{end} ", "-".repeat(width - 1)));
            }
            out.push_str("|\n");
        }
    }
    out
}
