//! `--step`: at a terminal, before each call, one question at a time.
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pty::Terminal;
use support::*;

/// A server at a terminal that is asked for its first call; `port` is free a moment ago.
fn server(args: &[&str]) -> (Terminal, SocketAddr) {
    let addr = free_address();
    let listen = addr.to_string();
    let terminal = Terminal::run((500, 160), &[&[BIN, "server", "--step", "--listen", &listen], args].concat());
    (terminal, addr)
}

/// A port that nobody has; a stepped server cannot say which one it got before it is asked.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Terminal {
    /// Waits for a question about a call that begins so; returns who asks, and the question.
    fn question(&self, call: &str) -> (String, String) {
        let mut found = None;
        let wanted = format!("] 다음 호출: {call}");
        eventually(&format!("the question about {call}"), || {
            let rows = self.rows();
            let asked = rows.iter().rfind(|row| row.contains("] 다음 호출: "));
            let ready = rows.iter().rev().take(2).any(|row| row.ends_with("q ?") || row.ends_with("? 도움말"));
            found = asked.filter(|row| ready && row.contains(&wanted)).cloned();
            found.is_some()
        });
        let row = found.unwrap();
        (row.split(' ').next().unwrap().trim_start_matches('[').into(), row)
    }

    fn is_asked(&self, call: &str) -> String {
        self.question(call).0
    }

    /// Runs calls until the question about one that begins so.
    fn step_to(&mut self, call: &str) -> String {
        let wanted = format!("] 다음 호출: {call}");
        for _ in 0..60 {
            let (asks, row) = self.question("");
            if row.contains(&wanted) {
                return asks;
            }
            let before = self.questions();
            self.press("\r");
            eventually("the next question", || self.questions() > before);
        }
        panic!("{call} never came");
    }

    fn questions(&self) -> usize {
        self.rows().iter().filter(|row| row.contains("] 다음 호출: ")).count()
    }
}

