//! What the class looks at. Every socket call of the program passes through [`gate`].
//!
//! ```text
//! call.rs      a call with its arguments, and what came back
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

/// Somebody looks. While it is not set, a call costs a load of this and a branch, and what it takes to name its
/// arguments: some 25 instructions beside the thousands of the call itself.
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

/// Whoever steps is told what the calls alone do not say: what a process goes to sleep for, what a trial is for.
pub fn remark(what: &str) {
    if WATCHED.load(Ordering::Relaxed) {
        step::remark(what);
    }
}

/// In a forked child: it serves connection `id`, and is where the fork() has returned 0.
pub fn become_child(id: u32) {
    who::serve(id);
    show_fork();
}

/// Descriptors that the lesson needs and a child must keep.
pub fn kept_fds() -> impl Iterator<Item = RawFd> {
    file::raw_fd().into_iter().chain(step::kept_fds())
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
    // [14.gate]
    if WATCHED.load(Ordering::Relaxed) { watched(call, make) } else { make() }
}

#[cold]
fn watched<T: Outcome>(call: Call<'_>, make: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    show_fork();
    let _turn = step::turn(); // from the question to the result
    if call.takes() {
        look_at(call.fd());
    }
    if step::is_on() {
        step::ask(&ahead(&call), call.number(), call.fd());
    }
    let began = file::now();
    let result = make();
    let took = file::now() - began;
    let back = result.as_ref().map_or_else(|_| Returned::default(), Outcome::returned);
    if matches!(call, Call::Fork) && result.is_ok() && back.value == 0 {
        *lock(&FORKED) = Some((began, took)); // shown when it is known whose child this is
        return result;
    }
    Line::of(trace::line(&call, &result), note(&call, &back)).show(began, took);
    match call {
        Call::Close { fd } => forget(fd, fd),
        Call::CloseRange { first, last } => forget(first as RawFd, last.min(i32::MAX as u32) as RawFd),
        _ => [call.fd()].into_iter().chain(back.made).for_each(look_at),
    }
    result
}

/// The call that is about to be made, and the TLS records that it would send.
fn ahead(call: &Call<'_>) -> String {
    let note = match call {
        Call::Send { fd, data, .. } => records::ahead(fd.as_raw_fd(), data),
        _ => String::new(),
    };
    let gap = if note.is_empty() { "" } else { "   " };
    format!("{}{gap}{note}", trace::ahead(call))
}

/// What has changed is told to whoever steps, and to the trace file.
fn look_at(fd: Option<BorrowedFd<'_>>) {
    let Some(fd) = fd.filter(|_| step::is_on() || file::is_open()) else { return };
    let Some(change) = look::changed(fd) else { return };
    step::say_change(&change);
    file::write(&format!("state {} {}", change.fd, change.state.brief()), "", "", file::now(), None);
}

fn forget(first: RawFd, last: RawFd) {
    look::forget(first, last);
    records::end(first, last);
}

/// The line of a fork() in the child that it has made.
fn show_fork() {
    let forked = lock(&FORKED).take();
    if let Some((began, took)) = forked {
        let _turn = step::turn();
        Line::of("fork() = 0".into(), String::new()).show(began, took);
    }
}

/// The TLS records that have passed; a look (MSG_PEEK) moves nothing.
fn note(call: &Call<'_>, back: &Returned<'_>) -> String {
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
        if step::is_on() {
            step::say(&format!("{} {self}\n", who::tag()));
        }
        if !step::tells_for_stderr() {
            log::trace!(target: TARGET, "{self}");
        }
        file::write(&self.call, &self.note, self.chapter, began, Some(took));
    }
}

/// Call, TLS records, chapter, three spaces apart; at a terminal the result is green or red.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { call, note, chapter } = self;
        let gap = if note.is_empty() { "" } else { "   " };
        let Some((made, result)) = call.rsplit_once(" = ").filter(|_| coloured()) else {
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
