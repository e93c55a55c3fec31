//! The map of the house stays true: the order of the modules, the headers of the calls, the one screen.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All source files below `dir`, with their paths relative to `src/`.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_string();
            found.push((name, read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty());
    found
}

/// The modules in the order of `lib.rs`.
fn order() -> Vec<String> {
    let lib = read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    declared.map(String::from).collect()
}

#[test]
fn every_module_is_introduced_in_lib_rs() {
    let lib = read_to_string(root().join("src/lib.rs")).unwrap();
    let lines: Vec<&str> = lib.lines().collect();
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub mod ")) {
        assert!(lines[n - 1].starts_with("// "), "no comment over {line}");
    }
}

#[test]
fn a_module_uses_only_what_is_declared_above_it() {
    let order = order();
    let place = |module: &str| order.iter().position(|known| known == module);
    let mut seen = 0;
    for (file, text) in sources(&root().join("src")) {
        let module = file.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(here) = place(module) else { continue }; // lib.rs and main.rs
        for used in text.split("crate::").skip(1) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let there =
                place(used).unwrap_or_else(|| panic!("{file} uses crate::{used}, which lib.rs does not declare"));
            assert!(there <= here, "{file} uses crate::{used}, which is declared below {module}");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} uses found: is the pattern still right?");
}

#[test]
fn each_call_has_a_header_of_the_same_shape() {
    let lifecycle = root().join("src/lifecycle");
    let calls: Vec<_> = sources(&lifecycle).into_iter().filter(|(file, _)| !file.ends_with("mod.rs")).collect();
    for call in ["socket", "bind", "listen", "accept", "connect", "recv", "send", "shutdown", "close", "option", "fork"]
        .into_iter()
        .chain(["recvfrom", "sendto", "recvmsg", "sendmsg"])
    {
        let (file, text) = calls.iter().find(|(file, _)| *file == format!("lifecycle/{call}.rs")).unwrap();
        let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let (first, name) = (header[0], if call == "option" { "setsockopt" } else { call });
        let names_the_call = [format!(" `{name}("), format!(" `{name}4(")].iter().any(|start| first.starts_with(start));
        assert!(names_the_call && first.contains(" -> "), "{file}: {first}");
        let keys = ["Place", "Notes", "Manual", "Standard", "Try", "Fails", "Owns"];
        let found: Vec<&str> =
            header.iter().filter_map(|line| line.strip_prefix(" - ")?.split_once(": ")).map(|(key, _)| key).collect();
        assert!(found.ends_with(&keys), "{file}: {found:?}");
        let place = header.iter().find(|line| line.starts_with(" - Place:")).unwrap();
        assert!(place.contains(&format!("[{name}]")), "{file}: {place}");
        let notes = header.iter().find(|line| line.starts_with(" - Notes:")).unwrap();
        assert!(notes.contains("notes/") && notes.ends_with(".md"), "{file}: {notes}");
    }
    assert_eq!(calls.len(), 15, "a call without a place in this test");
}

#[test]
fn every_socket_call_goes_through_the_one_gate() {
    let calls =
        ["socket", "socketpair", "setsockopt", "getsockopt", "bind", "getsockname", "listen", "accept4", "accept"]
            .into_iter()
            .chain(["connect", "recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg", "shutdown", "close"])
            .chain(["getpeername"]);
    let raw: Vec<String> = calls
        .flat_map(|call| ["libc::", "socket::", "unistd::"].map(|from| format!("{from}{call}")))
        .flat_map(|call| ["(", "::<"].map(|then| format!("{call}{then}")))
        .collect();
    // What a person is shown of a socket is asked here, past the gate: the trace shows what the program does with
    // its sockets, and these calls change nothing that it does.
    let (looks, looking) = ("lesson/state/look.rs", ["getsockname", "getpeername", "getsockopt", "ioctl"]);
    let mut made = 0;
    for (file, mut text) in sources(&root().join("src")) {
        if file == looks {
            for call in looking {
                assert!(text.contains(&format!("libc::{call}(")), "{file} has no need of {call}");
                text = text.replace(&format!("libc::{call}("), "");
            }
        }
        for std_net in ["TcpStream", "TcpListener", "UdpSocket", "UnixStream"] {
            let code = text.split("#[cfg(test)]").next().unwrap();
            assert!(!code.contains(std_net), "{file} uses {std_net}");
        }
        let used = raw.iter().map(|call| text.matches(call.as_str()).count()).sum::<usize>();
        assert!(used == 0 || file.starts_with("lifecycle/"), "{file} makes a socket call by itself");
        assert!(used == 0 || text.contains("gate(Call::"), "{file} goes around the gate");
        made += used;
    }
    assert!(made >= 16, "only {made} calls found: is the pattern still right?");
}

#[test]
fn socket_bind_listen_accept_fork_stand_on_one_screen() {
    let server = read_to_string(root().join("src/server/mod.rs")).unwrap();
    let code: Vec<&str> = server.lines().collect();
    let line_of = |call: &str| {
        let found =
            |line: &&str| !line.trim_start().starts_with("//") && line.contains(call) && !line.starts_with("use ");
        code.iter().position(found).unwrap_or_else(|| panic!("no {call} in server/mod.rs"))
    };
    let lines: Vec<usize> = [" socket(", " bind(", " listen(", " accept(", " fork("].map(line_of).into();
    assert!(lines.is_sorted(), "{lines:?}");
    assert!(lines[4] - lines[0] < 40, "{lines:?}");
}

#[test]
fn the_top_level_is_the_first_slide() {
    let listed = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    if !listed.status.success() {
        return eprintln!("skipped: not a git checkout");
    }
    let text = String::from_utf8(listed.stdout).unwrap();
    let mut visible: Vec<&str> = text.lines().map(|path| path.split('/').next().unwrap()).collect();
    visible.retain(|name| !name.starts_with('.'));
    visible.dedup();
    let allowed = ["Cargo.lock", "Cargo.toml", "LICENSE", "Makefile", "README.md", "certs", "notes", "src", "tests"];
    assert!(visible.iter().all(|name| allowed.contains(name)), "{visible:?}");
}

#[test]
fn run_time_dependencies_are_exactly_these() {
    let manifest = read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["clap", "env_logger", "libc", "log", "nix", "openssl"]);
}

#[test]
fn the_header_of_a_call_names_the_chapter_that_its_lesson_names() {
    for words in sockstep::lesson::words::WORDS {
        let file = match words.call {
            "accept4" => "accept",
            "socketpair" => continue, // made in socket.rs, explained where the relay is
            "setsockopt" | "getsockopt" | "fcntl" => "option",
            "getsockname" => "bind",
            "close_range" => "close",
            call => call,
        };
        let text = read_to_string(root().join(format!("src/lifecycle/{file}.rs"))).unwrap();
        let notes = text.lines().find(|line| line.starts_with("//! - Notes:")).unwrap();
        assert!(notes.contains(words.chapter), "{}: {notes}", words.call);
    }
}
