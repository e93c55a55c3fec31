//! The system has nothing left: no descriptor, no process, no memory for a packet.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::RELAY;
use super::support::holdings::*;
use super::support::inject::Injection;
use super::support::*;

/// The soft limit of open files of a running process (prlimit(2)).
fn limit_open_files(pid: i32, soft: u64) {
    let limit = format!("--nofile={soft}:");
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(set.success());
}

#[test]
fn without_descriptors_it_waits_in_silence_and_recovers() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let before = Before::of(server.pid());
    // Room for accept(), none for the relay pair: and then for nothing at all.
    for spare in [1, 0] {
        let next_fd = (0..).find(|fd| !std::path::Path::new(&format!("/proc/{}/fd/{fd}", server.pid())).exists());
        limit_open_files(server.pid(), next_fd.unwrap() + spare);
        let mut waiting = server.connect();
        server.wait_for_log("EMFILE (Too many open files): not accepting for a moment");
        witness.send("/who\n");
        witness.line_with("* 지금");
        limit_open_files(server.pid(), 1024);
        let mut next = server.join();
        next.send("/who\n");
        next.line_with("* 지금");
        if spare == 1 {
            assert!(waiting.rest().starts_with("! 서버의 자원이 부족합니다."));
        } else {
            assert!(waiting.line().starts_with("* 어서 오십시오"));
        }
        drop((waiting, next));
        before.is_back(KEPT_KB);
    }
    let lines = server.log().matches("not accepting for a moment").count();
    assert!(lines <= 2, "at most one line an episode: {}", server.log());
}

#[test]
fn when_no_thread_can_be_made_the_newcomer_is_told_and_the_server_stays() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root, to become a user with no process to spare");
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("sockstep");
    std::fs::copy(BIN, &copy).unwrap();
    let chmod = Command::new("chmod").args(["-R", "755"]).arg(dir.path()).status().unwrap();
    assert!(chmod.success());
    for (more, call) in [("--no-fork", "pthread_create"), ("--mode=echo", "fork")] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=64331", "--clear-groups", "prlimit", "--nproc=1:1"]).arg(&copy);
        let server = Server::from_command({
            command.args(["server", "--listen", "127.0.0.1:0", more]);
            command
        });
        assert!(server.connect().rest().starts_with("! 서버의 자원이 부족합니다."));
        server.wait_for_log(&format!("{call} failed: EAGAIN"));
        assert!(server.connect().rest().starts_with("! 서버의 자원이 부족합니다."));
    }
}

#[test]
fn few_descriptors_mean_few_clients_and_a_word_about_it() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=40:40", BIN, "server", "--listen", "127.0.0.1:0", "--mode", "relay"]);
    let server = Server::from_command(command);
    server.wait_for_log("at most 8 clients, not 16384: the limit of open files");
    let mut inside: Vec<Peer> = (0..8).map(|_| server.join()).collect();
    assert!(server.connect().line().starts_with("! 자리가 없습니다."));
    inside[0].send("다 들어왔습니다\n");
    inside[7].line_with("[손님1] 다 들어왔습니다");
}

/// ENFILE is the whole system's limit, which is not ours to lower: strace says it instead of the kernel.
#[test]
fn a_system_without_descriptors_is_waited_for_without_a_spin() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let before = Before::of(server.pid());
    let what = "accept4:error=ENFILE:when=1..5";
    let Some(injection) = Injection::of(what, ",epoll_wait,epoll_pwait", server.pid()) else { return };
    let mut newcomer = server.join(); // comes in as soon as there is something again
    newcomer.send("들어왔습니다\n");
    witness.line_with("] 들어왔습니다");
    drop(newcomer);
    server.wait_for_children(1);
    let seen = injection.end();
    let refused = seen.lines().filter(|line| line.contains("(INJECTED)")).count();
    let meanwhile = seen.rsplit_once("(INJECTED)").unwrap().0;
    let waits = meanwhile.lines().filter(|line| line.starts_with("epoll_")).count();
    assert_eq!(refused, 5, "{seen}");
    assert!(waits <= 15, "a pause each time, and not a spin: {seen}");
    let told = "accept failed: ENFILE (Too many open files in system): not accepting for a moment";
    assert_eq!(server.log().matches(told).count(), 1, "{}", server.log());
    before.is_back(KEPT_KB);
}

#[test]
fn without_a_pair_or_a_process_for_it_a_newcomer_is_told_and_the_next_one_comes_in() {
    for (what, told) in [
        ("?fork,?clone,?clone3:error=EAGAIN:when=1..2", "fork failed: EAGAIN"),
        ("socketpair:error=ENFILE:when=1..2", "socketpair failed: ENFILE"),
        ("socketpair:error=ENOMEM:when=1..2", "socketpair failed: ENOMEM"),
    ] {
        let mut server = Server::start(&RELAY);
        let mut witness = server.join();
        let before = Before::of(server.pid());
        let Some(injection) = Injection::of(what, "", server.pid()) else { return };
        for _ in 0..2 {
            assert!(server.connect().rest().starts_with("! 서버의 자원이 부족합니다."), "{what}");
        }
        let mut next = server.join();
        next.send("들어왔습니다\n");
        witness.line_with("] 들어왔습니다");
        drop((next, injection));
        server.wait_for_log(told);
        before.is_back(KEPT_KB);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// ENOBUFS: a packet for the relay pair for which the kernel has no memory now. Nothing is lost, and it is not asked again
/// and again meanwhile.
#[test]
fn without_memory_for_a_packet_it_waits_without_a_spin_and_loses_nothing() {
    let server = Server::start(&RELAY);
    let (mut speaker, mut listener) = (server.join(), server.join());
    let children = server.wait_for_children(2);
    speaker.line_with("손님2");
    let before = Before::of(server.pid());
    for short in [server.pid(), children[0]] {
        let what = "sendto:error=ENOBUFS:when=1+";
        let Some(injection) = Injection::of(what, "", short) else { return };
        speaker.send((0..1000).map(|n| format!("{n}\n")).collect::<String>());
        eventually("a first try", || injection.seen().contains("(INJECTED)"));
        std::thread::park_timeout(Duration::from_millis(500)); // not a wait for anything: time to spin in
        let tries = injection.end().matches("(INJECTED)").count();
        assert!(tries < 100, "a spin: {tries} times in half a second");
        (0..1000).for_each(|n| assert_eq!(listener.line(), format!("[손님1] {n}")));
    }
    before.is_back(KEPT_AFTER_A_FLOOD_KB);
}
