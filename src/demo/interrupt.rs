//! Pauses that end when somebody wants to go.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::error::{During, Error};
use crate::signal::Watch;

/// Why a show ends before its end.
#[derive(Debug)]
pub enum Stop {
    Failed(Error),
    By(Signal),
    /// Nobody reads any more: `| head` has seen enough.
    Unheard,
}

pub type Shown<T> = std::result::Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The signals that end the show. They are blocked but here, so that what was started can be ended first.
pub struct Interrupt(Watch);

impl Interrupt {
    pub fn watch() -> Shown<Interrupt> {
        Ok(Interrupt(Watch::for_demo().during("signalfd", "SIGINT, SIGTERM, …")?))
    }

    /// Lasts its time, whatever else happens.
    pub fn pause(&self, time: Duration) -> Shown<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.rest(&[], left)?;
        }
        Ok(())
    }

    /// Until one of these can be read, at most for this time.
    pub fn rest(&self, pipes: &[BorrowedFd<'_>], time: Duration) -> Shown<()> {
        let all = [self.0.as_fd()].into_iter().chain(pipes.iter().copied());
        let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let timeout = PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::Call { call: "poll", object: "demo".into(), errno }.into()),
        }
        self.0.next().map_or(Ok(()), |signal| Err(Stop::By(signal)))
    }
}
