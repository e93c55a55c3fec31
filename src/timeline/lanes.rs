//! Who stands where: a lane for each process, and one for the wire when it was captured.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::arrows::Tie;
use super::merge::{Entry, Process};
use super::model::{Lane, Place};
use super::read::{Role, What};
use super::sockets::Sockets;

pub struct Lanes {
    pub all: Vec<Lane>,
    places: BTreeMap<Process, usize>,
    colors: BTreeMap<SocketAddr, usize>,
}

/// What is known of a process before it has a lane.
struct Member {
    process: Process,
    place: Place,
    /// The number of the connection that a child serves.
    number: Option<usize>,
    address: Option<SocketAddr>,
}

impl Lanes {
    /// In groups, and in each in the order in which the processes appear.
    pub fn of(story: &[&Entry<'_>], ties: &[Tie], sockets: &Sockets, captured: bool) -> Lanes {
        let mut members = members(story);
        let addresses = addresses(story, sockets);
        for member in &mut members {
            member.address = addresses.get(&member.process).copied();
        }
        number_clients(&mut members, story, ties);
        members.sort_by_key(|member| member.place);
        let mut lanes = Lanes { all: Vec::new(), places: BTreeMap::new(), colors: BTreeMap::new() };
        let servers = members.iter().filter(|member| member.place == Place::Parent).count();
        for member in &members {
            if captured && member.place > Place::Wire {
                lanes.add_wire();
            }
            lanes.add(member, servers > 1);
        }
        if captured {
            lanes.add_wire(); // where there is no server's trace
        }
        lanes
    }

    pub fn of_process(&self, process: Process) -> Option<usize> {
        self.places.get(&process).copied()
    }

    pub fn wire(&self) -> Option<usize> {
        self.all.iter().position(|lane| lane.place == Place::Wire)
    }

    pub fn color_of(&self, client: &SocketAddr) -> Option<usize> {
        self.colors.get(client).copied()
    }

    fn add(&mut self, member: &Member, one_of_many: bool) {
        let number = member.number.unwrap_or_default();
        let (name, title) = match member.place {
            Place::Client => (format!("client {number}"), format!("클라이언트 {number}")),
            Place::Child => (format!("c{number}"), format!("자식 c{number}")),
            _ if one_of_many => (format!("server {}", member.process.pid), format!("서버 {}", member.process.pid)),
            _ => ("server".into(), "서버 (부모)".into()),
        };
        let color = (member.place != Place::Parent).then(|| number.saturating_sub(1));
        if let (Place::Client | Place::Child, Some(address), Some(color)) = (member.place, member.address, color) {
            self.colors.insert(address, color);
        }
        let address = member.address.map(|address| address.to_string()).unwrap_or_default();
        self.places.insert(member.process, self.all.len());
        self.all.push(Lane { place: member.place, name, title, pid: Some(member.process.pid), address, color });
    }

    fn add_wire(&mut self) {
        if self.wire().is_none() {
            let (name, title) = ("wire".into(), "네트워크".into());
            self.all.push(Lane { place: Place::Wire, name, title, pid: None, address: String::new(), color: None });
        }
    }
}

/// The processes that made a call, in the order in which they appear.
fn members(story: &[&Entry<'_>]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for entry in story {
        let at = members.iter().position(|member| member.process == entry.process).unwrap_or_else(|| {
            members.push(Member { process: entry.process, place: Place::Parent, number: None, address: None });
            members.len() - 1
        });
        match entry.record.role {
            Role::Server => {}
            Role::Client => members[at].place = Place::Client,
            // The child's own fork() may still bear its parent's name.
            Role::Child(number) => {
                (members[at].place, members[at].number) = (Place::Child, usize::try_from(number).ok());
            }
        }
    }
    members
}

/// A client has the number of the child that serves it; without one, the next that is free.
fn number_clients(members: &mut [Member], story: &[&Entry<'_>], ties: &[Tie]) {
    let children: BTreeMap<Process, usize> = members
        .iter()
        .filter(|member| member.place == Place::Child)
        .filter_map(|member| Some((member.process, member.number?)))
        .collect();
    let mut served: BTreeMap<Process, usize> = BTreeMap::new();
    for tie in ties {
        let (from, to) = (story[tie.from].process, story[tie.to].process);
        for (client, child) in [(from, to), (to, from)] {
            served
                .extend(children.get(&child).filter(|_| !served.contains_key(&client)).map(|number| (client, *number)));
        }
    }
    let mut used: BTreeSet<usize> = children.into_values().collect();
    for member in members.iter_mut().filter(|member| member.place == Place::Client) {
        let number = served.get(&member.process).copied();
        let number = number.unwrap_or_else(|| (1..).find(|number| !used.contains(number)).unwrap_or_default());
        used.insert(number);
        member.number = Some(number);
    }
}

/// The address that stands over a lane: a client's own, a child's client's, a server's.
fn addresses(story: &[&Entry<'_>], sockets: &Sockets) -> BTreeMap<Process, SocketAddr> {
    let mut found = BTreeMap::new();
    for socket in &sockets.all {
        let own = if socket.accepted.is_some() { socket.peer } else { socket.local };
        let Some(own) = own else { continue };
        // Who speaks through a connection is not who accepted it.
        let speakers = socket.sent.iter().chain(&socket.taken).map(|transfer| transfer.record);
        for rank in speakers.chain(socket.connected) {
            found.entry(story[rank].process).or_insert(own);
        }
    }
    for entry in story.iter().filter(|entry| entry.record.role == Role::Server) {
        let What::Call(call) = &entry.record.what else { continue };
        if let ("bind" | "getsockname", Some(address)) = (call.name.as_str(), call.address()) {
            found.insert(entry.process, address);
        }
    }
    found
}
