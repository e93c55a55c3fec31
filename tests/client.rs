//! Our own client: in a pipe, at a terminal, and when things go wrong.
#![allow(clippy::unwrap_used)]

#[path = "support/piped.rs"]
mod piped;
#[path = "support/pty.rs"]
mod pty;
mod support;

use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs};
use std::thread;

use nix::sys::signal::Signal;
use piped::Piped;
use pty::Terminal;
use support::*;

const BACKSPACE: &str = "\x7f";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// The arguments of a client that verifies the certificate of `server`.
fn tls_args(server: &Server) -> [String; 5] {
    ["--connect", &server.addr.to_string(), "--tls", "--ca", &cert("ca.pem")].map(String::from)
}

fn assert_echoed(args: &[&str], data: &[u8]) {
    let done = run(&mut client(args), data);
    assert_eq!((done.code(), done.err.as_str(), done.out.len()), (0, "", data.len()));
    assert!(done.out == data, "the bytes differ");
}

/// Failed, and says why in the kernel's words and in Korean.
fn assert_failed(done: &Finished, why: &str, hint: &str) {
    assert_eq!(done.code(), 1, "{}", done.err);
    for part in ["sockstep: ", why, "\n힌트: ", hint] {
        assert!(done.err.contains(part), "no {part:?} in: {}", done.err);
    }
    assert!(!done.err.contains("panicked"), "{}", done.err);
}

// In a pipe ---------------------------------------------------------------------------------------

#[test]
fn a_pipe_gets_the_whole_echo_and_a_good_end() {
    let server = Server::start(&["--mode", "echo"]);
    let addr = server.addr.to_string();
    for data in [&b""[..], b"a\nb\n", b"no newline", b"\0\x1b[2J\xff\r\n"] {
        assert_echoed(&["--connect", &addr], data);
    }
    assert_echoed(&["--connect", &addr], &noise(20_000_000));
}

#[test]
fn a_pipe_gets_the_whole_echo_over_tls_too() {
    let server = tls_server(&["--mode", "echo"]);
    let args = tls_args(&server);
    for data in [&b""[..], b"a\nb\n", &noise(20_000_000)] {
        assert_echoed(&args.each_ref().map(String::as_str), data);
    }
}

#[test]
fn both_threads_share_one_tls_connection_without_losing_a_byte() {
    let server = tls_server(&["--mode", "echo"]);
    let (args, data) = (tls_args(&server), noise(5_000_000));
    let args = args.each_ref().map(String::as_str);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..6).for_each(|_| assert_echoed(&args, &data)));
        }
    });
}

#[test]
fn a_name_is_what_others_see() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut chulsoo = Piped::start(&["--connect", &server.addr.to_string(), "--name", "철수"]);
    other.line_with("이름이 바뀌었습니다: 손님2 → 철수");
    chulsoo.say("안녕하십니까\n");
    assert_eq!(other.line(), "[철수] 안녕하십니까");
    other.send("어서 와\n");
    chulsoo.hears("[손님1] 어서 와\n");
}

#[test]
fn a_refused_name_is_told_and_the_conversation_goes_on() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut guest = Piped::start(&["--connect", &server.addr.to_string(), "--name", "손님77"]);
    guest.hears("! 이름을 바꾸지 못했습니다. '손님'으로 시작하는 이름은 서버만 붙일 수 있습니다.\n");
    guest.say("그래도\n");
    other.line_with("[손님2] 그래도");
}

#[test]
fn a_line_piped_into_a_relay_is_heard_and_the_client_ends_by_itself() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let done = run(&mut client(&["--connect", &server.addr.to_string()]), b"hi\n");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    other.line_with("[손님2] hi");
    other.line_with("손님2 님이 나갔습니다");
}

#[test]
fn quit_ends_well_although_the_pipe_stays_open() {
    let server = Server::start(&["--mode", "relay"]);
    let tls = tls_server(&["--mode", "relay"]);
    for args in [&["--connect".to_string(), server.addr.to_string()][..], &tls_args(&tls)] {
        let mut guest = Piped::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        guest.hears("* 어서 오십시오");
        guest.say("/quit\n");
        let done = guest.end();
        assert!(done.text().ends_with("* 안녕히 가십시오.\n"), "{}", done.text());
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
    }
}

#[test]
fn quit_ends_well_when_it_comes_in_two_pieces() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut guest = Piped::start(&["--connect", &server.addr.to_string()]);
    guest.say("first\n/qu");
    other.line_with("first"); // so these bytes have been read and sent on their own
    guest.say("it\n");
    let done = guest.end();
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
}

