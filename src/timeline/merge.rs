//! One order for what several processes have written, each with its own threads, and for what was captured.
//!
//! A call that gives (send, connect, fork) stands where it began, one that takes (recv, accept4) where it was
//! over: so nothing is taken before it was given, however long somebody has waited for it. What one thread
//! did stays in its order, and of two that did something in the same microsecond the giver comes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::read::{Record, Trace, What};

/// Files whose clocks differ by less than this (microseconds) come from one machine.
const SAME_CLOCK: u128 = 2_000_000;

/// A process; a pid is a process of one machine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    pub machine: usize,
    pub pid: i32,
}

/// A record with its place in the world: whose it is, and when on the first file's clock.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub process: Process,
    pub began: u64,
    pub record: &'a Record,
}

impl Entry<'_> {
    fn ended(&self) -> u64 {
        self.began.saturating_add(self.record.took)
    }

    fn takes(&self) -> bool {
        matches!(&self.record.what, What::Call(call) if call.takes())
    }

    /// The moment at which it is drawn.
    pub fn at(&self) -> u64 {
        if self.takes() { self.ended() } else { self.began }
    }
}

/// All records of all files on one clock: that of the first file that says what its clock is.
pub fn entries(traces: &[Trace]) -> Vec<Entry<'_>> {
    let base = clock(traces);
    let mut machines = vec![base.unwrap_or_default()];
    let mut all = Vec::new();
    for trace in traces {
        let offset = trace.headers.first().map_or(machines[0], |header| header.offset());
        let known = machines.iter().position(|machine| machine.abs_diff(offset) < SAME_CLOCK);
        let machine = known.unwrap_or_else(|| {
            machines.push(offset);
            machines.len() - 1
        });
        let shift = if machine == 0 { 0 } else { offset - machines[0] };
        for record in &trace.records {
            let process = Process { machine, pid: record.pid };
            all.push(Entry { process, began: shifted(record.time, shift), record });
        }
    }
    all
}

/// What is to be added to the times of [`entries`] for the time of day; `None` when no file has a header.
pub fn clock(traces: &[Trace]) -> Option<i128> {
    traces.iter().find_map(|trace| trace.headers.first()).map(|header| header.offset())
}

pub fn shifted(time: u64, shift: i128) -> u64 {
    u64::try_from((i128::from(time) + shift).max(0)).unwrap_or(u64::MAX)
}

/// Indices of `entries`, and behind them of `packets` (their times), in the order of the picture.
pub fn order(entries: &[Entry<'_>], packets: &[u64]) -> Vec<usize> {
    let mut threads: BTreeMap<(Process, i32), Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        threads.entry((entry.process, entry.record.tid)).or_default().push(index);
    }
    let mut queues: Vec<VecDeque<Head>> = threads.into_values().map(|thread| queue(entries, thread)).collect();
    let mut wire: Vec<usize> = (0..packets.len()).collect();
    wire.sort_by_key(|packet| packets[*packet]);
    let on_the_wire = |packet: usize| Head { at: packets[packet], takes: false, index: entries.len() + packet };
    queues.push(wire.into_iter().map(on_the_wire).collect());
    let mut heads: BinaryHeap<Reverse<(Head, usize)>> = BinaryHeap::new();
    for (number, queue) in queues.iter_mut().enumerate() {
        heads.extend(queue.pop_front().map(|head| Reverse((head, number))));
    }
    let mut order = Vec::with_capacity(entries.len() + packets.len());
    while let Some(Reverse((head, number))) = heads.pop() {
        order.push(head.index);
        heads.extend(queues[number].pop_front().map(|next| Reverse((next, number))));
    }
    order
}

/// Sorted by time, then by who gives, then as in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    at: u64,
    takes: bool,
    index: usize,
}

