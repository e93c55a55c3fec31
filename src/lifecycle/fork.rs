//! `fork() -> pid`: the process becomes two; every descriptor is now held by both.
//!
//! - Place: `socket → bind → listen → accept → [fork] → recv/send in the child → close`
//! - Notes: notes/09-fork.md
//! - Manual: fork(2), _exit(2), wait(2), credentials(7)
//! - Standard: POSIX.1-2024, fork()
//! - Try: ss -tnp   (the parent's listener and the child's connection share a port)
//! - Fails: EAGAIN (too many processes), ENOMEM
//! - Owns: nothing new; who keeps which descriptor, and who closes it, is the caller's to decide

use nix::unistd::{ForkResult, Pid};

use crate::lesson::{Call, gate};

/// `fork()`: `Some(pid)` in the parent, `None` in the child. The caller must have one thread only.
///
/// The child must end with [`exit_at_once`], and never return into frames that the parent also has:
/// their destructors would run twice.
#[allow(unsafe_code)] // fork(2) copies one thread; what the others held would stay locked.
pub fn fork() -> nix::Result<Option<Pid>> {
    gate(Call::Fork, || {
        // SAFETY: whoever forks here has only this thread, so no lock is held by another one.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => Ok(Some(child)),
            ForkResult::Child => Ok(None),
        }
    })
}

/// `_exit(code)`: ends a forked process, and nothing else: no destructors, no handlers of the parent's.
#[allow(unsafe_code)] // exit(3), the safe way out, would run the parent's handlers in the child.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: _exit(2) ends the process; there is nothing after it that could be unsound.
    unsafe { libc::_exit(code) }
}
