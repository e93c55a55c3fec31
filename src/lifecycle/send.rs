//! `send(fd, data, MSG_NOSIGNAL) -> n`: hands bytes to the kernel. That is all that success means.
//!
//! - Place: `socket → bind → listen → accept → recv/[send] → close`
//! - Notes: notes/08-send-recv.md
//! - Manual: send(2), tcp(7)
//! - Standard: RFC 9293 §3.9.1 (SEND), §3.8 (retransmission, windows)
//! - Try: ss -tn   (Send-Q: what the kernel holds and the peer has not acknowledged)
//! - Fails: EAGAIN, EPIPE, ECONNRESET, EMSGSIZE (packets), ENOBUFS; EINTR is restarted here
//! - Owns: borrows the socket and the bytes

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::MsgFlags;

use super::restarting;
use crate::lesson::{Call, gate};

/// `send(fd, data, len, MSG_NOSIGNAL)`: how many bytes the kernel took, which may be fewer than given.
///
/// MSG_NOSIGNAL: a peer that has gone is an errno (EPIPE), not a SIGPIPE that ends the process.
pub fn send(fd: BorrowedFd<'_>, data: &[u8]) -> nix::Result<usize> {
    // [08.nosignal]
    let flags = MsgFlags::MSG_NOSIGNAL;
    restarting(|| gate(Call::Send { fd, data, flags }, move || nix::sys::socket::send(fd.as_raw_fd(), data, flags)))
}
