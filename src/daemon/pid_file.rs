//! The PID file: one daemon a file, held by a lock that the kernel takes away with its owner.
//!
//! What the file says is for people. Who runs is what the lock says: a record lock (fcntl(2), F_SETLK)
//! belongs to one process, is not inherited over fork(), ends with that process however it ends, and
//! F_GETLK names its owner. So a file left over after a crash or a power cut is no obstacle, and
//! nobody ever signals a stranger who got an old number.
//!
//! - Notes: notes/13-daemon.md
//! - Manual: fcntl(2) (advisory record locking), open(2) (O_NOFOLLOW)
//! - Try: cat /proc/locks   (the fifth column is the owner)

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::Pid;

use super::proc;
use crate::error::{Error, Hint, Result, describe, errno_of};

/// No PID is longer; a longer file is somebody's data.
const TEXT_MAX_BYTES: u64 = 32;
/// Everybody may read who runs.
const MODE: u32 = 0o644;
/// While somebody holds the file whom the kernel does not name: how often, and how long, to wait for its end.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);
/// A symbolic link could lead to a file that matters; a FIFO must not hold us.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Ours for as long as this lives; then the file is removed.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
}

impl PidFile {
    /// Before anything is done: whether another process holds the file. Makes and changes nothing.
    pub fn refuse_if_held(path: &Path) -> Result<()> {
        match holder(path)? {
            Some(pid) => Err(held(path, pid)),
            None => Ok(()),
        }
    }

    /// The log in the PID file would be lost with it, and the lock with each log that is opened anew: a process
    /// that closes any descriptor of a file gives up its locks on it.
    pub fn refuse_as_log(path: &Path, log: &Path) -> Result<()> {
        let is_log = |pid_file: Metadata| log.metadata().is_ok_and(|log| names_same(&pid_file, &log));
        if !path.symlink_metadata().is_ok_and(is_log) {
            return Ok(());
        }
        let hint = "--pid-file과 --log-file에는 서로 다른 파일을 지정하십시오.";
        Err(error(path, "is the log file as well".into(), hint.into()))
    }

    /// Makes the file, or takes over one that nobody holds, locks it and writes our pid.
    pub fn create(path: &Path) -> Result<PidFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(MODE).custom_flags(FLAGS);
        for _ in 0..TRIES {
            let file = regular(path, options.open(path))?;
            // [13.lock]
            if let Err(errno) = fcntl(&file, FcntlArg::F_SETLK(&write_lock())) {
                match (errno, holder(path)?) {
                    (Errno::EAGAIN | Errno::EACCES, Some(pid)) => return Err(held(path, pid)),
                    (Errno::EAGAIN | Errno::EACCES, None) => sleep(PAUSE), // it has ended just now, or is cleared away
                    (errno, _) => return Err(failed(path, describe(errno))),
                }
                continue;
            }
            if !is_at(&file, path) {
                continue; // whoever held it has removed it while we were waiting for the lock
            }
            if file.metadata().is_ok_and(|meta| meta.nlink() > 1) {
                return Err(failed(path, "has another name as well (a hard link): refused".into()));
            }
            refuse_foreign_text(&file, path)?;
            let pid_file = PidFile { file, path: path.into() };
            pid_file.write().map_err(|error| failed(path, describe(errno_of(&error))))?;
            return Ok(pid_file);
        }
        Err(failed(path, "held by somebody whom the kernel does not name".into()))
    }

    fn write(&self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.set_permissions(PermissionsExt::from_mode(MODE))?; // whatever the umask is
        writeln!(&self.file, "{}", std::process::id())
    }
}

impl Drop for PidFile {
    /// Removes the file, if it is ours that stands there. Where we may not (any more), it is emptied:
    /// without a lock it says nothing anyway.
    fn drop(&mut self) {
        let shown = self.path.display();
        match self.path.symlink_metadata() {
            Ok(there) if !is_same(&self.file, &there) => log::warn!("PID file {shown} is another one now: left alone"),
            Err(error) if error.kind() == ErrorKind::NotFound => log::warn!("PID file {shown} has gone already"),
            _ => {
                if let Err(error) = std::fs::remove_file(&self.path) {
                    log::info!("PID file {shown} emptied, not removed: {}", describe(errno_of(&error)));
                    let _ = self.file.set_len(0);
                }
            }
        }
    }
}

