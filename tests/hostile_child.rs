//! Any child could be taken over by whoever it serves. Here one is: a test takes its end of the relay pair
//! (pidfd_getfd(2)) and says there what no child of ours would. The parent drops it, says so, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs::{read_dir, read_link};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, getsockname, send, sendmsg,
};
use nix::unistd::Pid;
use support::tls::TlsPeer;
use support::*;

const RELAY: [&str; 2] = ["--mode", "relay"];
/// The kernel takes this much, and the parent less (`RELAY_MAX_BYTES`).
const TOO_LONG_BYTES: usize = 205_000;

/// The relay end of a child, as if it were ours. `None`, and a word about it, where the kernel does not let us.
#[allow(unsafe_code)] // nix knows neither call.
fn relay_end_of(child: i32) -> Option<OwnedFd> {
    // SAFETY: it takes two numbers and returns one.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    let pidfd = owned(pidfd)?;
    let sockets = read_dir(format!("/proc/{child}/fd")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_socket = read_link(&path).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        is_socket.then(|| path.file_name()?.to_str()?.parse::<RawFd>().ok()).flatten()
    });
    for socket in sockets.collect::<Vec<_>>() {
        // SAFETY: it takes three numbers and returns one.
        let copy = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), socket, 0) })?;
        let name: SockaddrStorage = getsockname(copy.as_raw_fd()).unwrap();
        if name.family() == Some(AddressFamily::Unix) {
            return Some(copy);
        }
    }
    panic!("no relay end in child {child}");
}

#[allow(unsafe_code)]
fn owned(fd: i64) -> Option<OwnedFd> {
    match Errno::result(fd) {
        // SAFETY: the kernel has just made it, for nobody else.
        Ok(fd) => Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
        Err(errno) => {
            eprintln!("skipped: no descriptor of another process to be had here: {errno}");
            None
        }
    }
}

/// A client, the pid of its child, and that child's relay end.
fn taken_over(server: &Server) -> Option<(Peer, i32, OwnedFd)> {
    let before = server.children();
    let mut peer = server.connect();
    peer.send("a\n"); // a greeting or an echo: the child has set itself up
    peer.line();
    let child = server.children().into_iter().find(|child| !before.contains(child)).unwrap();
    relay_end_of(child).map(|end| (peer, child, end))
}

fn say(end: &OwnedFd, packet: &[u8]) -> nix::Result<usize> {
    send(end.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL)
}

/// Two who were there before still talk with one another, in both directions.
fn assert_they_talk(first: &mut Peer, second: &mut Peer, about: &str) {
    let says = |from: &mut Peer, to: &mut Peer| {
        from.send(format!("{about}\n"));
        to.line_where(|line| line.starts_with("[손님") && line.ends_with(&format!("] {about}")));
    };
    says(first, second);
    says(second, first);
}

