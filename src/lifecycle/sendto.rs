//! `sendto(fd, data, flags, addr) -> n`: one datagram to `addr`. Success says that it has left, not that it arrives.
//!
//! - Place: `socket → bind → recvfrom ⇄ [sendto] → close`
//! - Notes: notes/11-udp.md
//! - Manual: sendto(2), udp(7), ip(7) (ip_local_port_range)
//! - Standard: RFC 768; RFC 791 §3.1 (65,535 bytes with both headers: so 65,507 of data)
//! - Try: strace -e trace=sendto,recvfrom sockstep client --udp
//! - Fails: EAGAIN, EMSGSIZE, ENETUNREACH, EHOSTUNREACH, EACCES (broadcast), EPERM (firewall), ENOBUFS; EINTR is restarted here
//! - Owns: borrows the socket and the bytes; a socket without bind() gets a local port here

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6};

use super::restarting;
use crate::lesson::{Call, gate};

/// `sendto(fd, data, len, 0, addr, addrlen)`: all of `data` as one datagram, or nothing of it.
pub fn sendto(fd: BorrowedFd<'_>, data: &[u8], to: &SocketAddr) -> nix::Result<usize> {
    let (raw, flags) = (fd.as_raw_fd(), MsgFlags::empty());
    restarting(|| {
        gate(Call::Sendto { fd, data, to }, move || match *to {
            SocketAddr::V4(to) => nix::sys::socket::sendto(raw, data, &SockaddrIn::from(to), flags),
            SocketAddr::V6(to) => nix::sys::socket::sendto(raw, data, &SockaddrIn6::from(to), flags),
        })
    })
}
