//! The child of a connection: what it keeps of its parent, the handshake, and its life to the end.
//!
//! - Notes: notes/09-fork.md
//! - Manual: close_range(2), prctl(2), _exit(2), ppoll(2)
//! - Owns: the connection and its end of the relay pair, and closes all else (but the file of --keylog)

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpid, getppid};
use openssl::ssl::SslContext;
use openssl::x509::X509;

use super::ending::{Ending, farewell};
use super::identity::{introduce, name_in};
use super::notices::PLAIN_ON_TLS;
use super::wait::Waiter;
use super::{chat, echo};
use crate::cli::{Mode, ServerArgs};
use crate::lesson;
use crate::lifecycle::{Socket, close, close_all_but, exit_at_once, peek};
use crate::logging;
use crate::relay::{ChildEnd, HERE, Id, RELAY_MAX_BYTES};
use crate::sandbox::{self, Sandbox};
use crate::signal;
use crate::tls::{KeyLog, Trouble, accepting, handshake_step};
use crate::traffic::Traffic;
use crate::transport::Transport;

/// First byte of a TLS record that carries a handshake message (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// What a child reads into: a packet of the relay, and what a client sends.
pub const BUFFERS_BYTES: usize = RELAY_MAX_BYTES + chat::READ_BYTES;

/// What a child has to know about the connection that it serves.
pub struct Setup<'a> {
    pub id: Id,
    pub peer: SocketAddr,
    pub traffic: Option<&'static Traffic>,
    pub args: &'a ServerArgs,
    pub tls: Option<&'a SslContext>,
    /// For the ppoll() of a child process.
    pub mask: SigSet,
    /// Under --keylog, the file that a child keeps besides its two sockets.
    pub keylog: Option<&'a KeyLog>,
    /// Around a child process.
    pub sandbox: Option<&'a Sandbox>,
}

/// What a child needs to leave its parent, made ready before fork(): a child that formats or allocates pays for
/// each page that it writes, and for each piece of code that it runs through, with a page fault.
pub struct Outfit {
    /// What ss -p, ps and top print; 15 bytes is all that the kernel keeps.
    name: CString,
    keep: Vec<RawFd>,
    mask: SigSet,
    parent: Pid,
}

impl Outfit {
    pub fn of(conn: &Socket, relay: &ChildEnd, setup: &Setup<'_>) -> Outfit {
        let mut keep = vec![conn.as_raw_fd(), relay.as_fd().as_raw_fd()];
        keep.extend(setup.keylog.map(|keylog| keylog.as_fd().as_raw_fd()));
        keep.extend(lesson::kept_fds());
        let name = CString::new(format!("sockstep-c{}", setup.id)).unwrap_or_default();
        sandbox::report_to(setup.traffic.map(Traffic::forbidden_call));
        Outfit { name, keep, mask: setup.mask, parent: getpid() }
    }
}

/// The child's life, from fork() to _exit(). It never returns into the parent's frames.
pub fn live(conn: Socket, relay: ChildEnd, setup: &Setup<'_>, outfit: &mut Outfit, buffers: &mut [u8]) -> ! {
    let life = AssertUnwindSafe(|| match keep_only(outfit, setup, &relay) {
        Ok(waiter) => serve(conn, relay, setup, waiter, buffers),
        Err(errno) => {
            log::error!("child set-up failed: {}", crate::error::describe(errno));
            Ending::SetupFailed
        }
    });
    let ending = catch_unwind(life).unwrap_or(Ending::Panicked);
    exit_at_once(ending as i32)
}

/// Cuts the ties to the parent: name, death signal, descriptors, signals; then, to all the rest of the system.
fn keep_only(outfit: &mut Outfit, setup: &Setup<'_>, relay: &ChildEnd) -> nix::Result<Waiter> {
    logging::become_child(setup.id, relay.as_fd());
    prctl::set_name(&outfit.name)?;
    // [09.orphan] Who asks at a terminal has to give it back first, and then ends as the relay does.
    prctl::set_pdeathsig(if lesson::step::is_on() { Signal::SIGTERM } else { Signal::SIGKILL })?;
    if getppid() != outfit.parent {
        return Err(Errno::ESRCH); // it died before the line above could tell us
    }
    setup.sandbox.map_or(Ok(()), Sandbox::change_root)?; // by a descriptor that goes with the next line
    // [09.keep]
    close_all_but(&mut outfit.keep)?;
    lesson::has_only(&outfit.keep);
    // [09.sandbox]
    setup.sandbox.map_or(Ok(()), Sandbox::enter)?; // the last that it does before it hears the client
    Ok(Waiter::new(Some(outfit.mask)))
}

