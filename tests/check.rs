//! The grader: our own server is what the course asks for, others' servers are what they are, and no server can hold
//! the grader, mislead it or draw on the terminal.
#![allow(clippy::unwrap_used)]

#[path = "support/graded.rs"]
mod graded;
#[path = "support/pty.rs"]
mod pty;
mod support;
#[path = "support/tool.rs"]
mod tool;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use graded::*;
use pty::Terminal;
use support::*;
use tinyjson::JsonValue;
use tool::Tool;

fn assert_all_pass(server: &Server, args: &[&str], count: usize) {
    let graded = grade(&server.addr.to_string(), args);
    let failed: Vec<_> =
        graded.names(false).iter().map(|name| format!("{name}: {}", graded.said(name, "came"))).collect();
    assert_eq!((failed, graded.code), (Vec::<String>::new(), 0));
    assert_eq!(graded.names(true).len(), count);
    assert_eq!(*graded.document["passed"].get::<f64>().unwrap(), count as f64);
}

const ECHO: usize = 15;
const RELAY: usize = 14;
const TLS: usize = 9;
const UDP: usize = 7;
/// What is not asked for over TLS.
const HALF_CLOSE: usize = 2;

// Our own server ----------------------------------------------------------------------------------

#[test]
fn our_echo_is_a_stage_1() {
    assert_all_pass(&Server::start(&[]), &["--stage", "1"], ECHO);
    assert_all_pass(&Server::start_on("[::1]:0", &[]), &["--stage", "1"], ECHO);
}

#[test]
fn our_relay_is_a_stage_2() {
    assert_all_pass(&Server::start(&["--mode", "relay"]), &["--stage", "2"], RELAY);
}

#[test]
fn our_relay_over_tls_is_a_stage_3() {
    let server = tls_server(&["--mode", "relay"]);
    assert_all_pass(&server, &["--stage", "3", "--ca", &cert("ca.pem")], TLS + RELAY);
}

#[test]
fn our_echo_over_tls_is_a_stage_1_over_tls() {
    assert_all_pass(&tls_server(&[]), &["--stage", "1", "--tls", "--ca", &cert("ca.pem")], TLS + ECHO - HALF_CLOSE);
}

#[test]
fn our_udp_echo_is_a_stage_1_over_udp() {
    assert_all_pass(&Server::start(&["--udp"]), &["--udp"], UDP);
    assert_all_pass(&Server::start_on("[::1]:0", &["--udp"]), &["--udp", "--stage", "1"], UDP);
}

// Others' servers ---------------------------------------------------------------------------------

#[test]
fn socat_with_a_cat_for_each_client_is_a_stage_1() {
    let socat = Tool::start(&["socat", "TCP-LISTEN:PORT,bind=127.0.0.1,fork,reuseaddr,backlog=64", "EXEC:cat"]);
    let graded = grade(&socat.addr(), &["--stage", "1"]);
    assert_eq!((graded.names(false), graded.code), (vec![], 0));
}

/// It writes to its own pipe, which nobody else reads: while its client does not read either, that can be for good.
#[test]
fn socat_with_a_pipe_may_stop_at_a_late_reader_and_at_nothing_else() {
    let socat = Tool::start(&["socat", "TCP-LISTEN:PORT,bind=127.0.0.1,fork,reuseaddr,backlog=64", "PIPE"]);
    let graded = grade(&socat.addr(), &["--stage", "1", "--timeout", "3"]);
    let volume = ["echo-large", "echo-late-reader", "echo-half-close-late"];
    let failed = graded.names(false);
    assert!(failed.iter().all(|name| volume.contains(name)), "{failed:?}");
    assert_eq!(graded.names(true).len() + failed.len(), ECHO);
}

