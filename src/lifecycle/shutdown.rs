//! `shutdown(fd, how) -> 0`: ends one direction, or both, at once and for every process.
//!
//! - Place: `socket → bind → listen → accept → recv/send → [shutdown] → close`
//! - Notes: notes/08-send-recv.md
//! - Manual: shutdown(2), tcp(7)
//! - Standard: RFC 9293 §3.6 (closing a connection; half-close)
//! - Try: printf 'abc' | sockstep client --connect 127.0.0.1:7000   (FIN after the last byte, echo still comes)
//! - Fails: ENOTCONN (the peer has reset the connection)
//! - Owns: borrows the socket; the descriptor stays open until close()

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::Shutdown;

use crate::lesson::{Call, gate};

/// `shutdown(fd, SHUT_WR)`: "I have said all"; the other direction goes on.
///
/// Unlike close() it does not wait for the last descriptor, and it wakes whoever sleeps in recv().
pub fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> nix::Result<()> {
    gate(Call::Shutdown { fd, how }, || nix::sys::socket::shutdown(fd.as_raw_fd(), how))
}
