//! The server. Its whole life is on this page: socket, bind, listen, then for each client accept
//! and fork; recv and send are the child's. With --udp it is shorter: socket, bind.
//!
//! ```text
//! parent.rs    the loop: listener, signals, one relay socket a child
//! deliver.rs   packets between the hub and the children
//! admit.rs     accept(), a child for each newcomer, and what happens when the system has nothing left
//! door.rs      who may come in, and how many of whom are in
//! child.rs     fork() and what a child keeps; echo.rs and chat.rs are what it does
//! identity.rs  whom a child serves, when clients show certificates
//! ending.rs    how a connection ends
//! start.rs     what has to be right before the port opens, and what follows
//! operator.rs  what an operator asks of a running server: to stop, to reload, who is there
//! reap.rs      children that have ended
//! datagram.rs  --udp: recvfrom and sendto, no connection; silence.rs is who gets no answer
//! ```

mod admit;
mod announce;
mod chat;
mod child;
mod client;
mod command;
mod datagram;
mod deliver;
mod door;
mod echo;
mod ending;
mod identity;
mod lines;
mod notices;
mod operator;
mod outgoing;
mod parent;
mod reap;
mod silence;
mod start;
mod uplink;
mod wait;

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{SockFlag, SockType};
use nix::unistd::Pid;

use self::announce::announcement;
use self::start::{Kept, Start, cannot_bind, prepared, root_of_children, tls_context, where_to_log, whom_to_become};
use crate::cli::{Mode, ServerArgs};
use crate::daemon::{self, Side};
use crate::error::{During, Result};
use crate::lifecycle::{
    AcceptError, Socket, SocketOption, accept, bind, close, fork, listen, local_address, set_option, socket,
};
use crate::relay::{self, ParentEnd};
use crate::tls::KeyLog;

/// Runs the server to its end. What can fail, fails before the port opens.
pub fn run(args: &ServerArgs) -> Result<()> {
    let _ = prctl::set_name(c"sockstep"); // what ss -p, ps and top print
    let args = &prepared(args)?;
    let keylog = if args.keylog { Some(KeyLog::open()?) } else { None };
    let user = whom_to_become(args)?;
    let start = Start {
        log: where_to_log(args, user.as_ref())?,
        user,
        kept: Kept { tls: tls_context(args, keylog.as_ref())?, keylog, root: root_of_children(args)? },
        socket: if args.udp { open_socket(args)? } else { open_listener(args)? },
    };
    let local = local_address(start.socket.as_fd()).during("getsockname", args.listen)?;
    let announcement = announcement(args, local, start.kept.tls.as_ref());
    if !args.daemon {
        let (server, _pid_file) = start.settle(args, local)?;
        announcement.make(None);
        return server.run();
    }
    match daemon::detach()? {
        Side::Starter(daemon) => daemon.wait().map(|pid| announcement.make(Some(pid))),
        Side::Daemon(ready) => {
            let (server, _pid_file) = ready.report(start.settle(args, local))?;
            server.run().inspect_err(|error| log::error!("{error}"))
        }
    }
}

/// socket() → bind() → listen(): from here on the kernel takes connections for us.
fn open_listener(args: &ServerArgs) -> Result<Socket> {
    let addr = &args.listen;
    let listener = socket(addr, SockType::Stream, SockFlag::SOCK_NONBLOCK).during("socket", addr)?; // [03.stream]
    let options = if args.mode == Mode::Relay { &LISTENER_OPTIONS[..] } else { &LISTENER_OPTIONS[1..] };
    for &(option, value) in options {
        set_option(listener.as_fd(), option, value).during("setsockopt", format!("{addr}, {option:?}"))?;
    }
    // [04.bind]
    bind(listener.as_fd(), addr).map_err(|errno| cannot_bind(errno, addr, "TCP"))?;
    listen(listener.as_fd(), args.backlog).during("listen", addr)?; // [05.listen]
    Ok(listener)
}

/// Set once here: every accepted socket inherits them (but not O_NONBLOCK: accept4 asks for that).
const LISTENER_OPTIONS: [(SocketOption, i32); 5] = [
    // [04.options]
    (SocketOption::SendBuffer, 128 * 1024), // relay only: or the hub learns too late who reads how fast
    (SocketOption::ReuseAddr, 1),           // start again while old connections are in TIME-WAIT
    (SocketOption::NoDelay, 1),             // lines go out at once; the hub does the batching
    (SocketOption::KeepAlive, 1),           // notice a peer that vanished without FIN
    (SocketOption::KeepIdle, 60),
];

/// accept(): a new socket for the newcomer at the head of the queue.
fn take_newcomer(listener: &Socket) -> std::result::Result<(Socket, SocketAddr), AcceptError> {
    accept(listener.as_fd())
}

/// fork(): the child keeps the connection, the parent its end of the pair and the child's pid.
///
/// When the system has no descriptor or process left, the connection comes back.
fn hand_to_child(
    conn: Socket,
    setup: &child::Setup<'_>,
    buffers: &mut [u8],
) -> std::result::Result<(ParentEnd, Pid), NotStarted> {
    let (parent_end, child_end) = match relay::pair() {
        Ok(pair) => pair,
        Err(errno) => return Err(NotStarted { call: "socketpair", errno, conn }),
    };
    let mut outfit = child::Outfit::of(&conn, &child_end, setup);
    match fork() {
        Ok(Some(pid)) => {
            close(conn); // [09.parent] the child's copy keeps the connection open
            child_end.close();
            Ok((parent_end, pid))
        }
        Ok(None) => child::live(conn, child_end, setup, &mut outfit, buffers),
        Err(errno) => Err(NotStarted { call: "fork", errno, conn }),
    }
}

/// A connection that got no child, and the call that failed.
struct NotStarted {
    call: &'static str,
    errno: Errno,
    conn: Socket,
}

/// socket() → bind(), and that is all: nobody connects, so there is nothing to listen for or to accept.
fn open_socket(args: &ServerArgs) -> Result<Socket> {
    let addr = &args.listen;
    let socket = socket(addr, SockType::Datagram, SockFlag::SOCK_NONBLOCK).during("socket", addr)?; // [03.datagram]
    datagram::prepare(socket.as_fd(), addr).during("setsockopt", addr)?;
    bind(socket.as_fd(), addr).map_err(|errno| cannot_bind(errno, addr, "UDP"))?;
    Ok(socket)
}
