//! When the terminal goes: a daemon does not notice, a server in the foreground ends in order.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, MasterPty, native_pty_system};
use support::daemon::*;
use support::*;

/// A program at a terminal of its own, as the leader of its session.
struct AtTerminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
}

impl AtTerminal {
    fn run(command: &[String]) -> AtTerminal {
        let pair = native_pty_system().openpty(Default::default()).unwrap();
        let command = CommandBuilder::from_argv(command.iter().map(Into::into).collect());
        let child = pair.slave.spawn_command(command).unwrap();
        AtTerminal { child, master: Some(pair.master) }
    }

    /// The window is closed.
    fn close(&mut self) {
        self.master = None;
    }

    fn pid(&self) -> i32 {
        self.child.process_id().unwrap() as i32
    }

    fn end(&mut self) -> u32 {
        let mut status = None;
        eventually("the end of the program at the terminal", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().exit_code()
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn argv(start: &[&str], more: Vec<String>) -> Vec<String> {
    start.iter().map(ToString::to_string).chain(more).collect()
}

/// A relay in the foreground that logs to its home.
fn foreground(home: &Home) -> Vec<String> {
    home.args(&["--mode", "relay"]).into_iter().filter(|arg| arg != "--daemon").collect()
}

#[test]
fn a_daemon_outlives_the_terminal_that_it_was_started_at() {
    let home = Home::new();
    let shell = ["sh", "-c", "\"$0\" \"$@\"; read line", BIN];
    let mut terminal = AtTerminal::run(&argv(&shell, home.args(&["--mode", "relay"])));
    let pid = home.pid();
    let (mut old, mut other) = (home.join(), home.join());
    old.line_with("손님2");
    terminal.close();
    terminal.end();
    other.send("터미널이 사라졌습니다\n");
    assert_eq!(old.line(), "[손님2] 터미널이 사라졌습니다");
    home.join();
    assert_eq!(old.line(), "* 손님3 님이 들어왔습니다.");
    assert!(is_running(pid));
    assert!(!home.log().contains("SIGHUP"), "{}", home.log());
}

#[test]
fn a_server_in_the_foreground_ends_in_order_when_its_terminal_goes() {
    for shell in [false, true] {
        let home = Home::new();
        // Leading the session itself, or as a program of the shell that does.
        let start: &[&str] = if shell { &["sh", "-c", "\"$0\" \"$@\"; exit", BIN] } else { &[BIN] };
        let mut terminal = AtTerminal::run(&argv(start, foreground(&home)));
        let mut peer = home.join();
        let pid = home.pid();
        assert_eq!(shell, pid != terminal.pid());
        terminal.close();
        assert_eq!(peer.rest(), "* 서버를 종료합니다. 안녕히 가십시오.\n");
        terminal.end();
        home.is_empty();
        let log = home.log();
        assert!(log.contains("SIGHUP: stopping, 1 clients") && log.trim_end().ends_with("stopped"), "{log}");
        assert!(!home.pid_file().exists());
    }
}

/// When the shell dies, the kernel tells its foreground programs first, and takes their terminal away then:
/// who asks for it at once may still find it.
#[test]
fn a_server_in_the_foreground_ends_when_the_shell_of_its_terminal_is_killed() {
    for _ in 0..10 {
        let home = Home::new();
        let mut terminal = AtTerminal::run(&argv(&["sh", "-c", "\"$0\" \"$@\"; exit", BIN], foreground(&home)));
        home.listening_on();
        kill(Pid::from_raw(terminal.pid()), Signal::SIGKILL).unwrap();
        home.is_empty();
        assert!(home.log().contains("SIGHUP: stopping, 0 clients"), "{}", home.log());
        terminal.end();
    }
}

#[test]
fn sighup_from_a_person_reloads_a_server_whose_terminal_is_there() {
    let home = Home::new();
    let mut terminal = AtTerminal::run(&argv(&[BIN], foreground(&home)));
    let mut peer = home.join();
    for round in 1..=3 {
        kill(Pid::from_raw(terminal.pid()), Signal::SIGHUP).unwrap();
        eventually("a reload", || home.log().matches("SIGHUP: 1 clients stay").count() == round);
    }
    peer.send("/who\n");
    assert_eq!(peer.line(), "* 지금 1명: 손님1");
    kill(Pid::from_raw(terminal.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.end(), 0);
}

#[test]
fn under_nohup_a_server_in_the_foreground_does_not_hear_the_terminal_go() {
    let home = Home::new();
    let mut terminal = AtTerminal::run(&argv(&["nohup", BIN], foreground(&home)));
    let mut peer = home.join();
    let pid = terminal.pid();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    terminal.close();
    // Of two signals that wait, the one with the lower number is read first.
    kill(Pid::from_raw(pid), Signal::SIGUSR1).unwrap();
    home.wait_for_log("SIGUSR1: 1 clients");
    peer.send("/who\n");
    assert_eq!(peer.line(), "* 지금 1명: 손님1");
    assert!(!home.log().contains("SIGHUP"), "{}", home.log());
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.end(), 0);
}
