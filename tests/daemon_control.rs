//! The PID file that a daemon holds, and the commands that go by it.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use support::daemon::*;
use support::tls::Issued;
use support::*;

const RELAY: [&str; 2] = ["--mode", "relay"];

#[test]
fn a_pid_file_that_nobody_holds_is_taken_over_and_its_number_never_believed() {
    let home = Home::new();
    let living = std::process::id().to_string(); // a signal to it would end this test
    for text in [format!("{living}\n"), living, String::new(), "1\n".into(), "999999999\n".into()] {
        fs::write(home.pid_file(), &text).unwrap();
        let status = home.control("status");
        assert_eq!(status.code(), 3, "{}", status.text());
        assert!(status.text().contains("잠금을 가진 프로세스가 없습니다"), "{}", status.text());
        assert_eq!(home.control("reload").code(), 7);
        let daemon = Daemon::start_in(&home, &[]);
        assert_eq!(home.read("pid"), format!("{}\n", daemon.pid));
        assert_eq!(home.control("stop").code(), 0);
        assert!(!home.pid_file().exists());
        fs::write(home.pid_file(), &text).unwrap();
        assert_eq!(home.control("stop").code(), 0, "nothing to stop is a success");
        assert!(!home.pid_file().exists(), "a stale PID file is cleared away");
    }
}

/// Who may read the file may lock it as a reader. That makes nobody a daemon, and nobody is signalled for it.
#[test]
fn a_readers_lock_is_no_daemon_and_a_start_says_that_it_is_in_the_way() {
    let home = Home::new();
    fs::write(home.pid_file(), "").unwrap();
    let reader = fs::File::open(home.pid_file()).unwrap();
    let lock = libc::flock { l_type: libc::F_RDLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETLK(&lock)).unwrap(); // this process: a signal would end it
    assert_eq!(home.control("status").code(), 3);
    assert_eq!(home.control("reload").code(), 7);
    assert_eq!(home.control("stop").code(), 0);
    let done = run(&mut home.command(&[]), b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""));
    assert!(done.err.contains("held by somebody whom the kernel does not name"), "{}", done.err);
    drop(reader);
    Daemon::start_in(&home, &[]).serves();
}

#[test]
fn a_pid_file_with_a_second_name_is_refused() {
    let home = Home::new();
    fs::write(home.path("precious"), "").unwrap();
    fs::hard_link(home.path("precious"), home.pid_file()).unwrap();
    let done = run(&mut home.command(&[]), b"");
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("has another name as well (a hard link): refused"), "{}", done.err);
    assert_eq!(home.read("precious"), "");
}

#[test]
fn what_a_killed_daemon_leaves_is_no_obstacle() {
    let home = Home::new();
    for _ in 0..3 {
        let daemon = Daemon::start_in(&home, &[]);
        daemon.signal(Signal::SIGKILL);
        daemon.is_gone();
        assert_eq!(home.read("pid"), format!("{}\n", daemon.pid));
        assert_eq!(home.control("status").code(), 3);
    }
    Daemon::start_in(&home, &[]).serves();
}

#[test]
fn the_pid_file_goes_with_the_daemon() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let daemon = Daemon::start(&RELAY);
        let _peer = daemon.join();
        daemon.signal(signal);
        daemon.is_gone();
        assert!(!daemon.home.pid_file().exists());
        assert!(daemon.home.log().contains(&format!("{signal}: stopping, 1 clients")), "{}", daemon.home.log());
        assert!(!daemon.home.log().contains("WARN"), "{}", daemon.home.log());
    }
}

#[test]
fn a_child_that_ends_does_not_take_the_pid_file_with_it() {
    let daemon = Daemon::start(&RELAY);
    for signal in [None, Some(Signal::SIGKILL), Some(Signal::SIGTERM), Some(Signal::SIGALRM)] {
        let mut peer = daemon.join();
        let child = daemon.wait_for_children(1)[0];
        match signal {
            None => peer.send("/quit\n"),
            Some(signal) => kill(Pid::from_raw(child), signal).unwrap(),
        }
        peer.rest();
        daemon.wait_for_children(0);
        assert_eq!(daemon.home.control("status").code(), 0, "the lock has gone with {signal:?}");
        assert_eq!(daemon.home.read("pid"), format!("{}\n", daemon.pid));
    }
}

