//! `status`, `stop`, `reload`: a daemon seen from outside, and told what to do by signals.
//!
//! Whom a signal goes to is what the kernel says of the PID file's lock, not what the file says; and it
//! goes through a pidfd, which never means another process than it did when it was opened.
//!
//! - Notes: notes/13-daemon.md
//! - Manual: pidfd_open(2), pidfd_send_signal(2), signal(7)
//! - Standard: LSB 3.1, Init Script Actions (the exit codes 3, 4 and 7)

use std::io::{self, Write, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, User};

use super::pid_file::{holder, remove_stale};
use super::proc;
use crate::error::{During, Error, Result};
use crate::text::width;

/// What a command answers with when no daemon runs.
const NOT_RUNNING: u8 = 3;
const NOT_RUNNING_FOR_AN_ACTION: u8 = 7;
/// A daemon ends within 5 s of SIGTERM; after this, something is wrong.
const STOP_MS: u16 = 10_000;
/// Columns of the first two columns of the table.
const COLUMNS: (usize, usize) = (16, 36);

/// Prints what can be seen of the daemon, and where. Exit code 0 when it runs, 3 when it does not.
pub fn status(pid_file: &Path) -> Result<u8> {
    let Some(pid) = holder(pid_file)? else {
        say(&not_running(pid_file));
        return Ok(NOT_RUNNING);
    };
    say("데몬이 실행 중입니다.");
    let stat = proc::stat(pid);
    let of_stat = |value: fn(&proc::Stat) -> String| stat.as_ref().map(value).map_err(|error| error.kind().into());
    let place = |file: &str| format!("/proc/{pid}/{file}");
    row("PID", Ok(pid.to_string()), &format!("{}의 잠금, fcntl(F_GETLK)", pid_file.display()));
    row("PPID", of_stat(|stat| stat.ppid.to_string()), &(place("stat") + "의 4번째 값"));
    row("세션", of_stat(|stat| stat.session.to_string()), &(place("stat") + "의 6번째 값"));
    let terminal = of_stat(|stat| stat.terminal().unwrap_or_else(|| "없음".into()));
    row("제어 터미널", terminal, &(place("stat") + "의 7번째 값"));
    row("작업 디렉터리", proc::cwd(pid).map(|dir| dir.display().to_string()), &place("cwd"));
    row("UID", proc::uid(pid).map(user_name), &(place("status") + "의 Uid"));
    row("포트", listening(pid), &format!("/proc/{pid}/fd와 /proc/{pid}/net의 tcp, udp"));
    row("시작 시각", stat.and_then(|stat| stat.started()).map(since), &(place("stat") + "의 22번째 값"));
    row("클라이언트", clients(pid), &place(&format!("task/{pid}/children")));
    Ok(0)
}

/// SIGTERM, and waits until the process is gone. Nothing to stop is a success.
pub fn stop(pid_file: &Path) -> Result<u8> {
    let Some((pid, process)) = signal(pid_file, Signal::SIGTERM)? else {
        say(&not_running(pid_file));
        remove_stale(pid_file);
        return Ok(0);
    };
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)]; // readable when the process has ended
    while let Err(errno) = poll(&mut fds, PollTimeout::from(STOP_MS)) {
        if errno != Errno::EINTR {
            return Err(errno).during("poll", "pidfd");
        }
    }
    if fds[0].any() != Some(true) {
        return Err(Error::Refused {
            what: format!("pid {pid}"),
            reason: "has not ended 10 s after SIGTERM".into(),
            hint: format!("로그를 확인하십시오. 마지막 수단은 `kill -KILL {pid}`입니다.").into(),
        });
    }
    remove_stale(pid_file); // a daemon that has given up its rights may not remove it itself
    say(&format!("데몬을 멈췄습니다 (PID {pid}, SIGTERM)."));
    Ok(0)
}

/// SIGHUP: certificate and log are opened anew. What came of it is in the daemon's log.
pub fn reload(pid_file: &Path) -> Result<u8> {
    let Some((pid, _)) = signal(pid_file, Signal::SIGHUP)? else {
        say(&not_running(pid_file));
        return Ok(NOT_RUNNING_FOR_AN_ACTION);
    };
    say(&format!("데몬에 SIGHUP을 보냈습니다 (PID {pid}). 인증서와 로그 파일을 다시 엽니다. 결과는 로그에 남습니다."));
    Ok(0)
}

