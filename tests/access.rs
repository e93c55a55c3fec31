//! Who may come in: client certificates, and the names in them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use support::program::Program;
use support::tls::{Issued, TlsPeer, assert_refused, s_client, session, tls_client};
use support::*;
use tempfile::TempDir;

const QUIT: &[u8] = b"/quit\n";
const MODES: [&str; 2] = ["echo", "relay"];

/// A CA of the class, and the certificates that it gives out.
struct Class {
    dir: TempDir,
    ca: Issued,
    ca_pem: String,
}

/// The files of one student.
struct Card {
    pem: String,
    key: String,
}

impl Class {
    fn new() -> Class {
        let (dir, ca) = (tempfile::tempdir().unwrap(), Issued::ca("class"));
        let ca_pem = ca.write(dir.path(), "ca").0;
        Class { dir, ca, ca_pem }
    }

    fn server(&self, mode: &str, args: &[&str]) -> Server {
        tls_server(&[&["--mode", mode, "--client-ca", &self.ca_pem], args].concat())
    }

    fn card(&self, name: &str) -> Card {
        self.card_for(name, -1..10)
    }

    fn card_for(&self, name: &str, days: Range<i64>) -> Card {
        self.keep(name, &Issued::leaf(name, &[], days, Some(&self.ca)))
    }

    fn keep(&self, file: &str, issued: &Issued) -> Card {
        let (pem, key) = issued.write(self.dir.path(), file);
        Card { pem, key }
    }
}

impl Card {
    fn ours(&self) -> [&str; 4] {
        ["--cert", &self.pem, "--key", &self.key]
    }

    fn s_client(&self) -> [&str; 4] {
        ["-cert", &self.pem, "-key", &self.key]
    }

    /// A client of the openssl crate that shows this card.
    fn connect(&self, server: &Server) -> TlsPeer {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        connector.set_certificate_chain_file(&self.pem).unwrap();
        connector.set_private_key_file(&self.key, openssl::ssl::SslFiletype::PEM).unwrap();
        TlsPeer::with(connector, server.connect().stream)
    }

    fn join(&self, server: &Server, name: &str) -> TlsPeer {
        let mut peer = self.connect(server);
        let greeting = peer.line();
        assert!(greeting.starts_with(&format!("* 어서 오십시오, {name} 님.")), "{greeting}");
        peer
    }
}

/// Our client has no option for it; OpenSSL's own configuration has.
fn only_tls_1_2(command: &mut Command, dir: &Path) {
    let config = "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nMaxProtocol=TLSv1.2\n";
    let path = dir.join("openssl.cnf");
    fs::write(&path, config).unwrap();
    command.env("OPENSSL_CONF", path);
}

/// SIGHUP reads the clients' CA anew as well: who is in stays, and newcomers are judged by the new one.
#[test]
fn a_reload_takes_the_new_ca_of_the_clients_and_keeps_who_is_in() {
    let class = Class::new();
    let old = class.card("철수");
    let server = class.server("relay", &[]);
    let mut inside = old.join(&server, "철수");
    let reload = |said: &str| {
        server.signal(nix::sys::signal::Signal::SIGHUP);
        server.wait_for_log(said);
    };
    fs::write(&class.ca_pem, "안녕\n").unwrap();
    reload("ca.pem: no certificate in this file: the old certificate stays");
    old.join(&server, "철수");
    inside.line_with("들어왔습니다");

    let next = Issued::ca("next class");
    next.write(class.dir.path(), "ca");
    let new = class.keep("영희", &Issued::leaf("영희", &[], -1..10, Some(&next)));
    reload("SIGHUP: certificate and key read anew");
    new.join(&server, "영희").send("안녕하십니까\n");
    inside.line_with("[영희] 안녕하십니까");
    let refused = run(&mut tls_client(&server, &old.ours()), QUIT);
    assert_refused(&refused, "unknown ca", "--cert");
    server.wait_for_log("client certificate refused: ");
}

