//! `recv(fd, buf, flags) -> n`: takes bytes that have arrived; 0 is the end of the stream.
//!
//! - Place: `socket → bind → listen → accept → [recv]/send → close`
//! - Notes: notes/08-send-recv.md
//! - Manual: recv(2), tcp(7), unix(7)
//! - Standard: RFC 9293 §3.9.1 (RECEIVE), §3.6 (half-close)
//! - Try: strace -f -e trace=recvfrom,sendto -p $(pgrep -x sockstep)
//! - Fails: EAGAIN, ECONNRESET, ETIMEDOUT, ENOTCONN; EINTR is restarted here
//! - Owns: borrows the socket and the buffer

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::restarting;
use crate::lesson::{Call, Packet, gate};

/// `recv(fd, buf, len, 0)`: the bytes that came, as many as there are and fit; empty at the end.
///
/// A stream has no messages: what was sent in one piece may come in several, and the reverse.
#[inline]
pub fn recv<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let n = restarting(|| recv_once(fd, buf, MsgFlags::empty()).map(|bytes| bytes.len()))?;
    Ok(&buf[..n])
}

/// `recv(fd, buf, len, MSG_PEEK)`: looks at what would come next and leaves it in the queue.
pub fn peek<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    // [02.peek]
    let n = restarting(|| recv_once(fd, buf, MsgFlags::MSG_PEEK).map(|bytes| bytes.len()))?;
    Ok(&buf[..n])
}

/// `recv(fd, buf, len, MSG_TRUNC)` on a SEQPACKET socket: one packet and its real length.
///
/// unix(7): what does not fit in `buf` is lost, and without MSG_TRUNC it is lost in silence. An
/// empty packet cannot be told from the end, so nobody sends one.
pub fn recv_packet<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Packet<'a>> {
    let length = restarting(|| recv_packet_once(fd, buf).map(|packet| packet.length))?;
    Ok(Packet { bytes: &buf[..length.min(buf.len())], length })
}

fn recv_packet_once<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<Packet<'a>> {
    let flags = MsgFlags::MSG_TRUNC;
    gate(Call::Recv { fd, len: buf.len(), flags }, move || {
        let length = nix::sys::socket::recv(fd.as_raw_fd(), buf, flags)?;
        Ok(Packet { bytes: &buf[..length.min(buf.len())], length })
    })
}

#[inline]
fn recv_once<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8], flags: MsgFlags) -> nix::Result<&'a [u8]> {
    gate(Call::Recv { fd, len: buf.len(), flags }, move || {
        let n = nix::sys::socket::recv(fd.as_raw_fd(), buf, flags)?;
        Ok(&buf[..n])
    })
}

/// `recv(fd, NULL, len, MSG_TRUNC | MSG_DONTWAIT)`: throws up to `len` bytes away unread (tcp(7)).
///
/// Unread input at close() makes the kernel send RST, and RST eats our last words at the peer.
#[allow(unsafe_code)] // nix has no recv() without a buffer.
pub fn discard(fd: BorrowedFd<'_>, len: usize) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    restarting(|| {
        gate(Call::Recv { fd, len, flags }, || {
            // SAFETY: with MSG_TRUNC a TCP socket drops the bytes and writes nothing through NULL.
            let n = unsafe { libc::recv(fd.as_raw_fd(), ptr::null_mut(), len, flags.bits()) };
            Errno::result(n).map(|n| n as usize)
        })
    })
}