/// At the client's FIN ncat ends, with what cat has not given back yet; and while both write, and neither reads,
/// ncat and cat wait for each other.
#[test]
fn ncat_with_a_cat_for_each_client_forgets_the_rest_at_a_half_close() {
    let ncat = Tool::start(&["ncat", "-l", "-k", "-e", "/bin/cat", "127.0.0.1", "PORT"]);
    let done = check(&ncat.addr(), &["--stage", "1", "--timeout", "3"]);
    assert_eq!(done.code(), 1);
    // README shows this row; how much of the 2 MiB comes is another number each time.
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let shown = readme.split("```text\n실패  ").nth(1).unwrap().split("```").next().unwrap();
    let until_it_came = shown.split(" 가운데").next().unwrap();
    assert!(done.text().contains(&format!("실패  {until_it_came} 가운데")), "{until_it_came} in: {}", done.text());
    assert!(
        shown.ends_with("\n      참고: notes/08-send-recv.md (이 항목만 다시: --case echo-half-close-late)\n"),
        "{shown}"
    );
    let text = done.text();
    let failed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("실패  ")).collect();
    let volume = ["half-close", "보내기를 마친", "4MiB를 보내면서", "8MiB를"];
    assert!(failed.iter().all(|title| volume.iter().any(|part| title.contains(part))), "{failed:?}");
}

const NCAT_CHAT_FAILS: [&str; 5] =
    ["relay-hangul", "relay-cut-syllable", "relay-pieces", "relay-mixed-pieces", "relay-stalled-reader"];

/// It escapes what is not ASCII, takes a piece for a line, and waits for who does not read; and `more`.
fn assert_is_ncats_chat(graded: &Graded, more: &[&str]) {
    assert_eq!((graded.names(false), graded.code), ([&NCAT_CHAT_FAILS, more].concat(), 1));
    assert!(graded.said("relay-hangul", "came").contains(r"\\354\\225\\210"), "안 in octal");
    assert!(graded.said("relay-pieces", "came").contains(" two <user"), "{}", graded.said("relay-pieces", "came"));
    assert!(graded.said("relay-stalled-reader", "sent").starts_with("민수가 읽지 않는 동안"));
    assert!(graded.said("relay-stalled-reader", "came").contains("초 동안 오지 않았습니다"));
}

#[test]
fn ncats_chat_is_a_stage_2_but_for_hangul_pieces_and_a_stalled_client() {
    let ncat = Tool::start(&["ncat", "-l", "-k", "--chat", "127.0.0.1", "PORT"]);
    assert_is_ncats_chat(&grade(&ncat.addr(), &["--stage", "2", "--timeout", "2"]), &[]);
}

#[test]
fn ncats_chat_over_tls_is_the_same_as_a_stage_3_and_waits_for_the_rest_of_a_record() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = ["--ssl", "--ssl-cert", &pem, "--ssl-key", &key];
    let ncat = Tool::start(&[&["ncat", "-l", "-k", "--chat"], &tls[..], &["127.0.0.1", "PORT"]].concat());
    let graded = grade(&ncat.addr(), &["--stage", "3", "--timeout", "2", "--ca", &cert("ca.pem")]);
    assert_is_ncats_chat(&graded, &["tls-stalled-record"]);
}

/// It takes an empty datagram for the end, and of the ICMP error of a client that has gone it may not recover in time: that
/// hits the case about it, and may hit one that comes behind another's clients.
#[test]
fn socats_udp_echo_is_one_but_for_empty_datagrams() {
    let socat = Tool::start_udp(&["socat", "UDP-RECVFROM:PORT,bind=127.0.0.1,fork", "EXEC:cat"]);
    let graded = grade(&socat.addr(), &["--udp", "--timeout", "2"]);
    let failed = graded.names(false);
    let came: Vec<&str> = failed.iter().map(|case| graded.said(case, "came")).collect();
    let known = ["udp-two-clients", "udp-gone-client", "udp-empty"];
    assert!(failed.contains(&"udp-empty") && failed.iter().all(|case| known.contains(case)), "{failed:?}: {came:?}");
    assert_eq!(graded.code, 1);
}

// A server of the wrong kind ----------------------------------------------------------------------

