//! A child can do next to nothing: held against the kernel's words about it, and against what it tries.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[cfg(target_arch = "x86_64")]
#[path = "support/puppet.rs"]
mod puppet;
mod support;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::geteuid;
use support::daemon::*;
use support::*;

/// A limit of a process: the soft and the hard one.
fn limit(pid: i32, name: &str) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {limits}"));
    let mut words = line.split_whitespace().map(String::from);
    [words.next().unwrap(), words.next().unwrap()]
}

/// In the sandbox, with this limit of files' sizes; and the parent is not.
#[track_caller]
fn assert_confined(child: i32, file_size: &str) {
    assert_eq!(["Seccomp", "NoNewPrivs"].map(|key| status_of(child, key)), ["2", "1"]);
    assert_eq!(["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|key| status_of(child, key)), ["0000000000000000"; 4]);
    assert_eq!(limit(child, "Max open files"), ["2", "2"]);
    assert_eq!(limit(child, "Max core file size"), ["0", "0"]);
    assert_eq!(limit(child, "Max file size"), [file_size; 2]);
    let parent = Seen::of(child).unwrap().ppid;
    assert_eq!(status_of(parent, "Seccomp"), "0");
}

/// Waits until the child has entered: it may just have been made.
fn only_child(server: &Server) -> i32 {
    let child = server.wait_for_children(1)[0];
    eventually("a child in its sandbox", || status_of(child, "Seccomp") == "2");
    child
}

#[test]
fn a_child_is_in_the_sandbox_in_whatever_way_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("keys"), "c\n").unwrap();
    let (trace, keys) = (format!("--trace={}", path("trace")), path("keys"));
    let relay = ["--mode", "relay"];
    for (args, file_size) in [
        (&[][..], "0"),
        (&relay, "0"),
        (&["--trace"], "0"),
        (&[&trace], "unlimited"), // it writes there itself
        (&["--step-script", &keys], "0"),
        (&["--idle-timeout", "60", "--log-file", &path("log")], "0"),
    ] {
        let server = Server::start(args);
        let mut peer = if args == relay { server.join() } else { server.connect() };
        if args != relay {
            peer.send("안녕\n");
            assert_eq!(peer.line(), "안녕");
        }
        assert_confined(only_child(&server), file_size);
    }
}

#[test]
fn a_child_with_tls_is_in_the_sandbox_and_serves() {
    for args in [&["--mode", "relay"][..], &["--mode", "relay", "--trace"]] {
        let server = tls_server(args);
        let mut peer = tls::TlsPeer::join(&server);
        assert_confined(only_child(&server), "0");
        peer.send("/who\n");
        assert!(peer.line().contains("손님1"));
    }
}

/// It may neither read /proc nor call what some C libraries make of fstat().
#[test]
fn who_steps_through_a_child_sees_its_sockets_from_within_the_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "s\n\n".repeat(200)).unwrap();
    let server = Server::start(&["--mode", "relay", "--step-script", keys.to_str().unwrap()]);
    let _peer = server.join();
    assert_confined(only_child(&server), "0");
    let log = server.log();
    let asked = log.split("\n\n").find(|part| part.contains("[c1 ") && part.contains("다음 호출: send("));
    let asked = asked.unwrap_or_else(|| panic!("{log}"));
    // Of the pair in full, and of the connection in brief.
    for part in ["u_seq  ", "inode ", "SO_SNDBUF=", "O_NONBLOCK FD_CLOEXEC", "  tcp ESTAB 0 0 127.0.0.1:"] {
        assert!(asked.contains(part), "{part:?} in {asked}");
    }
}

#[test]
fn a_daemons_child_is_in_the_sandbox() {
    let user: &[&str] = if geteuid().is_root() { &["--user", "nobody"] } else { &[] };
    let daemon = Daemon::start(&[&["--mode", "relay"], user].concat());
    let _peer = daemon.join();
    assert_confined(daemon.wait_for_children(1)[0], "0");
}

/// Standard error that is a file is written to by each process itself.
#[test]
fn a_log_in_a_file_under_standard_error_has_the_lines_of_children() {
    let home = Home::new();
    let mut command = Command::new("sh");
    let script = format!("exec \"$@\" 2>{}", home.text("stderr"));
    command.args(["-c", &script, "sh", BIN, "server", "--listen", "127.0.0.1:0", "--trace"]);
    let server = Server::from_command(command);
    let mut peer = server.connect();
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
    assert_confined(only_child(&server), "unlimited");
    eventually("the child's call", || home.read("stderr").contains("] recv(6, \"안녕\\n\""));
}

#[test]
fn without_a_sandbox_a_child_is_as_its_parent_and_that_is_said() {
    let server = Server::start(&["--no-sandbox"]);
    let mut peer = server.connect();
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
    let child = server.wait_for_children(1)[0];
    assert_eq!((status_of(child, "Seccomp").as_str(), limit(child, "Max open files")[0] != "2"), ("0", true));
    server.wait_for_log("WARN  [server");
    server.wait_for_log("--no-sandbox: a child can do whatever this server can");
}

/// `sockstep server ARGS` where seccomp(2) is not to be had.
#[allow(unsafe_code)]
fn without_seccomp(args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(["server"]).args(args);
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_seccomp as u32, 1),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = move || {
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        nix::sys::prctl::set_no_new_privs()?;
        // SAFETY: the kernel copies `len` instructions, which live until the call returns.
        let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        nix::errno::Errno::result(done).map(drop).map_err(Into::into)
    };
    // SAFETY: between fork and exec it makes two system calls, and nothing else.
    unsafe { command.pre_exec(filter) };
    command
}

#[test]
fn where_the_kernel_has_no_seccomp_the_server_refuses_to_start_and_says_how_it_would() {
    let addr = own_address(7000).to_string();
    let home = Home::new();
    let refused = without_seccomp(&["--listen", &addr]);
    assert_refused(&home, refused, &addr, "seccomp: ENOSYS (Function not implemented)", "--no-sandbox");
    for other in ["--no-sandbox", "--no-fork"] {
        let server = Server::from_command(without_seccomp(&["--listen", "127.0.0.1:0", other]));
        let mut peer = server.connect();
        peer.send("안녕\n");
        assert_eq!(peer.line(), "안녕");
    }
}

/// A process that nobody may look into belongs to root, as far as /proc is concerned.
#[test]
fn where_there_are_secrets_in_its_memory_nobody_may_look_into_a_child() {
    if !geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    let home = Home::new();
    binary_for_everybody(&home);
    for (mode, owner) in [("echo", 65534), ("relay", 0)] {
        let mut command = Command::new(home.path("sockstep"));
        command.args(["server", "--listen", "127.0.0.1:0", "--mode", mode]).uid(65534).gid(65534).current_dir("/");
        let server = Server::from_command(command);
        let _peer = server.connect();
        let owner_of = |pid: i32| std::fs::metadata(format!("/proc/{pid}/fd")).unwrap().uid();
        assert_eq!((owner_of(server.pid()), owner_of(only_child(&server))), (65534, owner), "{mode}");
    }
}

#[cfg(target_arch = "x86_64")]
#[path = "sandbox/attempts.rs"]
mod attempts;
#[path = "sandbox/chroot.rs"]
mod chroot;
