//! What the parent keeps of a client: the relay end, and who runs behind it.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::epoll::EpollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::ending::Ending;
use crate::logging::write_down;
use crate::relay::{Id, Offence, ParentEnd};
use crate::sandbox;
use crate::traffic::Traffic;

/// At info and above a child of ours has a handful of lines to say in its life. Whoever says more fills the disk.
const MOST_LINES: u32 = 100;

/// Who serves the connection.
pub enum Runner {
    Process(Pid),
    /// Under --no-fork: a thread of the parent.
    Thread(JoinHandle<Ending>),
    /// A thread that is left to its last words.
    Over,
}

pub struct Client {
    /// `None` when the child's last word has been read, or the child was cut off.
    pub end: Option<ParentEnd>,
    pub runner: Runner,
    /// The process that serves it; our own under --no-fork.
    pub pid: Pid,
    pub peer: SocketAddr,
    pub since: Instant,
    /// Its TLS handshake is not over yet.
    pub handshaking: bool,
    /// Where its child counts.
    pub traffic: Option<&'static Traffic>,
    /// The child's queue is full: nothing is sent to it until epoll says that there is room.
    pub full: bool,
    /// The hub has no room: nothing is read from the child until it has.
    pub unheard: bool,
    /// Has been told that no more packets come.
    pub finished: bool,
    /// Lines for the log at info and above that its child has handed over.
    lines: u32,
    /// epoll knows of the relay end.
    pub watched: bool,
}

impl Client {
    pub fn new(
        end: ParentEnd,
        runner: Runner,
        traffic: Option<&'static Traffic>,
        peer: SocketAddr,
        tls: bool,
        since: Instant,
    ) -> Client {
        let pid = if let Runner::Process(pid) = runner { pid } else { Pid::this() };
        Client {
            end: Some(end),
            runner,
            pid,
            peer,
            since,
            handshaking: tls,
            traffic,
            full: false,
            unheard: false,
            finished: false,
            lines: 0,
            watched: false,
        }
    }

    /// What epoll is to watch for on the relay end.
    pub fn interest(&self) -> EpollFlags {
        let mut interest = EpollFlags::empty();
        interest.set(EpollFlags::EPOLLIN, !self.unheard);
        interest.set(EpollFlags::EPOLLOUT, self.full);
        interest
    }

    /// The child process, which has not been waited for: its pid cannot be another's yet.
    pub fn process(&self) -> Option<Pid> {
        if let Runner::Process(pid) = self.runner { Some(pid) } else { None }
    }

    /// Writes a line down that its child has handed over.
    pub fn write_down(&mut self, id: Id, packet: &[u8]) -> Result<(), Offence> {
        let level = write_down(packet, id, self.pid.as_raw()).ok_or(Offence("malformed line for the log"))?;
        self.lines += u32::from(level <= log::Level::Info);
        if self.lines > MOST_LINES { Err(Offence("more lines for the log than a child has to say")) } else { Ok(()) }
    }

    pub fn kill(&self) {
        if let Some(pid) = self.process() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// A child's end in words, for the log.
pub fn words(status: WaitStatus, traffic: Option<&Traffic>) -> String {
    match status {
        WaitStatus::Exited(_, sandbox::FORBIDDEN) => {
            let call = traffic.and_then(|traffic| sandbox::reported_in(traffic.forbidden_call()));
            format!("{}: {}", Ending::Forbidden.words(), call.as_deref().unwrap_or("it cannot be said which"))
        }
        WaitStatus::Exited(_, code) => {
            Ending::from_code(code).map_or_else(|| format!("exit code {code}"), |ending| ending.words().into())
        }
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        other => format!("{other:?}"),
    }
}
