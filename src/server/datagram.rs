//! Stage 1 over UDP: every datagram goes back whole to whoever sent it.
//!
//! There is no connection, so no listen(), no accept() and no child: one socket serves everybody.
//! One buffer, filled and emptied in turn: what comes while a reply waits for room stays in the
//! kernel, and what does not fit there is lost, as UDP may lose it anywhere.
//!
//! - Notes: notes/08-send-recv.md
//! - Manual: udp(7), ip(7), ipv6(7)
//! - Standard: RFC 768, RFC 862 (the echo service), RFC 1122 §4.1.3.5 (reply from the address that was asked)

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::silence::silence;
use crate::cli::ServerArgs;
use crate::error::{During, Result, describe};
use crate::lesson::PacketInfo;
use crate::lifecycle::{SocketOption, close, local_address, recvfrom, recvmsg, sendmsg, sendto, set_option};
use crate::limits::Throttle;
use crate::signal::Watch;

/// The longest datagram has 65,507 bytes, over IPv6 65,527.
const BUFFER_BYTES: usize = 64 * 1024;
/// So that many can send long ones at once. Unless root asks, the kernel gives what net.core.rmem_max allows.
const RECEIVE_BUFFER_BYTES: i32 = 4 * 1024 * 1024;
/// What is set before bind(). Where many addresses are bound, each datagram has to tell which was asked.
pub fn prepare(socket: BorrowedFd<'_>, listen: &SocketAddr) -> nix::Result<()> {
    let forced =
        geteuid().is_root() && set_option(socket, SocketOption::ReceiveBufferForce, RECEIVE_BUFFER_BYTES).is_ok();
    if !forced {
        set_option(socket, SocketOption::ReceiveBuffer, RECEIVE_BUFFER_BYTES)?; // root in a container, too
    }
    match (listen.ip().is_unspecified(), listen.is_ipv4()) {
        (false, _) => Ok(()),
        (true, true) => set_option(socket, SocketOption::PacketInfo, 1),
        (true, false) => set_option(socket, SocketOption::PacketInfo6, 1),
    }
}

/// Echoes until told to stop.
pub fn serve(args: &ServerArgs, socket: OwnedFd, signals: Watch) -> Result<()> {
    let local = local_address(socket.as_fd()).during("getsockname", args.listen)?;
    super::announce(args, local);
    let mut echo = Echo::new(socket.as_fd(), local);
    let signal = echo.run(&signals)?;
    log::info!("{signal}: stopping");
    log::info!("stopped: {}", echo.counts);
    close(socket);
    Ok(())
}

/// A datagram in the buffer that is on its way back.
struct Reply {
    length: usize,
    to: SocketAddr,
    from: Option<PacketInfo>,
}

#[derive(Default)]
struct Counts {
    received: u64,
    answered: u64,
    ignored: u64,
    failed: u64,
}

struct Echo<'a> {
    socket: BorrowedFd<'a>,
    local: SocketAddr,
    buf: Vec<u8>,
    /// While set, nothing is received: the buffer is full.
    pending: Option<Reply>,
    counts: Counts,
    silences: [Throttle; 3], // one a reason
    failures: Throttle,
}

impl<'a> Echo<'a> {
    fn new(socket: BorrowedFd<'a>, local: SocketAddr) -> Self {
        let (counts, silences, failures) = Default::default();
        Echo { socket, local, buf: vec![0; BUFFER_BYTES], pending: None, counts, silences, failures }
    }

