//! Transcripts that are wrong in one place: a comparison that does not see it is worth nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use super::allowed::may_stand_before;
use super::line;
use super::scene::Pair;
use super::strace::untimed;
use super::token::changed;
use super::trace::Form;
use super::{Entry, Process, Transcript};

/// Whose transcript is falsified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Trace,
    Strace,
}

/// A falsified pair: what was done, and where the comparison must find it.
pub struct Mutant {
    pub what: String,
    pub pair: Pair,
    pub pid: i32,
    pub index: usize,
    /// How many threads the process has.
    pub threads: usize,
}

/// Every mutant of `side`: each call dropped, another one added, exchanged with the next, and changed in
/// each number, name, flag and byte that both transcripts show.
pub fn all(pair: &Pair, side: Side, mut meet: impl FnMut(Mutant)) {
    let (trace, strace) = (pair.trace().unwrap(), pair.strace().unwrap());
    let (ours, theirs) = if side == Side::Trace { (&trace, &strace) } else { (&strace, &trace) };
    for (pid, process) in ours {
        let threads = process.calls.iter().map(|entry| entry.tid).collect::<BTreeSet<_>>().len();
        for index in 0..process.calls.len() {
            let spot = Spot { pair, side, process, index, theirs: &theirs[pid] };
            for (what, pair) in spot.falsified() {
                meet(Mutant { what, pair, pid: *pid, index, threads });
            }
        }
    }
}

/// A call that is to be falsified.
struct Spot<'a> {
    pair: &'a Pair,
    side: Side,
    process: &'a Process,
    index: usize,
    theirs: &'a Process,
}

impl Spot<'_> {
    fn falsified(&self) -> Vec<(String, Pair)> {
        let (pair, side, entry) = (self.pair, self.side, &self.process.calls[self.index]);
        let Some(place) = entry.place else { return Vec::new() }; // strace has no line of it
        let line = original(pair, side, place);
        let call = call_in(line, side, pair.form);
        let with = |call_text: &str| format!("{}{call_text}{}", &line[..call.start], &line[call.end..]);
        let instead = |what: String, text: String| (what, replaced(pair, side, place, Some(text)));

        let mut all = vec![(format!("without {line}"), replaced(pair, side, place, None))];
        let added = with("shutdown(99, SHUT_RDWR) = 0");
        let added = if side == Side::Trace { with_chapter(&added, "notes/08-send-recv.md") } else { added };
        all.push(instead(format!("with {added}"), format!("{added}\n{line}")));
        let other = same_call(self.process, self.index, self.theirs);
        for (what, call_text) in changed(&line[call.clone()], entry, other, side) {
            all.push(instead(what, with(&call_text)));
        }
        if side == Side::Trace {
            all.push(instead(format!("another chapter: {line}"), with_chapter(line, "notes/01-nothing.md")));
        }
        if let Some(next) = self.next_that_may_not_be_first().and_then(|next| next.place) {
            all.push((format!("{line} after the next"), exchanged(pair, side, place, next)));
        }
        all
    }

    /// The next call, unless nobody could tell if it came first.
    fn next_that_may_not_be_first(&self) -> Option<&Entry> {
        let (entry, next) = (&self.process.calls[self.index], self.process.calls.get(self.index + 1)?);
        let [early, late] = match self.side {
            Side::Trace => [self.index, self.index + 1].map(|index| same_call(self.process, index, self.theirs)),
            Side::Strace => [entry, next],
        };
        let same = next.call == entry.call && next.tid == entry.tid;
        // strace has a text for each thread: there no line of one can be among another's.
        let possible = self.side == Side::Trace || next.tid == entry.tid;
        (possible && !same && !may_stand_before(late, early)).then_some(next)
    }
}

/// The call of the other transcript that is the same as `process`'s at `index`: the n-th of its thread.
fn same_call<'a>(process: &Process, index: usize, other: &'a Process) -> &'a Entry {
    let tid = process.calls[index].tid;
    let n = process.calls[..index].iter().filter(|entry| entry.tid == tid).count();
    other.calls.iter().filter(|entry| entry.tid == tid).nth(n).unwrap()
}

