//! What `cargo test` runs: the bench with tiny numbers. No times, but that all that came back was looked at.
#![allow(clippy::unwrap_used)] // It is a test.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use pulldown_cmark::{Event, Options, Parser, Tag};
use roxmltree::Document;
use tinyjson::JsonValue;

const TINY: [&str; 3] = ["--rounds=1", "--warm-up=0.02", "--most-clients=8"];

pub fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_work_is_done_right_by_our_own_servers", every_work_is_done_right_by_our_own_servers),
        Trial::test("whatever_a_server_does_to_a_line_fails_the_run", whatever_a_server_does_to_a_line_fails_the_run),
        Trial::test("clients_that_are_held_are_all_answered", clients_that_are_held_are_all_answered),
        Trial::test("what_does_not_exist_is_named", what_does_not_exist_is_named),
        Trial::test("half_a_table_is_not_for_the_readme", half_a_table_is_not_for_the_readme),
        Trial::test("more_clients_than_descriptors_are_refused", more_clients_than_descriptors_are_refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Whether all was right; standard output; standard error.
fn bench(args: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let done = command.arg("measure").args(TINY).args(args).output().unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
}

fn every_work_is_done_right_by_our_own_servers() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let (json, svg) = (dir.path().join("bench.json"), dir.path().join("bench.svg"));
    let readme = readme(dir.path(), "# 제목\n\n<!-- bench:begin -->\n옛날 값\n<!-- bench:end -->\n\n끝\n");
    let files = ["--json", json.to_str().unwrap(), "--svg", svg.to_str().unwrap(), "--readme", &readme];
    let options = ["--seconds=0.12", "--servers=sockstep,bare,tokio", "--partial", "--held=5"];
    let (right, table, said) = bench(&[&options, &files[..]].concat());
    assert!(right, "{said}{table}");
    assert!(said.is_empty(), "{said}");
    let found: JsonValue = std::fs::read_to_string(&json)?.parse()?;
    let works = found["works"].get::<Vec<JsonValue>>().unwrap();
    assert_eq!(works.len(), 11);
    for work in works {
        let servers = work["servers"].get::<Vec<JsonValue>>().unwrap();
        assert_eq!(servers.len(), 2, "sockstep and one other: {}", work.stringify()?);
        for server in servers {
            check_server(text_of(&work["name"]), server);
        }
        assert!(table.contains(text_of(&work["title"])), "{table}");
    }
    let saved = &found["pairs"]["resumed_to_full"]["ratio"]["median"];
    assert!(saved.get::<f64>().is_some_and(|ratio| *ratio > 0.0), "{}", found.stringify()?);
    check_chart(&svg, works);
    check_readme(&readme, works);
    Ok(())
}

fn check_server(work: &str, server: &JsonValue) {
    let what = format!("{work}: {}", server.stringify().unwrap());
    assert!(server["failure"].is_null(), "{what}");
    let samples = server["samples"].get::<Vec<JsonValue>>().unwrap();
    assert_eq!(samples.len(), 1, "{what}");
    assert!(*samples[0]["units"].get::<f64>().unwrap() > 0.0, "{what}");
    for measure in if work.starts_with("latency") { &["p50", "p99", "cpu"][..] } else { &["rate", "cpu"] } {
        let median = server[*measure]["of"]["median"].get::<f64>();
        assert!(median.is_some_and(|median| *median > 0.0), "{measure} of {what}");
        assert_eq!(server[*measure]["ratio"].is_null(), text_of(&server["name"]) == "sockstep", "{measure} of {what}");
    }
}

/// Well-formed, with a bar for each server, and each work named.
fn check_chart(svg: &Path, works: &[JsonValue]) {
    let source = std::fs::read_to_string(svg).unwrap();
    let chart = Document::parse(&source).unwrap();
    let bars = chart.descendants().filter(|node| matches!(node.attribute("class"), Some("bar" | "ours")));
    let of_latency = works.iter().filter(|work| text_of(&work["name"]).starts_with("latency")).count();
    assert_eq!(bars.count(), 2 * (works.len() + of_latency + 1), "p50 and p99 have a bar each, and so has the pair");
    assert!(works.iter().all(|work| source.contains(text_of(&work["title"]))), "{source}");
}

