//! What is shown of a step: the calls that it is about, each on a line; the others dimmed, or only counted.

use std::collections::BTreeMap;

use super::script::{SERVER, Step};
use crate::timeline::Event;

/// Before, at, behind: where words stand beside a call.
const BEFORE: u8 = 0;
const AT: u8 = 1;
const BEHIND: u8 = 2;

/// One line of the show.
pub enum Item {
    Call(Event),
    /// A call that teaches nothing at this point.
    Quiet(Event),
    /// Several of them.
    Folded {
        at: u64,
        lane: usize,
        words: String,
    },
    /// What a person types, or is shown.
    Person {
        at: u64,
        lane: usize,
        words: String,
    },
}

/// The lines of a step, in their order.
pub fn items(step: &Step, events: &[Event], screens: &[Vec<String>; 2]) -> Vec<Item> {
    let mut placed: Vec<((usize, u8), Item)> = Vec::new();
    let mut rows = Rows::default();
    for (row, event) in events.iter().enumerate() {
        match quiet(events, row) {
            None => {
                rows.close(event.lane);
                placed.push(((row, AT), Item::Call(event.clone())));
            }
            Some(Noise::Alone) => placed.push(((row, AT), Item::Quiet(event.clone()))),
            Some(noise) => rows.add(event.lane, row, noise),
        }
    }
    for group in rows.all() {
        let first = &events[group[0]];
        let item = match group.len() {
            1 => Item::Quiet(first.clone()),
            _ => Item::Folded { at: first.at, lane: first.lane, words: counted(events, &group) },
        };
        placed.push(((group[0], AT), item));
    }
    placed.extend(people(step, events, screens));
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, item)| item).collect()
}

/// What was typed stands before what that client did, and what it was shown behind the call that brought it.
fn people(step: &Step, events: &[Event], screens: &[Vec<String>; 2]) -> Vec<((usize, u8), Item)> {
    let at = |row: usize| events.get(row).or(events.last()).map_or(0, |event| event.at);
    let first = |lane: usize| events.iter().position(|event| event.lane == lane).unwrap_or(0);
    let mut all = Vec::new();
    for (lane, words) in step.typed() {
        let row = first(lane);
        all.push(((row, BEFORE), Item::Person { at: at(row), lane, words: format!("입력> {words}") }));
    }
    if step.stops_the_server() {
        let row = first(SERVER);
        all.push(((row, BEFORE), Item::Person { at: at(row), lane: SERVER, words: "시그널> SIGTERM".into() }));
    }
    for (lane, lines) in screens.iter().enumerate() {
        let brings = |event: &Event| {
            let call = event.made().map(|made| &made.call);
            event.lane == lane && call.is_some_and(|call| call.name.starts_with("recv") && call.value > 0)
        };
        let row = events.iter().rposition(brings).unwrap_or(events.len());
        let shown = |line: &String| Item::Person { at: at(row), lane, words: format!("화면> {line}") };
        all.extend(lines.iter().map(|line| ((row, BEHIND), shown(line))));
    }
    all
}

/// Why a call is not one to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noise {
    /// It prepares something; those that follow each other in a lane are one group.
    Setup,
    /// It looks at something.
    Alone,
    /// "Not yet": one group a step, however they are spread.
    Again,
}

fn quiet(events: &[Event], row: usize) -> Option<Noise> {
    let event = &events[row];
    let call = &event.made()?.call;
    let first_of_server = || {
        let socket = |event: &Event| event.made().is_some_and(|made| made.call.name == "socket");
        let socket = events.iter().position(|event| event.lane == SERVER && socket(event));
        event.lane == SERVER && socket.is_some_and(|socket| row < socket)
    };
    match call.name.as_str() {
        _ if call.errno.as_deref() == Some("EAGAIN") => Some(Noise::Again),
        "setsockopt" if !call.has(2, "SO_REUSEADDR") => Some(Noise::Setup),
        "fcntl" | "close_range" => Some(Noise::Setup),
        "recv" if call.has(3, "MSG_PEEK") => Some(Noise::Alone),
        // Whether the longest packet of a relay fits.
        _ if first_of_server() => Some(Noise::Setup),
        _ => None,
    }
}

/// Rows of a step that go together, by lane.
#[derive(Default)]
struct Rows {
    done: Vec<Vec<usize>>,
    setup: BTreeMap<usize, Vec<usize>>,
    again: BTreeMap<usize, Vec<usize>>,
}

impl Rows {
    fn add(&mut self, lane: usize, row: usize, noise: Noise) {
        match noise {
            Noise::Setup => self.setup.entry(lane).or_default().push(row),
            _ => self.again.entry(lane).or_default().push(row),
        }
    }

    /// A call to look at parts what was prepared before it from what comes behind.
    fn close(&mut self, lane: usize) {
        self.done.extend(self.setup.remove(&lane));
    }

    fn all(self) -> impl Iterator<Item = Vec<usize>> {
        self.done.into_iter().chain(self.setup.into_values()).chain(self.again.into_values())
    }
}

/// `… setsockopt ×3`, `… socketpair, send, close ×2`, `… recv ×4 = EAGAIN`
fn counted(events: &[Event], group: &[usize]) -> String {
    let mut names: Vec<(&str, usize)> = Vec::new();
    let calls = || group.iter().filter_map(|row| events[*row].made()).map(|made| &made.call);
    for call in calls() {
        match names.last_mut() {
            Some((name, count)) if *name == call.name => *count += 1,
            _ => names.push((&call.name, 1)),
        }
    }
    let counted = |(name, count): &(&str, usize)| match count {
        1 => name.to_string(),
        count => format!("{name} ×{count}"),
    };
    let names: Vec<String> = names.iter().map(counted).collect();
    let end = if calls().all(|call| call.errno.is_some()) { " = EAGAIN" } else { "" };
    format!("… {}{end}", names.join(", "))
}
