//! Where the log goes: standard error, a file, or syslog; in a daemon's child, the relay pair.
//!
//! A log must never stop what it reports on: a pipe that nobody reads or a terminal held by Ctrl-S
//! would block write(2), and with it every client. So standard error is opened anew as non-blocking
//! where that is possible; lines that do not fit are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::LevelFilter;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, fchown};

use crate::error::{During, Error, Result, describe, errno_of};
use crate::lifecycle::{connect_unix, socket_unix};

/// How long a line may wait for a slow terminal, when the line before it got through.
const PATIENCE_MS: u16 = 10;
/// Where every syslog daemon listens: a datagram socket in the file system.
const SYSLOG: &str = "/dev/log";

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    Stderr,
    /// `ours`: it was not there, we have made it.
    File {
        file: File,
        path: PathBuf,
        ours: bool,
    },
    /// A connected socket is a file: write(2) sends one datagram.
    Syslog(File),
    /// In a child whose parent keeps the log: the child's end of the relay pair.
    Relay(RawFd),
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Terminal,
    Syslog,
    ToParent,
}

static SINK: Mutex<Sink> = Mutex::new(Sink::Stderr);

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn form() -> Form {
    match *sink() {
        Sink::Stderr | Sink::File { .. } => Form::Terminal,
        Sink::Syslog(_) => Form::Syslog,
        Sink::Relay(_) => Form::ToParent,
    }
}

/// From here on all lines go there.
pub fn divert(to: Sink) {
    *sink() = to;
}

/// In a forked child: the parent's log is reached through `relay` only. Standard error is shared as it is.
pub fn hand_over_through(relay: RawFd) {
    let mut sink = sink();
    if !matches!(*sink, Sink::Stderr) {
        *sink = Sink::Relay(relay);
    }
}

/// The relay pair is about to be closed: what is said from here on is not heard any more.
pub fn end_hand_over() {
    let mut sink = sink();
    if matches!(*sink, Sink::Relay(_)) {
        *sink = Sink::Stderr; // a daemon's, which leads nowhere
    }
}

/// A log file to append to; made when it is not there, for its owner and group to read.
///
/// `no_link`: root is going to become somebody, who may own the folder: a symbolic link there could lead root
/// to any file.
pub fn open_file(path: &Path, no_link: bool) -> Result<Sink> {
    let mut options = OpenOptions::new();
    // A FIFO must not hold us, a terminal not become ours.
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | if no_link { libc::O_NOFOLLOW } else { 0 };
    options.append(true).mode(0o640).custom_flags(flags);
    let (file, ours) = match options.create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (options.create_new(false).open(path), false),
        made => (made, true),
    };
    let file = file.map_err(|error| Error::File {
        path: path.into(),
        what: "log file",
        reason: match errno_of(&error) {
            Errno::ELOOP if no_link => "is a symbolic link: refused under --user".into(),
            errno => describe(errno),
        },
        hint: "로그 파일의 경로와 쓰기 권한을 확인하십시오. 디렉터리는 미리 만들어 두어야 합니다.".into(),
    })?;
    Ok(Sink::File { file, path: path.into(), ours })
}

/// Before root becomes `user`: a log file that we have just made is made its own, so that it can be opened
/// again. One that was there before keeps its owner: it could be somebody's trap.
pub fn give_to(user: Uid, group: Gid) -> Result<()> {
    match &*sink() {
        Sink::File { file, path, ours: true } => fchown(file, Some(user), Some(group)).during("fchown", path.display()),
        _ => Ok(()),
    }
}

/// `socket(AF_UNIX, SOCK_DGRAM)` → `connect("/dev/log")`: syslog(3) does no more.
pub fn open_syslog() -> Result<Sink> {
    let socket = socket_unix().during("socket", SYSLOG)?;
    connect_unix(socket.as_fd(), SYSLOG).map_err(|errno| Error::Refused {
        what: format!("connect({SYSLOG})"),
        reason: describe(errno),
        hint: "이 컴퓨터에서는 syslog가 실행 중이지 않습니다. --log-file로 로그를 쓸 파일을 지정하십시오.".into(),
    })?;
    Ok(Sink::Syslog(File::from(socket)))
}

