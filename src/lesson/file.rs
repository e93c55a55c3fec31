//! `--trace=FILE`: every call of every process as one line of columns, for `sockstep timeline` and for grep.
//!
//! ```text
//! time µs (CLOCK_MONOTONIC) · role · pid or pid/tid · call · took µs · TLS records · chapter
//! ```
//!
//! The columns are separated by a tab, which no column holds. All processes append to the one file, each
//! line with one write(2). Where a line cannot be written, the trace ends there for everybody, and that is said
//! once: a trace with a hole would be no proof of anything.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use super::shared::flags;
use super::who;
use crate::error::{Error, Result, describe, errno_of};

/// The first words of a trace file.
pub const MAGIC: &str = "# sockstep-trace 1";
/// Where the lesson's own files have their descriptors: a listener is still number 3.
const HIGH_FD: RawFd = 100;
/// How long the lines of a process may wait, all together, for whoever reads a pipe.
const PATIENCE_US: i64 = 100_000;
/// What a line that need not wait gives back of it: who reads slowly all the time holds a server up no longer than that.
const REGAINED_US: i64 = 1_000;

static PATIENCE_LEFT_US: AtomicI64 = AtomicI64::new(PATIENCE_US);

static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();

/// Opens the file, to append to; it is made when it is not there.
///
/// `no_link`: root is going to become somebody, who may own the folder: a symbolic link there could lead root
/// to any file.
pub fn open(path: &Path, role: &str, no_link: bool) -> Result<()> {
    flags();
    let mut options = OpenOptions::new();
    // A FIFO that nobody reads must not hold us, a terminal not become ours.
    let how = libc::O_NOCTTY | libc::O_NONBLOCK | if no_link { libc::O_NOFOLLOW } else { 0 };
    options.append(true).create(true).mode(0o640).custom_flags(how);
    let file = options.open(path).map_err(|error| Error::File {
        path: path.into(),
        what: "trace file",
        reason: match errno_of(&error) {
            Errno::ELOOP if no_link => "is a symbolic link: refused under --user".into(),
            errno => describe(errno),
        },
        hint: "트레이스를 기록할 파일의 경로와 쓰기 권한을 확인하십시오. 디렉터리는 미리 만들어 두어야 합니다.".into(),
    })?;
    let file = FILE.get_or_init(|| (File::from(out_of_the_way(file.into())), path.to_path_buf()));
    let (realtime, monotonic) = (micros(ClockId::CLOCK_REALTIME), micros(ClockId::CLOCK_MONOTONIC));
    let pid = std::process::id();
    let rest = if ends_in_midline(path) { "\n" } else { "" };
    append(file, &format!("{rest}{MAGIC} realtime={realtime} monotonic={monotonic} role={role} pid={pid}\n"));
    Ok(())
}

/// Whoever wrote here before had no room for its last line: ours are not to be part of that.
fn ends_in_midline(path: &Path) -> bool {
    let mut last = [b'\n'];
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0);
    is_file
        && File::open(path)
            .and_then(|mut file| file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)))
            .is_ok_and(|()| last != [b'\n'])
}

/// The same open file under a high number; under its own where there is none so high.
#[allow(unsafe_code)] // F_DUPFD_CLOEXEC gives a bare number.
pub fn out_of_the_way(fd: OwnedFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    match fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(HIGH_FD)) {
        // SAFETY: fcntl has just made `high`, and nobody else knows of it.
        Ok(high) => unsafe { OwnedFd::from_raw_fd(high) },
        Err(_) => fd,
    }
}

pub fn is_open() -> bool {
    FILE.get().is_some() && !flags().file_ended.load(Ordering::Relaxed)
}

/// The descriptor that a child must keep.
pub fn as_fd() -> Option<BorrowedFd<'static>> {
    FILE.get().map(|(file, _)| file.as_fd())
}

pub fn now() -> i64 {
    micros(ClockId::CLOCK_MONOTONIC)
}

fn micros(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000)
}

/// One record: a call, or a state, which takes no time.
pub fn write(call: &str, note: &str, chapter: &str, began: i64, took: Option<i64>) {
    let Some(file) = FILE.get().filter(|_| is_open()) else { return };
    let (role, pid) = (who::role(), who::pid());
    let took = took.map_or(String::new(), |took| took.to_string());
    append(file, &format!("{began}\t{role}\t{pid}\t{call}\t{took}\t{note}\t{chapter}\n"));
}

fn append((file, path): &(File, PathBuf), line: &str) {
    let Err(error) = append_all(&mut &*file, line.as_bytes()) else { return };
    if !flags().file_ended.swap(true, Ordering::Relaxed) {
        log::warn!("trace file {}: {}: the trace ends here", path.display(), describe(errno_of(&error)));
    }
}

/// All of a line, to a file that may be a pipe and does not block.
pub fn append_all(file: &mut (impl Write + AsFd), mut line: &[u8]) -> io::Result<()> {
    let (mut left, mut regained) = (PATIENCE_LEFT_US.load(Ordering::Relaxed), REGAINED_US);
    let written = loop {
        match file.write(line) {
            Ok(n) if n == line.len() => break Ok(()),
            Ok(n) => line = &line[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left > 0 => {
                (left, regained) = (left - wait_for_room(file, left), 0);
            }
            Err(error) => {
                regained = 0;
                break Err(error);
            }
        }
    };
    PATIENCE_LEFT_US.store((left + regained).min(PATIENCE_US), Ordering::Relaxed);
    written
}

/// Waits, but no longer than that; returns how long it was.
fn wait_for_room(file: &impl AsFd, at_most_us: i64) -> i64 {
    let began = now();
    let mut room = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    let ms = u16::try_from(at_most_us / 1000 + 1).unwrap_or(u16::MAX);
    let _ = poll(&mut room, PollTimeout::from(ms));
    (now() - began).max(1)
}
