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
                None => role.get_name().to_string() + " 파일", // what stands behind the command without an option
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
