//! Children that are killed, stopped or told to end: it costs their own clients only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openssl::ssl::{SslConnector, SslMethod};

use super::support::holdings::*;
use super::support::tls::TlsPeer;
use super::support::*;
use super::{Chance, Over, RELAY, cpu_ticks, kill_child};

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
    server.wait_for_log(" s: killed by SIGKILL");
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

/// A client that keeps its sockets busy does not keep its child from hearing SIGTERM.
#[test]
fn a_child_that_never_rests_hears_sigterm() {
    for mode in ["echo", "relay"] {
        let server = Server::start(&["--mode", mode]);
        let busy = server.connect().stream;
        let child = server.wait_for_children(1)[0];
        let mut other = server.connect();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let over = Over(&stop);
            scope.spawn(|| {
                let words = "/who\n".repeat(10_000);
                while !stop.load(Ordering::Relaxed) {
                    let _ = (&busy).write_all(words.as_bytes());
                }
            });
            scope.spawn(|| {
                let mut heard = vec![0; 1 << 20];
                while matches!((&busy).read(&mut heard), Ok(1..)) {}
            });
            eventually("a busy child", || cpu_ticks(child) > 10);
            kill_child(child, Signal::SIGTERM);
            server.wait_for_log(" s: ended by the server");
            drop(over);
        });
        other.send("/who\n");
        other.line();
    }
}

/// SIGKILL, SIGSTOP, SIGTERM, at any moment of a child's life: when it has just been forked, shakes hands, joins, talks,
/// says goodbye. It costs its own client only.
#[test]
fn children_killed_at_any_moment_leave_nothing_behind_and_the_others_talk_on() {
    for tls in [false, true] {
        let mut server = if tls { tls_server(&RELAY) } else { Server::start(&RELAY) };
        let mut chance = Chance::new("children");
        let (mut speaker, mut listener) = (any_client(&server, tls), any_client(&server, tls));
        speaker.line_with("손님2");
        let stay = server.wait_for_children(2);
        let before = Before::of(server.pid());
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _over = Over(&over);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        rise_and_fall(&server, tls);
                    }
                });
            }
            let mut said = 0;
            for round in 0..150 {
                let moment = Instant::now() + Duration::from_micros(chance.below(6000));
                while Instant::now() < moment {
                    said += 1; // time passes with talk
                    speaker.send(format!("{said}\n"));
                    listener.line_where(|line| line == format!("[손님1] {said}"));
                }
                let signal = [Signal::SIGKILL, Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSEGV][round % 4];
                for child in server.children().into_iter().filter(|child| !stay.contains(child)) {
                    let _ = kill(Pid::from_raw(child), signal); // it may have gone meanwhile
                }
            }
        });
        before.is_back(KEPT_AFTER_A_FLOOD_KB);
        speaker.send("/who\n");
        assert_eq!(speaker.line_with("* 지금"), "* 지금 2명: 손님1, 손님2");
        assert!(server.log().contains("killed by SIGKILL"), "{}", server.log());
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// Comes, says much, and leaves; or is thrown out in the middle of it.
fn rise_and_fall(server: &Server, tls: bool) {
    let Ok(stream) = TcpStream::connect(server.addr) else { return };
    let talk = |stream: &mut dyn ReadWrite| {
        let _ = stream.write_all(b"a line\n/who\nanother one\n");
        let _ = stream.read(&mut [0; 4096]);
    };
    let mut stream = Peer::new(stream).stream;
    if tls {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        if let Ok(mut stream) = connector.build().connect("127.0.0.1", stream) {
            talk(&mut stream);
        }
    } else {
        talk(&mut stream);
    }
}

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

/// Over TLS or not, one who has joined.
fn any_client(server: &Server, tls: bool) -> Peer<Box<dyn ReadWrite>> {
    let mut peer: Peer<Box<dyn ReadWrite>> = match tls {
        true => Peer::around(Box::new(TlsPeer::connect(server).stream)),
        false => Peer::around(Box::new(server.connect().stream)),
    };
    assert!(peer.line().starts_with("* 어서 오십시오"));
    peer
}

/// What a stopped child has is its own: others come, talk and go, and once it runs again nothing is left of it either.
#[test]
fn a_stopped_child_holds_nobody_up_and_goes_on_where_it_was() {
    let mut server = Server::start(&RELAY);
    let mut stopped = server.join();
    let child = server.wait_for_children(1)[0];
    let (mut speaker, mut listener) = (server.join(), server.join());
    speaker.line_with("손님3");
    let before = Before::of(server.pid());
    kill_child(child, Signal::SIGSTOP);
    stopped.send("여기 있습니다\n");
    for n in 0..200 {
        speaker.send(format!("{n}\n"));
        assert_eq!(listener.line(), format!("[손님2] {n}"));
    }
    drop(server.join());
    listener.line_with("나갔습니다");
    kill_child(child, Signal::SIGCONT);
    listener.line_with("[손님1] 여기 있습니다");
    (0..200).for_each(|n| assert_eq!(stopped.line_with("[손님2]"), format!("[손님2] {n}")));
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}
