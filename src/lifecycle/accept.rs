//! `accept4(fd, &addr, &len, flags) -> new fd`: takes one finished connection off the queue.
//!
//! - Place: `socket → bind → listen → [accept] → recv/send → close`
//! - Notes: notes/06-accept.md
//! - Manual: accept(2), tcp(7)
//! - Standard: RFC 9293 §3.5 (the handshake that the kernel has finished before)
//! - Try: strace -e trace=accept4 -p $(pgrep -x sockstep)
//! - Fails: EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, and the network's pending errors
//! - Owns: the caller owns the new fd: the conversation; the listener goes on listening

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, SockaddrLike, SockaddrStorage};

use super::{Socket, restarting};
use crate::lesson::{Call, gate};

/// What a failed accept() means to the one who called it (accept(2), "Error handling").
#[derive(Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// Nobody is waiting (EAGAIN): go back to the wait.
    Nobody,
    /// This one connection died in the queue, or a network error of its was pending: take the next.
    Lost(Errno),
    /// No descriptor or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or what no manual foresees (a security
    /// module's EACCES): pause, it will stay in the queue, and who is here already is not concerned.
    Exhausted(Errno),
    /// The listener itself is broken (EBADF, EFAULT, EINVAL, ENOTSOCK).
    Fatal(Errno),
}

/// `accept4(listener, &addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK)`: a NEW socket and the peer's address.
///
/// Its local port is the listener's; what is new is the 4-tuple. A peer that has already reset the
/// connection is accepted all the same: recv() will tell.
pub fn accept(fd: BorrowedFd<'_>) -> Result<(Socket, SocketAddr), AcceptError> {
    // [06.accept4]
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let accepted = restarting(|| gate(Call::Accept { fd, flags }, || accept4(fd, flags)));
    accepted.map(|(conn, peer)| (conn.into(), peer)).map_err(meaning)
}

fn meaning(errno: Errno) -> AcceptError {
    match errno {
        Errno::EAGAIN => AcceptError::Nobody,
        // [06.lost]
        Errno::ECONNABORTED
        | Errno::EPROTO
        | Errno::ENETDOWN
        | Errno::ENOPROTOOPT
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::EHOSTUNREACH
        | Errno::EOPNOTSUPP
        | Errno::ENETUNREACH
        | Errno::ETIMEDOUT
        | Errno::EPERM => AcceptError::Lost(errno),
        Errno::EBADF | Errno::EFAULT | Errno::EINVAL | Errno::ENOTSOCK => AcceptError::Fatal(errno),
        errno => AcceptError::Exhausted(errno),
    }
}

#[allow(unsafe_code)] // nix's accept4 passes NULL for the address: strace would not show the peer.
fn accept4(fd: BorrowedFd<'_>, flags: SockFlag) -> nix::Result<(OwnedFd, SocketAddr)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` is writable for `len` bytes and both pointers live until the call returns.
    let raw = unsafe { libc::accept4(fd.as_raw_fd(), storage.as_mut_ptr().cast(), &mut len, flags.bits()) };
    let raw = Errno::result(raw)?;
    // SAFETY: accept4 has just made `raw`, and nobody else knows of it.
    let conn = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: the kernel filled `len` bytes of a zeroed sockaddr_storage with a socket address.
    let peer = unsafe { SockaddrStorage::from_raw(storage.as_ptr().cast(), Some(len)) };
    let peer = peer.as_ref().and_then(super::bind::socket_address).ok_or(Errno::EAFNOSUPPORT)?;
    Ok((conn, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_listener_is_fatal() {
        assert_eq!(meaning(Errno::EAGAIN), AcceptError::Nobody);
        assert_eq!(meaning(Errno::ECONNABORTED), AcceptError::Lost(Errno::ECONNABORTED));
        assert_eq!(meaning(Errno::EHOSTUNREACH), AcceptError::Lost(Errno::EHOSTUNREACH));
        for errno in [Errno::EMFILE, Errno::EACCES, Errno::EIO] {
            assert_eq!(meaning(errno), AcceptError::Exhausted(errno));
        }
        assert_eq!(meaning(Errno::EBADF), AcceptError::Fatal(Errno::EBADF));
    }
}
