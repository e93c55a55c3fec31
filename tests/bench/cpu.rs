//! How much of the processors a server has had: all its processes, those that have ended too.
//!
//! - Manual: proc_pid_stat(5), proc_pid_task(5); for schedstat, Documentation/scheduler/sched-stats.rst of the kernel

use std::fs::{DirEntry, read_dir, read_to_string};
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::proc::children;

/// Of all that this process has started: only one server runs at a time.
pub fn of_servers() -> Duration {
    let tick = Duration::from_secs(1) / sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100, |ticks| ticks as u32);
    children(std::process::id()).into_iter().map(|pid| of_tree(pid, tick)).sum()
}

fn of_tree(pid: u32, tick: Duration) -> Duration {
    let below: Duration = children(pid).into_iter().map(|child| of_tree(child, tick)).sum();
    let [own, waited_for] = in_ticks(pid).map(|ticks| tick * ticks);
    // Threads that have ended are in the one, what is less than a tick in the other.
    own.max(of_threads(pid)) + waited_for + below
}

/// Of the threads that are there, in nanoseconds: a process that lives for a millisecond has no tick yet.
fn of_threads(pid: u32) -> Duration {
    let run_time = |task: DirEntry| {
        let stat = read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    let tasks = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(run_time).sum()
}

/// Of the process, and of the children that it has waited for: the kernel adds these up in nanoseconds.
fn in_ticks(pid: u32) -> [u32; 2] {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    // utime, stime, cutime, cstime are fields 14 to 17; the state, field 3, is the first here.
    let mut times = fields.skip(11).map(|ticks| ticks.parse::<u32>().unwrap_or(0));
    [(); 2].map(|()| times.by_ref().take(2).sum())
}

/// All that this process has started, and what they have.
pub fn servers() -> Vec<u32> {
    let mut all = children(std::process::id());
    let mut next = 0;
    while next < all.len() {
        all.extend(children(all[next]));
        next += 1;
    }
    all
}
