//! Stage 3: the same conversation, encrypted; and every way in which TLS may refuse or end.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod};
use support::program::Program;
use support::tls::{Corked, TlsPeer, assert_refused, s_client, session, tls_client};
use support::*;

const RELAY: &[&str] = &["--mode", "relay"];

/// A client that is not ours, and that verifies the server.
fn foreign_client(name: &str, server: &Server) -> Command {
    let (ca, port) = (cert("ca.pem"), server.port());
    if name == "s_client" {
        return s_client(server, &["-quiet", "-verify_return_error"]);
    }
    let mut command = Command::new(name);
    match name {
        "ncat" => command.args(["--ssl-verify", "--ssl-trustfile", &ca, "localhost", &port.to_string()]),
        _ => command.args(["-", &format!("OPENSSL:127.0.0.1:{port},cafile={ca},commonname=localhost")]),
    };
    command
}

#[test]
fn foreign_clients_and_ours_talk_over_tls() {
    for name in ["ncat", "socat", "s_client"] {
        let server = tls_server(RELAY);
        let mut foreign = Program::start(&mut foreign_client(name, &server));
        foreign.wait_for("* 어서 오십시오");
        foreign.say("/name 순이\n");
        foreign.wait_for("순이");
        let mut ours = Program::start(&mut tls_client(&server, &["--name", "철수"]));
        foreign.wait_for("철수");

        foreign.say("안녕, 철수야!\n");
        ours.wait_for("[순이] 안녕, 철수야!\n");
        ours.say("반갑다, 순이야. 🙂\n");
        foreign.wait_for("[철수] 반갑다, 순이야. 🙂\n");
        assert!(!foreign.heard().contains("[순이]"), "nobody hears himself: {}", foreign.heard());

        ours.say("/quit\n");
        let ended = ours.end();
        assert_eq!((ended.code(), ended.err.as_str()), (0, ""));
    }
}

#[test]
fn only_forward_secret_aead_suites_are_spoken() {
    let server = tls_server(RELAY);
    for (version, suite) in [
        ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("-tls1_3", "TLS_AES_128_GCM_SHA256"),
        ("-tls1_3", "TLS_AES_256_GCM_SHA384"),
        ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256"),
    ] {
        let choice = if version == "-tls1_2" { "-cipher" } else { "-ciphersuites" };
        let text = session(&server, &[version, choice, suite]);
        assert!(text.contains(&format!("Cipher is {suite}")), "{text}");
        assert!(text.contains("Verification: OK") && text.contains("Compression: NONE"), "{text}");
    }
    let chosen = session(&server, &["-tls1_2"]);
    assert!(chosen.contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"), "{chosen}");
    assert!(chosen.contains("Server Temp Key: X25519"), "{chosen}");
}

#[test]
fn old_versions_and_weak_suites_are_refused() {
    let server = tls_server(RELAY);
    let (version, suite) = ("tlsv1 alert protocol version", "sslv3 alert handshake failure");
    for (args, alert) in [
        (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], version),
        (["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], version),
        (["-tls1_2", "-cipher", "AES128-SHA"], suite),
        (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], suite),
        (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], suite),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], suite),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"], suite),
        (["-tls1_2", "-cipher", "aNULL@SECLEVEL=0"], suite),
    ] {
        let ended = run(&mut s_client(&server, &args), b"");
        // The alert came from the server: it is not our own openssl that would not try.
        assert!(ended.code() == 1 && ended.err.contains(alert), "{args:?}: {}", ended.err);
        assert!(ended.text().contains("Cipher is (NONE)"), "{}", ended.text());
    }
    server.wait_for_log("TLS handshake failed: unsupported protocol");
    server.wait_for_log("TLS handshake failed: no shared cipher");
}

#[test]
fn records_that_come_together_with_the_end_of_the_handshake_are_all_read() {
    let server = tls_server(&["--mode", "echo"]);
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(cert("ca.pem")).unwrap();
    let corked = Corked(server.connect().stream, Vec::new());
    // TLS 1.3: the client has the last word of the handshake, and nothing to wait for before it talks.
    let mut stream = connector.build().connect("localhost", corked).unwrap();
    for record in ["one ", "two ", "three"] {
        stream.write_all(record.as_bytes()).unwrap();
    }
    let mut back = [0; 13];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"one two three");
}

#[test]
fn records_are_all_read_wherever_the_stream_is_cut() {
    let server = tls_server(&["--mode", "echo"]);
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(cert("ca.pem")).unwrap();
    let corked = Corked(server.connect().stream, Vec::new());
    let mut stream = connector.build().connect("localhost", corked).unwrap();
    for short in [1, 5, 6, 22, 23] {
        for record in ["one ", "two ", "three"] {
            stream.write_all(record.as_bytes()).unwrap();
        }
        // The end of it comes later: whatever came before is answered, and then the rest.
        let corked = stream.get_mut();
        let rest = corked.1.split_off(corked.1.len() - short);
        let mut back = [0; 13];
        stream.read_exact(&mut back[..8]).unwrap();
        stream.get_mut().1 = rest;
        stream.read_exact(&mut back[8..]).unwrap();
        assert_eq!(&back, b"one two three", "{short} bytes later");
    }
    // More than one read takes, and a last record that is small.
    let much: Vec<u8> = (0..100_001_u32).map(|n| n as u8).collect();
    stream.write_all(&much).unwrap();
    let mut back = vec![0; much.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == much);
}

