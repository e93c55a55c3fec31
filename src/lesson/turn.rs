//! Whose turn it is at the terminal: one process asks at a time, and within it one thread.
//!
//! Processes take turns by a record lock on a file that has no name. The kernel lets go of it when its holder
//! dies, however that happens, so that a child killed at its prompt leaves nobody waiting.
//!
//! - Manual: fcntl(2) (F_SETLK, F_SETLKW), memfd_create(2)

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, getpid};

use super::file::out_of_the_way;
use super::shared::flags;
use crate::error::{During, Result};

/// By these a program ends that hears them in its own loop.
pub const HEARD: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];
/// How often the process that hears the signals looks whether it is its turn.
const LOOK_MS: u16 = 20;

#[derive(Debug)]
pub struct Turns {
    lock: File,
    /// The process that was started: it hears the signals.
    owner: Pid,
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
        Ok(Turns { lock: File::from(out_of_the_way(lock)), owner: getpid(), threads: Mutex::new(()) })
    }

    pub fn raw_fd(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    /// Waits until nobody else has it, or until nobody asks any more: then lines may come as they come.
    pub fn take(&self) -> Turn<'_> {
        let thread = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if getpid() == self.owner {
            self.wait_for_signals_as_well();
        } else if !runs_on() {
            // Without a lock (ENOLCK) two prompts may mix: no reason to stop.
            while let Err(Errno::EINTR) = self.set(libc::F_WRLCK, true) {}
        }
        Turn { turns: self, _thread: thread }
    }

    /// The turn, if nobody has it.
    pub fn try_take(&self) -> Option<Turn<'_>> {
        let thread = self.threads.try_lock().ok()?;
        self.set(libc::F_WRLCK, false).ok().map(|()| Turn { turns: self, _thread: thread })
    }

    /// Who hears the signals for all must not be deaf while another asks: a signal that ends the program ends the questions.
    fn wait_for_signals_as_well(&self) {
        let mut signals = None;
        while !runs_on() && matches!(self.set(libc::F_WRLCK, false), Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR))
        {
            let signals = signals.get_or_insert_with(|| SignalFd::new(&SigSet::from_iter(HEARD)));
            let mut fds: Vec<PollFd<'_>> =
                signals.iter().map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)).collect();
            if poll(&mut fds, PollTimeout::from(LOOK_MS)).is_ok_and(|ready| ready > 0) {
                flags().runs_on.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The keyboard, for a thread of this process that reads it for the conversation.
    pub fn keyboard(&self) -> MutexGuard<'_, ()> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, kind: libc::c_int, waits: bool) -> nix::Result<()> {
        let whole = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        let how = if waits { FcntlArg::F_SETLKW(&whole) } else { FcntlArg::F_SETLK(&whole) };
        fcntl(&self.lock, how).map(drop)
    }
}

fn runs_on() -> bool {
    flags().runs_on.load(Ordering::Relaxed)
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.turns.set(libc::F_UNLCK, false);
    }
}
