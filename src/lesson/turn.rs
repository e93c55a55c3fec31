//! Whose turn it is at the terminal: one process asks at a time, and within it one thread.
//!
//! Processes take turns by a record lock on a file that has no name. The kernel lets go of it when its holder
//! dies, however that happens, so that a child killed at its prompt leaves nobody waiting.
//!
//! - Manual: fcntl(2) (F_SETLKW), memfd_create(2)

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file::out_of_the_way;
use crate::error::{During, Result};

#[derive(Debug)]
pub struct Turns {
    lock: File,
    threads: Mutex<()>,
}

/// The turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    _thread: MutexGuard<'a, ()>,
}

impl Turns {
    pub fn new() -> Result<Turns> {
        let lock = memfd_create("sockstep-step", MFdFlags::MFD_CLOEXEC).during("memfd_create", "")?;
        Ok(Turns { lock: File::from(out_of_the_way(lock)), threads: Mutex::new(()) })
    }

    pub fn raw_fd(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    /// Waits until nobody else has it.
    pub fn take(&self) -> Turn<'_> {
        let thread = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.set(libc::F_WRLCK);
        Turn { turns: self, _thread: thread }
    }

    /// The keyboard, for a thread of this process that reads it for the conversation.
    pub fn keyboard(&self) -> MutexGuard<'_, ()> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, kind: libc::c_int) {
        let whole = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // Without a lock (ENOLCK) two prompts may mix: no reason to stop.
        while let Err(Errno::EINTR) = fcntl(&self.lock, FcntlArg::F_SETLKW(&whole)) {}
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.set(libc::F_UNLCK);
    }
}