#[test]
fn a_certificate_of_the_ca_gets_in_and_its_name_is_the_name() {
    let class = Class::new();
    let (mother, student) = (class.card("영희"), class.card("철수"));
    let server = class.server("relay", &[]);
    let mut listener = mother.join(&server, "영희");
    for version in ["-tls1_2", "-tls1_3"] {
        let mut foreign = Program::start(s_client(&server, &student.s_client()).args([version, "-quiet"]));
        foreign.wait_for("* 어서 오십시오, 철수 님.");
        foreign.say("안녕, 영희야!\n");
        assert_eq!(listener.line_with("["), "[철수] 안녕, 영희야!");
    }
    let ours = run(&mut tls_client(&server, &student.ours()), "또 왔어\n/quit\n".as_bytes());
    assert_eq!((ours.code(), ours.err.as_str()), (0, ""), "{}", ours.text());
    assert_eq!(listener.line_with("["), "[철수] 또 왔어");
    eventually("three log lines", || server.log().matches(" is 철수 (client certificate)\n").count() == 3);
}

#[test]
fn echo_demands_certificates_as_well_and_does_not_care_for_names() {
    let class = Class::new();
    let server = class.server("echo", &[]);
    for name in ["철수", "no relay name!"] {
        let echoed = run(&mut tls_client(&server, &class.card(name).ours()), b"abc");
        assert_eq!((echoed.code(), echoed.text().as_str()), (0, "abc"), "{}", echoed.err);
    }
    server.wait_for_log("is 철수 (client certificate)");
    server.wait_for_log("CN=no relay name!");
    assert_refused(&run(&mut tls_client(&server, &[]), b"abc"), "alert certificate required", "--cert");
}

/// What is wrong, as `(card, its words in the server's log, the alert under TLS 1.3, the hint)`.
fn refusals(class: &Class) -> Vec<(Option<Card>, &'static str, &'static str, &'static str)> {
    let own = Issued::leaf("own", &[], -1..10, None);
    let foreign = Issued::leaf("foreign", &[], -1..10, Some(&Issued::ca("elsewhere")));
    // The name of our CA, and another key: what a second `make certs` elsewhere makes.
    let remade = Issued::leaf("remade", &[], -1..10, Some(&Issued::ca("class")));
    let (expired, early) = (class.card_for("expired", -10..-1), class.card_for("early", 1..10));
    vec![
        (None, "peer did not return a certificate", "certificate required", "--cert"),
        (Some(class.keep("own", &own)), "self-signed certificate (code 18): CN=own", "unknown ca", "CA"),
        (
            Some(class.keep("foreign", &foreign)),
            "unable to get local issuer certificate (code 20): CN=foreign",
            "unknown ca",
            "CA",
        ),
        (
            Some(class.keep("remade", &remade)),
            "certificate signature failure (code 7): CN=remade",
            "decrypt error",
            "로그",
        ),
        (Some(expired), "certificate has expired (code 10): CN=expired", "certificate expired", "만료"),
        (Some(early), "(code 9): CN=early", "bad certificate", "시계"),
    ]
}

#[test]
fn every_other_certificate_is_refused_and_both_sides_say_which() {
    let class = Class::new();
    for mode in MODES {
        let server = class.server(mode, &[]);
        for (card, logged, alert, hint) in refusals(&class) {
            let args = card.as_ref().map_or(vec![], |card| card.ours().to_vec());
            let before = server.log().matches(logged).count();
            // Under TLS 1.3 our handshake is over before the server has judged: the line is on its way.
            assert_refused(&run(&mut tls_client(&server, &args), b"hello\n"), &format!(" alert {alert}"), hint);
            assert_refused(&run(&mut tls_client(&server, &args), b""), &format!(" alert {alert}"), hint);
            eventually(logged, || server.log().matches(logged).count() == before + 2);

            let mut old = tls_client(&server, &args);
            only_tls_1_2(&mut old, class.dir.path());
            let alert = if card.is_none() { "handshake failure" } else { alert };
            assert_refused(&run(&mut old, b"hello\n"), &format!("TLS handshake ({}, 127.0.0.1): ", server.addr), hint);
            assert_refused(&run(&mut old, b"hello\n"), &format!(" alert {alert}"), hint);
            eventually(logged, || server.log().matches(logged).count() == before + 4);
        }
        assert!(!server.log().contains("(client certificate)"), "nobody came in: {}", server.log());
    }
}

