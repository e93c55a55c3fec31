//! The log: one line an event on standard error, with time, level, role and pid.
//!
//! A log must never stop what it reports on: a pipe that nobody reads or a terminal held by Ctrl-S
//! would block write(2), and with it every client. So standard error is opened anew as non-blocking
//! where that is possible; lines that do not fit are dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU32, Ordering};

use env_logger::{Builder, Env, Target};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a line may wait for a slow terminal, when the line before it got through.
const PATIENCE_MS: u16 = 10;

/// 0 in the parent and in a client; in a child, the number of its connection.
static CHILD: AtomicU32 = AtomicU32::new(0);

/// From here on this process is the child of connection `id` in the log.
pub fn become_child(id: u32) {
    CHILD.store(id, Ordering::Relaxed);
}

/// Sets the log up: `level` unless RUST_LOG says otherwise.
pub fn init(role: &'static str, level: &str) {
    make_stderr_nonblocking();
    Builder::from_env(Env::default().default_filter_or(level))
        .target(Target::Pipe(Box::new(Patient { dropped: 0 })))
        .format(move |buf, record| {
            let pid = std::process::id();
            let (time, level) = (buf.timestamp_millis(), record.level());
            match CHILD.load(Ordering::Relaxed) {
                0 => writeln!(buf, "{time} {level:<5} [{role} {pid}] {}", record.args()),
                id => writeln!(buf, "{time} {level:<5} [c{id} {pid}] {}", record.args()),
            }
        })
        .init();
}

/// A pipe or a terminal under fd 2 gets an open file description of its own, whose O_NONBLOCK is
/// not shared with the shell. Anything else is used as it is: writing to a file does not wait.
///
/// It takes over number 2: a child keeps 0, 1, 2 and its two sockets (and the file of --keylog).
fn make_stderr_nonblocking() {
    let is_pipe = || std::fs::metadata("/proc/self/fd/2").is_ok_and(|meta| meta.file_type().is_fifo());
    if io::stderr().is_terminal() || is_pipe() {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        if let Ok(own) = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2") {
            // Where this fails, standard error stays as it was.
            let _ = nix::unistd::dup2_stderr(own);
        }
    }
}

/// Writes whole lines, waits a little, and then rather drops a line than wait longer.
struct Patient {
    dropped: u64,
}

impl Write for Patient {
    /// A log that cannot be written is no reason to stop: this never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.dropped > 0 {
            let note = format!("({} log lines dropped: nobody read them)\n", self.dropped);
            if !put(note.as_bytes(), false) {
                self.dropped += 1;
                return Ok(line.len());
            }
            self.dropped = 0;
        }
        if !put(line, true) {
            self.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `line`, or gives up: at once, or after having waited for room.
fn put(mut line: &[u8], mut may_wait: bool) -> bool {
    let mut stderr = io::stderr();
    while !line.is_empty() {
        match stderr.write(line) {
            Ok(n) => line = &line[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && may_wait => {
                may_wait = false;
                let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::from(PATIENCE_MS));
            }
            Err(_) => return false,
        }
    }
    true
}