/// Signals the process that holds the file. `None` when nobody does.
fn signal(pid_file: &Path, signal: Signal) -> Result<Option<(Pid, OwnedFd)>> {
    while let Some(pid) = holder(pid_file)? {
        let process = match pidfd_open(pid) {
            Err(Errno::ESRCH) => continue, // it has ended just now
            result => result.during("pidfd_open", pid)?,
        };
        if holder(pid_file)? == Some(pid) {
            return match pidfd_send_signal(process.as_fd(), signal) {
                Err(Errno::ESRCH) => Ok(None),
                sent => sent.during("pidfd_send_signal", format!("{pid}, {signal}")).map(|()| Some((pid, process))),
            };
        }
    }
    Ok(None)
}

#[allow(unsafe_code)] // neither nix nor libc has a function for it.
fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: takes two integers and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: pidfd_open has just made `fd`, close-on-exec, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[allow(unsafe_code)] // neither nix nor libc has a function for it.
fn pidfd_send_signal(process: BorrowedFd<'_>, signal: Signal) -> nix::Result<()> {
    let (fd, signal) = (process.as_raw_fd(), signal as i32);
    // SAFETY: without a siginfo (NULL) the kernel reads nothing of ours.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0_usize, 0) }).map(drop)
}

fn not_running(pid_file: &Path) -> String {
    match pid_file.symlink_metadata() {
        Ok(_) => {
            format!("실행 중인 데몬이 없습니다. PID 파일 {}의 잠금을 가진 프로세스가 없습니다.", pid_file.display())
        }
        Err(_) => format!("실행 중인 데몬이 없습니다. PID 파일 {}도 없습니다.", pid_file.display()),
    }
}

/// One row: what it is, its value, and where that can be seen.
fn row(name: &str, value: io::Result<String>, place: &str) {
    let value = value.unwrap_or_else(|error| match error.kind() {
        // Who has been root is not to be looked into, not even by the user that it is now (proc(5), dumpable).
        io::ErrorKind::PermissionDenied => "알 수 없음 (root로 확인하십시오)".into(),
        _ => format!("알 수 없음 ({error})"),
    });
    say(&format!("  {}{} {place}", padded(name, COLUMNS.0), padded(&value, COLUMNS.1)));
}

/// Filled up to so many columns; Hangul takes two each.
fn padded(text: &str, columns: usize) -> String {
    let used: usize = text.chars().map(width).sum();
    text.to_string() + &" ".repeat(columns.saturating_sub(used))
}

fn user_name(uid: nix::unistd::Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{uid} ({})", user.name),
        _ => uid.to_string(),
    }
}

fn listening(pid: Pid) -> io::Result<String> {
    let sockets: Vec<String> = proc::listening(pid)?.iter().map(ToString::to_string).collect();
    Ok(if sockets.is_empty() { "없음".into() } else { sockets.join(", ") })
}

fn clients(pid: Pid) -> io::Result<String> {
    let udp = proc::listening(pid).is_ok_and(|sockets| sockets.iter().any(|socket| socket.protocol == "UDP"));
    if udp {
        Ok("없음 (UDP에는 연결이 없습니다)".into())
    } else {
        proc::helpers(pid).map(|count| format!("{count}명"))
    }
}

/// `2026-11-24 14:50:16 (3분 12초 전)`
fn since(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or(Duration::ZERO).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let ago = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}초"),
        (0, 0, _) => format!("{minutes}분 {}초", seconds % 60),
        (0, _, _) => format!("{hours}시간 {minutes}분"),
        _ => format!("{days}일 {hours}시간"),
    };
    format!("{} ({ago} 전)", local_time(time))
}

/// By the clock on the wall, as `date '+%F %T'` prints it.
#[allow(unsafe_code)] // std knows no time zones.
fn local_time(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid until the call returns; all-zero is a valid `tm` if it fails.
    let tm = unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    let (year, month) = (tm.tm_year + 1900, tm.tm_mon + 1);
    format!("{year}-{month:02}-{:02} {:02}:{:02}:{:02}", tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec)
}

fn say(words: &str) {
    let _ = writeln!(stdout(), "{words}"); // nobody may be reading
}