    fn run(&mut self, signals: &Watch) -> Result<Signal> {
        loop {
            let event = if self.pending.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(self.socket, event)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                waited => waited.during("poll", self.local)?,
            };
            let [signalled, ready] = fds.map(|fd| fd.revents().is_none_or(|events| !events.is_empty()));
            if let Some(signal) = signalled.then(|| to_stop(signals)).flatten() {
                return Ok(signal);
            }
            if ready && self.pending.is_none() {
                self.receive()?;
            }
            self.answer()?;
        }
    }

    /// recvfrom(), or, where many addresses are bound, recvmsg(): only that tells which of them was asked.
    fn receive(&mut self) -> Result<()> {
        let (call, received) = match self.local.ip().is_unspecified() {
            false => ("recvfrom", recvfrom(self.socket, &mut self.buf)),
            true => ("recvmsg", recvmsg(self.socket, &mut self.buf)),
        };
        let (length, to, info) = match received {
            Ok(datagram) => (datagram.bytes.len(), datagram.from, datagram.info),
            Err(Errno::EAGAIN) => return Ok(()), // its checksum was wrong: poll(2), BUGS
            Err(errno) if passes(errno) => return self.lost(call, self.local, errno),
            Err(errno) => return Err(errno).during(call, self.local),
        };
        self.counts.received += 1;
        match silence(self.local.port(), to, info) {
            None => self.pending = Some(Reply { length, to, from: info.map(way_back) }),
            Some(why) => {
                self.counts.ignored += 1;
                if let Some(more) = self.silences[why as usize].pass(Instant::now()) {
                    log::warn!("no answer to {to}: {why} ({more} more)");
                }
            }
        }
        Ok(())
    }

    /// sendto() or sendmsg(), as it came. Without room it waits for POLLOUT; nothing is dropped here.
    fn answer(&mut self) -> Result<()> {
        let Some(Reply { length, to, from }) = self.pending.take() else { return Ok(()) };
        let bytes = &self.buf[..length];
        let (call, sent) = match &from {
            None => ("sendto", sendto(self.socket, bytes, &to)),
            Some(from) => ("sendmsg", sendmsg(self.socket, bytes, &to, from)),
        };
        match sent {
            Ok(_) => self.counts.answered += 1,
            Err(Errno::EAGAIN) => self.pending = Some(Reply { length, to, from }),
            Err(errno) if is_broken(errno) => return Err(errno).during(call, to),
            Err(errno) => return self.lost(call, to, errno),
        }
        Ok(())
    }

    /// One datagram is lost, as any may be; the next one may fare better.
    fn lost(&mut self, call: &'static str, peer: SocketAddr, errno: Errno) -> Result<()> {
        self.counts.failed += 1;
        if let Some(more) = self.failures.pass(Instant::now()) {
            log::warn!("{call}({peer}): {}: a datagram is lost ({more} more)", describe(errno));
        }
        Ok(())
    }
}

/// What receiving may fail with and still go on: no memory, the network's own troubles. After anything
/// else the socket would stay ready and fail for ever.
fn passes(errno: Errno) -> bool {
    let memory = matches!(errno, Errno::ENOMEM | Errno::ENOBUFS);
    memory || matches!(errno, Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENETDOWN)
}

/// Sending says much about the one peer (no route, a firewall, …); these say that the socket is none.
fn is_broken(errno: Errno) -> bool {
    matches!(errno, Errno::EBADF | Errno::ENOTSOCK | Errno::EOPNOTSUPP | Errno::EFAULT)
}

/// SIGTERM, SIGINT or SIGHUP, if one has come. There are no children to hear of.
fn to_stop(signals: &Watch) -> Option<Signal> {
    std::iter::from_fn(|| signals.next()).find(|signal| *signal != Signal::SIGCHLD)
}

/// The reply leaves from the address that was asked: the kernel would take the one that suits the route,
/// and a client that asked another address would not know the answer for one.
///
/// By which interface, the routing table decides; only a link-local address means nothing without one.
fn way_back(info: PacketInfo) -> PacketInfo {
    match info {
        PacketInfo::V4 { ours, .. } => PacketInfo::V4 { interface: 0, ours, asked: Ipv4Addr::UNSPECIFIED },
        PacketInfo::V6 { interface, asked } if asked.is_unicast_link_local() => PacketInfo::V6 { interface, asked },
        PacketInfo::V6 { asked, .. } => PacketInfo::V6 { interface: 0, asked },
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { received, answered, ignored, failed } = self;
        write!(f, "{received} datagrams in, {answered} out, {ignored} ignored, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_names_the_address_and_an_interface_only_where_it_must() {
        let asked = "fe80::1".parse().unwrap();
        assert_eq!(way_back(PacketInfo::V6 { interface: 4, asked }), PacketInfo::V6 { interface: 4, asked });
        let asked = "2001:db8::1".parse().unwrap();
        assert_eq!(way_back(PacketInfo::V6 { interface: 4, asked }), PacketInfo::V6 { interface: 0, asked });
    }
}
