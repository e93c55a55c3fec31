//! The trace tells the truth: what the programs tell of their calls is what strace sees, for every process
//! the same calls, in the same order, with the same arguments and results.
//!
//! Where the two may differ stands in `proof/allowed.rs`, and nowhere else. That the comparison would see
//! a lie is tested as well (`proof/lies.rs`): every call of a true transcript is falsified in every way.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "proof/mod.rs"]
mod proof;
mod support;
#[path = "support/udp.rs"]
mod udp;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
use proof::scene::{Pair, Scene};
use proof::trace::Form;
use support::program::Program;
use support::tls::s_client;
use support::*;
use udp::{assert_echoed, refusing};

/// Korean, what needs an escape, gaps as between the trace's columns, and more than a line of the trace shows.
const LINES: &str = "안녕하십니까\nsay \"\\hi\\\"\t\u{1}2\u{7f}\r\nnotes   notes/08-send-recv.md   = 3\n\
                     가나다라마바사아자차카타파하 01234567890123456789\n";

fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: this machine has no IPv6");
    }
    has
}

/// Stage 1: a client sends all it has, closes its direction, and reads the rest.
fn echo(form: Form, listen: &str, server: &[&str], client: &[&str]) -> Pair {
    let scene = Scene::new(form);
    let server = scene.server(listen, &[&["--mode", "echo"], server].concat());
    let client = scene.client(&server.addr.to_string(), client, LINES.as_bytes());
    assert_eq!((client.text().as_str(), client.code()), (LINES, 0), "{}", client.err);
    scene.stop(server);
    scene.pair()
}

/// Stages 2 and 3: two clients talk; one leaves by /quit, the other one when the server is told to end.
fn relay(form: Form, server: &[&str], client: &[&str]) -> Pair {
    let scene = Scene::new(form);
    let server = scene.server("127.0.0.1:0", &[&["--mode", "relay"], server].concat());
    let addr = server.addr.to_string();
    let mut first = scene.talker(&addr, &[&["--name", "철수"], client].concat());
    first.wait_for("철수");
    let mut second = scene.talker(&addr, &[&["--name", "영희"], client].concat());
    first.wait_for("영희");
    for line in LINES.lines() {
        first.say(&format!("{line}\n"));
        second.say(&format!("{line}\n"));
    }
    first.wait_for("01234567890123456789");
    second.wait_for("01234567890123456789");
    second.say("/quit\n");
    assert_eq!(scene.end(second).code(), 0);
    first.wait_for("영희 님이 나갔습니다");
    scene.stop(server);
    first.hang_up();
    scene.end(first);
    scene.pair()
}

/// What a server tells of the whole life of a connection.
const LIFE: [&str; 12] = [
    "socket(",
    "setsockopt(",
    "bind(",
    "listen(",
    "getsockname(",
    "accept4(",
    "socketpair(",
    "fork() = 0",
    "close_range(",
    "recv(",
    "send(",
    "close(",
];
/// And what its client adds to that.
const CLIENT: [&str; 3] = ["connect(", "F_GETFL) = 0x2 (flags O_RDWR)", "F_SETFL, O_RDWR|O_NONBLOCK) = 0"];

fn both(forms: impl Fn(Form)) {
    forms(Form::Lines);
    forms(Form::File);
}

#[test]
fn stage_1_is_told_as_strace_sees_it() {
    both(|form| {
        let pair = echo(form, "127.0.0.1:0", &[], &[]);
        pair.assert_same(&[&LIFE[..], &CLIENT, &["SHUT_WR"]].concat());
        // For these the file's trace asks the kernel questions that it does not show.
        assert_eq!(pair.told.contains("\tstate 3 tcp LISTEN "), form == Form::File);
    });
}

#[test]
fn stage_1_over_ipv6_is_told_as_strace_sees_it() {
    if has_ipv6() {
        both(|form| echo(form, "[::1]:0", &[], &[]).assert_same(&["AF_INET6", "inet_pton"]));
    }
}

#[test]
fn a_server_that_does_not_fork_is_told_as_strace_sees_it() {
    both(|form| echo(form, "127.0.0.1:0", &["--no-fork"], &[]).assert_same(&["accept4(", "recv(", "close("]));
}

