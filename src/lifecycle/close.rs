//! `close(fd) -> 0`: gives the descriptor back; the connection ends with its last descriptor.
//!
//! - Place: `socket → bind → listen → accept → recv/send → [close]`
//! - Notes: notes/08-send-recv.md
//! - Manual: close(2), tcp(7) (tcp_fin_timeout), socket(7) (SO_LINGER)
//! - Standard: RFC 9293 §3.6 (FIN), §3.6.1 (RST when data was left unread)
//! - Try: ss -tan state time-wait   (TIME-WAIT stays with whoever closed first)
//! - Fails: EIO; EINTR is never retried: on Linux the descriptor is gone all the same
//! - Owns: takes the descriptor: nobody can use it afterwards

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

use crate::lesson::{Call, gate};

/// `close(fd)`: consumes the descriptor, whatever the kernel answers.
///
/// For a socket there is nothing that a caller could do about an error: it is in the trace, and that is all.
pub fn close(fd: OwnedFd) {
    let _: nix::Result<()> = gate(Call::Close { fd: fd.as_raw_fd() }, || match nix::unistd::close(fd) {
        Err(Errno::EINTR) => Ok(()),
        result => result,
    });
}
