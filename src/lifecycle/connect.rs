//! `connect(fd, addr) -> 0`: the client's half of the handshake.
//!
//! - Place: `socket → [connect] → send/recv → close`
//! - Notes: notes/07-connect.md
//! - Manual: connect(2), ip(7) (ip_local_port_range), tcp(7) (tcp_syn_retries)
//! - Standard: RFC 9293 §3.5 (SYN, SYN/ACK, ACK), §3.9.1 (active OPEN)
//! - Try: sockstep client --connect 127.0.0.1:1   (nobody listens: ECONNREFUSED)
//! - Fails: ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EINTR
//! - Owns: borrows the socket; the kernel picks its local port here when bind() was not called

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrIn, SockaddrIn6, UnixAddr};

use super::option::pending_error;
use crate::lesson::{Call, gate};

/// `connect(fd, addr, addrlen)`: returns when the kernel has finished the handshake, or failed.
///
/// connect(2): an interrupted connect() goes on by itself and must not be called again. We wait
/// until the socket is writable and ask SO_ERROR how it ended.
pub fn connect(fd: BorrowedFd<'_>, addr: &SocketAddr) -> nix::Result<()> {
    let connected = gate(Call::Connect { fd, addr }, || match *addr {
        SocketAddr::V4(addr) => nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn::from(addr)),
        SocketAddr::V6(addr) => nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn6::from(addr)),
    });
    match connected {
        // [07.eintr]
        Err(Errno::EINTR) => wait_until_connected(fd),
        result => result,
    }
}

/// `connect(fd, path, addrlen)`: an address of unix(7) is a path. A datagram socket only notes it down:
/// from now on write() knows where to.
pub fn connect_unix(fd: BorrowedFd<'_>, path: &str) -> nix::Result<()> {
    let addr = UnixAddr::new(path)?;
    gate(Call::ConnectUnix { fd, path }, || nix::sys::socket::connect(fd.as_raw_fd(), &addr))
}

fn wait_until_connected(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    while let Err(errno) = poll(&mut fds, PollTimeout::NONE) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    match pending_error(fd)? {
        0 => Ok(()),
        code => Err(Errno::from_raw(code)),
    }
}
