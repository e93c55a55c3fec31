//! The figures of the notes: whole, in Korean, readable in light and dark; and the timelines as a run draws them today.
#![allow(clippy::unwrap_used)]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use browser::Page;
use roxmltree::{Document, Node};
use support::*;

const MOST_BYTES: u64 = 60_000;
const MOST_WIDTH: f64 = 960.0;
const DRAWN: [&str; 6] = ["flow", "processes", "queues", "stack", "states", "tls"];
const GENERATED: [&str; 2] = ["timeline-echo", "timeline-tls"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("notes/figures")
}

fn path(name: &str) -> PathBuf {
    folder().join(name).with_extension("svg")
}

fn is_hangul(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

fn of_kind<'a>(document: &'a Document<'_>, kind: &'static str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", kind))).collect()
}

fn words(node: &Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

#[test]
fn the_folder_holds_these_figures_and_no_others() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "svg"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    names.sort();
    let mut known = [&DRAWN[..], &GENERATED[..]].concat();
    known.sort();
    assert_eq!(names, known);
}

#[test]
fn each_is_one_small_file_that_says_in_korean_what_it_shows() {
    for name in DRAWN.iter().chain(&GENERATED) {
        assert!(std::fs::metadata(path(name)).unwrap().len() <= MOST_BYTES, "{name}");
        let text = std::fs::read_to_string(path(name)).unwrap();
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(document.root_element().tag_name().name(), "svg", "{name}");
        for kind in ["title", "desc"] {
            let said = of_kind(&document, kind).first().map(words).unwrap_or_default();
            assert!(said.chars().any(is_hangul), "{name}: {kind} is {said:?}");
        }
        let style: String = of_kind(&document, "style").iter().map(words).collect();
        assert!(style.contains("@media (prefers-color-scheme:dark)"), "{name} has no dark scheme");
        assert!(!style.contains("@import"), "{name}");
        let width: f64 = document.root_element().attribute("width").unwrap().parse().unwrap();
        assert!(width <= MOST_WIDTH || GENERATED.contains(name), "{name} is {width} wide");
    }
}

#[test]
fn none_runs_a_script_or_fetches_anything() {
    for name in DRAWN.iter().chain(&GENERATED) {
        let text = std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(text.matches("url(").count(), text.matches("url(#").count(), "{name}");
        let document = Document::parse(&text).unwrap();
        for node in document.descendants().filter(Node::is_element) {
            let kind = node.tag_name().name();
            let known = ["svg", "title", "desc", "style", "defs", "marker", "g", "rect", "path", "text", "tspan"];
            assert!(known.contains(&kind), "{name} has a {kind}");
            for attribute in node.attributes() {
                let name_of = attribute.name();
                assert!(name_of != "href" && !name_of.starts_with("on"), "{name}: {name_of} of a {kind}");
            }
        }
    }
}

// In a browser ------------------------------------------------------------------------------------

/// What is wrong with the texts of the figure, a line each. `SLACK` is how much wider another system's fonts may be,
/// `CODE` the same of its fixed-width fonts (NanumGothicCoding is narrow: 0.5 em, Menlo has 0.6); `CROSSED` says
/// whether a line over a text is wrong.
const FAULTS: &str = r#"(() => {
    const view = document.documentElement.viewBox.baseVal, faults = [];
    const texts = [...document.querySelectorAll('text')].map(text => {
        const { x, width } = text.getBBox(), style = getComputedStyle(text);
        const size = parseFloat(style.fontSize), y = text.y.baseVal[0].value, more = width * (text.matches('.code') ? CODE : SLACK);
        const left = { start: 0, middle: more / 2, end: more }[style.textAnchor];
        return { words: text.textContent, left: x - left, right: x + width + more - left, top: y - size * 0.8, bottom: y + size * 0.2 };
    });
    texts.forEach((one, number) => {
        if (one.left < 0 || one.top < 0 || one.right > view.width || one.bottom > view.height) faults.push(one.words + ' runs out');
        for (const two of texts.slice(number + 1))
            if (one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom) faults.push(one.words + ' overlaps ' + two.words);
    });
    const lines = CROSSED ? [...document.querySelectorAll('svg > path, svg > rect')].filter(line => getComputedStyle(line).stroke !== 'none') : [];
    for (const line of lines)
        for (let at = 0, length = line.getTotalLength(); at <= length; at += 2) {
            const { x, y } = line.getPointAtLength(at);
            const hit = texts.find(text => text.left < x && x < text.right && text.top + 1 < y && y < text.bottom - 1);
            if (hit) { faults.push('a line through ' + hit.words); break; }
        }
    return faults.join('\n');
})()"#;

fn faults(slack: &str, code: &str, crossed: &str) -> String {
    FAULTS.replace("SLACK", slack).replace("CODE", code).replace("CROSSED", crossed)
}

/// The lowest contrast of a text with the ground (WCAG 2.2, relative luminance).
const CONTRAST: &str = r#"(() => {
    const light = element => {
        const [r, g, b] = getComputedStyle(element).fill.match(/\d+/g).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const ground = light(document.querySelector('.ground'));
    return Math.min(...[...document.querySelectorAll('text, tspan')].map(text => Math.max(light(text), ground) / Math.min(light(text), ground)));
})()"#;

