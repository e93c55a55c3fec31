//! What the class looks at. Every socket call of the program passes through [`gate`].
//!
//! ```text
//! call.rs      a call with its arguments, and what came back
//! watched.rs   what goes on around a call that somebody looks at
//! trace.rs     the line that shows it, shaped as strace prints it; shown.rs the data and addresses in it,
//!              message.rs what recvmsg() and sendmsg() take
//! records.rs   the TLS records that a call carries
//! words.rs     what each call is for, in Korean
//! state.rs     what the kernel says of a socket, in the words of ss; look.rs what has changed since the last look
//! step.rs      --step: before each call a question; console.rs is where, keyboard.rs a key of the terminal,
//!              turn.rs who is next
//! file.rs      --trace=FILE: the lines of all processes in one file
//! screen.rs    where a client's line is being typed, above it
//! who.rs       the role and the process that a line names
//! shared.rs    what parent and children agree on
//! ```
//!
//! - Notes: notes/14-watching.md
//! - Manual: strace(1)
//! - Try: make run-server STAGE=1

mod call;
mod console;
mod file;
mod keyboard;
mod look;
mod message;
mod records;
pub mod screen;
mod shared;
mod shown;
pub mod state;
pub mod step;
mod trace;
mod turn;
mod watched;
mod who;
pub mod words;

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use call::{Call, Datagram, Outcome, Packet, PacketInfo, Returned};
pub use file::{MAGIC, out_of_the_way};
pub use who::{pid, play, role};

use self::watched::Watched;

/// The log target of the calls: silent unless asked for by --trace, by name or by a global `trace`.
pub const TARGET: &str = "sockstep::calls";

/// Somebody looks.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// Lines are for a terminal that knows colours.
static COLOURED: AtomicBool = AtomicBool::new(false);

/// From here on the calls are shown. To be said before the first one.
pub fn watch() {
    shared::flags();
    WATCHED.store(true, Ordering::Relaxed);
}

/// From here on every call is a line in that file, which under `no_link` must be no symbolic link.
pub fn record_to(path: &Path, no_link: bool) -> crate::error::Result<()> {
    file::open(path, &who::role(), no_link)?;
    watch();
    Ok(())
}

/// Begins to step, on the terminal or as a script says.
pub fn step_by(script: Option<&Path>) -> crate::error::Result<()> {
    step::begin(script)?;
    watch();
    Ok(())
}

/// Whether lines are coloured.
pub fn colour(on: bool) {
    COLOURED.store(on, Ordering::Relaxed);
}

fn coloured() -> bool {
    COLOURED.load(Ordering::Relaxed)
}

/// While nobody looks, this load and a branch are all that a call costs beside the call itself. `make bench` holds the
/// program against one that is built without them (`--cfg sockstep_no_trace`).
#[inline(always)]
pub fn is_watched() -> bool {
    !cfg!(sockstep_no_trace) && WATCHED.load(Ordering::Relaxed)
}

/// Whoever steps is told what the calls alone do not say: what a process goes to sleep for, what a trial is for.
#[inline(always)]
pub fn remark(what: impl FnOnce() -> &'static str) {
    if is_watched() {
        step::remark(what());
    }
}

/// In a forked child: it serves connection `id`, and is where the fork() has returned 0.
pub fn become_child(id: u32) {
    who::serve(id);
    if is_watched() {
        watched::show_fork();
    }
}

/// In a child: these are all its descriptors, beside 0, 1 and 2. It will not be able to look them up.
pub fn has_only(fds: &[RawFd]) {
    if is_watched() {
        state::has_only(fds);
    }
}

/// The file of --trace=FILE.
pub fn trace_file() -> Option<BorrowedFd<'static>> {
    file::as_fd()
}

/// Descriptors that the lesson needs and a child must keep.
pub fn kept_fds() -> impl Iterator<Item = RawFd> {
    file::as_fd().map(|file| file.as_raw_fd()).into_iter().chain(step::kept_fds())
}

/// From here on what goes through `fd` is TLS: its records are named.
pub fn carries_tls(fd: BorrowedFd<'_>) {
    if is_watched() {
        records::begin(fd.as_raw_fd());
    }
}

/// The one gate: runs `make`, which is the system call that `call` describes, and shows both.
///
/// Nothing is formatted unless somebody looks. The gate neither retries nor judges: an EINTR is a
/// call that returned EINTR, and the caller decides.
///
/// Inlined, it puts `call` together only behind the branch. So it is with what `make` captures, where that is a `move`.
#[inline(always)]
pub fn gate<T: Outcome>(call: Call<'_>, make: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    // [14.gate]
    if is_watched() { Watched { call, make }.shown() } else { make() }
}

/// A thread that panicked has left nothing half-done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
