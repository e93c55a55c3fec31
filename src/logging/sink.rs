//! Where the log goes: standard error, a file, or syslog; in a daemon's child, the relay pair.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, fchown};

use crate::error::{During, Error, Result, describe, errno_of};
use crate::lifecycle::{Socket, connect_unix, socket_unix};

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
    /// Connected: write(2) sends one datagram.
    Syslog(Socket),
    /// In a child whose parent keeps the log: the child's end of the relay pair.
    Relay(RawFd),
    /// In such a child, when the relay pair has been closed.
    Nowhere,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Standard error: the calls stand there without time and level.
    Bare,
    Terminal,
    Syslog,
    ToParent,
}

static SINK: Mutex<Sink> = Mutex::new(Sink::Stderr);

pub(super) fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn form() -> Form {
    match *sink() {
        Sink::Stderr => Form::Bare,
        Sink::File { .. } | Sink::Nowhere => Form::Terminal,
        Sink::Syslog(_) => Form::Syslog,
        Sink::Relay(_) => Form::ToParent,
    }
}

/// From here on all lines go there.
pub fn divert(to: Sink) {
    crate::lesson::colour(false); // not into a file
    let before = std::mem::replace(&mut *sink(), to);
    drop(before); // not while the lock is held: a socket that is closed may be a line of the log
}

/// In a forked child: the parent's log is reached through `relay` only. Standard error is shared as it is.
///
/// Gives what was there before, to be dropped without the lock: a socket that is closed may be a line of the log.
#[must_use]
pub fn hand_over_through(relay: RawFd) -> Option<Sink> {
    let mut sink = sink();
    (!matches!(*sink, Sink::Stderr)).then(|| std::mem::replace(&mut *sink, Sink::Relay(relay)))
}

/// The relay pair is about to be closed: what is said from here on is not heard any more.
pub fn end_hand_over() {
    let mut sink = sink();
    if matches!(*sink, Sink::Relay(_)) {
        *sink = Sink::Nowhere; // not standard error: the parent may have one, and a log file as well
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
    Ok(Sink::Syslog(socket))
}

/// Opens the log anew, after somebody has renamed the file (logrotate(8)) or started syslog again.
/// What fails leaves the log as it was. False for standard error, which cannot be opened anew.
pub fn reopen() -> Result<bool> {
    let path = match &*sink() {
        Sink::File { path, .. } => Some(path.clone()),
        Sink::Syslog(_) => None,
        Sink::Stderr | Sink::Relay(_) | Sink::Nowhere => return Ok(false),
    };
    divert(path.map_or_else(open_syslog, |path| open_file(&path, false))?);
    Ok(true)
}