/// The process that holds the lock on the file; `None` when there is none, or no file.
pub fn holder(path: &Path) -> Result<Option<Pid>> {
    let file = match OpenOptions::new().read(true).custom_flags(FLAGS).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => regular(path, opened)?,
    };
    // Asked as a reader: a reader's lock, which everybody may take who may read the file, makes nobody a daemon.
    let mut lock = libc::flock { l_type: libc::F_RDLCK as i16, ..write_lock() };
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock)).map_err(|errno| failed(path, describe(errno)))?;
    match (i32::from(lock.l_type), lock.l_pid) {
        (libc::F_UNLCK, _) => Ok(None),
        (_, pid @ 1..) => Ok(Some(Pid::from_raw(pid))),
        (_, -1) => Ok(None), // an open file description's lock: `remove_stale`
        _ => Err(failed(path, "held by a process of another PID namespace".into())),
    }
}

/// Removes a file that nobody holds: what a daemon left that was killed, or that had given up its rights.
///
/// The lock that keeps a new daemon away meanwhile belongs to no process (fcntl(2), F_OFD_SETLK): another
/// `stop` must not take us for the daemon.
pub fn remove_stale(path: &Path) {
    if let Ok(stale) = OpenOptions::new().read(true).write(true).custom_flags(FLAGS).open(path)
        && fcntl(&stale, FcntlArg::F_OFD_SETLK(&write_lock())).is_ok()
        && refuse_foreign_text(&stale, path).is_ok()
        && is_at(&stale, path)
    {
        let _ = std::fs::remove_file(path);
    }
}

/// What was opened is a file, and nothing else.
fn regular(path: &Path, opened: std::io::Result<File>) -> Result<File> {
    let file = opened.map_err(|error| match errno_of(&error) {
        Errno::ELOOP => failed(path, "is a symbolic link: refused".into()),
        errno => failed(path, describe(errno)),
    })?;
    match file.metadata() {
        Ok(meta) if meta.is_file() => Ok(file),
        _ => Err(failed(path, "is not a regular file: refused".into())),
    }
}

/// The whole file, for writing.
fn write_lock() -> libc::flock {
    libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// True when `path` still names this very file.
fn is_at(file: &File, path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| is_same(file, &there))
}

fn is_same(file: &File, there: &Metadata) -> bool {
    file.metadata().is_ok_and(|ours| names_same(&ours, there))
}

fn names_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file with anything but a PID in it was given by mistake: it must not be emptied.
fn refuse_foreign_text(mut file: &File, path: &Path) -> Result<()> {
    let mut text = Vec::new();
    let read = file.take(TEXT_MAX_BYTES + 1).read_to_end(&mut text);
    let is_pid = text.trim_ascii().iter().all(u8::is_ascii_digit) && text.len() as u64 <= TEXT_MAX_BYTES;
    if read.is_err() || !is_pid {
        return Err(failed(path, "holds something else than a PID: left alone".into()));
    }
    file.rewind().map_err(|error| failed(path, describe(errno_of(&error))))
}

fn failed(path: &Path, reason: String) -> Error {
    error(path, reason, "PID 파일은 데몬만 쓰는 일반 파일이어야 합니다. 경로와 쓰기 권한을 확인하십시오.".into())
}

/// `held by pid 4121 (sockstep), which listens on 127.0.0.1:7000`
fn held(path: &Path, pid: Pid) -> Error {
    let on: Vec<String> = proc::listening(pid).unwrap_or_default().iter().map(ToString::to_string).collect();
    let on = if on.is_empty() { String::new() } else { format!(", which listens on {}", on.join(", ")) };
    let hint = format!(
        "데몬이 이미 실행 중입니다. `sockstep status --pid-file {0}` 명령으로 확인하고, 멈추려면 `sockstep stop --pid-file {0}` 명령을 실행하십시오 (make로 시작했다면 `make status`, `make stop`).",
        path.display()
    );
    error(path, format!("held by pid {pid} ({}){on}", proc::name(pid)), hint.into())
}

fn error(path: &Path, reason: String, hint: Hint) -> Error {
    Error::File { path: path.into(), what: "PID file", reason, hint }
}
