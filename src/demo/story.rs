//! What the trace file tells, on the lanes of the show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::script::{C1, NAMES};
use crate::timeline::{Event, Lane, Picture, Place, so_far};

/// A thread: its lane, and its number where it is not the main one. What it did comes in one order.
type Thread = (usize, Option<i32>);

pub struct Story {
    path: PathBuf,
    trace: Vec<u8>,
    picture: Picture,
    /// In the order of the script; names, and what has become known of them.
    pub lanes: Vec<Lane>,
    /// How many events of each thread have been shown.
    shown: BTreeMap<Thread, usize>,
}

impl Story {
    pub fn new(path: &Path, lanes: usize) -> Story {
        let lanes = NAMES[..lanes].iter().map(|name| Lane {
            place: Place::Client,
            name: name.to_string(),
            title: name.to_string(),
            pid: None,
            address: String::new(),
            color: None,
        });
        let (trace, picture, shown) = (Vec::new(), Picture::default(), BTreeMap::new());
        Story { path: path.into(), trace, picture, lanes: lanes.collect(), shown }
    }

    /// Whose client this is, the trace does not tell.
    pub fn knows(&mut self, lane: usize, pid: i32) {
        self.lanes[lane].pid = Some(pid);
    }

    /// Reads the file anew when it has grown.
    pub fn look(&mut self) {
        let length = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        if length == self.trace.len() as u64 {
            return;
        }
        self.trace = std::fs::read(&self.path).unwrap_or_default();
        self.picture = so_far(&self.trace, None);
        for lane in self.picture.lanes.iter() {
            let Some(known) = place(&self.lanes, lane).and_then(|place| self.lanes.get_mut(place)) else { continue };
            *known = Lane { name: known.name.clone(), ..lane.clone() };
        }
        // Until it speaks, a child's lane does not tell whom it serves. The script does.
        for child in C1..self.lanes.len() {
            self.lanes[child].address = self.lanes[child - C1].address.clone();
        }
    }

    /// What has not been shown yet, in the order of time.
    pub fn news(&self) -> Vec<Event> {
        let places: Vec<Option<usize>> = self.picture.lanes.iter().map(|lane| place(&self.lanes, lane)).collect();
        let placed = |lane: usize| places.get(lane).copied().flatten();
        let mut seen: BTreeMap<Thread, usize> = BTreeMap::new();
        let mut news = Vec::new();
        for event in &self.picture.events {
            let Some(lane) = placed(event.lane) else { continue };
            let (to, from) = (event.to.and_then(placed), event.from.and_then(placed));
            let event = Event { lane, to, from, ..event.clone() };
            let count = seen.entry(thread(&event)).or_default();
            *count += 1;
            if *count > self.shown.get(&thread(&event)).copied().unwrap_or_default() {
                news.push(event);
            }
        }
        news
    }

    pub fn have_shown(&mut self, events: &[Event]) {
        for event in events {
            *self.shown.entry(thread(event)).or_default() += 1;
        }
    }

    /// Whether nothing is under way. A record is written behind its call: what somebody has sent may have been taken
    /// before we read that it was sent.
    pub fn is_settled(&self) -> bool {
        let pairs = self.descriptors("connect").zip(self.descriptors("accept4")).zip(C1..);
        let is_even = |((client, conn), child)| {
            let client = (child - C1, client);
            self.moved(client, "send") == self.moved((child, conn), "recv")
                && self.moved((child, conn), "send") == self.moved(client, "recv")
        };
        !self.news().iter().any(is_on_its_way) && pairs.into_iter().all(is_even)
    }

    /// The connections' descriptors in the order of time: of connect() as it was given, of accept4() as it came back.
    fn descriptors(&self, name: &str) -> impl Iterator<Item = Option<i32>> {
        let calls = self.picture.events.iter().filter_map(Event::made).map(|made| &made.call);
        let made = calls.filter(move |call| call.name == name && !call.failed());
        made.map(|call| if call.name == "connect" { call.fd() } else { call.value.try_into().ok() })
    }

    /// The bytes that a process has sent or taken through a descriptor. TLS may take several records in one call.
    fn moved(&self, (lane, fd): (usize, Option<i32>), name: &str) -> i64 {
        let own = |event: &&Event| place(&self.lanes, &self.picture.lanes[event.lane]) == Some(lane);
        let calls = self.picture.events.iter().filter(own).filter_map(Event::made).map(|made| &made.call);
        let moved = calls.filter(|call| call.name == name && call.fd() == fd && !call.failed());
        moved.filter(|call| !call.has(3, "MSG_PEEK")).map(|call| call.value).sum()
    }

    /// Whether a capture holds all of the run: both ends of each connection, or each datagram.
    pub fn is_in(&self, capture: &[u8]) -> bool {
        let calls = || self.picture.events.iter().filter_map(Event::made);
        let made = |name: &str| calls().filter(|made| made.call.name == name).count();
        let whole = so_far(&self.trace, Some(capture));
        let packets = |part: &str| {
            let is_one = |event: &&Event| event.made().is_none() && event.brief(usize::MAX).contains(part);
            whole.events.iter().filter(is_one).count()
        };
        packets("FIN") >= 2 * made("connect") && packets("UDP") >= made("sendto")
    }
}

fn thread(event: &Event) -> Thread {
    (event.lane, event.made().and_then(|made| made.thread))
}

/// Whether the other side of this is not known yet.
pub fn is_on_its_way(event: &Event) -> bool {
    let Some(call) = event.made().map(|made| &made.call).filter(|call| !call.failed()) else { return false };
    match call.name.as_str() {
        "connect" | "send" | "sendto" => event.to.is_none(),
        "fork" if call.value > 0 => event.to.is_none(),
        "fork" | "accept4" => event.from.is_none(),
        "recv" | "recvfrom" => event.from.is_none() && call.value > 0 && !call.has(3, "MSG_PEEK"),
        _ => false,
    }
}

/// The lane of the show that this one is.
fn place(lanes: &[Lane], lane: &Lane) -> Option<usize> {
    match lane.place {
        Place::Client => lanes.iter().position(|known| known.pid == lane.pid),
        Place::Parent | Place::Child => lanes.iter().position(|known| known.name == lane.name),
        Place::Wire => None,
    }
}
