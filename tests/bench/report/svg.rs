//! The chart: for each work a bar for each server, as long as its median. Readable in light and dark.
//!
//! - Standard: SVG 1.1; Media Queries Level 5 §11.5 (prefers-color-scheme)

use std::fmt::Write;

use super::pair::Pair;
use super::{Measure, Spread};
use crate::peers::Peer;
use crate::run::{Outcome, Row};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 20.0;
/// Where the bars begin, behind the servers' names.
const BARS: f64 = 140.0;
const LONGEST: f64 = 440.0;
const ROW: f64 = 20.0;
const BAR: f64 = 13.0;
const TITLE: f64 = 34.0;
const STYLE: &str = "svg{font-family:'Noto Sans KR','NanumGothic',sans-serif;font-size:13px}\
    .ground{fill:#fff}text{fill:#1f2328}.muted{fill:#59636e}.bar{fill:#8c959f}.ours{fill:#0969da}\
    @media(prefers-color-scheme:dark){.ground{fill:#0d1117}text{fill:#e6edf3}.muted{fill:#9198a1}.bar{fill:#6e7681}.ours{fill:#58a6ff}}";

pub fn drawn(outcome: &Outcome) -> String {
    let mut chart = Chart { body: String::new(), y: MARGIN };
    for (work, rows) in &outcome.works {
        for measure in Measure::all_of(work) {
            let shown = rows.iter().filter(|row| row.failure.is_none());
            let bar = |row: &Row| Some((row.peer.name(), row.peer == Peer::Sockstep, measure.spread(row)?.median));
            let bars: Vec<_> = shown.filter_map(bar).collect();
            chart.group(&work.title, &measure.unit(work), measure.less_is_better, &bars);
        }
    }
    for pair in Pair::all_of(outcome) {
        let bar = |(name, spread): (&str, Spread), ours| (name.to_string(), ours, spread.median);
        chart.group(pair.title, pair.unit, pair.less_is_better, &[bar(pair.ours, true), bar(pair.other, false)]);
    }
    let (body, height) = (chart.body, chart.y + MARGIN);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.1}" viewBox="0 0 {WIDTH} {height:.1}" lang="ko"><title>sockstep과 다른 서버의 성능</title><style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{height:.1}"/>{body}</svg>
"#
    )
}

struct Chart {
    body: String,
    y: f64,
}

impl Chart {
    /// A title, and a bar for each name: the longest for the most.
    fn group(&mut self, title: &str, unit: &str, less_is_better: bool, bars: &[(String, bool, f64)]) {
        let most = bars.iter().map(|(_, _, value)| *value).fold(0.0, f64::max);
        let better = if less_is_better { ", 짧을수록 좋음" } else { "" };
        let base = self.y + 18.0;
        let _ =
            write!(self.body, r#"<text x="{MARGIN}" y="{base:.1}" font-weight="bold">{title} ({unit}{better})</text>"#);
        self.y += TITLE - 8.0;
        for (name, ours, value) in bars {
            self.bar(name, *ours, *value, value / most * LONGEST);
        }
        self.y += 8.0;
    }

    fn bar(&mut self, name: &str, ours: bool, value: f64, length: f64) {
        let (class, y, base) = (if ours { "ours" } else { "bar" }, self.y, self.y + BAR - 2.0);
        let _ = write!(
            self.body,
            r#"<text x="{:.1}" y="{base:.1}" text-anchor="end">{name}</text><rect class="{class}" x="{BARS}" y="{y:.1}" width="{length:.1}" height="{BAR}" rx="2"/><text class="muted" x="{:.1}" y="{base:.1}">{}</text>"#,
            BARS - 8.0,
            BARS + length + 6.0,
            super::short(value)
        );
        self.y += ROW;
    }
}