#[test]
fn quit_ends_well_when_more_follows_it() {
    let server = Server::start(&["--mode", "relay"]);
    for goodbye in ["/quit\nnobody hears this\n", "/quit now\n", "/quit\tx\r\n"] {
        let mut guest = Piped::start(&["--connect", &server.addr.to_string()]);
        guest.hears("* 어서 오십시오");
        guest.say(goodbye);
        let done = guest.end();
        assert_eq!((done.code(), done.err.as_str()), (0, ""), "{goodbye:?}");
    }
}

#[test]
fn an_echo_of_what_looks_like_a_refusal_is_none() {
    let server = Server::start(&[]);
    let echoed = run(&mut client(&["--connect", &server.addr.to_string()]), b"! hello\n");
    assert_eq!((echoed.code(), echoed.text().as_str(), echoed.err.as_str()), (0, "! hello\n", ""));
}

#[test]
fn a_lost_server_is_no_good_end_after_a_line_that_only_mentions_quit() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut guest = Piped::start(&["--connect", &server.addr.to_string()]);
    guest.say("to leave, type /quit\n");
    other.line_with("type /quit");
    server.signal(Signal::SIGKILL);
    assert_failed(&guest.end(), "closed the connection", "서버가 연결을 닫았습니다");
}

// When things go wrong ----------------------------------------------------------------------------

#[test]
fn a_killed_server_is_noticed() {
    let plain = Server::start(&["--mode", "relay"]);
    let tls = tls_server(&["--mode", "relay"]);
    let args = ["--connect".to_string(), plain.addr.to_string()];
    for (server, args) in [(&plain, &args[..]), (&tls, &tls_args(&tls))] {
        let guest = Piped::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        guest.hears("* 어서 오십시오");
        server.signal(Signal::SIGKILL);
        assert_failed(&guest.end(), "closed", "");
    }
}

#[test]
fn a_server_that_stops_says_goodbye_first() {
    let server = Server::start(&["--mode", "relay"]);
    let guest = Piped::start(&["--connect", &server.addr.to_string()]);
    guest.hears("* 어서 오십시오");
    server.signal(Signal::SIGTERM);
    let done = guest.end();
    assert!(done.text().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"), "{}", done.text());
    assert_failed(&done, &format!("{}: closed the connection", server.addr), "서버가 연결을 닫았습니다");
}

#[test]
fn a_reset_connection_is_named_by_its_errno() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut guest = Piped::start(&["--connect", &addr.to_string()]);
    guest.say("hello\n");
    let mut peer = Peer::new(listener.accept().unwrap().0);
    assert_eq!(peer.line(), "hello");
    peer.reset();
    assert_failed(&guest.end(), &format!("recv({addr}): ECONNRESET (Connection reset by peer)"), "상대가 연결을");
}

#[test]
fn a_refused_connection_is_explained() {
    // Bound but not listening: nobody else can be given this port meanwhile.
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
    use std::os::fd::AsRawFd;
    let held = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(held.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let addr = getsockname::<SockaddrIn>(held.as_raw_fd()).unwrap();
    let done = run(&mut client(&["--connect", &addr.to_string()]), b"hi\n");
    assert_failed(&done, &format!("connect({addr}): ECONNREFUSED (Connection refused)"), "기다리는 서버가 없습니다");
    assert_eq!(done.out, b"");
}

#[test]
fn a_name_with_several_addresses_leads_to_the_one_that_answers() {
    // The server takes the last address of localhost: the client has to get past the others.
    let addrs: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let server = Server::start_on(&addrs.last().unwrap().to_string(), &[]);
    assert_echoed(&["--connect", &format!("localhost:{}", server.port())], b"found\n");
}

#[test]
fn a_name_that_does_not_exist_is_explained() {
    // An empty label is refused by the resolver itself: nobody has to be asked.
    let done = run(&mut client(&["--connect", "a..b:7000"]), b"");
    assert_failed(&done, "getaddrinfo(a..b): ", "철자를 확인하십시오");
}

#[test]
fn a_closed_standard_output_ends_the_client() {
    let server = Server::start(&[]);
    let mut guest = Piped::start_unheard(&["--connect", &server.addr.to_string()]);
    guest.say("nobody will read this\n");
    let done = guest.end();
    assert_eq!((done.code(), done.err.as_str()), (1, "sockstep: write(stdout): EPIPE (Broken pipe)\n"));
}

// At a terminal -----------------------------------------------------------------------------------

#[test]
fn an_incoming_line_does_not_tear_the_one_being_typed() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.press("안녕하");
    terminal.shows_last(&["> 안녕하"]);
    other.line_with("손님2 님이 들어왔습니다");
    other.send("끼어드는 줄입니다\n");
    terminal.shows_last(&["[손님1] 끼어드는 줄입니다", "> 안녕하"]);
    assert_eq!(terminal.cursor().1, "> ".len() + 3 * 2);

    terminal.press(&format!("{BACKSPACE}히 가세요\r"));
    assert_eq!(other.line(), "[손님2] 안녕히 가세요");
    terminal.shows_last(&["[손님1] 끼어드는 줄입니다", "> 안녕히 가세요", ">"]);
}

