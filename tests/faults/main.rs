//! What goes wrong costs the one whom it happens to, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask};
use nix::unistd::Pid;
use support::*;

const RELAY: [&str; 2] = ["--mode", "relay"];

fn kill_child(pid: i32, with: Signal) {
    kill(Pid::from_raw(pid), with).unwrap();
}

#[test]
fn a_killed_child_costs_only_its_client() {
    let server = Server::start(&RELAY);
    let mut victim = server.join();
    let child = server.wait_for_children(1)[0];
    let (mut first, mut second) = (server.join(), server.join());
    kill_child(child, Signal::SIGKILL);
    victim.rest();
    first.line_with("손님1 님이 나갔습니다");
    second.send("우리는 남았습니다\n");
    first.line_with("[손님3] 우리는 남았습니다");
    server.wait_for_log("closed after 0 s: killed by SIGKILL");
    server.wait_for_children(2);
}

#[test]
fn a_child_sent_sigterm_says_goodbye() {
    let server = Server::start(&RELAY);
    let mut peer = server.join();
    kill_child(server.wait_for_children(1)[0], Signal::SIGTERM);
    assert_eq!(peer.rest(), "* 이 연결을 맡은 자식 프로세스가 종료됩니다.\n");
}

#[test]
fn when_the_parent_is_killed_the_children_go_too() {
    for mode in ["echo", "relay"] {
        let server = Server::start(&["--mode", mode]);
        let mut peers = [server.connect(), server.connect(), server.connect()];
        for peer in &mut peers {
            peer.send("x\n");
            peer.line(); // an echo or a greeting: the child has set itself up
        }
        let children = server.wait_for_children(3);
        kill_child(children[0], Signal::SIGSTOP); // even one that cannot run
        server.signal(Signal::SIGKILL);
        for child in children {
            eventually("a child's end", || !is_running(child));
        }
        drop(peers);
    }
}

#[test]
fn nobody_is_called_slow_when_the_parent_is_killed() {
    let server = Server::start(&RELAY);
    let mut peers: Vec<Peer> = (0..30).map(|_| server.join()).collect();
    server.signal(Signal::SIGKILL);
    for peer in &mut peers {
        let words = peer.rest();
        assert!(words.lines().all(|line| line.ends_with("들어왔습니다.")), "{words}");
    }
}

#[test]
fn five_hundred_resets_between_connect_and_accept_hurt_nobody() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let fds = server.open_fds();
    server.signal(Signal::SIGSTOP);
    for _ in 0..500 {
        server.connect().reset();
    }
    server.signal(Signal::SIGCONT);
    server.wait_for_log("c501 ");
    server.wait_for_children(1);
    // A child may be gone before the hub has read its last words: Join, and then the end, one packet a round.
    eventually("a room with nobody else in it", || {
        witness.send("/who\n");
        witness.line_with("* 지금") == "* 지금 1명: 손님1"
    });
    eventually("the same descriptors as before", || server.open_fds() == fds);
}

#[test]
fn sigterm_and_sigint_end_in_order_and_free_the_port() {
    for (mode, ending) in [("echo", Signal::SIGTERM), ("relay", Signal::SIGINT)] {
        let mut server = Server::start(&["--mode", mode]);
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

/// The soft limit of open files of a running process (prlimit(2)).
fn limit_open_files(pid: i32, soft: u64) {
    let limit = format!("--nofile={soft}:");
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(set.success());
}

#[test]
fn without_descriptors_it_waits_in_silence_and_recovers() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    // Room for accept(), none for the relay pair: and then for nothing at all.
    for spare in [1, 0] {
        let next_fd = (0..).find(|fd| !std::path::Path::new(&format!("/proc/{}/fd/{fd}", server.pid())).exists());
        limit_open_files(server.pid(), next_fd.unwrap() + spare);
        let mut waiting = server.connect();
        server.wait_for_log("EMFILE (Too many open files): not accepting for a moment");
        witness.send("/who\n");
        witness.line_with("* 지금");
        limit_open_files(server.pid(), 1024);
        let mut next = server.join();
        next.send("/who\n");
        next.line_with("* 지금");
        if spare == 1 {
            assert!(waiting.rest().starts_with("! 서버의 자원이 부족합니다."));
        } else {
            assert!(waiting.line().starts_with("* 어서 오십시오"));
        }
        drop((waiting, next));
        server.wait_for_children(1);
    }
    let lines = server.log().matches("not accepting for a moment").count();
    assert!(lines <= 2, "at most one line an episode: {}", server.log());
}

/// Processor time that a process has used, in clock ticks (proc(5)).
fn cpu_ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_child_killed_with_answers_waiting_for_it_leaves_no_ghost_and_no_spin() {
    let server = Server::start(&RELAY);
    let mut victim = server.join();
    let child = server.wait_for_children(1)[0];
    let mut witness = server.join();
    // Answers to itself that it does not read: the relay pair and the hub's outbox fill up.
    let line = format!("/to 손님1 {}\n", "x".repeat(60_000));
    victim.send_until_full(line.repeat(200).as_bytes());
    kill_child(child, Signal::SIGKILL);
    assert_eq!(witness.line(), "* 손님1 님이 나갔습니다.");
    server.wait_for_log("killed by SIGKILL");
    witness.send("/who\n");
    assert_eq!(witness.line(), "* 지금 1명: 손님2");
    // A hundred lines there and back are little work; a loop that spins meanwhile is seen.
    let before = cpu_ticks(server.pid());
    for n in 0..100 {
        witness.send(format!("/to 손님2 {n}\n"));
        assert!(witness.line().ends_with(&format!("] {n}")));
    }
    std::thread::park_timeout(std::time::Duration::from_millis(500)); // not a wait for anything: time to be idle in
    assert!(cpu_ticks(server.pid()) - before < 25, "the parent spins");
}

#[test]
fn when_no_thread_can_be_made_the_newcomer_is_told_and_the_server_stays() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root, to become a user with no process to spare");
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("sockstep");
    std::fs::copy(BIN, &copy).unwrap();
    let chmod = Command::new("chmod").args(["-R", "755"]).arg(dir.path()).status().unwrap();
    assert!(chmod.success());
    for (more, call) in [("--no-fork", "pthread_create"), ("--mode=echo", "fork")] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=64331", "--clear-groups", "prlimit", "--nproc=1:1"]).arg(&copy);
        let server = Server::from_command({
            command.args(["server", "--listen", "127.0.0.1:0", more]);
            command
        });
        assert!(server.connect().rest().starts_with("! 서버의 자원이 부족합니다."));
        server.wait_for_log(&format!("{call} failed: EAGAIN"));
        assert!(server.connect().rest().starts_with("! 서버의 자원이 부족합니다."));
    }
}

