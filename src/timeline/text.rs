//! The picture for a terminal: a column for each lane, or one column with the lane's name in front.

use super::brief::{columns_of, cut};
use super::model::{Doing, Event, Lane, Picture};
use crate::text::escaped;

/// `1234567.890 `: milliseconds.
const TIME_COLUMNS: usize = 12;
/// A lane that is narrower than this says nothing.
const LEAST_COLUMNS: usize = 22;
/// The shortest arrow that is one: a blank, the shaft, the head.
const ARROW_COLUMNS: usize = 4;

/// Where each lane stands on a line of `width` columns. Lines are made one at a time, so that a run can be
/// shown while it goes on.
#[derive(Clone, Debug)]
pub struct Columns {
    width: usize,
    lanes: Vec<Lane>,
    /// Columns of a lane; `None`: there is no room for lanes side by side.
    each: Option<usize>,
}

impl Columns {
    pub fn new(width: usize, lanes: &[Lane]) -> Columns {
        let each = width.saturating_sub(TIME_COLUMNS) / lanes.len().max(1);
        let each = Some(each).filter(|each| *each >= LEAST_COLUMNS && lanes.len() > 1);
        Columns { width, lanes: lanes.to_vec(), each }
    }

    /// The names of the lanes, over their columns; or, where they have none, a list of who is who.
    pub fn heading(&self) -> String {
        let names = self.lanes.iter().map(|lane| match lane.pid {
            Some(pid) => format!("{} ({pid})", lane.name),
            None => lane.name.clone(),
        });
        let mut out = String::new();
        match self.each {
            Some(each) => {
                let cells = |texts: Vec<String>| -> String {
                    let cell = |text: String| padded(&cut(&escaped(&text), each - 1), each);
                    format!("{}{}", " ".repeat(TIME_COLUMNS), texts.into_iter().map(cell).collect::<String>())
                };
                let addresses = self.lanes.iter().map(|lane| lane.address.clone()).collect();
                for line in [cells(names.collect()), cells(addresses)] {
                    out.push_str(line.trim_end());
                    out.push('\n');
                }
            }
            None => {
                for (name, lane) in names.zip(&self.lanes) {
                    let line = escaped(&format!("{name} {}", lane.address));
                    out.push_str(cut(line.trim_end(), self.width).as_str());
                    out.push('\n');
                }
            }
        }
        out
    }

    /// One event on one line, without its end. An arrow goes to the lane to which something leaves.
    pub fn line(&self, event: &Event) -> String {
        let time = format!("{:>10}  ", milliseconds(event.at));
        let line = match self.each {
            Some(each) => self.in_columns(event, each),
            None => self.in_one(event, self.width.saturating_sub(columns_of(&time))),
        };
        let line = escaped(&format!("{time}{line}"));
        cut(line.trim_end(), self.width)
    }

    fn in_columns(&self, event: &Event, each: usize) -> String {
        let lanes = self.lanes.len();
        let here = event.lane.min(lanes - 1);
        let is_packet = matches!(event.what, Doing::Packet(_));
        let to = event.to.filter(|to| *to < lanes && *to != here && !is_packet);
        // To the lane beside it an arrow needs room, which the text must leave.
        let left = if to == Some(here + 1) { ARROW_COLUMNS } else { 0 };
        let text = match &event.what {
            Doing::Packet(seen) => across(&escaped(&event.brief(each - 7)), seen.to_server, each - 1),
            Doing::Call(_) => escaped(&event.brief(each - 1 - left)),
        };
        let text = cut(&text, each - 1 - left);
        let shaft = if event.forks() { "=" } else { "-" };
        let blank = |lanes: usize| padded("|", each).repeat(lanes);
        match to {
            None => format!("{}{}{}", blank(here), padded(&text, each), blank(lanes - here - 1)),
            Some(to) if to > here => {
                let room = (to - here) * each - columns_of(&text) - 2;
                format!("{}{text} {}>{}", blank(here), shaft.repeat(room), blank(lanes - to))
            }
            Some(to) => {
                let arrow = format!("<{} ", shaft.repeat((here - to) * each - 2));
                format!("{}{arrow}{}{}", blank(to), padded(&text, each), blank(lanes - here - 1))
            }
        }
    }

    fn in_one(&self, event: &Event, room: usize) -> String {
        let name = |lane: usize| self.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
        let lane = self.lanes.get(event.lane);
        let who = match lane.and_then(|lane| lane.pid) {
            Some(pid) => format!("[{} {pid}] ", name(event.lane)),
            None => format!("[{}] ", name(event.lane)),
        };
        let whither = match (&event.what, event.to, event.from) {
            (Doing::Packet(seen), ..) => if seen.to_server { " -> server" } else { " <- server" }.into(),
            (_, Some(to), _) => format!(" -> {}", name(to)),
            (_, None, Some(from)) => format!(" <- {}", name(from)),
            _ => String::new(),
        };
        let room = room.saturating_sub(columns_of(&who) + columns_of(&whither));
        format!("{who}{}{whither}", event.brief(room))
    }
}

impl Event {
    fn forks(&self) -> bool {
        matches!(&self.what, Doing::Call(made) if made.call.name == "fork")
    }
}

/// The whole picture, line by line.
pub fn draw(picture: &Picture, width: usize) -> String {
    let columns = Columns::new(width, &picture.lanes);
    let mut out = columns.heading();
    for event in &picture.events {
        out.push_str(&columns.line(event));
        out.push('\n');
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
                "     1.234  <---------------------- send(3, \"가나다…\") = 21 |",
            ),
        ] {
            assert_eq!(columns.line(&event(lane, to, text)), line);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_it_may_be(width in 0_usize..150, count in 1_usize..6, lane in 0_usize..8, to: Option<u8>, data in "\\PC{0,30}") {
            let columns = Columns::new(width, &lanes(count));
            let data = data.replace(['"', '\\'], "");
            let line = columns.line(&event(lane, to.map(|to| usize::from(to % 8)), &format!("send(3, \"{data}\", 9, 0) = 9")));
            prop_assert!(columns_of(&line) <= width);
        }
    }
}
