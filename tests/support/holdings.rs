//! What a server holds: descriptors, children, threads, memory. Looked at before something happens to it, and again
//! after: whatever that was, it has left nothing behind.

use std::fs;
use std::time::{Duration, Instant};

use super::{DEADLINE, children, eventually, proc_kb, state};

/// The allocator keeps some of what it once had, and maps that have been large keep their size.
pub const KEPT_KB: u64 = 1024;
/// Besides, the pages of the hub's log, once they have been written to: 4 MiB, and as much again where a notice went over.
pub const KEPT_AFTER_A_FLOOD_KB: u64 = 9 * 1024;

/// What one process holds, and whom it has as children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    pid: i32,
    /// What the descriptors lead to, without the inode: `socket:`, `/dev/null`. Their numbers may be others; and some are
    /// inherited from who has started it, of whose files others may be gone meanwhile.
    fds: Vec<String>,
    children: Vec<i32>,
    zombies: usize,
    threads: usize,
}

/// As it was, and how much memory there was with it.
#[derive(Clone, Debug)]
pub struct Before {
    holdings: Holdings,
    memory_kb: u64,
}

impl Holdings {
    fn of(pid: i32) -> Holdings {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|fd| {
            let target = fs::read_link(fd.unwrap().path()).ok()?.to_string_lossy().into_owned();
            Some(target.split('[').next().unwrap().trim_end_matches(" (deleted)").to_string())
        });
        let mut fds: Vec<String> = fds.collect();
        fds.sort();
        let children = children(pid);
        let zombies = children.iter().filter(|child| state(**child) == Some('Z')).count();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        Holdings { pid, fds, children, zombies, threads }
    }
}

/// Pages of its own, whether a child still shares them (after fork()) or not: so it does not matter who is there.
fn memory_kb(pid: i32) -> u64 {
    proc_kb(pid, "smaps_rollup", "Anonymous:")
}

impl Before {
    /// What the process holds once it sleeps; the caller sees to it that nothing is on its way: no child that is about to
    /// end, no newcomer. (A child may answer before its parent has closed the connection, which is the child's now.)
    pub fn of(pid: i32) -> Before {
        eventually("a server that waits", || state(pid) == Some('S'));
        Before { holdings: Holdings::of(pid), memory_kb: memory_kb(pid) }
    }

    /// By how much its memory has grown since.
    pub fn grown_kb(&self) -> i64 {
        memory_kb(self.holdings.pid) as i64 - self.memory_kb as i64
    }

    /// Waits until the process holds exactly what it held: the same descriptors, the very same children, no zombie among
    /// them, as many threads; and no more memory than `kept_kb` on top.
    #[track_caller]
    pub fn is_back(&self, kept_kb: u64) {
        let until = Instant::now() + DEADLINE;
        loop {
            let (now, memory_kb) = (Holdings::of(self.holdings.pid), memory_kb(self.holdings.pid));
            let same = now == self.holdings && now.zombies == 0;
            if same && memory_kb <= self.memory_kb + kept_kb {
                return;
            }
            let before = &self.holdings;
            assert!(Instant::now() < until, "{before:?}, {} kB; now {now:?}, {memory_kb} kB", self.memory_kb);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
