//! What `cargo test` runs: the bench with tiny numbers. No times, but that all that came back was looked at.
#![allow(clippy::unwrap_used)] // It is a test.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use roxmltree::Document;
use tinyjson::JsonValue;

const TINY: [&str; 3] = ["--rounds=1", "--warm-up=0.02", "--most-clients=8"];

pub fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_work_is_done_right_by_our_own_servers", every_work_is_done_right_by_our_own_servers),
        Trial::test("whatever_a_server_does_to_a_line_fails_the_run", whatever_a_server_does_to_a_line_fails_the_run),
        Trial::test("clients_that_are_held_are_all_answered", clients_that_are_held_are_all_answered),
        Trial::test("what_does_not_exist_is_named", what_does_not_exist_is_named),
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
    let files = ["--json", json.to_str().unwrap(), "--svg", svg.to_str().unwrap()];
    let (right, table, said) = bench(&[&["--seconds=0.2", "--servers=sockstep,bare,tokio"], &files[..]].concat());
    assert!(right, "{said}{table}");
    assert!(said.is_empty(), "{said}");
    let found: JsonValue = std::fs::read_to_string(&json)?.parse()?;
    let works = found["works"].get::<Vec<JsonValue>>().unwrap();
    assert_eq!(works.len(), 11);
    for work in works {
        let servers = work["servers"].get::<Vec<JsonValue>>().unwrap();
        assert_eq!(servers.len(), 2, "sockstep and one other: {}", work.stringify()?);
        for server in servers {
            check_server(text(&work["name"]), server);
        }
        assert!(table.contains(text(&work["title"])), "{table}");
    }
    check_chart(&svg, works);
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
        assert_eq!(server[*measure]["ratio"].is_null(), text(&server["name"]) == "sockstep", "{measure} of {what}");
    }
}

/// Well-formed, with a bar for each server, and each work named.
fn check_chart(svg: &Path, works: &[JsonValue]) {
    let source = std::fs::read_to_string(svg).unwrap();
    let chart = Document::parse(&source).unwrap();
    let bars = chart.descendants().filter(|node| matches!(node.attribute("class"), Some("bar" | "ours")));
    let of_latency = works.iter().filter(|work| text(&work["name"]).starts_with("latency")).count();
    assert_eq!(bars.count(), 2 * (works.len() + of_latency), "p50 and p99 have a bar each");
    assert!(works.iter().all(|work| source.contains(text(&work["title"]))), "{source}");
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
    let done = command.args(["hold", "--clients=20", "--seconds=0.2"]).output()?;
    let (table, said) = (String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?);
    assert!(done.status.success(), "{said}");
    for (server, protocol) in [("sockstep", "평문"), ("sockstep", "TLS"), ("bare", "평문"), ("bare", "TLS")] {
        let cells = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let row = cells.into_iter().find(|cells| cells.get(1..3) == Some(&[server, protocol]));
        let row = row.unwrap_or_else(|| panic!("no {server} {protocol} in: {table}"));
        assert!(row[6].parse::<f64>().is_ok_and(|kb| kb > 0.0), "PSS in: {table}");
    }
    Ok(())
}

fn what_does_not_exist_is_named() -> Result<(), Failed> {
    for (option, name) in [("--works", "netcat-speed"), ("--servers", "apache")] {
        let (right, table, said) = bench(&[option, name]);
        assert!(!right && table.is_empty());
        assert!(said.contains(name), "{said}");
    }
    Ok(())
}

fn text(value: &JsonValue) -> &str {
    value.get::<String>().unwrap()
}