#[test]
fn each_call_is_explained_and_made_when_a_key_is_pressed() {
    let (mut terminal, addr) = server(&[]);
    assert_eq!(terminal.is_asked("socket(AF_INET, SOCK_STREAM"), "server");
    terminal.shows_somewhere("notes/03-socket.md · man socket(2)");
    terminal.step_to("bind(3, {sa_family=AF_INET");
    assert!(TcpStream::connect(addr).is_err());
    terminal.step_to("listen(3, 4096)");
    terminal.shows_somewhere(&format!("fd 3: local 0.0.0.0:* -> {addr}"));
    terminal.shows_somewhere("기다리지 않고 바로 돌아오며");
    assert!(TcpStream::connect(addr).is_err(), "listen() has not been made yet");
    terminal.press("\r");
    terminal.shows_somewhere("listen(3, 4096) = 0   notes/05-listen.md");
    terminal.shows_somewhere("fd 3: CLOSE -> LISTEN, accept queue limit 4096");
    TcpStream::connect(addr).unwrap();
    terminal.is_asked("getsockname(3, ");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

#[test]
fn a_client_connects_and_sends_before_accept() {
    let (mut terminal, addr) = server(&[]);
    terminal.step_to("getsockname(3, ");
    let mut peer = Peer::new(TcpStream::connect(addr).unwrap());
    peer.send("안녕\n");
    terminal.press("s");
    terminal.shows_somewhere("대기열  1 / 4096");
    terminal.step_to("accept4(3, ");
    terminal.press("\r");
    terminal.shows_somewhere("fd 3: accept queue 1 -> 0");
    terminal.shows_somewhere(&format!("fd 6: tcp ESTAB 7 0 {addr} {}", peer.stream.local_addr().unwrap()));
    terminal.step_to("recv(6, ");
    terminal.press("\r");
    terminal.shows_somewhere("fd 6: Recv-Q 7 -> 0");
    terminal.step_to("send(6, \"안녕\\n\", 7");
    terminal.press("\r");
    assert_eq!(peer.line(), "안녕");
}

#[test]
fn parent_and_child_ask_in_turn_and_say_what_they_wait_for() {
    let (mut terminal, addr) = server(&[]);
    terminal.step_to("getsockname(");
    terminal.press("\r");
    terminal.shows_somewhere("] … 새 연결이나 시그널을 기다립니다 (epoll_wait)");
    let mut peer = Peer::new(TcpStream::connect(addr).unwrap());
    assert_eq!(terminal.step_to("fork()"), "server");
    assert_eq!(terminal.step_to("close_range("), "c1");
    terminal.shows_somewhere("] fork() = 0   notes/09-fork.md");
    peer.send("x\n");
    assert_eq!(terminal.step_to("recv(6, "), "c1");
    terminal.shows_somewhere("] … 클라이언트가 데이터를 보내거나 부모가 말하기를 기다립니다 (ppoll)");
    // Between a question and its result nobody else has a word.
    let rows: Vec<String> = terminal.rows().into_iter().filter(|row| row.starts_with('[')).collect();
    let (mut open, mut answered) = (None, 0);
    for row in &rows {
        let who = row.split(']').next().unwrap();
        assert!(open.is_none_or(|open| open == who), "{row} in the midst of a question:\n{}", rows.join("\n"));
        match (row.contains("] 다음 호출: "), row.contains(") = ")) {
            (true, _) => open = Some(who),
            (false, true) if open.take().is_some() => answered += 1,
            _ => {}
        }
    }
    assert!(answered > 10, "{answered}");
}

#[test]
fn n_passes_calls_of_the_same_kind_and_c_all() {
    let (mut terminal, addr) = server(&[]);
    terminal.step_to("setsockopt(3, SOL_SOCKET, SO_REUSEADDR");
    terminal.press("n");
    terminal.is_asked("bind(3, ");
    assert_eq!(terminal.questions(), 3); // socket, the first setsockopt, bind
    terminal.press("c");
    terminal.shows_somewhere("] … 새 연결이나 시그널을 기다립니다 (epoll_wait)");
    let mut peer = Peer::new(TcpStream::connect(addr).unwrap());
    peer.send("hello\n");
    assert_eq!(peer.line(), "hello");
    terminal.shows_somewhere("send(6, \"hello\\n\", 6, MSG_NOSIGNAL) = 6");
    assert_eq!(terminal.questions(), 3);
    terminal.signal(Signal::SIGTERM);
    assert!(terminal.end().success());
}

#[test]
fn help_and_keys_without_meaning_run_nothing() {
    let (mut terminal, _) = server(&[]);
    terminal.is_asked("socket(");
    terminal.press("xyz가?");
    terminal.shows_somewhere("n      같은 호출은 묻지 않고 실행하고");
    terminal.is_asked("socket(");
    assert_eq!(terminal.questions(), 1);
    terminal.press("s");
    terminal.shows_somewhere("이 프로세스에는 아직 소켓이 없습니다.");
}

#[test]
fn q_and_ctrl_c_end_well_wherever_they_are_pressed() {
    for (call, key) in [("socket(", "q"), ("listen(", "\x03"), ("accept4(", "q"), ("recv(6", "\x03"), ("send(6", "q")] {
        let (mut terminal, addr) = server(&[]);
        terminal.step_to(if call == "socket(" { "socket(" } else { "listen(" });
        let mut peer = None;
        if !["socket(", "listen("].contains(&call) {
            terminal.step_to("getsockname(");
            peer = Some(Peer::new(TcpStream::connect(addr).unwrap()));
            peer.as_mut().unwrap().send("last\n");
            terminal.step_to(call);
        }
        terminal.press(key);
        assert!(terminal.end().success(), "{key:?} at {call}");
        terminal.assert_given_back();
        if let Some(mut peer) = peer.filter(|_| call == "send(6") {
            assert_eq!(peer.rest(), "last\n", "what was on its way is not lost");
        }
    }
}

/// A client's question about a call, with a connection that has been made before it.
fn client_at(call: &str) -> (Terminal, Option<TcpStream>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::run((500, 160), &[BIN, "client", "--step", "--connect", &addr]);
    if call == "connect(" {
        terminal.step_to(call);
        return (terminal, None);
    }
    terminal.step_to("fcntl(3, F_GETFL)");
    terminal.press("n");
    let mut peer = listener.accept().unwrap().0;
    terminal.shows_somewhere("] … 서버가 데이터를 보내기를 기다립니다 (poll)");
    match call {
        "recv(" => std::io::Write::write_all(&mut peer, b"hello\n").unwrap(),
        _ => terminal.press("hello\r"),
    }
    terminal.is_asked(call);
    (terminal, Some(peer))
}

/// The number of the last process that has asked.
fn last_to_ask(terminal: &Terminal) -> i32 {
    let row = terminal.rows().into_iter().rfind(|row| row.contains("] 다음 호출: ")).unwrap();
    row.split(['[', ' ', ']']).nth(2).unwrap().parse().unwrap()
}

/// A server whose child is at a question.
fn child_at_its_question() -> (Terminal, TcpStream) {
    let (mut terminal, addr) = server(&[]);
    terminal.step_to("getsockname(");
    let peer = TcpStream::connect(addr).unwrap();
    terminal.step_to("close_range(");
    while terminal.is_asked("") == "server" {
        terminal.press("\r");
    }
    (terminal, peer)
}

#[test]
fn a_signal_that_ends_a_client_is_heard_while_it_asks() {
    for call in ["connect(", "send(", "recv("] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let (mut terminal, _peer) = client_at(call);
            terminal.signal(signal);
            assert!(!terminal.end().success(), "{signal} at {call}");
            terminal.assert_given_back();
        }
    }
}

