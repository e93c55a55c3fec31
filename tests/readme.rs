//! What README says is so.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use sockstep::cli::Cli;
use support::*;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_option_stands_in_a_table_with_its_default() {
    let readme = read("README.md");
    let mut cli = Cli::command();
    cli.build();
    for role in cli.get_subcommands() {
        for option in role.get_arguments().filter(|option| option.get_id() != "help") {
            let name = match option.get_long() {
                Some(long) => format!("--{long}"),
                None => format!("{} {}", role.get_name(), option.get_value_names().unwrap()[0]), // what stands behind the command without an option
            };
            let row = readme.lines().find(|line| line.starts_with('|') && line.contains(&name));
            let row = row.unwrap_or_else(|| panic!("{name} is in no table"));
            for default in option.get_default_values().iter().filter(|_| option.get_action().takes_values()) {
                let cell = format!("| {} |", default.to_str().unwrap());
                assert!(row.ends_with(&cell), "{cell} in: {row}");
            }
        }
    }
}

#[test]
fn every_make_target_that_it_names_exists() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    let mut named = 0;
    for rest in readme.split("make ").skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())) {
        let target = rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap();
        let is_its_rule =
            |line: &str| line.split_once(':').is_some_and(|(names, _)| names.split(' ').any(|name| name == target));
        assert!(makefile.lines().filter(|line| !line.starts_with(['.', '\t', '#'])).any(is_its_rule), "make {target}");
        named += 1;
    }
    assert!(named > 10, "only {named} found: is the pattern still right?");
}

#[test]
fn its_map_lists_what_is_in_src() {
    let readme = read("README.md");
    let map = readme.split("```text\nsrc/\n").nth(1).unwrap().split("```").next().unwrap();
    let listed: Vec<&str> =
        map.split_whitespace().filter(|word| word.ends_with(".rs") || word.ends_with('/')).collect();
    for entry in ["", "lifecycle"] {
        for path in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(entry)).unwrap() {
            let path = path.unwrap();
            let name = path.file_name().into_string().unwrap();
            // tls/ and the like are parts of the module that is listed as a file.
            let part = path.path().with_extension("rs").exists() && path.path().is_dir();
            let name = if path.path().is_dir() { name + "/" } else { name };
            assert!(part || name == "mod.rs" || listed.contains(&name.as_str()), "{name} is not on the map");
        }
    }
    for name in listed {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(src.join(name).exists() || src.join("lifecycle").join(name).exists(), "{name} is on the map only");
    }
}

#[test]
fn its_examples_end_as_shown() {
    let readme = read("README.md");
    let refused = run(Command::new(BIN).args(["client", "--connect", "127.0.0.1:1"]), b"");
    assert!(
        readme.contains(&format!("$ target/debug/sockstep client --connect 127.0.0.1:1\n{}```", refused.err)),
        "{}",
        refused.err
    );
    let server = Server::start(&[]);
    let echoed = run(&mut client(&["--connect", &server.addr.to_string()]), b"a\nb\n");
    assert!(readme.contains(&format!("$ printf 'a\\nb\\n' | target/debug/sockstep client\n{}```", echoed.text())));
    let udp = Server::start(&["--udp"]);
    let echoed = run(&mut client(&["--udp", "--connect", &udp.addr.to_string()]), b"a\n\nb\n");
    assert!(
        readme.contains(&format!("$ printf 'a\\n\\nb\\n' | target/debug/sockstep client --udp\n{}```", echoed.text()))
    );
    let relay = Server::start(&["--mode", "relay"]);
    let _first = relay.join();
    let greeting = relay.connect().line();
    assert!(readme.contains(&format!("```text\n{greeting}\n")), "{greeting}");
}

// The demo at the top ------------------------------------------------------------------------------

/// Columns of the time, and of a lane, in the 100 columns of the page.
const TIME: usize = 12;
const LANE: usize = 17;
const LANES: usize = 5;

