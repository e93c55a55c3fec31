//! Recorded runs as pictures: for a terminal, for slides, for a browser.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// All trace files of a run.
fn traces(run: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().path());
    let mut own: Vec<PathBuf> = all
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&format!("{run}.")) && name.ends_with(".trace")
        })
        .collect();
    own.sort();
    assert!(own.len() > 1, "no fixtures of {run}");
    own
}

fn timeline(files: &[PathBuf], args: &[&str], columns: usize) -> Finished {
    let mut command = Command::new(BIN);
    command.arg("timeline").args(files).args(args).env("COLUMNS", columns.to_string());
    run(&mut command, b"")
}

fn drawn(files: &[PathBuf], args: &[&str], columns: usize) -> String {
    let done = timeline(files, args, columns);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    done.text()
}

/// A trace file of its own.
fn written(dir: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in:\n{text}"))
}

fn columns_of(line: &str) -> usize {
    line.chars().map(sockstep::text::width).sum()
}

#[test]
fn each_process_has_a_column_and_arrows_lead_from_one_to_another() {
    let text = drawn(&traces("echo"), &[], 124);
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["client", "1", "(12489)", "server", "(12485)", "c1", "(12493)"]);
    let connect = line_with(&text, "connect(");
    assert!(connect.contains("connect(3, 127.0.0.1:7361) = 0 -") && connect.contains("->|"), "{connect}");
    assert!(line_with(&text, "fork() = 12493").ends_with("=>|"), "{text}");
    assert!(line_with(&text, "send(3, \"안녕하세요\\n\") = 16").ends_with("->|"));
    assert!(line_with(&text, "send(6, \"안녕하세요\\n\") = 16").contains("<---"));
    let at = |part: &str| text.lines().position(|line| line.contains(part)).unwrap();
    assert!(at("listen(") < at("connect(") && at("connect(") < at("accept4(3, 127.0.0.1:33792) = 6"));
    assert!(at("send(3, \"안녕") < at("recv(6, \"안녕") && at("recv(6, \"안녕") < at("recv(3, \"안녕"));
}

#[test]
fn a_narrow_terminal_gets_one_column_with_names_in_front() {
    let text = drawn(&traces("relay"), &[], 72);
    for line in [
        "[server 12640] fork() = 12647 -> c1",
        "[c1 12647] fork() = 0 <- server",
        "[client 1 12644] connect(3, 127.0.0.1:7362) = 0 -> server",
        "[c1 12647] send(8, \"J\") = 1 -> server",
        "[server 12640] recv(7, \"J\") = 1 <- c1",
    ] {
        assert!(line_with(&text, line).ends_with(line), "{text}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_and_none_can_drive_it() {
    for run in ["echo", "relay", "tls", "udp"] {
        for columns in [1, 20, 40, 72, 100, 124, 200] {
            for line in drawn(&traces(run), &[], columns).lines() {
                assert!(columns_of(line) <= columns, "{columns}: {line}");
                assert!(!line.chars().any(sockstep::text::is_control), "{line:?}");
            }
        }
    }
}

#[test]
fn files_in_any_order_and_lines_in_any_order_make_the_same_picture() {
    let dir = tempfile::tempdir().unwrap();
    let files = traces("relay");
    let want = drawn(&files, &[], 200);
    let turned: Vec<PathBuf> = files.iter().rev().cloned().collect();
    assert_eq!(drawn(&turned, &[], 200), want);
    let all: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let one = written(&dir, "one.trace", &all);
    assert_eq!(drawn(&[one], &[], 200), want);
}

#[test]
fn a_bad_line_is_named_and_the_rest_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(fixture("echo.client1.trace")).unwrap();
    let file = written(&dir, "run.trace", format!("{good}this is\tno\trecord\n{}", "\u{1b}[2J\n"));
    let lines = good.lines().count();
    let done = timeline(std::slice::from_ref(&file), &[], 100);
    let name = file.display();
    let said = format!(
        "{name}:{}: expected 7 columns separated by tabs, found 3\n{name}:{}: expected 7 columns separated by tabs, found 1\n",
        lines + 1,
        lines + 2
    );
    assert_eq!((done.code(), done.err.as_str()), (1, said.as_str()));
    assert!(done.text().contains("connect(3, 127.0.0.1:7361) = 0"));
}

#[test]
fn what_is_no_trace_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let rubbish = written(&dir, "rubbish", "hello\n\u{0}\n");
    let empty = written(&dir, "empty", "");
    let header = written(&dir, "header", "# sockstep-trace 1 realtime=5 monotonic=5 role=server pid=1\n");
    let missing = dir.path().join("missing");
    for (file, why) in [
        (rubbish, "it holds no line of a trace"),
        (empty, "it holds no line of a trace"),
        (header, "it holds no call"),
        (missing, "ENOENT (No such file or directory)"),
        (dir.path().to_path_buf(), "EISDIR (Is a directory)"),
    ] {
        let done =
            timeline(&[fixture("echo.server.trace"), file.clone()][usize::from(why.contains("call"))..], &[], 100);
        assert_eq!((done.code(), done.text().as_str()), (1, ""), "{}", done.err);
        assert!(done.err.contains(&format!("sockstep: trace {}: {why}\n힌트: ", file.display())), "{}", done.err);
    }
}

