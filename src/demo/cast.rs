//! Everybody on the stage: the server, two clients, and perhaps tcpdump.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::actor::{Actor, end_of, own_words};
use super::interrupt::{Interrupt, Shown};
use super::script::{NAMES, SERVER};
use super::{TRACE, capture};
use crate::cli::{DemoArgs, Stage};
use crate::error::{Error, Result, errno_of};

/// Whatever is waited for comes within this time, or it does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the trace file: nothing tells us that it has grown.
const TICK: Duration = Duration::from_millis(5);
/// A round takes longer than this only when we were stopped (Ctrl-Z); then everybody else was.
const LONGEST_ROUND: Duration = Duration::from_millis(100);
/// For a server that has been told to end.
const GOODBYE: Duration = Duration::from_secs(5);

pub struct Cast<'a> {
    args: &'a DemoArgs,
    directory: PathBuf,
    interrupt: &'a Interrupt,
    program: PathBuf,
    patience: Duration,
    address: Option<SocketAddr>,
    server: Option<Actor>,
    clients: [Option<Actor>; 2],
    /// Bytes of each client's screen that have been shown.
    read: [usize; 2],
    pub(super) tcpdump: Option<Actor>,
}

impl<'a> Cast<'a> {
    pub fn new(args: &'a DemoArgs, directory: &Path, interrupt: &'a Interrupt) -> Result<Cast<'a>> {
        let program = std::env::current_exe().map_err(|error| Error::Call {
            call: "readlink",
            object: "/proc/self/exe".into(),
            errno: errno_of(&error),
        })?;
        Ok(Cast {
            args,
            directory: directory.into(),
            interrupt,
            program,
            patience: PATIENCE,
            address: None,
            server: None,
            clients: [None, None],
            read: [0, 0],
            tcpdump: None,
        })
    }

    /// Starts the server on a port of the kernel's choice, and tcpdump when it is known which.
    pub fn start_server(&mut self) -> Shown<()> {
        let mut command = self.command("server");
        command.args(["--listen", "127.0.0.1:0"]);
        match self.args.stage {
            Stage::Echo => command.args(["--mode", "echo"]),
            Stage::Relay | Stage::Tls => command.args(["--mode", "relay"]),
            Stage::Udp => command.arg("--udp"),
        };
        if let (Stage::Tls, Some(cert), Some(key)) = (self.args.stage, &self.args.cert, &self.args.key) {
            command.arg("--tls").arg("--cert").arg(cert).arg("--key").arg(key);
        }
        self.server = Some(Actor::start(NAMES[SERVER], &mut command)?);
        let address = |cast: &Cast<'_>| cast.server.as_ref()?.out.text().split_once("에서 ")?.0.parse().ok();
        self.wait("the server's ready line", |cast| address(cast).is_some())?;
        self.address = address(self);
        if let (true, Some(address)) = (self.args.capture, self.address) {
            capture::start(self, address.port())?;
        }
        Ok(())
    }

    /// Starts the client of this lane; returns its pid.
    pub fn start_client(&mut self, lane: usize) -> Shown<i32> {
        let mut command = self.command("client");
        command.args(["--connect", &self.address.map(|address| address.to_string()).unwrap_or_default()]);
        match (self.args.stage, &self.args.ca) {
            (Stage::Relay, _) => command.args(["--name", NAMES[lane]]),
            (Stage::Tls, Some(ca)) => command.args(["--name", NAMES[lane], "--tls", "--ca"]).arg(ca),
            (Stage::Udp, _) => command.arg("--udp"),
            _ => &mut command,
        };
        let actor = Actor::start(NAMES[lane], &mut command)?;
        let pid = actor.pid();
        self.clients[lane] = Some(actor);
        Ok(pid)
    }

    /// `sockstep ROLE --trace=FILE`
    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.program);
        let mut trace = std::ffi::OsString::from("--trace=");
        trace.push(self.trace_file());
        command.arg(role).arg(trace);
        command
    }

    pub fn trace_file(&self) -> PathBuf {
        self.directory.join(TRACE)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A line, with its end, in one write(): the client is to find all of it or nothing.
    pub fn type_in(&mut self, lane: usize, words: &str) {
        self.actor(lane).into_iter().for_each(|actor| actor.type_in(&format!("{words}\n")));
    }

    pub fn hang_up(&mut self, lane: usize) {
        self.actor(lane).into_iter().for_each(Actor::hang_up);
    }

    pub fn may_leave(&mut self, lane: usize) {
        self.actor(lane).into_iter().for_each(|actor| actor.may_leave = true);
    }

    pub fn stop_server(&mut self) {
        self.may_leave(SERVER);
        self.actor(SERVER).into_iter().for_each(|actor| actor.signal(Signal::SIGTERM));
    }

    pub fn has_ended(&self, lane: usize) -> bool {
        let actor = if lane == SERVER { self.server.as_ref() } else { self.clients[lane].as_ref() };
        actor.is_some_and(|actor| actor.ended.is_some())
    }

    /// Whether this stands on a client's screen, which nobody has been shown yet.
    pub fn is_on_screen(&self, lane: usize, words: &str) -> bool {
        self.clients[lane].as_ref().is_some_and(|actor| actor.out.lines_from(self.read[lane]).contains(words))
    }

    /// What has come on each client's screen since the last time.
    pub fn new_lines(&mut self) -> [Vec<String>; 2] {
        [0, 1].map(|lane| {
            let Some(actor) = &self.clients[lane] else { return Vec::new() };
            let new = actor.out.lines_from(self.read[lane]);
            self.read[lane] += new.len();
            new.lines().map(String::from).collect()
        })
    }

    fn actor(&mut self, lane: usize) -> Option<&mut Actor> {
        if lane == SERVER { self.server.as_mut() } else { self.clients[lane].as_mut() }
    }

    fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.server.iter().chain(self.clients.iter().flatten())
    }

    /// Waits until it is so. Whoever ends meanwhile without having been told to has failed.
    pub fn wait(&mut self, what: &str, done: impl FnMut(&Cast<'_>) -> bool) -> Shown<()> {
        if self.came(what, self.patience, done)? {
            return Ok(());
        }
        let reason = format!("nothing came in {} s", self.patience.as_secs_f32());
        Err(Error::Demo { waited_for: what.into(), reason }.into())
    }

    /// The same where it is no failure when it does not come.
    pub fn came(&mut self, what: &str, patience: Duration, mut done: impl FnMut(&Cast<'_>) -> bool) -> Shown<bool> {
        let mut left = patience;
        loop {
            let all = self.server.iter_mut().chain(self.clients.iter_mut().flatten()).chain(&mut self.tcpdump);
            all.for_each(Actor::look);
            if done(self) {
                return Ok(true);
            }
            self.actors().try_for_each(|actor| failed(actor, what))?;
            if left.is_zero() {
                return Ok(false);
            }
            let since = Instant::now();
            let pipes: Vec<_> =
                self.actors().chain(&self.tcpdump).flat_map(|one| [one.out.fd(), one.err.fd()]).flatten().collect();
            self.interrupt.rest(&pipes, TICK)?;
            left = left.saturating_sub(since.elapsed().min(LONGEST_ROUND));
        }
    }
}

fn failed(actor: &Actor, what: &str) -> Result<()> {
    let Some(status) = actor.ended.filter(|status| !actor.may_leave || !status.success()) else { return Ok(()) };
    let reason = format!("{} (pid {}) has ended: {}", actor.name, actor.pid(), end_of(status));
    Err(own_words(actor).unwrap_or(Error::Demo { waited_for: what.into(), reason }))
}

/// Clients first: so the server's children end by themselves, and the server with them.
impl Drop for Cast<'_> {
    fn drop(&mut self) {
        self.clients = [None, None];
        for actor in self.server.iter_mut().chain(&mut self.tcpdump) {
            actor.end(Signal::SIGTERM, GOODBYE);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::super::interrupt::Stop;
    use super::*;
    use crate::cli::{Cli, Command as Asked};

    #[test]
    fn what_was_waited_for_in_vain_is_named() {
        let Asked::Demo(args) = Cli::parse_from(["sockstep", "demo"]).command else { panic!("another command") };
        let interrupt = Interrupt::watch().unwrap();
        let mut cast = Cast::new(&args, Path::new("/nowhere"), &interrupt).unwrap();
        cast.patience = Duration::from_millis(20);
        let Err(Stop::Failed(error)) = cast.wait("\"hi\" on the screen of 철수", |_| false) else {
            panic!("it came")
        };
        let said = error.in_full();
        let want = "sockstep: demo: waiting for \"hi\" on the screen of 철수: nothing came in 0.02 s\n힌트: ";
        assert!(said.starts_with(want), "{said}");
    }
}
