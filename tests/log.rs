//! The log never holds anybody up, and says so when lines are missing.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;

#[test]
fn a_log_on_a_socket_that_nobody_reads_stops_nobody() {
    let (_unread, ours) = UnixStream::pair().unwrap();
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(OwnedFd::from(ours));
    let mut child = command.spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let addr = ready.split("에서").next().unwrap().to_string();
    // Two lines each: far more than the buffer of the socket holds.
    for n in 0..1500 {
        let mut peer = Peer::new(std::net::TcpStream::connect(&addr).unwrap());
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A server whose children hand their lines over to it: every call is one.
fn chatty(log: &std::path::Path) -> Server {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--log-file", log.to_str().unwrap()]);
    command.env("RUST_LOG", "info,sockstep::calls=trace");
    Server::from_command(command)
}

#[test]
fn lines_of_a_child_that_find_no_room_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let server = chatty(&log);
    let mut peer = server.connect();
    peer.send("0\n");
    peer.line();
    server.signal(Signal::SIGSTOP);
    for n in 0..1000 {
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    server.signal(Signal::SIGCONT);
    eventually("the number of lines that are missing", || {
        peer.send("x\n");
        peer.line();
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains("TRACE [c1 ") && line.contains("log lines dropped"))
    });
}

#[test]
fn a_child_with_a_log_file_says_nothing_on_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let server = chatty(&log);
    let peer = server.connect();
    peer.half_close();
    eventually("the end of the child", || std::fs::read_to_string(&log).unwrap().contains("client left"));
    assert!(!server.log().contains("[c1 "), "{}", server.log());
}

#[test]
fn a_log_file_that_may_not_grow_any_more_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = Command::new("prlimit");
    command.args(["--fsize=1000", BIN, "server", "--listen", "127.0.0.1:0", "--log-file", log.to_str().unwrap()]);
    let mut server = Server::from_command(command);
    for n in 0..20 {
        let mut peer = server.connect();
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 1000);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}
