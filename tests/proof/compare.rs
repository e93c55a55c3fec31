//! The same calls, by the same processes, in the same order, with the same arguments and results.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::allowed;
use super::{Entry, Process, Transcript};

/// The first place where the two transcripts part.
#[derive(Debug)]
pub struct Difference {
    pub pid: i32,
    pub role: String,
    /// Which call of the process, from 0.
    pub index: usize,
    pub why: String,
    pub trace: Option<String>,
    pub strace: Option<String>,
    context: String,
}

/// How many calls are the same; or where they are not.
pub fn compare(trace: &Transcript, strace: &Transcript) -> Result<usize, Box<Difference>> {
    let (pids, nothing) = (trace.keys().chain(strace.keys()).collect::<BTreeSet<_>>(), Process::default());
    let mut same = 0;
    for pid in pids {
        let (told, seen) = (trace.get(pid).unwrap_or(&nothing), strace.get(pid).unwrap_or(&nothing));
        let mut seen = seen.clone();
        for index in 0..told.calls.len().max(seen.calls.len()) {
            if let Some(told) = told.calls.get(index) {
                bring_forward(told.tid, seen.calls.get_mut(index..).unwrap_or_default());
            }
            if let Some(why) = difference(told, &seen, index) {
                return Err(Box::new(Difference::at(*pid, told, &seen, index, why)));
            }
            same += 1;
        }
    }
    Ok(same)
}

/// The next call of thread `tid` comes first, if it may stand before those that are in its way.
fn bring_forward(tid: i32, seen: &mut [Entry]) {
    let Some(place) = seen.iter().position(|entry| entry.tid == tid) else { return };
    if seen[..place].iter().all(|earlier| allowed::may_stand_before(&seen[place], earlier)) {
        seen[..=place].rotate_right(1);
    }
}

fn difference(told: &Process, seen: &Process, index: usize) -> Option<String> {
    let role = &seen.role;
    match (told.calls.get(index), seen.calls.get(index)) {
        (None, _) => Some("only strace has seen this call".into()),
        (_, None) => Some("only the trace tells of this call".into()),
        (Some(_), Some(_)) if told.role != *role => Some(format!("this process is {role}, not {}", told.role)),
        (Some(told), Some(seen)) if told.tid != seen.tid => {
            Some(format!("thread {} tells of it, but thread {} is next", told.tid, seen.tid))
        }
        (Some(told), Some(seen)) => allowed::difference(&told.call, &seen.call).or_else(|| wrong_chapter(told)),
    }
}

fn wrong_chapter(told: &Entry) -> Option<String> {
    let right = sockstep::lesson::words::of(&told.call.name).map(|words| words.chapter);
    (told.chapter.as_deref() != right).then(|| format!("the chapter is {right:?}, not {:?}", told.chapter))
}

/// Calls shown before and after the one that differs.
pub const CONTEXT: usize = 3;

impl Difference {
    fn at(pid: i32, told: &Process, seen: &Process, index: usize, why: String) -> Difference {
        let found = |process: &Process, n: usize| process.calls.get(n).map(|entry| entry.found.clone());
        let mut context = String::new();
        for n in index.saturating_sub(CONTEXT)..=index + CONTEXT {
            for (name, process) in [("trace ", told), ("strace", seen)] {
                let mark = if n == index { '>' } else { ' ' };
                let text = found(process, n).map_or("(nothing)".into(), |text| shortened(&text));
                // Writing to a String cannot fail.
                let _ = writeln!(context, "{mark} {:>4} {name} {text}", n + 1);
            }
        }
        let role = if told.role.is_empty() { &seen.role } else { &told.role };
        Difference {
            pid,
            role: role.clone(),
            index,
            why,
            trace: found(told, index),
            strace: found(seen, index),
            context,
        }
    }
}

/// A line that holds a whole TLS record is no help.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 400;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.into(),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { pid, role, index, why, context, .. } = self;
        write!(f, "process {pid} ({role}), call {}: {why}\n{context}", index + 1)
    }
}
