//! A process of the show: started here, ended here at the latest.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use crate::error::{During, Error, Result, errno_of};

/// Between two looks at a process that has been told to end.
const LOOK: Duration = Duration::from_millis(5);

pub struct Actor {
    pub name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    pub out: Tap,
    pub err: Tap,
    /// Its end, once it is known.
    pub ended: Option<ExitStatus>,
    /// It has been told to end, so its end is no accident.
    pub may_leave: bool,
}

/// What comes out of a process, as far as it has come.
pub struct Tap {
    pipe: Option<File>,
    heard: Vec<u8>,
}

impl Actor {
    pub fn start(name: &str, command: &mut Command) -> Result<Actor> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        alone(command);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| errno_of(&error)).during("execve", program)?;
        let (out, err) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
        let (stdin, out, err) = (child.stdin.take(), Tap::of(out), Tap::of(err));
        let actor = Actor { name: name.into(), child, stdin, out, err, ended: None, may_leave: false };
        for pipe in [actor.out.fd(), actor.err.fd()].into_iter().flatten() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).during("fcntl", "pipe")?;
        }
        Ok(actor)
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Whoever has gone hears nothing; that it has gone is noticed where something is waited for.
    pub fn type_in(&mut self, words: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(words.as_bytes());
        }
    }

    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Takes what has come, and its end.
    pub fn look(&mut self) {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.out.listen();
        self.err.listen();
    }

    /// To this process and no other: it has not been waited for, so its pid is still its own.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended.is_none() {
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// Asks it to end, and makes it when it does not.
    pub fn end(&mut self, signal: Signal, patience: Duration) {
        self.signal(signal);
        let until = Instant::now() + patience;
        while self.ended.is_none() && Instant::now() < until {
            std::thread::sleep(LOOK);
            self.look();
        }
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL, Duration::ZERO);
    }
}

impl Tap {
    fn of(pipe: Option<OwnedFd>) -> Tap {
        Tap { pipe: pipe.map(File::from), heard: Vec::new() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// The lines that have come whole, from this byte on.
    pub fn lines_from(&self, from: usize) -> &str {
        let new = self.heard.get(from..).unwrap_or_default();
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        std::str::from_utf8(&new[..whole]).unwrap_or_default()
    }

    /// The descriptor to wait for, until the other side has gone.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    fn listen(&mut self) {
        let mut buf = [0; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buf) {
                Ok(n @ 1..) => self.heard.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }
}

/// The kernel ends the process when we are gone, however we went. And it begins with three descriptors: who has
/// started us may have left us more of them (make does), and a class expects a listener under number 3.
#[allow(unsafe_code)] // what runs between fork() and execve() must be safe there
fn alone(command: &mut Command) {
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        // It died before the line above could tell the kernel.
        if getppid() != parent {
            return Err(std::io::Error::from(nix::errno::Errno::ESRCH));
        }
        // SAFETY: no memory is touched; the flag only makes execve() close them. Before Linux 5.11 they stay open.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    // SAFETY: prctl(), getppid() and close_range() are all that is called, and none takes a lock or memory.
    unsafe { command.pre_exec(prepare) };
}

/// Why a process has ended, in the words of wait(2).
pub fn end_of(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal().and_then(|number| Signal::try_from(number).ok())) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => signal.as_str().to_string(),
        (None, None) => "an unknown signal".to_string(),
    }
}

/// What a process that has failed said of it; `None` when it is nothing that a person should read first.
pub fn own_words(actor: &Actor) -> Option<Error> {
    let said = actor.err.text();
    let from = said.find("sockstep: ").filter(|at| *at == 0 || said.as_bytes()[at - 1] == b'\n')?;
    Some(Error::Told(said[from..].to_string()))
}
