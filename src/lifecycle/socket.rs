//! `socket(domain, type, protocol) -> fd`: makes an endpoint that has no address yet.
//!
//! - Place: `[socket] → bind → listen → accept → recv/send → close`
//! - Notes: notes/03-socket.md
//! - Manual: socket(2), socket(7), tcp(7), udp(7), unix(7), socketpair(2)
//! - Standard: RFC 9293 §3.9.1 (OPEN), RFC 768, RFC 8200 and RFC 791 for the address families
//! - Try: strace -e trace=socket sockstep client --connect 127.0.0.1:7000
//! - Fails: EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES
//! - Owns: the caller owns the returned fd; it is born close-on-exec

use std::net::SocketAddr;

use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use super::Socket;
use crate::lesson::{Call, gate};

/// `socket(AF_INET or AF_INET6, SOCK_STREAM or SOCK_DGRAM, 0)`: TCP or UDP, of the family of `addr`.
///
/// socket(2). Stream or datagram is decided here and for good. What a stream socket becomes, a
/// listener or one end of a connection, is decided by the next call.
pub fn socket(addr: &SocketAddr, kind: SockType, flags: SockFlag) -> nix::Result<Socket> {
    // [03.kind]
    // [01.family]
    let domain = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    gate(Call::Socket { domain, kind, flags }, || nix::sys::socket::socket(domain, kind, flags, None)).map(Socket::from)
}

/// `socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds)`: two connected sockets, for parent and child.
///
/// unix(7). SEQPACKET keeps the borders of packets, as a datagram, and tells of the other end's
/// close, as a stream. Both ends are non-blocking: neither process may be held by the other.
pub fn socketpair() -> nix::Result<(Socket, Socket)> {
    let kind = SockType::SeqPacket;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    gate(Call::Socketpair { kind, flags }, || nix::sys::socket::socketpair(AddressFamily::Unix, kind, None, flags))
        .map(|(one, other)| (one.into(), other.into()))
}

/// `socket(AF_UNIX, SOCK_DGRAM, 0)`: datagrams between processes of this machine; syslog takes them.
pub fn socket_unix() -> nix::Result<Socket> {
    let (domain, kind) = (AddressFamily::Unix, SockType::Datagram);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    gate(Call::Socket { domain, kind, flags }, || nix::sys::socket::socket(domain, kind, flags, None)).map(Socket::from)
}
