//! The server. Its whole life is on this page: socket, bind, listen, then for each client accept
//! and fork; recv and send are the child's. With --udp it is shorter: socket, bind.
//!
//! ```text
//! parent.rs    the loop: listener, signals, one relay socket a child
//! deliver.rs   packets between the hub and the children
//! admit.rs     who comes in, and what happens when the system has nothing left
//! child.rs     fork() and what a child keeps; echo.rs and chat.rs are what it does
//! ending.rs    how a connection ends
//! datagram.rs  --udp: recvfrom and sendto, no connection; silence.rs is who gets no answer
//! ```

mod admit;
mod chat;
mod child;
mod client;
mod command;
mod datagram;
mod deliver;
mod echo;
mod ending;
mod lines;
mod outgoing;
mod parent;
mod silence;
mod uplink;
mod wait;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{SockFlag, SockType};
use nix::unistd::Pid;

use crate::cli::{Mode, ServerArgs};
use crate::error::{During, Result};
use crate::lifecycle::{AcceptError, SocketOption, accept, bind, close, listen, local_address, set_option, socket};
use crate::relay::{self, ParentEnd};
use crate::signal::Watch;
use crate::tls::server_context;

/// Runs the server to its end. What can fail, fails before the port opens.
pub fn run(args: &ServerArgs) -> Result<()> {
    let _ = prctl::set_name(c"sockstep"); // what ss -p, ps and top print
    let tls = match (args.tls, &args.cert, &args.key) {
        (true, Some(cert), Some(key)) => Some(server_context(cert, key)?),
        _ => None,
    };
    if args.mode == Mode::Relay {
        relay::check_longest_packet().during("send", format!("{} bytes to a child", relay::RELAY_MAX_BYTES))?;
    }
    let signals = Watch::for_parent().during("signalfd", "SIGTERM, SIGINT, SIGHUP, SIGCHLD")?;
    if args.udp {
        return datagram::serve(args, open_socket(args)?, signals);
    }
    let listener = open_listener(args)?;
    let local = local_address(listener.as_fd()).during("getsockname", args.listen)?;
    let parent = parent::Parent::new(args, tls, signals, listener)?;
    announce(args, local);
    parent.run()
}

/// socket() → bind() → listen(): from here on the kernel takes connections for us.
fn open_listener(args: &ServerArgs) -> Result<OwnedFd> {
    let addr = &args.listen;
    let listener = socket(addr, SockType::Stream, SockFlag::SOCK_NONBLOCK).during("socket", addr)?;
    let options = if args.mode == Mode::Relay { &LISTENER_OPTIONS[..] } else { &LISTENER_OPTIONS[1..] };
    for &(option, value) in options {
        set_option(listener.as_fd(), option, value).during("setsockopt", format!("{addr}, {option:?}"))?;
    }
    bind(listener.as_fd(), addr).during("bind", addr)?;
    listen(listener.as_fd(), args.backlog).during("listen", addr)?;
    Ok(listener)
}

/// Set once here: every accepted socket inherits them (but not O_NONBLOCK: accept4 asks for that).
const LISTENER_OPTIONS: [(SocketOption, i32); 5] = [
    (SocketOption::SendBuffer, 128 * 1024), // relay only: or the hub learns too late who reads how fast
    (SocketOption::ReuseAddr, 1),           // start again while old connections are in TIME-WAIT
    (SocketOption::NoDelay, 1),             // lines go out at once; the hub does the batching
    (SocketOption::KeepAlive, 1),           // notice a peer that vanished without FIN
    (SocketOption::KeepIdle, 60),
];

/// accept(): a new socket for the newcomer at the head of the queue.
fn take_newcomer(listener: &OwnedFd) -> std::result::Result<(OwnedFd, SocketAddr), AcceptError> {
    accept(listener.as_fd())
}

/// fork(): the child keeps the connection, the parent its end of the pair and the child's pid.
///
/// When the system has no descriptor or process left, the connection comes back.
fn hand_to_child(
    conn: OwnedFd,
    setup: &child::Setup<'_>,
    forget: impl FnOnce(),
) -> std::result::Result<(ParentEnd, Pid), NotStarted> {
    let parent = nix::unistd::getpid();
    let (parent_end, child_end) = match relay::pair() {
        Ok(pair) => pair,
        Err(errno) => return Err(NotStarted { call: "socketpair", errno, conn }),
    };
    match child::fork() {
        Ok(Some(pid)) => {
            close(conn); // the child's copy keeps the connection open
            child_end.close();
            Ok((parent_end, pid))
        }
        Ok(None) => {
            forget();
            child::live(conn, child_end, setup, parent)
        }
        Err(errno) => Err(NotStarted { call: "fork", errno, conn }),
    }
}

/// A connection that got no child, and the call that failed.
struct NotStarted {
    call: &'static str,
    errno: Errno,
    conn: OwnedFd,
}

/// socket() → bind(), and that is all: nobody connects, so there is nothing to listen for or to accept.
fn open_socket(args: &ServerArgs) -> Result<OwnedFd> {
    let addr = &args.listen;
    let socket = socket(addr, SockType::Datagram, SockFlag::SOCK_NONBLOCK).during("socket", addr)?;
    datagram::prepare(socket.as_fd(), addr).during("setsockopt", addr)?;
    bind(socket.as_fd(), addr).during("bind", addr)?;
    Ok(socket)
}

/// Tells a person, in Korean on standard output, and the log, that the port is open.
fn announce(args: &ServerArgs, local: SocketAddr) {
    let stage = match (args.mode, args.tls) {
        _ if args.udp => "1단계: UDP 에코",
        (Mode::Echo, false) => "1단계: 에코",
        (Mode::Echo, true) => "1단계: TLS 에코",
        (Mode::Relay, false) => "2단계: 중계",
        (Mode::Relay, true) => "3단계: TLS 중계",
    };
    log::info!("listening on {local}");
    let what = if args.udp { "데이터그램을" } else { "연결을" };
    // Nobody may be reading standard output; that is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{local}에서 {what} 기다립니다 ({stage}). 끝내려면 Ctrl-C를 누르십시오.");
}
