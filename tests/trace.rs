//! `--trace`: every call of every process as a line, on standard error or in a file.
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use pty::Terminal;
use support::*;

/// A server that is told to stop when a client has had its answer; and what was said on standard error.
fn echo_once(args: &[&str]) -> String {
    let mut server = Server::start(args);
    let mut peer = server.connect();
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
    peer.half_close();
    assert_eq!(peer.rest(), "");
    server.wait_for_log("client left");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.wait_for_log("stopped");
    server.log()
}

/// The lines of one role, without what stands before the call.
fn calls_of<'a>(log: &'a str, role: &str) -> Vec<&'a str> {
    let tag = format!("[{role} ");
    log.lines().filter(|line| line.starts_with(&tag)).map(|line| line.split_once("] ").unwrap().1).collect()
}

fn names<'a>(calls: &[&'a str]) -> Vec<&'a str> {
    calls.iter().map(|call| call.split('(').next().unwrap()).collect()
}

#[test]
fn parent_and_child_tell_the_life_of_a_connection_call_by_call() {
    let log = echo_once(&["--trace"]);
    let (parent, child) = (calls_of(&log, "server"), calls_of(&log, "c1"));
    let options = ["setsockopt"; 4];
    let start = [&["socket"], &options[..], &["bind", "listen", "getsockname"]].concat();
    let one = ["accept4", "socketpair", "fork", "close", "close", "accept4", "recv", "close", "close"];
    assert_eq!(names(&parent), [&start[..], &one].concat());
    assert_eq!(child[0], "fork() = 0   notes/09-fork.md");
    let ends = ["recv", "send", "recv", "shutdown", "close", "close"];
    assert!(names(&child).ends_with(&ends), "{child:?}");
    assert!(child.iter().any(|call| call.ends_with("\"안녕\\n\", 65536, 0) = 7   notes/08-send-recv.md")), "{child:?}");
    assert!(parent.contains(&"listen(3, 4096) = 0   notes/05-listen.md"));
    assert!(!log.contains('\x1b'));
}

#[test]
fn without_it_nothing_is_told() {
    let log = echo_once(&[]);
    assert!(log.lines().all(|line| !line.starts_with('[')), "{log}");
}

#[test]
fn a_failed_call_is_told_with_its_errno() {
    let done = run(&mut client(&["--trace", "--connect", "127.0.0.1:1"]), b"");
    let calls = calls_of(&done.err, "client");
    assert_eq!(names(&calls), ["socket", "connect", "close"]);
    assert!(calls[1].ends_with(" = -1 ECONNREFUSED (Connection refused)   notes/07-connect.md"), "{calls:?}");
}

/// The columns of a trace file, without its header.
fn records(text: &str) -> Vec<Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect()
}

#[test]
fn a_file_has_seven_columns_and_the_time_of_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let log = echo_once(&[&format!("--trace={}", file.display())]);
    assert!(calls_of(&log, "server").is_empty(), "not on standard error as well");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# sockstep-trace 1 realtime="), "{text}");
    let records = records(&text);
    let mut last = [0, 0];
    for record in &records {
        assert_eq!(record.len(), 7, "{record:?}");
        let (at, took) = (record[0].parse::<i64>().unwrap(), record[4].parse::<i64>());
        let of = usize::from(record[1] == "c1");
        assert!(last[of] <= at, "{record:?} before {last:?}");
        last[of] = at;
        assert_eq!(took.is_err(), record[3].starts_with("state "), "{record:?}");
    }
    let said = |role: &str, start: &str| records.iter().any(|r| r[1] == role && r[3].starts_with(start));
    assert!(said("server", "bind(3, ") && said("c1", "fork() = 0") && said("c1", "recv("));
    assert!(said("server", "state 3 tcp LISTEN 0 4096 127.0.0.1:"), "{text}");
    assert!(said("server", "state 3 tcp LISTEN 1 4096 127.0.0.1:"), "the queue before accept(): {text}");
}

