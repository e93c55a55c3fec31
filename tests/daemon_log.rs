//! Where a daemon's log goes: a file, which may be renamed under it, or syslog, which may be started again.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use support::daemon::*;
use support::tls::TlsPeer;
use support::*;

const RELAY: [&str; 2] = ["--mode", "relay"];

/// `2026-11-24T15:46:26.903Z INFO  [server 5211] words`
fn is_a_log_line(line: &str) -> bool {
    let parse = || {
        let (time, rest) = line.split_once(' ')?;
        let (level, rest) = rest.split_once(" [")?;
        let (who, words) = rest.split_once("] ")?;
        let (role, pid) = who.split_once(' ')?;
        let level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level.trim_end());
        let role = role == "server" || role.strip_prefix('c').is_some_and(|id| id.parse::<u32>().is_ok());
        Some(
            time.len() == 24 && time.ends_with('Z') && level && role && pid.parse::<u32>().is_ok() && !words.is_empty(),
        )
    };
    parse().unwrap_or(false)
}

fn tls_relay(args: &[&str]) -> Daemon {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    Daemon::start(&[&["--mode", "relay", "--tls", "--cert", &pem, "--key", &key], args].concat())
}

fn join_tls(daemon: &Daemon) -> TlsPeer {
    let mut peer = TlsPeer::over(daemon.connect().stream);
    assert!(peer.line().starts_with("* 어서 오십시오"));
    peer
}

/// The pid that serves connection `id`, as the log has it.
fn pid_of(log: &str, id: u32) -> String {
    let line = log.lines().find(|line| line.contains(&format!("] c{id} ")) && line.contains("served by pid"));
    line.unwrap().rsplit(' ').next().unwrap().to_string()
}

