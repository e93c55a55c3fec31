//! A call that somebody looks at: the question before it, its line after it, and what the kernel has changed.
//!
//! All of it is cold: the gate comes here only with --trace or --step.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Mutex;

use nix::sys::socket::MsgFlags;

use super::call::{Call, Outcome, Returned};
use super::records::Direction;
use super::{TARGET, coloured, file, lock, look, records, step, trace, who, words};

/// A fork() that has returned in a child, which does not know yet whom it serves: when it began.
static FORKED: Mutex<Option<(i64, i64)>> = Mutex::new(None);

/// A call that somebody looks at, and what makes it.
pub struct Watched<'a, M> {
    pub call: Call<'a>,
    pub make: M,
}

impl<T: Outcome, M: FnOnce() -> nix::Result<T>> Watched<'_, M> {
    /// Makes the call. Not inlined: nothing of this is to be in the way of a call that nobody looks at.
    #[cold]
    #[inline(never)]
    pub fn shown(self) -> nix::Result<T> {
        let Watched { call, make } = self;
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
pub fn show_fork() {
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
