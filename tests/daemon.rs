//! A daemon: how it comes to be, what it keeps of its starter, and the signals that it hears.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;
#[path = "support/udp.rs"]
mod udp;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::daemon::*;
use support::tls::TlsPeer;
use support::*;

/// Every kind of server: echo and relay, plain and over TLS, with and without fork(); and UDP.
fn kinds() -> Vec<Vec<String>> {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = ["--tls", "--cert", &pem, "--key", &key];
    let kinds = [
        &["--mode", "echo"][..],
        &["--mode", "relay"],
        &["--no-fork"],
        &["--mode", "relay", "--no-fork"],
        &["--udp"],
        &[&["--mode", "relay"], &tls[..]].concat(),
        &[&["--mode", "echo"], &tls[..]].concat(),
    ];
    kinds.iter().map(|kind| kind.iter().map(ToString::to_string).collect()).collect()
}

fn start(kind: &[String]) -> Daemon {
    Daemon::start(&kind.iter().map(String::as_str).collect::<Vec<_>>())
}

fn says_something_to(daemon: &Daemon, kind: &[String]) {
    if kind.iter().any(|option| option == "--udp") {
        return udp::assert_echoed(daemon.addr, "들리나요".as_bytes());
    }
    if kind.iter().any(|option| option == "--tls") {
        let mut peer = TlsPeer::over(daemon.connect().stream);
        peer.send("/who\n");
        peer.line();
        return peer.end();
    }
    daemon.serves();
}

#[test]
fn when_the_starter_has_ended_the_port_is_open() {
    for _ in 0..20 {
        let daemon = Daemon::start(&[]);
        let mut peer = daemon.connect();
        peer.send("들리나요\n");
        assert_eq!(peer.line(), "들리나요");
        assert_eq!(fs::read_to_string(daemon.home.pid_file()).unwrap(), format!("{}\n", daemon.pid));
    }
}

#[test]
fn the_starter_says_what_a_person_needs_and_nothing_else() {
    let home = Home::new();
    let started = run(&mut home.command(&["--mode", "relay"]), b"");
    let said = started.text();
    let pid = fs::read_to_string(home.pid_file()).unwrap();
    let addr = said.split("에서").next().unwrap();
    let stop = format!("데몬의 PID는 {}입니다. 멈추려면 `sockstep stop --pid-file {}`", pid.trim(), home.text("pid"));
    assert!(said.contains(&stop) && said.contains("2단계: 중계"), "{said}");
    assert!(said.contains(&format!("클라이언트: make run-client STAGE=2 SERVER={addr}\n")), "{said}");
    assert_eq!((started.code(), started.err.as_str()), (0, ""));
}

#[test]
fn a_udp_daemon_is_looked_at_and_told_what_to_do_as_any_other() {
    let daemon = Daemon::start(&["--udp"]);
    assert!(daemon.told.contains("데이터그램을 기다립니다 (1단계: UDP 에코)"), "{}", daemon.told);
    assert!(daemon.told.contains(&format!("클라이언트: make run-client STAGE=udp SERVER={}\n", daemon.addr)));
    udp::assert_echoed(daemon.addr, &[]);
    let status = daemon.home.control("status");
    let shown = status.text();
    assert!(shown.contains(&format!("UDP {}", daemon.addr)) && shown.contains("UDP에는 연결이 없습니다"), "{shown}");
    let old = daemon.home.path("old");
    fs::rename(daemon.home.path("log"), &old).unwrap();
    assert_eq!((status.code(), daemon.home.control("reload").code()), (0, 0));
    daemon.home.wait_for_log("SIGHUP: log opened anew");
    udp::assert_echoed(daemon.addr, b"again");
    assert_eq!(daemon.home.control("stop").code(), 0);
    daemon.home.wait_for_log("stopped: 2 datagrams in, 2 out, 0 ignored, 0 failed");
    assert!(!daemon.home.pid_file().exists());
    assert!(fs::read_to_string(old).unwrap().contains("listening on"));
}

