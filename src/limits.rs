//! How much the system lets us have: descriptors, and so clients. And how much of it we let others have: one source
//! address (source.rs), those who have not finished their handshake (early_drop.rs), and the log.

mod early_drop;
mod source;

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use early_drop::EarlyDrop;
pub use source::{Source, Sources};

/// Descriptors that the parent needs beside one relay end a client: 0-2, listener, epoll, signals,
/// the two of a connection on its way to its child, and the newcomers that are being refused.
const RESERVED_FDS: u64 = 32;

/// Raises the soft RLIMIT_NOFILE to the hard one and returns it (getrlimit(2)).
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// How many clients fit under `open_files` descriptors, at most `wanted` and at least one.
pub fn clients_that_fit(wanted: u32, open_files: u64) -> u32 {
    let room = open_files.saturating_sub(RESERVED_FDS).max(1);
    wanted.min(u32::try_from(room).unwrap_or(u32::MAX))
}

/// Lets one event a second through and counts the rest, so that a flood cannot fill a log.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// `Some(n)` when this event may be told, with the number that were held back before it.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + Duration::from_secs(1)) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_never_outnumber_descriptors() {
        assert_eq!(clients_that_fit(16_384, 1024), 992);
        assert_eq!(clients_that_fit(10, 1024), 10);
        assert_eq!(clients_that_fit(10, 8), 1);
        assert_eq!(clients_that_fit(10, u64::MAX), 10);
    }

    #[test]
    fn a_flood_is_one_line_a_second_with_a_count() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass(start), Some(0));
        assert_eq!(throttle.pass(start), None);
        assert_eq!(throttle.pass(start + Duration::from_millis(999)), None);
        assert_eq!(throttle.pass(start + Duration::from_secs(1)), Some(2));
    }
}