#[test]
fn s_client_reads_why_it_is_refused_in_both_versions() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    for (card, _, alert, _) in refusals(&class) {
        let args = card.as_ref().map_or(vec![], |card| card.s_client().to_vec());
        for version in ["-tls1_2", "-tls1_3"] {
            let alert = if card.is_none() && version == "-tls1_2" { "handshake failure" } else { alert };
            let ended = Program::start(s_client(&server, &args).arg(version)).end();
            assert!(ended.code() == 1 && ended.err.contains(&format!(" alert {alert}")), "{alert}: {}", ended.err);
        }
    }
}

#[test]
fn a_certificate_for_a_server_is_none_for_a_client() {
    let class = tls_server(&["--mode", "relay", "--client-ca", &cert("ca.pem")]);
    let card = Card { pem: cert("server.pem"), key: cert("server.key") };
    let ended = run(&mut tls_client(&class, &card.ours()), b"");
    assert_refused(&ended, "alert unsupported certificate", "클라이언트용 인증서가 아닙니다");
    let (mut old, dir) = (tls_client(&class, &card.ours()), tempfile::tempdir().unwrap());
    only_tls_1_2(&mut old, dir.path());
    assert_refused(&run(&mut old, b""), "alert unsupported certificate", "클라이언트용 인증서가 아닙니다");
    class.wait_for_log("client certificate refused: unsuitable certificate purpose (code 26): CN=localhost");
    let good = Card { pem: cert("client.pem"), key: cert("client.key") };
    good.join(&class, "student");
}

#[test]
fn a_refusal_arrives_although_much_has_been_sent() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let much = "x".repeat(1 << 20) + "\n";
    for _ in 0..5 {
        let ended = run(&mut tls_client(&server, &[]), much.as_bytes());
        assert_refused(&ended, "alert certificate required", "--cert");
    }
}

/// It has found fault with the server's certificate too, and was told not to mind.
#[test]
fn a_client_that_trusts_anybody_is_told_of_its_own_certificate() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let args = ["--connect", &server.addr.to_string(), "--tls", "--insecure"];
    let mut old = client(&args);
    only_tls_1_2(&mut old, class.dir.path());
    assert_refused(&run(&mut old, b""), "alert handshake failure", "--cert");
    assert_refused(&run(&mut client(&args), b""), "alert certificate required", "--cert");
}

#[test]
fn a_name_from_a_certificate_cannot_be_changed() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let mut other = class.card("영희").join(&server, "영희");
    let mut peer = class.card("철수").join(&server, "철수");
    peer.send("/name 영희\n/name 민수\n/who\n말\n");
    let refusal = "! 인증서에 적힌 이름을 쓰므로 이름을 바꿀 수 없습니다.";
    assert_eq!([peer.line(), peer.line()], [refusal; 2]);
    assert_eq!(peer.line(), "* 지금 2명: 영희, 철수");
    assert_eq!([other.line(), other.line()], ["* 철수 님이 들어왔습니다.", "[철수] 말"]);

    let third = class.card("민수");
    let asked = [&third.ours()[..], &["--name", "영희"]].concat();
    let ours = run(&mut tls_client(&server, &asked), QUIT);
    assert!(ours.code() == 0 && ours.text().contains(refusal), "{}{}", ours.text(), ours.err);
}

#[test]
fn one_certificate_may_come_twice_and_private_words_reach_both() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let (card, mut other) = (class.card("Kim"), class.card("영희").join(&server, "영희"));
    let (mut first, mut second) = (card.join(&server, "Kim"), card.join(&server, "Kim"));
    other.send("/to Kim 비밀\n/who\n/to kim 누구?\n");
    assert_eq!(second.line(), "[영희 → Kim] 비밀");
    first.line_with("(연결 2개)");
    assert_eq!(first.line(), "[영희 → Kim] 비밀");
    assert_eq!(other.line(), "* Kim 님이 들어왔습니다.");
    assert_eq!(other.line(), "* Kim 님이 들어왔습니다. (연결 2개)");
    assert_eq!(other.line(), "* 지금 2명: 영희, Kim");
    assert!(other.line().starts_with("! kim 님은 접속해 있지 않습니다."), "Kim and kim are two certificates");
    // What one says, the other connection hears.
    first.send("여기\n/quit\n");
    assert_eq!(second.line(), "[Kim] 여기");
    assert_eq!(second.line(), "* Kim 님이 나갔습니다. (남은 연결 1개)");
    drop(second);
    other.line_where(|line| line == "* Kim 님이 나갔습니다.");
    // Back at once: no quarantine for a name that only its owner can have.
    card.join(&server, "Kim");
}

