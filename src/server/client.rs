//! What the parent keeps of a client: the relay end, and who runs behind it.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::epoll::EpollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::ending::Ending;
use crate::relay::ParentEnd;
use crate::sandbox;
use crate::traffic::Traffic;

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
    /// Where its child counts.
    pub traffic: Option<&'static Traffic>,
    /// The child's queue is full: nothing is sent to it until epoll says that there is room.
    pub full: bool,
    /// The hub has no room: nothing is read from the child until it has.
    pub unheard: bool,
    /// Has been told that no more packets come.
    pub finished: bool,
    /// epoll knows of the relay end.
    pub watched: bool,
}

impl Client {
    pub fn new(
        end: ParentEnd,
        runner: Runner,
        traffic: Option<&'static Traffic>,
        peer: SocketAddr,
        since: Instant,
    ) -> Client {
        let pid = if let Runner::Process(pid) = runner { pid } else { Pid::this() };
        Client {
            end: Some(end),
            runner,
            pid,
            peer,
            since,
            traffic,
            full: false,
            unheard: false,
            finished: false,
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
