//! `listen(fd, backlog) -> 0`: turns the socket into a listener. It does not wait.
//!
//! - Place: `socket → bind → [listen] → accept → recv/send → close`
//! - Notes: notes/05-listen.md
//! - Manual: listen(2), tcp(7) (tcp_max_syn_backlog, tcp_abort_on_overflow)
//! - Standard: RFC 9293 §3.9.1 (passive OPEN), §3.3.2 (the LISTEN state)
//! - Try: ss -tln   (Send-Q is the backlog, Recv-Q how many wait to be accepted)
//! - Fails: EADDRINUSE, EINVAL, EOPNOTSUPP
//! - Owns: borrows the socket; from here on the kernel finishes handshakes for it by itself

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::lesson::{Call, gate};

/// `listen(fd, backlog)`: at most `min(backlog, net.core.somaxconn) + 1` finished connections wait
/// for accept(); what comes on top is not refused, its SYN is dropped and tried again.
#[allow(unsafe_code)] // nix caps the backlog at 4096; the kernel's own cap is net.core.somaxconn.
pub fn listen(fd: BorrowedFd<'_>, backlog: i32) -> nix::Result<()> {
    gate(Call::Listen { fd, backlog }, || {
        // [05.backlog]
        // SAFETY: listen(2) takes two integers and touches no memory of ours; `fd` is open.
        Errno::result(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
    })
}
