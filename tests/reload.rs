//! A running server and its operator: SIGHUP reads files anew, SIGUSR1 tells who is there; nobody is lost.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use openssl::ssl::{SslConnector, SslMethod, SslStream};
use support::tls::Issued;
use support::*;

/// A folder with `ca.pem`, and the server's certificate and key at paths that stay the same.
struct Class {
    dir: tempfile::TempDir,
    ca: Issued,
}

impl Class {
    fn new() -> Class {
        let (dir, ca) = (tempfile::tempdir().unwrap(), Issued::ca("class CA"));
        ca.write(dir.path(), "ca");
        let class = Class { dir, ca };
        class.issue("first");
        class
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a new certificate for `subject` in the place of the old one.
    fn issue(&self, subject: &str) {
        Issued::leaf(subject, &["localhost"], -1..10, Some(&self.ca)).write(self.dir.path(), "server");
    }

    fn server(&self, args: &[&str]) -> Server {
        let (pem, key) = (self.path("server.pem"), self.path("server.key"));
        let files = ["--tls", "--cert", pem.to_str().unwrap(), "--key", key.to_str().unwrap()];
        Server::start(&[&files, args].concat())
    }

    /// A newcomer who verifies the server; and the subject of the certificate that it was shown.
    fn connect(&self, server: &Server) -> (SslStream<TcpStream>, String) {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(self.path("ca.pem")).unwrap();
        let stream = connector.build().connect("127.0.0.1", server.connect().stream).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        let name = certificate.subject_name().entries().next().unwrap().data().to_string().unwrap();
        (stream, name)
    }
}

/// Sends SIGHUP and waits until the server says that it has done what it could.
fn reload(server: &Server) -> String {
    let done = |log: &str| log.matches(" clients stay").count();
    let before = server.log();
    server.signal(Signal::SIGHUP);
    eventually("the end of the reload", || done(&server.log()) > done(&before));
    server.log()[before.len()..].to_string()
}

/// `stream` gets back what it says.
fn says_and_hears(stream: &mut SslStream<TcpStream>, word: &str) {
    use std::io::{Read, Write};
    stream.write_all(word.as_bytes()).unwrap();
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, word.as_bytes());
}

#[test]
fn twenty_conversations_go_on_through_ten_reloads_and_newcomers_see_each_new_certificate() {
    const CLIENTS: usize = 20;
    let class = Class::new();
    let server = class.server(&[]);
    let (stop, rounds) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; CLIENTS]);
    thread::scope(|scope| {
        for counter in &rounds {
            let (mut stream, _) = class.connect(&server);
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let round = counter.fetch_add(1, Ordering::Relaxed);
                    says_and_hears(&mut stream, &format!("{round} 안녕\n"));
                }
            });
        }
        let _over = Over(&stop);
        let children = server.wait_for_children(CLIENTS);
        for n in 0..10 {
            let subject = format!("certificate {n}");
            class.issue(&subject);
            let said = reload(&server);
            assert!(said.contains("SIGHUP: certificate and key read anew"), "{said}");
            assert!(said.contains("SIGHUP: 20 clients stay"), "{said}");
            let (newcomer, shown) = class.connect(&server);
            assert_eq!(shown, subject);
            drop(newcomer);
            server.wait_for_children(CLIENTS);
        }
        assert_eq!(server.children(), children, "the very same processes as before");
        for counter in &rounds {
            let before = counter.load(Ordering::Relaxed);
            eventually("every conversation to go on", || counter.load(Ordering::Relaxed) > before + 1);
        }
    });
}

/// Ends the conversations also when something has failed: nobody waits for them for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assert_keeps_the_old(class: &Class, server: &Server, why: &str) {
    let said = reload(server);
    assert!(said.contains("ERROR") && said.contains(why), "{why:?} in: {said}");
    assert!(said.contains(": the old certificate stays"), "{said}");
    let (mut newcomer, shown) = class.connect(server);
    assert_eq!(shown, "first");
    says_and_hears(&mut newcomer, "still here\n");
}

#[test]
fn a_broken_new_certificate_leaves_the_old_one_and_the_log_says_why() {
    let class = Class::new();
    let server = class.server(&[]);
    let (pem, key) = (class.path("server.pem"), class.path("server.key"));
    let good = [&pem, &key].map(|path| fs::read(path).unwrap());
    let (mut old, _) = class.connect(&server);
    let restore = || {
        fs::write(&pem, &good[0]).unwrap();
        fs::write(&key, &good[1]).unwrap();
    };
    let harm = |path: &Path, text: &str| fs::write(path, text).unwrap();

    harm(&pem, "안녕\n");
    assert_keeps_the_old(&class, &server, "server.pem: no certificate in this file");
    restore();
    harm(&key, "안녕\n");
    assert_keeps_the_old(&class, &server, "server.key: not an unencrypted PEM private key");
    restore();
    fs::remove_file(&key).unwrap();
    assert_keeps_the_old(&class, &server, "server.key: ENOENT");
    restore();
    class.issue("second");
    fs::write(&key, &good[1]).unwrap(); // a new certificate, and the old key
    assert_keeps_the_old(&class, &server, "server.key: does not belong to the certificate");
    says_and_hears(&mut old, "and so am I\n");

    class.issue("third"); // and once it is right, it is taken
    assert!(reload(&server).contains("certificate and key read anew"));
    assert_eq!(class.connect(&server).1, "third");
}