/// What one thread did, in its order; a time that goes back is taken for the one before it.
fn queue(entries: &[Entry<'_>], mut thread: Vec<usize>) -> VecDeque<Head> {
    thread.sort_by_key(|index| entries[*index].began);
    let mut latest = 0;
    let mut heads = VecDeque::with_capacity(thread.len());
    for (place, &index) in thread.iter().enumerate() {
        let entry = &entries[index];
        let before = place.checked_sub(1).map(|before| &entries[thread[before]]);
        let next = thread.get(place + 1).map(|next| &entries[*next]);
        // A state that was read right behind a call belongs to it: nobody's call comes between.
        let belongs = matches!(entry.record.what, What::State(_)) && belongs(before, entry, next);
        latest = if belongs { latest } else { entry.at().max(latest) };
        heads.push_back(Head { at: latest, takes: entry.takes(), index });
    }
    heads
}

/// Whether a state was read for the call before it rather than for the one behind it.
fn belongs(before: Option<&Entry<'_>>, state: &Entry<'_>, next: Option<&Entry<'_>>) -> bool {
    let Some(before) = before else { return false };
    let since = state.began.saturating_sub(before.ended());
    next.is_none_or(|next| since <= next.began.saturating_sub(state.began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(traces: &[Trace]) -> Vec<String> {
        let entries = entries(traces);
        let text = |index: usize| match &entries[index].record.what {
            What::Call(call) => call.text.clone(),
            What::State(state) => state.state.clone(),
        };
        order(&entries, &[]).into_iter().map(text).collect()
    }

    #[test]
    fn what_is_taken_stands_behind_what_was_given_however_early_somebody_began_to_wait() {
        let waits = "10\tc1\t7\trecv(3, \"a\", 9, 0) = 1\t90\t\t\n100\tc1\t7\tclose(3) = 0\t1\t\t\n";
        let gives = "100\tclient\t8\tsend(3, \"a\", 1, 0) = 1\t5\t\t\n20\tclient\t8\tsocket() = 3\t5\t\t\n";
        let traces = [Trace::read("a", waits.as_bytes()), Trace::read("b", gives.as_bytes())];
        let want = ["socket() = 3", "send(3, \"a\", 1, 0) = 1", "recv(3, \"a\", 9, 0) = 1", "close(3) = 0"];
        assert_eq!(calls(&traces), want);
    }

    #[test]
    fn another_machines_clock_is_put_right() {
        let here = "# sockstep-trace 1 realtime=5000000000 monotonic=1000\n1500\tserver\t7\tlisten(3, 9) = 0\t1\t\t\n";
        let there =
            "# sockstep-trace 1 realtime=5000000000 monotonic=900000000\n900000400\tclient\t7\tsocket() = 3\t1\t\t\n";
        let traces = [Trace::read("a", here.as_bytes()), Trace::read("b", there.as_bytes())];
        let entries = entries(&traces);
        assert_eq!(
            entries.iter().map(|entry| (entry.process.machine, entry.began)).collect::<Vec<_>>(),
            [(0, 1500), (1, 1400)]
        );
        assert_eq!(calls(&traces), ["socket() = 3", "listen(3, 9) = 0"]);
    }

    #[test]
    fn a_state_stays_with_its_call() {
        let server = "10\tserver\t7\tlisten(3, 9) = 0\t1\t\t\n15\tserver\t7\tstate 3 tcp LISTEN 0 9 * *\t\t\t\n90\tserver\t7\tstate 3 tcp QUEUED 1 9 * *\t\t\t\n95\tserver\t7\tclose(3) = 0\t1\t\t\n";
        let client = "12\tclient\t8\tsocket() = 3\t1\t\t\n80\tclient\t8\tclose(3) = 0\t1\t\t\n";
        let traces = [Trace::read("a", server.as_bytes()), Trace::read("b", client.as_bytes())];
        assert_eq!(
            calls(&traces),
            ["listen(3, 9) = 0", "LISTEN", "socket() = 3", "close(3) = 0", "QUEUED", "close(3) = 0"]
        );
    }
}
