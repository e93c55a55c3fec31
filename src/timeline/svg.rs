//! The picture as a figure for slides and notes: plain SVG 1.1 with its own style, light and dark.
//!
//! - Standard: SVG 1.1; Media Queries Level 5 §11.5 (prefers-color-scheme)

use std::fmt::Write;

use super::arrows::Kind;
use super::brief::{columns_of, cut};
use super::ink::{TIP, fill, seconds, stroke, text, tip, xml};
use super::layout::{BOX, COLUMN, FONT, GAP, Layout, MARGIN, PADDING, ROW, TIME};
use super::model::{Arrow, Doing, Event, Lane, Made, Picture, Seen};
use super::text::milliseconds;

const HEAD: f64 = 70.0;
const TITLE: f64 = 48.0;
const LEGEND: f64 = 40.0;
const LABEL_FONT: f64 = 11.0;
const HEAD_FONT: f64 = 15.0;
const SMALL_FONT: f64 = 12.0;
const NAME: &str = "소켓 호출 타임라인";
/// For whoever hears the figure instead of seeing it.
const READING: &str = "세로줄은 프로세스이고 시간은 위에서 아래로 흐릅니다. 화살표는 보낸 쪽에서 받은 쪽으로 갑니다.";
pub const STYLE: &str = include_str!("figure.css");

/// The whole figure.
pub fn draw(picture: &Picture) -> String {
    let layout = Layout::new(picture, TITLE + HEAD + 6.0);
    let height = layout.bottom + LEGEND;
    let mut out = open(layout.width, height, "figure");
    let _ = write!(out, "<title>{NAME}</title><desc>{READING} {}.</desc><style>{STYLE}</style>", summary(picture));
    let _ = write!(out, r#"<rect class="ground" width="{:.1}" height="{height:.1}"/>"#, layout.width);
    text(&mut out, "title", MARGIN, 31.0, 19.0, "start", NAME);
    text(&mut out, "muted", layout.width - MARGIN, 31.0, 13.0, "end", &summary(picture));
    heads(&mut out, &layout, TITLE);
    body(&mut out, &layout, TITLE + HEAD);
    legend(&mut out, &layout, layout.bottom + 24.0);
    out.push_str("</svg>\n");
    out
}

/// The figure in two, for a page in which the heads stay while the rest moves: heads, rows, width.
pub fn parts(picture: &Picture) -> (String, String, f64) {
    let layout = Layout::new(picture, 6.0);
    let mut top = open(layout.width, HEAD, "heads");
    heads(&mut top, &layout, 0.0);
    top.push_str("</svg>");
    let mut rest = open(layout.width, layout.bottom + LEGEND, "rows");
    body(&mut rest, &layout, 0.0);
    legend(&mut rest, &layout, layout.bottom + 24.0);
    rest.push_str("</svg>");
    (top, rest, layout.width)
}

/// Calls, processes, and how long it all took.
pub fn summary(picture: &Picture) -> String {
    let processes = picture.lanes.iter().filter(|lane| lane.pid.is_some()).count();
    let packets = picture.events.iter().filter(|event| matches!(event.what, Doing::Packet(_))).count();
    let calls = picture.events.len() - packets;
    let packets = if packets > 0 { format!(" · 패킷 {packets}개") } else { String::new() };
    let last = picture.events.last().map_or(0, |event| event.at);
    format!("프로세스 {processes}개 · 호출 {calls}개{packets} · {}", seconds(last))
}

fn open(width: f64, height: f64, class: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="sockstep {class}" width="{width:.1}" height="{height:.1}" viewBox="0 0 {width:.1} {height:.1}" lang="ko">"#
    )
}

fn heads(out: &mut String, layout: &Layout<'_>, y: f64) {
    text(out, "muted", MARGIN + TIME - 12.0, y + HEAD - 12.0, SMALL_FONT, "end", "ms");
    for (lane, band) in layout.picture.lanes.iter().zip(&layout.bands) {
        let (x, width) = (band.left, band.right - band.left);
        let middle = x + width / 2.0;
        let _ = write!(
            out,
            r#"<rect class="head {}" x="{x:.1}" y="{:.1}" width="{width:.1}" height="{:.1}" rx="7"/>"#,
            stroke(lane.color),
            y + 4.0,
            HEAD - 10.0
        );
        let room = |font: f64| ((width - 8.0) / (font * COLUMN)) as usize;
        let lines = [
            (20.0, HEAD_FONT, format!("name {}", fill(lane.color)), lane.title.clone()),
            (36.5, SMALL_FONT, "muted".into(), lane.pid.map(|pid| format!("pid {pid}")).unwrap_or_default()),
            (52.0, SMALL_FONT, "muted".into(), lane.address.clone()),
        ];
        for (down, font, class, words) in lines.into_iter().filter(|(.., words)| !words.is_empty()) {
            text(out, &class, middle, y + 2.0 + down, font, "middle", &cut(&words, room(font)));
        }
    }
}