#[test]
fn server_and_clients_may_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let option = format!("--trace={}", file.display());
    let server = Server::start(&[&option]);
    for _ in 0..3 {
        let done = run(&mut client(&[&option, "--connect", &server.addr.to_string()]), b"hi\n");
        assert_eq!(done.text(), "hi\n");
    }
    server.wait_for_log("c3 ");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("# sockstep-trace 1 ")).count(), 4);
    for role in ["server", "client", "c1", "c2", "c3"] {
        assert!(records(&text).iter().any(|record| record.len() == 7 && record[1] == role), "{role}");
    }
}

#[test]
fn the_records_that_a_call_carries_add_up_to_what_it_returned() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let option = format!("--trace={}", file.display());
    let server = tls_server(&[&option]);
    let args = ["--tls", "--ca", &cert("ca.pem"), "--connect", &server.addr.to_string(), &option];
    let done = run(&mut client(&args), &noise(300_000));
    assert_eq!(done.out, noise(300_000));
    server.wait_for_log("client left");
    let text = fs::read_to_string(&file).unwrap();
    let mut noted = 0;
    for record in records(&text).iter().filter(|record| !record[5].is_empty()) {
        let returned: usize = record[3].rsplit(" = ").next().unwrap().parse().unwrap();
        // `NAME 100`, or, of a record in pieces, `NAME 100 (first 47)`, `(next 40)`, `(last 13)`: the last number counts.
        let last_number = |part: &str| part.trim_end_matches(')').rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        let sum: usize = record[5].split(" + ").map(last_number).sum();
        assert_eq!(sum, returned, "{record:?}");
        noted += 1;
    }
    assert!(noted > 40, "only {noted} calls with records");
    for (role, start) in [("client", "Handshake ClientHello "), ("c1", "Handshake ServerHello ")] {
        assert!(records(&text).iter().any(|r| r[1] == role && r[3].starts_with("send(") && r[5].starts_with(start)));
    }
}

#[test]
fn an_alert_in_clear_is_named() {
    let server = tls_server(&["--trace"]);
    let no_version = ["s_client", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-connect", &server.addr.to_string()];
    let refused = run(Command::new("openssl").args(no_version), b"");
    assert_ne!(refused.code(), 0);
    server.wait_for_log("   Alert protocol_version 7   notes/08-send-recv.md");
}

#[test]
fn a_peer_that_sends_very_many_records_makes_no_long_line() {
    let mut server = tls_server(&["--trace"]);
    let mut peer = server.connect();
    peer.send([&[22, 3, 1, 0, 0][..], &[21, 3, 3, 0, 0].repeat(3000)].concat());
    let _ = peer.stream.read_to_end(&mut Vec::new());
    drop(peer);
    server.wait_for_children(0);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let log = server.whole_log();
    assert!(log.contains(" more records "), "{log}");
    assert!(log.lines().all(|line| line.len() < libc::PIPE_BUF), "{log}"); // or it would not be written in one piece
}

/// Such a file ends the trace with one word, and nothing else: not the server, and not its children.
fn assert_ends_alone(file: &str, errno: &str) {
    let mut server = Server::start(&[&format!("--trace={file}")]);
    let mut peers = Vec::new();
    for n in 0..3 {
        let mut peer = server.connect();
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
        peers.push(peer);
    }
    drop(peers);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.wait_for_log("stopped");
    let said: Vec<String> = server.log().lines().filter(|line| line.contains("trace")).map(String::from).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with(&format!("trace file {file}: {errno}: the trace ends here")), "{said:?}");
}

#[test]
fn a_full_disk_ends_the_trace_and_not_the_server() {
    assert_ends_alone("/dev/full", "ENOSPC (No space left on device)");
}