#[test]
fn without_a_pid_file_the_starter_names_the_process() {
    let home = Home::new();
    let log = home.text("log");
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--daemon", "--log-file", &log]);
    if nix::unistd::geteuid().is_root() {
        command.args(["--user", "root"]);
    }
    let daemon = Daemon::from_command(&home, &mut command);
    assert!(daemon.told.contains(&format!("멈추려면 `kill {}`", daemon.pid)), "{}", daemon.told);
    daemon.serves();
    daemon.signal(Signal::SIGTERM);
    daemon.is_gone();
}

/// It has no terminal and can never get one: it does not lead its session, and who did has ended.
#[test]
fn a_daemon_has_no_terminal_no_folder_and_nobody_who_waits_for_it() {
    for kind in kinds() {
        let daemon = start(&kind);
        let seen = daemon.seen();
        assert_eq!(seen.tty_nr, 0, "{kind:?}");
        assert_ne!(seen.session, daemon.pid, "{kind:?}: leads its session");
        assert_ne!(seen.session, Seen::of(std::process::id() as i32).unwrap().session, "{kind:?}: still in ours");
        assert!(!Path::new(&format!("/proc/{}", seen.session)).exists(), "{kind:?}: the session's leader is there");
        let adopted_by = fs::read_to_string(format!("/proc/{}/comm", seen.ppid)).unwrap();
        assert_ne!(adopted_by, "sockstep\n", "{kind:?}");
        assert_ne!(seen.ppid, std::process::id() as i32, "{kind:?}");
        assert_eq!(fs::read_link(format!("/proc/{}/cwd", daemon.pid)).unwrap(), Path::new("/"), "{kind:?}");
        assert_eq!(status_of(daemon.pid, "Umask"), "0027", "{kind:?}");
        let fds = fds(daemon.pid);
        assert!((0..=2).all(|fd| fds[&fd] == "/dev/null"), "{kind:?}: {fds:?}");
        says_something_to(&daemon, &kind);
        assert_eq!(daemon.home.control("stop").code(), 0, "{kind:?}");
        assert!(!daemon.home.log().contains("killed"), "{kind:?}: {}", daemon.home.log());
    }
}

/// A file, a pipe, the starter's own output under another number: what a careless script leaves open.
#[test]
fn a_daemon_keeps_no_descriptor_of_its_starters_and_a_child_only_its_two_sockets() {
    for mode in ["echo", "relay"] {
        let home = Home::new();
        let mut command = Command::new("sh");
        command.args(["-c", "exec 7</etc/hostname 8>&1 9>&2; exec \"$0\" \"$@\"", BIN]);
        command.args(home.args(&["--mode", mode]));
        let daemon = Daemon::from_command(&home, &mut command); // comes back only at the end of the starter's output
        let mut peers = [daemon.connect(), daemon.connect()];
        for peer in &mut peers {
            peer.send("/who\n");
            peer.line(); // the child has set itself up
        }
        let nothing = || vec!["/dev/null".to_string(); 3];
        let sorted = |pid: i32| {
            let mut targets: Vec<String> = fds(pid).into_values().collect();
            targets.iter_mut().for_each(|target| *target = target.split(":[").next().unwrap().to_string());
            targets.sort();
            targets
        };
        let mut wanted = nothing();
        wanted.extend([home.text("log"), home.text("pid")]);
        wanted.extend(["anon_inode:[eventpoll]", "anon_inode:[signalfd]"].map(String::from));
        wanted.extend(vec!["socket".to_string(); 3]); // the listener, and a relay end for each child
        wanted.iter_mut().for_each(|target| *target = target.split(":[").next().unwrap().to_string());
        wanted.sort();
        eventually("a parent that has closed what is the child's now", || state(daemon.pid) == Some('S'));
        assert_eq!(sorted(daemon.pid), wanted);
        for child in daemon.wait_for_children(2) {
            assert_eq!(sorted(child), [nothing(), vec!["socket".to_string(); 2]].concat());
        }
    }
}

