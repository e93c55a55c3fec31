//! SIGTERM: everything ends in order, whatever is going on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use openssl::ssl::{SslConnector, SslMethod};

use super::support::daemon::own_address;
use super::support::*;
use super::{Chance, Over, RELAY, kill_child};

#[test]
fn sigterm_and_sigint_end_in_order_and_free_the_port() {
    for (mode, ending) in [("echo", Signal::SIGTERM), ("relay", Signal::SIGINT)] {
        let mut server = Server::start_on(&own_address(0).to_string(), &["--mode", mode]); // its port is nobody else's
        let (mut first, mut second);
        if mode == "relay" {
            (first, second) = (server.join(), server.join());
            first.line_with("손님2");
            second.send("끝나기 직전\n");
            assert_eq!(first.line(), "[손님2] 끝나기 직전");
        } else {
            (first, second) = (server.connect(), server.connect());
            second.send("echo\n");
            assert_eq!(second.line(), "echo");
        }
        let children = server.wait_for_children(2);
        server.signal(ending);
        let goodbye = if mode == "relay" { "* 서버를 종료합니다. 안녕히 가십시오.\n" } else { "" };
        assert_eq!((first.rest().as_str(), second.rest().as_str()), (goodbye, goodbye));
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
        assert!(children.iter().all(|child| !is_running(*child)));
        let log = server.whole_log();
        assert!(log.contains("stopped") && !log.contains("killed"), "{log}");
        // The port is free at once, though connections of it are in TIME-WAIT.
        Server::start_on(&server.addr.to_string(), &[]);
    }
}