#[test]
fn the_end_of_the_name_says_what_to_draw_and_no_recording_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.png", "x", "x.trace"] {
        let output = dir.path().join(name);
        let done = timeline(&traces("echo"), &["-o", output.to_str().unwrap()], 100);
        assert_eq!((done.code(), output.exists()), (1, false));
        assert!(
            done.err.contains("expected a name that ends in .svg, .html or .txt\n힌트: 그림은 .svg"),
            "{}",
            done.err
        );
    }
    let text = dir.path().join("x.txt");
    assert_eq!(drawn(&traces("echo"), &["-o", text.to_str().unwrap()], 124), "");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), drawn(&traces("echo"), &[], 124));
    let trace = written(&dir, "run.txt", std::fs::read(fixture("echo.server.trace")).unwrap());
    let done = timeline(std::slice::from_ref(&trace), &["-o", trace.to_str().unwrap()], 100);
    assert!(done.code() == 1 && done.err.contains("힌트: 결과를 쓸 파일에는 다른 이름을"), "{}", done.err);
    assert_eq!(std::fs::read(&trace).unwrap(), std::fs::read(fixture("echo.server.trace")).unwrap());
    let done = timeline(&traces("echo"), &["-o", "/proc/no/such/dir/x.svg"], 100);
    assert!(done.code() == 1 && done.err.contains("sockstep: output /proc/no/such/dir/x.svg: ENOENT"), "{}", done.err);
}

#[test]
fn one_side_a_part_or_a_killed_process_is_drawn_as_far_as_it_goes() {
    let server = std::fs::read_to_string(fixture("relay.server.trace")).unwrap();
    assert!(drawn(&[fixture("relay.server.trace")], &[], 200).contains("accept4(3, 127.0.0.1:56514) = 6"));
    assert!(drawn(&[fixture("relay.client2.trace")], &[], 200).contains("connect(3, 127.0.0.1:7362) = 0"));
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = server.lines().collect();
    let parts = [
        lines[60..].join("\n"),        // begins in the middle
        lines[..70].join("\n") + "\n", // ends in the middle
        lines.iter().filter(|line| !line.contains("\tc2\t")).copied().collect::<Vec<_>>().join("\n"), // c2 wrote nothing
        lines.iter().filter(|line| line.contains("\tc2\t")).copied().collect::<Vec<_>>().join("\n"),  // only c2 wrote
    ];
    for (number, part) in parts.iter().enumerate() {
        let mut files = traces("relay");
        files.retain(|file| !file.ends_with("relay.server.trace"));
        files.push(written(&dir, &format!("part{number}.trace"), part));
        for output in ["x.txt", "x.svg", "x.html"] {
            let output = dir.path().join(output);
            drawn(&files, &["-o", output.to_str().unwrap()], 200);
            assert!(std::fs::metadata(&output).unwrap().len() > 1000);
        }
    }
}

#[test]
fn what_the_program_records_is_read_without_a_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.trace");
    let trace = format!("--trace={}", file.display());
    for (stage, options) in [("echo", &["--mode", "echo"][..]), ("relay", &["--mode", "relay"]), ("udp", &["--udp"])] {
        let mut server = Server::start(&[options, &[&trace]].concat());
        let addr = server.addr.to_string();
        let own =
            if stage == "udp" { &["--udp", "--connect", &addr, &trace][..] } else { &["--connect", &addr, &trace] };
        assert_eq!(run(&mut client(own), "안녕\n".as_bytes()).code(), 0);
        server.signal(nix::sys::signal::Signal::SIGTERM);
        server.wait();
        let text = drawn(std::slice::from_ref(&file), &[], 100);
        let sent = if stage == "udp" { "sendto(3, \"안녕\"" } else { "send(3, \"안녕\\n\") = 7 -" };
        assert!(line_with(&text, sent).contains("-->"), "{text}");
        assert!(stage == "udp" || line_with(&text, "fork() = 0").contains("c1") || text.contains("=>|"), "{text}");
        std::fs::remove_file(&file).unwrap();
    }
}

