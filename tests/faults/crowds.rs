//! Many who come and go at once.

use std::fs::read_to_string;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt};

use super::RELAY;
use super::support::holdings::*;
use super::support::tls::TlsPeer;
use super::support::*;

#[test]
fn five_hundred_resets_between_connect_and_accept_hurt_nobody() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let before = Before::of(server.pid());
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
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
}

#[test]
fn nothing_is_left_after_a_crowd_has_gone() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let before = Before::of(server.pid());
    for _ in 0..5 {
        let crowd: Vec<Peer> = (0..40).map(|_| server.join()).collect();
        server.wait_for_children(41);
        drop(crowd);
        server.wait_for_children(1);
    }
    witness.send("/who\n");
    assert_eq!(witness.line_with("* 지금"), "* 지금 1명: 손님1");
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
}

/// Connects from another address of this machine's, so that the ports of one do not run out; then RST.
fn connect_and_reset(server: &Server, from: Ipv4Addr) {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    bind(stream.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0))).unwrap();
    let SocketAddr::V4(to) = server.addr else { panic!("IPv6") };
    connect(stream.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
}

/// A server whose log is a file: a pipe that a busy test reads too slowly would cost lines (which are counted, but not told).
fn logging_to(file: &Path, args: &[&str]) -> Server {
    Server::start(&[&["--log-file", file.to_str().unwrap()], args].concat())
}

/// Ten thousand; `SOCKSTEP_RESETS=100000` for as many as that.
#[test]
fn thousands_who_connect_and_reset_leave_nothing_and_hold_nobody_up() {
    let count: u32 = std::env::var("SOCKSTEP_RESETS").map_or(10_000, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut server = logging_to(&log, &RELAY);
    let (mut speaker, mut listener) = (server.join(), server.join());
    drop(server.join());
    eventually("its end in the log", || read_to_string(&log).unwrap().contains(" closed after "));
    server.wait_for_children(2);
    let before = Before::of(server.pid());
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for n in 0..count {
        connect_and_reset(&server, Ipv4Addr::new(127, 0, 1, 1 + (n % 200) as u8));
        if n % 100 == 0 {
            let said = Instant::now();
            speaker.send(format!("{n}\n/who\n"));
            listener.line_where(|line| line == format!("[손님1] {n}"));
            speaker.line_with("* 지금"); // it, too, hears of all who come and go
            longest = longest.max(said.elapsed());
        }
    }
    let connected = began.elapsed();
    // The last of them has been accepted when one who comes behind it is there.
    drop(server.join());
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    eprintln!(
        "{count} connections reset in {connected:?}, gone after {:?}, {} kB more, a line took {longest:?} at most",
        began.elapsed(),
        before.grown_kb(),
    );
    speaker.send("/who\n");
    assert_eq!(speaker.line_with("* 지금"), "* 지금 2명: 손님1, 손님2");
    let log = read_to_string(&log).unwrap();
    assert_eq!(log.matches(" connected, served by pid ").count(), log.matches(" closed after ").count() + 2);
    assert_eq!(log.matches(" connected, served by pid ").count(), count as usize + 4, "each is told");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Each is a descriptor here as well.
fn room_for_descriptors(count: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count.min(hard), hard).unwrap();
    }
}

#[test]
fn a_thousand_who_leave_at_once_are_all_told_in_the_log_and_nothing_is_left() {
    const CROWD: usize = 1000;
    room_for_descriptors(4000);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut server = logging_to(&log, &[]);
    let mut witness = server.connect();
    let mut says = |text: &str| {
        witness.send(format!("{text}\n"));
        assert_eq!(witness.line(), text);
    };
    says("a");
    let before = Before::of(server.pid());
    let mut crowd: Vec<Peer> = (0..CROWD).map(|_| server.connect()).collect();
    crowd.iter_mut().for_each(|peer| peer.send("x\n"));
    crowd.iter_mut().for_each(|peer| assert_eq!(peer.line(), "x"));
    says("b");
    let resetting = crowd.split_off(CROWD / 2);
    resetting
        .iter()
        .for_each(|peer| setsockopt(&peer.stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap());
    drop((crowd, resetting));
    says("c");
    before.is_back(KEPT_KB);
    says("d");
    let count = |text: &str| read_to_string(&log).unwrap().matches(text).count();
    let ends = [": client left\n", ": client reset the connection\n"].map(|words| {
        eventually("a line for each", || count(" closed after ") == CROWD);
        count(words)
    });
    assert_eq!(ends, [CROWD / 2; 2]);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_room_that_empties_at_once_tells_those_who_stay() {
    const CROWD: usize = 200;
    let mut server = Server::start(&RELAY);
    let mut witness = server.join();
    let before = Before::of(server.pid());
    let crowd: Vec<Peer> = (0..CROWD).map(|_| server.join()).collect();
    (0..CROWD).for_each(|_| drop(witness.line_with("들어왔습니다")));
    drop(crowd);
    let mut left: Vec<String> = (0..CROWD).map(|_| witness.line()).collect();
    left.sort();
    left.dedup();
    assert!(left.len() == CROWD && left.iter().all(|line| line.ends_with(" 님이 나갔습니다.")), "{left:?}");
    witness.send("/who\n");
    assert_eq!(witness.line(), "* 지금 1명: 손님1");
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Half a handshake, and nothing more: those who do it properly are not held up by it.
#[test]
fn a_hundred_half_open_handshakes_end_and_hold_nobody_up() {
    let mut server = tls_server(&["--mode", "relay", "--handshake-timeout", "5"]);
    let (mut speaker, mut listener) = (TlsPeer::join(&server), TlsPeer::join(&server));
    speaker.line_with("손님2");
    let before = Before::of(server.pid());
    let beginnings: [&[u8]; 4] =
        [b"", b"\x16", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"];
    let half_open: Vec<Peer> = (0..100)
        .map(|n| {
            let mut peer = server.connect();
            peer.send(beginnings[n % 4]);
            peer
        })
        .collect();
    TlsPeer::join(&server).end();
    listener.line_with("나갔습니다");
    for n in 0..50 {
        speaker.send(format!("{n}\n"));
        assert_eq!(listener.line(), format!("[손님1] {n}"));
    }
    eventually("the end of all", || server.log().matches("TLS handshake took too long").count() == 100);
    drop(half_open);
    before.is_back(KEPT_KB);
    server.signal(Signal::SIGTERM);
    assert!(listener.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
    assert_eq!(server.wait().code(), Some(0));
}