#[test]
fn the_pid_file_of_somebody_else_is_left_alone() {
    let daemon = Daemon::start(&[]);
    let home = &daemon.home;
    fs::remove_file(home.pid_file()).unwrap();
    fs::write(home.pid_file(), "not yours\n").unwrap();
    assert_eq!(home.control("status").code(), 3);
    daemon.signal(Signal::SIGTERM);
    daemon.is_gone();
    assert_eq!(home.read("pid"), "not yours\n");
    assert!(home.log().contains("is another one now: left alone"), "{}", home.log());
}

#[test]
fn a_daemon_whose_pid_file_was_deleted_is_not_found_and_not_harmed() {
    let daemon = Daemon::start(&[]);
    let home = &daemon.home;
    fs::remove_file(home.pid_file()).unwrap();
    let stop = home.control("stop");
    assert_eq!(stop.code(), 0);
    assert!(
        stop.text().contains("실행 중인 데몬이 없습니다.") && stop.text().contains("도 없습니다"),
        "{}",
        stop.text()
    );
    assert_eq!((home.control("status").code(), home.control("reload").code()), (3, 7));
    daemon.serves();
    let second = Daemon::start_in(home, &[]);
    daemon.signal(Signal::SIGTERM);
    daemon.is_gone();
    assert_eq!(home.read("pid"), format!("{}\n", second.pid), "the first has removed the file of the second");
    assert_eq!(home.control("status").code(), 0);
}

#[test]
fn everybody_may_read_the_pid_file_and_nobody_else_write_it_whatever_the_umask() {
    for umask in ["000", "077", "277"] {
        let home = Home::new();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), BIN]).args(home.args(&[]));
        Daemon::from_command(&home, &mut command);
        assert_eq!(fs::metadata(home.pid_file()).unwrap().mode() & 0o7777, 0o644, "umask {umask}");
        assert_eq!(fs::metadata(home.path("log")).unwrap().mode() & 0o137, 0, "umask {umask}");
    }
}

#[test]
fn of_two_starts_at_the_same_moment_exactly_one_succeeds() {
    for round in 0..10 {
        let home = Home::new();
        if round % 2 == 1 {
            fs::write(home.pid_file(), "1\n").unwrap();
        }
        let commands = [(); 3].map(|()| home.command(&[]));
        let starts = commands.map(|mut command| thread::spawn(move || run(&mut command, b"")));
        let done = starts.map(|start| start.join().unwrap());
        let codes: Vec<i32> = done.iter().map(Finished::code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
        let winner = home.read("pid");
        for lost in done.iter().filter(|done| done.code() != 0) {
            assert_eq!(lost.code(), 1);
            assert!(lost.err.contains(&format!("held by pid {} (sockstep)", winner.trim())), "{}", lost.err);
        }
        eventually("the losers' end", || home.processes().len() == 1);
        assert_eq!(home.processes()[0].to_string(), winner.trim());
        assert_eq!(home.control("stop").code(), 0);
    }
}

#[test]
fn commands_at_the_same_moment_never_take_each_other_for_the_daemon() {
    let home = Home::new();
    for _ in 0..30 {
        fs::write(home.pid_file(), "1\n").unwrap();
        let commands = [(); 4].map(|()| {
            let mut command = Command::new(BIN);
            command.args(["stop", "--pid-file"]).arg(home.pid_file());
            command
        });
        for stop in commands.map(|mut command| thread::spawn(move || run(&mut command, b""))) {
            let done = stop.join().unwrap();
            assert_eq!(done.status.code(), Some(0), "{:?} {}{}", done.status, done.text(), done.err);
            assert!(done.text().contains("실행 중인 데몬이 없습니다."), "{}", done.text());
        }
        assert!(!home.pid_file().exists());
    }
}

#[test]
fn a_server_in_the_foreground_holds_its_pid_file_too() {
    let home = Home::new();
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--pid-file", "pid"]).current_dir(home.dir());
    let mut server = Server::from_command(command);
    assert_eq!(home.read("pid"), format!("{}\n", server.pid()));
    assert_eq!(home.control("status").code(), 0);
    assert_eq!(home.control("stop").code(), 0);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!home.pid_file().exists());
}

// status, stop, reload ----------------------------------------------------------------------------

/// The value of a row of `status`.
#[track_caller]
fn row(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix("  ")?.strip_prefix(name)?.strip_prefix("  "));
    let line = line.unwrap_or_else(|| panic!("no {name} in {status}"));
    line.trim_start().split("  ").next().unwrap().to_string()
}

