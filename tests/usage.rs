//! The command line: wrong use, help, and what happens before the port is open.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use proptest::prelude::*;
use sockstep::cli::Cli;
use support::*;

fn sockstep(args: &[&str]) -> Finished {
    run(Command::new(BIN).args(args), b"")
}

fn is_hangul(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

/// Exit code 2, an explanation with all of `parts`, and where help is to be found, in Korean.
fn assert_wrong_use(done: &Finished, parts: &[&str]) {
    assert_eq!(done.code(), 2, "{}", done.err);
    assert_eq!(done.text(), "", "what is wrong goes to standard error");
    for part in parts.iter().chain(&["\n힌트: `sockstep --help`"]) {
        assert!(done.err.contains(part), "no {part:?} in: {}", done.err);
    }
    for english in ["panicked", "error:", "Usage:", "the following", "invalid", "is not in", "cannot be used"] {
        assert!(!done.err.contains(english), "{english:?} in: {}", done.err);
    }
}

/// Exit code 1, the call that failed on the first line, a Korean hint on the second; never ready.
fn assert_failed(done: &Finished, call: &str, hint: &str) {
    assert_eq!((done.code(), done.text().as_str()), (1, ""), "{}", done.err);
    let mut lines = done.err.lines();
    assert_eq!(lines.next(), Some(format!("sockstep: {call}").as_str()));
    assert!(lines.next().is_some_and(|line| line.starts_with("힌트: ") && line.contains(hint)), "{}", done.err);
}

#[test]
fn wrong_use_is_named_and_explained() {
    for (args, parts) in [
        (&["server", "--bogus"][..], &["--bogus"][..]),
        (&["client", "--mode", "echo"], &["--mode"]),
        (&["server", "--mode", "chat"], &["--mode", "'chat'"]),
        (&["server", "--tls"], &["--cert", "--key"]),
        (&["server", "--cert", "x.pem"], &["--tls"]),
        (&["client", "--insecure"], &["--tls"]),
        (&["server", "--client-ca", "x.pem"], &["--tls"]),
        (&["server", "--keylog"], &["--tls"]),
        (&["client", "--keylog"], &["--tls"]),
        (&["client", "--tls", "--cert", "x.pem"], &["--key"]),
        (&["client", "--tls", "--key", "x.key"], &["--cert"]),
        (&["client", "--cert", "x.pem", "--key", "x.key"], &["--tls"]),
        (&["server", "--allow", "10.0.0.0/33"], &["--allow", "'10.0.0.0/33'", "0부터 32까지"]),
        (&["server", "--allow", "127.0.0.1,교실"], &["--allow", "'교실'", "IP 주소가 아닙니다"]),
        (&["server", "--allow", ""], &["--allow"]),
        (&["server", "--udp", "--tls", "--cert", "x.pem", "--key", "x.key"], &["--udp", "--tls"]),
        (&["server", "--udp", "--no-fork"], &["--udp", "--no-fork"]),
        (&["server", "--udp", "--mode", "relay"], &["--udp", "--mode relay", "sockstep server [옵션]"]),
        (&["server", "--mode=relay", "--udp"], &["--udp", "--mode relay"]),
        (&["client", "--udp", "--tls"], &["--udp", "--tls"]),
        (&["client", "--udp", "--name", "철수"], &["--udp", "--name"]),
        (&["server", "--max-line", "0"], &["--max-line", "'0'"]),
        (&["server", "--max-line", "65537"], &["--max-line", "'65537'"]),
        (&["server", "--max-clients", "0"], &["--max-clients", "'0'"]),
        (&["server", "--max-per-source", "0"], &["--max-per-source", "'0'"]),
        (&["server", "--max-handshakes", "0"], &["--max-handshakes", "'0'", "3000:30:6000"]),
        (&["server", "--max-handshakes", "10:30"], &["--max-handshakes", "'10:30'", "3000:30:6000"]),
        (&["server", "--max-handshakes", "11:30:10"], &["--max-handshakes", "'11:30:10'", "시작은 한도보다"]),
        (&["server", "--slow-timeout", "0"], &["--slow-timeout", "'0'"]),
        (&["server", "--slow-timeout=-1"], &["--slow-timeout", "'-1'"]),
        (&["server", "--slow-timeout", "NaN"], &["--slow-timeout", "'NaN'"]),
        (&["server", "--handshake-timeout", "inf"], &["--handshake-timeout", "'inf'"]),
        (&["server", "--idle-timeout=-0.5"], &["--idle-timeout", "'-0.5'"]),
        (&["server", "--idle-timeout", "1e300"], &["--idle-timeout", "'1e300'"]),
        (&["client", "--name", "김 철수"], &["--name", "'김 철수'", "공백"]),
        (&["status"], &["필요한 옵션이 빠졌습니다: --pid-file <파일>", "사용법: sockstep status --pid-file 파일"]),
        (&["server", "--listen"], &["값이 필요한 옵션입니다: --listen"]),
        (&["server", "--tls", "--tls"], &["한 번만 쓸 수 있는 옵션입니다: --tls"]),
        (&["server", "--backlog", "x"], &["--backlog", "'x'", "수를 적으십시오"]),
        (
            &["timeline"],
            &["필요한 값이 빠졌습니다: <파일>...", "사용법: sockstep timeline 파일... [--pcap 파일] [-o 결과]"],
        ),
        (&["demo", "--stage", "4"], &["--stage", "'4'", "쓸 수 있는 값: 1, 2, 3, udp"]),
        (&["demo", "--stage", "3"], &["--cert <파일>, --key <파일>, --ca <파일>", "사용법: sockstep demo [옵션]"]),
        (&["demo", "--capture"], &["필요한 옵션이 빠졌습니다: --keep <디렉터리>"]),
        (&["check"], &["--stage <1|2|3>, <호스트:포트>", "사용법: sockstep check 호스트:포트 --stage 1|2|3 [옵션]"]),
        (&["check", "127.0.0.1:7"], &["필요한 옵션이 빠졌습니다: --stage <1|2|3>"]),
        (&["check", "127.0.0.1", "--stage", "1"], &["'127.0.0.1'", "[::1]:7000"]),
        (&["check", "127.0.0.1:7", "--stage", "4"], &["--stage", "'4'", "1부터 3까지"]),
        (&["check", "127.0.0.1:7", "--stage", "2", "--udp"], &["--udp, --stage 2", "사용법: sockstep check"]),
        (&["check", "127.0.0.1:7", "--udp", "--tls"], &["--udp", "--tls"]),
        (&["check", "127.0.0.1:7", "--udp", "--ca", "x.pem"], &["--udp", "--ca"]),
        (&["check", "127.0.0.1:7", "--stage", "2", "--ca", "x.pem"], &["필요한 옵션이 빠졌습니다: --tls"]),
        (&["check", "127.0.0.1:7", "--stage", "1", "--timeout", "3601"], &["--timeout", "'3601'", "3600초"]),
        (&["check", "127.0.0.1:7", "--stage", "1", "--timeout", "0"], &["--timeout", "'0'"]),
        (&["serve"], &["'serve'. 비슷한 명령: server"]),
        (&["server", "--trce"], &["'--trce'. 비슷한 옵션: --trace"]),
        (&["server", "7000"], &["'7000'"]),
        (&[], &[]),
    ] {
        assert_wrong_use(&sockstep(args), parts);
    }
}

#[test]
fn a_negative_number_is_refused_as_the_value_of_its_option() {
    for option in
        ["--slow-timeout", "--handshake-timeout", "--idle-timeout", "--backlog", "--max-clients", "--max-line"]
            .into_iter()
            .chain(["--max-per-source", "--max-handshakes"])
    {
        assert_wrong_use(&sockstep(&["server", option, "-1"]), &[option, "'-1'"]);
    }
}

#[test]
fn a_wrong_address_is_named_and_a_right_one_shown() {
    for addr in [
        "",
        "abc",
        "7000",
        ":7000",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "::1:7000",
        "localhost",
        "localhost:7000",
    ] {
        let parts = ["--listen", &format!("'{addr}'"), "127.0.0.1:7000", "[::1]:7000", "형식으로 적으십시오"];
        assert_wrong_use(&sockstep(&["server", "--listen", addr]), &parts);
    }
    for target in
        ["", "abc", "7000", ":7000", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "::1:7000", "[::1]", "a:b"]
    {
        assert_wrong_use(&sockstep(&["client", "--connect", target]), &["--connect", &format!("'{target}'"), "십시오"]);
    }
}

#[test]
fn help_is_korean_and_names_every_option() {
    let mut cli = Cli::command();
    cli.build();
    for (args, command) in [
        (&["--help"][..], &cli),
        (&["server", "--help"], cli.find_subcommand("server").unwrap()),
        (&["client", "--help"], cli.find_subcommand("client").unwrap()),
        (&["status", "--help"], cli.find_subcommand("status").unwrap()),
        (&["stop", "--help"], cli.find_subcommand("stop").unwrap()),
        (&["reload", "--help"], cli.find_subcommand("reload").unwrap()),
        (&["timeline", "--help"], cli.find_subcommand("timeline").unwrap()),
        (&["demo", "--help"], cli.find_subcommand("demo").unwrap()),
        (&["check", "--help"], cli.find_subcommand("check").unwrap()),
    ] {
        let done = sockstep(args);
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
        let help = done.text();
        assert!(help.contains("\n사용법: sockstep") && help.contains("\n옵션:\n"), "{help}");
        for english in ["Usage", "Options", "OPTIONS", "Commands", "Arguments", "Print", "default", "possible"] {
            assert!(!help.contains(english), "{english:?} in: {help}");
        }
        for sub in command.get_subcommands() {
            assert!(help.contains(&format!("\n  {}  ", sub.get_name())), "{} in: {help}", sub.get_name());
        }
        let options: Vec<_> = command.get_arguments().filter_map(|option| option.get_long()).collect();
        assert!(options.contains(&"help"));
        for option in options {
            let named = [format!("--{option} "), format!("--{option}[=")]; // with or without a value that may be left out
            let line = help.lines().find(|line| named.iter().any(|named| line.contains(named)));
            assert!(line.is_some_and(|line| line.contains(is_hangul)), "{option} in: {help}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    for flag in ["--version", "-V"] {
        let done = sockstep(&[flag]);
        assert_eq!((done.code(), done.text()), (0, format!("sockstep {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[test]
fn a_port_in_use_is_explained() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    let done = sockstep(&["server", "--listen", &addr.to_string()]);
    assert_failed(&done, &format!("bind({addr}): EADDRINUSE (Address already in use)"), "이미 이 포트를 쓰고");
}

#[test]
fn an_address_of_another_machine_is_explained() {
    let done = sockstep(&["server", "--listen", "192.0.2.1:0"]); // TEST-NET-1, RFC 5737: nobody's
    let why = "bind(192.0.2.1:0): EADDRNOTAVAIL (Cannot assign requested address)";
    assert_failed(&done, why, "이 컴퓨터의 주소가 아닙니다");
}

#[test]
fn a_privileged_port_is_explained() {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first_free.trim().parse::<u16>().unwrap() <= 1 {
        return eprintln!("skipped: every port is open to everybody here (net.ipv4.ip_unprivileged_port_start)");
    }
    // Where the binary lies may be closed to strangers, and root may bind whatever it likes. Copied by
    // another program: a copy open for writing here would be inherited by what other tests start (ETXTBSY).
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = dir.path().join("sockstep");
    assert!(Command::new("install").args(["-m", "755", BIN]).arg(&binary).status().unwrap().success());
    let mut command = Command::new(&binary);
    command.args(["server", "--listen", "127.0.0.1:1"]).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let why = "bind(127.0.0.1:1): EACCES (Permission denied)";
    assert_failed(&run(&mut command, b""), why, "1024 이상의 포트를 고르십시오");
}

#[test]
fn whoever_has_read_the_ready_line_can_connect() {
    for _ in 0..20 {
        let server = Server::start(&[]);
        let mut peer = server.connect();
        peer.send("in\n");
        assert_eq!(peer.line(), "in");
    }
}

#[test]
fn the_default_is_this_machine_alone() {
    for (role, option) in [("server", "--listen"), ("client", "--connect")] {
        let help = sockstep(&[role, "--help"]).text();
        let words: Vec<_> = help.split_once(option).unwrap().1.split_whitespace().collect();
        assert!(words.join(" ").contains("[기본값: 127.0.0.1:7000]"), "{help}");
    }
    let mut child = Command::new(BIN).arg("server").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    child.kill().unwrap();
    let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    if ready.is_empty() && log.contains("bind(127.0.0.1:7000): EADDRINUSE") {
        return eprintln!("skipped: somebody else uses port 7000 here");
    }
    assert!(ready.starts_with("127.0.0.1:7000에서 연결을 기다립니다 (1단계: 에코)"), "{ready}{log}");
}

// The Makefile ------------------------------------------------------------------------------------

/// `make ARGS` in the project, as from a fresh terminal: not as a part of a running `make test`.
fn make(args: &[&str]) -> Finished {
    make_with(args, &std::env::var("PATH").unwrap())
}

fn make_with(args: &[&str], path: &str) -> Finished {
    let mut command = Command::new("make");
    command.env("PATH", path);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
    for variable in
        ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "STAGE", "LISTEN", "SERVER", "HOST", "NAME", "ARGS"]
    {
        command.env_remove(variable);
    }
    run(&mut command, b"")
}

/// The packages of a browser, where there are any.
fn browser() -> &'static str {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if system.lines().any(|line| line == "ID=debian") { " chromium fonts-nanum" } else { "" }
}

/// A machine that has `commands` and nothing else: each a script that says how it was called.
fn bare_machine(commands: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for tool in ["make", "sed", "env", "echo"] {
        let found = run(Command::new("which").arg(tool), b"").text(); // a file, not what the shell builds in
        std::os::unix::fs::symlink(found.trim(), dir.path().join(tool)).unwrap();
    }
    for (name, script) in commands {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    dir
}

#[test]
fn make_installs_what_is_missing_after_saying_so() {
    let apt = ("apt-get", "echo apt-get \"$@\"");
    for (uid, sudo) in [("0", ""), ("1000", "sudo: ")] {
        let id = format!("echo {uid}");
        let machine =
            bare_machine(&[apt, ("id", &id), ("sudo", "printf 'sudo: '; exec \"$@\""), ("cargo", ""), ("ss", "")]);
        let path = machine.path().to_str().unwrap();
        let done = make_with(&["setup"], path);
        let said = done.text();
        for packages in [
            "gcc libc6-dev pkg-config libssl-dev",
            "openssl",
            &format!("strace ncat socat procps tcpdump python3 sslscan nmap{}", browser()),
        ] {
            let steps = format!(
                "필요한 패키지를 설치합니다: {packages}\n{sudo}apt-get update -q\n\
                 {sudo}apt-get install -q -y --no-install-recommends {packages}\n"
            );
            assert!(said.contains(&steps), "{said}");
        }
        assert_eq!(done.code(), 0, "{said}{}", done.err);
    }
}

#[test]
fn make_names_what_is_missing_where_it_cannot_install_it() {
    let no_apt = bare_machine(&[("cargo", ""), ("id", "echo 0"), ("strace", ""), ("ncat", "")]);
    let done = make_with(&["test-tools"], no_apt.path().to_str().unwrap());
    assert_ne!(done.code(), 0);
    assert!(
        done.err.contains(&format!(
            "apt-get이 없어 필요한 패키지를 설치할 수 없습니다. 직접 설치하십시오: iproute2 socat procps tcpdump python3 sslscan nmap{}\n",
            browser()
        )),
        "{}",
        done.err
    );
    let no_right = bare_machine(&[("apt-get", "exit 9"), ("id", "echo 1000")]);
    let done = make_with(&["cert-tools"], no_right.path().to_str().unwrap());
    assert_ne!(done.code(), 0);
    assert!(done.err.contains("관리자에게 요청하십시오: apt-get install openssl"), "{}", done.err);
    let done = make_with(&["build-tools"], no_right.path().to_str().unwrap());
    assert!(done.err.contains("Rust(cargo)가 없습니다."), "{}", done.err);
}

#[test]
fn make_alone_names_every_public_target() {
    let makefile = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    let parts_of_others =
        ["help", "stage", "ca", "build", "no-trace", "build-tools", "cert-tools", "look-tools", "test-tools"];
    let done = make(&[]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let help = done.text();
    assert!(help.starts_with("사용법: make"), "{help}");
    for target in phony.split_whitespace().filter(|target| !parts_of_others.contains(target)) {
        let line = help.lines().find(|line| line.starts_with(&format!("  {target} ")));
        assert!(line.is_some_and(|line| line.contains(is_hangul)), "{target} in: {help}");
    }
}

#[test]
fn make_refuses_a_stage_that_does_not_exist_before_it_does_anything() {
    for stage in ["9", "0", "12", "UDP", ""] {
        for target in ["run-server", "run-client", "check", "ss", "demo", "timeline"] {
            let done = make(&[target, &format!("STAGE={stage}")]);
            assert_ne!(done.code(), 0);
            assert_eq!(done.text(), "");
            let why = format!("STAGE는 1, 2, 3, udp 가운데 하나여야 합니다: '{stage}'");
            assert!(done.err.contains(&why), "{}", done.err);
        }
    }
}

#[test]
fn make_runs_each_stage_with_its_flags() {
    let (relay, tls) = ("--mode relay", "--tls --cert certs/server.pem --key certs/server.key");
    for (stage, flags, client) in [
        ("1", "--mode echo".to_string(), ""),
        ("2", relay.to_string(), ""),
        ("3", format!("{relay} {tls}"), "--tls --ca certs/ca.pem"),
    ] {
        // A student who steps through the handshake is given time.
        let patience = if stage == "3" { " --handshake-timeout 600" } else { "" };
        let stage = format!("STAGE={stage}");
        let server = format!("sockstep server {flags} --listen 127.0.0.1:7000");
        assert_runs(&["-n", "run-server", &stage], &format!("{server} --trace{patience}"));
        assert_runs(&["-n", "step-server", &stage], &format!("{server} --step"));
        let name = if client.is_empty() { "--name '철수'".to_string() } else { format!("{client} --name '철수'") };
        let client = format!("sockstep client --connect 127.0.0.1:7000 {name}");
        assert_runs(&["-n", "run-client", "NAME=철수", &stage], &format!("{client} --trace"));
        assert_runs(&["-n", "step-client", "NAME=철수", &stage], &format!("{client} --step"));
    }
    assert_runs(&["-n", "run-server", "STAGE=udp"], "sockstep server --udp --listen 127.0.0.1:7000 --trace");
    assert_runs(&["-n", "run-client", "STAGE=udp"], "sockstep client --connect 127.0.0.1:7000 --udp --trace");
    let client = "sockstep client --connect 127.0.0.1:7000";
    assert_runs(&["-n", "run-client", "STAGE=1", "TRACE=no"], client);
    assert_runs(&["-n", "run-client", "STAGE=1", "TRACE=c.trace"], &format!("{client} --trace=c.trace"));
    assert_runs(&["-n", "run-client", "STAGE=1", "ARGS=--trace=own"], &format!("{client} --trace=own"));
    assert_runs(&["-n", "ss", "STAGE=udp", "LISTEN=0.0.0.0:7100"], "ss -ulnp 'sport = :7100'");
    assert_runs(&["-n", "ss"], "ss -tnp 'sport = :7000'");
    let default = format!("sockstep server {relay} {tls} --listen 127.0.0.1:7000 --trace --handshake-timeout 600");
    assert_runs(&["-n", "run-server"], &default);
    assert_runs(
        &["-n", "run-server", "STAGE=1", "ARGS=--no-fork", "LISTEN=[::1]:7"],
        "--listen [::1]:7 --no-fork --trace",
    );
}

#[test]
fn make_plays_the_demo_and_draws_it() {
    assert_runs(&["-n", "demo", "STAGE=1"], "sockstep demo --stage 1");
    assert_runs(&["-n", "demo", "STAGE=udp"], "sockstep demo --stage udp");
    let tls = "sockstep demo --stage 3 --cert certs/server.pem --key certs/server.key --ca certs/ca.pem";
    assert_runs(&["-n", "demo"], tls);
    assert!(make(&["-n", "demo"]).text().contains("certs/make-certs.sh"));
    let timeline = make(&["-n", "timeline", "STAGE=2"]).text();
    let parts = ["demo --stage 2 --fast --keep .run/timeline/stage-2 --capture", ".run/timeline/stage-2.html"];
    for part in parts.iter().chain(&["for form in svg html txt", "-o .run/timeline/stage-2.$form"]) {
        assert!(timeline.contains(part), "no {part:?} in: {timeline}");
    }
}

#[test]
fn make_checks_a_server_as_the_stage_says() {
    let checks = |args: &[&str], wanted: &str| {
        let command = format!("sockstep check {wanted}");
        assert_runs(&[&["-n", "check", "SERVER=192.0.2.7:8000"], args].concat(), &command);
    };
    checks(&["STAGE=1"], "192.0.2.7:8000 --stage 1");
    checks(&["STAGE=2", "ARGS=--json"], "192.0.2.7:8000 --stage 2 --json");
    checks(&["STAGE=udp"], "192.0.2.7:8000 --udp");
    checks(&[], "192.0.2.7:8000 --stage 3 --ca certs/ca.pem");
    checks(&["ARGS=--ca my.pem"], "192.0.2.7:8000 --stage 3 --ca my.pem");
}

#[test]
fn make_knows_a_student_by_name() {
    let made = make(&["-n", "certs", "CLIENT=철수 영희", "HOST=192.0.2.7"]).text();
    assert!(made.contains("certs/make-certs.sh -c '철수' -c '영희' '192.0.2.7'\n"), "{made}");
    let run = make(&["-n", "run-client", "CLIENT=철수"]).text();
    assert!(run.contains(" --tls --ca certs/ca.pem --cert certs/철수.pem --key certs/철수.key"), "{run}");
}

#[test]
fn make_starts_the_daemon_with_the_flags_of_its_stage_and_controls_it_by_its_pid_file() {
    let files = "--daemon --pid-file .run/sockstep.pid --log-file .run/sockstep.log";
    assert_runs(&["-n", "start", "STAGE=1"], &format!("sockstep server --mode echo --listen 127.0.0.1:7000 {files}"));
    let tls = "--mode relay --tls --cert certs/server.pem --key certs/server.key";
    assert_runs(&["-n", "start", "LISTEN=[::1]:7"], &format!("sockstep server {tls} --listen [::1]:7 {files}"));
    for command in ["stop", "status", "reload"] {
        assert_runs(&["-n", command], &format!("sockstep {command} --pid-file .run/sockstep.pid"));
    }
    assert_runs(&["-n", "logs"], "tail -n 50 -F .run/sockstep.log");
    assert!(make(&["-n", "strace-server", "STAGE=1"]).text().contains("strace -f -e trace="));
}

#[test]
fn make_makes_certificates_for_the_addresses_that_the_server_listens_on() {
    let hosts = |args: &[&str]| {
        let said = make(&[&["-n", "run-server"], args].concat()).text();
        let line = said.lines().find_map(|line| line.strip_prefix("certs/make-certs.sh")).map(str::to_string);
        line.unwrap_or_default().split_whitespace().map(|host| host.replace('\'', "")).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&["LISTEN=192.0.2.7:7000"]), ["192.0.2.7"]);
    assert_eq!(hosts(&["LISTEN=[2001:db8::1]:7000", "HOST=class.example"]), ["class.example", "2001:db8::1"]);
    let own = run(Command::new("hostname").arg("-I"), b"").text();
    let own: Vec<&str> = own.split_whitespace().collect();
    assert_eq!(hosts(&["LISTEN=0.0.0.0:7000"]), own);
    assert_eq!(hosts(&["LISTEN=[::]:7000"]), own);
}

#[test]
fn make_says_how_to_get_the_ca_of_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    for (server, said) in [
        ("192.0.2.7:7000", "예: scp \"사용자@192.0.2.7:sockstep/certs/ca.pem\" certs/"),
        ("[2001:db8::1]:7000", "예: scp \"사용자@[2001:db8::1]:sockstep/certs/ca.pem\" certs/"),
        ("127.0.0.1:7000", "먼저 다른 터미널에서 make run-server를 실행하십시오."),
    ] {
        let makefile = concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile");
        let mut command = Command::new("make"); // in a folder without certs/ca.pem
        command.current_dir(dir.path()).args(["-f", makefile, "ca", &format!("SERVER={server}")]);
        let done = run(command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL"), b"");
        assert_ne!(done.code(), 0);
        assert!(done.err.contains("certs/ca.pem이 없습니다. ") && done.err.contains(said), "{}", done.err);
    }
}

fn assert_runs(args: &[&str], wanted: &str) {
    let done = make(args);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let last = done.text().lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(last.ends_with(wanted), "{args:?} runs: {last}");
}

// Anything at all ---------------------------------------------------------------------------------

/// Text, bytes that are no text, and things that are almost an address; but never one.
fn no_address() -> impl Strategy<Value = Vec<u8>> {
    let near = "[0-9a-f.:\\[\\]%+ -]{0,40}|(127\\.0\\.0\\.1|\\[::1\\]|localhost|손님):[0-9]{0,7}[^0-9]?";
    let any =
        prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>(), near.prop_map(String::into_bytes)];
    any.prop_filter("an argument has no NUL", |bytes| !bytes.contains(&0)).prop_filter("nothing to go to", |bytes| {
        // Whatever ends in a port might be a host to look up or an address to open.
        let port = bytes.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        std::str::from_utf8(port).map_or(true, |port| port.parse::<u16>().is_err())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn no_address_at_all_makes_it_panic(text in no_address()) {
        for (role, option) in [("client", "--connect"), ("server", "--listen")] {
            let joined = [format!("{option}=").as_bytes(), &text].concat();
            let done = run(Command::new(BIN).arg(role).arg(OsStr::from_bytes(&joined)), b"");
            assert_wrong_use(&done, &[]);
            // As a word of its own it may be taken for an option: `-h` is not wrong.
            let done = run(Command::new(BIN).args([role, option]).arg(OsStr::from_bytes(&text)), b"");
            prop_assert!([Some(0), Some(2)].contains(&done.status.code()), "{:?}: {}", done.status, done.err);
            prop_assert!(!done.err.contains("panicked"), "{}", done.err);
        }
    }
}
