//! What a child tries when somebody has taken it over.

use super::puppet::{Fate, Word, makes};
use super::*;
use Word::{Bytes, Number};

/// A connection whose child waits for its client.
fn served(server: &Server) -> (Peer, i32) {
    let mut peer = server.connect();
    peer.send("여기\n");
    assert_eq!(peer.line(), "여기");
    let child = only_child(server);
    eventually("a child that sleeps", || state(child) == Some('S'));
    (peer, child)
}

fn skipped() {
    eprintln!("skipped: other processes may not be traced here (ptrace)");
}

#[test]
fn a_call_that_is_not_for_children_is_the_last_one_and_named_in_the_log() {
    let server = Server::start(&[]);
    let executable = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let parent = server.pid() as u64;
    let (shell, none) = (Bytes(b"/bin/sh\0"), Number(0));
    let stream = [Number(libc::AF_INET as u64), Number(libc::SOCK_STREAM as u64), none];
    let attempts: &[(&str, libc::c_long, &[Word<'_>])] = &[
        ("read", libc::SYS_read, &[none, Bytes(&[0; 8]), Number(8)]),
        ("execve", libc::SYS_execve, &[shell, none, none]),
        ("execveat", libc::SYS_execveat, &[Number(libc::AT_FDCWD as u64), shell, none, none, none]),
        ("socket", libc::SYS_socket, &stream),
        ("socketpair", libc::SYS_socketpair, &stream),
        ("connect", libc::SYS_connect, &[Number(6), Bytes(&[2, 0, 0, 80, 127, 0, 0, 1]), Number(16)]),
        ("bind", libc::SYS_bind, &[Number(6), Bytes(&[2, 0, 0, 80, 127, 0, 0, 1]), Number(16)]),
        ("accept4", libc::SYS_accept4, &[Number(3), none, none, none]),
        ("sendmsg", libc::SYS_sendmsg, &[Number(6), Bytes(&[0; 64]), none]),
        ("recvmsg", libc::SYS_recvmsg, &[Number(6), Bytes(&[0; 64]), none]),
        ("setsockopt", libc::SYS_setsockopt, &[Number(6), Number(1), Number(2), Bytes(&[1, 0, 0, 0]), Number(4)]),
        ("fork", libc::SYS_fork, &[]),
        ("vfork", libc::SYS_vfork, &[]),
        ("clone", libc::SYS_clone, &[Number(libc::SIGCHLD as u64), none, none, none, none]),
        ("clone3", libc::SYS_clone3, &[Bytes(&[0; 64]), Number(64)]),
        ("ptrace", libc::SYS_ptrace, &[Number(u64::from(libc::PTRACE_ATTACH)), Number(parent), none, none]),
        ("process_vm_readv", libc::SYS_process_vm_readv, &[Number(parent), none, none, none, none, none]),
        ("kill", libc::SYS_kill, &[Number(parent), Number(libc::SIGTERM as u64)]),
        ("tgkill", libc::SYS_tgkill, &[Number(parent), Number(parent), Number(libc::SIGTERM as u64)]),
        ("pidfd_open", libc::SYS_pidfd_open, &[Number(parent), none]),
        ("mmap", libc::SYS_mmap, &[none, Number(4096), Number(executable), Number(private), Number(u64::MAX), none]),
        ("mprotect", libc::SYS_mprotect, &[none, Number(4096), Number(executable)]),
        ("prlimit64", libc::SYS_prlimit64, &[none, Number(7), Bytes(&[255; 16]), none]),
        ("prctl", libc::SYS_prctl, &[Number(libc::PR_SET_DUMPABLE as u64), Number(1), none, none, none]),
        ("ioctl", libc::SYS_ioctl, &[none, Number(libc::TIOCSTI), Bytes(b"x")]),
        ("dup2", libc::SYS_dup2, &[Number(6), Number(2)]),
        ("creat", libc::SYS_creat, &[Bytes(b"/tmp/sockstep-was-here\0"), Number(0o600)]),
        ("unlink", libc::SYS_unlink, &[Bytes(b"/tmp/sockstep-was-here\0")]),
        ("chroot", libc::SYS_chroot, &[Bytes(b"/\0")]),
        ("setuid", libc::SYS_setuid, &[none]),
        ("memfd_create", libc::SYS_memfd_create, &[shell, none]),
        ("bpf", libc::SYS_bpf, &[none, none, none]),
        ("io_uring_setup", libc::SYS_io_uring_setup, &[Number(1), Bytes(&[0; 120])]),
        ("call 999", 999, &[]),
    ];
    for (n, (name, number, words)) in attempts.iter().enumerate() {
        let (mut peer, child) = served(&server);
        match makes(child, *number, words) {
            None => return skipped(),
            fate => assert_eq!(fate, Some(Fate::Ended), "{name}"),
        }
        assert_eq!(peer.next_line(), None, "{name}");
        let told = format!("made a forbidden system call: {name}\n");
        eventually(&told, || server.log().lines().any(|line| line.ends_with(told.trim_end())));
        let line = server.log().lines().find(|line| line.ends_with(told.trim_end())).unwrap().to_string();
        assert!(line.contains(" WARN ") && line.contains(&format!("c{} 127.0.0.1:", n + 1)), "{line}");
        server.wait_for_children(0);
    }
    let (mut peer, _) = served(&server); // the server itself has not suffered
    peer.send("끝\n");
    assert_eq!(peer.line(), "끝");
}

/// The puppet is no proof of anything unless these calls would succeed elsewhere.
#[test]
fn without_the_sandbox_the_same_calls_are_made() {
    let server = Server::start(&["--no-sandbox"]);
    let mut peer = server.connect();
    peer.send("여기\n");
    assert_eq!(peer.line(), "여기");
    let child = server.wait_for_children(1)[0];
    eventually("a child that sleeps", || state(child) == Some('S'));
    let stream = [Number(libc::AF_INET as u64), Number(libc::SOCK_STREAM as u64), Number(0)];
    let (file, here) = (Bytes(b"/etc/passwd\0"), Number(libc::AT_FDCWD as u64));
    for (number, words) in [
        (libc::SYS_socket, &stream[..]),
        (libc::SYS_openat, &[here, file, Number(0), Number(0)]),
        (libc::SYS_getuid, &[]),
    ] {
        match makes(child, number, words) {
            None => return skipped(),
            Some(Fate::Returned(result)) => assert!(result >= 0, "call {number}: {result}"),
            Some(Fate::Ended) => panic!("call {number}: the end"),
        }
    }
    peer.send("아직\n");
    assert_eq!(peer.line(), "아직");
}

#[test]
fn files_are_not_to_be_had_and_a_child_that_looks_for_them_goes_on() {
    let server = Server::start(&[]);
    let (mut peer, child) = served(&server);
    let (file, here) = (Bytes(b"/etc/passwd\0"), Number(libc::AT_FDCWD as u64));
    let room = Bytes(&[0; 512]);
    let attempts: &[(libc::c_long, &[Word<'_>])] = &[
        (libc::SYS_open, &[file, Number(0), Number(0)]),
        (libc::SYS_openat, &[here, file, Number(0), Number(0)]),
        (libc::SYS_stat, &[file, room]),
        (libc::SYS_lstat, &[file, room]),
        (libc::SYS_newfstatat, &[here, file, room, Number(0)]),
        (libc::SYS_statx, &[here, file, Number(0), Number(0xfff), room]),
        (libc::SYS_access, &[file, Number(0)]),
        (libc::SYS_faccessat, &[here, file, Number(0)]),
    ];
    for (number, words) in attempts {
        match makes(child, *number, words) {
            None => return skipped(),
            fate => assert_eq!(fate, Some(Fate::Returned(-i64::from(libc::EACCES))), "call {number}"),
        }
    }
    peer.send("아직\n");
    assert_eq!(peer.line(), "아직");
    assert_eq!(server.children(), [child]);
}

/// What the lesson needs is a hole for that alone.
#[test]
fn a_child_that_is_stepped_through_may_end_the_server_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "c\n").unwrap();
    let mut server = Server::start(&["--step-script", keys.to_str().unwrap()]);
    let signal = |pid: i32, signal: i32| [Number(pid as u64), Number(signal as u64)];
    for (pid, number) in [(server.pid(), libc::SIGKILL), (std::process::id() as i32, libc::SIGTERM)] {
        let (_peer, child) = served(&server);
        match makes(child, libc::SYS_kill, &signal(pid, number)) {
            None => return skipped(),
            fate => assert_eq!(fate, Some(Fate::Ended)),
        }
        server.wait_for_children(0);
    }
    let (_peer, child) = served(&server);
    assert_eq!(makes(child, libc::SYS_kill, &signal(server.pid(), libc::SIGTERM)), Some(Fate::Returned(0)));
    assert!(server.wait().success());
}
