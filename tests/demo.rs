//! `sockstep demo`: the whole show, at a terminal and without one, and what is left when it is over.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use pty::Terminal;
use support::*;

/// Every stage, with as many steps as it has.
const STAGES: [(&str, usize); 4] = [("1", 8), ("2", 9), ("3", 9), ("udp", 6)];

/// A place of its own for what the show puts somewhere: what is in it when the show is over has been left behind.
struct Theatre(tempfile::TempDir);

impl Theatre {
    fn new() -> Theatre {
        Theatre(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn demo(&self, stage: &str, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.arg("demo").args(arguments(stage)).args(args).env("TMPDIR", self.path());
        command
    }

    fn plays(&self, stage: &str, columns: usize) -> String {
        let done = run(self.demo(stage, &[]).env("COLUMNS", columns.to_string()), b"");
        assert_eq!((done.code(), done.err.as_str()), (0, ""), "{}", done.text());
        self.assert_empty();
        done.text()
    }

    /// At a terminal of this size.
    fn terminal(&self, size: (u16, u16), stage: &str, args: &[&str], environment: &[&str]) -> Terminal {
        let directory = format!("TMPDIR={}", self.path());
        let stage = arguments(stage);
        let stage: Vec<&str> = stage.iter().map(String::as_str).collect();
        Terminal::run(size, &[&["env", &directory], environment, &[BIN, "demo"], &stage, args].concat())
    }

    /// The processes of the show: they all know where the trace is.
    fn processes(&self) -> Vec<i32> {
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let knows = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&format!("--trace={}", self.path()))
        };
        all.filter(knows).collect()
    }

    fn assert_empty(&self) {
        assert_eq!(self.processes(), [0; 0], "processes");
        let left: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn arguments(stage: &str) -> Vec<String> {
    let mut all = vec!["--stage".to_string(), stage.to_string()];
    if stage == "3" {
        for (option, file) in [("--cert", "server.pem"), ("--key", "server.key"), ("--ca", "ca.pem")] {
            all.extend([option.to_string(), cert(file)]);
        }
    }
    all
}

fn columns_of(text: &str) -> usize {
    text.chars().map(sockstep::text::width).sum()
}

/// The lines of what happened: they begin with a time.
fn events(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.get(..10).is_some_and(|time| time.trim().parse::<f64>().is_ok()))
}

/// The columns at which a line has the bars of its lanes.
fn bars(line: &str) -> Vec<usize> {
    line.char_indices().filter(|(_, c)| *c == '|').map(|(at, _)| columns_of(&line[..at])).collect()
}

/// Where the names of all lanes stand.
fn lanes(text: &str, count: usize) -> Vec<usize> {
    let names = ["철수 (", "영희 (", "server (", "c1 (", "c2 ("];
    let place = |line: &str, name: &str| Some(columns_of(&line[..line.find(name)?]));
    let all = |line: &str| names[..count].iter().map(|name| place(line, name)).collect::<Option<Vec<usize>>>();
    text.lines().find_map(all).unwrap_or_else(|| panic!("no {count} lanes:\n{text}"))
}

#[test]
fn each_stage_plays_from_its_first_step_to_its_end_and_leaves_nothing() {
    let theatre = Theatre::new();
    for (stage, steps) in STAGES {
        let text = theatre.plays(stage, 100);
        let captions: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("── ")).collect();
        assert_eq!(captions.len(), steps + 1, "{captions:?}");
        for (number, caption) in (1..=steps).zip(&captions) {
            assert!(caption.starts_with(&format!("{number}. ")), "{captions:?}");
        }
        assert!(captions[steps].starts_with("끝"), "{captions:?}");
        assert!(text.ends_with(&format!("make timeline STAGE={stage}\n")), "{text}");
        assert!(!text.contains('\x1b'), "no colours without a terminal");
    }
}

#[test]
fn columns_are_straight_with_hangul_in_them_and_no_line_is_too_long() {
    let theatre = Theatre::new();
    for ((stage, _), columns) in STAGES.iter().flat_map(|stage| [(stage, 100), (stage, 160)]) {
        let text = theatre.plays(stage, columns);
        let lanes = lanes(&text, if *stage == "udp" { 3 } else { 5 });
        let mut seen = 0;
        for line in events(&text) {
            assert!(bars(line).iter().all(|bar| lanes.contains(bar)), "{lanes:?}: {line}");
            assert!(columns_of(line) <= columns, "{line}");
            seen += bars(line).len();
        }
        assert!(seen > 20, "only {seen} bars in:\n{text}");
    }
}