#[test]
fn a_daemon_started_with_its_standard_files_closed_is_as_any_other() {
    let home = Home::new();
    let mut command = Command::new("sh");
    command.args(["-c", "exec 0<&- 2>&-; exec \"$0\" \"$@\"", BIN]).args(home.args(&[]));
    let daemon = Daemon::from_command(&home, &mut command);
    let mut peer = daemon.connect();
    peer.send("a\n");
    assert_eq!(peer.line(), "a");
    let fds = fds(daemon.pid);
    assert!((0..=2).all(|fd| fds[&fd] == "/dev/null"), "{fds:?}");
    assert_eq!(home.log().lines().filter(|line| line.contains("connected")).count(), 1, "{}", home.log());
}

// Signals -----------------------------------------------------------------------------------------

/// SIGTERM is for the server: whoever else is in its process group, a shell's pipeline perhaps, is not meant.
#[test]
fn a_bystander_in_the_servers_process_group_survives_its_end() {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--mode", "relay"]).process_group(0);
    let mut server = Server::from_command(command);
    let bystander =
        Command::new("cat").process_group(server.pid()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut bystander = bystander.unwrap();
    let mut peers = [server.join(), server.join()];
    server.wait_for_children(2);
    server.signal(Signal::SIGTERM);
    peers.iter_mut().for_each(|peer| assert!(peer.rest().contains("* 서버를 종료합니다.")));
    assert_eq!(server.wait().code(), Some(0));
    // A signal that it was sent would end it before it could answer.
    let mut answer = String::new();
    let answered = bystander.stdin.take().unwrap().write_all("아직 있습니다\n".as_bytes());
    BufReader::new(bystander.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    let status = bystander.wait().unwrap();
    assert!(answered.is_ok() && answer == "아직 있습니다\n" && status.success(), "{answered:?} {answer:?} {status}");
}

#[test]
fn a_starter_that_is_ended_leaves_a_whole_daemon_or_none() {
    let mut whole = 0;
    for round in 0..40 {
        let home = Home::new();
        let mut starter =
            home.command(&["--mode", "relay"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Not a wait for anything: another moment each time.
        thread::sleep(Duration::from_micros(400 * round));
        kill(Pid::from_raw(starter.id() as i32), Signal::SIGTERM).unwrap();
        starter.wait().unwrap();
        let is_whole = || home.control("status").code() == 0 && home.log().contains("listening on");
        eventually("a whole daemon, or none", || is_whole() || home.processes().is_empty());
        if is_whole() {
            whole += 1;
            home.join();
        } else {
            assert!(!home.pid_file().exists(), "round {round}");
        }
    }
    eprintln!("{whole} of 40 starters were too quick to be stopped");
}

#[test]
fn a_daemon_that_is_told_to_end_as_soon_as_it_has_a_name_ends_in_order() {
    for _ in 0..20 {
        let home = Home::new();
        let mut starter =
            home.command(&["--mode", "relay"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        kill(Pid::from_raw(home.pid()), Signal::SIGTERM).unwrap();
        assert!(starter.wait().unwrap().success(), "it was ready, and then it was stopped");
        home.is_empty();
        assert!(home.log().trim_end().ends_with("stopped"), "{}", home.log());
        assert!(!home.pid_file().exists());
    }
}

/// Each of them is answered, or folded into one that waits already; clients do not notice.
#[test]
fn a_storm_of_signals_holds_nobody_up() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let daemon = Daemon::start(&["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
    let storm = Storm::over(daemon.pid);
    let (mut a, mut b) = (TlsPeer::join_at(&daemon), TlsPeer::join_at(&daemon));
    a.line_with("손님2");
    for n in 0..300 {
        b.send(format!("{n}\n"));
        assert_eq!(a.line(), format!("[손님2] {n}"));
    }
    for _ in 0..10 {
        TlsPeer::join_at(&daemon).end();
    }
    assert!(storm.calm() > 1000);
    daemon.signal(Signal::SIGTERM);
    assert!(a.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
    daemon.is_gone();
    assert!(!daemon.home.log().contains("the old certificate stays"), "{}", daemon.home.log());
}

impl TlsPeer {
    fn join_at(daemon: &Daemon) -> TlsPeer {
        let mut peer = TlsPeer::over(daemon.connect().stream);
        assert!(peer.line().starts_with("* 어서 오십시오, 손님"));
        peer
    }
}

/// SIGHUP, SIGUSR1 and SIGCHLD to one process, without a pause.
struct Storm {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<u32>,
}

impl Storm {
    fn over(pid: i32) -> Storm {
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        let thread = thread::spawn(move || {
            let mut sent = 0;
            while !flag.load(Ordering::Relaxed) {
                for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGCHLD] {
                    kill(Pid::from_raw(pid), signal).unwrap();
                    sent += 1;
                }
            }
            sent
        });
        Storm { over, thread }
    }

    /// How many there were.
    fn calm(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn sigusr1_lists_who_is_there_and_what_they_have_moved() {
    let daemon = Daemon::start(&["--mode", "relay"]);
    let (mut a, mut b) = (daemon.join(), daemon.join());
    a.line_with("손님2");
    a.send("/name 철수\n");
    b.line_with("철수");
    b.send("12345\n");
    a.line_with("12345");
    let children = daemon.wait_for_children(2);
    daemon.signal(Signal::SIGUSR1);
    daemon.home.wait_for_log("c2 손님2");
    let log = daemon.home.log();
    let listed = log.split_once("SIGUSR1: 2 clients\n").unwrap().1;
    let of = |id: &str| listed.lines().find(|line| line.contains(&format!("] {id} "))).unwrap().to_string();
    let (first, second) = (of("c1"), of("c2"));
    let addr = |peer: &Peer| peer.stream.local_addr().unwrap();
    assert!(first.contains(&format!("c1 철수 {} pid ", addr(&a))), "{first}");
    assert!(second.contains(&format!("c2 손님2 {} pid ", addr(&b))), "{second}");
    assert!(second.contains(" 6 bytes in, ") && second.ends_with(" 0 bytes behind"), "{second}");
    let pids =
        [&first, &second].map(|line| line.split("pid ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap());
    assert!(children.iter().all(|child| pids.contains(child)), "{children:?} {first} {second}");
}

// make --------------------------------------------------------------------------------------------

#[test]
fn make_starts_a_daemon_and_stops_it() {
    let home = Home::new();
    let folder = home.path("made");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let make = |targets: &[&str]| {
        let mut command = Command::new("make");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-o", "build", "STAGE=2", "LISTEN=127.0.0.1:0"]);
        command.args([format!("BIN={BIN}"), format!("PID_FILE={}", file("pid")), format!("LOG_FILE={}", file("log"))]);
        let root = nix::unistd::geteuid().is_root();
        command.arg(if root { "ARGS=--user root" } else { "ARGS=" }).args(targets);
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES"] {
            command.env_remove(variable);
        }
        run(&mut command, b"")
    };
    let started = make(&["start", "status"]);
    assert_eq!(started.code(), 0, "{}{}", started.text(), started.err);
    assert!(started.text().contains("데몬이 실행 중입니다."), "{}", started.text());
    assert_eq!(make(&["reload", "stop"]).code(), 0);
    home.is_empty();
    let log = fs::read_to_string(file("log")).unwrap();
    assert!(log.contains("SIGHUP: log opened anew") && log.contains("SIGTERM: stopping"), "{log}");
    let again = make(&["start", "stop", "stop"]);
    assert_eq!(again.code(), 0, "{}{}", again.text(), again.err);
    assert_ne!(make(&["status"]).code(), 0);
}
