//! `recvmsg(fd, &msg, flags) -> n`: as recvfrom(), and the kernel says more: which address was asked.
//!
//! - Place: `socket → bind → [recvmsg] ⇄ sendmsg → close`, for a socket bound to 0.0.0.0 or ::
//! - Notes: notes/11-udp.md
//! - Manual: recvmsg(2), cmsg(3), ip(7) (IP_PKTINFO), ipv6(7) (IPV6_RECVPKTINFO)
//! - Standard: RFC 768, RFC 3542 §6 (IPv6 packet information)
//! - Try: strace -e trace=recvmsg,sendmsg sockstep server --udp --listen 0.0.0.0:7000
//! - Fails: EAGAIN, ENOMEM; EINTR is restarted here
//! - Owns: borrows the socket and the buffer

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage};

use super::bind::socket_address;
use super::restarting;
use crate::lesson::{Call, Datagram, PacketInfo, gate};

/// `recvmsg(fd, {&addr, buf, control}, 0)`: one datagram, its sender, and what IP_PKTINFO says of it.
///
/// getsockname() would only say 0.0.0.0: of a datagram to one of many addresses nothing else tells which.
pub fn recvmsg<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
    let parts = |datagram: Datagram<'_>| (datagram.bytes.len(), datagram.from, datagram.info);
    let (n, from, info) =
        restarting(|| gate(Call::Recvmsg { fd, len: buf.len() }, || recvmsg_once(fd, buf)).map(parts))?;
    Ok(Datagram { bytes: &buf[..n], from, info })
}

fn recvmsg_once<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
    let (raw, flags) = (fd.as_raw_fd(), MsgFlags::empty());
    let mut control = nix::cmsg_space!(libc::in6_pktinfo); // one of the two comes; this is the longer one
    let (n, from, info) = {
        let mut parts = [IoSliceMut::new(buf)];
        let message = nix::sys::socket::recvmsg::<SockaddrStorage>(raw, &mut parts, Some(&mut control), flags)?;
        let from = message.address.as_ref().and_then(socket_address).ok_or(Errno::EAFNOSUPPORT)?;
        (message.bytes, from, message.cmsgs()?.find_map(packet_info))
    };
    Ok(Datagram { bytes: &buf[..n], from, info })
}

fn packet_info(control: ControlMessageOwned) -> Option<PacketInfo> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let [ours, asked] =
                [info.ipi_spec_dst, info.ipi_addr].map(|addr| Ipv4Addr::from(u32::from_be(addr.s_addr)));
            Some(PacketInfo::V4 { interface: info.ipi_ifindex as u32, ours, asked })
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(PacketInfo::V6 { interface: info.ipi6_ifindex, asked: Ipv6Addr::from(info.ipi6_addr.s6_addr) })
        }
        _ => None,
    }
}
