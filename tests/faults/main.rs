//! What goes wrong costs the one whom it happens to, and leaves nothing behind: no descriptor, process, zombie, memory.
//!
//! ```text
//! children.rs      children that are killed, stopped, told to end, at any moment
//! parent.rs        a parent that is killed, and what its starter left behind
//! resources.rs     no descriptors, no processes, no memory for packets
//! log.rs           a log that cannot be written: full, closed, unread, its folder gone
//! clock.rs         a clock that jumps
//! signals.rs       signals without a pause
//! certificates.rs  a certificate that is replaced during a flood of handshakes
//! crowds.rs        many who come and go at once
//! slow.rs          who says a byte at a time, and who never reads
//! ports.rs         a port that is taken, and free again
//! ending.rs        SIGTERM, also in the middle of all that
//! ```
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod children;
mod clock;
mod crowds;
mod ending;
mod log;
mod parent;
mod ports;
mod resources;
mod signals;
mod slow;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RELAY: [&str; 2] = ["--mode", "relay"];

fn kill_child(pid: i32, with: Signal) {
    kill(Pid::from_raw(pid), with).unwrap();
}

/// Processor time that a process has used, in clock ticks (proc(5)).
fn cpu_ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Ends what other threads do also when something has failed: nobody waits for them for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moments that differ from run to run, and can be had again: `SOCKSTEP_SEED=N`.
struct Chance(u64);

impl Chance {
    fn new(of: &str) -> Chance {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("SOCKSTEP_SEED").ok().map_or_else(now, |seed| seed.parse().unwrap());
        eprintln!("{of}: SOCKSTEP_SEED={seed}");
        Chance(seed | 1)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
