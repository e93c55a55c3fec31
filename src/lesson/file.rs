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
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

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
/// How long a line may wait for whoever reads a pipe.
const PATIENCE_MS: u16 = 100;

static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();

/// Opens the file, to append to; it is made when it is not there.
pub fn open(path: &Path, role: &str) -> Result<()> {
    flags();
    let mut options = OpenOptions::new();
    // A FIFO that nobody reads must not hold us, a terminal not become ours.
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let file = options.open(path).map_err(|error| Error::File {
        path: path.into(),
        what: "trace file",
        reason: describe(errno_of(&error)),
        hint: "트레이스를 기록할 파일의 경로와 쓰기 권한을 확인하십시오. 디렉터리는 미리 만들어 두어야 합니다.".into(),
    })?;
    let file = FILE.get_or_init(|| (File::from(out_of_the_way(file.into())), path.to_path_buf()));
    let (realtime, monotonic) = (micros(ClockId::CLOCK_REALTIME), micros(ClockId::CLOCK_MONOTONIC));
    let pid = std::process::id();
    append(file, &format!("{MAGIC} realtime={realtime} monotonic={monotonic} role={role} pid={pid}\n"));
    Ok(())
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
pub fn raw_fd() -> Option<RawFd> {
    FILE.get().map(|(file, _)| file.as_raw_fd())
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
    let Err(error) = append_all(file, line.as_bytes()) else { return };
    if !flags().file_ended.swap(true, Ordering::Relaxed) {
        log::warn!("trace file {}: {}: the trace ends here", path.display(), describe(errno_of(&error)));
    }
}

fn append_all(mut file: &File, mut line: &[u8]) -> io::Result<()> {
    let mut may_wait = true;
    while !line.is_empty() {
        match file.write(line) {
            Ok(n) => line = &line[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && may_wait => {
                may_wait = false;
                let mut room = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut room, PollTimeout::from(PATIENCE_MS));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
