//! `close(fd) -> 0`: gives the descriptor back; the connection ends with its last descriptor.
//!
//! - Place: `socket → bind → listen → accept → recv/send → [close]`
//! - Notes: notes/08-send-recv.md
//! - Manual: close(2), close_range(2), tcp(7) (tcp_fin_timeout), socket(7) (SO_LINGER)
//! - Standard: RFC 9293 §3.6 (FIN), §3.6.1 (RST when data was left unread)
//! - Try: ss -tan state time-wait   (TIME-WAIT stays with whoever closed first)
//! - Fails: EIO; EINTR is never retried: on Linux the descriptor is gone all the same
//! - Owns: takes the descriptor: nobody can use it afterwards

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::lesson::{Call, gate};

/// A socket that we own. Its end is a call as others are, also where it comes by itself, on the way out of a failure.
// [02.fd]
#[derive(Debug)]
pub struct Socket(ManuallyDrop<OwnedFd>);

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket(ManuallyDrop::new(fd))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// There is nothing that anybody could do about an error: it is in the trace, and that is all.
impl Drop for Socket {
    fn drop(&mut self) {
        let fd = self.as_raw_fd();
        let _: nix::Result<()> = gate(Call::Close { fd }, || match nix::unistd::close(fd) {
            Err(Errno::EINTR) => Ok(()),
            result => result,
        });
    }
}

/// `close(fd)`: consumes the socket, whatever the kernel answers.
pub fn close(socket: Socket) {
    drop(socket);
}

/// `close_range(first, last, 0)` around the descriptors that stay; 0, 1 and 2 stay as well.
///
/// For a process that has just been forked, or started with descriptors that are none of its business.
#[allow(unsafe_code)] // closes descriptors that Rust values may still own: those must never be dropped.
pub fn close_all_but(keep: &mut [RawFd]) -> nix::Result<()> {
    keep.sort_unstable();
    let mut first = 3;
    for last in keep.iter().map(|fd| *fd as u32 - 1).chain([u32::MAX]) {
        if first <= last {
            let call = Call::CloseRange { first, last };
            // SAFETY: takes numbers only. The owners of what it closes live in frames that a forked child
            // never returns to, or do not exist yet: nothing uses or closes those numbers again.
            gate(call, || Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop))?;
        }
        first = last.wrapping_add(2);
    }
    Ok(())
}
