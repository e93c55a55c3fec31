//! The picture for a terminal: a column for each lane, or one column with the lane's name in front.

use super::brief::{columns_of, cut};
use super::model::{Doing, Event, Lane, Picture};
use crate::text::escaped;

/// `1234567.890 `: milliseconds.
const TIME_COLUMNS: usize = 12;
/// A lane that is narrower than this has no room for a name and a pid.
const LEAST_COLUMNS: usize = 16;
/// What the last lane has at least, and what it is given where the others keep enough: its calls cannot run on
/// over lanes behind it.
const LAST_COLUMNS: usize = 20;
const LAST_WISH: usize = 40;
const ENOUGH_COLUMNS: usize = 24;
/// The shortest arrow that is one: a blank, the shaft, the head.
const ARROW_COLUMNS: usize = 3;

/// Where each lane stands on a line of `width` columns. Lines are made one at a time, so that a run can be
/// shown while it goes on.
#[derive(Clone, Debug)]
pub struct Columns {
    width: usize,
    lanes: Vec<Lane>,
    /// Whether a lane has a name and a line. Without them its place stays empty.
    there: Vec<bool>,
    /// Columns of a lane; the last one has what is left. `None`: there is no room for lanes side by side.
    each: Option<usize>,
}

/// One line: the event with its arrow, and what stands before and behind it.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub before: String,
    pub body: String,
    pub after: String,
}

impl Columns {
    pub fn new(width: usize, lanes: &[Lane]) -> Columns {
        let (room, count) = (width.saturating_sub(TIME_COLUMNS), lanes.len());
        let before_last = |last: usize| room.saturating_sub(last) / count.saturating_sub(1).max(1);
        let each = match room / count.max(1) {
            ample if ample >= LAST_WISH => ample,
            even if even >= LAST_COLUMNS => before_last(LAST_WISH).max(even.min(ENOUGH_COLUMNS)),
            _ => before_last(LAST_COLUMNS),
        };
        let each = Some(each).filter(|each| *each >= LEAST_COLUMNS && count > 1);
        Columns { width, lanes: lanes.to_vec(), there: vec![true; count], each }
    }

    /// The same with only some of the lanes to be seen.
    pub fn with_only(self, there: &[bool]) -> Columns {
        let there = (0..self.lanes.len()).map(|lane| there.get(lane).copied().unwrap_or_default()).collect();
        Columns { there, ..self }
    }

    /// Whether each lane has columns of its own.
    pub fn side_by_side(&self) -> bool {
        self.each.is_some()
    }

    /// The names of the lanes, over their columns; or, where they have none, a list of who is who.
    pub fn heading(&self) -> String {
        let shown = |lane: &(&Lane, &bool)| *lane.1;
        let name = |lane: &Lane| match lane.pid {
            Some(pid) => format!("{} ({pid})", lane.name),
            None => lane.name.clone(),
        };
        let lanes = || self.lanes.iter().zip(&self.there);
        let mut out = String::new();
        let mut add = |line: &str| out.push_str(&(cut(line.trim_end(), self.width) + "\n"));
        let Some(each) = self.each else {
            lanes().filter(shown).for_each(|(lane, _)| add(&escaped(&format!("{} {}", name(lane), lane.address))));
            return out;
        };
        for text in [name, |lane: &Lane| lane.address.clone()] {
            let cells = lanes().map(|(lane, there)| if *there { text(lane) } else { String::new() });
            let cells: String = cells.map(|text| padded(&cut(&escaped(&text), each - 1), each)).collect();
            add(&format!("{}{cells}", " ".repeat(TIME_COLUMNS)));
        }
        out
    }

    /// One event on one line. An arrow goes to the lane to which something leaves.
    pub fn line(&self, event: &Event) -> Line {
        match self.each {
            Some(each) => self.in_columns(event, each),
            None => self.in_one(event),
        }
    }

    /// What somebody has to say beside the calls: words in a lane.
    pub fn words(&self, at: u64, lane: usize, words: &str) -> Line {
        let words = escaped(words);
        match self.each {
            Some(each) => self.placed(at, each, each * lane, &cut(&words, self.room(each * lane))),
            None => self.named(at, lane, |room| cut(&words, room)),
        }
    }

    /// Columns from this one, counted from that of the first lane, to the end of the line.
    fn room(&self, start: usize) -> usize {
        self.width.saturating_sub(TIME_COLUMNS + start)
    }

    /// The text may run on over the lanes behind its own: nothing else happens on this line.
    fn in_columns(&self, event: &Event, each: usize) -> Line {
        let here = event.lane.min(self.lanes.len() - 1);
        let start = each * here;
        let text = |room: usize| cut(&escaped(&event.brief(room)), room);
        let forks = event.made().is_some_and(|made| made.call.name == "fork");
        let shaft = |columns: usize| if forks { "=" } else { "-" }.repeat(columns);
        let (start, body) = match (&event.what, event.to.filter(|to| *to < self.lanes.len())) {
            (Doing::Packet(seen), _) => (start, across(&text(each - 7), seen.to_server, each - 1)),
            (_, Some(to)) if here < to => {
                let length = each * (to - here);
                let text = text(length - ARROW_COLUMNS);
                let shaft = shaft(length - columns_of(&text) - 2);
                (start, format!("{text} {shaft}>"))
            }
            (_, Some(to)) if to < here => {
                let shaft = shaft(each * (here - to) - 2);
                (each * to, format!("<{shaft} {}", text(self.room(start))))
            }
            _ => (start, text(self.room(start))),
        };
        self.placed(event.at, each, start, &body)
    }

