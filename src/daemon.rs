//! A daemon: a process without a terminal, that nobody waits for, and that says when it is ready.
//!
//! ```text
//! starter: bind, listen ── fork ──┬─ waits for the word ───────────────▶ prints it, exits
//!                       middle:   └ setsid ── fork ──┬─ exits
//!                       daemon:                      └ chdir, umask, PID file, "ready" ── serves
//! ```
//!
//! setsid() leads a session of its own, which has no terminal; the second fork() makes a process
//! that does not lead it, so that no open() of a terminal can ever make one its own.
//!
//! ```text
//! pid_file.rs   one daemon a PID file: a lock, and what the file says
//! privilege.rs  from root to a user, and no way back
//! proc.rs       what /proc says of a process
//! control.rs    status, stop, reload: a look and a signal from outside
//! ```
//!
//! - Notes: notes/13-daemon.md
//! - Manual: daemon(7), setsid(2), fork(2), umask(2), credentials(7)
//! - Try: sleep 100 & ps -o pid,ppid,sid,tty,comm -C sleep,sockstep   (who has a terminal?)

mod control;
mod pid_file;
mod privilege;
pub mod proc;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

pub use self::control::{reload, status, stop};
pub use self::pid_file::PidFile;
pub use self::privilege::User;
use crate::error::{During, Error, Result, errno_of};
use crate::lifecycle::{close_all_but, exit_at_once, fork};

/// The daemon's word to its starter, before its pid.
const READY: &str = "ready ";
/// Files that the daemon makes are not for the world.
const UMASK: Mode = Mode::from_bits_truncate(0o027);

/// Who one is after [`detach`].
pub enum Side {
    Starter(Starting),
    Daemon(Ready),
}

/// The starter's hope that a daemon comes up.
pub struct Starting {
    middle: Pid,
    word: File,
}

/// The daemon's duty to tell its starter.
pub struct Ready(File);

/// Closes what the starter's starter left open (a jobserver of make, a pipe of a script): a daemon
/// would hold it for as long as it lives. To be called before anything is opened.
pub fn close_inherited() -> Result<()> {
    close_all_but(&mut []).during("close_range", "3, ~0")
}

/// fork(), setsid(), fork(), chdir("/"), umask(): afterwards there are two of us.
pub fn detach() -> Result<Side> {
    let (word, to_starter) = pipe2(OFlag::O_CLOEXEC).during("pipe2", "")?;
    if let Some(middle) = fork().during("fork", "daemon")? {
        drop(to_starter); // the end of file is news as well
        return Ok(Side::Starter(Starting { middle, word: word.into() }));
    }
    drop(word);
    let ready = Ready(to_starter.into());
    match leave_session() {
        Ok(None) => Ok(Side::Daemon(ready)),
        Ok(Some(_)) => exit_at_once(0), // the middle one has done its part
        Err(error) => {
            ready.tell_failure(&error);
            exit_at_once(1)
        }
    }
}

/// `Some` in the process that leads the new session, `None` in its child, which does not.
fn leave_session() -> Result<Option<Pid>> {
    // [13.setsid]
    setsid().during("setsid", "")?;
    let child = fork().during("fork", "daemon")?;
    if child.is_none() {
        umask(UMASK);
        chdir("/").during("chdir", "/")?; // no file system must stay mounted for our sake
    }
    Ok(child)
}

impl Starting {
    /// Waits until the daemon is ready, and returns its pid; or says why it is not.
    pub fn wait(mut self) -> Result<i32> {
        let mut word = String::new();
        self.word.read_to_string(&mut word).map_err(|error| errno_of(&error)).during("read", "pipe of the daemon")?;
        let _ = waitpid(self.middle, None); // nobody else does; ECHILD where SIGCHLD is ignored
        match word.strip_prefix(READY).map(|pid| pid.trim().parse()) {
            Some(Ok(pid)) => Ok(pid),
            _ if word.is_empty() => Err(Error::Refused {
                what: "daemon".into(),
                reason: "ended before it was ready".into(),
                hint: "데몬 프로세스가 준비를 마치기 전에 끝났습니다. 로그를 확인하십시오.".into(),
            }),
            _ => Err(Error::Told(word)),
        }
    }
}

impl Ready {
    /// Ready, or not: the starter is told. A daemon that is ready has let go of the terminal.
    pub fn report<T>(self, outcome: Result<T>) -> Result<T> {
        let ready = outcome.and_then(|value| {
            let_go_of_standard_files()?;
            // [13.ready]
            let told = write!(&self.0, "{READY}{}", std::process::id());
            // EPIPE: it was stopped, and nobody would know of us.
            told.map_err(|error| errno_of(&error)).during("write", "pipe to the starter").map(|()| value)
        });
        ready.map_err(|error| {
            log::error!("not started: {error}");
            self.tell_failure(&error);
            Error::Told(String::new()) // by the starter, not by us as well
        })
    }

    fn tell_failure(&self, error: &Error) {
        let _ = (&self.0).write_all(error.in_full().as_bytes()); // a starter that was stopped does not want to know
    }
}

/// 0, 1 and 2 lead nowhere: neither the terminal nor a pipe of the starter's is held any longer.
fn let_go_of_standard_files() -> Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| errno_of(&error)).during("open", "/dev/null")?;
    dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null)).during("dup2", "/dev/null")
}