#[test]
fn sigterm_ends_a_server_whoever_asks() {
    let (mut starting, _) = server(&[]);
    starting.is_asked("socket(");
    let (mut accepting, addr) = server(&[]);
    accepting.step_to("getsockname(");
    let _peer = TcpStream::connect(addr).unwrap();
    accepting.step_to("accept4(");
    let (mut serving, _other) = child_at_its_question();
    for (terminal, ends_well) in [(&mut starting, false), (&mut accepting, true), (&mut serving, true)] {
        terminal.signal(Signal::SIGTERM);
        assert_eq!(terminal.end().success(), ends_well);
        terminal.assert_given_back();
    }
    assert!(serving.rows().iter().all(|row| !row.contains("did not end in time")));
}

#[test]
fn sigterm_for_a_child_at_its_question_ends_that_child_alone() {
    let (mut terminal, _peer) = child_at_its_question();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(last_to_ask(&terminal)), Signal::SIGTERM).unwrap();
    eventually("a question of the parent", || terminal.is_asked("") == "server");
    assert_eq!(terminal.step_to("recv(7, "), "server");
    terminal.shows_somewhere("close(6) = 0"); // the child's, unasked
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

#[test]
fn a_question_about_a_send_names_the_records_that_would_go() {
    let (server, dir) = (tls_server(&[]), tempfile::tempdir().unwrap());
    let keys = script(&dir, &"\n".repeat(60));
    let (ca, addr) = (cert("ca.pem"), server.addr.to_string());
    let args = ["client", "--tls", "--ca", &ca, "--connect", &addr, "--step-script", &keys];
    let done = run(&mut without_terminal(&args), b"hi\n");
    assert_eq!((done.code(), done.text().as_str()), (0, "hi\n"), "{}", done.err);
    let asked = |text: &str| done.err.lines().any(|line| line.contains("다음 호출: send(3, ") && line.contains(text));
    let made = |text: &str| done.err.lines().any(|line| line.contains("] send(3, ") && line.contains(text));
    for records in ["MSG_NOSIGNAL)   Handshake ClientHello ", "MSG_NOSIGNAL)   ChangeCipherSpec 6 + ApplicationData "] {
        assert!(asked(records) && made(&records["MSG_NOSIGNAL)".len()..]), "{records} in {}", done.err);
    }
}

