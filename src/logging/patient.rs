//! Writing a line down, and never waiting for it: a line that does not fit is dropped and counted.
//!
//! A log must never stop what it reports on: a pipe that nobody reads or a terminal held by Ctrl-S
//! would block write(2), and with it every client. So standard error is opened anew as non-blocking
//! where that is possible; lines that do not fit are dropped and counted.

use std::fs::{FileType, OpenOptions};
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use log::LevelFilter;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sink::{Sink, open_syslog, sink};
use crate::lesson::screen;
use crate::lifecycle::Socket;

/// How long a line may wait for a slow terminal, when the line before it got through.
const PATIENCE_MS: u16 = 10;

/// Set once: a service manager's socket. While poll(2) calls one writable, most of its buffer is free.
static STDERR_IS_SOCKET: AtomicBool = AtomicBool::new(false);

/// A pipe or a terminal under fd 2 gets an open file description of its own, whose O_NONBLOCK is
/// not shared with the shell. A socket cannot be opened again: each write asks first whether there is room.
/// Anything else is used as it is: writing to a file does not wait.
///
/// It takes over number 2: a child keeps 0, 1, 2 and its two sockets, and nothing else.
pub fn make_stderr_nonblocking() {
    let kind = std::fs::metadata("/proc/self/fd/2").map(|meta| meta.file_type());
    let is = |wanted: fn(&FileType) -> bool| kind.as_ref().is_ok_and(wanted);
    STDERR_IS_SOCKET.store(is(FileType::is_socket), Ordering::Relaxed);
    if stderr().is_terminal() || is(FileType::is_fifo) {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        if let Ok(own) = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2") {
            // Where this fails, standard error stays as it was.
            let _ = nix::unistd::dup2_stderr(own);
        }
    }
}

/// Standard error, as far as it takes something at once.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if STDERR_IS_SOCKET.load(Ordering::Relaxed)
            && poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) == Ok(0)
        {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stderr().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for StandardError {
    #[allow(unsafe_code)] // std lends it only for as long as a Stderr lives.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: number 2 is open for as long as the process lives (std sees to it at the start).
        unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
    }
}

/// A connected socket is a file: write(2) sends one datagram.
struct Datagrams<'a>(&'a Socket);

impl Write for Datagrams<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(self.0, line)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Datagrams<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Writes whole lines, waits a little, and then rather drops a line than wait longer.
#[derive(Debug, Default)]
pub struct Patient {
    dropped: u64,
    /// Of the last line only a part was written: what comes next begins a line of its own.
    torn: bool,
}

impl Write for Patient {
    /// A log that cannot be written is no reason to stop: this never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut sink = sink();
        if self.dropped > 0 {
            let note = sink.note(self.dropped, self.torn, line);
            if !self.put(&mut sink, &note, false) {
                return Ok(line.len());
            }
            (self.dropped, self.torn) = (0, false);
        }
        self.put(&mut sink, line, true);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Patient {
    /// True when all of `line` was written; otherwise a line more is missing.
    fn put(&mut self, sink: &mut Sink, line: &[u8], may_wait: bool) -> bool {
        let written = sink.put(line, may_wait);
        let whole = written == line.len();
        if !whole {
            self.dropped += 1;
            self.torn |= written > 0;
        }
        whole
    }
}

impl Sink {
    /// Says that lines are missing. `line` is the one that comes next.
    fn note(&self, dropped: u64, torn: bool, line: &[u8]) -> Vec<u8> {
        let words = format!("({dropped} log lines dropped: they could not be written)");
        match self {
            Sink::Syslog(_) => format!("<{}>sockstep: {words}", libc::LOG_DAEMON | libc::LOG_WARNING).into_bytes(),
            // Kind, level and target as the line has them: so the parent's filter lets it through as well.
            Sink::Relay(_) => line
                .split_inclusive(|byte| *byte == b' ')
                .take(1)
                .chain([words.as_bytes()])
                .collect::<Vec<_>>()
                .concat(),
            _ => format!("{}{words}\n", if torn { "\n" } else { "" }).into_bytes(),
        }
    }

    /// How much of `line` was written.
    fn put(&mut self, line: &[u8], may_wait: bool) -> usize {
        match self {
            Sink::Stderr if screen::above(&String::from_utf8_lossy(line)) => line.len(),
            Sink::Stderr => put_all(&mut StandardError, line, may_wait),
            Sink::File { file, .. } => put_all(file, line, may_wait),
            Sink::Relay(fd) => put_packet(*fd, line),
            Sink::Nowhere => line.len(),
            Sink::Syslog(socket) => match put_all(&mut Datagrams(socket), line, may_wait) {
                0 => self.put_anew(line),
                written => written,
            },
        }
    }

    /// Syslog may have been started again: then its socket is another one now.
    fn put_anew(&mut self, line: &[u8]) -> usize {
        match quietly(open_syslog) {
            Ok(Sink::Syslog(socket)) => {
                let written = put_all(&mut Datagrams(&socket), line, false);
                quietly(|| *self = Sink::Syslog(socket));
                written
            }
            _ => 0,
        }
    }
}

/// A call that a log line needs must not be logged itself.
fn quietly<T>(call: impl FnOnce() -> T) -> T {
    let level = log::max_level();
    log::set_max_level(LevelFilter::Off);
    let result = call();
    log::set_max_level(level);
    result
}

/// Writes all of `line`, or gives up: at once, or after having waited for room. Returns how much was written.
fn put_all(to: &mut (impl Write + AsFd), line: &[u8], mut may_wait: bool) -> usize {
    let mut written = 0;
    while written < line.len() {
        match to.write(&line[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && may_wait => {
                may_wait = false;
                let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::from(PATIENCE_MS));
            }
            Err(_) => break,
        }
    }
    written
}

/// One packet to the parent. write(2), not send(): a line about a call is no call of the lesson.
#[allow(unsafe_code)] // only the number of the descriptor is known here; its owner is the child's main loop.
fn put_packet(relay: RawFd, packet: &[u8]) -> usize {
    // SAFETY: the child closes its relay end only after `end_hand_over`, and this sink is gone then.
    let relay = unsafe { BorrowedFd::borrow_raw(relay) };
    loop {
        match nix::unistd::write(relay, packet) {
            Err(Errno::EINTR) => continue,
            result => return result.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_line_that_was_cut_does_not_run_into_the_next_one() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut sink = Sink::File { file: File::from(OwnedFd::from(ours)), path: "cut".into(), ours: false };
        let mut patient = Patient::default();
        assert!(patient.put(&mut sink, b"a whole line\n", false) && !patient.torn);
        assert!(!patient.put(&mut sink, &[b'x'; 1 << 24], false));
        assert_eq!((patient.dropped, patient.torn), (1, true));
        assert_eq!(sink.note(1, true, b""), b"\n(1 log lines dropped: they could not be written)\n");
        assert_eq!(sink.note(1, false, b"")[0], b'(');
    }

    #[test]
    fn a_childs_note_passes_where_its_next_line_would() {
        let note = Sink::Relay(0).note(3, false, b"G5sockstep::calls recv(6, \"a\") = 1");
        assert_eq!(note, b"G5sockstep::calls (3 log lines dropped: they could not be written)");
    }
}
