//! Where a child sleeps: ppoll() on its two sockets, and the only place where SIGTERM gets through:
//! when no socket is ready, as ppoll(2) sees to the sockets first.
//!
//! - Manual: ppoll(2), malloc_trim(3)

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use crate::lesson;

/// Asking for nothing still reports POLLERR and POLLHUP; POLLPRI is what nobody ever sends here.
pub const LOSS_ONLY: PollFlags = PollFlags::POLLPRI;

/// How long after its handshake a child gives back what that has left in its memory. Until then every wait sets a timer,
/// afterwards only those that have a time limit.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// What has happened on the client's connection and on the relay.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub conn: PollFlags,
    pub relay: PollFlags,
}

impl Ready {
    /// The connection has failed or was reset: a call on it would say how.
    pub fn conn_lost(&self) -> bool {
        self.conn.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
    }

    /// There is a packet from the parent, or its end: the wish that the child says goodbye.
    pub fn relay_speaks(&self) -> bool {
        self.relay.contains(PollFlags::POLLIN)
    }

    /// The parent has cut the child off, or is gone.
    pub fn relay_cut(&self) -> bool {
        self.relay.contains(PollFlags::POLLHUP)
    }
}

/// What wakes a child, for whoever steps.
fn awaited(conn_events: PollFlags, relay_events: PollFlags) -> &'static str {
    if conn_events.contains(PollFlags::POLLOUT) {
        "클라이언트가 데이터를 받아 가서 송신 버퍼에 자리가 나기를 기다립니다 (ppoll)"
    } else if relay_events.contains(PollFlags::POLLOUT) {
        "부모에게 패킷을 보낼 자리가 나기를 기다립니다 (ppoll)"
    } else if conn_events.contains(PollFlags::POLLIN) {
        "클라이언트가 데이터를 보내거나 부모가 말하기를 기다립니다 (ppoll)"
    } else {
        "부모가 말하기를 기다립니다 (ppoll)"
    }
}

/// How a child waits: with the signal mask of a forked child, or, under --no-fork, with no change.
#[derive(Debug)]
pub struct Waiter {
    mask: Option<SigSet>,
    /// When to give memory back, once.
    settled_at: Cell<Option<Instant>>,
}

impl Waiter {
    pub fn new(mask: Option<SigSet>) -> Waiter {
        Waiter { mask, settled_at: Cell::new(None) }
    }

    /// A TLS handshake is over, and its memory free. (Without one, to look for free memory would itself write to more pages
    /// of the heap than it gives back.)
    pub fn settle_soon(&self) {
        self.settled_at.set(Some(Instant::now() + SETTLED_AFTER));
    }

    /// `ppoll(fds, 2, timeout, mask)`: sleeps until an event, `until`, or SIGTERM; the last two give no event.
    ///
    /// A connection of which nothing at all is asked is left out. The relay's loss is always watched for.
    pub fn wait(
        &self,
        (conn, conn_events): (BorrowedFd<'_>, PollFlags),
        (relay, relay_events): (impl AsFd, PollFlags),
        until: Option<Instant>,
    ) -> nix::Result<Ready> {
        lesson::remark(|| awaited(conn_events, relay_events));
        let mut fds = [PollFd::new(relay.as_fd(), relay_events), PollFd::new(conn, conn_events)];
        let count = if conn_events.is_empty() { 1 } else { 2 };
        self.sleep(&mut fds[..count], until)?;
        let happened = |at: usize| fds[at].revents().unwrap_or(PollFlags::empty());
        Ok(Ready { relay: happened(0), conn: if count == 2 { happened(1) } else { PollFlags::empty() } })
    }

    /// Waits for one event on the connection alone; false when the time is up.
    pub fn wait_for(&self, conn: BorrowedFd<'_>, event: PollFlags, until: Instant) -> bool {
        self.sleep(&mut [PollFd::new(conn, event)], Some(until)).is_ok() && Instant::now() < until
    }

    fn sleep(&self, fds: &mut [PollFd<'_>], until: Option<Instant>) -> nix::Result<()> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let settling = self.settled_at.get().filter(|at| until.is_none_or(|until| until > *at));
        if let Some(settled_at) = settling {
            let happened = self.poll(fds, Some(left(settled_at)))?;
            if Instant::now() >= settled_at {
                self.settled_at.set(None);
                give_back_memory();
            }
            if happened != 0 {
                return Ok(());
            }
        }
        self.poll(fds, until.map(left)).map(drop)
    }

    fn poll(&self, fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> nix::Result<i32> {
        match ppoll(fds, timeout.map(TimeSpec::from_duration), self.mask) {
            Err(Errno::EINTR) => Ok(-1), // `fds` report nothing
            result => result,
        }
    }
}

/// `malloc_trim(0)`: pages on which nothing lives any more go back to the kernel. A handshake leaves some.
#[allow(unsafe_code)] // nix has no malloc_trim().
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