#[test]
fn keys_pressed_while_nobody_asks_answer_nothing() {
    let (mut terminal, addr) = server(&["--mode", "relay"]);
    assert_eq!(terminal.is_asked("socket("), "server", "the trial of the relay is shown and not asked about");
    terminal.shows_somewhere("close(4) = 0");
    terminal.step_to("getsockname(");
    terminal.press("\r");
    terminal.shows_somewhere("] … 새 연결이나 시그널을 기다립니다 (epoll_wait)");
    terminal.press("zzq\r\r");
    terminal.shows_somewhere("zzq");
    let _peer = TcpStream::connect(addr).unwrap();
    assert_eq!(terminal.is_asked("accept4("), "server");
    terminal.press("s");
    terminal.shows_somewhere("대기열  1 / 4096");
    assert_eq!(terminal.step_to("fork("), "server");
    assert_eq!(terminal.step_to("close_range("), "c1");
    terminal.step_to("send(8, \"J\"");
    let asked = terminal.rows().iter().filter(|row| row.contains("] 다음 호출: close_range(")).count();
    assert_eq!(asked, 1, "one decision for all that a child closes");
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn sighup_at_a_question_is_heard_when_it_has_been_answered() {
    let (mut terminal, addr) = server(&["--mode", "relay"]);
    terminal.step_to("getsockname(");
    let _peer = TcpStream::connect(addr).unwrap();
    terminal.step_to("accept4(");
    terminal.signal(Signal::SIGHUP);
    terminal.press("s");
    terminal.shows_somewhere("대기열  1 / 4096");
    let before = terminal.questions();
    terminal.press("\r");
    eventually("the next question", || terminal.questions() > before);
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

#[test]
fn a_server_that_is_killed_leaves_no_child_at_its_question() {
    let (mut terminal, _peer) = child_at_its_question();
    let child = last_to_ask(&terminal);
    terminal.signal(Signal::SIGKILL);
    assert!(!terminal.end().success());
    eventually("the child's end", || !is_running(child));
    terminal.assert_given_back();
}

#[test]
fn a_child_that_is_killed_at_its_question_leaves_the_terminal_to_the_others() {
    let (mut terminal, _peer) = child_at_its_question();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(last_to_ask(&terminal)), Signal::SIGKILL).unwrap();
    eventually("a question of the parent", || terminal.is_asked("") == "server");
    assert_eq!(terminal.step_to("recv(7, "), "server"); // the relay's end
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

#[test]
fn a_child_that_is_killed_at_its_question_leaves_the_terminal_as_it_was() {
    let (mut terminal, _peer) = child_at_its_question();
    let child = nix::unistd::Pid::from_raw(last_to_ask(&terminal));
    nix::sys::signal::kill(child, Signal::SIGSTOP).unwrap(); // it hears nothing any more
    terminal.signal(Signal::SIGTERM);
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

#[test]
fn keys_at_a_question_are_no_conversation() {
    let echo = Server::start(&[]);
    let mut terminal = Terminal::run((500, 160), &[BIN, "client", "--step", "--connect", &echo.addr.to_string()]);
    for call in ["socket(", "connect(3, ", "getsockname(", "setsockopt(", "fcntl(3, F_GETFL)"] {
        assert_eq!(terminal.is_asked(call), "client");
        terminal.press(if call.starts_with("fcntl") { "n" } else { "\r" });
    }
    terminal.shows_somewhere("] … 서버가 데이터를 보내기를 기다립니다 (poll)");
    terminal.press("안녕\r");
    eventually("the question", || terminal.questions() == 6);
    terminal.press("s");
    terminal.shows_somewhere("TCP_INFO.tcpi_snd_cwnd");
    terminal.press("\r");
    terminal.shows_somewhere("send(3, \"안녕\\n\", 7, MSG_NOSIGNAL) = 7");
    eventually("the question of the receiving thread", || terminal.questions() == 7);
    terminal.press("\r");
    terminal.shows_somewhere("recv(3, \"안녕\\n\", 65536, 0) = 7");
    terminal.press("c\x15");
    terminal.press("\x04");
    eventually("the question about the end", || terminal.questions() == 8);
    terminal.press("c");
    assert!(terminal.end().success());
    terminal.assert_given_back();
}

/// A command without a controlling terminal, as under CI.
fn without_terminal(args: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command.arg("-w").arg(BIN).args(args);
    command
}

fn script(dir: &tempfile::TempDir, keys: &str) -> String {
    let path = dir.path().join("keys");
    fs::write(&path, keys).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn a_script_answers_and_the_conversation_stays_what_it_is() {
    let (echo, dir) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let keys = script(&dir, "# socket\n\n# connect\ns\n\nn\nc\n");
    let addr = echo.addr.to_string();
    let done = run(&mut without_terminal(&["client", "--step-script", &keys, "--connect", &addr]), b"one\ntwo\n");
    assert_eq!((done.code(), done.text().as_str()), (0, "one\ntwo\n"), "{}", done.err);
    let questions = done.err.lines().filter(|line| line.contains("] 다음 호출: "));
    let asked: Vec<&str> =
        questions.map(|line| line.split("호출: ").nth(1).unwrap().split('(').next().unwrap()).collect();
    assert_eq!(asked, ["socket", "connect", "getsockname", "setsockopt"]);
    assert!(done.err.contains("getsockopt(TCP_INFO).tcpi_state"), "{}", done.err);
    assert!(done.err.contains("send(3, \"one\\ntwo\\n\", 8, MSG_NOSIGNAL) = 8"), "{}", done.err);
}

#[test]
fn parent_and_children_read_one_script() {
    let dir = tempfile::tempdir().unwrap();
    let keys = script(&dir, &"\n".repeat(40));
    let mut server = Server::start(&["--step-script", &keys]);
    for n in 0..3 {
        let mut peer = server.connect();
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    }
    server.wait_for_log("더 받을 키가 없으므로");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert_eq!(server.whole_log().lines().filter(|line| line.contains("] 다음 호출: ")).count(), 41);
}

#[test]
fn a_script_with_a_wrong_key_is_refused_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let keys = script(&dir, "# two\n\nx\n");
    let refused = run(&mut without_terminal(&["server", "--step-script", &keys]), b"");
    assert_eq!(refused.code(), 1);
    assert!(
        refused.err.starts_with(&format!(
            "sockstep: step script {keys}: line 3: expected a key (empty, s, n, c, q or ?), found \"x\"\n힌트: "
        )),
        "{}",
        refused.err
    );
}

#[test]
fn what_nobody_reads_in_time_stops_no_server_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let keys = script(&dir, "c\n");
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let mut reader = fs::File::from(reader);
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--step-script", &keys]);
    let mut child = command.stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    drop(command); // and with it our copy of the writing end
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let addr = ready.split("에서").next().unwrap().to_string();
    let mut peer = Peer::new(TcpStream::connect(addr).unwrap());
    let mut echo = |n: usize| {
        peer.send(format!("{n}\n"));
        assert_eq!(peer.line(), n.to_string());
    };
    (0..1000).for_each(&mut echo);
    let mut said = vec![0; 1 << 16];
    let n = reader.read(&mut said).unwrap();
    said.truncate(n);
    echo(1000);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    reader.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(" lines lost: they were not read in time)\n"), "{said}");
    assert!(said.contains("send(6, \"1000\\n\", 5, MSG_NOSIGNAL) = 5"), "{said}");
}

#[test]
fn a_script_may_come_through_a_pipe_and_is_not_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let client = |script: &str| {
        run(&mut without_terminal(&["client", "--step-script", script, "--connect", "127.0.0.1:1"]), b"")
    };
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::write(fifo, "\r\ns\r\nc\r\n").unwrap()
    });
    let done = client(fifo.to_str().unwrap());
    writer.join().unwrap();
    assert!(done.err.contains("getsockopt(TCP_INFO).tcpi_state") && done.err.contains("ECONNREFUSED"), "{}", done.err);
    assert!(!done.err.contains("더 받을 키가 없으므로"), "{}", done.err);
    for (path, why) in [
        ("/dev/zero", "EFBIG (File too large)"),
        ("/proc/self/exe", "stream did not contain valid UTF-8"),
        (dir.path().to_str().unwrap(), "EISDIR (Is a directory)"),
        ("/nowhere", "ENOENT (No such file or directory)"),
    ] {
        let refused = client(path);
        assert_eq!(refused.code(), 1);
        assert!(refused.err.starts_with(&format!("sockstep: step script {path}: {why}\n힌트: ")), "{}", refused.err);
    }
}