#[test]
fn a_narrow_terminal_gets_one_column() {
    let theatre = Theatre::new();
    for (stage, _) in STAGES {
        for columns in [40, 60] {
            let text = theatre.plays(stage, columns);
            assert!(text.lines().all(|line| columns_of(line) <= columns), "{text}");
            assert!(events(&text).all(|line| line[10..].starts_with("  [")), "{text}");
        }
        assert!(theatre.plays(stage, 60).contains("[철수 "));
    }
}

#[test]
fn the_stages_show_what_they_are_about() {
    let theatre = Theatre::new();
    let shows = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    };
    let echo = theatre.plays("1", 160);
    shows(&echo, &["입력> 안녕하세요", "화면> 안녕하세요", "send(3, \"안녕하세요\\n\") = 16 ---", "… setsockopt ×3"]);
    shows(&echo, &["fork() = ", " ===", "shutdown(3, SHUT_WR) = 0 ---", "recv(6, \"\") = 0", "시그널> SIGTERM"]);
    let relay = theatre.plays("2", 160);
    shows(&relay, &["화면> [철수] 안녕하세요", "화면> [영희] 반갑습니다", "화면> [철수 → 영희] 비밀이에요"]);
    shows(
        &relay,
        &["화면> * 철수 님이 나갔습니다.", "send(8, \"T안녕하세요\\n\") = 17", "… socketpair, send, close ×2"],
    );
    let tls = theatre.plays("3", 160);
    shows(
        &tls,
        &["send(3, ClientHello) = ", "send(6, ServerHello + ", "ApplicationData) = ", "화면> [철수] 안녕하세요"],
    );
    assert!(!tls.contains("send(3, \"안녕하세요"), "in clear:\n{tls}");
    let udp = theatre.plays("udp", 160);
    shows(&udp, &["sendto(3, \"안녕하세요\", 127.0.0.1:", "화면> 안녕하세요"]);
    assert!(!events(&udp).any(|line| line.contains("listen(") || line.contains("fork(")), "{udp}");
}

