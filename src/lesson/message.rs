//! The message header (`struct msghdr`) of recvmsg() and sendmsg(), as strace shows it.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::call::{PacketInfo, Returned};
use super::shown::{address, interface, length, quoted};

/// Room for the sender's address (`msg_namelen`).
const NAME_ROOM: usize = size_of::<libc::sockaddr_storage>();

/// The header of recvmsg(): what the kernel filled in, or only the room that it had.
pub fn received(fd: BorrowedFd<'_>, room: usize, back: &Returned<'_>) -> String {
    let (Some(from), Some(data)) = (back.addr, back.data) else { return format!("{{msg_namelen={NAME_ROOM}}}") };
    let name = format!("msg_name={}, msg_namelen={NAME_ROOM} => {}", address(fd, &from), length(&from));
    header(&name, data, room, &control(fd, back.info.as_ref()))
}

/// The header of sendmsg().
pub fn sent(fd: BorrowedFd<'_>, data: &[u8], to: &SocketAddr, info: &PacketInfo) -> String {
    let name = format!("msg_name={}, msg_namelen={}", address(fd, to), length(to));
    header(&name, data, data.len(), &control(fd, Some(info)))
}

fn header(name: &str, data: &[u8], room: usize, control: &str) -> String {
    let data = quoted(data);
    format!("{{{name}, msg_iov=[{{iov_base={data}, iov_len={room}}}], msg_iovlen=1, {control}, msg_flags=0}}")
}

/// The control data; of IPV6_PKTINFO strace shows the number and not what is in it.
fn control(fd: BorrowedFd<'_>, info: Option<&PacketInfo>) -> String {
    match info {
        None => "msg_controllen=0".into(),
        Some(PacketInfo::V4 { interface: index, ours, asked }) => format!(
            "msg_control=[{{cmsg_len=28, cmsg_level=SOL_IP, cmsg_type=IP_PKTINFO, cmsg_data={{ipi_ifindex={}, \
             ipi_spec_dst=inet_addr(\"{ours}\"), ipi_addr=inet_addr(\"{asked}\")}}}}], msg_controllen=32",
            interface(fd, *index)
        ),
        Some(PacketInfo::V6 { .. }) => {
            "msg_control=[{cmsg_len=36, cmsg_level=SOL_IPV6, cmsg_type=0x32}], msg_controllen=40".into()
        }
    }
}
