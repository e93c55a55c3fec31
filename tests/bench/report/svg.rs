//! The chart: for each work a bar for each server, as long as its median. Readable in light and dark.
//!
//! - Standard: SVG 1.1; Media Queries Level 5 §11.5 (prefers-color-scheme)

use std::fmt::Write;

use super::Measure;
use crate::peers::Peer;
use crate::run::Outcome;

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
    let (mut body, mut y) = (String::new(), MARGIN);
    for (work, rows) in &outcome.works {
        for measure in Measure::all_of(work) {
            let shown = rows.iter().filter(|row| row.failure.is_none());
            let bars: Vec<(Peer, f64)> =
                shown.filter_map(|row| Some((row.peer, measure.spread(row)?.median))).collect();
            let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
            let better = if measure.less_is_better { ", 짧을수록 좋음" } else { "" };
            let title = format!("{} ({}{better})", work.title, measure.unit(work));
            let _ = write!(body, r#"<text x="{MARGIN}" y="{:.1}" font-weight="bold">{title}</text>"#, y + 18.0);
            y += TITLE - 8.0;
            for (peer, value) in bars {
                bar(&mut body, y, peer, value, value / most * LONGEST);
                y += ROW;
            }
            y += 8.0;
        }
    }
    let height = y + MARGIN;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.1}" viewBox="0 0 {WIDTH} {height:.1}" lang="ko"><title>sockstep과 다른 서버의 성능</title><style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{height:.1}"/>{body}</svg>
"#
    )
}

fn bar(out: &mut String, y: f64, peer: Peer, value: f64, length: f64) {
    let class = if peer == Peer::Sockstep { "ours" } else { "bar" };
    let (name, base) = (peer.name(), y + BAR - 2.0);
    let _ = write!(
        out,
        r#"<text x="{:.1}" y="{base:.1}" text-anchor="end">{name}</text><rect class="{class}" x="{BARS}" y="{y:.1}" width="{length:.1}" height="{BAR}" rx="2"/><text class="muted" x="{:.1}" y="{base:.1}">{}</text>"#,
        BARS - 8.0,
        BARS + length + 6.0,
        super::short(value)
    );
}