/// Serves one connection to its end: in a forked child, or, under --no-fork, in the parent itself.
///
/// `buffers` is [`BUFFERS_BYTES`] long.
pub fn serve(conn: Socket, relay: ChildEnd, setup: &Setup<'_>, waiter: Waiter, buffers: &mut [u8]) -> Ending {
    let transport = match setup.tls {
        None => Ok((Transport::plain(conn.as_fd()), None)),
        Some(context) => secure(&conn, &relay, setup, context, &waiter),
    };
    let transport = transport.map(|(transport, shown)| (transport.counted_in(setup.traffic), shown));
    let ending = match (transport, setup.args.mode) {
        (Ok((transport, _)), Mode::Echo) => {
            if setup.tls.is_some() {
                let _ = relay.send(HERE); // the parent counts who is not; when it is gone, the wait tells of that
            }
            echo::serve(transport, &relay, setup, &waiter, buffers)
        }
        (Ok((mut transport, certificate)), Mode::Relay) => match name_in(certificate.as_deref()) {
            Ok(name) => chat::serve(transport, name.as_deref(), &relay, setup, &waiter, buffers),
            Err(words) => {
                farewell(&mut transport, &waiter, words.as_bytes(), false);
                Ending::NotNamed
            }
        },
        (Err(ending), _) => ending,
    };
    if matches!(ending, Ending::HandshakeFailed | Ending::TlsFailed) {
        // OpenSSL has sent its alert: let it arrive.
        farewell(&mut Transport::plain(conn.as_fd()), &waiter, &[], false);
    }
    close(conn);
    logging::end_hand_over();
    relay.close();
    ending
}

/// The TLS handshake: one deadline for all of it, however slowly the bytes come. Also gives the
/// client's certificate, where it had to show one.
fn secure<'fd>(
    conn: &'fd Socket,
    relay: &ChildEnd,
    setup: &Setup<'_>,
    context: &SslContext,
    waiter: &Waiter,
) -> Result<(Transport<BorrowedFd<'fd>>, Option<X509>), Ending> {
    let fd = conn.as_fd();
    let until = Instant::now() + setup.args.handshake_timeout;
    let wait = |event: PollFlags| match waiter.wait((fd, event), (relay, PollFlags::POLLIN), Some(until)) {
        Ok(ready) if ready.relay_speaks() || ready.relay_cut() || signal::asked_to_stop() => Err(Ending::Stopped),
        Ok(_) if Instant::now() >= until => Err(Ending::HandshakeTimeout),
        Ok(_) => Ok(()),
        Err(errno) => Err(Trouble::Errno(errno).into()),
    };
    let tell_plainly = |ending| {
        farewell(&mut Transport::plain(fd), waiter, PLAIN_ON_TLS.as_bytes(), false);
        Err(ending)
    };
    match first_byte(conn, wait) {
        Ok(Some(TLS_HANDSHAKE)) => {}
        Ok(Some(_)) => return tell_plainly(Ending::PlainOnTls),
        Ok(None) => return Err(Ending::Done),
        Err(Ending::HandshakeTimeout) => return tell_plainly(Ending::HandshakeTimeout),
        Err(ending) => return Err(ending),
    }
    let (mut stream, judgement) = accepting(context, crate::tls::Wire(fd)).map_err(|error| {
        log::error!("{}: {error}", setup.peer);
        Ending::SetupFailed
    })?;
    loop {
        match handshake_step(&mut stream) {
            Ok(None) => {
                let certificate = stream.ssl().peer_certificate();
                certificate.iter().for_each(|certificate| introduce(certificate, setup.peer));
                waiter.settle_soon();
                return Ok((Transport::over_tls(fd, stream), certificate));
            }
            Ok(Some(event)) => wait(event)?,
            Err(trouble) => {
                log::info!("{}: TLS handshake failed: {}", setup.peer, judgement.words(&trouble));
                return Err(Ending::HandshakeFailed);
            }
        }
    }
}

/// Looks at the first byte without taking it; `None` when the client leaves without a word.
fn first_byte(conn: &Socket, wait: impl Fn(PollFlags) -> Result<(), Ending>) -> Result<Option<u8>, Ending> {
    let mut first = [0];
    loop {
        wait(PollFlags::POLLIN)?;
        match peek(conn.as_fd(), &mut first) {
            Ok(seen) => return Ok(seen.first().copied()),
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(Trouble::Errno(errno).into()),
        }
    }
}