#[test]
fn status_shows_what_the_kernel_shows() {
    let daemon = Daemon::start(&RELAY);
    let status = daemon.home.control("status");
    let (code, status) = (status.code(), status.text());
    assert_eq!(code, 0);
    assert!(status.starts_with("데몬이 실행 중입니다.\n"), "{status}");
    let seen = daemon.seen();
    assert_eq!(row(&status, "PID"), daemon.pid.to_string());
    assert_eq!(row(&status, "PPID"), seen.ppid.to_string());
    assert_eq!(row(&status, "세션"), seen.session.to_string());
    assert_eq!(row(&status, "제어 터미널"), "없음");
    assert_eq!(row(&status, "작업 디렉터리"), "/");
    let id = run(Command::new("id").arg("-un"), b"").text();
    assert_eq!(row(&status, "UID"), format!("{} ({})", geteuid(), id.trim()));
    assert_eq!(row(&status, "포트"), format!("TCP {}", daemon.addr));
    let listening = run(Command::new("ss").args(["-tlnp", &format!("sport = :{}", daemon.addr.port())]), b"").text();
    let shown = [daemon.addr.to_string(), format!("((\"sockstep\",pid={},", daemon.pid)];
    assert!(shown.iter().all(|part| listening.contains(part.as_str())), "{listening}");
    let boot: u64 = fs::read_to_string("/proc/stat")
        .unwrap()
        .split("btime ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let started = boot + seen.start_ticks / 100;
    let by_the_clock = |at: u64| run(Command::new("date").args(["-d", &format!("@{at}"), "+%F %T"]), b"").text();
    let around = [started - 1, started, started + 1].map(by_the_clock); // the kernel's idea of the boot wanders
    assert!(around.iter().any(|at| row(&status, "시작 시각").starts_with(at.trim())), "{around:?} {status}");
    for place in
        ["fcntl(F_GETLK)", "/stat의 4번째 값", "/stat의 7번째 값", "/cwd", "의 Uid", "/net의 tcp, udp", "/children"]
    {
        assert!(status.contains(place), "{place} in {status}");
    }
    let clients = || row(&daemon.home.control("status").text(), "클라이언트");
    assert_eq!(clients(), "0명");
    let peers = [daemon.join(), daemon.join(), daemon.join()];
    assert_eq!(clients(), "3명");
    drop(peers);
    eventually("a daemon alone", || clients() == "0명");
}

#[test]
fn status_counts_a_client_that_is_served_without_fork() {
    let daemon = Daemon::start(&["--no-fork"]);
    let clients = || row(&daemon.home.control("status").text(), "클라이언트");
    assert_eq!(clients(), "0명");
    let mut peer = daemon.connect();
    peer.send("a\n");
    peer.line();
    assert_eq!(clients(), "1명");
}

#[test]
fn the_exit_codes_are_those_of_init_scripts() {
    let home = Home::new();
    let codes = || ["status", "reload", "stop"].map(|command| home.control(command).code());
    assert_eq!(codes(), [3, 7, 0]);
    Daemon::start_in(&home, &[]);
    assert_eq!(codes(), [0, 0, 0]);
    fs::create_dir(home.pid_file()).unwrap();
    assert_eq!(codes(), [4, 1, 1]); // what cannot be known, and what cannot be done
    let status = home.control("status");
    assert!(status.err.contains("is not a regular file") && status.err.contains("힌트: "), "{}", status.err);
}

#[test]
fn stop_comes_back_when_the_process_has_gone_and_the_port_is_free() {
    let home = Home::new();
    let addr = own_address(7000).to_string();
    for _ in 0..5 {
        let daemon = Daemon::start_in(&home, &[&["--listen", &addr][..], &RELAY].concat());
        let mut peers = [daemon.join(), daemon.join()];
        peers[0].line_with("손님2");
        let stopped = home.control("stop");
        assert!(!is_running(daemon.pid));
        assert_eq!((stopped.code(), stopped.err.as_str()), (0, ""));
        assert_eq!(stopped.text(), format!("데몬을 멈췄습니다 (PID {}, SIGTERM).\n", daemon.pid));
        assert!(!home.pid_file().exists() && home.processes().is_empty());
        peers.iter_mut().for_each(|peer| assert_eq!(peer.rest(), "* 서버를 종료합니다. 안녕히 가십시오.\n"));
    }
}

#[test]
fn stop_waits_for_the_goodbye_of_a_client_that_does_not_read() {
    let daemon = Daemon::start(&RELAY);
    let (mut talker, silent) = (daemon.join(), daemon.join());
    talker.line_with("손님2");
    talker.send("x\n".repeat(1000));
    let child = daemon.wait_for_children(2)[1];
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap(); // not even its child runs
    let stopped = daemon.home.control("stop");
    assert_eq!(stopped.code(), 0, "{}", stopped.err);
    assert!(!is_running(daemon.pid) && !is_running(child));
    assert!(daemon.home.log().contains("did not end in time: killed"), "{}", daemon.home.log());
    drop(silent);
}

#[test]
fn relative_paths_still_lead_to_the_files_when_the_daemon_is_in_another_folder() {
    let home = Home::new();
    let old = Issued::leaf("old", &[], -1..10, None);
    old.write(home.dir(), "server");
    let mut command = Command::new(BIN);
    command.current_dir(home.dir()).args(["server", "--daemon", "--listen", "127.0.0.1:0", "--mode", "relay", "--tls"]);
    command.args(["--cert", "server.pem", "--key", "./server.key", "--pid-file", "pid", "--log-file", "../log"]);
    if geteuid().is_root() {
        command.args(["--user", "root"]);
    }
    fs::create_dir(home.path("below")).unwrap();
    command.current_dir(home.path("below"));
    for file in ["server.pem", "server.key"] {
        fs::rename(home.path(file), home.path("below").join(file)).unwrap();
    }
    // The folder is on no command line here: so it is named to whoever ends what is left.
    command.arg0(home.text("sockstep"));
    let daemon = Daemon::from_command(&home, &mut command);
    assert!(daemon.told.contains(&format!("sockstep stop --pid-file {}", home.text("below/pid"))), "{}", daemon.told);
    assert!(home.path("below/pid").exists() && home.log().contains("listening on"));
    let certificate = || {
        let mut connector = openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls_client()).unwrap();
        connector.set_verify(openssl::ssl::SslVerifyMode::NONE);
        let stream = connector.build().connect("127.0.0.1", daemon.connect().stream).unwrap();
        stream.ssl().peer_certificate().unwrap().to_pem().unwrap()
    };
    assert_eq!(certificate(), old.pem.to_pem().unwrap());
    let new = Issued::leaf("new", &[], -1..10, None);
    new.write(&home.path("below"), "server");
    fs::rename(home.path("log"), home.path("log.1")).unwrap();
    let control =
        |what: &str| run(Command::new(BIN).args([what, "--pid-file", "below/pid"]).current_dir(home.dir()), b"").code();
    assert_eq!(control("reload"), 0);
    home.wait_for_log("SIGHUP: certificate and key read anew");
    assert_eq!(certificate(), new.pem.to_pem().unwrap());
    assert_eq!((control("status"), control("stop")), (0, 0));
    assert!(!home.path("below/pid").exists());
    assert!(home.log().contains("stopped") && !home.read("log.1").contains("stopped"));
}

#[test]
fn a_reload_with_broken_files_keeps_what_works_and_says_so() {
    let home = Home::new();
    let (pem, key) = Issued::leaf("works", &[], -1..10, None).write(home.dir(), "server");
    let daemon = Daemon::start_in(&home, &["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
    let works = fs::read(&key).unwrap();
    for broken in ["", "안녕\n"] {
        fs::write(&key, broken).unwrap();
        let before = home.log().matches("the old certificate stays").count();
        assert_eq!(home.control("reload").code(), 0);
        eventually("a refusal", || home.log().matches("the old certificate stays").count() == before + 1);
        assert!(home.log().contains(&format!("private key {key}: not an unencrypted PEM private key")));
    }
    fs::write(&key, works).unwrap();
    assert_eq!(home.control("reload").code(), 0);
    home.wait_for_log("certificate and key read anew");
    // The log's folder goes: the old log stays, and is still written.
    fs::rename(home.dir(), home.dir().with_extension("moved")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let moved = home.dir().with_extension("moved").join("log");
    eventually("a word about it", || fs::read_to_string(&moved).unwrap().contains("the old log stays"));
    fs::rename(home.dir().with_extension("moved"), home.dir()).unwrap();
}
