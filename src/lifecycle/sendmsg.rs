//! `sendmsg(fd, &msg, flags) -> n`: as sendto(), and we say more: which of our addresses it leaves from.
//!
//! - Place: `socket → bind → recvmsg ⇄ [sendmsg] → close`, for a socket bound to 0.0.0.0 or ::
//! - Notes: notes/11-udp.md
//! - Manual: sendmsg(2), cmsg(3), ip(7) (IP_PKTINFO), ipv6(7) (IPV6_PKTINFO)
//! - Standard: RFC 768, RFC 3542 §6 (IPv6 packet information)
//! - Try: strace -e trace=recvmsg,sendmsg sockstep server --udp --listen 0.0.0.0:7000
//! - Fails: as sendto(), and EINVAL (not an address of ours); EINTR is restarted here
//! - Owns: borrows the socket and the bytes

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike};

use super::restarting;
use crate::lesson::{Call, PacketInfo, gate};

/// `sendmsg(fd, {addr, data, control}, 0)`: all of `data` as one datagram, from the address in `info`.
pub fn sendmsg(fd: BorrowedFd<'_>, data: &[u8], to: &SocketAddr, info: &PacketInfo) -> nix::Result<usize> {
    restarting(|| {
        gate(Call::Sendmsg { fd, data, to, info }, || match *to {
            SocketAddr::V4(to) => sendmsg_once(fd, data, &SockaddrIn::from(to), info),
            SocketAddr::V6(to) => sendmsg_once(fd, data, &SockaddrIn6::from(to), info),
        })
    })
}

fn sendmsg_once(fd: BorrowedFd<'_>, data: &[u8], to: &impl SockaddrLike, info: &PacketInfo) -> nix::Result<usize> {
    let in_addr = |addr: Ipv4Addr| libc::in_addr { s_addr: u32::from(addr).to_be() };
    let (raw, parts) = (fd.as_raw_fd(), [IoSlice::new(data)]);
    let send = |control| nix::sys::socket::sendmsg(raw, &parts, &[control], MsgFlags::empty(), Some(to));
    match *info {
        PacketInfo::V4 { interface, ours, asked } => {
            let (ipi_spec_dst, ipi_addr) = (in_addr(ours), in_addr(asked));
            send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: interface as i32,
                ipi_spec_dst,
                ipi_addr,
            }))
        }
        PacketInfo::V6 { interface, asked } => {
            let ipi6_addr = libc::in6_addr { s6_addr: asked.octets() };
            send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: interface }))
        }
    }
}