/// A line of the trace ends with the chapter, in both forms.
fn with_chapter(line: &str, chapter: &str) -> String {
    format!("{}{chapter}", &line[..line.rfind("notes/").unwrap()])
}

/// The pair without the lines that no transcript needs, so that thousands of mutants are soon read.
pub fn essence(pair: &Pair) -> Pair {
    let mut essence = pair.clone();
    let places = |transcript: Transcript| -> Vec<(usize, usize)> {
        transcript.values().flat_map(|process| &process.calls).filter_map(|entry| entry.place).collect()
    };
    let kept = places(pair.trace().unwrap());
    essence.told = only(&pair.told, |n, _| kept.contains(&(0, n)));
    let kept = places(pair.strace().unwrap());
    let texts = essence.programs.iter_mut().flat_map(|program| program.texts.values_mut());
    for (index, text) in texts.enumerate() {
        *text = only(text, |n, line| kept.contains(&(index, n)) || line.contains("CLONE_THREAD") || is_write(line));
        *text = text
            .lines()
            .map(|line| if is_write(line) { without_data(line) } else { untimed(line).0.into() } + "\n")
            .collect();
    }
    essence
}

/// Writes tell when a line has been told.
fn is_write(line: &str) -> bool {
    line.contains(" write(")
}

/// But with its end: then the line had been told.
fn without_data(write: &str) -> String {
    let (call, took) = write.split_at(untimed(write).0.len());
    format!("{}\"\", 0) = 0{took}", &call[..call.find('"').unwrap()])
}

fn only(text: &str, keep: impl Fn(usize, &str) -> bool) -> String {
    text.lines().enumerate().filter(|(n, line)| keep(*n, line)).map(|(_, line)| format!("{line}\n")).collect()
}

fn text(pair: &mut Pair, side: Side, index: usize) -> &mut String {
    match side {
        Side::Trace => &mut pair.told,
        Side::Strace => pair.programs.iter_mut().flat_map(|program| program.texts.values_mut()).nth(index).unwrap(),
    }
}

fn original(pair: &Pair, side: Side, (index, n): (usize, usize)) -> &str {
    let text = match side {
        Side::Trace => &pair.told,
        Side::Strace => pair.programs.iter().flat_map(|program| program.texts.values()).nth(index).unwrap(),
    };
    text.lines().nth(n).unwrap()
}

fn replaced(pair: &Pair, side: Side, (index, n): (usize, usize), by: Option<String>) -> Pair {
    let mut pair = pair.clone();
    let text = text(&mut pair, side, index);
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    match by {
        Some(by) => lines[n] = by,
        None => drop(lines.remove(n)),
    }
    *text = lines.join("\n");
    pair
}

/// Two lines in each other's place. In strace's texts the moments stay where they are.
fn exchanged(pair: &Pair, side: Side, one: (usize, usize), two: (usize, usize)) -> Pair {
    let (first, second) = (original(pair, side, one), original(pair, side, two));
    let (first, second) = match (side, first.split_once(' '), second.split_once(' ')) {
        (Side::Strace, Some((early, first)), Some((late, second))) => {
            (format!("{early} {second}"), format!("{late} {first}"))
        }
        _ => (second.into(), first.into()),
    };
    replaced(&replaced(pair, side, one, Some(first)), side, two, Some(second))
}

/// Where in a line the call stands.
fn call_in(line: &str, side: Side, form: Form) -> Range<usize> {
    let start = match (side, form) {
        (Side::Strace, _) => line.find(' ').unwrap() + 1,
        (Side::Trace, Form::Lines) => line.find("] ").unwrap() + 2,
        (Side::Trace, Form::File) => line.match_indices('\t').nth(2).unwrap().0 + 1,
    };
    let rest = &line[start..];
    let rest = rest.split('\t').next().unwrap();
    let (_, after) = line::parse(rest).unwrap();
    start..start + rest.len() - after.len()
}
