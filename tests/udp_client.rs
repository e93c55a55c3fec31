//! Our own client over UDP: in a pipe, at a terminal, and when nobody answers.
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;
mod support;
#[path = "support/udp.rs"]
mod udp;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pty::Terminal;
use support::program::Program;
use support::*;
use udp::*;

// In a pipe ---------------------------------------------------------------------------------------

/// `sockstep client --udp --connect ADDR`
fn udp_client(addr: impl ToString) -> Command {
    client(&["--udp", "--connect", &addr.to_string()])
}

fn assert_failed(done: &Finished, why: &str, hint: &str) {
    assert_eq!(done.code(), 1, "{}", done.err);
    let (why, hint) = (format!("sockstep: {why}\n힌트: "), hint);
    assert!(done.err.contains(&why) && done.err.contains(hint), "{}", done.err);
}

#[test]
fn a_line_is_a_datagram_and_each_answer_a_line() {
    let server = Server::start(&["--udp"]);
    for (input, output) in [
        (&b""[..], &b""[..]),
        (b"a\nb\n", b"a\nb\n"),
        (b"\n\n\n", b"\n\n\n"),
        (b"no newline", b"no newline\n"),
        ("한 줄\r\n\0\x1b[2J\u{85}\n".as_bytes(), "한 줄\r\n\0\x1b[2J\u{85}\n".as_bytes()),
        (b"\xff\xfe", b"\xff\xfe\n"),
    ] {
        let done = run(&mut udp_client(server.addr), input);
        assert_eq!((done.code(), done.err.as_str(), done.out.as_slice()), (0, "", output));
    }
    let many: String = (0..3000).map(|n| format!("{n}\n")).collect();
    assert!(run(&mut udp_client(server.addr), many.as_bytes()).text() == many);
}

#[test]
fn the_server_sees_the_lines_without_their_newlines() {
    let (server, addr) = played();
    let mut guest = Program::start(&mut udp_client(addr));
    guest.say("first\n\nlast");
    guest.hang_up();
    let mut buf = [0; 100];
    for wanted in ["first", "", "last"] {
        let (n, from) = server.recv_from(&mut buf).unwrap();
        assert_eq!(std::str::from_utf8(&buf[..n]), Ok(wanted));
        server.send_to(b"yes", from).unwrap();
    }
    assert_eq!(guest.end().text(), "yes\nyes\nyes\n");
}

#[test]
fn the_longest_line_goes_and_a_longer_one_is_refused_by_the_kernel() {
    let server = Server::start(&["--udp"]);
    let longest: Vec<u8> = noise(LONGEST).iter().map(|byte| byte | 0x10).chain([b'\n']).collect(); // one line
    let done = run(&mut udp_client(server.addr), &longest);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert!(done.out == longest, "the bytes differ");
    for too_long in [LONGEST + 1, 65_536, 10_000_000] {
        let done = run(&mut udp_client(server.addr), &vec![b'x'; too_long]);
        assert_failed(&done, &format!("sendto({}): EMSGSIZE (Message too long)", server.addr), "65,507바이트");
        assert_eq!(done.text(), "");
    }
}

#[test]
fn nobody_at_the_port_is_told_by_name_and_hint() {
    let (_nobody, addr) = refusing();
    let done = run(&mut udp_client(addr), b"hello\n");
    assert_failed(&done, &format!("recvfrom({addr}): ECONNREFUSED (Connection refused)"), "UDP 서버가 없습니다");
}

#[test]
fn a_host_with_several_addresses_is_tried_until_one_answers() {
    let resolved: Vec<SocketAddr> = std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap().collect();
    for host in resolved.iter().map(|addr| addr.ip()) {
        let server = Server::start_on(&SocketAddr::new(host, 0).to_string(), &["--udp"]);
        let done = run(&mut udp_client(format!("localhost:{}", server.port())), b"a\nb\n");
        assert_eq!((done.text().as_str(), done.code()), ("a\nb\n", 0), "{host}: {}", done.err);
    }
}

#[test]
fn every_address_of_this_machine_is_reached_as_this_machine() {
    let server = Server::start_on("0.0.0.0:0", &["--udp"]);
    let done = run(&mut udp_client(server.addr), b"a\n");
    assert_eq!((done.text().as_str(), done.code(), done.err.as_str()), ("a\n", 0, ""));
}

#[test]
fn what_was_not_answered_is_counted_and_no_good_end() {
    let (server, addr) = played();
    let answers = thread::spawn(move || {
        let mut buf = [0; 100];
        for n in 1..=3 {
            let (length, from) = server.recv_from(&mut buf).unwrap();
            if n != 2 {
                server.send_to(&buf[..length], from).unwrap();
            }
        }
    });
    let begun = Instant::now();
    let done = run(&mut udp_client(addr), b"one\ntwo\nthree\n");
    assert!(begun.elapsed() >= Duration::from_secs(1), "nobody waited for the second answer");
    answers.join().unwrap();
    assert_eq!(done.text(), "one\nthree\n");
    assert!(done.err.starts_with("데이터그램 3개를 보냈고 2개가 돌아왔습니다.\n"), "{}", done.err);
    assert_failed(&done, &format!("{addr}: not every datagram was answered"), "UDP는");
}