#[test]
fn descriptors_have_their_usual_numbers_whatever_is_open_where_it_was_started() {
    let theatre = Theatre::new();
    let script = format!("exec 3</dev/null 5</dev/null 9</dev/null; exec {BIN} demo --stage 1");
    let done = run(Command::new("bash").args(["-c", &script]).env("TMPDIR", theatre.path()), b"");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let text = done.text();
    assert_eq!(text.matches("socket(AF_INET, SOCK_STREAM) = 3").count(), 3, "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("accept4(3, ") && line.ends_with(" = 6")).count(), 2, "{text}");
}

#[test]
fn a_terminal_gets_colours_unless_somebody_minds() {
    let theatre = Theatre::new();
    for (columns, (stage, _)) in [160, 60].into_iter().flat_map(|columns| STAGES.map(|stage| (columns, stage))) {
        for (environment, coloured) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
            let mut terminal = theatre.terminal((300, columns), stage, &["--fast"], &[environment]);
            assert!(terminal.end().success());
            terminal.shows_somewhere(&format!("make timeline STAGE={stage}"));
            assert_eq!(terminal.is_coloured(), coloured, "{environment}");
            theatre.assert_empty();
        }
    }
}

#[test]
fn a_window_that_is_pulled_at_gets_lines_that_fit_from_there_on() {
    let theatre = Theatre::new();
    let mut terminal = theatre.terminal((200, 160), "udp", &[], &[]);
    terminal.shows_somewhere("── 2.");
    terminal.resize((200, 60));
    terminal.shows_somewhere("[철수 ");
    terminal.resize((200, 110));
    terminal.shows_somewhere("── 4.");
    assert!(terminal.end().success());
    terminal.shows_somewhere("make timeline STAGE=udp");
    let rows = terminal.rows();
    let end = rows.iter().position(|row| row.starts_with("── 5.")).unwrap();
    let lanes = lanes(&rows[end..].join("\n"), 3);
    let last = rows[end..].iter().find(|row| row.contains("close(3) = 0 ")).unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(bars(last), lanes[1..], "{last}");
    theatre.assert_empty();
}

#[test]
fn whoever_interrupts_it_finds_nothing_left_behind() {
    let signals = [None, Some(Signal::SIGTERM), Some(Signal::SIGHUP), Some(Signal::SIGQUIT)];
    let shows = signals.map(|signal| {
        let theatre = Theatre::new();
        (theatre.terminal((50, 160), "2", &[], &[]), theatre, signal)
    });
    for (mut terminal, theatre, signal) in shows {
        terminal.shows_somewhere("── 2.");
        assert!(theatre.processes().len() >= 3, "server, child, client");
        match signal {
            None => terminal.press("\x03"), // Ctrl-C: for everybody at the terminal
            Some(signal) => terminal.signal(signal),
        }
        assert!(!terminal.end().success());
        theatre.assert_empty();
    }
}

#[test]
fn when_it_is_killed_nobody_it_has_started_lives_on() {
    let theatre = Theatre::new();
    let terminal = theatre.terminal((50, 160), "2", &[], &[]);
    terminal.shows_somewhere("── 3.");
    assert!(theatre.processes().len() >= 5);
    terminal.signal(Signal::SIGKILL);
    eventually("the end of all that were started", || theatre.processes().iter().all(|pid| !is_running(*pid)));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let theatre = Theatre::new();
    let script = format!("{BIN} demo --stage 2 | head -n 3; echo ${{PIPESTATUS[0]}}");
    let done = run(Command::new("bash").args(["-c", &script]).env("TMPDIR", theatre.path()), b"");
    assert_eq!(done.err, "");
    assert!(done.text().ends_with("\n0\n"), "{}", done.text());
    theatre.assert_empty();
}

/// It has ended with 1, said this, and left nothing.
fn assert_failed(theatre: &Theatre, command: &mut Command, said: &str) {
    let done = run(command, b"");
    assert_eq!(done.code(), 1, "{}{}", done.text(), done.err);
    assert!(done.err.starts_with(&format!("sockstep: {said}")) && done.err.contains("\n힌트: "), "{}", done.err);
    theatre.assert_empty();
}

#[test]
fn a_server_that_cannot_start_is_told_in_its_own_words() {
    let theatre = Theatre::new();
    let mut command = Command::new(BIN);
    command.args(["demo", "--stage", "3", "--cert", "/nowhere/server.pem", "--key", "x", "--ca", "x"]);
    let missing = "certificate /nowhere/server.pem: ENOENT (No such file or directory)";
    assert_failed(&theatre, command.env("TMPDIR", theatre.path()), missing);
    let other_key = tls::Issued::ca("other").write(theatre.0.path(), "other").1;
    let place = Theatre::new();
    let mut command = place.demo("3", &[]);
    command.args(["--key", &other_key]);
    assert_eq!(run(&mut command, b"").code(), 2, "an option twice");
    let pem = cert("server.pem");
    let mut command = Command::new(BIN);
    command.args(["demo", "--stage", "3", "--cert", &pem, "--key", &other_key, "--ca", &pem]);
    assert_failed(&place, command.env("TMPDIR", place.path()), "private key ");
}

#[test]
fn a_client_that_does_not_trust_the_server_is_told_too() {
    let theatre = Theatre::new();
    let strange = tempfile::tempdir().unwrap();
    let ca = tls::Issued::ca("strange").write(strange.path(), "ca").0;
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let mut command = Command::new(BIN);
    command.args(["demo", "--stage", "3", "--cert", &pem, "--key", &key, "--ca", &ca]);
    assert_failed(&theatre, command.env("TMPDIR", theatre.path()), "TLS handshake (127.0.0.1:");
}

#[test]
fn a_server_that_is_killed_in_the_middle_is_told() {
    let theatre = Theatre::new();
    let mut terminal = theatre.terminal((100, 160), "1", &[], &[]);
    terminal.shows_somewhere("── 1.");
    let [server] = theatre.processes()[..] else { panic!("{:?}", theatre.processes()) };
    nix::sys::signal::kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    assert_eq!(terminal.end().exit_code(), 1);
    terminal.shows_somewhere(&format!("server (pid {server}) has ended: SIGKILL"));
    terminal.shows_somewhere("힌트: ");
    theatre.assert_empty();
}

#[test]
fn what_is_kept_can_be_drawn_and_is_not_written_over() {
    let (theatre, kept) = (Theatre::new(), tempfile::tempdir().unwrap());
    let directory = kept.path().join("run");
    let keep = ["--keep", directory.to_str().unwrap()];
    let done = run(&mut theatre.demo("2", &keep), b"");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert!(done.text().ends_with(&format!("{}/run.trace\n", directory.display())), "{}", done.text());
    let trace = directory.join("run.trace");
    let drawn = run(Command::new(BIN).arg("timeline").arg(&trace), b"");
    assert_eq!((drawn.code(), drawn.err.as_str()), (0, ""));
    let calls = fs::read_to_string(&trace).unwrap().lines().filter(|line| is_call(line)).count();
    assert!(calls > 100, "only {calls}");
    let before = fs::read(&trace).unwrap();
    assert_failed(
        &theatre,
        &mut theatre.demo("2", &keep),
        &format!("--keep {}: there is a run.trace", directory.display()),
    );
    assert_eq!(fs::read(&trace).unwrap(), before);
}

fn is_call(line: &str) -> bool {
    line.split('\t').nth(3).is_some_and(|call| call.contains('('))
}

/// Every call of the trace is on the screen, or is counted there.
#[test]
fn no_call_is_left_out_without_a_word() {
    let (theatre, kept) = (Theatre::new(), tempfile::tempdir().unwrap());
    for (stage, _) in STAGES {
        let directory = kept.path().join(stage);
        let done = run(theatre.demo(stage, &["--keep", directory.to_str().unwrap()]).env("COLUMNS", "200"), b"");
        let trace = fs::read_to_string(directory.join("run.trace")).unwrap();
        let made = trace.lines().filter(|line| is_call(line)).count();
        let told: usize = events(&done.text()).map(calls_on).sum();
        assert_eq!(told, made, "{}", done.text());
    }
}

/// One, or as many as the line counts, or none where somebody speaks.
fn calls_on(line: &str) -> usize {
    if ["입력> ", "화면> ", "시그널> "].iter().any(|words| line.contains(words)) {
        return 0;
    }
    let Some((_, folded)) = line.split_once("… ").filter(|(before, _)| !before.contains('(')) else { return 1 };
    let folded = folded.trim_end_matches([' ', '|']).trim_end_matches(" = EAGAIN");
    let count =
        |part: &str| part.split_once(' ').map_or(1, |(_, count)| count.trim_start_matches('×').parse().unwrap());
    folded.split('|').next().unwrap().trim().split(", ").map(count).sum()
}

// Packets -----------------------------------------------------------------------------------------

#[test]
fn packets_are_captured_where_that_is_possible() {
    let (theatre, kept) = (Theatre::new(), tempfile::tempdir().unwrap());
    for stage in ["1", "udp"] {
        let directory = kept.path().join(stage);
        let done = run(&mut theatre.demo(stage, &["--keep", directory.to_str().unwrap(), "--capture"]), b"");
        assert_eq!(done.code(), 0, "{}", done.err);
        if done.err.contains("패킷은 기록하지 않습니다") {
            return eprintln!("skipped: {}", done.err);
        }
        assert_eq!(done.err, "");
        let mut draw = Command::new(BIN);
        draw.arg("timeline").arg(directory.join("run.trace")).arg("--pcap").arg(directory.join("run.pcap"));
        let drawn = run(draw.env("COLUMNS", "200"), b"");
        assert_eq!((drawn.code(), drawn.err.as_str()), (0, ""));
        let count = |part: &str| drawn.text().lines().filter(|line| line.contains(part)).count();
        let (opened, ended, datagrams) = (count("- SYN -"), count("- FIN -"), count("- UDP "));
        let want = if stage == "1" { (2, 4, 0) } else { (0, 0, 4) };
        assert_eq!((opened, ended, datagrams), want, "{}", drawn.text());
    }
}

#[test]
fn without_tcpdump_or_without_the_right_to_capture_it_says_so_and_goes_on() {
    let bin = tempfile::tempdir().unwrap();
    let (theatre, kept) = (Theatre::new(), tempfile::tempdir().unwrap());
    let mut number = 0;
    let mut play = || {
        number += 1;
        let directory = kept.path().join(number.to_string());
        let mut demo = theatre.demo("udp", &["--keep", directory.to_str().unwrap(), "--capture"]);
        let done = run(demo.env("PATH", bin.path()), b"");
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(directory.join("run.trace").exists() && !directory.join("run.pcap").exists());
        theatre.assert_empty();
        done.err
    };
    assert!(play().starts_with("tcpdump가 없어 패킷은 기록하지 않습니다."));
    let refused = "#!/bin/sh\necho 'tcpdump: lo: You do not have permission to capture on that device' >&2\nexit 1\n";
    write_script(&bin.path().join("tcpdump"), refused);
    let said = play();
    assert!(said.starts_with("tcpdump가 캡처할 수 없어 패킷은 기록하지 않습니다."), "{said}");
    assert!(said.ends_with("(tcpdump: lo: You do not have permission to capture on that device)\n"), "{said}");
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