// Captures ----------------------------------------------------------------------------------------

fn with_capture(capture: &Path) -> Finished {
    timeline(&traces("echo"), &["--pcap", capture.to_str().unwrap()], 200)
}

#[test]
fn captured_segments_stand_between_the_calls_that_made_them() {
    let text = with_capture(&fixture("echo.pcap")).text();
    let at = |part: &str| text.lines().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    let order =
        ["connect(", " SYN -", " SYN/ACK -", " ACK -", "accept4(3, 127.0.0.1:33792) = 6", "send(3, \"안녕", "- 16 B -"];
    let places: Vec<usize> = order.into_iter().map(at).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    assert!(line_with(&text, " SYN -").trim_end_matches(['|', ' ']).ends_with('>'));
    assert!(line_with(&text, " SYN/ACK -").contains("<-"));
    assert_eq!(text.matches("- FIN -").count(), 2);
}

/// The capture of `-i any` where each packet is seen as it leaves and, 3 µs later, as it comes.
fn seen_twice(capture: &[u8]) -> Vec<u8> {
    const TYPE_OF_PACKET: usize = 16 + 10; // behind the packet's header, in that of LINUX_SLL2
    let (mut out, mut at) = (capture[..24].to_vec(), 24);
    while at < capture.len() {
        let number = |at: usize| u32::from_le_bytes(*capture[at..].first_chunk().unwrap());
        let end = at + 16 + number(at + 8) as usize;
        let mut again = capture[at..end].to_vec();
        again[4..8].copy_from_slice(&(number(at + 4) + 3).to_le_bytes());
        again[TYPE_OF_PACKET] ^= 4;
        out.extend([&capture[at..end], &again].concat());
        at = end;
    }
    out
}

#[test]
fn a_packet_seen_twice_by_i_any_is_drawn_once() {
    let dir = tempfile::tempdir().unwrap();
    let any = fixture("echo.any.pcap");
    let twice = written(&dir, "twice.pcap", seen_twice(&std::fs::read(&any).unwrap()));
    assert_eq!(with_capture(&twice).text(), with_capture(&any).text());
    let count = |capture: &Path| with_capture(capture).text().matches(" ACK -").count();
    assert_eq!((count(&any), count(&fixture("echo.pcap"))), (count(&twice), count(&twice)));
}

/// The same capture as another machine would have written it: big-endian, with nanoseconds.
fn foreign(capture: &[u8]) -> Vec<u8> {
    let turned = |at: usize| u32::from_le_bytes(*capture[at..].first_chunk().unwrap()).to_be_bytes();
    let short = |at: usize| u16::from_le_bytes(*capture[at..].first_chunk().unwrap()).to_be_bytes();
    let mut out = 0xa1b2_3c4d_u32.to_be_bytes().to_vec();
    out.extend([short(4), short(6)].concat());
    (8..24).step_by(4).for_each(|at| out.extend(turned(at)));
    let mut at = 24;
    while at < capture.len() {
        let micros = u32::from_be_bytes(turned(at + 4));
        let length = u32::from_be_bytes(turned(at + 8)) as usize;
        out.extend([turned(at), (micros * 1000).to_be_bytes(), turned(at + 8), turned(at + 12)].concat());
        out.extend(&capture[at + 16..at + 16 + length]);
        at += 16 + length;
    }
    out
}

#[test]
fn both_byte_orders_and_both_units_of_time_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let capture = std::fs::read(fixture("echo.pcap")).unwrap();
    let other = written(&dir, "other.pcap", foreign(&capture));
    assert_eq!(with_capture(&other).text(), with_capture(&fixture("echo.pcap")).text());
}

#[test]
fn packets_of_strangers_are_not_drawn() {
    let other = fixture("relay.pcap");
    let done = timeline(&traces("echo"), &["--pcap", other.to_str().unwrap()], 200);
    let said = format!("{}: it holds no packet of a socket in these traces\n", other.display());
    assert_eq!((done.code(), done.err.as_str()), (0, said.as_str()));
    assert!(!done.text().contains("SYN"), "{}", done.text());
}

