//! What the servers take up, looked at again and again.

use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};
use std::time::{Duration, Instant};

use crate::proc::{children, kb};
use crate::site::Site;

/// Of one process, in KB.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    /// Its own alone. After a fork(), parent and child share what they had, until one of them writes there: what is
    /// shared now may be one's own later, and the other way round.
    pub private_dirty: u64,
    /// All that no file holds, shared or not: what grows here has been asked for.
    pub anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> Memory {
        let [private_dirty, anonymous] = ["Private_Dirty:", "Anonymous:"].map(|key| kb(pid, "smaps_rollup", key));
        Memory { private_dirty, anonymous }
    }
}

/// Of one server, at one time.
#[derive(Clone)]
pub struct Sample {
    pub at: Instant,
    pub rss: u64,
    pub parent: Memory,
    pub children: HashMap<u32, Memory>,
    pub fds: usize,
    /// Parent and children, without those that have ended.
    pub processes: usize,
    /// Children that have ended and have not been waited for.
    pub zombies: Vec<u32>,
}

impl Sample {
    pub fn of(site: &Site) -> Sample {
        let pid = site.pid();
        let (zombies, alive): (Vec<u32>, Vec<u32>) = children(pid).into_iter().partition(|pid| is_zombie(*pid));
        Sample {
            at: Instant::now(),
            rss: kb(pid, "status", "VmRSS:"),
            parent: Memory::of(pid),
            fds: read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
            processes: 1 + alive.len(),
            children: alive.into_iter().map(|pid| (pid, Memory::of(pid))).collect(),
            zombies,
        }
    }

    pub fn children_dirty(&self) -> u64 {
        self.children.values().map(|memory| memory.private_dirty).sum()
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// All samples of one server.
#[derive(Default)]
pub struct Course {
    samples: Vec<Sample>,
}

/// How much something has grown: the median of the second fifth of the run against that of the last.
pub struct Growth {
    pub early: u64,
    pub late: u64,
}

/// Longer than a hub can be full.
const LASTING: Duration = Duration::from_secs(15);
/// In less than this nothing can be said.
const SHORTEST: Duration = Duration::from_secs(30);

impl Course {
    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// A child that has ended, and was not waited for in every sample of a time that is long enough. While the hub is
    /// full, it does not read the last packets of those who have ended, and does not bury them.
    pub fn has_lasting_zombie(&self) -> bool {
        let mut since: HashMap<u32, Instant> = HashMap::new();
        self.samples.iter().any(|sample| {
            since.retain(|pid, _| sample.zombies.contains(pid));
            sample.zombies.iter().any(|pid| sample.at - *since.entry(*pid).or_insert(sample.at) > LASTING)
        })
    }

    pub fn of_parent(&self) -> Option<Growth> {
        self.growth(|sample| sample.parent.anonymous)
    }

    /// Of those children that were there all the time between.
    pub fn of_children(&self) -> Option<(Growth, u64)> {
        let settled = self.samples.get(self.samples.len() / 5..)?;
        let (first, rest) = settled.split_first()?;
        let stayed = |pid: &u32| rest.iter().all(|sample| sample.children.contains_key(pid));
        let lasting: Vec<u32> = first.children.keys().copied().filter(stayed).collect();
        let sum = |sample: &Sample| {
            lasting.iter().filter_map(|pid| sample.children.get(pid)).map(|memory| memory.anonymous).sum()
        };
        Some((self.growth(sum)?, lasting.len() as u64))
    }

    fn growth(&self, value: impl Fn(&Sample) -> u64) -> Option<Growth> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let fifth = self.samples.len() / 5;
        if last.at - first.at < SHORTEST || fifth == 0 {
            return None;
        }
        let median = |samples: &[Sample]| {
            let mut values: Vec<u64> = samples.iter().map(&value).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let (early, late) = (&self.samples[fifth..2 * fifth], &self.samples[self.samples.len() - fifth..]);
        Some(Growth { early: median(early), late: median(late) })
    }
}
