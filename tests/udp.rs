//! Stage 1 over UDP: the server. Its trace, and the client's, are held against strace in proof.rs.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;
#[path = "support/udp.rs"]
mod udp;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use support::program::Program;
use support::*;
use udp::*;

/// Nothing has come: and what would have come is here by the time that another one has been answered.
fn assert_unanswered(socket: &UdpSocket, server: SocketAddr) {
    assert_echoed(server, b"afterwards");
    socket.set_nonblocking(true).unwrap();
    let heard = socket.recv(&mut [0; 100]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock));
}

fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: this machine has no IPv6");
    }
    has
}

/// `[::]` takes IPv4 as well, unless the system says otherwise.
fn is_dual_stack() -> bool {
    let only = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|only| only.trim() == "1");
    if only {
        eprintln!("skipped: net.ipv6.bindv6only is 1 here");
    }
    has_ipv6() && !only
}

#[test]
fn every_datagram_comes_back_whole_to_each_of_many_clients() {
    let server = Server::start(&["--udp"]);
    thread::scope(|scope| {
        for client in 0..40 {
            let addr = server.addr;
            scope.spawn(move || {
                for len in [0, 1, 1472, 8193, LONGEST] {
                    let mut data = noise(len);
                    data.iter_mut().for_each(|byte| *byte ^= client);
                    assert_echoed(addr, &data);
                }
            });
        }
    });
    assert_eq!(server.children(), [], "there is nobody to fork for");
}

#[test]
fn one_socket_sends_many_datagrams_and_they_keep_their_borders() {
    let server = Server::start(&["--udp"]);
    let socket = asking(server.addr);
    let sizes = [5, 0, 1, 0, 0, 1472, 2, 9000];
    for len in sizes {
        socket.send(&noise(len)).unwrap();
    }
    let mut buf = vec![0; 70_000];
    let heard = sizes.map(|_| socket.recv(&mut buf).unwrap());
    assert_eq!(heard, sizes);
}

#[test]
fn ipv6_works_alike() {
    if !has_ipv6() {
        return;
    }
    let server = Server::start_on("[::1]:0", &["--udp"]);
    for len in [0, 1, 1472, 8193, LONGEST, LONGEST + 20] {
        assert_echoed(server.addr, &noise(len));
    }
}

#[test]
fn foreign_clients_get_their_bytes_back() {
    let server = Server::start(&["--udp"]);
    let port = server.port().to_string();
    let mut ncat = Program::start(Command::new("ncat").args(["-u", "127.0.0.1", &port]));
    ncat.say("안녕\n");
    ncat.wait_for("안녕\n");
    let mut socat = Program::start(Command::new("socat").args(["-", &format!("UDP:127.0.0.1:{port}")]));
    socat.say("안녕하십니까\n");
    socat.wait_for("안녕하십니까\n");
}

#[test]
fn the_answer_leaves_from_the_address_that_was_asked() {
    let server = Server::start_on("0.0.0.0:0", &["--udp"]);
    for host in 1..=5 {
        let asked = SocketAddr::new(Ipv4Addr::new(127, 0, 0, host).into(), server.port());
        for len in [0, 6, LONGEST] {
            assert_echoed(asked, &noise(len));
        }
    }
}

#[test]
fn a_server_on_every_address_of_both_families_answers_both() {
    if !is_dual_stack() {
        return;
    }
    let server = Server::start_on("[::]:0", &["--udp"]);
    for asked in ["127.0.0.1", "127.0.0.3", "::1"] {
        let asked = SocketAddr::new(asked.parse().unwrap(), server.port());
        for len in [0, 6, LONGEST] {
            assert_echoed(asked, &noise(len));
        }
    }
}

#[test]
fn a_port_below_1024_gets_no_answer() {
    let server = Server::start(&["--udp"]);
    let low = (1..1024).rev().find_map(|port| match UdpSocket::bind(("127.0.0.1", port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        bound => Some(bound),
    });
    let Some(Ok(low)) = low else { return eprintln!("skipped: only root may send from a port below 1024") };
    for data in [&b"an answer?"[..], b""] {
        low.send_to(data, server.addr).unwrap();
    }
    assert_unanswered(&low, server.addr);
    server.wait_for_log(&format!("no answer to {}: a port below 1024", low.local_addr().unwrap()));
}

#[test]
fn another_echo_server_on_the_same_port_number_gets_no_answer() {
    let server = Server::start(&["--udp"]);
    let twin = UdpSocket::bind(("127.0.0.2", server.port())).unwrap();
    twin.send_to(b"for ever?", server.addr).unwrap();
    assert_unanswered(&twin, server.addr);
    server.wait_for_log(&format!("no answer to {}: our own port number", twin.local_addr().unwrap()));
}

#[test]
fn a_broadcast_gets_no_answer() {
    let server = Server::start_on("0.0.0.0:0", &["--udp"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"anybody?", ("127.255.255.255", server.port())).unwrap();
    assert_unanswered(&socket, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.port()));
    server.wait_for_log("it was sent to a broadcast");
}

#[test]
fn a_flood_of_what_gets_no_answer_is_a_line_a_second() {
    let mut server = Server::start(&["--udp"]);
    let twin = UdpSocket::bind(("127.0.0.2", server.port())).unwrap();
    let begun = Instant::now();
    for n in 1..=1000 {
        twin.send_to(b"for ever?", server.addr).unwrap();
        if n % 50 == 0 {
            assert_echoed(server.addr, b"wait for me"); // so that no buffer runs over
        }
    }
    let seconds = begun.elapsed().as_secs() as usize;
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.wait_for_log("1000 ignored");
    let lines = server.log().lines().filter(|line| line.contains("no answer to")).count();
    assert!((1..=seconds + 2).contains(&lines), "{lines} lines in {seconds} s");
}

#[test]
fn a_datagram_that_cannot_be_answered_does_not_end_the_server() {
    if !is_dual_stack() {
        return;
    }
    let server = Server::start_on("[::]:0", &["--udp"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"anybody?", ("127.255.255.255", server.port())).unwrap(); // no source to answer from
    assert_unanswered(&socket, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.port()));
    server.wait_for_log("a datagram is lost");
}

/// A server whose calls fail as strace(1) is told: `sendto:error=EAGAIN:when=1`.
fn failing(listen: &str, how: &str) -> Server {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o", "/dev/null", "-e", "trace=%net", "-e", &format!("inject={how}")]);
    command.args([BIN, "server", "--udp", "--listen", listen]);
    Server::from_command(command)
}

#[test]
fn an_answer_for_which_there_is_no_room_waits_and_is_not_lost() {
    for (listen, call) in [("127.0.0.1:0", "sendto"), ("0.0.0.0:0", "sendmsg")] {
        let mut server = failing(listen, &format!("{call}:error=EAGAIN:when=1..3"));
        let socket = asking(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.port()));
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        for data in ["first", "second"] {
            socket.send(data.as_bytes()).unwrap();
        }
        let mut buf = [0; 100];
        for data in ["first", "second"] {
            let n = socket.recv(&mut buf).unwrap();
            assert_eq!(std::str::from_utf8(&buf[..n]), Ok(data));
        }
        server.signal(Signal::SIGTERM);
        assert!(server.wait().success());
        server.wait_for_log("stopped: 2 datagrams in, 2 out, 0 ignored, 0 failed");
    }
}