#[test]
fn renegotiation_is_refused() {
    let server = tls_server(RELAY);
    let mut pushy = Program::start(&mut s_client(&server, &["-tls1_2"]));
    pushy.wait_for("* 어서 오십시오");
    pushy.say("R\n"); // to s_client: renegotiate
    let ended = pushy.end();
    assert!(ended.code() == 1 && ended.err.contains("no renegotiation"), "{}", ended.err);
    TlsPeer::join(&server);
}

#[test]
fn a_session_ticket_is_good_at_another_child() {
    let server = tls_server(RELAY);
    let dir = tempfile::tempdir().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let ticket = dir.path().join(version);
        let ticket = ticket.to_str().unwrap();
        let first = session(&server, &[version, "-sess_out", ticket]);
        let again = session(&server, &[version, "-sess_in", ticket]);
        assert!(first.contains("New, TLSv1.") && again.contains("Reused, TLSv1."), "{version} {first} {again}");
    }
    let log = server.log();
    let pids: std::collections::BTreeSet<_> = log.lines().filter_map(|line| line.split_once("by pid ")).collect();
    assert_eq!(pids.len(), 4, "each connection had its own child: {log}");
}

#[test]
fn children_inherit_the_random_generator_and_yet_each_has_numbers_of_its_own() {
    let server = tls_server(RELAY);
    let randoms: std::collections::BTreeSet<[u8; 32]> = (0..8)
        .map(|_| {
            let mut random = [0; 32];
            TlsPeer::join(&server).stream.ssl().server_random(&mut random);
            random
        })
        .collect();
    assert_eq!(randoms.len(), 8);
}

#[test]
fn a_child_at_rest_gives_back_what_the_handshake_needed() {
    let server = tls_server(&["--mode", "echo"]);
    let mut peer = TlsPeer::connect(&server);
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
    let child = server.wait_for_children(1)[0];
    if !may_look_into(child) {
        return;
    }
    let dirty = || proc_kb(child, "smaps_rollup", "Private_Dirty:");
    let before = dirty();
    eventually("the child to give memory back", || dirty() + 16 <= before);
    peer.send("그래도 있어요\n");
    assert_eq!(peer.line(), "그래도 있어요");
}

