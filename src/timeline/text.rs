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
        let packet = matches!(event.what, Doing::Packet(_));
        let to = event.to.filter(|to| *to < lanes && *to != here && !packet);
        // Between two lanes that stand side by side an arrow needs room that the text must leave.
        let beside = to.is_some_and(|to| to == here + 1);
        let text = match &event.what {
            Doing::Packet(seen) => across(&escaped(&event.brief(each - 7)), seen.to_server, each - 1),
            Doing::Call(_) => escaped(&event.brief(each - 1 - if beside { ARROW_COLUMNS } else { 0 })),
        };
        let text = cut(&text, each - 1);
        let shaft = if event.forks() { "=" } else { "-" };
        let mut line = String::new();
        for lane in 0..lanes {
            let cell = match to {
                _ if lane == here => text.clone(),
                Some(to) if lane == to && to < here => format!("<{}", shaft.repeat(each - 1)),
                Some(to) if to < lane && lane < here => shaft.repeat(each),
                Some(to) if here < lane && lane < to => shaft.repeat(each),
                _ => "|".into(),
            };
            let fill = match to {
                Some(to) if lane == here && here < to => Some(true),
                Some(to) if lane + 1 == here && to < here => Some(false),
                _ => None,
            };
            match fill {
                Some(true) => {
                    let room = each.saturating_sub(columns_of(&cell) + 1);
                    line.push_str(&format!("{cell} {}", shaft.repeat(room)));
                }
                // The last blank parts the arrow from the text that it leaves.
                Some(false) => line.push_str(&format!("{} ", cut_plain(&cell, each - 1))),
                None => line.push_str(&padded(&cell, each)),
            }
            if let Some(to) = to
                && lane + 1 == to
                && here < to
            {
                line.pop();
                line.push('>');
            }
        }
        line
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

/// As many of the columns as fit: for lines of ASCII.
fn cut_plain(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}