#[test]
fn a_server_without_files_survives_a_reload() {
    let server = Server::start(&["--mode", "relay"]);
    let (mut first, mut second) = (server.join(), server.join());
    first.line_with("손님2");
    let said = reload(&server);
    assert!(said.contains("SIGHUP: 2 clients stay") && !said.contains("ERROR"), "{said}");
    second.send("아직 있습니다\n");
    assert_eq!(first.line(), "[손님2] 아직 있습니다");
}

/// Sends SIGUSR1 and returns the table's rows, without what stands before the connection's number.
fn table(server: &Server, clients: usize) -> Vec<String> {
    let before = server.log().len();
    server.signal(Signal::SIGUSR1);
    let rows = || -> Vec<String> {
        let log = server.log()[before..].to_string();
        let rows = log.lines().filter(|line| line.contains(" bytes behind"));
        rows.filter_map(|line| Some(line.split_once("] ")?.1.into())).collect()
    };
    eventually("the whole table", || rows().len() == clients);
    assert!(server.log()[before..].contains(&format!("SIGUSR1: {clients} clients")));
    rows()
}

/// Waits until each row ends like this. A child counts what it has sent when the call has come back: the
/// client may have it before.
fn table_ends(server: &Server, ends: &[&str]) -> Vec<String> {
    let mut rows = Vec::new();
    eventually(&format!("a table with {ends:?}"), || {
        rows = table(server, ends.len());
        rows.iter().zip(ends).all(|(row, end)| row.ends_with(end))
    });
    rows
}

#[test]
fn sigusr1_lists_every_client_with_name_peer_process_and_what_it_has_moved() {
    let server = Server::start(&["--mode", "relay"]);
    let (mut first, mut second) = (server.join(), server.join());
    let joined = first.line_with("손님2");
    second.send("/name 영희\n");
    let renamed = "* 이름이 바뀌었습니다: 손님2 → 영희";
    assert_eq!((first.line().as_str(), second.line().as_str()), (renamed, renamed));
    second.send("안녕\n");
    assert_eq!(first.line(), "[영희] 안녕");
    let children = server.wait_for_children(2);
    let greeting = |name: &str, people: usize| {
        format!(
            "* 어서 오십시오, {name} 님. 지금 {people}명이 접속해 있습니다. /help를 입력하면 명령을 볼 수 있습니다.\n"
        )
        .len()
    };
    let lines = |lines: &[&str]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    let told_first = greeting("손님1", 1) + lines(&[&joined, renamed, "[영희] 안녕"]);
    let told_second = greeting("손님2", 2) + lines(&[renamed]);
    let peers = [&first, &second].map(|peer| peer.stream.local_addr().unwrap());
    let said = "/name 영희\n안녕\n".len();
    let ends = [(0, told_first), (said, told_second)]
        .map(|(said, told)| format!(" s, {said} bytes in, {told} bytes out, 0 bytes behind"));
    let rows = table_ends(&server, &[&ends[0], &ends[1]]);
    assert!(rows[0].starts_with(&format!("c1 손님1 {} pid {}: ", peers[0], children[0])), "{rows:?}");
    assert!(rows[1].starts_with(&format!("c2 영희 {} pid {}: ", peers[1], children[1])), "{rows:?}");
}

#[test]
fn the_table_counts_echo_and_tls_in_bytes_of_the_conversation() {
    let class = Class::new();
    let server = class.server(&[]);
    let (mut stream, _) = class.connect(&server);
    says_and_hears(&mut stream, &"x".repeat(70_000));
    let rows = table_ends(&server, &[" 70000 bytes in, 70000 bytes out, 0 bytes behind"]);
    assert!(rows[0].starts_with("c1 - 127.0.0.1:"), "{rows:?}");
    drop(stream);
    server.wait_for_children(0);
    let (mut next, _) = class.connect(&server); // takes the place of the one that left, and its own count
    says_and_hears(&mut next, "abc");
    table_ends(&server, &[" 3 bytes in, 3 bytes out, 0 bytes behind"]);
}

#[test]
fn the_table_shows_who_is_behind() {
    let server = Server::start(&["--mode", "relay", "--slow-timeout", "600"]);
    let (stalled, mut speaker) = (server.join(), server.join());
    let line = "x".repeat(60_000) + "\n";
    let behind = |row: &String| row.rsplit_once(" out, ").unwrap().1.split(' ').next().unwrap().parse::<u64>().unwrap();
    speaker.send_until_full(line.repeat(500).as_bytes());
    let rows = table(&server, 2);
    assert!(behind(&rows[0]) > 1_000_000, "{rows:?}");
    assert_eq!(behind(&rows[1]), 0, "what one says oneself one is not owed: {rows:?}");
    drop(stalled);
}

#[test]
fn a_storm_of_signals_hurts_nobody() {
    let class = Class::new();
    let server = class.server(&["--mode", "relay"]);
    let (mut stream, _) = class.connect(&server);
    for _ in 0..200 {
        server.signal(Signal::SIGHUP);
        server.signal(Signal::SIGUSR1);
    }
    reload(&server);
    let mut peer = Peer::around(&mut stream);
    assert!(peer.line().starts_with("* 어서 오십시오"));
    peer.send("/who\n");
    assert_eq!(peer.line(), "* 지금 1명: 손님1");
}
