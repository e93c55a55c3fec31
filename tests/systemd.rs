//! The unit file in the notes: systemd understands it, finds little to reproach it with, and what it promises holds.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::daemon::*;
use support::tls::TlsPeer;
use support::*;

/// Of 10. A service that asks for no protection has 9.6; of what is left here, most is that it speaks to a network.
const MOST_EXPOSURE: f64 = 1.5;

fn unit() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("notes/sockstep.service")).unwrap()
}

/// All values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// `systemd-analyze ARGS`; a word about it, and `None`, where there is none.
fn analyze(args: &[&str]) -> Option<Finished> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze here");
        return None;
    }
    Some(run(Command::new("systemd-analyze").args(args), b""))
}

/// The unit in a file of its own, with the program where it is.
fn written(home: &Home) -> String {
    let path = home.text("sockstep.service");
    fs::write(&path, unit().replace("/usr/local/bin/sockstep", BIN)).unwrap();
    path
}

/// ExecStart, in a folder of ours and on a port that is free.
fn start_command(home: &Home, listen: &str) -> Vec<String> {
    let unit = unit();
    let [command] = values(&unit, "ExecStart")[..] else { panic!("one ExecStart") };
    let words = command.split(' ').map(|word| match word {
        "/usr/local/bin/sockstep" => BIN.into(),
        "0.0.0.0:7000" => listen.into(),
        "/run/sockstep/pid" => home.text("pid"),
        word => word.replace("/etc/sockstep", certs().to_str().unwrap()),
    });
    let words: Vec<String> = words.collect();
    assert!(!words.iter().any(|word| word.starts_with("/run") || word.starts_with("/etc")), "{words:?}");
    words
}

#[test]
fn systemd_understands_the_unit() {
    let home = Home::new();
    let Some(verified) = analyze(&["verify", &written(&home)]) else { return };
    assert_eq!((verified.code(), verified.err.as_str()), (0, ""));
}

#[test]
fn systemd_finds_little_to_reproach_it_with() {
    let home = Home::new();
    let Some(judged) = analyze(&["security", "--offline=true", "--no-pager", &written(&home)]) else { return };
    if judged.code() != 0 {
        return eprintln!("skipped: {}", judged.err); // before systemd 250
    }
    let text = judged.text();
    let level = text.lines().find_map(|line| line.split_once("exposure level for sockstep.service: "));
    let level: f64 = level.unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= MOST_EXPOSURE, "{text}");
}

/// Type=forking, PIDFile=, ExecReload= and KillMode=mixed, each taken at its word.
#[test]
fn the_unit_starts_reloads_and_stops_as_systemd_expects() {
    let (home, unit) = (Home::new(), unit());
    assert_eq!(values(&unit, "Type"), ["forking"]);
    assert_eq!(values(&unit, "PIDFile"), ["/run/sockstep/pid"]);
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let listen = own_address(7000).to_string();
    let words = [start_command(&home, &listen), vec!["--log-file".into(), home.text("log")], root()].concat();
    let started = run(Command::new(&words[0]).args(&words[1..]), b"");
    assert_eq!((started.code(), started.err.as_str()), (0, ""));
    let pid: i32 = home.read("pid").trim().parse().unwrap(); // it is there as soon as the command has ended
    let mut peer = TlsPeer::over(std::net::TcpStream::connect(&listen).unwrap());
    peer.line_with("어서 오십시오");
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    home.wait_for_log("SIGHUP: certificate and key read anew");
    peer.send("/who\n");
    peer.line_with("지금 1명");
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    peer.line_with("안녕히");
    eventually("the daemon's end", || !is_running(pid));
    assert!(!home.pid_file().exists());
}

/// The tests may run as root, and the service does not.
fn root() -> Vec<String> {
    let is_root = nix::unistd::geteuid().is_root();
    if is_root { vec!["--user".into(), "root".into()] } else { Vec::new() }
}

/// SystemCallFilter=: a call that is not in it would fail.
#[test]
fn the_unit_allows_every_call_that_the_server_makes() {
    let Some(known) = analyze(&["syscall-filter"]) else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: there is no strace here");
    }
    let (sets, unit) = (sets(&known.text()), unit());
    let mut allowed = BTreeSet::new();
    for value in values(&unit, "SystemCallFilter") {
        let (names, denied) = value.strip_prefix('~').map_or((value, false), |names| (names, true));
        for name in names.split(' ').flat_map(|name| calls_of(&sets, name)) {
            if denied {
                allowed.remove(&name)
            } else {
                allowed.insert(name)
            };
        }
    }
    assert!(allowed.contains("accept4") && !allowed.contains("setuid"), "{allowed:?}");
    if nix::unistd::geteuid().is_root() {
        allowed.insert("fchown".into()); // only root gives the log to somebody: the service is nobody's root
    }
    let forbidden: Vec<String> = calls_made().into_iter().filter(|call| !allowed.contains(call)).collect();
    assert_eq!(forbidden, [""; 0]);
}

/// `@set` in the first column; what it holds, other sets among it, indented below.
fn sets(text: &str) -> BTreeMap<String, Vec<String>> {
    let (mut sets, mut current) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with('@') {
            current = line.trim().into();
        } else if !line.trim().is_empty() {
            sets.entry(current.clone()).or_default().push(line.trim().into());
        }
    }
    sets
}

fn calls_of(sets: &BTreeMap<String, Vec<String>>, name: &str) -> Vec<String> {
    match sets.get(name) {
        Some(names) => names.iter().flat_map(|name| calls_of(sets, name)).collect(),
        None => vec![name.into()],
    }
}

/// The names of all system calls, from the start over a conversation and a reload to the end.
fn calls_made() -> BTreeSet<String> {
    let home = Home::new();
    let listen = own_address(7000).to_string();
    let words = [start_command(&home, &listen), vec!["--log-file".into(), home.text("log")], root()].concat();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", &home.text("strace")]).args(&words).stdin(Stdio::null()).stdout(Stdio::null());
    let mut strace = strace.spawn().unwrap();
    home.wait_for_log("listening on");
    let pid = home.pid();
    {
        let mut peers = [0, 1].map(|_| TlsPeer::over(std::net::TcpStream::connect(&listen).unwrap()));
        peers[0].line_with("어서 오십시오");
        peers[1].line_with("어서 오십시오");
        peers[1].send("안녕\n");
        peers[0].line_with("안녕");
        kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
        home.wait_for_log("read anew");
        kill(Pid::from_raw(pid), Signal::SIGUSR1).unwrap();
        home.wait_for_log("SIGUSR1");
        peers[0].send("/quit\n");
        peers[0].line_with("안녕히");
    }
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    eventually("the end of strace", || strace.try_wait().unwrap().is_some());
    let text = home.read("strace");
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        let call = call.strip_prefix("<... ").unwrap_or(call).split(['(', ' ']).next()?;
        let is_name =
            !call.is_empty() && call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        is_name.then(|| call.to_string())
    };
    let calls: BTreeSet<String> = text.lines().filter_map(name).collect();
    assert!(calls.contains("accept4") && calls.contains("execve") && calls.len() > 30, "{calls:?}");
    calls
}
