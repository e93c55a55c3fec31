//! Stage 1 over UDP: every datagram goes back whole to whoever sent it.
//!
//! There is no connection, so no listen(), no accept() and no child: one socket serves everybody.
//! One buffer, filled and emptied in turn: what comes while a reply waits for room stays in the
//! kernel, and what does not fit there is lost, as UDP may lose it anywhere.
//!
//! - Notes: notes/11-udp.md
//! - Manual: udp(7), ip(7), ipv6(7)
//! - Standard: RFC 768, RFC 862 (the echo service), RFC 1122 §4.1.3.5 (reply from the address that was asked)

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::operator::reopen_log;
use super::silence::silence;
use crate::cli::ServerArgs;
use crate::error::{During, Result, describe};
use crate::lesson::{self, PacketInfo};
use crate::lifecycle::{Socket, SocketOption, close, recvfrom, recvmsg, sendmsg, sendto, set_option};
use crate::limits::Throttle;
use crate::signal::{ControllingTerminal, Sender, Watch};

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

pub struct Echo<'a> {
    args: &'a ServerArgs,
    socket: Socket,
    signals: Watch,
    terminal: ControllingTerminal,
    local: SocketAddr,
    buf: Vec<u8>,
    /// While set, nothing is received: the buffer is full.
    pending: Option<Reply>,
    counts: Counts,
    silences: [Throttle; 4], // one a reason
    failures: Throttle,
}

impl<'a> Echo<'a> {
    pub fn new(args: &'a ServerArgs, socket: Socket, signals: Watch, local: SocketAddr) -> Self {
        let (counts, silences, failures) = Default::default();
        let (terminal, buf) = (ControllingTerminal::look(), vec![0; BUFFER_BYTES]);
        Echo { args, socket, signals, terminal, local, buf, pending: None, counts, silences, failures }
    }

    /// Echoes until told to stop.
    pub fn run(mut self) -> Result<()> {
        let signal = self.serve()?;
        lesson::step::run_on();
        log::info!("{signal}: stopping");
        log::info!("stopped: {}", self.counts);
        close(self.socket);
        Ok(())
    }

    fn serve(&mut self) -> Result<Signal> {
        loop {
            let event = if self.pending.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            let (signals, socket) = (self.signals.as_fd(), self.socket.as_fd());
            let mut fds = [PollFd::new(signals, PollFlags::POLLIN), PollFd::new(socket, event)];
            lesson::remark(|| "데이터그램이나 시그널을 기다립니다 (poll)");
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                waited => waited.during("poll", self.local)?,
            };
            let [signalled, ready] = fds.map(|fd| fd.revents().is_none_or(|events| !events.is_empty()));
            if let Some(signal) = signalled.then(|| self.hear_signals()).flatten() {
                return Ok(signal);
            }
            if ready && self.pending.is_none() {
                self.receive()?;
            }
            self.answer()?;
        }
    }

    /// Those of a round; the signal to stop by, if it was that. There are no children to hear of.
    fn hear_signals(&mut self) -> Option<Signal> {
        self.signals.next_round().into_iter().flatten().find_map(|heard| self.obey(heard))
    }

    fn obey(&self, heard: (Signal, Sender)) -> Option<Signal> {
        match heard {
            (Signal::SIGCHLD, _) => None,
            (Signal::SIGUSR1, _) => {
                log::info!("SIGUSR1: {}", self.counts);
                None
            }
            (Signal::SIGHUP, sender) if !self.terminal.has_gone(sender) => {
                reopen_log();
                None
            }
            (signal, _) => Some(signal),
        }
    }

    /// recvfrom(), or, where many addresses are bound, recvmsg(): only that tells which of them was asked.
    fn receive(&mut self) -> Result<()> {
        let (call, received) = match self.local.ip().is_unspecified() {
            false => ("recvfrom", recvfrom(self.socket.as_fd(), &mut self.buf)),
            true => ("recvmsg", recvmsg(self.socket.as_fd(), &mut self.buf)),
        };
        let (length, to, info) = match received {
            Ok(datagram) => (datagram.bytes.len(), datagram.from, datagram.info),
            Err(Errno::EAGAIN) => return Ok(()), // its checksum was wrong: poll(2), BUGS
            Err(errno) if passes(errno) => return self.lost(call, self.local, errno),
            Err(errno) => return Err(errno).during(call, self.local),
        };
        self.counts.received += 1;
        match silence(&self.args.allow, self.local.port(), to, info) {
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
            None => ("sendto", sendto(self.socket.as_fd(), bytes, &to)),
            Some(from) => ("sendmsg", sendmsg(self.socket.as_fd(), bytes, &to, from)),
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

/// The reply leaves from the address that was asked: the kernel would take the one that suits the route,
/// and a client that asked another address would not know the answer for one.
///
/// By which interface, the routing table decides; only a link-local address means nothing without one.
fn way_back(info: PacketInfo) -> PacketInfo {
    // [11.way-back]
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