/// Where `…` stands alone, whole steps are left out; the others are as the demo shows them, lane by lane: what
/// happens in two processes at the same time has no order.
#[test]
fn it_opens_with_what_the_demo_shows() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once("```console\n$ make demo STAGE=1\n```\n\n```text\n").unwrap();
    assert!(!before.contains("\n## "), "the demo stands before the first chapter");
    let shown = rest.split("```").next().unwrap().trim_end();
    assert!(shown.lines().all(|line| columns_of(line) <= 100));
    let done = run(Command::new(BIN).args(["demo", "--stage", "1"]).env("COLUMNS", "100"), b"");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let text = done.text();
    let played: Vec<&str> = text.trim_end().split("\n\n").collect();
    let (mut next, mut left_out) = (0, false);
    for part in shown.split("\n\n") {
        if part == "…" {
            left_out = true;
            continue;
        }
        let is_it = |step: &&str| step.lines().next() == part.lines().next();
        let skipped = played[next..].iter().position(is_it).unwrap_or_else(|| panic!("not in the demo: {part}"));
        assert_eq!(skipped > 0, left_out, "left out before: {part}");
        let step = played[next + skipped];
        assert_eq!(Told::of(part), Told::of(step), "{part}\n\n{step}");
        (next, left_out) = (next + skipped + 1, false);
    }
    assert_eq!(next, played.len(), "its end is shown");
}

/// A step as far as it is the same each time.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// The words over it, and the names of the lanes.
    words: Vec<String>,
    /// What happens in each lane, and where the arrow leads.
    lanes: [Vec<(String, Option<usize>)>; LANES],
}

impl Told {
    fn of(step: &str) -> Told {
        let mut told = Told::default();
        for line in step.lines() {
            match line.get(..TIME).filter(|time| time.trim().parse::<f64>().is_ok()) {
                None => told.words.push(same_each_time(line)),
                Some(_) => {
                    let (lane, text, to) = event(&line[TIME..]);
                    told.lanes[lane].push((same_each_time(&text), to));
                }
            }
        }
        told
    }
}

/// The lane, the text, and the lane to which an arrow leads.
fn event(line: &str) -> (usize, String, Option<usize>) {
    let bare = line.trim_start_matches([' ', '|']);
    let start = columns_of(line) - columns_of(bare);
    let body = bare.trim_end_matches([' ', '|']);
    if body.starts_with('<') {
        let text = body.trim_start_matches(['<', '-']).trim_start();
        let at = start + columns_of(body) - columns_of(text);
        return (at / LANE, text.into(), Some(start / LANE));
    }
    let Some(shaft) = body.strip_suffix('>').filter(|_| !body.contains("> ")) else {
        return (start / LANE, body.into(), None);
    };
    let text = shaft.trim_end_matches(['-', '=']).trim_end();
    (start / LANE, text.into(), Some((start + columns_of(body)) / LANE))
}

/// Without pids and ports, which are others each time.
fn same_each_time(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) =
        ["127.0.0.1:", "fork() = ", " ("].iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()
    {
        let (before, after) = rest.split_at(at);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = &after[..digits];
        out.push_str(before);
        out.push_str(if digits > 1 { "N" } else { number });
        rest = after[digits..].trim_start_matches('…');
    }
    // The names of the lanes stand as far apart as the numbers are short.
    (out + rest).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn columns_of(text: &str) -> usize {
    text.chars().map(sockstep::text::width).sum()
}

#[test]
fn it_lists_every_chapter_of_the_notes() {
    let readme = read("README.md");
    for chapter in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("notes")).unwrap() {
        let file = chapter.unwrap().file_name().into_string().unwrap();
        if let Some(number) = file.strip_suffix(".md").map(|name| &name[..2]) {
            assert!(readme.contains(&format!("[{number}](notes/{file})")), "{file}");
        }
    }
}