/// Its child has one word for the parent: that the handshake is over.
#[test]
fn stage_1_over_tls_is_told_as_strace_sees_it() {
    let (pem, key, ca) = (cert("server.pem"), cert("server.key"), cert("ca.pem"));
    both(|form| {
        let pair = echo(form, "127.0.0.1:0", &["--tls", "--cert", &pem, "--key", &key], &["--tls", "--ca", &ca]);
        pair.assert_same(&[&LIFE[..], &CLIENT, &["MSG_PEEK", r#", "J", 1, MSG_NOSIGNAL) = 1"#]].concat());
    });
}

#[test]
fn stage_2_is_told_as_strace_sees_it() {
    both(|form| relay(form, &[], &[]).assert_same(&[&LIFE[..], &CLIENT, &["철수", "EAGAIN"]].concat()));
}

#[test]
fn stage_3_is_told_as_strace_sees_it() {
    let (pem, key, ca) = (cert("server.pem"), cert("server.key"), cert("ca.pem"));
    both(|form| {
        let pair = relay(form, &["--tls", "--cert", &pem, "--key", &key], &["--tls", "--ca", &ca]);
        pair.assert_same(&[&LIFE[..], &CLIENT, &["MSG_PEEK", r#"\27\3\3"#]].concat());
    });
}

#[test]
fn tls_1_2_with_a_foreign_client_is_told_as_strace_sees_it() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    both(|form| {
        let scene = Scene::new(form);
        let server = scene.server("127.0.0.1:0", &["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
        let mut client = Program::start(s_client(&server, &["-tls1_2"]).args(["-ign_eof", "-verify_return_error"]));
        client.wait_for("* 어서 오십시오");
        client.say("/quit\n");
        assert_eq!(client.end().code(), 0);
        scene.stop(server);
        scene.pair().assert_same(&["fork() = 0", "MSG_PEEK", "send("]);
    });
}

#[test]
fn a_failed_handshake_is_told_as_strace_sees_it() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    both(|form| {
        let scene = Scene::new(form);
        let server = scene.server("127.0.0.1:0", &["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
        let addr = server.addr.to_string();
        for strangers in [&[][..], &["--tls", "--ca", &pem]] {
            assert_eq!(scene.client(&addr, strangers, b"hello?\n").code(), 1);
            server.wait_for_children(0);
        }
        scene.stop(server);
        scene.pair().assert_same(&["MSG_TRUNC|MSG_DONTWAIT", "close(3) = 0"]);
    });
}

#[test]
fn one_client_too_many_is_told_as_strace_sees_it() {
    both(|form| {
        let scene = Scene::new(form);
        let server = scene.server("127.0.0.1:0", &["--mode", "relay", "--max-clients", "1"]);
        let addr = server.addr.to_string();
        let mut first = scene.talker(&addr, &[]);
        first.wait_for("어서 오십시오");
        assert_eq!(scene.client(&addr, &[], b"hello?\n").code(), 1);
        first.say("/quit\n");
        scene.end(first);
        scene.stop(server);
        scene.pair().assert_same(&["send(6, \"! "]);
    });
}

/// UDP: whoever asks `host`, and our own client.
fn datagrams(form: Form, listen: &str, host: &str) -> Pair {
    let scene = Scene::new(form);
    let server = scene.server(listen, &["--udp"]);
    let addr = SocketAddr::new(host.parse().unwrap(), server.port());
    for data in ["", "hi\t\"there\"", "0123456789abcdef0123456789abcdefXYZ"] {
        assert_echoed(addr, data.as_bytes());
    }
    let client = scene.client(&addr.to_string(), &["--udp"], "하나\n\nthree\n".as_bytes());
    assert_eq!(client.code(), 0, "{}", client.err);
    scene.stop(server);
    scene.pair()
}

#[test]
fn udp_is_told_as_strace_sees_it() {
    let one = ["socket(", "setsockopt(", "bind(", "getsockname(", "recvfrom(", "sendto(", "close("];
    let all = ["IP_PKTINFO", "recvmsg(", "sendmsg("];
    both(|form| datagrams(form, "127.0.0.1:0", "127.0.0.1").assert_same(&one));
    datagrams(Form::Lines, "0.0.0.0:0", "127.0.0.1").assert_same(&all);
    datagrams(Form::File, "0.0.0.0:0", "127.0.0.2").assert_same(&all);
}

#[test]
fn udp_over_ipv6_is_told_as_strace_sees_it() {
    if !has_ipv6() {
        return;
    }
    datagrams(Form::Lines, "[::1]:0", "::1").assert_same(&["recvfrom(", "sendto("]);
    let all = ["SOL_IPV6", "recvmsg(", "sendmsg("];
    datagrams(Form::File, "[::]:0", "::1").assert_same(&all);
    let only_ipv6 = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|only| only.trim() == "1");
    if !only_ipv6 {
        datagrams(Form::Lines, "[::]:0", "127.0.0.2").assert_same(&all);
    }
}

/// A server whose port somebody has.
fn failing_bind(form: Form, udp: &[&str]) -> Pair {
    let (tcp, datagrams) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let taken = if udp.is_empty() { tcp.local_addr() } else { datagrams.local_addr() };
    let scene = Scene::new(form);
    let failed = scene.failed_server(&[&["--listen", &taken.unwrap().to_string()], udp].concat());
    assert_eq!(failed.code(), 1, "{}", failed.err);
    scene.pair()
}

#[test]
fn a_failing_bind_is_told_as_strace_sees_it() {
    let failure = ") = -1 EADDRINUSE (Address already in use)";
    both(|form| failing_bind(form, &[]).assert_same(&["bind(3, ", failure]));
    both(|form| failing_bind(form, &["--udp"]).assert_same(&["bind(3, ", failure]));
}

/// A client whose server is not there: the port is taken, but nobody listens.
fn refused(form: Form) -> Pair {
    let taken = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(taken.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let addr: SockaddrIn = getsockname(taken.as_raw_fd()).unwrap();
    let scene = Scene::new(form);
    assert_eq!(scene.client(&addr.to_string(), &[], b"hello?\n").code(), 1);
    scene.pair()
}

#[test]
fn a_refused_connect_is_told_as_strace_sees_it() {
    both(|form| refused(form).assert_same(&["connect(3, ", ") = -1 ECONNREFUSED (Connection refused)"]));
}

#[test]
fn a_datagram_to_nobody_is_told_as_strace_sees_it() {
    let (_nobody, addr) = refusing();
    both(|form| {
        let scene = Scene::new(form);
        assert_eq!(scene.client(&addr.to_string(), &["--udp"], b"hello?\n").code(), 1);
        scene.pair().assert_same(&["sendto(3, \"hello?", "ECONNREFUSED (Connection refused)"]);
    });
}

#[test]
fn a_reset_connection_is_told_as_strace_sees_it() {
    both(|form| {
        let scene = Scene::new(form);
        let server = scene.server("127.0.0.1:0", &[]);
        let mut peer = server.connect();
        peer.send("안녕\n");
        assert_eq!(peer.line(), "안녕");
        peer.reset();
        eventually("the child's end", || server.children().is_empty());
        let nobody_reads = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = scene.talker(&nobody_reads.local_addr().unwrap().to_string(), &[]);
        client.say("안녕\n");
        let mut peer = Peer::new(nobody_reads.accept().unwrap().0);
        assert_eq!(peer.line(), "안녕");
        peer.reset();
        assert_eq!(scene.end(client).code(), 1);
        scene.stop(server);
        let reset = "recv(3, …, 65536, 0) = -1 ECONNRESET (Connection reset by peer)";
        scene.pair().assert_same(&[reset, &reset.replace("(3", "(6")]);
    });
}

#[test]
fn calls_that_a_signal_or_an_empty_queue_has_sent_back_are_told_as_strace_sees_them() {
    both(|form| {
        let scene = Scene::new(form);
        let server = scene.failing_server(&["accept4:error=EINTR:when=1..2", "recvfrom:error=EINTR:when=1"], &[]);
        let mut peer = server.connect();
        peer.send("안녕\n");
        assert_eq!(peer.line(), "안녕");
        peer.half_close();
        assert_eq!(peer.next_line(), None);
        eventually("the child's end", || server.children().is_empty());
        scene.stop(server);
        let back = |errno: &str| format!("accept4(3, …, [128], SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 {errno} (");
        scene.pair().assert_same(&[&back("EINTR"), &back("EAGAIN"), "recv(6, …, 65536, 0) = -1 EINTR ("]);
    });
}