#[test]
fn a_reader_that_leaves_ends_the_trace_and_not_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = fifo.to_str().unwrap().to_string();
    let mut reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let leaves = std::thread::spawn(move || {
        let mut first = [0; 2];
        eventually("the first words", || reader.read(&mut first).is_ok_and(|n| n == 2));
        first
    });
    assert_ends_alone(&path, "EPIPE (Broken pipe)");
    assert_eq!(&leaves.join().unwrap(), b"# ");
}

#[test]
fn a_reader_that_is_slow_all_the_time_ends_the_trace_and_does_not_slow_the_server_down() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut server = Server::start(&[&format!("--trace={}", fifo.display())]);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let reads = std::thread::spawn(move || {
        let pace = std::time::Duration::from_millis(60);
        while is_done.recv_timeout(pace) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = reader.read(&mut [0; 4096]);
        }
    });
    let mut peer = server.connect();
    for n in 0..300 {
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    drop(done);
    reads.join().unwrap();
    assert!(server.whole_log().contains("EAGAIN (Resource temporarily unavailable): the trace ends here"));
}

/// `prlimit --fsize=BYTES sockstep ROLE --trace=FILE ARGS`
fn in_small_files(bytes: usize, role: &str, file: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={bytes}")).args([BIN, role]).arg(format!("--trace={}", file.display())).args(args);
    command
}

#[test]
fn a_file_at_the_limit_of_its_size_ends_the_trace_and_not_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let ended = format!("trace file {}: EFBIG (File too large): the trace ends here", file.display());
    let mut server = Server::from_command(in_small_files(300, "server", &file, &["--listen", "127.0.0.1:0"]));
    let to = server.addr.to_string();
    let done = run(&mut in_small_files(700, "client", &file, &["--connect", &to]), "안녕\n".as_bytes());
    assert_eq!((done.code(), done.text().as_str()), (0, "안녕\n"), "{}", done.err);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let log = server.whole_log();
    for said in [log, done.err] {
        assert_eq!(said.matches(&ended).count(), 1, "{said}");
    }
    // What the one could not finish is no part of what the other says.
    assert_eq!(fs::read_to_string(&file).unwrap().matches("\n# sockstep-trace 1 ").count(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_before_the_port_opens() {
    for command in ["server", "client"] {
        let failed = run(Command::new(BIN).args([command, "--trace=/nowhere/trace"]), b"");
        assert_eq!(failed.code(), 1);
        assert!(failed.err.starts_with("sockstep: trace file /nowhere/trace: ENOENT (No such file"), "{}", failed.err);
        assert!(failed.err.contains("\n힌트: "), "{}", failed.err);
    }
}

#[test]
fn a_daemon_is_traced_into_a_file_only() {
    let refused = run(Command::new(BIN).args(["server", "--daemon", "--trace"]), b"");
    assert_eq!(refused.code(), 2);
    assert!(refused.err.contains("--trace, --daemon"), "{}", refused.err);
}

#[test]
fn a_terminal_gets_colours_unless_somebody_minds() {
    let refused = [BIN, "client", "--trace", "--connect", "127.0.0.1:1"];
    for (environment, coloured) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
        let mut terminal = Terminal::run((24, 200), &[&["env", environment], &refused[..]].concat());
        terminal.end();
        terminal.shows_somewhere("= -1 ECONNREFUSED (Connection refused)   notes/07-connect.md");
        assert_eq!(terminal.is_coloured(), coloured, "{environment}");
    }
}

#[test]
fn calls_stand_above_the_line_that_is_being_typed() {
    let server = Server::start(&["--mode", "relay"]);
    let mut terminal = Terminal::client(&["--trace", "--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.shows_somewhere("* 어서 오십시오"); // or one recv() brings this and what comes next
    terminal.press("반쯤 쓴 글");
    terminal.shows_last(&["> 반쯤 쓴 글"]);
    let _other = server.join();
    terminal.shows_somewhere("recv(3, \"* 손님2 님");
    terminal.shows_last(&["* 손님2 님이 들어왔습니다.", "> 반쯤 쓴 글"]);
}