#[test]
fn a_child_that_breaks_the_rules_is_killed_and_named_and_the_others_talk_on() {
    let server = Server::start(&RELAY);
    let (mut first, mut second) = (server.join(), server.join());
    let malformed = "unknown or malformed packet";
    let bad: [(&[u8], &str); 12] = [
        (b"Z", malformed),
        (b"\xff\xfe\0", malformed),
        (b"Wx", malformed),
        (b"T\xec\x95\n", malformed),
        (b"Pnobody", malformed),
        (b"J", "joined twice"),
        (b"T\x1b]0;mine\x07\n", "lines with control characters or without an end"),
        (b"Tno end", "lines with control characters or without an end"),
        ("Tx\u{202e}\n".as_bytes(), "lines with control characters or without an end"),
        (&[b"T", "\n".repeat(9000).as_bytes()].concat(), "more lines than fit in a packet"),
        (b"G3sockstep \x1b[2J", "malformed line for the log"),
        (&[b'T'; TOO_LONG_BYTES], "packet too long"),
    ];
    for (n, (packet, why)) in (3..).zip(bad) {
        let Some((mut victim, child, end)) = taken_over(&server) else { return };
        let fds = server.open_fds();
        say(&end, packet).unwrap();
        server.wait_for_log(&format!("c{n} broke the relay's rules ({why}): killed"));
        first.line_with(&format!("손님{n} 님이 나갔습니다"));
        assert!(!victim.rest().contains('\x1b'));
        eventually("the child's end", || !is_running(child));
        let peer = victim.stream.local_addr().unwrap();
        eventually("its end in the log", || {
            server.log().lines().any(|line| line.contains(&format!("c{n} {peer} closed")) && line.ends_with("SIGKILL"))
        });
        assert_eq!(say(&end, b"W"), Err(Errno::EPIPE));
        assert!(server.open_fds() < fds, "its relay end is still open");
        assert_they_talk(&mut first, &mut second, why);
    }
    assert!(!server.log().contains('\x1b') && !server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_flood_of_noise_from_several_children_reaches_nobody() {
    let server = Server::start(&RELAY);
    let (mut first, mut second) = (server.join(), server.join());
    let noise = noise(1 << 20);
    for round in 0..20 {
        let Some((_victim, _, end)) = taken_over(&server) else { return };
        let mut rest = &noise[round * 10_000..];
        for kind in b"TNWPLGT".iter().cycle() {
            let (now, later) = rest.split_at(usize::from(rest[0]) + 1);
            rest = if later.len() > 256 { later } else { &noise };
            // At first what is right, then less and less of it.
            let text: String = now.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
            let packet =
                if rest[0] < 200 { format!("{}{text}\n", char::from(*kind)).into_bytes() } else { now.to_vec() };
            let mut room = [PollFd::new(end.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut room, 10_000_u16).and_then(|_| say(&end, &packet)) {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => break,
                Err(errno) => panic!("{errno}"),
            }
        }
        assert_they_talk(&mut first, &mut second, &format!("round {round}"));
    }
    let log = server.log();
    assert_eq!(log.matches("broke the relay's rules").count(), 20, "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_child_cannot_fill_the_log() {
    let server = Server::start(&RELAY);
    let Some((_victim, child, end)) = taken_over(&server) else { return };
    eventually("its end", || say(&end, b"G3sockstep mine") == Err(Errno::EPIPE));
    server.wait_for_log("(more lines for the log than a child has to say): killed");
    eventually("the child's end", || !is_running(child));
    let log = server.log();
    assert!(log.lines().filter(|line| line.ends_with("] mine")).all(|line| line.contains(&format!("[c1 {child}] "))));
    assert_eq!(log.matches("] mine").count(), 101, "the one too many is still written down");
}

#[test]
fn descriptors_that_a_child_sends_along_go_nowhere() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let Some((_victim, _, end)) = taken_over(&server) else { return };
    witness.line_with("손님2 님이 들어왔습니다");
    let (fds, ours) = (server.open_fds(), [end.as_raw_fd(); 8]);
    for _ in 0..50 {
        let line = [IoSlice::new(b"Tthere\n")];
        let rights = [ControlMessage::ScmRights(&ours)];
        sendmsg::<()>(end.as_raw_fd(), &line, &rights, MsgFlags::empty(), None).unwrap();
        witness.line_with("] there");
    }
    assert_eq!(server.open_fds(), fds);
}

/// An empty packet looks like the end: the child has said its last word, and is to go.
#[test]
fn a_child_that_has_said_its_end_and_stays_is_killed() {
    let server = Server::start(&RELAY);
    let mut witness = server.join();
    let Some((mut victim, child, end)) = taken_over(&server) else { return };
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    say(&end, b"").unwrap();
    witness.line_with("손님2 님이 나갔습니다");
    server.wait_for_log("did not end in time: killed");
    server.wait_for_children(1);
    victim.rest();
}

#[test]
fn a_child_of_an_echo_server_harms_nobody_either() {
    let server = Server::start(&["--mode", "echo"]);
    let mut witness = server.connect();
    witness.send("before\n");
    assert_eq!(witness.line(), "before");
    for packet in [&b"J"[..], b"Tx\n", b"G3sockstep fine", b"\0"] {
        let Some((_victim, _, end)) = taken_over(&server) else { return };
        say(&end, packet).unwrap();
        let _ = say(&end, b"Z");
        server.wait_for_log("broke the relay's rules");
        witness.send("still\n");
        assert_eq!(witness.line(), "still");
    }
    server.wait_for_children(1);
}

/// It has said so itself already, once its handshake was over.
#[test]
fn a_child_of_an_echo_over_tls_says_only_once_that_it_is_there() {
    let server = tls_server(&["--mode", "echo"]);
    let mut peer = TlsPeer::connect(&server);
    peer.send("a\n");
    assert_eq!(peer.line(), "a");
    let Some(end) = relay_end_of(server.wait_for_children(1)[0]) else { return };
    say(&end, b"J").unwrap();
    server.wait_for_log("broke the relay's rules (an echo has nothing to say): killed");
    server.wait_for_children(0);
}

/// Whoever has got hold of the pair, and keeps it beyond the child's end, does not keep the server from its own: neither
/// by never ceasing to speak nor by never hanging up.
#[test]
fn a_pair_that_never_falls_silent_and_never_ends_does_not_keep_the_server_from_its_end() {
    let mut server = Server::start(&RELAY);
    let mut witness = server.join();
    let Some((_peer, child, end)) = taken_over(&server) else { return };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        // Lines for the log that nobody has asked for: they cost a child nothing, and do not count.
        let never_ceases = scope.spawn(|| {
            let goes_on = || !over.load(Ordering::Relaxed) && (say(&end, b"G5sockstep x").is_ok() || has_ends(&end));
            while goes_on() {}
        });
        server.signal(Signal::SIGTERM);
        assert!(witness.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
        assert_eq!(server.wait().code(), Some(0));
        never_ceases.join().unwrap();
    });
    assert!(!is_running(child));
    assert!(server.whole_log().ends_with("stopped\n"));
}

/// Ends what another thread does also when something has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the parent has read something; false when it has closed its end.
fn has_ends(end: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, 1000_u16).is_ok() && !fds[0].revents().unwrap().intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
}