#[test]
fn a_long_line_in_a_narrow_window_never_wraps_and_is_sent_whole() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut terminal = Terminal::run((12, 20), &[BIN, "client", "--connect", &server.addr.to_string()]);
    terminal.is_ready();
    let long = "가나다라마바사아자차카타파하0한글은두칸씩차지한다1";
    terminal.press(long.trim_end_matches('1'));
    terminal.shows_last(&["> 은두칸씩차지한다"]); // one more syllable would stand where the cursor is
    terminal.press("1");
    let shown = "> 은두칸씩차지한다1"; // fills the row, but for the cursor
    terminal.shows_last(&[shown]);
    other.line_with("손님2 님이 들어왔습니다");
    other.send("끼어듦\nand a line that is longer than the window\n");
    terminal.shows_last(&["[손님1] 끼어듦", "[손님1] and a line t", "hat is longer than t", "he window", shown]);
    let (row, column) = terminal.cursor();
    assert!(!terminal.wraps(row) && column < 20, "cursor in {row}, {column}");

    terminal.press("\r");
    terminal.shows_last(&["he window", shown, ">"]);
    assert_eq!(other.line_with("[손님2]"), format!("[손님2] {long}"));
}

#[test]
fn ctrl_d_ends_an_echo_well() {
    let server = Server::start(&["--mode", "echo"]);
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.press("메아리\r");
    terminal.shows_last(&["> 메아리", "메아리", ">"]);
    terminal.press(CTRL_D);
    assert_eq!(terminal.end().exit_code(), 0);
    terminal.assert_given_back();
    terminal.shows_last(&["> 메아리", "메아리"]);
}

#[test]
fn ctrl_d_leaves_a_relay_with_a_goodbye_that_others_see() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.shows_somewhere("* 어서 오십시오");
    terminal.press(CTRL_D);
    assert_eq!(terminal.end().exit_code(), 0);
    other.line_with("손님2 님이 나갔습니다");
    terminal.shows_last(&["* 안녕히 가십시오."]); // the answer to /quit: no time-out was needed
    terminal.assert_given_back();
}

#[test]
fn ctrl_d_after_a_long_silence_still_waits_for_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = Terminal::client(&["--connect", &listener.local_addr().unwrap().to_string()]);
    let mut server = Peer::new(listener.accept().unwrap().0);
    terminal.is_ready();
    thread::park_timeout(std::time::Duration::from_millis(1200)); // the silence that the test is about
    terminal.press(&format!("마지막 말\r{CTRL_D}"));
    assert_eq!(server.rest(), "마지막 말\n"); // up to the client's FIN: only now the answer goes out
    server.send("마지막 대답\n");
    drop(server);
    assert_eq!(terminal.end().exit_code(), 0);
    terminal.shows_somewhere("마지막 대답");
}

#[test]
fn ctrl_d_in_a_line_does_nothing() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.press(&format!("가{CTRL_D}나\r"));
    terminal.shows_last(&["> 가나", "가나", ">"]);
}

#[test]
fn a_signal_gives_the_terminal_back_and_ends_the_client_as_signals_do() {
    let server = Server::start(&["--mode", "relay"]);
    for (signal, name) in [(None, "Interrupt"), (Some(Signal::SIGTERM), "Terminated"), (Some(Signal::SIGHUP), "Hangup")]
    {
        let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
        terminal.is_ready();
        terminal.press("쓰다가 만");
        terminal.shows_last(&["> 쓰다가 만"]);
        match signal {
            None => terminal.press(CTRL_C),
            Some(signal) => terminal.signal(signal),
        }
        assert_eq!(terminal.end().signal(), Some(name));
        terminal.assert_given_back();
    }
}

#[test]
fn ctrl_c_leaves_a_relay_before_one_who_still_listens() {
    let server = Server::start(&["--mode", "relay"]);
    let (mut witness, listening) = (server.join(), server.join());
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.shows_somewhere("* 어서 오십시오");
    listening.half_close();
    terminal.press(CTRL_C);
    assert_eq!(terminal.end().signal(), Some("Interrupt"));
    assert_eq!(witness.line_with("나갔습니다"), "* 손님3 님이 나갔습니다.");
    assert_eq!(witness.line_with("나갔습니다"), "* 손님2 님이 나갔습니다.");
}

