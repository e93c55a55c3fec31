//! What strace has seen: a file for each thread, put together to processes.
//!
//! strace knows nothing of sockets: which descriptors are some follows from the calls that make, copy
//! (fork) and close them.

use std::collections::{BTreeMap, BTreeSet};

use super::allowed::{is_copy, is_thread, retold};
use super::line::{self, Call};
use super::{Entry, Process, Transcript};

/// One program under strace: who it is, and a text for each of its threads and children by their ids.
#[derive(Clone, Debug)]
pub struct Watched {
    pub role: &'static str,
    pub texts: BTreeMap<i32, String>,
}

/// `looks`: the trace has written state records, for which it asks the kernel.
pub fn read(programs: &[Watched], looks: bool) -> Result<Transcript, String> {
    let mut transcript = Transcript::new();
    let mut first = 0;
    for program in programs {
        let threads =
            program.texts.iter().enumerate().map(|(n, (tid, text))| Ok((*tid, lines(first + n, *tid, text)?)));
        let threads: BTreeMap<i32, Vec<Entry>> = threads.collect::<Result<_, String>>()?;
        first += program.texts.len();
        let family = Family::of(threads)?;
        let mut telling = Telling { family, looks, children: 0, transcript: &mut transcript };
        let root = telling.family.root;
        telling.tell(root, program.role.into(), BTreeSet::new(), Vec::new());
        while let Some(pid) = telling.family.processes.keys().next().copied() {
            telling.tell(pid, "made by nobody".into(), BTreeSet::new(), Vec::new());
        }
    }
    Ok(transcript)
}

/// `1795541279.590705 socket(AF_INET, …) = 3 <0.000021>`
fn lines(text_index: usize, tid: i32, text: &str) -> Result<Vec<Entry>, String> {
    let calls = text.lines().enumerate().filter(|(_, line)| !line.contains(" +++ ")); // how it ended
    let read = |(n, found): (usize, &str)| {
        let (time, call) = found.split_once(' ')?;
        let (seconds, micros) = time.split_once('.')?;
        let time = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
        // So strace marks what it has made up itself, because a scene told it to (-e inject).
        let (call, took) = untimed(call.trim_start());
        let (call, _) = line::parse(call.strip_suffix(" (INJECTED)").unwrap_or(call))?;
        let (found, place) = (found.into(), Some((text_index, n)));
        Some(Entry { tid, call, chapter: None, began: time, ended: time + took, told_at: u64::MAX, found, place })
    };
    calls.map(|(n, line)| read((n, line)).ok_or_else(|| format!("not a line of strace: {line}"))).collect()
}

/// The call, and how long it took (µs): a call that does not come back has no time.
pub fn untimed(call: &str) -> (&str, u64) {
    let timed = call.rsplit_once(" <").and_then(|(call, took)| {
        let (seconds, micros) = took.strip_suffix('>')?.split_once('.')?;
        Some((call, seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?))
    });
    timed.unwrap_or((call, 0))
}

/// The processes of one program: their calls in the order of time.
struct Family {
    root: i32,
    processes: BTreeMap<i32, Vec<Entry>>,
}

impl Family {
    fn of(mut threads: BTreeMap<i32, Vec<Entry>>) -> Result<Family, String> {
        let (mut process_of, mut born) = (BTreeMap::new(), BTreeSet::new());
        for (tid, lines) in &threads {
            for call in lines.iter().map(|line| &line.call).filter(|call| is_birth(call)) {
                let Some(new) = call.returned() else { continue };
                born.insert(new);
                if is_thread(call) {
                    process_of.insert(new, *tid);
                }
            }
        }
        let unborn = threads.iter().filter(|(tid, _)| !born.contains(tid));
        let first = unborn.min_by_key(|(_, lines)| lines.first().map_or(u64::MAX, |line| line.began));
        let (root, _) = first.ok_or("strace has seen nobody begin")?;
        let root = *root;
        let mut processes: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
        while let Some((tid, lines)) = threads.pop_first() {
            let mut pid = tid;
            while let Some(owner) = process_of.get(&pid) {
                pid = *owner;
            }
            processes.entry(pid).or_default().extend(lines);
        }
        // Stable: within a thread the order of the file stays.
        processes.values_mut().for_each(|lines| lines.sort_by_key(|line| line.began));
        Ok(Family { root, processes })
    }
}

/// The threads and children that are made in a text of strace.
pub fn born(text: &str) -> Vec<i32> {
    let calls = text.lines().filter_map(|line| line.split_once(' '));
    let calls = calls.filter_map(|(_, call)| line::parse(untimed(call.trim_start()).0));
    calls.map(|(call, _)| call).filter(is_birth).filter_map(|call| call.returned()).collect()
}

fn is_birth(call: &Call) -> bool {
    ["fork", "vfork", "clone", "clone3"].contains(&call.name.as_str())
}

struct Telling<'a> {
    family: Family,
    looks: bool,
    children: usize,
    transcript: &'a mut Transcript,
}

impl Telling<'_> {
    /// A process from its birth on, with the sockets that it inherits; its children at the moment of their birth.
    fn tell(&mut self, pid: i32, role: String, mut sockets: BTreeSet<i32>, mut calls: Vec<Entry>) {
        let lines = self.family.processes.remove(&pid).unwrap_or_default();
        let begun = calls.len();
        for entry in &lines {
            if entry.call.name == "write" {
                // The first write after a call is its line: states and words to people come behind.
                let last = calls[begun..].iter_mut().rfind(|earlier| earlier.tid == entry.tid);
                last.into_iter().for_each(|earlier| earlier.told_at = earlier.told_at.min(entry.ended));
            }
            let told = retold(&entry.call, &sockets, self.looks);
            follow(&entry.call, &mut sockets);
            if let Some(call) = told {
                if let (true, Some(child)) = (is_birth(&entry.call), call.returned()) {
                    self.children += 1;
                    let role = format!("c{}", self.children);
                    self.tell(child, role, sockets.clone(), vec![birth(child, entry)]);
                }
                calls.push(Entry { call, ..entry.clone() });
            }
        }
        self.transcript.insert(pid, Process { role, calls });
    }
}

/// `fork() = 0`, which strace does not show.
fn birth(child: i32, parents: &Entry) -> Entry {
    let call = Call { name: "fork".into(), args: Vec::new(), result: "0".into() };
    Entry { tid: child, call, found: format!("(in the parent) {}", parents.found), place: None, ..parents.clone() }
}

/// Which descriptors are sockets after `call`.
fn follow(call: &Call, sockets: &mut BTreeSet<i32>) {
    let Some(returned) = call.returned() else { return };
    match call.name.as_str() {
        "socket" | "accept" | "accept4" => {
            sockets.insert(returned);
        }
        _ if is_copy(call) && call.fd().is_some_and(|fd| sockets.contains(&fd)) => {
            sockets.insert(returned);
        }
        "socketpair" => {
            let pair = call.text(3).unwrap_or_default().trim_matches(['[', ']']);
            sockets.extend(pair.split(", ").filter_map(|fd| fd.parse::<i32>().ok()));
        }
        "close" => {
            call.fd().map(|fd| sockets.remove(&fd));
        }
        "close_range" => {
            let bound = |n| call.text(n).and_then(|fd| fd.parse::<u32>().ok()).unwrap_or(u32::MAX);
            sockets.retain(|fd| !(bound(0)..=bound(1)).contains(&(*fd as u32)));
        }
        _ => {}
    }
}
