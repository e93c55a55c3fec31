//! What the server tells a class to type, and that it works when it is typed.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use support::program::Program;
use support::*;

/// All that a server says on standard output when its port is open; and the server.
fn announced(args: &[&str]) -> (Program, String) {
    let server = Program::start(Command::new(BIN).arg("server").args(args));
    server.wait_for("클라이언트: ");
    // One write brings all of it; the log line before it is on standard error.
    let said = server.heard();
    (server, said)
}

/// `127.0.0.1:40001` in `127.0.0.1:40001에서 연결을 기다립니다 …`
fn port(said: &str) -> &str {
    said.split_once("에서 ").unwrap().0.rsplit_once(':').unwrap().1
}

fn tls_args<'a>(pem: &'a str, key: &'a str) -> [&'a str; 5] {
    ["--tls", "--cert", pem, "--key", key]
}

#[test]
fn the_line_to_type_names_stage_and_address() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = tls_args(&pem, &key);
    for (args, typed) in [
        (&["--mode", "echo"][..], "make run-client STAGE=1 SERVER=127.0.0.1:"),
        (&["--mode", "relay"], "make run-client STAGE=2 SERVER=127.0.0.1:"),
        (&[&tls[..], &["--mode", "relay"]].concat(), "make run-client SERVER=127.0.0.1:"),
        (&tls, "sockstep client --connect 127.0.0.1:"),
    ] {
        let (_server, said) = announced(&[&["--listen", "127.0.0.1:0"], args].concat());
        let line = said.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("클라이언트: {typed}{}", port(&said))), "{said}");
        assert_eq!(said.lines().count(), 2, "a certificate for this address needs no more words: {said}");
    }
}

#[test]
fn a_server_on_all_addresses_names_those_that_this_machine_is_reached_at() {
    let own = run(Command::new("hostname").arg("-I"), b"").text();
    let (v6, v4): (Vec<&str>, Vec<&str>) = own.split_whitespace().partition(|ip| ip.contains(':'));
    let expected = |ips: &[&str], port: &str| -> Vec<String> {
        let ips = if ips.is_empty() { &["127.0.0.1"] } else { ips };
        let shown = ips.iter().map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip.to_string() });
        let mut lines: Vec<String> =
            shown.map(|ip| format!("클라이언트: make run-client STAGE=2 SERVER={ip}:{port}")).collect();
        lines.sort();
        lines
    };
    let (_server, said) = announced(&["--mode", "relay", "--listen", "0.0.0.0:0"]);
    let mut lines: Vec<&str> = said.lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(lines, expected(&v4, port(&said)), "{said}");
    if std::net::TcpListener::bind("[::]:0").is_ok() {
        let (_server, said) = announced(&["--mode", "relay", "--listen", "[::]:0"]);
        let mut lines: Vec<&str> = said.lines().skip(1).collect();
        lines.sort_unstable();
        assert_eq!(lines, expected(&[v4, v6].concat(), port(&said)), "{said}");
    }
}

#[test]
fn a_certificate_without_the_address_is_asked_for_with_the_exact_command() {
    let (pem, key) = (cert("server.pem"), cert("server.key")); // for 127.0.0.1, not for .5
    let args = [&["--mode", "relay", "--listen", "127.0.0.5:0"][..], &tls_args(&pem, &key)].concat();
    let (_server, said) = announced(&args);
    let advice = said.lines().nth(2).unwrap();
    assert!(advice.contains("`make certs HOST=127.0.0.5`"), "{said}");

    // What the command makes, satisfies server and client.
    let dir = tempfile::tempdir().unwrap();
    make_certs(dir.path(), &["127.0.0.5"]);
    let [pem, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| dir.path().join(name).display().to_string());
    let args = [&["--mode", "relay", "--listen", "127.0.0.5:0"][..], &tls_args(&pem, &key)].concat();
    let (_server, said) = announced(&args);
    assert_eq!(said.lines().count(), 2, "{said}");
    let typed = said.lines().nth(1).unwrap().split_once("SERVER=").unwrap().1;
    let done = run(&mut client(&["--connect", typed, "--tls", "--ca", &ca]), b"/quit\n");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert!(done.text().contains("* 안녕히 가십시오."), "{}", done.text());
}
