//! Many connections of the load in one epoll loop; one is `../support/conn.rs`.

use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

pub use crate::conn::{Conn, PATIENCE, client_context};
use crate::failure::{Result, failed};

/// So often a thread looks whether another has failed.
const LOOK_MS: u16 = 100;
const EVENTS: usize = 64;

/// Says "I have said all", and reads what is still to come, which must be nothing.
pub fn finish(mut conn: Conn) -> Result<()> {
    let _ = conn.end(); // a server that has ended first is heard in what follows
    match conn.read(&mut [0; 64])? {
        Some(0) => Ok(()),
        Some(len) => failed(format!("{len} bytes more than were sent")),
        None => failed("no end of the connection"),
    }
}

/// Waits for any of many connections. Edge-triggered: who is told of one works on it until it would wait.
pub struct Waiting {
    epoll: Epoll,
    events: [EpollEvent; EVENTS],
    quiet_ms: u16,
}

impl Waiting {
    pub fn new() -> Result<Waiting> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Waiting { epoll, events: [EpollEvent::empty(); EVENTS], quiet_ms: 0 })
    }

    pub fn add(&self, what: impl AsFd, number: usize) -> Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(what, EpollEvent::new(flags, number as u64))?)
    }

    /// The numbers of those that are ready; none after a while. That nothing at all comes any more is a failure.
    pub fn ready(&mut self) -> Result<impl Iterator<Item = usize> + use<'_>> {
        let count = match self.epoll.wait(&mut self.events, LOOK_MS) {
            Err(nix::Error::EINTR) => 0,
            result => result?,
        };
        self.quiet_ms = if count > 0 { 0 } else { self.quiet_ms + LOOK_MS };
        if u128::from(self.quiet_ms) > PATIENCE.as_millis() {
            return failed("nothing comes back any more");
        }
        Ok(self.events[..count].iter().map(|event| event.data() as usize))
    }
}
