//! Programs under strace that also tell their calls themselves, and the pair of transcripts that comes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::compare::{Difference, compare};
use super::strace::{self, Watched};
use super::trace::{self, Form};
use crate::support::program::Program;
use crate::support::{BIN, Finished, Server, eventually, run};

/// What strace looks at: the network, what makes processes and threads, and what could be done with a
/// socket as with any other descriptor.
const CALLS: &str = "trace=%net,fork,vfork,clone,clone3,close,close_range,fcntl,read,write,readv,writev,\
                     dup,dup2,dup3,ioctl,sendfile";

/// More than any buffer: strace is to cut nothing.
const ALL_BYTES: &str = "1000000";

/// A play of several programs.
pub struct Scene {
    dir: tempfile::TempDir,
    form: Form,
    roles: RefCell<Vec<&'static str>>,
    told: RefCell<String>,
}

impl Scene {
    pub fn new(form: Form) -> Scene {
        Scene { dir: tempfile::tempdir().unwrap(), form, roles: RefCell::default(), told: RefCell::default() }
    }

    /// `sockstep ROLE ARGS --trace` under `strace -ff`, which is not its parent (-D).
    fn command(&self, role: &'static str, inject: &[&str], args: &[&str]) -> Command {
        let number = self.roles.borrow().len();
        self.roles.borrow_mut().push(role);
        let mut command = Command::new("strace");
        command.args(["-D", "-ff", "-ttt", "-T", "-xx", "-s", ALL_BYTES, "-a1", "-e", "signal=none", "-e", CALLS]);
        command.args(inject).arg("-o").arg(self.dir.path().join(number.to_string()));
        command.arg(BIN).arg(role).args(args);
        match self.form {
            Form::Lines => command.arg("--trace"),
            Form::File => command.arg(format!("--trace={}", self.file().display())),
        };
        command
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("trace")
    }

    pub fn server(&self, listen: &str, args: &[&str]) -> Server {
        Server::from_command(self.command("server", &[], &[&["--listen", listen], args].concat()))
    }

    /// A server whose calls fail as strace is told: `accept4:error=EINTR:when=1`.
    pub fn failing_server(&self, how: &[&str], args: &[&str]) -> Server {
        let how: Vec<String> = how.iter().map(|how| format!("inject={how}")).collect();
        let inject: Vec<&str> = how.iter().flat_map(|how| ["-e", how]).collect();
        Server::from_command(self.command("server", &inject, &[&["--listen", "127.0.0.1:0"], args].concat()))
    }

    /// A server that does not come as far as to be ready.
    pub fn failed_server(&self, args: &[&str]) -> Finished {
        self.heard(run(&mut self.command("server", &[], args), b""))
    }

    /// A client that reads `input` to its end.
    pub fn client(&self, addr: &str, args: &[&str], input: &[u8]) -> Finished {
        self.heard(run(&mut self.command("client", &[], &[&["--connect", addr], args].concat()), input))
    }

    /// A client that is talked with.
    pub fn talker(&self, addr: &str, args: &[&str]) -> Program {
        Program::start(&mut self.command("client", &[], &[&["--connect", addr], args].concat()))
    }

    /// Waits for the end of a talker.
    pub fn end(&self, talker: Program) -> Finished {
        self.heard(talker.end())
    }

    fn heard(&self, finished: Finished) -> Finished {
        self.told.borrow_mut().push_str(&finished.err);
        finished
    }

    /// Ends a server by SIGTERM; it must end well.
    pub fn stop(&self, mut server: Server) {
        server.signal(Signal::SIGTERM);
        assert!(server.wait().success());
        self.told.borrow_mut().push_str(&server.whole_log());
    }

    /// Both transcripts, once everybody has ended.
    pub fn pair(self) -> Pair {
        let roles = self.roles.borrow().clone();
        let watched = |(number, role): (usize, &&'static str)| Watched { role, texts: self.texts(number) };
        let programs: Vec<Watched> = roles.iter().enumerate().map(watched).collect();
        let told = match self.form {
            Form::Lines => self.told.into_inner(),
            Form::File => std::fs::read_to_string(self.dir.path().join("trace")).unwrap(),
        };
        Pair { programs, told, form: self.form }
    }

    /// What strace has written of program `number`: complete when every thread's text says how it ended.
    fn texts(&self, number: usize) -> BTreeMap<i32, String> {
        let mut texts = BTreeMap::new();
        eventually("the end of strace", || {
            texts = read_texts(self.dir.path(), &format!("{number}."));
            let ended = |text: &String| text.trim_end().ends_with(" +++");
            let born: Vec<i32> = texts.values().flat_map(|text| strace::born(text)).collect();
            !texts.is_empty() && texts.values().all(ended) && born.iter().all(|tid| texts.contains_key(tid))
        });
        texts
    }
}

fn read_texts(dir: &Path, prefix: &str) -> BTreeMap<i32, String> {
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let tid = path.file_name().and_then(|name| name.to_str()?.strip_prefix(prefix)?.parse().ok());
        if let Some(tid) = tid {
            texts.insert(tid, std::fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// What strace has seen and what the trace has told, as text.
#[derive(Clone)]
pub struct Pair {
    pub programs: Vec<Watched>,
    pub told: String,
    pub form: Form,
}

impl Pair {
    pub fn trace(&self) -> Result<super::Transcript, String> {
        trace::read(&self.told, self.form)
    }

    pub fn strace(&self) -> Result<super::Transcript, String> {
        strace::read(&self.programs, self.form == Form::File)
    }

    /// Holds the two together; the trace must tell of each of these calls.
    pub fn assert_same(&self, calls: &[&str]) {
        let (trace, strace) = (self.trace().unwrap(), self.strace().unwrap());
        let same = compare(&trace, &strace).unwrap_or_else(|difference: Box<Difference>| panic!("{difference}"));
        assert!(same >= calls.len());
        let told = || trace.values().flat_map(|process| &process.calls);
        for call in calls {
            assert!(told().any(|entry| entry.found.contains(call)), "no {call} in the trace:\n{}", self.told);
        }
    }
}