#[test]
fn the_servers_end_is_a_close_notify() {
    for (mode, words, signal) in [
        ("relay", "/quit\n", None),
        ("relay", "", Some(Signal::SIGTERM)),
        ("echo", "", Some(Signal::SIGTERM)),
        ("echo", "half-closed, and all of it comes back", None),
    ] {
        let mut server = tls_server(&["--mode", mode]);
        let mut peer = TlsPeer::connect(&server);
        if mode == "echo" {
            peer.send("* 어서\n");
        }
        // In TLS 1.3 our handshake is over before the server's: a line tells that it is there, too.
        assert!(peer.line().starts_with("* 어서"));
        peer.send(words);
        match signal {
            Some(signal) => server.signal(signal),
            None if mode == "echo" => peer.end(),
            None => {}
        }
        let rest = peer.rest();
        assert!(peer.was_told_the_end(), "{mode} {words:?} {signal:?}");
        assert!(mode == "relay" || rest == words, "{rest}");
        if signal.is_some() {
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_killed_child_does_not_look_like_a_clean_end() {
    let server = tls_server(RELAY);
    let mut peer = TlsPeer::join(&server);
    let ours = Program::start(&mut tls_client(&server, &[]));
    ours.wait_for("* 어서");
    for pid in server.wait_for_children(2) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    peer.rest();
    assert!(!peer.was_told_the_end());
    let ended = ours.end();
    assert!(ended.code() == 1 && ended.err.contains("without close_notify"), "{}", ended.err);
}

#[test]
fn a_last_line_without_newline_counts_only_with_close_notify() {
    for clean in [true, false] {
        let server = tls_server(RELAY);
        let mut listener = TlsPeer::join(&server);
        let mut speaker = TlsPeer::join(&server);
        speaker.send("first\nlast-without-newline");
        if clean {
            speaker.end();
        } else {
            speaker.cut();
            server.wait_for_log("without close_notify");
        }
        listener.line_with("] first");
        if clean {
            listener.line_with("] last-without-newline");
        }
        drop(speaker);
        assert_eq!(listener.line(), "* 손님2 님이 나갔습니다.");
        assert_eq!(server.log().contains("without close_notify"), !clean);
    }
}

#[test]
fn echo_logs_a_truncated_end() {
    let server = tls_server(&["--mode", "echo"]);
    let mut peer = TlsPeer::connect(&server);
    peer.send("some");
    peer.cut();
    assert_eq!(peer.rest(), "some");
    server.wait_for_log("client left without close_notify");
}

/// A TLS server, not ours, that says hello to one client and then ends well or badly.
fn foreign_server(clean: bool, reads_to_the_end: bool) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate_chain_file(cert("server.pem")).unwrap();
        acceptor.set_private_key_file(cert("server.key"), SslFiletype::PEM).unwrap();
        let tcp = Peer::new(listener.accept().unwrap().0).stream; // for its deadlines
        let mut stream = acceptor.build().accept(tcp).unwrap();
        stream.write_all("안녕!\n".as_bytes()).unwrap();
        if reads_to_the_end {
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        if clean {
            stream.shutdown().unwrap();
        }
        stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.get_mut().read_to_end(&mut Vec::new()); // RST would eat the hello
    });
    (port, server)
}

#[test]
fn our_client_tells_truncation_from_an_end() {
    for (clean, input_ends_first, code, reason) in [
        (true, true, 0, ""),
        (true, false, 1, "closed the connection"),
        (false, true, 1, "without close_notify"),
        (false, false, 1, "without close_notify"),
    ] {
        let (port, server) = foreign_server(clean, input_ends_first);
        let address = format!("localhost:{port}");
        let mut ours = Program::start(&mut client(&["--connect", &address, "--tls", "--ca", &cert("ca.pem")]));
        if input_ends_first {
            ours.hang_up();
        }
        let ended = ours.end();
        assert_eq!((ended.code(), ended.text().as_str()), (code, "안녕!\n"), "{}", ended.err);
        assert!(ended.err.contains(reason) && ended.err.contains("힌트: ") == (code == 1), "{}", ended.err);
        server.join().unwrap();
    }
}

#[test]
fn the_whole_handshake_has_one_deadline() {
    let server = tls_server(&["--mode", "echo", "--handshake-timeout", "1"]);
    let mut silent = server.connect();
    // A record with a ClientHello of 508 bytes: at this pace it would take ten seconds.
    let mut hello = vec![0; 517];
    hello[..9].copy_from_slice(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]);
    let mut dribbler = server.connect().stream;
    dribbler.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut dribbled = 0;
    let gone = hello.iter().any(|byte| {
        dribbled += 1;
        if dribbled == 2 {
            let mut other = TlsPeer::connect(&server);
            other.send("meanwhile\n");
            assert_eq!(other.line(), "meanwhile");
        }
        let sent = dribbler.write(&[*byte]);
        let waiting = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        sent.is_err() || !matches!(dribbler.read(&mut [0; 64]), Err(error) if waiting(&error))
    });
    assert!(gone, "each byte must not win another second");
    assert!(silent.rest().contains("TLS"));
    eventually("two log lines", || server.log().matches("TLS handshake took too long").count() == 2);
}

/// Sends one byte a call.
#[derive(Debug)]
struct Dribbled(TcpStream);

impl Read for Dribbled {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Dribbled {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.write(&data[..1])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handshake_that_dribbles_but_ends_in_time_is_as_good_as_any() {
    for mode in ["echo", "relay"] {
        let server = tls_server(&["--mode", mode]);
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        let conn = server.connect().stream;
        conn.set_nodelay(true).unwrap();
        let mut peer = Peer::around(connector.build().connect("127.0.0.1", Dribbled(conn)).unwrap());
        peer.send("안녕\n");
        assert!(peer.line().contains("안녕") || mode == "relay");
    }
}

#[test]
fn plain_text_on_a_tls_port_is_told_so_in_plain_text() {
    for mode in ["echo", "relay"] {
        let server = tls_server(&["--mode", mode]);
        let ncat = run(Command::new("ncat").args(["127.0.0.1", &server.port().to_string()]), "안녕\n".as_bytes());
        let words = ncat.text();
        assert!(words.starts_with("! ") && words.contains("TLS") && words.lines().count() == 1, "{words}");
        server.wait_for_log("plain text on a TLS port");

        let mut ours = Program::start(&mut client(&["--connect", &server.addr.to_string()]));
        ours.say("안녕\n");
        let ended = ours.end();
        assert_eq!((ended.code(), ended.text()), (1, words), "{}", ended.err);
    }
}

#[test]
fn tls_on_a_plain_relay_is_told_so() {
    let server = Server::start(RELAY);
    assert_refused(&run(&mut tls_client(&server, &[]), b""), "wrong version number", "--tls");
    server.wait_for_log("TLS on a plain port");
}

#[test]
fn tls_on_a_plain_echo_is_explained_by_our_client() {
    let server = Server::start(&["--mode", "echo"]);
    assert_refused(&run(&mut tls_client(&server, &[]), b""), "TLS handshake", "--tls");
}

#[test]
fn over_the_limit_is_an_alert() {
    let server = tls_server(&["--mode", "relay", "--max-clients", "1"]);
    let _first = TlsPeer::join(&server);
    assert_refused(&run(&mut tls_client(&server, &[]), b"hello\n"), "access denied", "자리");
    let foreign = run(&mut s_client(&server, &[]), b"");
    assert!(foreign.code() == 1 && foreign.err.contains("alert access denied"), "{}", foreign.err);
    server.wait_for_log("refused 127.0.0.1:");
}
