//! Who says a byte at a time, and who never reads: it is their own time only.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};

use super::support::holdings::*;
use super::support::tls::TlsPeer;
use super::support::*;
use super::{RELAY, kill_child};

/// Fifty say a line each, byte by byte in turns: also in the middle of a character.
fn say_byte_by_byte<S: Read + Write>(mut server: Server, join: impl Fn(&Server) -> Peer<S>) {
    const SLOW: usize = 50;
    let (mut speaker, mut listener) = (join(&server), join(&server));
    speaker.line_with("손님2");
    drop(join(&server));
    listener.line_with("손님3 님이 나갔습니다");
    server.wait_for_children(2);
    let before = Before::of(server.pid());
    let mut slow: Vec<Peer<S>> = (0..SLOW).map(|_| join(&server)).collect();
    (0..SLOW).for_each(|_| drop(listener.line_with("들어왔습니다")));
    let lines: Vec<String> = (0..SLOW).map(|n| format!("느리게 {:02}\n", n)).collect();
    for at in 0..lines[0].len() {
        slow.iter_mut().zip(&lines).for_each(|(peer, line)| peer.send(&line.as_bytes()[at..=at]));
        if at + 1 < lines[0].len() {
            speaker.send(format!("{at}\n"));
            assert_eq!(listener.line(), format!("[손님1] {at}"), "others wait for who is slow");
        }
    }
    let mut said: Vec<String> = (0..SLOW).map(|_| listener.line()).collect();
    said.sort_by_key(|line| line.split_once(' ').unwrap().1.to_string());
    let expected: Vec<String> = (0..SLOW).map(|n| format!("[손님{}] 느리게 {n:02}", n + 4)).collect();
    assert_eq!(said, expected);
    drop(slow);
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn lines_are_put_together_from_single_bytes_and_nobody_waits_for_them() {
    say_byte_by_byte(Server::start(&RELAY), Server::join);
}

#[test]
fn lines_are_put_together_from_records_of_one_byte() {
    say_byte_by_byte(tls_server(&RELAY), TlsPeer::join);
}

/// A connection whose receive buffer is as small as it can be: the window is closed soon, and stays so.
fn narrow(server: &Server) -> TcpStream {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&stream, sockopt::RcvBuf, &1).unwrap();
    let SocketAddr::V4(to) = server.addr else { panic!("IPv6") };
    connect(stream.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    Peer::new(stream.into()).stream
}

/// Through a narrow window a handshake takes long on a machine that has much to do.
const PATIENT: [&str; 2] = ["--handshake-timeout", "60"];
/// How long somebody who does not read may try to say more.
const TRIES: Duration = Duration::from_millis(200);
const NARROW: usize = 10;

fn say_and_never_read<S: Read + Write + Send + Debug>(mut server: Server, over: impl Fn(TcpStream) -> S + Sync) {
    let mut witness = over(server.connect().stream);
    let mut says = |text: &[u8]| {
        let mut back = vec![0; text.len()];
        witness.write_all(text).unwrap();
        witness.read_exact(&mut back).unwrap();
        assert_eq!(back, text);
    };
    says(b"before\n");
    let before = Before::of(server.pid());
    let stalled: Vec<S> = thread::scope(|scope| {
        let stalling: Vec<_> = (0..NARROW)
            .map(|_| {
                scope.spawn(|| {
                    let stream = narrow(&server);
                    stream.set_write_timeout(Some(TRIES)).unwrap();
                    let mut stream = over(stream);
                    let said = stream.write_all(&vec![b'x'; 64 << 20]);
                    assert!(said.is_err(), "64 MiB taken from one who does not read");
                    stream
                })
            })
            .collect();
        stalling.into_iter().map(|one| one.join().unwrap()).collect()
    });
    (0..20).for_each(|_| says(&noise(10_000)));
    for child in server.wait_for_children(1 + NARROW) {
        if may_look_into(child) {
            let dirty = proc_kb(child, "smaps_rollup", "Private_Dirty:");
            assert!(dirty < 1536, "a child that cannot get rid of anything holds {dirty} kB");
        }
    }
    drop(stalled);
    before.is_back(KEPT_KB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_echo_to_who_never_reads_costs_a_child_and_no_memory() {
    say_and_never_read(Server::start(&[]), |stream| stream);
}

#[test]
fn an_encrypted_echo_to_who_never_reads_costs_a_child_and_no_memory() {
    say_and_never_read(tls_server(&PATIENT), |stream| TlsPeer::over(stream).stream);
}

/// Ten never read, and the child of one of them is stopped besides; they are cut off, and the one who does read misses
/// nothing of what was said meanwhile.
fn talk_past_who_never_reads<S: Read + Write + Send>(mut server: Server, over: impl Fn(TcpStream) -> Peer<S>) {
    let join = |stream| {
        let mut peer = over(stream);
        assert!(peer.line().starts_with("* 어서 오십시오"));
        peer
    };
    let (mut listener, mut speaker) = (join(server.connect().stream), join(server.connect().stream));
    let stay = server.wait_for_children(2);
    let before = Before::of(server.pid());
    let stalled: Vec<Peer<S>> = (0..NARROW).map(|_| join(narrow(&server))).collect();
    let stopped = server.children().into_iter().find(|child| !stay.contains(child)).unwrap();
    kill_child(stopped, Signal::SIGSTOP);
    let cut_off = || server.log().matches(" reads too slowly: cut off").count();
    let (said, heard) = thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            let mut heard = 0;
            loop {
                let line = listener.line_where(|line| line.starts_with('['));
                let number = line.split(' ').nth(1).unwrap();
                if number == "end" {
                    return heard;
                }
                assert_eq!(number, heard.to_string());
                heard += 1;
            }
        });
        let padding = "x".repeat(8000);
        let mut said = 0;
        while cut_off() < NARROW {
            assert!(said < 50_000, "nobody is cut off");
            speaker.send(format!("{said} {padding}\n"));
            said += 1;
        }
        speaker.send("end\n");
        (said, hearing.join().unwrap())
    });
    assert_eq!(said, heard);
    assert_eq!(cut_off(), NARROW);
    server.wait_for_log("did not end in time: killed");
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    drop(stalled);
    server.signal(Signal::SIGTERM);
    assert!(speaker.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn ten_who_never_read_are_cut_off_and_the_others_miss_nothing() {
    talk_past_who_never_reads(Server::start(&["--mode", "relay", "--slow-timeout", "1"]), Peer::new);
}

#[test]
fn ten_who_never_read_over_tls_are_cut_off_and_the_others_miss_nothing() {
    let args = [&["--mode", "relay", "--slow-timeout", "1"], &PATIENT[..]].concat();
    talk_past_who_never_reads(tls_server(&args), TlsPeer::over);
}