#[test]
fn the_terminal_is_given_back_when_the_server_goes() {
    let server = Server::start(&["--mode", "relay"]);
    let mut terminal = Terminal::client(&["--connect", &server.addr.to_string()]);
    terminal.is_ready();
    terminal.shows_somewhere("* 어서 오십시오");
    terminal.press("쓰다가 만");
    terminal.shows_last(&["> 쓰다가 만"]);
    server.signal(Signal::SIGTERM);
    assert_eq!(terminal.end().exit_code(), 1);
    terminal.shows_somewhere("* 서버를 종료합니다. 안녕히 가십시오.");
    terminal
        .shows_last(&[&format!("sockstep: {}: closed the connection", server.addr), "힌트: 서버가 연결을 닫았습니다."]);
    terminal.assert_given_back();
}

#[test]
fn after_ctrl_z_and_fg_the_typed_text_is_there_again() {
    let server = Server::start(&["--mode", "relay"]);
    let mut other = server.join();
    // A shell with job control: when the client rests, the script goes on to `read`, and then to `fg`.
    let script = format!("{BIN} client --connect {}; echo RESTING; read go; fg", server.addr);
    let mut terminal = Terminal::run((24, 120), &["sh", "-mc", &script]);
    terminal.is_ready();
    terminal.press("안녕하");
    terminal.shows_last(&["> 안녕하"]);
    terminal.press(CTRL_Z);
    terminal.shows_last(&["RESTING"]);
    terminal.assert_given_back();
    other.line_with("손님2 님이 들어왔습니다");
    other.send("자는 동안\n");
    terminal.press("go\r");
    terminal.shows_last(&["[손님1] 자는 동안", "> 안녕하"]);
    terminal.press(&format!("{BACKSPACE}히\r"));
    assert_eq!(other.line_with("[손님2]"), "[손님2] 안녕히");
    terminal.press(CTRL_D);
    assert_eq!(terminal.end().exit_code(), 0);
    terminal.assert_given_back();
}

#[test]
fn a_hostile_server_cannot_drive_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let terminal = Terminal::client(&["--connect", &addr]);
    let mut hostile = Peer::new(listener.accept().unwrap().0);
    terminal.is_ready();
    hostile.send("\x1b[2J\x1b[31mred\n\u{9b}2J\u{202e}\x07\n");
    terminal.shows_last(&["^[[2J^[[31mred", "\\u{9b}2J\\u{202e}^G", ">"]);
    assert!(terminal.rows()[0].starts_with(&format!("{addr}에 접속했습니다")), "the screen was cleared");
    hostile.send("\x1b[2Jno end");
    drop(hostile);
    terminal.shows_somewhere("^[[2Jno end");
}

#[test]
fn a_server_that_never_stops_talking_cannot_keep_the_client_from_ending() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    for ends_by_itself in [false, true] {
        let mut terminal = Terminal::client(&["--connect", &addr]);
        let talker = Peer::new(listener.accept().unwrap().0);
        terminal.is_ready();
        let talking = std::thread::spawn(move || {
            let mut talker = talker;
            let until = std::time::Instant::now() + DEADLINE;
            while std::time::Instant::now() < until && talker.stream.write_all(b"and another thing\n").is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(20)); // its manner of talking
            }
        });
        terminal.shows_somewhere("and another thing");
        terminal.press(CTRL_D);
        if ends_by_itself {
            assert_eq!(terminal.end().exit_code(), 0);
        } else {
            terminal.press(CTRL_C);
            assert_eq!(terminal.end().signal(), Some("Interrupt"));
        }
        terminal.assert_given_back();
        talking.join().unwrap();
    }
}

#[test]
fn a_server_that_does_not_read_cannot_keep_the_client_from_ending() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run((4, 10), &[BIN, "client", "--connect", &addr]);
    terminal.is_ready();
    terminal.press_until_full("a long paste\r");
    terminal.signal(Signal::SIGINT); // Ctrl-C itself would wait behind the paste, in the kernel's queue
    assert_eq!(terminal.end().signal(), Some("Interrupt"));
    terminal.assert_given_back();
}

#[test]
fn at_a_terminal_a_client_goes_on_waiting_for_a_server_that_may_be_stepped_through() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // the kernel connects, nobody answers
    let addr = silent.local_addr().unwrap().to_string();
    let mut terminal = Terminal::client(&["--tls", "--ca", &cert("ca.pem"), "--connect", &addr]);
    terminal.shows_somewhere("서버가 아직 TLS 핸드셰이크에 답하지 않았습니다. 계속 기다립니다."); // 10 s: else it gives up
    terminal.press("\x03");
    assert!(!terminal.end().success());
    terminal.assert_given_back();
}