fn body(out: &mut String, layout: &Layout<'_>, top: f64) {
    for (lane, band) in layout.picture.lanes.iter().zip(&layout.bands) {
        lane_ground(out, layout, lane, (band.left, band.right), top);
    }
    lives(out, layout);
    for (number, micros) in &layout.gaps {
        let y = layout.rows[*number] - ROW / 2.0 - GAP / 2.0;
        let (left, right) = (MARGIN + TIME, layout.width - MARGIN);
        let _ = write!(out, r#"<g data-step="{number}"><path class="gap" d="M{left:.1} {y:.1}H{right:.1}"/>"#);
        let words = format!("{} 뒤", seconds(*micros));
        text(out, "muted", MARGIN + TIME - 12.0, y + 4.0, SMALL_FONT, "end", &words);
        out.push_str("</g>");
    }
    let mut labelled = None;
    for (number, arrow) in layout.picture.arrows.iter().enumerate() {
        draw_arrow(out, layout, number, arrow, labelled != Some(arrow.from));
        labelled = Some(arrow.from);
    }
    for (number, event) in layout.picture.events.iter().enumerate() {
        draw_event(out, layout, number, event);
    }
}

/// A process lives from call to call: in pieces, so that a page can show it up to where it has come.
fn lives(out: &mut String, layout: &Layout<'_>) {
    let mut before = vec![None; layout.bands.len()];
    for (number, event) in layout.picture.events.iter().enumerate() {
        let (lane, band) = (&layout.picture.lanes[event.lane], layout.bands[event.lane]);
        if let (Some(from), Some(_)) = (before[event.lane].replace(layout.rows[number]), lane.pid) {
            let (x, to) = ((band.left + band.right) / 2.0, layout.rows[number]);
            let class = stroke(lane.color);
            let _ = write!(out, r#"<path class="life {class}" data-step="{number}" d="M{x:.1} {from:.1}V{to:.1}"/>"#);
        }
    }
}

fn lane_ground(out: &mut String, layout: &Layout<'_>, lane: &Lane, (left, right): (f64, f64), top: f64) {
    let _ = write!(
        out,
        r#"<rect class="lane {}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"/>"#,
        fill(lane.color),
        right - left,
        layout.bottom - top
    );
}

fn draw_event(out: &mut String, layout: &Layout<'_>, number: usize, event: &Event) {
    let (y, band) = (layout.rows[number], layout.bands[event.lane]);
    let _ = write!(out, r#"<g class="event" data-step="{number}">"#);
    text(out, "time", MARGIN + TIME - 12.0, y + 4.0, SMALL_FONT, "end", &milliseconds(event.at));
    match &event.what {
        Doing::Call(made) => {
            let color = layout.picture.lanes[event.lane].color;
            let (x, width) = (band.left, band.right - band.left);
            let thread = if made.thread.is_some() { " thread" } else { "" };
            let _ = write!(
                out,
                r#"<rect class="call {}{thread}" x="{x:.1}" y="{:.1}" width="{width:.1}" height="{BOX}" rx="5"/>"#,
                stroke(color),
                y - BOX / 2.0
            );
            words_of_call(out, x + PADDING, y + 4.5, made, &event.brief(band.columns));
        }
        Doing::Packet(seen) => draw_packet(out, (band.left, band.right), y, seen, &event.brief(band.columns - 4)),
    }
    out.push_str("</g>");
}

/// The call's name stands out; what came to nothing stands back.
fn words_of_call(out: &mut String, x: f64, y: f64, made: &Made, brief: &str) {
    let class = match made.call.errno.as_deref() {
        Some("EAGAIN" | "EINPROGRESS") => "code vain",
        Some(_) => "code failed",
        None => "code",
    };
    let (name, rest) = brief.split_at(brief.find('(').unwrap_or(brief.len()));
    let _ = write!(
        out,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" font-size="{FONT}" text-anchor="start"><tspan class="fn">{}</tspan>{}</text>"#,
        xml(name),
        xml(rest)
    );
}

/// A packet goes from one edge of the wire to the other.
fn draw_packet(out: &mut String, (left, right): (f64, f64), y: f64, seen: &Seen, label: &str) {
    let (from, to, sign) = if seen.to_server { (left, right, 1.0) } else { (right, left, -1.0) };
    let (stroke, fill) = (stroke(seen.color), fill(seen.color));
    let line = y + 6.0;
    let _ = write!(out, r#"<path class="packet {stroke}" d="M{from:.1} {line:.1}H{:.1}"/>"#, to - sign * TIP.0);
    tip(out, to, line, sign, &fill);
    text(out, &format!("flag {fill}"), (left + right) / 2.0, y + 1.0, SMALL_FONT, "middle", label);
}

/// In two parts: from the call that gives to the rail, and down the rail to the call that takes.
fn draw_arrow(out: &mut String, layout: &Layout<'_>, number: usize, arrow: &Arrow, with_label: bool) {
    let (events, bands) = (&layout.picture.events, &layout.bands);
    let (source, target) = (events[arrow.from].lane, events[arrow.to].lane);
    let (y1, y2, rail) = (layout.rows[arrow.from], layout.rows[arrow.to], layout.rails[number]);
    let side = layout.side(arrow); // from which side of the target
    let start = if source == target || side < 0.0 { bands[source].right } else { bands[source].left };
    let edge = if side > 0.0 { bands[target].right } else { bands[target].left };
    let conversation = color(layout.picture, arrow);
    let (stroke, fill, kind) = (stroke(conversation), fill(conversation), class(arrow.kind));
    let _ = write!(
        out,
        r#"<g class="out" data-step="{}"><path class="arrow {kind} {stroke}" d="M{start:.1} {y1:.1}H{:.1}"/>"#,
        arrow.from,
        rail + side * 5.0
    );
    if with_label {
        let room = ((rail - start).abs() - 12.0).max(0.0) / (LABEL_FONT * COLUMN);
        let (x, anchor) = if side < 0.0 { (start + 6.0, "start") } else { (start - 6.0, "end") };
        text(out, &format!("label {fill}"), x, y1 - 4.0, LABEL_FONT, anchor, &cut(&arrow.label, room as usize));
    }
    let _ = write!(
        out,
        r#"</g><g class="in" data-step="{}"><path class="arrow {kind} {stroke}" d="M{:.1} {y1:.1}Q{rail:.1} {y1:.1} {rail:.1} {:.1}V{:.1}Q{rail:.1} {y2:.1} {:.1} {y2:.1}H{:.1}"/>"#,
        arrow.to,
        rail + side * 5.0,
        y1 + 5.0,
        y2 - 5.0,
        rail - side * 5.0,
        edge + side * (TIP.0 - 1.0)
    );
    tip(out, edge, y2, -side, &fill);
    out.push_str("</g>");
}

/// The conversation of the lanes between which an arrow goes; the parent belongs to all of them.
fn color(picture: &Picture, arrow: &Arrow) -> Option<usize> {
    let of = |event: usize| picture.lanes[picture.events[event].lane].color;
    of(arrow.to).or(of(arrow.from))
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Connect => "connect",
        Kind::Data | Kind::Datagram => "data",
        Kind::Relay | Kind::PairEnd => "relay",
        Kind::End | Kind::Reset => "end",
        Kind::Fork => "fork",
    }
}

/// Only what is in the figure is explained.
fn legend(out: &mut String, layout: &Layout<'_>, y: f64) {
    let has = |kinds: &[Kind]| layout.picture.arrows.iter().any(|arrow| kinds.contains(&arrow.kind));
    let known = [
        ("connect", "연결 요청 → accept4()까지 대기열에서 기다림", has(&[Kind::Connect])),
        ("fork", "fork(): 자식이 소켓을 물려받음", has(&[Kind::Fork])),
        ("data", "바이트: recv()까지 커널의 버퍼에 있음", has(&[Kind::Data])),
        ("data", "데이터그램", has(&[Kind::Datagram])),
        ("relay", "부모와 자식 사이의 패킷", has(&[Kind::Relay])),
        ("end", "보내기를 마침(FIN), 끊김(RST)", has(&[Kind::End, Kind::Reset])),
    ];
    let mut x = MARGIN;
    for (kind, words, _) in known.into_iter().filter(|(.., used)| *used) {
        let width = columns_of(words) as f64 * 12.0 * COLUMN;
        if x + 46.0 + width > layout.width - MARGIN {
            break; // a narrow figure has few kinds of arrows, and they explain themselves
        }
        let _ = write!(out, r#"<path class="arrow {kind} s" d="M{x:.1} {y:.1}h30"/>"#);
        text(out, "muted", x + 38.0, y + 4.0, 12.0, "start", words);
        x += 38.0 + width + 26.0;
    }
}