#[test]
fn a_capture_that_cannot_be_read_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let capture = std::fs::read(fixture("echo.pcap")).unwrap();
    let ng = written(&dir, "ng.pcap", b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0");
    let other_link = written(&dir, "link.pcap", [&capture[..20], &[147, 0, 0, 0], &capture[24..]].concat());
    for (file, why, hint) in [
        (ng, "it is pcapng", "editcap -F pcap"),
        (other_link, "link type 147 is not supported", "tcpdump -i lo"),
        (fixture("echo.server.trace"), "it is no capture", "tcpdump -i lo -w"),
        (dir.path().join("missing"), "ENOENT", "읽기 권한"),
    ] {
        let done = with_capture(&file);
        assert_eq!((done.code(), done.text().as_str()), (1, ""));
        let (said, hinted) = done.err.split_once("\n힌트: ").unwrap();
        assert!(said.contains(why) && said.contains(file.to_str().unwrap()) && hinted.contains(hint), "{}", done.err);
    }
    let cut = written(&dir, "cut.pcap", &capture[..capture.len() - 5]);
    let done = with_capture(&cut);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("cut.pcap: packet 13: the file ends in the middle of it"), "{}", done.err);
    assert!(done.text().contains("SYN/ACK"));
}

// The figure --------------------------------------------------------------------------------------

fn figure(files: &[PathBuf], args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("x.svg");
    drawn(files, &[args, &["-o", output.to_str().unwrap()]].concat(), 100);
    std::fs::read_to_string(output).unwrap()
}

/// The box of a text: where it stands, and as wide as its columns at most are.
struct Label {
    words: String,
    x: (f64, f64),
    y: (f64, f64),
}

fn labels(svg: &str) -> Vec<Label> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts
        .map(|text| {
            let number = |name: &str| text.attribute(name).unwrap().parse::<f64>().unwrap();
            let words: String =
                text.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
            let (x, y, size) = (number("x"), number("y"), number("font-size"));
            let width = columns_of(&words) as f64 * size * 0.61;
            let x = match text.attribute("text-anchor").unwrap() {
                "start" => (x, x + width),
                "end" => (x - width, x),
                _ => (x - width / 2.0, x + width / 2.0),
            };
            Label { words, x, y: (y - size * 0.8, y + size * 0.2) }
        })
        .collect()
}

fn assert_nothing_overlaps(svg: &str) {
    let labels = labels(svg);
    let document = roxmltree::Document::parse(svg).unwrap();
    let width: f64 = document.root_element().attribute("width").unwrap().parse().unwrap();
    assert!(labels.len() > 20);
    for (n, a) in labels.iter().enumerate() {
        assert!(a.x.0 >= 0.0 && a.x.1 <= width, "{:?} is cut off: {:?} of {width}", a.words, a.x);
        for b in &labels[n + 1..] {
            let apart = a.x.1 <= b.x.0 || b.x.1 <= a.x.0 || a.y.1 <= b.y.0 || b.y.1 <= a.y.0;
            assert!(apart, "{:?} and {:?} overlap", a.words, b.words);
        }
    }
    // And each call stays in its box.
    for call in document.descendants().filter(|node| node.attribute("class").is_some_and(|class| class == "event")) {
        let Some(frame) = call.children().find(|node| node.has_tag_name("rect")) else { continue };
        let number = |name: &str| frame.attribute(name).unwrap().parse::<f64>().unwrap();
        let (left, right) = (number("x"), number("x") + number("width"));
        let words = call.children().filter(|node| node.has_tag_name("text")).nth(1).unwrap();
        let text: String = words.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
        let end = words.attribute("x").unwrap().parse::<f64>().unwrap() + columns_of(&text) as f64 * 13.0 * 0.61;
        assert!(end <= right && left < end, "{text} leaves its box");
    }
}

#[test]
fn no_two_texts_of_the_figure_overlap() {
    for run in ["echo", "relay", "tls", "udp"] {
        assert_nothing_overlaps(&figure(&traces(run), &[]));
    }
    for run in ["echo", "relay", "udp"] {
        let capture = fixture(&format!("{run}.pcap"));
        assert_nothing_overlaps(&figure(&traces(run), &["--pcap", capture.to_str().unwrap()]));
    }
}

#[test]
fn long_data_and_many_processes_are_cut_to_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for client in 1..=12 {
        let long = "가나다라마바사아자차카타파하".repeat(client);
        text += &format!("{client}000\tclient\t{client}00\tsocket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3\t1\t\t\n");
        text += &format!(
            "{client}001\tc{client}\t{client}01\tsend(3, \"{long}\"..., 99999, 0) = 99999\t1\tHandshake {long}\t\n"
        );
    }
    let file = written(&dir, "many.trace", text);
    assert_nothing_overlaps(&figure(&[file], &[]));
}

