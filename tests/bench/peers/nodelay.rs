//! TCP_NODELAY for a server that does not set it: on its listener, of which accept()'s sockets inherit it.
//!
//! - Manual: pidfd_open(2), pidfd_getfd(2), tcp(7)
#![allow(unsafe_code)] // Neither libc nor nix has a function for pidfd_getfd().

use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use crate::failure::{Result, failed};

/// Sets it on every listener of the process.
pub fn set(pid: i32) -> Result<()> {
    // SAFETY: numbers only; what comes back is ours alone.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let mut found = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // SAFETY: as above.
        let Ok(copy) = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) }) else {
            continue;
        };
        if getsockopt(&copy, sockopt::AcceptConn).unwrap_or(false) {
            setsockopt(&copy, sockopt::TcpNoDelay, &true)?;
            found += 1;
        }
    }
    if found == 0 { failed("no listener to set TCP_NODELAY on") } else { Ok(()) }
}

fn owned(fd: libc::c_long) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::last_os_error().into());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