#[test]
fn lines_said_before_sigterm_still_reach_everybody() {
    let mut server = Server::start(&RELAY);
    let (mut speaker, mut listener) = (server.join(), server.join());
    speaker.send((0..2000).map(|n| format!("{n}\n")).collect::<String>());
    listener.line_with("] 0");
    server.signal(Signal::SIGTERM);
    let rest = listener.rest();
    assert!(rest.ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"), "{rest:.200}");
    for (n, line) in rest.lines().filter(|line| line.starts_with('[')).enumerate() {
        assert!(line.ends_with(&format!("] {}", n + 1)), "no gap before the goodbye: {line}");
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sigterm_ends_even_with_a_stalled_client_and_a_stopped_child() {
    let mut server = Server::start(&[]);
    let mut stalled = server.connect();
    stalled.send_until_full(&noise(32_000_000));
    let stopped = server.connect();
    let children = server.wait_for_children(2);
    kill_child(children[1], Signal::SIGSTOP);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(children.iter().all(|child| !is_running(*child)));
    drop(stopped);
}

#[test]
fn a_second_sigterm_shortens_the_goodbye() {
    let mut server = Server::start(&[]);
    let _peer = server.connect();
    kill_child(server.wait_for_children(1)[0], Signal::SIGSTOP);
    server.signal(Signal::SIGTERM);
    server.wait_for_log("stopping, 1 clients");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.whole_log();
    assert!(log.contains("SIGTERM again: children are killed"), "{log}");
}

/// What somebody does over and over, until it is over; whether it still works does not matter to him.
type Deed = fn(&Turmoil);

/// All faults at once, to one server.
struct Turmoil {
    addr: String,
    pid: i32,
    tls: bool,
    over: AtomicBool,
    done: [AtomicUsize; DEEDS.len()],
}

const DEEDS: [Deed; 8] = [flood, flood, never_read, byte_by_byte, half_open, reset, come_and_go, send_signals];

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Turmoil {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// With a time limit for each call: nobody here waits for long.
    fn tcp(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(&self.addr).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        Some(stream)
    }

    fn stream(&self) -> Option<Box<dyn Stream>> {
        let stream = self.tcp()?;
        if !self.tls {
            return Some(Box::new(stream));
        }
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        Some(Box::new(connector.build().connect("127.0.0.1", stream).ok()?))
    }
}

fn flood(all: &Turmoil) {
    let Some(mut stream) = all.stream() else { return };
    let words = format!("{}\n", "x".repeat(1000)).repeat(20);
    let mut heard = vec![0; 1 << 16];
    while !all.is_over() && stream.write_all(words.as_bytes()).is_ok() && stream.read(&mut heard).is_ok() {}
}

fn never_read(all: &Turmoil) {
    let Some(stream) = all.stream() else { return };
    while !all.is_over() {
        thread::sleep(Duration::from_millis(1)); // there is nothing to wait for
    }
    drop(stream);
}

fn byte_by_byte(all: &Turmoil) {
    let Some(mut stream) = all.stream() else { return };
    let said = "천천히\n".bytes().cycle();
    for byte in said.take(1000).take_while(|_| !all.is_over()) {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
    }
}

fn half_open(all: &Turmoil) {
    let Some(mut stream) = all.tcp() else { return };
    let _ = stream.write_all(b"\x16\x03\x01\x02");
    let _ = stream.read(&mut [0]);
}

fn reset(all: &Turmoil) {
    let Some(stream) = all.tcp() else { return };
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

fn come_and_go(all: &Turmoil) {
    let Some(mut stream) = all.stream() else { return };
    let _ = stream.write_all("/name 철수\n안녕\n/who\n/to 철수 나\n/quit\n".as_bytes());
    let _ = stream.read(&mut [0; 4096]);
}

fn send_signals(all: &Turmoil) {
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGWINCH] {
        let _ = kill(Pid::from_raw(all.pid), signal); // not waited for yet: it cannot be another's
    }
    thread::sleep(Duration::from_millis(1)); // the log has to be read, too
}

#[test]
fn sigterm_in_the_middle_of_everything_ends_in_order_and_in_time() {
    let mut chance = Chance::new("ending");
    for tls in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (pid_file, pem, key) = (dir.path().join("pid"), cert("server.pem"), cert("server.key"));
        let mut args = vec!["--mode", "relay", "--slow-timeout", "1", "--pid-file", pid_file.to_str().unwrap()];
        if tls {
            args.extend(["--tls", "--cert", &pem, "--key", &key]);
        }
        // An address that is nobody else's: they go on when the port is free.
        let mut server = Server::start_on(&own_address(0).to_string(), &args);
        let addr = server.addr.to_string();
        let all = Turmoil { addr, pid: server.pid(), tls, over: AtomicBool::new(false), done: Default::default() };
        let mut children = Vec::new();
        thread::scope(|scope| {
            let _over = Over(&all.over);
            for (deed, done) in DEEDS.iter().zip(&all.done) {
                let all = &all;
                scope.spawn(move || {
                    while !all.is_over() {
                        done.fetch_add(1, Ordering::Relaxed);
                        deed(all);
                    }
                });
            }
            eventually("everybody to have begun", || all.done.iter().all(|done| done.load(Ordering::Relaxed) > 0));
            eventually("a few children", || server.children().len() > 5);
            if let Some(stopped) = server.children().get(1) {
                let _ = kill(Pid::from_raw(*stopped), Signal::SIGSTOP);
            }
            thread::sleep(Duration::from_millis(chance.below(300))); // not a wait for anything: another moment each time
            children = server.children();
            server.signal(Signal::SIGTERM);
            let told = Instant::now();
            assert_eq!(server.wait().code(), Some(0), "{}", server.log());
            eprintln!("{} children, ended in {:?}, {:?}", children.len(), told.elapsed(), all.done);
        });
        assert!(children.iter().all(|child| !is_running(*child)));
        assert!(!pid_file.exists());
        TcpListener::bind(server.addr).unwrap();
        let log = server.whole_log();
        assert!(log.ends_with("stopped\n"), "{log}");
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

/// Who has every call written to a log file gets a packet for each: they come faster than they are written down, and must
/// not keep the server from its end.
#[test]
fn sigterm_is_obeyed_though_children_never_stop_telling_the_log_of_their_calls() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--log-file", log.to_str().unwrap()]);
    command.env("RUST_LOG", "info,sockstep::calls=trace");
    let mut server = Server::from_command(command);
    let busy = [server.connect().stream, server.connect().stream];
    thread::scope(|scope| {
        for stream in &busy {
            scope.spawn(move || {
                let (mut byte, mut stream) = ([b'x'], stream);
                while stream.write_all(&byte).is_ok() && stream.read_exact(&mut byte).is_ok() {}
            });
        }
        eventually("much to write down", || std::fs::metadata(&log).unwrap().len() > 1 << 20);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
    });
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.ends_with("stopped\n"), "{log}");
}