#[test]
fn the_words_of_strangers_are_ignored() {
    let (server, addr) = played();
    let (stranger, _) = played();
    let mut guest = Program::start(&mut udp_client(addr));
    guest.say("hello\n");
    let mut buf = [0; 100];
    let (_, from) = server.recv_from(&mut buf).unwrap();
    let port = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), from.port());
    stranger.send_to(b"believe me", port).unwrap();
    server.send_to(b"it is me", from).unwrap();
    guest.wait_for("it is me\n");
    guest.hang_up();
    let done = guest.end();
    assert_eq!((done.text().as_str(), done.code(), done.err.as_str()), ("it is me\n", 0, ""));
}

#[test]
fn from_a_pipe_the_next_line_waits_for_the_answer() {
    let (server, addr) = played();
    let mut guest = Program::start(&mut udp_client(addr));
    guest.say("one\ntwo\n");
    let mut buf = [0; 100];
    let (_, from) = server.recv_from(&mut buf).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap(); // the silence that the test is about
    assert!(server.recv_from(&mut buf).is_err(), "the second line came before the first was answered");
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    server.send_to(b"yes", from).unwrap();
    let (n, _) = server.recv_from(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"two");
    server.send_to(b"yes", from).unwrap();
    guest.hang_up();
    assert_eq!(guest.end().code(), 0);
}

// At a terminal -----------------------------------------------------------------------------------

fn at_terminal(addr: SocketAddr) -> Terminal {
    let terminal = Terminal::client(&["--udp", "--connect", &addr.to_string()]);
    terminal.is_ready();
    terminal
}

#[test]
fn a_person_types_hangul_and_leaves_with_ctrl_d() {
    let server = Server::start(&["--udp"]);
    let mut terminal = at_terminal(server.addr);
    assert!(terminal.rows()[0].starts_with(&format!("{}에 UDP로 보냅니다.", server.addr)));
    terminal.press("안녕하\x7f히\r");
    terminal.shows_last(&["> 안녕히", "안녕히", ">"]);
    terminal.press("\r");
    terminal.shows_last(&["> 안녕히", "안녕히", ">", "", ">"]);
    terminal.press("둘\r");
    terminal.shows_last(&["> 안녕히", "안녕히", ">", "", "> 둘", "둘", ">"]);
    terminal.press("\x04");
    assert_eq!(terminal.end().exit_code(), 0);
    terminal.assert_given_back();
}

#[test]
fn an_answer_is_one_line_whatever_is_in_it() {
    let (server, addr) = played();
    let mut terminal = at_terminal(addr);
    terminal.press("hello\r");
    let (_, from) = server.recv_from(&mut [0; 100]).unwrap();
    server.send_to(b"a\nb\x1b[2J\xc2\x9b\n", from).unwrap();
    terminal.shows_last(&["> hello", "a^Jb^[[2J\\u{9b}^J", ">"]);
}

#[test]
fn what_is_being_typed_stays_below_a_late_answer() {
    let (server, addr) = played();
    let mut terminal = at_terminal(addr);
    terminal.press("hello\r쓰다가");
    terminal.shows_last(&["> hello", "> 쓰다가"]);
    let (_, from) = server.recv_from(&mut [0; 100]).unwrap();
    server.send_to(b"late", from).unwrap();
    terminal.shows_last(&["> hello", "late", "> 쓰다가"]);
}

#[test]
fn a_silent_server_is_told_at_the_end_and_the_terminal_given_back() {
    let (_server, addr) = played();
    let mut terminal = at_terminal(addr);
    terminal.press("hello\r\x04");
    assert_eq!(terminal.end().exit_code(), 1);
    terminal.shows_somewhere("데이터그램 1개를 보냈고 0개가 돌아왔습니다.");
    terminal.assert_given_back();
}

#[test]
fn nobody_at_the_port_gives_the_terminal_back_too() {
    let (_nobody, addr) = refusing();
    let mut terminal = at_terminal(addr);
    terminal.press("hello\r");
    assert_eq!(terminal.end().exit_code(), 1);
    terminal.shows_somewhere("ECONNREFUSED (Connection refused)");
    terminal.assert_given_back();
}

#[test]
fn ctrl_c_gives_the_terminal_back_and_ends_as_signals_do() {
    let (_server, addr) = played();
    let mut terminal = at_terminal(addr);
    terminal.press("hello\r쓰다가");
    terminal.shows_last(&["> 쓰다가"]);
    terminal.press("\x03");
    assert_eq!(terminal.end().signal(), Some("Interrupt"));
    terminal.assert_given_back();
}

#[test]
fn after_ctrl_z_and_fg_the_conversation_goes_on() {
    let server = Server::start(&["--udp"]);
    let script = format!("{BIN} client --udp --connect {}; echo RESTING; read go; fg", server.addr);
    let mut terminal = Terminal::run((24, 120), &["sh", "-mc", &script]);
    terminal.is_ready();
    terminal.press("안녕");
    terminal.shows_last(&["> 안녕"]);
    terminal.press("\x1a");
    terminal.shows_last(&["RESTING"]);
    terminal.assert_given_back();
    terminal.press("go\r");
    terminal.shows_last(&["> 안녕"]);
    terminal.press("히\r");
    terminal.shows_last(&["> 안녕히", "안녕히", ">"]);
}