#[test]
fn an_answer_that_cannot_be_sent_is_told_and_the_next_one_is() {
    for errno in ["EPERM", "ENETUNREACH", "EHOSTUNREACH", "EMSGSIZE", "ENOBUFS", "ECONNREFUSED", "EINVAL"] {
        let server = failing("127.0.0.1:0", &format!("sendto:error={errno}:when=1"));
        let socket = asking(server.addr);
        socket.send(b"first").unwrap();
        assert_unanswered(&socket, server.addr);
        server.wait_for_log(&format!("sendto({}): {errno} (", socket.local_addr().unwrap()));
    }
}

#[test]
fn a_broken_socket_is_the_end_and_is_told() {
    for (how, why) in [("recvfrom", "EBADF (Bad file descriptor)"), ("sendto", "ENOTSOCK (Socket operation")] {
        let errno = why.split(' ').next().unwrap();
        let mut server = failing("127.0.0.1:0", &format!("{how}:error={errno}"));
        asking(server.addr).send(b"first").unwrap();
        assert_eq!(server.wait().code(), Some(1));
        server.wait_for_log(&format!("sockstep: {how}("));
        server.wait_for_log(why);
    }
}

#[test]
fn one_who_has_gone_disturbs_nobody() {
    let server = Server::start(&["--udp"]);
    for _ in 0..10 {
        asking(server.addr).send(b"and away").unwrap(); // the answer comes back as an ICMP error
    }
    assert_echoed(server.addr, b"still here");
}

#[test]
fn every_signal_to_stop_ends_the_server_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::start(&["--udp"]);
        assert_echoed(server.addr, b"here");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        server.wait_for_log(&format!("{signal}: stopping\n"));
        server.wait_for_log("stopped: 1 datagrams in, 1 out, 0 ignored, 0 failed\n");
    }
}

#[test]
fn sighup_and_sigusr1_do_not_end_it_and_the_log_tells_what_it_has_done() {
    let server = Server::start(&["--udp"]);
    assert_echoed(server.addr, b"here");
    server.signal(Signal::SIGUSR1);
    server.wait_for_log("SIGUSR1: 1 datagrams in, 1 out, 0 ignored, 0 failed\n");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("SIGHUP: the log is standard error, which stays\n");
    assert_echoed(server.addr, b"still here");
}

#[test]
fn who_is_not_in_allow_gets_no_answer() {
    let server = Server::start_on("127.0.0.1:0", &["--udp", "--allow", "127.0.0.2"]);
    let client = |ip: &str| {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(server.addr).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    };
    let (stranger, friend) = (client("127.0.0.3"), client("127.0.0.2"));
    stranger.send(b"let me in").unwrap();
    server.wait_for_log(&format!("no answer to {}: its address is not in --allow", stranger.local_addr().unwrap()));
    friend.send(b"and me").unwrap();
    let mut buf = [0; 16];
    assert_eq!(friend.recv(&mut buf).unwrap(), 6); // one socket, one order: by now the stranger would have his
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut buf).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    let server = Server::start(&["--udp"]);
    let second = run(Command::new(BIN).args(["server", "--udp", "--listen", &server.addr.to_string()]), b"");
    assert_eq!((second.code(), second.text().as_str()), (1, ""));
    let why = format!("sockstep: bind({}): EADDRINUSE (Address already in use)\n힌트: ", server.addr);
    assert!(second.err.starts_with(&why), "{}", second.err);
}

#[test]
fn it_says_in_korean_that_it_waits_for_datagrams() {
    let mut server =
        Program::start(Command::new(BIN).args(["server", "--mode", "echo", "--udp", "--listen=127.0.0.1:0"]));
    server.wait_for("에서 데이터그램을 기다립니다 (1단계: UDP 에코). 끝내려면 Ctrl-C를 누르십시오.\n");
    server.hang_up();
}