#[test]
fn plain_text_where_tls_is_due_is_named_and_costs_no_time() {
    for mode in ["echo", "relay"] {
        let server = Server::start(&["--mode", mode]);
        let began = Instant::now();
        let graded = grade(&server.addr.to_string(), &["--stage", "3", "--ca", &cert("ca.pem")]);
        assert_eq!((graded.names(true), graded.code), (vec![], 1));
        let came = graded.said("tls-handshake", "came");
        assert!(came.starts_with("TLS가 아닌 평문 서버입니다"), "{came}");
        assert!(graded.said("relay-all", "came").contains("평문 서버"));
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
}

#[test]
fn the_certificate_of_another_ca_fails_that_case_alone() {
    let other = tempfile::tempdir().unwrap();
    make_certs(other.path(), &[]);
    let ca = other.path().join("ca.pem").to_str().unwrap().to_string();
    let graded = grade(&tls_server(&[]).addr.to_string(), &["--stage", "1", "--tls", "--ca", &ca]);
    assert_eq!((graded.names(false), graded.code), (vec!["tls-ca"], 1));
    assert!(graded.said("tls-ca", "came").contains("지정한 CA가 발급한 인증서가 아닙니다"));
}

#[test]
fn tls_where_plain_text_is_tried_is_named() {
    for (stage, first) in [("1", "echo-line"), ("2", "relay-all")] {
        let server = tls_server(&["--mode", "relay"]);
        let graded = grade(&server.addr.to_string(), &["--stage", stage]);
        assert_eq!((graded.names(true), graded.code), (vec![], 1));
        assert!(graded.said(first, "came").ends_with("--tls를 붙여 검사하십시오"), "{}", graded.said(first, "came"));
    }
}

#[test]
fn an_echo_is_no_relay_and_a_relay_no_echo() {
    let graded = grade(&Server::start(&[]).addr.to_string(), &["--stage", "2", "--timeout", "0.5"]);
    assert_eq!((graded.names(true), graded.code), (vec![], 1));
    assert!(graded.said("relay-all", "came").contains("철수에게만 돌아왔습니다"));
    let graded = grade(&Server::start(&["--mode", "relay"]).addr.to_string(), &["--stage", "1", "--timeout", "0.5"]);
    assert!(graded.said("echo-line", "came").starts_with("1번째 글자부터 다릅니다: \"* 어서 오십"));
    assert!(graded.said("echo-line", "chapter").starts_with("notes/08-"));
}

// Servers that do not want to be graded -----------------------------------------------------------

/// A server of the test's own: every connection is given to `serve`, in a thread.
fn serve(serve: impl Fn(std::net::TcpStream) + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for conn in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(conn));
        }
    });
    addr
}

#[test]
fn a_server_that_never_answers_or_never_accepts_is_graded_in_bounded_time() {
    let silent = serve(|mut conn| drop(conn.read_to_end(&mut Vec::new())));
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    for (addr, args) in [
        (&silent, &["--stage", "1"][..]),
        (&silent, &["--stage", "3", "--ca", &cert("ca.pem")]),
        (&deaf.local_addr().unwrap().to_string(), &["--stage", "2"]),
    ] {
        let began = Instant::now();
        let graded = grade(addr, &[args, &["--timeout", "0.1"]].concat());
        assert_eq!((graded.names(true), graded.code), (vec![], 1), "{args:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{args:?}: {:?}", began.elapsed());
    }
}