/// With its marks or without, where a chart can stand beside it.
fn readme(dir: &Path, text: &str) -> String {
    std::fs::create_dir_all(dir.join("tests/bench")).unwrap();
    let path = dir.join("README.md");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

/// Between the marks two tables and a picture that is there; around them, all as it was.
fn check_readme(path: &str, works: &[JsonValue]) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.starts_with("# 제목\n\n<!-- bench:begin -->\n") && text.ends_with("<!-- bench:end -->\n\n끝\n"),
        "{text}"
    );
    assert!(!text.contains("옛날 값") && text.contains("잰 컴퓨터: 2"), "{text}");
    let (mut rows, mut pictures) = (Vec::new(), Vec::new());
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(0),
            Event::Start(Tag::TableCell) => *rows.last_mut().unwrap() += 1,
            Event::Start(Tag::Image { dest_url, .. }) => pictures.push(dest_url.into_string()),
            _ => {}
        }
    }
    let of_latency = works.iter().filter(|work| text_of(&work["name"]).starts_with("latency")).count();
    assert_eq!(rows.iter().filter(|cells| **cells == 8).count(), 1 + 2 * (works.len() + of_latency + 1), "{text}");
    assert_eq!(rows.iter().filter(|cells| **cells == 10).count(), 1 + 4, "{text}");
    assert!(Path::new(path).with_file_name(&pictures[0]).exists(), "{pictures:?}");
}

fn whatever_a_server_does_to_a_line_fails_the_run() -> Result<(), Failed> {
    for (fault, chat_failure) in [
        ("lost", "came, but 19 has not"),
        ("doubled", "came twice or too late"),
        ("damaged", "a line came damaged"),
        ("reordered", "came, but 19 has not"),
    ] {
        for (work, failure) in
            [("deliveries-8-plain", chat_failure), ("throughput-plain", "did not come back as it was sent")]
        {
            let (right, table, said) = bench(&["--wrong", fault, "--works", work]);
            assert!(!right, "{fault} at {work} was not seen: {table}");
            assert!(said.contains(failure) && said.contains(fault), "{fault} at {work}: {said}");
            assert!(table.contains("실패"), "{table}");
        }
    }
    Ok(())
}

fn clients_that_are_held_are_all_answered() -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let json = tempfile::NamedTempFile::new()?;
    let options = ["hold", "--clients=20", "--seconds=0.2", "--servers=sockstep", "--json"];
    let done = command.args(options).arg(json.path()).output()?;
    let (table, said) = (String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?);
    assert!(done.status.success(), "{said}");
    for protocol in ["평문", "TLS"] {
        let cells = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let row = cells.into_iter().find(|cells| cells.get(1..3) == Some(&["sockstep", protocol]));
        let row = row.unwrap_or_else(|| panic!("no {protocol} in: {table}"));
        assert!(row[7].parse::<f64>().is_ok_and(|kb| kb > 0.0), "PSS in: {table}");
    }
    let found: JsonValue = std::fs::read_to_string(json.path())?.parse()?;
    for held in found["held"].get::<Vec<JsonValue>>().unwrap() {
        let ratio = held["all_held_to_none"].get::<f64>();
        assert!(ratio.is_some_and(|ratio| *ratio > 0.0), "{}", held.stringify()?);
    }
    Ok(())
}

fn what_does_not_exist_is_named() -> Result<(), Failed> {
    for (option, name) in [("--works", "netcat-speed"), ("--servers", "apache"), ("--colour", "알 수 없는 옵션")]
    {
        let (right, table, said) = bench(&[option, name]);
        assert!(!right && table.is_empty());
        assert!(said.contains(name), "{said}");
        assert_eq!(said.contains("있는 것: throughput-plain, "), option == "--works", "{said}"); // and what does
    }
    Ok(())
}

fn half_a_table_is_not_for_the_readme() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let unmarked = readme(dir.path(), "# 제목\n<!-- bench:end -->\n");
    let (right, _, said) = bench(&["--readme", &unmarked]);
    assert!(!right && said.contains("README.md: <!-- bench:begin -->"), "{said}");
    let marked = readme(dir.path(), "<!-- bench:begin --><!-- bench:end -->");
    for partial in ["--works=handshakes", "--servers=sockstep", "--most-clients=10"] {
        let mut command = Command::new(std::env::current_exe()?);
        let done = command.args(["measure", "--no-trace=/bin/sh", "--readme", &marked, partial]).output()?;
        let said = String::from_utf8(done.stderr)?;
        assert!(!done.status.success() && said.contains("표 전체"), "{partial}: {said}");
    }
    Ok(())
}

fn more_clients_than_descriptors_are_refused() -> Result<(), Failed> {
    let exe = std::env::current_exe()?;
    let done = Command::new("sh").args(["-c", r#"ulimit -n 256; exec "$0" hold --clients 1000"#]).arg(exe).output()?;
    let said = String::from_utf8(done.stderr)?;
    assert!(!done.status.success() && said.contains("ulimit -Hn") && said.contains("1000명"), "{said}");
    Ok(())
}

fn text_of(value: &JsonValue) -> &str {
    value.get::<String>().unwrap()
}
