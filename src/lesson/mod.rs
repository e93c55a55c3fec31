//! What the class looks at. Every socket call of the program passes through [`gate`].
//!
//! ```text
//! call.rs      a call with its arguments, and what came back
//! trace.rs     the line that shows it, shaped as strace prints it; shown.rs the data and addresses in it,
//!              message.rs what recvmsg() and sendmsg() take
//! records.rs   the TLS records that a call carries
//! words.rs     what each call is for, in Korean
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
mod file;
mod message;
mod records;
pub mod screen;
mod shared;
mod shown;
mod trace;
mod who;
pub mod words;

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::MsgFlags;

pub use call::{Call, Datagram, Outcome, Packet, PacketInfo, Returned};
pub use file::MAGIC;
pub use who::{pid, play, role};

use self::records::Direction;

/// The log target of the calls: silent unless asked for by --trace, by name or by a global `trace`.
pub const TARGET: &str = "sockstep::calls";

/// Somebody looks. While it is not set, a call costs one load of this more than it would without a lesson.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// Lines are for a terminal that knows colours.
static COLOURED: AtomicBool = AtomicBool::new(false);
/// A fork() that has returned in a child, which does not know yet whom it serves: when it began.
static FORKED: Mutex<Option<(i64, i64)>> = Mutex::new(None);

/// From here on the calls are shown. To be said before the first one.
pub fn watch() {
    shared::flags();
    WATCHED.store(true, Ordering::Relaxed);
}

/// From here on every call is a line in that file.
pub fn record_to(path: &Path) -> crate::error::Result<()> {
    file::open(path, &who::role())?;
    watch();
    Ok(())
}

/// Whether lines are coloured.
pub fn colour(on: bool) {
    COLOURED.store(on, Ordering::Relaxed);
}

/// In a forked child: it serves connection `id`, and is where the fork() has returned 0.
pub fn become_child(id: u32) {
    who::serve(id);
    show_fork();
}

/// Descriptors that the lesson needs and a child must keep.
pub fn kept_fds() -> impl Iterator<Item = RawFd> {
    file::raw_fd().into_iter()
}

/// From here on what goes through `fd` is TLS: its records are named.
pub fn carries_tls(fd: BorrowedFd<'_>) {
    if WATCHED.load(Ordering::Relaxed) {
        records::begin(fd.as_raw_fd());
    }
}

/// The one gate: runs `make`, which is the system call that `call` describes, and shows both.
///
/// Nothing is formatted unless somebody looks. The gate neither retries nor judges: an EINTR is a
/// call that returned EINTR, and the caller decides.
pub fn gate<T: Outcome>(call: Call<'_>, make: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    if WATCHED.load(Ordering::Relaxed) { watched(call, make) } else { make() }
}

#[cold]
fn watched<T: Outcome>(call: Call<'_>, make: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    show_fork();
    let began = file::now();
    let result = make();
    let took = file::now() - began;
    if let (Call::Fork, Ok(0)) = (&call, result.as_ref().map(|made| made.returned().value)) {
        *lock(&FORKED) = Some((began, took));
        return result;
    }
    let note = note(&call, &result);
    Line::of(trace::line(&call, &result), note).show(began, took);
    if let Call::Close { fd } = call {
        records::end(fd);
    }
    result
}

/// The line of a fork() in the child that it has made.
fn show_fork() {
    if let Some((began, took)) = lock(&FORKED).take() {
        Line::of("fork() = 0".into(), String::new()).show(began, took);
    }
}

/// The TLS records that have passed; a look (MSG_PEEK) moves nothing.
fn note<T: Outcome>(call: &Call<'_>, result: &nix::Result<T>) -> String {
    let Ok(back) = result.as_ref().map(Outcome::returned) else { return String::new() };
    match (*call, back.data) {
        (Call::Recv { fd, flags, .. }, Some(data)) if !flags.contains(MsgFlags::MSG_PEEK) => {
            records::note(fd.as_raw_fd(), Direction::In, data)
        }
        (Call::Send { fd, data, .. }, _) => {
            let sent = usize::try_from(back.value).unwrap_or(0).min(data.len());
            records::note(fd.as_raw_fd(), Direction::Out, &data[..sent])
        }
        _ => String::new(),
    }
}

/// A call that was made: what is shown of it.
struct Line {
    call: String,
    note: String,
    chapter: &'static str,
}

impl Line {
    fn of(call: String, note: String) -> Line {
        let name = call.split('(').next().unwrap_or_default();
        let chapter = words::of(name).map_or("", |words| words.chapter);
        Line { call, note, chapter }
    }

    fn show(&self, began: i64, took: i64) {
        log::trace!(target: TARGET, "{self}");
        if file::is_open() {
            let who = format!("{}\t{}", who::role(), who::pid());
            file::write(began, &who, &self.call, Some(took), &self.note, self.chapter);
        }
    }
}

/// Call, TLS records, chapter, three spaces apart; at a terminal the result is green or red.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { call, note, chapter } = self;
        let gap = if note.is_empty() { "" } else { "   " };
        let Some((made, result)) = call.rsplit_once(" = ").filter(|_| COLOURED.load(Ordering::Relaxed)) else {
            return write!(f, "{call}{gap}{note}   {chapter}");
        };
        let colour = if result.starts_with('-') { "31" } else { "32" };
        write!(f, "{made} = \x1b[{colour}m{result}\x1b[0m\x1b[36m{gap}{note}\x1b[0m   \x1b[2m{chapter}\x1b[0m")
    }
}

/// A thread that panicked has left nothing half-done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
