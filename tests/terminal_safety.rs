//! Nothing that another one sends can move the cursor, recolour the screen or turn the words round: not at a client, not
//! in a trace or a step, not in a log, a picture or a report.
#![allow(clippy::unwrap_used)]

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/pty.rs"]
mod pty;
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;

use hostile::*;
use openssl::ssl::{SslConnector, SslMethod};
use pty::Terminal;
use support::tls::{Issued, TlsPeer};
use support::*;

/// The last line of a conversation.
const LAST: &str = "that-was-all";

/// A server that says all of it to whoever comes, and its end.
fn hostile_server() -> String {
    serve(|mut conn| {
        conn.write_all(&all()).unwrap();
        conn.write_all(format!("{LAST}\n").as_bytes()).unwrap();
        conn.shutdown(Shutdown::Write).unwrap();
        let _ = conn.read_to_end(&mut Vec::new());
    })
}

fn serve(each: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(|conn| drop(thread::spawn(move || each(conn)))));
    addr
}

/// It answers each datagram with the next of it.
fn hostile_udp_server() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut buf, mut next) = ([0; 2048], (0..).map(|n| HOSTILE[n % HOSTILE.len()]));
        while let Ok((_, from)) = socket.recv_from(&mut buf) {
            let answer = [next.next().unwrap().as_bytes(), b"\n", RAW, LAST.as_bytes()].concat();
            let _ = socket.send_to(&answer, from);
        }
    });
    addr
}

// What a server hands on ---------------------------------------------------------------------------

#[test]
fn what_one_client_says_reaches_the_others_and_himself_as_text() {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--mode", "relay", "--trace"]).env("RUST_LOG", "trace");
    let server = Server::from_command(command);
    let (mut other, mut sender) = (server.join(), server.join());
    for hostile in HOSTILE.iter().map(|hostile| hostile.as_bytes()).chain([RAW]) {
        for before in ["", "말 ", "//", "/", "/name ", "/to ", "/to 손님1 ", "/who "] {
            sender.send([before.as_bytes(), hostile, b" x\n"].concat());
        }
    }
    sender.send(format!("{LAST}\n/{LAST}\n"));
    for (who, peer) in [("another client", &mut other), ("the sender", &mut sender)] {
        peer.line_where(|line| {
            assert_harmless(who, line);
            line.contains(LAST)
        });
    }
    drop((other, sender));
    server.wait_for_children(0);
    assert_harmless("the log", server.log());
}

#[test]
fn what_a_certificate_claims_is_harmless_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, stranger) = (Issued::ca("school"), Issued::ca("\x1b[2Jstranger"));
    let (ca_file, _) = ca.write(dir.path(), "ca");
    let server = tls_server(&["--mode", "relay", "--client-ca", &ca_file]);
    let short: String =
        HOSTILE.iter().filter(|hostile| **hostile != "\0").copied().collect::<String>().chars().take(60).collect();
    for by in [&ca, &stranger] {
        let issued = Issued::called(&[&short], by);
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        connector.set_certificate(&issued.pem).unwrap();
        connector.set_private_key(&issued.key).unwrap();
        let mut peer = TlsPeer::with(connector, server.connect().stream);
        let _ = peer.stream.read_to_end(&mut Vec::new()); // refused, one way or the other
    }
    server.wait_for_log("without a name that could be used: CN=^[[2J");
    server.wait_for_log("client certificate refused: ");
    assert_harmless("the log", server.log());
}

#[test]
fn what_is_no_handshake_is_harmless_in_the_log() {
    let mut command = Command::new(BIN);
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    command.args(["server", "--listen", "127.0.0.1:0", "--trace", "--tls", "--cert", &pem, "--key", &key]);
    command.env("RUST_LOG", "trace");
    let server = Server::from_command(command);
    for start in [&b""[..], b"\x16\x03\x01\x02\0\x01", b"\x15\x03\x03\0\x02\x02", b"\x16\x03"] {
        let mut peer = server.connect();
        peer.send([start, &all()].concat());
        peer.half_close();
        let _ = peer.stream.read_to_end(&mut Vec::new());
    }
    server.wait_for_children(0);
    assert_harmless("the log", server.log());
}