#[test]
fn without_a_terminal_there_is_nobody_to_ask() {
    let refused = run(&mut without_terminal(&["client", "--step"]), b"");
    assert_eq!(refused.code(), 1);
    assert!(refused.err.starts_with("sockstep: controlling terminal /dev/tty: ENXIO"), "{}", refused.err);
    let refused = run(Command::new(BIN).args(["server", "--daemon", "--step"]), b"");
    assert_eq!(refused.code(), 2);
    assert!(refused.err.contains("--step, --daemon"), "{}", refused.err);
}

#[test]
fn no_deadline_ends_what_somebody_steps_through() {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let tls = ["--tls", "--cert", &pem, "--key", &key, "--handshake-timeout", "0.05", "--idle-timeout", "0.05"];
    let (mut terminal, addr) = server(&tls);
    terminal.step_to("getsockname(");
    let _silent = TcpStream::connect(addr).unwrap();
    terminal.step_to("close_range(");
    while !terminal.rows().iter().any(|row| row.contains("(ppoll)")) {
        let before = terminal.rows().len();
        terminal.press("\r");
        eventually("more on the screen", || terminal.rows().len() > before);
    }
    // Several times the deadline passes while ten clients find the server listening.
    for _ in 0..10 {
        TcpStream::connect(addr).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(terminal.rows().iter().all(|row| !row.starts_with("[c1 ") || !row.contains("] close(")));
    terminal.press("q");
}

#[test]
fn a_question_leaves_a_udp_client_all_the_time() {
    let udp = Server::start(&["--udp"]);
    let dir = tempfile::tempdir().unwrap();
    let keys = script(&dir, &"\n".repeat(9));
    let args = ["client", "--udp", "--connect", &udp.addr.to_string(), "--step-script", &keys];
    let done = run(without_terminal(&args).process_group(0), b"a\nb\n");
    assert_eq!((done.code(), done.text().as_str()), (0, "a\nb\n"), "{}", done.err);
    assert!(done.err.contains("] 다음 호출: sendto(3, \"b\", 1, 0, {sa_family=AF_INET"), "{}", done.err);
}
