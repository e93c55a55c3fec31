//! `setsockopt(fd, level, name, value) -> 0`: the switches of a socket.
//!
//! - Place: `socket → [setsockopt] → bind → listen → accept → recv/send → close`
//! - Notes: notes/04-bind.md, notes/08-send-recv.md
//! - Manual: setsockopt(2), socket(7), tcp(7), ip(7), ipv6(7), fcntl(2)
//! - Standard: RFC 9293 §3.7.4 (Nagle), §3.8.4 (keep-alive), §3.6.1 (TIME-WAIT)
//! - Try: ss -tno   (shows the keep-alive timer)
//! - Fails: ENOPROTOOPT, EINVAL, EDOM
//! - Owns: borrows the socket; what is set on a listener, its accepted sockets inherit (not O_NONBLOCK)

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::Socket;
use crate::lesson::{Call, gate};

/// The options that sockstep sets. All of them are integers.
#[derive(Clone, Copy, Debug)]
pub enum SocketOption {
    /// bind() may take a port whose old connections are still in TIME-WAIT.
    ReuseAddr,
    /// Asks after a silent peer, so that one that has vanished is noticed.
    KeepAlive,
    /// Seconds of silence before the first question.
    KeepIdle,
    /// How much the kernel keeps for a peer that has not acknowledged it (it takes twice the value).
    SendBuffer,
    /// Sends small pieces at once: batching is done here, not by Nagle's algorithm.
    NoDelay,
    /// How much the kernel keeps until it is read (it takes twice the value, at most twice net.core.rmem_max).
    ReceiveBuffer,
    /// The same without regard to net.core.rmem_max, for who may administer the network (CAP_NET_ADMIN).
    ReceiveBufferForce,
    /// recvmsg() tells for each datagram which address it was sent to.
    PacketInfo,
    PacketInfo6,
    /// An ICMP error comes back as the errno of the next call, although the socket is not connected.
    Errors,
    Errors6,
}

impl SocketOption {
    fn names(self) -> (libc::c_int, libc::c_int, &'static str, &'static str) {
        match self {
            SocketOption::ReuseAddr => (libc::SOL_SOCKET, libc::SO_REUSEADDR, "SOL_SOCKET", "SO_REUSEADDR"),
            SocketOption::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE, "SOL_SOCKET", "SO_KEEPALIVE"),
            SocketOption::KeepIdle => (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, "SOL_TCP", "TCP_KEEPIDLE"),
            SocketOption::SendBuffer => (libc::SOL_SOCKET, libc::SO_SNDBUF, "SOL_SOCKET", "SO_SNDBUF"),
            SocketOption::NoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY, "SOL_TCP", "TCP_NODELAY"),
            SocketOption::ReceiveBuffer => (libc::SOL_SOCKET, libc::SO_RCVBUF, "SOL_SOCKET", "SO_RCVBUF"),
            SocketOption::ReceiveBufferForce => {
                (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, "SOL_SOCKET", "SO_RCVBUFFORCE")
            }
            SocketOption::PacketInfo => (libc::SOL_IP, libc::IP_PKTINFO, "SOL_IP", "IP_PKTINFO"),
            SocketOption::PacketInfo6 => (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, "SOL_IPV6", "IPV6_RECVPKTINFO"),
            SocketOption::Errors => (libc::SOL_IP, libc::IP_RECVERR, "SOL_IP", "IP_RECVERR"),
            SocketOption::Errors6 => (libc::SOL_IPV6, libc::IPV6_RECVERR, "SOL_IPV6", "IPV6_RECVERR"),
        }
    }
}

/// `setsockopt(fd, level, name, &value, 4)`
#[allow(unsafe_code)] // nix has one type for each option; a table is what the notes print.
pub fn set_option(fd: BorrowedFd<'_>, option: SocketOption, value: i32) -> nix::Result<()> {
    let (level, code, level_name, name) = option.names();
    gate(Call::Setsockopt { fd, level: level_name, name, value }, || {
        let len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the kernel reads `len` bytes from `value`, which lives until the call returns.
        let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, code, (&raw const value).cast(), len) };
        Errno::result(result).map(drop)
    })
}

/// `setsockopt(fd, SOL_SOCKET, SO_LINGER, &{1, seconds}, 8)`: with 0, close() sends RST instead of FIN (socket(7)).
pub fn set_linger(fd: BorrowedFd<'_>, seconds: i32) -> nix::Result<()> {
    let value = libc::linger { l_onoff: 1, l_linger: seconds };
    gate(Call::Linger { fd, seconds }, || nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::Linger, &value))
}

/// `getsockopt(fd, SOL_SOCKET, SO_ERROR)`: the error that waits on the socket, 0 for none; reading clears it.
pub fn pending_error(fd: BorrowedFd<'_>) -> nix::Result<i32> {
    gate(Call::Getsockopt { fd, level: "SOL_SOCKET", name: "SO_ERROR" }, || {
        nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::SocketError)
    })
}

/// `fcntl(fd, F_DUPFD_CLOEXEC, 3)`: a second descriptor of the same socket, which lives until both are closed.
#[allow(unsafe_code)] // the new descriptor comes as a bare number.
pub fn duplicate(fd: BorrowedFd<'_>) -> nix::Result<Socket> {
    let least = 3;
    let copied = gate(Call::Dupfd { fd, least }, || {
        let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
        // SAFETY: fcntl has just made `copy`, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(copy) })
    });
    copied.map(Socket::from)
}

/// `fcntl(fd, F_SETFL, flags | O_NONBLOCK)`: from now on a call that would wait returns EAGAIN.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let flags = gate(Call::Getfl { fd }, || fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain))?;
    let flags = flags | OFlag::O_NONBLOCK;
    gate(Call::Setfl { fd, flags }, || fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop))
}
