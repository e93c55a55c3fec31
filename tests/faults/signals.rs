//! Signals without a pause, to the parent and to its children: nobody who talks meanwhile notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::holdings::*;
use super::support::inject::Injection;
use super::support::*;
use super::{Over, RELAY};

/// What a server has an answer to, and what it ignores, as other programs do.
const TO_THE_PARENT: [Signal; 7] = [SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE, SIGCONT, SIGWINCH, SIGURG];
/// What a terminal or pkill(1) may send to a whole group: the parent answers for everybody.
const TO_A_CHILD: [Signal; 8] = [SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE, SIGCONT, SIGWINCH, SIGURG, SIGINT];

#[test]
fn in_a_storm_of_signals_every_line_arrives_in_order() {
    const SPEAKERS: usize = 3;
    const LINES: usize = 1500;
    let mut server = Server::start(&RELAY);
    let mut listener = server.join();
    let speakers: Vec<Peer> = (0..SPEAKERS).map(|_| server.join()).collect();
    let children = server.wait_for_children(1 + SPEAKERS);
    (0..SPEAKERS).for_each(|_| drop(listener.line_with("들어왔습니다")));
    let before = Before::of(server.pid());
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let speakers = thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            let send = |pid: i32, signal: Signal| {
                kill(Pid::from_raw(pid), signal).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            };
            while !over.load(Ordering::Relaxed) {
                TO_THE_PARENT.iter().for_each(|signal| send(server.pid(), *signal));
                children.iter().for_each(|child| TO_A_CHILD.iter().for_each(|signal| send(*child, *signal)));
            }
        });
        let talking: Vec<_> = speakers
            .into_iter()
            .map(|mut speaker| {
                scope.spawn(move || {
                    let mut drain = Peer::new(speaker.stream.try_clone().unwrap());
                    let drained = thread::spawn(move || {
                        let mut others = 0;
                        while others < (SPEAKERS - 1) * LINES {
                            others += usize::from(drain.line().starts_with('['));
                        }
                    });
                    (0..LINES).for_each(|n| speaker.send(format!("{n}\n")));
                    drained.join().unwrap();
                    speaker
                })
            })
            .collect();
        let mut next = [0; SPEAKERS];
        for _ in 0..SPEAKERS * LINES {
            let line = listener.line();
            let (who, number) = line.strip_prefix("[손님").unwrap().split_once("] ").unwrap();
            let who: usize = who.parse().unwrap();
            assert_eq!(number, next[who - 2].to_string(), "손님{who}");
            next[who - 2] += 1;
        }
        eventually("a storm", || sent.load(Ordering::Relaxed) > 5000);
        talking.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
    // It has heard them, and is not behind with them.
    assert!(server.log().contains("SIGHUP: 4 clients stay") && server.log().contains("SIGUSR1: 4 clients"));
    drop(speakers);
    server.wait_for_children(1); // or one of them is told to have left behind the goodbye
    server.signal(SIGTERM);
    assert!(listener.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
    assert_eq!(server.wait().code(), Some(0));
}

/// The kernel hands out the lowest number first: SIGHUP (1) and SIGUSR1 (10) that come faster than the server goes round
/// must not keep SIGTERM (15) from being heard. strace makes it slow enough for that.
#[test]
fn who_sends_sighup_without_a_pause_does_not_keep_sigterm_from_being_heard() {
    for args in [&["--mode", "relay"][..], &["--udp"]] {
        let mut server = Server::start(args);
        let slow = "?epoll_wait,?epoll_pwait,?poll,?ppoll:delay_exit=30000";
        let Some(_slow) = Injection::of(slow, "", server.pid()) else { return };
        let (over, pid) = (AtomicBool::new(false), Pid::from_raw(server.pid()));
        thread::scope(|scope| {
            let _over = Over(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) && kill(pid, SIGHUP).is_ok() && kill(pid, SIGUSR1).is_ok() {
                    thread::sleep(Duration::from_millis(1)); // not a wait for anything
                }
            });
            eventually("a storm", || server.log().matches("SIGHUP: ").count() > 5);
            server.signal(SIGTERM);
            assert_eq!(server.wait().code(), Some(0));
        });
    }
}

/// `sockstep reload` and at once `sockstep stop`: both find the server busy, and both are done.
#[test]
fn a_reload_asked_for_just_before_the_end_is_still_done() {
    for args in [&["--mode", "relay"][..], &["--udp"]] {
        let mut server = Server::start(args);
        server.signal(SIGSTOP);
        eventually("a server that hears nothing", || state(server.pid()) == Some('T'));
        [SIGHUP, SIGTERM, SIGCONT].iter().for_each(|signal| server.signal(*signal));
        assert_eq!(server.wait().code(), Some(0));
        let log = server.whole_log();
        let (reloaded, stopped) = (log.find("SIGHUP: the log is standard error"), log.find("SIGTERM: stopping"));
        assert!(reloaded.is_some() && reloaded < stopped, "{log}");
    }
}