#[test]
fn a_fifth_connection_closes_the_oldest_and_no_other() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let card = class.card("철수");
    let mut peers: Vec<TlsPeer> = (0..4).map(|_| card.join(&server, "철수")).collect();
    let mut newest = card.join(&server, "철수");
    let words = peers.remove(0).rest();
    assert!(
        words.trim_end().lines().last().is_some_and(|last| last.starts_with("! 같은 인증서로는 4개까지")),
        "{words}"
    );
    newest.send("아직 있어?\n");
    for peer in &mut peers {
        assert_eq!(peer.line_with("["), "[철수] 아직 있어?");
    }
    assert!(!server.log().contains("broke the relay's rules"), "{}", server.log());
}

#[test]
fn a_fifth_connection_closes_the_oldest_even_when_that_does_not_read() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let card = class.card("철수");
    let mut oldest = card.join(&server, "철수");
    let words = format!("/to 철수 {}\n", "x".repeat(4000));
    let mut asked = 0;
    // Its own words come back until its buffers are full; then its child is not read from any more.
    oldest.stream.get_ref().set_write_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
    while asked < 16 * 1024 * 1024 && std::io::Write::write_all(&mut oldest.stream, words.as_bytes()).is_ok() {
        asked += words.len();
    }
    let stuck = server.wait_for_children(1);
    let _others: Vec<TlsPeer> = (0..4).map(|_| card.join(&server, "철수")).collect();
    eventually("the end of the oldest connection", || !is_running(stuck[0]));
    assert_eq!(server.wait_for_children(4).len(), 4);
    server.wait_for_log("did not end in time: killed");
}

#[test]
fn a_connection_that_is_closed_so_may_go_on_talking_and_breaks_no_rule() {
    use std::io::Write;
    let class = Class::new();
    let server = class.server("relay", &[]);
    let card = class.card("철수");
    let mut oldest = card.join(&server, "철수");
    let _others: Vec<TlsPeer> = (0..3).map(|_| card.join(&server, "철수")).collect();
    let talker = std::thread::spawn(move || while oldest.stream.write_all("계속 말하기\n".as_bytes()).is_ok() {});
    let mut newest = card.join(&server, "철수");
    newest.line_with("(남은 연결 4개)");
    talker.join().unwrap();
    server.wait_for_log("ended by the server");
    assert!(!server.log().contains("broke the relay's rules"), "{}", server.log());
}

#[test]
fn a_common_name_that_is_no_name_is_refused_in_words() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let long = "가".repeat(21);
    for (n, names) in [&["두 낱말"][..], &["손님7"], &["[철수]"], &[&long], &["철수\0"], &[], &["철수", "영희"]]
        .into_iter()
        .enumerate()
    {
        let card = class.keep(&format!("bad{n}"), &Issued::called(names, &class.ca));
        let ended = run(&mut tls_client(&server, &card.ours()), b"hello\n");
        assert_eq!(ended.code(), 1, "{names:?}");
        assert!(ended.text().starts_with("! 인증서의 이름으로는 들어올 수 없습니다. "), "{}", ended.text());
        assert!(ended.text().lines().count() == 1 && ended.err.contains("힌트: "), "{}{}", ended.text(), ended.err);
    }
    for logged in ["without a name that could be used: CN=두 낱말", ": CN=철수^@", ": CN=철수, CN=영희"] {
        server.wait_for_log(logged);
    }
    eventually("seven endings", || server.log().matches("client certificate has no name to go by").count() == 7);
}

/// Whether s_client got a session that it could resume: a ticket, or in TLS 1.2 the server's session ID.
fn gets_a_session(server: &Server, version: &str, card: &Card, dir: &Path) -> bool {
    let saved = dir.join(version);
    let _ = fs::remove_file(&saved);
    let text = session(server, &[&card.s_client()[..], &[version, "-sess_out", saved.to_str().unwrap()]].concat());
    assert!(text.contains("New, TLSv1."), "{text}");
    saved.exists()
}

