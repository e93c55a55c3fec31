//! A parent that is killed takes its children with it; and whatever its starter left behind does not matter.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use openssl::ssl::{SslConnector, SslMethod};

use super::support::daemon::own_address;
use super::support::*;
use super::{Chance, Over, RELAY, kill_child};

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
    server.wait_for_log(" s: client left");
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

/// In the middle of joins, handshakes and a flood; no child stays, not even one that is just being made, and the port is
/// free for the next one.
#[test]
fn a_parent_killed_at_any_moment_leaves_no_child_and_a_free_port() {
    let mut chance = Chance::new("parent");
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let mut listen = own_address(0).to_string(); // nobody else's: they go on when the port is free
    for round in 0..24 {
        let tls = round % 2 == 1;
        let args = ["--mode", "relay", "--tls", "--cert", &pem, "--key", &key];
        let server = Server::start_on(&listen, if tls { &args } else { &RELAY });
        listen = server.addr.to_string();
        let over = AtomicBool::new(false);
        let children = thread::scope(|scope| {
            let _over = Over(&over);
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        talk(&listen, tls);
                    }
                });
            }
            thread::sleep(Duration::from_micros(chance.below(40_000))); // not a wait for anything: another moment each time
            server.signal(Signal::SIGSTOP); // so that nobody comes between the look and the end
            eventually("a stopped parent", || state(server.pid()) == Some('T'));
            let children = server.children();
            server.signal(Signal::SIGKILL);
            children
        });
        for child in children {
            eventually("a child's end", || !is_running(child));
        }
    }
}

fn talk(addr: &str, tls: bool) {
    let Ok(stream) = TcpStream::connect(addr) else { return };
    let mut stream = Peer::new(stream).stream;
    let words = "x".repeat(1000) + "\n";
    if tls {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        if let Ok(mut stream) = connector.build().connect("127.0.0.1", stream) {
            let _ = stream.write_all(words.repeat(50).as_bytes());
            let _ = stream.read(&mut [0; 4096]);
        }
    } else {
        let _ = stream.write_all(words.repeat(50).as_bytes());
        let _ = stream.read(&mut [0; 4096]);
    }
}