#[test]
fn few_descriptors_mean_few_clients_and_a_word_about_it() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=40:40", BIN, "server", "--listen", "127.0.0.1:0", "--mode", "relay"]);
    let server = Server::from_command(command);
    server.wait_for_log("at most 8 clients, not 16384: the limit of open files");
    let mut inside: Vec<Peer> = (0..8).map(|_| server.join()).collect();
    assert!(server.connect().line().starts_with("! 자리가 없습니다."));
    inside[0].send("다 들어왔습니다\n");
    inside[7].line_with("[손님1] 다 들어왔습니다");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut ready).unwrap();
    let addr = ready.split("에서").next().unwrap().to_string();
    // Two lines each: far more than the 64 KiB that a pipe holds.
    for n in 0..600 {
        let mut peer = Peer::new(std::net::TcpStream::connect(&addr).unwrap());
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    kill_child(child.id() as i32, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_is_closed_stops_nobody() {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {BIN} server --listen 127.0.0.1:0 2>&-")]);
    let server = Server::from_command(command);
    let mut peer = server.connect();
    peer.send("들리나요\n");
    assert_eq!(peer.line(), "들리나요");
}

#[test]
#[allow(unsafe_code)] // pre_exec: what a careless starter leaves behind
fn what_the_starter_left_behind_does_not_matter() {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0"]);
    // SAFETY: only async-signal-safe calls: signal(2) and sigprocmask(2).
    unsafe {
        command.pre_exec(|| {
            signal(Signal::SIGCHLD, SigHandler::SigIgn)?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
            Ok(())
        });
    }
    let mut server = Server::from_command(command);
    let mut peer = server.connect();
    peer.send("a\n");
    assert_eq!(peer.line(), "a");
    peer.half_close();
    server.wait_for_log("closed after 0 s: client left");
    server.wait_for_children(0);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn parent_and_children_have_names_and_no_descriptor_too_many() {
    let server = Server::start(&[]);
    let _peers = [server.connect(), server.connect()].map(|mut peer| {
        peer.send("여기\n"); // what it is answered by has become a child
        assert_eq!(peer.line(), "여기");
        peer
    });
    let comm = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    let children = server.wait_for_children(2);
    assert_eq!(comm(server.pid()), "sockstep\n");
    assert_eq!((comm(children[0]).as_str(), comm(children[1]).as_str()), ("sockstep-c1\n", "sockstep-c2\n"));
    let filter = format!("sport = :{}", server.port());
    let listening = run(Command::new("ss").args(["-tlnp", &filter]), b"").text();
    assert!(listening.contains("((\"sockstep\",pid=") && !listening.contains("sockstep-c"), "{listening}");
    let connected = run(Command::new("ss").args(["-tnp", &filter]), b"").text();
    assert!(connected.contains("sockstep-c1") && connected.contains("sockstep-c2"), "{connected}");
    for child in children {
        let fds = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().map(|fd| fd.unwrap().path());
        let sockets = fds.filter(|fd| std::fs::read_link(fd).unwrap().to_string_lossy().starts_with("socket:"));
        assert_eq!(sockets.count(), 2, "the connection and the relay");
    }
}

#[test]
fn nothing_is_left_after_a_crowd_has_gone() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let fds = server.open_fds();
    for _ in 0..5 {
        let crowd: Vec<Peer> = (0..40).map(|_| server.join()).collect();
        server.wait_for_children(41);
        drop(crowd);
        server.wait_for_children(1);
    }
    witness.send("/who\n");
    assert_eq!(witness.line_with("* 지금"), "* 지금 1명: 손님1");
    eventually("the same descriptors as before", || server.open_fds() == fds);
}

#[test]
fn a_port_that_is_taken_is_left_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let failed = run(Command::new(BIN).args(["server", "--listen", &addr]), b"");
    assert_eq!(failed.code(), 1);
    assert!(
        failed.err.contains(&format!("sockstep: bind({addr}): EADDRINUSE (Address already in use)")),
        "{}",
        failed.err
    );
    assert!(failed.err.contains("힌트: "), "{}", failed.err);
}
