//! A server that runs: started, found listening, and ended with all that it has started.
#![allow(unsafe_code)] // Between fork and exec: the server ends when the bench does.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::command::Job;
use super::nodelay;
use super::{Peer, Place, Serves};
use crate::failure::{Failure, Result, failed};
use crate::instructions::PROGRAM;
use crate::proc::children;

const START_MS: u16 = 10_000;
const GOODBYE: Duration = Duration::from_secs(3);

pub struct Server {
    pub addr: SocketAddr,
    pub tls: bool,
    /// From its start until its port was open.
    pub ready_after: Duration,
    running: Running,
}

impl Server {
    pub fn start(peer: Peer, serves: Serves, tls: bool, place: &Place) -> Result<Server> {
        let (mut job, mut running) = (Job { serves, tls, place, port: free_port()?, behind: 0 }, Running::default());
        if peer == Peer::Stunnel {
            let plain = Job { tls: false, ..job };
            job.behind = running.start(plain.command(Peer::Bare)?, Peer::Bare, &plain)?;
        }
        let start = Instant::now();
        let port = running.start(job.command(peer)?, peer, &job)?;
        let ready_after = start.elapsed();
        if let (true, Some(server)) = (peer.wants_nodelay(), running.children.last()) {
            nodelay::set(server.id() as i32)?;
        }
        Ok(Server { addr: (Ipv4Addr::LOCALHOST, port).into(), tls, ready_after, running })
    }

    /// A plain echo whose instructions are counted, into files in `dir`, one for each process.
    pub fn counted(peer: Peer, dir: &Path, place: &Place) -> Result<Server> {
        let job = Job { serves: Serves::Echo, tls: false, place, port: 0, behind: 0 };
        let (server, mut command, mut running) = (job.command(peer)?, Command::new(PROGRAM), Running::default());
        command.args(["--tool=callgrind", &format!("--callgrind-out-file={}/%p", dir.display())]);
        command.arg(server.get_program()).args(server.get_args());
        command.arg("--no-sandbox"); // valgrind makes calls of its own in the child
        let start = Instant::now();
        let port = running.start(command, peer, &job)?;
        Ok(Server { addr: (Ipv4Addr::LOCALHOST, port).into(), tls: false, ready_after: start.elapsed(), running })
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = self.running.log.as_ref().and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().last().unwrap_or_default().into()
    }
}

/// Its processes, which end with it.
#[derive(Default)]
struct Running {
    children: Vec<Child>,
    /// Kept open: a server that says more is not to die of it.
    said: Vec<ChildStdout>,
    log: Option<std::path::PathBuf>,
}

impl Running {
    /// Starts it and waits until it listens; returns its port.
    fn start(&mut self, mut command: Command, peer: Peer, job: &Job<'_>) -> Result<u16> {
        let log = job.place.dir.join(format!("{}.log", peer.name()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        self.log = Some(log);
        // SAFETY: prctl() alone, which is async-signal-safe.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?)) };
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| Failure::new(format!("{program}: {error}")))?;
        let said = child.stdout.take();
        self.children.push(child);
        let port = match (peer.program(), said) {
            (None, Some(said)) => {
                let port = port_said(&said)?;
                self.said.push(said);
                port
            }
            _ => wait_for_port(job.port)?,
        };
        Ok(port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &self.children {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        }
        let until = Instant::now() + GOODBYE;
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // What it has left behind has become ours (PR_SET_CHILD_SUBREAPER).
        while let Some(left) = children(std::process::id()).first() {
            let _ = kill(Pid::from_raw(*left as i32), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(*left as i32), None);
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// From the ready line, of whichever words.
fn port_said(said: &ChildStdout) -> Result<u16> {
    let mut ready = [PollFd::new(said.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::from(START_MS))? == 0 {
        return failed("the server does not say that it is ready");
    }
    let mut line = String::new();
    BufReader::new(File::from(said.as_fd().try_clone_to_owned()?)).read_line(&mut line)?;
    let digits = line.split_once("127.0.0.1:").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
    match digits.flatten().and_then(|digits| digits.parse().ok()) {
        Some(port) => Ok(port),
        None => failed(format!("the server says no port: {line:?}")),
    }
}

/// Without a connection to it: a chat would count that as a guest.
fn wait_for_port(port: u16) -> Result<u16> {
    let local = format!(" 0100007F:{port:04X} ");
    let until = Instant::now() + Duration::from_millis(START_MS.into());
    loop {
        let sockets = std::fs::read_to_string("/proc/net/tcp")?;
        let listens = |line: &str| line.contains(&local) && line.split_whitespace().nth(3) == Some("0A"); // TCP_LISTEN
        if sockets.lines().any(listens) {
            return Ok(port);
        }
        if Instant::now() > until {
            return failed("the server does not listen");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
