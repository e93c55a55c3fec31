//! `bind(fd, addr) -> 0`: ties the socket to a local IP address and port.
//!
//! - Place: `socket → [bind] → listen → accept → recv/send → close`
//! - Notes: notes/04-bind.md
//! - Manual: bind(2), ip(7), ipv6(7), getsockname(2)
//! - Standard: RFC 9293 §3.3.1 (a socket is an address and a port), RFC 6335 (port ranges)
//! - Try: sockstep server --listen 127.0.0.1:80   (as an ordinary user: EACCES)
//! - Fails: EADDRINUSE, EACCES, EADDRNOTAVAIL, EINVAL
//! - Owns: borrows the socket; the port is free again when its last descriptor is closed

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrStorage};

use crate::lesson::{Call, gate};

/// `bind(fd, addr, addrlen)`: port 0 lets the kernel choose one; [`local_address`] tells which.
pub fn bind(fd: BorrowedFd<'_>, addr: &SocketAddr) -> nix::Result<()> {
    gate(Call::Bind { fd, addr }, || match *addr {
        SocketAddr::V4(addr) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn::from(addr)),
        SocketAddr::V6(addr) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(addr)),
    })
}

/// `getsockname(fd)`: the local half of the 4-tuple, as the kernel holds it.
// [02.local]
pub fn local_address(fd: BorrowedFd<'_>) -> nix::Result<SocketAddr> {
    // [04.getsockname]
    gate(Call::Getsockname { fd }, || {
        let storage: SockaddrStorage = nix::sys::socket::getsockname(fd.as_raw_fd())?;
        socket_address(&storage).ok_or(Errno::EAFNOSUPPORT)
    })
}

/// The kernel's address as std's: `None` when it is neither IPv4 nor IPv6.
pub(super) fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())))
}
