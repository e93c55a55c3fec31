//! `recvfrom(fd, buf, flags, &addr) -> n`: takes one whole datagram, and learns who sent it.
//!
//! - Place: `socket → bind → [recvfrom] ⇄ sendto → close`
//! - Notes: notes/11-udp.md
//! - Manual: recvfrom(2), udp(7), ip(7) (IP_RECVERR)
//! - Standard: RFC 768
//! - Try: sockstep client --udp --connect 127.0.0.1:1   (nobody waits there: ECONNREFUSED)
//! - Fails: EAGAIN, ECONNREFUSED and other ICMP errors (with IP_RECVERR), ENOMEM; EINTR is restarted here
//! - Owns: borrows the socket and the buffer

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::SockaddrStorage;

use super::bind::socket_address;
use super::restarting;
use crate::lesson::{Call, Datagram, gate};

/// `recvfrom(fd, buf, len, 0, &addr, &addrlen)`: one datagram, as it was sent, and its sender's address.
///
/// udp(7). What does not fit in `buf` is lost in silence, so give it 64 KiB. An empty datagram is a
/// datagram as any other: there is no connection, so there is no end that a 0 could stand for.
pub fn recvfrom<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
    let (n, from) = restarting(|| recvfrom_once(fd, buf).map(|datagram| (datagram.bytes.len(), datagram.from)))?;
    // [11.whole]
    Ok(Datagram { bytes: &buf[..n], from, info: None })
}

fn recvfrom_once<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
    gate(Call::Recvfrom { fd, len: buf.len() }, move || {
        let (n, from) = nix::sys::socket::recvfrom::<SockaddrStorage>(fd.as_raw_fd(), buf)?;
        let from = from.as_ref().and_then(socket_address).ok_or(Errno::EAFNOSUPPORT)?;
        Ok(Datagram { bytes: &buf[..n], from, info: None })
    })
}