/// Opens the log anew, after somebody has renamed the file (logrotate(8)) or started syslog again.
/// What fails leaves the log as it was. False for standard error, which cannot be opened anew.
pub fn reopen() -> Result<bool> {
    let path = match &*sink() {
        Sink::File { path, .. } => Some(path.clone()),
        Sink::Syslog(_) => None,
        Sink::Stderr | Sink::Relay(_) => return Ok(false),
    };
    divert(path.map_or_else(open_syslog, |path| open_file(&path, false))?);
    Ok(true)
}

/// A pipe or a terminal under fd 2 gets an open file description of its own, whose O_NONBLOCK is
/// not shared with the shell. Anything else is used as it is: writing to a file does not wait.
///
/// It takes over number 2: a child keeps 0, 1, 2 and its two sockets, and nothing else.
pub fn make_stderr_nonblocking() {
    let is_pipe = || std::fs::metadata("/proc/self/fd/2").is_ok_and(|meta| meta.file_type().is_fifo());
    if stderr().is_terminal() || is_pipe() {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        if let Ok(own) = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2") {
            // Where this fails, standard error stays as it was.
            let _ = nix::unistd::dup2_stderr(own);
        }
    }
}

/// Writes whole lines, waits a little, and then rather drops a line than wait longer.
#[derive(Debug, Default)]
pub struct Patient {
    dropped: u64,
}

impl Write for Patient {
    /// A log that cannot be written is no reason to stop: this never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut sink = sink();
        if self.dropped > 0 && !matches!(*sink, Sink::Relay(_)) {
            let note = sink.note(self.dropped);
            if !sink.put(note.as_bytes(), false) {
                self.dropped += 1;
                return Ok(line.len());
            }
            self.dropped = 0;
        }
        if !sink.put(line, true) {
            self.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn note(&self, dropped: u64) -> String {
        let words = format!("({dropped} log lines dropped: they could not be written)");
        match self {
            Sink::Syslog(_) => format!("<{}>sockstep: {words}", libc::LOG_DAEMON | libc::LOG_WARNING),
            _ => words + "\n",
        }
    }

    fn put(&mut self, line: &[u8], may_wait: bool) -> bool {
        match self {
            Sink::Stderr => put_all(&mut stderr(), line, may_wait),
            Sink::File { file, .. } => put_all(file, line, may_wait),
            Sink::Relay(fd) => put_packet(*fd, line),
            Sink::Syslog(socket) => put_all(socket, line, may_wait) || self.put_anew(line),
        }
    }

    /// Syslog may have been started again: then its socket is another one now.
    fn put_anew(&mut self, line: &[u8]) -> bool {
        match quietly(open_syslog) {
            Ok(Sink::Syslog(mut socket)) => {
                let written = put_all(&mut socket, line, false);
                *self = Sink::Syslog(socket);
                written
            }
            _ => false,
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

/// Writes all of `line`, or gives up: at once, or after having waited for room.
fn put_all(to: &mut (impl Write + AsFd), mut line: &[u8], mut may_wait: bool) -> bool {
    while !line.is_empty() {
        match to.write(line) {
            Ok(n) => line = &line[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && may_wait => {
                may_wait = false;
                let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::from(PATIENCE_MS));
            }
            Err(_) => return false,
        }
    }
    true
}

/// One packet to the parent. write(2), not send(): a line about a call is no call of the lesson.
#[allow(unsafe_code)] // only the number of the descriptor is known here; its owner is the child's main loop.
fn put_packet(relay: RawFd, packet: &[u8]) -> bool {
    // SAFETY: the child closes its relay end only after `end_hand_over`, and this sink is gone then.
    let relay = unsafe { BorrowedFd::borrow_raw(relay) };
    loop {
        match nix::unistd::write(relay, packet) {
            Err(Errno::EINTR) => continue,
            result => return result.is_ok(),
        }
    }
}
