//! The picture that all outputs draw: lanes, what happened in them in the order of time, and what travelled.

use super::arrows::Kind;
use super::brief::cut;
use super::call::Call;
use super::packet::Packet;
use super::read::State;

#[derive(Debug, Default)]
pub struct Picture {
    /// Clients, the wire, the server's parent, its children: from left to right.
    pub lanes: Vec<Lane>,
    pub events: Vec<Event>,
    pub arrows: Vec<Arrow>,
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Client,
    Wire,
    Parent,
    Child,
}

#[derive(Clone, Debug)]
pub struct Lane {
    pub place: Place,
    /// For a terminal: `client 1`, `server`, `c1`.
    pub name: String,
    /// For a figure, in Korean.
    pub title: String,
    /// `None` for the wire.
    pub pid: Option<i32>,
    /// Its own address; a child's is that of the client that it serves.
    pub address: String,
    /// The conversation that the lane belongs to: a client and its child have the same. None for the parent.
    pub color: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Event {
    /// Microseconds since the first event.
    pub at: u64,
    pub lane: usize,
    pub what: Doing,
    /// The lane to which something leaves here, and the one from which it comes.
    pub to: Option<usize>,
    pub from: Option<usize>,
}

#[derive(Clone, Debug)]
pub enum Doing {
    Call(Made),
    Packet(Seen),
}

/// A call as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub call: Call,
    pub note: String,
    pub chapter: String,
    pub took: u64,
    /// The thread, where it is not the main one.
    pub thread: Option<i32>,
}

/// A packet as it was captured.
#[derive(Clone, Debug)]
pub struct Seen {
    pub packet: Packet,
    pub to_server: bool,
    pub color: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Arrow {
    pub from: usize,
    pub to: usize,
    pub kind: Kind,
    /// `33 B`, `Handshake ClientHello 517`, `FIN`
    pub label: String,
}

/// From event `step` on, this is what the kernel says of a descriptor; `None`: it is closed.
#[derive(Clone, Debug)]
pub struct Change {
    pub step: usize,
    pub lane: usize,
    pub fd: i32,
    pub state: Option<State>,
}

impl Event {
    /// What is done here, in at most `columns`.
    pub fn brief(&self, columns: usize) -> String {
        match &self.what {
            Doing::Call(made) => made.call.brief(&made.note, columns),
            Doing::Packet(seen) => cut(&seen.packet.label(), columns),
        }
    }

    /// The call, if it is one.
    pub fn made(&self) -> Option<&Made> {
        match &self.what {
            Doing::Call(made) => Some(made),
            Doing::Packet(_) => None,
        }
    }
}
