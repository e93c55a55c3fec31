//! One key from a terminal, without Enter behind it; and the signals that must not find the terminal so.
//!
//! - Manual: termios(3), sigpending(2), sigprocmask(2)

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use crate::error::errno_of;

/// How often whoever waits for a key looks whether the question still stands, and whether a signal has come. There is
/// no descriptor for that: a child may not make one any more.
const LOOK_MS: u16 = 100;
/// They would end the program and leave the terminal as it is while a key is awaited.
const ENDING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// What came of waiting for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    Key(u8),
    /// The question has been withdrawn, or this process is to end: the signal comes through when the terminal is as before.
    Over,
    /// There is no terminal any more.
    Gone,
}

/// The terminal while a key is awaited: no line editing, no echo, no signals from keys. As before when dropped.
pub struct Keyboard<'a> {
    tty: &'a File,
    before: Termios,
    mask: SigSet,
    /// The process is to end when one of them is pending. It stays so: whoever is meant hears the signal himself.
    ending: SigSet,
}

impl<'a> Keyboard<'a> {
    /// `found` are the modes for afterwards, when one who asked has died and left the terminal without them.
    ///
    /// `heard` are the signals that end this process although they are blocked: its own loop hears them.
    pub fn take(tty: &'a File, found: &Termios, heard: &[Signal]) -> Option<Keyboard<'a>> {
        let before = tcgetattr(tty).ok()?;
        let before = if was_left(&before) { found.clone() } else { before };
        let mask = SigSet::from_iter(ENDING).thread_swap_mask(SigmaskHow::SIG_BLOCK).ok()?;
        let ends = |signal: &Signal| heard.contains(signal) || !mask.contains(*signal);
        let ending = SigSet::from_iter(ENDING.into_iter().filter(ends));
        let mut mode = before.clone();
        mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        mode.control_chars[SpecialCharacterIndices::VMIN as usize] = 0; // poll() is what waits
        mode.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let keyboard = Keyboard { tty, before, mask, ending };
        tcsetattr(tty, SetArg::TCSANOW, &mode).ok().map(|()| keyboard)
    }

    /// Waits for the next key while the question stands.
    pub fn press(&self, stands: impl Fn() -> bool) -> Press {
        let mut byte = [0];
        while stands() && !self.is_to_end() {
            let mut key = [PollFd::new(self.tty.as_fd(), PollFlags::POLLIN)];
            match poll(&mut key, PollTimeout::from(LOOK_MS)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(_) => return Press::Gone,
            }
            let key = key[0].revents().unwrap_or(PollFlags::empty());
            match { self.tty }.read(&mut byte) {
                Ok(1) => return Press::Key(byte[0]),
                Ok(_) if key.contains(PollFlags::POLLIN) && !key.contains(PollFlags::POLLHUP) => {} // another was quicker
                Err(error) if matches!(errno_of(&error), Errno::EINTR | Errno::EAGAIN) => {}
                _ => return Press::Gone,
            }
        }
        Press::Over
    }

    #[allow(unsafe_code)] // nix has no sigpending().
    fn is_to_end(&self) -> bool {
        let mut pending = *SigSet::empty().as_ref();
        // SAFETY: the kernel fills the set, which lives until the call returns; filled or not, it is one.
        let pending = unsafe {
            libc::sigpending(&raw mut pending);
            SigSet::from_sigset_t_unchecked(pending)
        };
        ENDING.into_iter().any(|signal| self.ending.contains(signal) && pending.contains(signal))
    }
}

impl Drop for Keyboard<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, SetArg::TCSANOW, &self.before);
        let _ = self.mask.thread_set_mask(); // a signal that was held back comes now
    }
}

/// Nobody else takes the signals from the keys: one who asked has died.
pub fn was_left(modes: &Termios) -> bool {
    !modes.local_flags.contains(LocalFlags::ISIG)
}