#[test]
fn every_call_that_gave_something_has_an_arrow_to_the_one_that_took_it() {
    let svg = figure(&traces("relay"), &[]);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let arrows = |kind: &str| {
        let is_kind = |node: &roxmltree::Node<'_, '_>| {
            node.attribute("class").is_some_and(|class| class.split(' ').any(|one| one == kind))
        };
        document
            .descendants()
            .filter(|node| node.attribute("class") == Some("in"))
            .filter(|node| node.descendants().any(|child| is_kind(&child)))
            .count()
    };
    assert_eq!((arrows("connect"), arrows("fork")), (3, 3));
    let count = |file: &str, part: &str| {
        let text = std::fs::read_to_string(fixture(file)).unwrap();
        text.lines().filter(|line| line.contains(part) && !line.contains(" = -1 ") && !line.contains(" = 0\t")).count()
    };
    // Whatever came to a child or to the parent through the pair was sent by somebody.
    let through_pairs = count("relay.server.trace", "204800, MSG_TRUNC) = ");
    assert_eq!(arrows("relay"), through_pairs + 3, "and three ends of pairs");
}

#[test]
fn the_figure_has_colours_for_light_and_dark_and_needs_nothing_from_elsewhere() {
    let svg = figure(&traces("echo"), &[]);
    assert!(svg.contains("@media (prefers-color-scheme:dark)"));
    let elsewhere = ["href", "url(", "@import", "<script", "<image", "<foreignObject"];
    assert!(elsewhere.iter().all(|word| !svg.contains(word)));
    assert_eq!(svg.matches("http").count(), 1, "the name space is the one address");
    for words in ["클라이언트 1", "서버 (부모)", "자식 c1", "연결 요청", "FIN"] {
        assert!(labels(&svg).iter().any(|label| label.words == words), "no {words}");
    }
}

// What a trace may hold ---------------------------------------------------------------------------

const HOSTILE: &str = "</script><script>document.title='caught'</script><img src=x onerror=\"document.title='caught'\">&amp;{{DATA}}\u{2028}\u{fffe}\u{202e}'";

fn hostile_trace(dir: &tempfile::TempDir) -> PathBuf {
    let call = |text: &str| format!("send(3, \"{}\", 9, 0) = 9", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut lines = vec!["# sockstep-trace 1 realtime=5000000 monotonic=5 role=client pid=7".to_string()];
    lines.push("5\tclient\t7\tsocket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3\t1\t\t".into());
    lines.push(format!("6\tclient\t7\t{}\t1\t{HOSTILE}\t{HOSTILE}", call(HOSTILE)));
    lines.push(format!("7\tclient\t7\t{}\t1\t\t\u{1b}[2J\u{9b}", call(&format!("\u{1b}[2J\u{9b}\r{HOSTILE}"))));
    let state = HOSTILE.replace(' ', "");
    lines.push(format!("8\tclient\t7\tstate 3 {state} {state} 1 2 {state} {state}\t\t\t"));
    written(dir, "hostile.trace", lines.join("\n") + "\n")
}

#[test]
fn nothing_in_a_trace_becomes_markup_or_drives_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = hostile_trace(&dir);
    for columns in [30, 100, 1000] {
        let text = drawn(std::slice::from_ref(&file), &[], columns);
        assert!(!text.chars().any(|c| c != '\n' && sockstep::text::is_control(c)), "{text:?}");
    }
    let svg = figure(std::slice::from_ref(&file), &[]);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let known = ["svg", "style", "rect", "title", "desc", "text", "tspan", "path", "g"];
    assert!(
        document.descendants().filter(|node| node.is_element()).all(|node| known.contains(&node.tag_name().name()))
    );
    let html = page(&[file], &dir);
    assert_eq!(html.matches("<script").count(), 2);
    assert!(!html.contains("<img") && !html.chars().any(|c| c != '\n' && sockstep::text::is_control(c)));
    let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: tinyjson::JsonValue = data.parse().unwrap();
    let call: &String = data["events"][1]["call"].get().unwrap();
    assert!(call.contains("</script><script>document.title='caught'"));
}

fn page(files: &[PathBuf], dir: &tempfile::TempDir) -> String {
    let output = dir.path().join("x.html");
    drawn(files, &["-o", output.to_str().unwrap()], 100);
    std::fs::read_to_string(output).unwrap()
}