#[test]
fn every_connection_is_judged_anew() {
    let class = Class::new();
    let card = class.card("철수");
    let (judging, open) = (class.server("relay", &[]), tls_server(&["--mode", "relay"]));
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(!gets_a_session(&judging, version, &card, class.dir.path()), "{version}");
        assert!(gets_a_session(&open, version, &card, class.dir.path()), "{version}: the test sees no session at all");
    }
}

#[test]
fn a_client_is_told_which_ca_it_needs() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    let text = session(&server, &class.card("철수").s_client());
    let asked = text.split("Acceptable client certificate CA names\n").nth(1).unwrap();
    assert_eq!(asked.lines().next(), Some("CN = class"), "{text}");
}

#[test]
fn without_fork_it_is_the_same() {
    let class = Class::new();
    let server = class.server("relay", &["--no-fork"]);
    assert_refused(&run(&mut tls_client(&server, &[]), b""), "alert certificate required", "--cert");
    class.card("철수").join(&server, "철수");
    server.wait_for_log("is 철수 (client certificate)");
}

#[test]
fn a_bad_client_ca_is_named_before_the_port_opens() {
    let class = Class::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = |name: &str, content: &str| {
        fs::write(class.dir.path().join(name), content).unwrap();
        class.dir.path().join(name)
    };
    let leaf = class.card("철수");
    for (path, reason) in [
        (class.dir.path().join("missing"), "ENOENT"),
        (class.dir.path().to_path_buf(), "EISDIR"),
        (file("empty", ""), "no certificate in this file"),
        (file("garbage", "안녕\n"), "no certificate in this file"),
        (file("armour", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "not a PEM certificate"),
        (leaf.key.into(), "no certificate in this file"),
        (leaf.pem.into(), "not the certificate of a root CA"),
    ] {
        let mut command = Command::new(BIN);
        command.args(["server", "--listen", &taken.local_addr().unwrap().to_string(), "--tls"]);
        command.args(["--cert", &cert("server.pem"), "--key", &cert("server.key"), "--client-ca"]).arg(&path);
        let ended = run(&mut command, b"");
        assert_refused(&ended, &format!("client CA certificate {}: ", path.display()), "");
        assert!(ended.err.contains(reason), "{reason:?}: {}", ended.err);
    }
}

#[test]
fn a_client_names_the_file_that_is_wrong_before_it_goes_out() {
    let class = Class::new();
    let (card, other) = (class.card("철수"), class.card("영희"));
    let missing = class.dir.path().join("missing").to_str().unwrap().to_string();
    // Nobody listens there: it is not asked for.
    for (pem, key, culprit, reason) in [
        (&missing, &card.key, &missing, "ENOENT"),
        (&card.pem, &missing, &missing, "ENOENT"),
        (&card.key, &card.key, &card.key, "no certificate in this file"),
        (&card.pem, &card.pem, &card.pem, "not an unencrypted PEM private key"),
        (&card.pem, &other.key, &other.key, "does not belong to the certificate"),
    ] {
        let ended = run(&mut client(&["--connect", "127.0.0.1:1", "--tls", "--cert", pem, "--key", key]), b"");
        assert_refused(&ended, culprit, "");
        assert!(ended.err.contains(reason) && !ended.err.contains("ECONNREFUSED"), "{reason:?}: {}", ended.err);
    }
}

#[test]
fn only_under_tls_1_3_a_client_believes_that_it_is_in() {
    let class = Class::new();
    let server = class.server("relay", &[]);
    for (version, believes) in [(SslVersion::TLS1_2, false), (SslVersion::TLS1_3, true)] {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        connector.set_max_proto_version(Some(version)).unwrap();
        let handshake = connector.build().connect("127.0.0.1", server.connect().stream);
        assert_eq!(handshake.is_ok(), believes, "{version:?}");
        if let Ok(mut stream) = handshake {
            use std::io::{Read, Write};
            stream.write_all(b"hello\n").unwrap(); // the first send succeeds, too
            assert!(stream.read(&mut [0; 64]).unwrap_err().to_string().contains("certificate required"));
        }
    }
}
