//! One poll() loop with a deadline moves all of our clients: so nothing that a server does or leaves undone can hold us,
//! and we read while we send where the case asks for it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::peer::Peer;

const READ_BYTES: usize = 64 * 1024;

/// Lets them talk until `done`: true; or until the time is up, or all of their connections have ended: false.
pub fn pump(peers: &mut [Peer], until: Instant, mut done: impl FnMut(&mut [Peer]) -> bool) -> bool {
    let mut buf = vec![0; READ_BYTES];
    loop {
        peers.iter_mut().for_each(|peer| peer.step(&mut buf));
        if done(peers) {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || peers.iter().all(|peer| peer.end.is_some()) {
            return false;
        }
        if !peers.iter().any(Peer::has_more) {
            let awaited = peers.iter().map(|peer| (peer.fd(), peer.awaits()));
            wait(&awaited.filter(|(_, events)| !events.is_empty()).collect::<Vec<_>>(), left);
        }
    }
}

/// `poll()`: whether something has happened. A signal shortens the sleep, and the caller looks at its clock.
pub fn wait<F: AsFd>(awaited: &[(F, PollFlags)], time: Duration) -> bool {
    let mut fds: Vec<_> = awaited.iter().map(|(fd, events)| PollFd::new(fd.as_fd(), *events)).collect();
    let timeout = PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(n) => n > 0,
        Err(Errno::EINTR) => false,
        Err(_) => {
            std::thread::sleep(time.min(Duration::from_millis(10))); // no memory: rather slow than spinning
            false
        }
    }
}
