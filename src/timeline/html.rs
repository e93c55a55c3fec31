//! The picture as one page that needs nothing else: no font, script or style from anywhere. The figure is
//! in it as it is, the script shows it step by step.
//!
//! - Standard: Content Security Policy Level 3 §2.3.1: only the page's own script runs, whatever a trace holds

use std::collections::BTreeMap;

use openssl::base64::encode_block;
use openssl::sha::sha256;

use super::ink::xml;
use super::model::{Doing, Event, Lane, Made, Picture, Seen};
use super::packet::Body;
use super::svg;
use super::text::milliseconds;
use crate::json::Json;
use crate::lesson::words;
use crate::text::escaped;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub fn draw(picture: &Picture) -> String {
    let (heads, rows, width) = svg::parts(picture);
    let mut out = String::with_capacity(PAGE.len() + heads.len() + rows.len());
    // Piece by piece: what is put in is never looked at for places to put something in.
    for (n, piece) in PAGE.split("{{").enumerate() {
        let Some((name, rest)) = piece.split_once("}}").filter(|_| n > 0) else {
            out.push_str(piece);
            continue;
        };
        match name {
            "HASH" => out.push_str(&encode_block(&sha256(SCRIPT.as_bytes()))),
            "FIGURE" => out.push_str(svg::STYLE),
            "STYLE" => out.push_str(STYLE),
            "SUMMARY" => out.push_str(&xml(&svg::summary(picture))),
            "WIDTH" => out.push_str(&format!("{width:.1}")),
            "HEADS" => out.push_str(&heads),
            "ROWS" => out.push_str(&rows),
            "DATA" => out.push_str(&data(picture).to_string()),
            "SCRIPT" => out.push_str(SCRIPT),
            _ => {}
        }
        out.push_str(rest);
    }
    out
}

fn data(picture: &Picture) -> Json {
    let changes = picture.changes.iter().map(|change| {
        let state = change.state.as_ref().map(|state| {
            let (recv_q, send_q) = (state.recv_q.to_string(), state.send_q.to_string());
            let words = [&state.kind, &state.state, &recv_q, &send_q, &state.local, &state.peer];
            Json::array(words.into_iter().map(|word| shown(word)))
        });
        let (step, lane) = (Json::number(change.step as u64), Json::number(change.lane as u64));
        Json::array([step, lane, Json::number(change.fd), Json::maybe(state)])
    });
    Json::object([
        ("lanes", Json::array(picture.lanes.iter().map(lane))),
        ("events", Json::array(events(picture))),
        ("changes", Json::array(changes)),
    ])
}

fn lane(lane: &Lane) -> Json {
    Json::object([("title", shown(&lane.title)), ("pid", Json::maybe(lane.pid.map(Json::number)))])
}

/// Each with the sentence that fits what its descriptor is: the pair between parent and child is no connection.
fn events(picture: &Picture) -> Vec<Json> {
    let (mut changes, mut pairs) = (picture.changes.iter().peekable(), BTreeMap::new());
    let one = |(step, event): (usize, &Event)| {
        while let Some(change) = changes.next_if(|change| change.step <= step) {
            if let Some(state) = &change.state {
                pairs.insert((change.lane, change.fd), state.kind == "u_seq");
            }
        }
        let fd = match &event.what {
            Doing::Call(made) => made.call.fd(),
            Doing::Packet(_) => None,
        };
        let between_processes = fd.and_then(|fd| pairs.get(&(event.lane, fd)).copied()).unwrap_or_default();
        self::event(picture, event, fd, between_processes)
    };
    picture.events.iter().enumerate().map(one).collect()
}

fn event(picture: &Picture, event: &Event, fd: Option<i32>, between_processes: bool) -> Json {
    let title = |lane: usize| picture.lanes.get(lane).map(|lane| lane.title.clone()).unwrap_or_default();
    let mut facts = vec![("시각", format!("{} ms", milliseconds(event.at)))];
    let (call, why) = match &event.what {
        Doing::Call(made) => {
            facts.extend(facts_of_call(made));
            let why = words::why(&made.call.text, between_processes).unwrap_or_default();
            (made.call.text.clone(), why)
        }
        Doing::Packet(seen) => {
            facts.extend(facts_of_packet(seen));
            let (from, to) = (seen.packet.from, seen.packet.to);
            (format!("{from} → {to}  {}", seen.packet.label()), why_packet(seen))
        }
    };
    facts.extend(event.to.map(|lane| ("가는 곳", title(lane))));
    facts.extend(event.from.map(|lane| ("온 곳", title(lane))));
    let facts = facts.into_iter().map(|(name, text)| Json::array([Json::string(name), shown(&text)]));
    Json::object([
        ("lane", Json::number(event.lane as u64)),
        ("fd", Json::maybe(fd.map(Json::number))),
        ("call", shown(&call)),
        ("why", Json::string(why)),
        ("facts", Json::array(facts)),
    ])
}

fn facts_of_call(made: &Made) -> Vec<(&'static str, String)> {
    let mut facts = vec![("걸린 시간", format!("{} ms", milliseconds(made.took)))];
    if !made.note.is_empty() {
        facts.push(("TLS 레코드", made.note.clone()));
    }
    facts.extend(made.thread.map(|thread| ("스레드", thread.to_string())));
    let words = words::of(&made.call.name);
    let chapter = if made.chapter.is_empty() { words.map_or("", |words| words.chapter) } else { &made.chapter };
    facts.push(("읽을거리", [chapter, words.map_or("", |words| words.manual)].join(" · ")));
    facts
}

fn facts_of_packet(seen: &Seen) -> Vec<(&'static str, String)> {
    match seen.packet.body {
        Body::Tcp { sequence, acknowledged, .. } => {
            vec![("seq", sequence.to_string()), ("ack", acknowledged.to_string())]
        }
        Body::Udp => Vec::new(),
    }
}

fn why_packet(seen: &Seen) -> &'static str {
    let label = seen.packet.label();
    match label.split(' ').next().unwrap_or_default() {
        "SYN" => "연결을 시작하자는 첫 세그먼트입니다. connect()를 부르면 커널이 보냅니다.",
        "SYN/ACK" => {
            "서버의 커널이 연결에 응한 세그먼트입니다. 서버 프로그램은 아직 아무것도 하지 않았고, accept()는 나중에 이 연결을 꺼냅니다."
        }
        "FIN" => "이쪽은 더 보낼 것이 없다는 세그먼트입니다. 상대의 recv()는 남은 바이트를 모두 준 뒤 0을 돌려줍니다.",
        "RST" => {
            "연결을 그 자리에서 끊는 세그먼트입니다. 상대가 connect()로 기다리고 있었다면 ECONNREFUSED, 이미 연결되어 있었다면 ECONNRESET으로 알게 됩니다."
        }
        "ACK" => {
            "받았다고 확인해 주는 세그먼트입니다. 커널이 보내며, 프로그램이 recv()를 불렀는지와는 상관이 없습니다."
        }
        "UDP" => "UDP 데이터그램입니다. 앞서 연결을 여는 절차도, 받았다고 확인해 주는 답도 없습니다.",
        _ => "send()로 커널에 넘긴 바이트를 실어 나르는 세그먼트입니다.",
    }
}

/// Control characters as they are shown everywhere else; JSON would hide them well, and the page would not.
fn shown(text: &str) -> Json {
    Json::string(&escaped(text))
}