#[test]
fn the_log_has_one_line_an_event_and_the_childrens_too() {
    let daemon = tls_relay(&[]);
    let mut failing = daemon.connect();
    failing.send([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]);
    let _ = failing.stream.read_to_end(&mut Vec::new());
    daemon.home.wait_for_log("s: TLS handshake failed\n");
    let mut foul = join_tls(&daemon);
    foul.send("/name \x1b[2J\x1b]0;x\x07\n");
    foul.line();
    foul.cut();
    daemon.home.wait_for_log("client left without close_notify");
    assert_eq!(daemon.home.control("stop").code(), 0);
    let log = daemon.home.log();
    let bad: Vec<&str> =
        log.lines().filter(|line| !is_a_log_line(line) || line.chars().any(char::is_control)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for (id, words) in [(1, "TLS handshake failed: "), (2, "TLS ended without close_notify")] {
        let who = format!("[c{id} {}] ", pid_of(&log, id));
        assert_eq!(log.lines().filter(|line| line.contains(&who) && line.contains(words)).count(), 1, "{who}: {log}");
    }
    for event in ["listening on ", "c1 127.0.0.1:", "SIGTERM: stopping, 0 clients", "stopped"] {
        assert!(log.contains(&format!("[server {}] {event}", daemon.pid)), "{event} in {log}");
    }
    assert_eq!(log.lines().count(), 9, "{log}");
}

#[test]
fn after_a_rename_and_sighup_everything_goes_to_the_new_file() {
    let daemon = tls_relay(&[]);
    let home = &daemon.home;
    let before = join_tls(&daemon);
    home.wait_for_log("c1 ");
    let child = pid_of(&home.log(), 1);
    fs::rename(home.path("log"), home.path("log.1")).unwrap();
    assert_eq!(home.control("reload").code(), 0);
    home.wait_for_log("SIGHUP: 1 clients stay");
    let old = home.read("log.1");
    before.cut(); // its child has something to say
    home.wait_for_log(&format!("[c1 {child}] "));
    join_tls(&daemon).end();
    home.wait_for_log("c2 ");
    assert_eq!(home.control("stop").code(), 0);
    assert_eq!(home.read("log.1"), old);
    assert!(home.log().contains("SIGHUP: log opened anew") && home.log().contains("stopped"), "{}", home.log());
    assert!(home.log().lines().all(is_a_log_line), "{}", home.log());
    // A child that is made afterwards holds neither.
    assert_eq!(fs::metadata(home.path("log")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_log_of_every_call_loses_no_line_of_anybodys() {
    let home = Home::new();
    let daemon = Daemon::from_command(&home, home.command(&RELAY).env("RUST_LOG", "trace"));
    let (mut a, mut b, mut c) = (daemon.join(), daemon.join(), daemon.join());
    a.line_with("손님3");
    b.line_with("손님3");
    let text = |from: usize| (0..3000).map(|n| format!("{from} {n}\n")).collect::<String>();
    let writers = [(a.stream.try_clone().unwrap(), text(1)), (b.stream.try_clone().unwrap(), text(2))];
    let threads = writers.map(|(mut to, text)| thread::spawn(move || to.write_all(text.as_bytes()).unwrap()));
    let mut next = [0, 0];
    while next != [3000, 3000] {
        let line = c.line();
        let said = line.rsplit("] ").next().unwrap().split_once(' ').unwrap();
        let (from, n): (usize, usize) = (said.0.parse().unwrap(), said.1.parse().unwrap());
        assert_eq!(n, next[from - 1], "{line}");
        next[from - 1] += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for (peer, other) in [(&mut a, 2), (&mut b, 1)] {
        for n in 0..3000 {
            assert!(peer.line().ends_with(&format!("] {other} {n}")));
        }
    }
    let log = home.log();
    let of_child = |id: u32| log.lines().filter(|line| line.contains(&format!("TRACE [c{id} "))).count();
    assert!((1..=3).all(|id| of_child(id) > 0), "no calls of children in the log");
    assert_eq!(home.control("stop").code(), 0);
}

#[test]
fn a_log_of_every_call_of_an_echo_loses_no_byte() {
    let (home, data) = (Home::new(), noise(1 << 20));
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = ["--tls", "--cert", &pem, "--key", &key];
    let daemon = Daemon::from_command(&home, home.command(&tls).env("RUST_LOG", "trace"));
    let mut peer = TlsPeer::over(daemon.connect().stream);
    for part in data.chunks(16 * 1024) {
        peer.send(part);
        let mut back = vec![0; part.len()];
        peer.stream.read_exact(&mut back).unwrap();
        assert!(back == part);
    }
    peer.end();
    daemon.wait_for_children(0);
}

#[test]
fn a_log_on_a_full_disk_stops_nobody() {
    let daemon = Daemon::start(&[&["--log-file", "/dev/full"][..], &RELAY].concat());
    let (mut a, mut b) = (daemon.join(), daemon.join());
    a.line_with("손님2");
    daemon.signal(Signal::SIGUSR1);
    daemon.signal(Signal::SIGHUP);
    b.send("가득\n");
    assert_eq!(a.line(), "[손님2] 가득");
    assert_eq!(daemon.home.control("stop").code(), 0);
    assert!(a.rest().contains("안녕히"));
}

#[test]
fn lines_that_could_not_be_written_are_counted_when_they_can_be_again() {
    let home = Home::new();
    let fifo = home.path("log");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let first = reader();
    let daemon = Daemon::start_in(&home, &RELAY);
    drop(first); // nobody reads: EPIPE
    daemon.join();
    daemon.wait_for_children(0);
    let mut second = reader();
    daemon.join();
    let mut text = String::new();
    eventually("a count", || {
        let _ = second.read_to_string(&mut text);
        text.contains(" log lines dropped: they could not be written)\n") && text.contains("connected")
    });
}

// syslog ------------------------------------------------------------------------------------------

/// There is one /dev/log, for all tests.
static SYSLOG: Mutex<()> = Mutex::new(());

/// A syslog daemon's socket, removed when dropped.
struct Syslog(Option<UnixDatagram>);

impl Syslog {
    fn listen() -> Syslog {
        let socket = UnixDatagram::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Syslog(Some(socket))
    }

    /// What stays in the file system when syslog has been killed.
    fn left_behind() -> Syslog {
        drop(UnixDatagram::bind("/dev/log").unwrap());
        Syslog(None)
    }

    fn line(&self) -> String {
        let mut buf = [0; 8192];
        let n = self.0.as_ref().unwrap().recv(&mut buf).unwrap();
        String::from_utf8(buf[..n].to_vec()).unwrap()
    }

    fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let _ = fs::remove_file("/dev/log");
    }
}

/// The lock, where there is no syslog and one may be put in its place; otherwise why not is printed.
fn without_syslog(needs_root: bool) -> Option<std::sync::MutexGuard<'static, ()>> {
    let guard = SYSLOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if Path::new("/dev/log").symlink_metadata().is_ok() {
        eprintln!("skipped: there is a /dev/log");
        return None;
    }
    if needs_root && !geteuid().is_root() {
        eprintln!("skipped: needs root, to make /dev/log");
        return None;
    }
    Some(guard)
}

/// A daemon that logs to syslog.
fn syslog_command(home: &Home, args: &[&str]) -> Command {
    let mut all = home.args(args);
    let at = all.iter().position(|arg| arg == "--log-file").unwrap();
    all.drain(at..at + 2);
    let mut command = Command::new(BIN);
    command.args(all);
    command
}

#[test]
fn without_syslog_a_log_file_must_be_given() {
    let Some(_alone) = without_syslog(false) else { return };
    let (home, addr) = (Home::new(), own_address(7000).to_string());
    let why = "connect(/dev/log): ENOENT";
    assert_refused(&home, syslog_command(&home, &["--listen", &addr]), &addr, why, "syslog가 실행 중이지 않습니다");
}

#[test]
fn a_socket_that_syslog_has_left_behind_is_no_syslog() {
    let Some(_alone) = without_syslog(true) else { return };
    let _dead = Syslog::left_behind();
    let (home, addr) = (Home::new(), own_address(7000).to_string());
    let why = "connect(/dev/log): ECONNREFUSED";
    assert_refused(&home, syslog_command(&home, &["--listen", &addr]), &addr, why, "syslog가 실행 중이지 않습니다");
}

#[test]
fn without_a_log_file_the_log_goes_to_syslog_and_follows_it_when_it_is_started_again() {
    let Some(_alone) = without_syslog(true) else { return };
    let syslog = Syslog::listen();
    let home = Home::new();
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = ["--mode", "relay", "--tls", "--cert", &pem, "--key", &key];
    let daemon = Daemon::from_command(&home, &mut syslog_command(&home, &tls));
    let from = format!("<30>sockstep[{}]: ", daemon.pid);
    assert_eq!(syslog.line(), format!("{from}listening on {}", daemon.addr));
    let peer = join_tls(&daemon);
    let connected = syslog.line();
    assert!(connected.starts_with(&format!("{from}c1 127.0.0.1:")), "{connected}");
    let child = connected.rsplit(' ').next().unwrap();
    peer.cut();
    let line = syslog.line();
    let childs =
        format!("{from}[c1 {child}] {}: TLS ended without close_notify", peer.stream.get_ref().local_addr().unwrap());
    assert!(line.starts_with(&childs), "{line}");
    assert!(syslog.line_with("closed after").starts_with(&from));
    drop(syslog);
    let _lost = join_tls(&daemon); // a line that nobody hears
    let syslog = Syslog::listen();
    let _heard = join_tls(&daemon);
    let dropped = syslog.line();
    assert!(dropped.starts_with("<28>sockstep: (") && dropped.ends_with("could not be written)"), "{dropped}");
    assert!(syslog.line().starts_with(&format!("{from}c3 ")));
    assert_eq!(home.control("reload").code(), 0);
    assert_eq!(syslog.line(), format!("{from}SIGHUP: log opened anew"));
    // A receiver that does not read holds nobody up either.
    for _ in 0..40 {
        join_tls(&daemon).end();
    }
    assert_eq!(home.control("stop").code(), 0);
}

#[test]
fn a_child_of_a_daemon_that_logs_to_syslog_tells_its_calls_as_its_own() {
    let Some(_alone) = without_syslog(true) else { return };
    let _syslog = Syslog::listen();
    let home = Home::new();
    let mut command = syslog_command(&home, &[&format!("--trace={}", home.text("trace"))]);
    let daemon = Daemon::from_command(&home, command.env("RUST_LOG", "sockstep::calls=trace"));
    let mut peer = daemon.connect();
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
    drop(peer);
    daemon.wait_for_children(0);
    assert_eq!(home.control("stop").code(), 0);
    let trace = home.read("trace");
    let records: Vec<Vec<&str>> = trace.lines().map(|line| line.split('\t').collect()).collect();
    let of_child = records.iter().find(|record| record.get(1) == Some(&"c1")).unwrap();
    assert_eq!(of_child[3], "fork() = 0");
    assert!(records.iter().all(|record| record.get(2) != Some(&of_child[2]) || record[1] == "c1"), "{trace}");
}
