//! Errors that cannot be had safely on a machine that others use: strace(1) puts them in the place of what the kernel
//! would answer, in a server that runs already.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::daemon::status_of;
use super::eventually;

/// strace at one process, but not at its children; it lets go when this is dropped.
pub struct Injection {
    strace: Child,
    pid: i32,
    seen: tempfile::NamedTempFile,
}

impl Injection {
    /// `what` as in `strace -e inject=WHAT`; `also`: calls that are written down besides. `None`, and it is said why, where
    /// strace may not look into the process.
    pub fn of(what: &str, also: &str, pid: i32) -> Option<Injection> {
        let seen = tempfile::NamedTempFile::new().unwrap();
        let calls = what.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args(["-qq", "-s0", "-e", &format!("trace={calls}{also}"), "-e", &format!("inject={what}"), "-o"]);
        command.arg(seen.path()).args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut injection = Injection { strace: command.spawn().unwrap(), pid, seen };
        let mut ended = None;
        eventually("strace", || {
            ended = injection.strace.try_wait().unwrap();
            ended.is_some() || injection.is_there()
        });
        match ended {
            None => Some(injection),
            Some(status) => {
                eprintln!("skipped: strace may not look into the server: {status}");
                None
            }
        }
    }

    fn is_there(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
            && status_of(self.pid, "TracerPid") == self.strace.id().to_string()
    }

    /// What has been written down so far.
    pub fn seen(&self) -> String {
        std::fs::read_to_string(self.seen.path()).unwrap()
    }

    /// Lets go of the process; all that was written down.
    pub fn end(mut self) -> String {
        let _ = kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGINT);
        self.strace.wait().unwrap();
        self.seen()
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        if let Ok(None) = self.strace.try_wait() {
            let _ = kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGINT); // SIGKILL would let go as well, but later
            let _ = self.strace.wait();
        }
    }
}