    /// `body` from column `start` on, and the lines of the lanes on both sides of it.
    fn placed(&self, at: u64, each: usize, start: usize, body: &str) -> Line {
        let bar = |lane: usize| padded(if self.there[lane] { "|" } else { "" }, each);
        let end = start + columns_of(body);
        let apart = usize::from(!body.ends_with('>')); // an arrow touches the line that it leads to
        let before: String = (0..self.lanes.len()).take_while(|lane| each * lane < start).map(bar).collect();
        let behind = (0..self.lanes.len()).find(|lane| each * lane >= end + apart);
        let after = behind.map_or(String::new(), |first| {
            let bars: String = (first..self.lanes.len()).map(bar).collect();
            " ".repeat(each * first - end) + &bars
        });
        Line { before: time(at) + &before, body: body.into(), after: after.trim_end().into() }
    }

    fn in_one(&self, event: &Event) -> Line {
        let name = |lane: usize| self.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
        let whither = match (&event.what, event.to, event.from) {
            (Doing::Packet(seen), ..) => if seen.to_server { " -> server" } else { " <- server" }.into(),
            (_, Some(to), _) => format!(" -> {}", name(to)),
            (_, None, Some(from)) => format!(" <- {}", name(from)),
            _ => String::new(),
        };
        let whither = escaped(&whither);
        self.named(event.at, event.lane, |room| {
            escaped(&event.brief(room.saturating_sub(columns_of(&whither)))) + &whither
        })
    }

    /// `[server 4121]` in front of what fits in the room that is left.
    fn named(&self, at: u64, lane: usize, body: impl Fn(usize) -> String) -> Line {
        let lane = self.lanes.get(lane);
        let name = lane.map_or("?", |lane| lane.name.as_str());
        let who = match lane.and_then(|lane| lane.pid) {
            Some(pid) => format!("[{name} {pid}] "),
            None => format!("[{name}] "),
        };
        let before = cut(&(time(at) + &escaped(&who)), self.width);
        let room = self.width.saturating_sub(columns_of(&before));
        Line { before, body: cut(&body(room), room), after: String::new() }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = format!("{}{}{}", self.before, self.body, self.after);
        f.write_str(line.trim_end())
    }
}

/// The whole picture, line by line.
pub fn draw(picture: &Picture, width: usize) -> String {
    let columns = Columns::new(width, &picture.lanes);
    let mut out = columns.heading();
    for event in &picture.events {
        out.push_str(&format!("{}\n", columns.line(event)));
    }
    out
}

/// `--- SYN -->` or `<-- SYN/ACK ---`: a packet on its way across the wire's lane.
fn across(label: &str, to_server: bool, room: usize) -> String {
    let rest = room.saturating_sub(columns_of(label) + 3);
    let (left, right) = (rest / 2, rest - rest / 2);
    match to_server {
        true => format!("{} {label} {}>", "-".repeat(left), "-".repeat(right)),
        false => format!("<{} {label} {}", "-".repeat(left), "-".repeat(right)),
    }
}

fn time(at: u64) -> String {
    format!("{:>10}  ", milliseconds(at))
}

pub fn milliseconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

fn padded(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(columns_of(text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Call, Made, Place};
    use proptest::prelude::*;

    fn lanes(count: usize) -> Vec<Lane> {
        let lane = |n| Lane {
            place: Place::Child,
            name: format!("c{n}"),
            title: format!("자식 c{n}"),
            pid: Some(100 + n),
            address: String::new(),
            color: None,
        };
        (0..count as i32).map(lane).collect()
    }

    fn event(lane: usize, to: Option<usize>, text: &str) -> Event {
        let call = Call::parse(text).unwrap_or_else(|| panic!("{text}"));
        let (note, chapter) = (String::new(), String::new());
        Event { at: 1234, lane, what: Doing::Call(Made { call, note, chapter, took: 0, thread: None }), to, from: None }
    }

    #[test]
    fn lines_can_be_had_one_by_one() {
        let columns = Columns::new(12 + 3 * 24, &lanes(3));
        assert_eq!(
            columns.heading().lines().next(),
            Some("            c0 (100)                c1 (101)                c2 (102)")
        );
        for (lane, to, text, line) in [
            (0, None, "listen(3, 5) = 0", "     1.234  listen(3, 5) = 0        |                       |"),
            (
                0,
                Some(1),
                "send(3, \"가\", 3, 0) = 3",
                "     1.234  send(3, \"가\") = 3 ----->|                       |",
            ),
            (0, Some(2), "fork() = 102", "     1.234  fork() = 102 ==================================>|"),
            (2, Some(0), "close(3) = 0", "     1.234  <---------------------------------------------- close(3) = 0"),
            (
                1,
                Some(0),
                "send(3, \"가나다라마바사\", 21, 0) = 21",
                "     1.234  <---------------------- send(3, \"가나다라마바사\") = 21",
            ),
            (
                1,
                Some(2),
                "send(3, \"가나다라마바사\", 21, 0) = 21",
                "     1.234  |                       send(3, \"가나…\") = 21 ->|",
            ),
        ] {
            assert_eq!(columns.line(&event(lane, to, text)).to_string(), line);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_it_may_be(width in 0_usize..150, count in 1_usize..6, lane in 0_usize..8, to: Option<u8>, data in "\\PC{0,30}") {
            let columns = Columns::new(width, &lanes(count));
            let data = data.replace(['"', '\\'], "");
            let send = format!("send(3, \"{data}\", 9, 0) = 9");
            let line = columns.line(&event(lane, to.map(|to| usize::from(to % 8)), &send));
            prop_assert!(columns_of(&line.to_string()) <= width);
        }
    }
}