#[test]
fn when_the_server_ends_the_rest_fails_at_once_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || drop(listener.accept().unwrap()));
    let began = Instant::now();
    let graded = grade(&addr, &["--stage", "1"]);
    server.join().unwrap();
    assert_eq!((graded.names(true), graded.code), (vec![], 1));
    assert!(graded.said("echo-large", "came").contains("ECONNREFUSED"));
    assert!(graded.said("echo-large", "came").contains("서버가 끝난 것으로 보입니다"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Floods every client with what would drive a terminal, and with bytes that are no text.
fn flood(mut conn: std::net::TcpStream) {
    let noise = b"\x1b]0;owned\x07\x1b[2J\xff\xfe\x9b31m\xe2\x80\xae\"\\ </script>\n".repeat(1000);
    while conn.write_all(&noise).is_ok() {}
}

#[test]
fn nothing_that_a_server_sends_reaches_the_terminal_or_breaks_the_document() {
    let addr = serve(flood);
    let stages: [&[&str]; 3] = [&["--stage", "1"], &["--stage", "2"], &["--stage", "3", "--ca", &cert("ca.pem")]];
    for args in stages {
        let args = [args, &["--timeout", "0.1"]].concat();
        let done = check(&addr, &args);
        assert_eq!((done.code(), done.err.as_str()), (1, ""));
        let text = done.text();
        assert!(!text.chars().any(|c| c != '\n' && sockstep::text::is_control(c)), "{text:?}");
        assert!(!text.contains("통과  "), "{text}");
    }
    let graded = grade(&addr, &["--stage", "1", "--timeout", "0.1"]);
    assert!(graded.said("echo-line", "came").contains(r"\x1b]0;owned\x07"), "{}", graded.said("echo-line", "came"));
}

#[test]
fn the_grader_stays_small_under_a_flood() {
    let (addr, ca) = (serve(flood), cert("ca.pem"));
    for stage in [&["--stage", "2"][..], &["--stage", "3", "--ca", &ca]] {
        let check = ["check", &addr, "--timeout", "2"];
        let mut child = Command::new(BIN).args(check).args(stage).stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id() as i32;
        let until = Instant::now() + Duration::from_secs(2);
        let mut most = 0;
        // Who has ended has no memory any more: there is no line for it then.
        while let Some(kb) = find_proc_kb(pid, "status", "VmHWM:").filter(|_| Instant::now() < until) {
            most = most.max(kb);
            thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(most > 1000 && most < 64 * 1024, "{stage:?}: {most} kB");
    }
}

/// What it owes it gives, but not in time.
#[test]
fn a_server_that_is_only_slow_is_told_so() {
    let addr = serve(|mut conn| {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = conn.read(&mut piece) {
            thread::sleep(Duration::from_millis(20));
            let _ = conn.write_all(&piece[..n]);
        }
    });
    let graded = grade(&addr, &["--stage", "1", "--timeout", "0.5", "--case", "echo-large"]);
    let came = graded.said("echo-large", "came");
    assert!(came.ends_with("그때까지 오고 있었으므로, 느린 서버라면 --timeout을 늘려 다시 검사하십시오"), "{came}");
}

/// Three descriptors are open already, and five clients are to come.
#[test]
fn descriptors_that_the_grader_lacks_are_not_the_servers_fault() {
    let server = Server::start(&[]);
    let check = format!("ulimit -n 6; exec {BIN} check {} --stage 1 --case echo-many-clients --json", server.addr);
    let graded = Graded::of(&run(Command::new("sh").args(["-c", &check]), b""));
    let came = graded.said("echo-many-clients", "came");
    assert!(came.starts_with("EMFILE ") && came.contains("서버가 아니라 검사하는 쪽"), "{came}");
}

// The command -------------------------------------------------------------------------------------

#[test]
fn a_server_that_cannot_be_reached_is_an_error_and_no_grade() {
    for (args, call) in [(&["--stage", "1"][..], "connect"), (&["--udp"], "recvfrom")] {
        let done = check("127.0.0.1:1", args);
        assert_eq!((done.code(), done.text().as_str()), (4, ""));
        let why = format!("sockstep: {call}(127.0.0.1:1): ECONNREFUSED (Connection refused)\n힌트: ");
        assert!(done.err.starts_with(&why), "{}", done.err);
    }
    let done = check("localhost.invalid:1", &["--stage", "1"]);
    assert_eq!((done.code(), done.text().as_str()), (4, ""));
    assert!(done.err.starts_with("sockstep: getaddrinfo(localhost.invalid)"), "{}", done.err);
}

#[test]
fn a_ca_that_is_missing_is_an_error_before_anything_is_tried() {
    let empty = tempfile::tempdir().unwrap();
    let done = run(Command::new(BIN).current_dir(empty.path()).args(["check", "127.0.0.1:1", "--stage", "3"]), b"");
    assert_eq!((done.code(), done.text().as_str()), (4, ""));
    assert!(done.err.starts_with("sockstep: CA certificate certs/ca.pem: ENOENT"), "{}", done.err);
    assert!(done.err.contains("\n힌트: "), "{}", done.err);
}

#[test]
fn the_ca_of_the_class_is_the_default() {
    let class = tempfile::tempdir().unwrap();
    std::fs::create_dir(class.path().join("certs")).unwrap();
    std::fs::copy(cert("ca.pem"), class.path().join("certs/ca.pem")).unwrap();
    let server = tls_server(&[]);
    let args = ["check", &server.addr.to_string(), "--stage", "1", "--tls", "--json"];
    let graded = Graded::of(&run(Command::new(BIN).current_dir(class.path()).args(args), b""));
    assert_eq!((graded.names(false), graded.code), (vec![], 0));
}

#[test]
fn the_list_is_what_is_tried() {
    let listed = |args: &[&str]| {
        let done = run(Command::new(BIN).arg("check").args(args).arg("--list"), b"");
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
        let text = done.text();
        let rows = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(" (notes/"));
        rows.map(|(row, _)| row.split_once(' ').unwrap().1.trim().to_string()).collect::<Vec<_>>()
    };
    let all = listed(&[]);
    assert_eq!(all.len(), ECHO + RELAY + TLS + UDP);
    let server = Server::start(&["--udp"]);
    let tried: Vec<_> = grade(&server.addr.to_string(), &["--udp"]).cases;
    let titles: Vec<_> = tried.iter().map(|case| case["title"].get::<String>().unwrap().clone()).collect();
    assert_eq!(listed(&["--udp"]), titles);
    let done = run(Command::new(BIN).args(["check", "--list", "--json"]), b"");
    let cases: Vec<JsonValue> = done.text().parse::<JsonValue>().unwrap().try_into().unwrap();
    let names: std::collections::HashSet<String> =
        cases.iter().map(|case| case["name"].get::<String>().unwrap().clone()).collect();
    assert_eq!(names.len(), all.len(), "each name stands for one case");
}

#[test]
fn only_the_cases_that_are_asked_for_are_tried() {
    let server = Server::start(&[]);
    let addr = server.addr.to_string();
    let graded = grade(&addr, &["--stage", "1", "--case", "echo-reset,echo-line", "--case", "echo-pieces"]);
    assert_eq!((graded.names(true), graded.code), (vec!["echo-line", "echo-pieces", "echo-reset"], 0));
    let done = check(&addr, &["--stage", "1", "--case", "relay-all"]);
    assert_eq!((done.code(), done.text().as_str()), (4, ""));
    assert!(
        done.err.starts_with("sockstep: --case relay-all: no such case in this examination\n힌트: "),
        "{}",
        done.err
    );
}

#[test]
fn a_report_is_rows_and_a_summary() {
    let server = Server::start(&["--udp"]);
    let done = check(&server.addr.to_string(), &["--udp"]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let text = done.text();
    assert!(text.starts_with(&format!("{} 검사: 1단계 UDP 에코\n\n통과  ", server.addr)), "{text}");
    assert!(text.ends_with("\n\n7개 검사를 모두 통과했습니다.\n"), "{text}");
}

#[test]
fn progress_is_one_line_that_goes_away() {
    let silent = serve(|mut conn| drop(conn.read_to_end(&mut Vec::new())));
    let mut terminal = Terminal::run((100, 110), &[BIN, "check", &silent, "--stage", "1", "--timeout", "0.5"]);
    terminal.shows_somewhere("[2/15] 줄바꿈이 없는 글도");
    terminal.shows_somewhere("15개 검사 가운데 0개를 통과하고 15개를 실패했습니다.");
    terminal.shows_somewhere("위에서부터 하나씩 고치십시오.");
    assert_eq!(terminal.end().exit_code(), 1);
    let rows = terminal.rows();
    assert!(!rows.iter().any(|row| row.contains("/15]")), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.starts_with("실패  ")).count(), ECHO, "{rows:?}");
}
