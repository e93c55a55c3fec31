//! From records and packets to the picture.

use std::collections::BTreeMap;

use super::arrows::{Kind, Tie, ties};
use super::lanes::Lanes;
use super::merge::{Entry, Process, clock, entries, order, shifted};
use super::model::{Arrow, Change, Doing, Event, Made, Picture, Seen};
use super::packet::Packet;
use super::read::{State, Trace, What};
use super::sockets::Sockets;
use super::wire::{Side, Wire};

/// Everything that the files tell, in the order of time. Of the capture, what belongs to the traces' sockets.
pub fn picture(traces: &[Trace], capture: Option<&[Packet]>) -> Picture {
    let entries = entries(traces);
    let ranks = order(&entries, &[]);
    let story: Vec<&Entry<'_>> = ranks.iter().map(|index| &entries[*index]).collect();
    let (ties, sockets) = follow(&story);
    let (wire, offset) = (Wire::of(&sockets), clock(traces).unwrap_or_default());
    let seen = capture.unwrap_or_default().iter().filter_map(|packet| Some((packet, wire.side(packet)?)));
    let packets: Vec<(&Packet, Side)> = seen.collect();
    let times: Vec<u64> = packets.iter().map(|(packet, _)| shifted(packet.time, -offset)).collect();

    let lanes = Lanes::of(&story, &ties, &sockets, capture.is_some());
    let mut drawing = Drawing { picture: Picture::default(), lanes, rows: BTreeMap::new(), inherited: BTreeMap::new() };
    let mut places = vec![None; story.len()]; // from the rank of a record to the number of its event
    let mut rank = 0;
    for index in order(&entries, &times) {
        match entries.get(index) {
            Some(entry) => {
                places[rank] = drawing.draw(entry);
                rank += 1;
            }
            None => drawing.draw_packet(packets[index - entries.len()], times[index - entries.len()]),
        }
    }
    drawing.tie(&ties, &places);
    drawing.finish()
}

/// All ties between records, by their rank in time, and the sockets that they went through.
fn follow(story: &[&Entry<'_>]) -> (Vec<Tie>, Sockets) {
    let mut sockets = Sockets::default();
    let mut firsts: BTreeMap<Process, usize> = BTreeMap::new();
    for (rank, entry) in story.iter().enumerate() {
        match &entry.record.what {
            What::Call(call) => {
                firsts.entry(entry.process).or_insert(rank);
                sockets.take_call(entry.process, rank, call);
            }
            What::State(state) => sockets.take_state(entry.process, state),
        }
    }
    let mut ties = ties(&mut sockets);
    let born = sockets.forks.iter().filter_map(|(from, child)| {
        let to = *firsts.get(child)?;
        (*from < to).then_some(Tie { from: *from, to, kind: Kind::Fork })
    });
    ties.extend(born);
    (ties, sockets)
}

struct Drawing {
    picture: Picture,
    lanes: Lanes,
    /// What the kernel has said last, by lane and descriptor.
    rows: BTreeMap<(usize, i32), State>,
    /// What a child had copies of when it was born; its first event shows them.
    inherited: BTreeMap<Process, Vec<State>>,
}

impl Drawing {
    /// The number of the new event, if there is one.
    fn draw(&mut self, entry: &Entry<'_>) -> Option<usize> {
        let lane = self.lanes.of_process(entry.process)?;
        let record = entry.record;
        let call = match &record.what {
            What::State(state) => {
                self.change(lane, state.fd, Some(state.clone()));
                return None;
            }
            What::Call(call) => call,
        };
        let (note, chapter) = (record.note.clone(), record.chapter.clone());
        let thread = (record.tid != record.pid).then_some(record.tid);
        let made = Made { call: call.clone(), note, chapter, took: record.took, thread };
        let number = self.add(entry.at(), lane, Doing::Call(made));
        for state in self.inherited.remove(&entry.process).unwrap_or_default() {
            self.change(lane, state.fd, Some(state));
        }
        match call.name.as_str() {
            "close" if !call.failed() => self.close(lane, call.fd().unwrap_or(-1), call.fd().unwrap_or(-1)),
            "close_range" if !call.failed() => {
                let last = call.args.get(1).and_then(|last| last.parse().ok()).unwrap_or(i32::MAX);
                self.close(lane, call.number(0).unwrap_or(i32::MAX), last);
            }
            "fork" if call.value > 0 => {
                let child = Process { pid: i32::try_from(call.value).unwrap_or(-1), ..entry.process };
                let copies = self.rows.range((lane, 0)..=(lane, i32::MAX)).map(|(_, state)| state.clone()).collect();
                self.inherited.insert(child, copies);
            }
            _ => {}
        }
        Some(number)
    }

    fn draw_packet(&mut self, (packet, side): (&Packet, Side), at: u64) {
        let Some(lane) = self.lanes.wire() else { return };
        let color = self.lanes.color_of(&side.client);
        self.add(at, lane, Doing::Packet(Seen { packet: packet.clone(), to_server: side.to_server, color }));
    }

    /// Times are kept as they are for now; [`Drawing::finish`] counts them from the first event.
    fn add(&mut self, at: u64, lane: usize, what: Doing) -> usize {
        self.picture.events.push(Event { at, lane, what, to: None, from: None });
        self.picture.events.len() - 1
    }

    fn change(&mut self, lane: usize, fd: i32, state: Option<State>) {
        let step = self.picture.events.len().saturating_sub(1);
        match &state {
            Some(state) => drop(self.rows.insert((lane, fd), state.clone())),
            None => drop(self.rows.remove(&(lane, fd))),
        }
        self.picture.changes.push(Change { step, lane, fd, state });
    }

    fn close(&mut self, lane: usize, first: i32, last: i32) {
        let gone = self.rows.range((lane, first)..=(lane, last.max(first))).map(|((_, fd), _)| *fd);
        for fd in gone.collect::<Vec<_>>() {
            self.change(lane, fd, None);
        }
    }

    fn tie(&mut self, ties: &[Tie], places: &[Option<usize>]) {
        let events = &mut self.picture.events;
        for tie in ties {
            let (Some(from), Some(to)) = (places[tie.from], places[tie.to]) else { continue };
            let lanes = (events[from].lane, events[to].lane);
            events[from].to.get_or_insert(lanes.1);
            events[to].from.get_or_insert(lanes.0);
            let label = label(&events[from], tie.kind);
            self.picture.arrows.push(Arrow { from, to, kind: tie.kind, label });
        }
        self.picture.arrows.sort_by_key(|arrow| (arrow.from, arrow.to));
    }

    fn finish(mut self) -> Picture {
        let first = self.picture.events.iter().map(|event| event.at).min().unwrap_or_default();
        let mut latest = 0;
        for event in &mut self.picture.events {
            latest = latest.max(event.at - first);
            event.at = latest;
        }
        self.picture.lanes = self.lanes.all;
        self.picture
    }
}

fn label(from: &Event, kind: Kind) -> String {
    match (kind, &from.what) {
        (Kind::Data | Kind::Relay | Kind::Datagram, Doing::Call(made)) => match made.note.as_str() {
            "" => format!("{} B", made.call.value),
            note => note.to_string(),
        },
        (Kind::Connect, _) => "연결 요청".into(),
        (Kind::End, _) => "FIN".into(),
        (Kind::PairEnd, _) => "EOF".into(),
        (Kind::Reset, _) => "RST".into(),
        _ => String::new(),
    }
}