// What a client shows ------------------------------------------------------------------------------

#[test]
fn a_client_at_a_terminal_shows_text_whoever_the_server_is() {
    let mut terminal = Terminal::run((60, 120), &[BIN, "client", "--connect", &hostile_server()]);
    terminal.shows_somewhere(LAST);
    terminal.end();
    assert!(terminal.rows().iter().any(|row| row.contains("begin ^[[2J^[[31;1m end")));
    assert!(!terminal.is_coloured());
    assert_only_ours("a terminal", terminal.written());
}

#[test]
fn a_client_that_only_writes_to_a_terminal_shows_text_as_well() {
    let talks = format!("echo x | {BIN} client --connect {}", hostile_server());
    let mut terminal = Terminal::run((60, 120), &["sh", "-c", &talks]);
    terminal.shows_somewhere(LAST);
    terminal.end();
    assert!(terminal.rows().iter().any(|row| row == r"begin \u{9b}2J end"));
    assert_only_ours("a terminal that is only written to", terminal.written());
}

/// Whoever reads from a pipe gets what came, byte for byte.
#[test]
fn between_pipes_a_client_changes_nothing() {
    let done = run(&mut client(&["--connect", &hostile_server()]), b"");
    assert_eq!(done.out, [all(), format!("{LAST}\n").into_bytes()].concat());
}

#[test]
fn datagrams_are_shown_as_text() {
    let addr = hostile_udp_server();
    let talks = format!("yes | head -n 25 | {BIN} client --udp --connect {addr}");
    let mut terminal = Terminal::run((60, 120), &["sh", "-c", &talks]);
    terminal.end();
    terminal.shows_somewhere(LAST);
    assert_only_ours("a terminal that is only written to", terminal.written());
    let mut terminal = Terminal::client(&["--udp", "--connect", &addr]);
    terminal.is_ready();
    terminal.press(&"x\r".repeat(25));
    eventually("all answers", || String::from_utf8_lossy(&terminal.written()).matches(LAST).count() == 25);
    terminal.press("\x04");
    terminal.end();
    assert_only_ours("a terminal", terminal.written());
}

// What is shown of the calls -----------------------------------------------------------------------

#[test]
fn a_trace_and_what_is_made_of_it_hold_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (trace, keys) = (path("trace"), path("keys"));
    std::fs::write(&keys, "\n".repeat(200)).unwrap();
    let server = Server::start(&[&format!("--trace={trace}")]);
    let addr = server.addr.to_string();
    // One at a time: of a long text a line of the trace shows the beginning.
    for words in HOSTILE.iter().map(|words| words.as_bytes()).chain([RAW]) {
        for look in [&["--trace"][..], &["--step-script", &keys]] {
            let done = run(client(&["--connect", &addr]).args(look), words);
            assert_eq!((done.code(), done.out.as_slice()), (0, words));
            assert_harmless(look[0], done.err);
        }
    }
    drop(server);
    assert_harmless("a trace file", std::fs::read(&trace).unwrap());
    let timeline = |output: &[&str]| {
        let done = run(Command::new(BIN).args(["timeline", &trace]).args(output), b"");
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
        done.out
    };
    assert_harmless("a timeline", timeline(&[]));
    for form in ["x.svg", "x.html"] {
        timeline(&["-o", &path(form)]);
        assert_harmless(form, std::fs::read(path(form)).unwrap());
    }
}

// What is said of another's server -----------------------------------------------------------------

#[test]
fn a_report_quotes_a_server_as_text() {
    let tcp = serve(|mut conn| while conn.write_all(&all()).is_ok() {});
    let udp = hostile_udp_server();
    for (addr, args) in [(&tcp, "--stage 1"), (&tcp, "--stage 2"), (&udp, "--udp")] {
        for json in [&[][..], &["--json"]] {
            let mut command = Command::new(BIN);
            command.arg("check").args(args.split(' ')).args(["--timeout", "0.1", addr]).args(json);
            let done = run(&mut command, b"");
            assert_harmless(args, done.out);
            assert_harmless(args, done.err);
        }
    }
}