#[test]
fn in_light_and_dark_each_text_stands_free_and_can_be_read() {
    let Some(mut page) = Page::open(&path(DRAWN[0])) else { return };
    for name in DRAWN.iter().chain(&GENERATED) {
        page.go_to(&path(name));
        // What `sockstep timeline` draws has been laid out for the widest font, and its lines pass behind the texts.
        let faults = if DRAWN.contains(name) { faults("0.1", "0.21", "true") } else { faults("0", "0", "false") };
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            assert_eq!(page.text(&faults), "", "{name}, {scheme}");
            let contrast = page.number(CONTRAST);
            assert!(contrast >= 4.5, "{name}, {scheme}: {contrast}");
            grounds.push(page.text("getComputedStyle(document.querySelector('.ground')).fill"));
        }
        assert_eq!(grounds, ["rgb(255, 255, 255)", "rgb(15, 23, 42)"], "{name}");
    }
}

#[test]
fn a_text_that_does_not_stand_free_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.svg");
    let wrong = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 200" width="300" height="200">
        <text x="250" y="40">너무 긴 글입니다</text><text x="10" y="90">겹치는 글</text><text x="20" y="92">글</text>
        <path stroke="red" d="M10 140H200"/><text x="50" y="145">선</text></svg>"#;
    std::fs::write(&file, wrong).unwrap();
    let Some(mut page) = Page::open(&file) else { return };
    let faults = page.text(&faults("0", "0", "true"));
    assert_eq!(faults, "너무 긴 글입니다 runs out\n겹치는 글 overlaps 글\na line through 선");
}

// The timelines -----------------------------------------------------------------------------------

/// The calls of each lane, in their order.
type Lanes = BTreeMap<String, Vec<String>>;

#[test]
fn a_run_of_today_makes_the_same_calls_in_the_same_lanes() {
    let dir = tempfile::tempdir().unwrap();
    let made = run(Command::new(folder().join("make-timelines.sh")).arg(BIN).arg(dir.path()), b"");
    assert_eq!((made.code(), made.err.as_str()), (0, ""), "{}", made.text());
    for name in GENERATED {
        let over_tls = name.ends_with("tls");
        let fresh = lanes(&dir.path().join(name).with_extension("svg"), over_tls);
        assert_eq!(lanes(&path(name), over_tls), fresh, "{name}: `make figures` draws it anew");
        assert_eq!(fresh.keys().collect::<Vec<_>>(), ["서버 (부모)", "자식 c1", "클라이언트 1"]);
        assert!(fresh.values().all(|calls| calls.len() > 8), "{fresh:?}");
    }
}

/// Without what differs from run to run: numbers of processes, ports and descriptors. Over TLS also the lengths of
/// records, for signatures have several, and how many records a recv() finds.
fn lanes(path: &Path, over_tls: bool) -> Lanes {
    let text = std::fs::read_to_string(path).unwrap();
    let document = Document::parse(&text).unwrap();
    let left = |node: &Node<'_, '_>| node.attribute("x").unwrap().to_string();
    let rects = of_kind(&document, "rect");
    let with = |class: &'static str| {
        rects.iter().filter(move |rect| rect.attribute("class").is_some_and(|own| own.split(' ').next() == Some(class)))
    };
    let names =
        document.descendants().filter(|node| node.attribute("class").is_some_and(|own| own.starts_with("name")));
    let names: BTreeMap<String, String> = with("head").map(left).zip(names.map(|name| words(&name))).collect();
    let mut lanes = Lanes::new();
    for rect in with("call") {
        let call = words(&rect.next_sibling_element().unwrap());
        let lane = lanes.entry(names[&left(rect)].clone()).or_default();
        let depends_on_time = over_tls && call.starts_with("recv(") && !call.contains("\"");
        if !depends_on_time {
            lane.push(same_each_time(&call, over_tls));
        }
    }
    lanes
}

/// `accept4(3, 127.0.0.1:35160) = 6` is `accept4(#, 127.0.0.1:#) = #`; what is sent, and how much, stays.
fn same_each_time(call: &str, over_tls: bool) -> String {
    let carries_text = call.contains('"');
    let numbers_stay = ["setsockopt", "listen"].iter().any(|name| call.starts_with(name));
    let (head, rest) = call.split_once('(').unwrap();
    let (arguments, result) = rest.rsplit_once(" = ").unwrap();
    let result = if carries_text && !over_tls || result == "EAGAIN" || result == "0" { result } else { "#" };
    let after_fd = |text: &str| text.split_once(',').map(|(_, rest)| format!("#,{rest}"));
    let arguments = match head {
        _ if carries_text || numbers_stay => after_fd(arguments).unwrap(),
        "socket" | "fork" => arguments.to_string(),
        _ => arguments
            .replace("127.0.0.1", "localhost")
            .split(|c: char| c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("#"),
    };
    format!("{head}({arguments} = {result}")
}
