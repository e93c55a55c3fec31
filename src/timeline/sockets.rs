//! Descriptors followed through the calls: which socket is meant by a number, in which process, at which time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::call::Call;
use super::merge::Process;
use super::read::State;

/// A place in [`Sockets::all`].
pub type Id = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Datagrams,
    /// One end of a socketpair that keeps the borders of packets.
    Packets,
    /// Syslog and the like: nothing that is drawn.
    Other,
}

/// A socket, as far as the calls tell of it. Calls are named by their place in the order of time.
#[derive(Debug)]
pub struct Socket {
    pub kind: Kind,
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
    pub connected: Option<usize>,
    pub accepted: Option<usize>,
    /// The socket at the other end, once it is known.
    pub other_end: Option<Id>,
    pub sent: Vec<Transfer>,
    pub taken: Vec<Transfer>,
    /// The call that said that no more will be sent: shutdown(), or the last close().
    pub end: Option<usize>,
    /// The first call that was told that no more will come, and whether by an error (RST).
    pub told: Option<(usize, bool)>,
}

/// What one call sent or took.
#[derive(Debug)]
pub struct Transfer {
    pub record: usize,
    pub bytes: u64,
    /// Of a datagram: to whom, or from whom.
    pub address: Option<SocketAddr>,
    pub data: String,
}

#[derive(Debug, Default)]
pub struct Sockets {
    pub all: Vec<Socket>,
    open: BTreeMap<(Process, i32), Id>,
    /// fork() in the parent, and the child.
    pub forks: Vec<(usize, Process)>,
}

impl Sockets {
    pub fn take_call(&mut self, who: Process, record: usize, call: &Call) {
        let fd = call.fd().unwrap_or(-1);
        let id = self.open.get(&(who, fd)).copied();
        if call.failed() {
            return self.take_failure(id, record, call);
        }
        match (call.name.as_str(), id) {
            ("socket", _) => self.make(who, call.value, Socket::new(kind(call))),
            ("socketpair", _) => self.make_pair(who, call),
            ("accept4" | "accept", Some(listener)) => {
                let local = self.all[listener].local;
                let conn = Socket { local, peer: call.address(), accepted: Some(record), ..Socket::new(Kind::Stream) };
                self.make(who, call.value, conn);
            }
            ("bind" | "getsockname", Some(id)) => self.all[id].local = call.address().or(self.all[id].local),
            ("connect", Some(id)) => self.connect(id, record, call),
            ("fork", _) if call.value > 0 => self.fork(who, record, call),
            ("send" | "sendto" | "sendmsg", Some(id)) => self.all[id].sent.push(Transfer::of(record, call)),
            ("recv" | "recvfrom" | "recvmsg", Some(id)) => self.take(id, record, call),
            ("shutdown", Some(id)) if !call.has(1, "SHUT_RD") => self.end(id, record),
            ("close", Some(_)) => self.close(who, record, fd..=fd),
            ("close_range", _) => {
                let first = call.number(0).unwrap_or(i32::MAX);
                let last = call.args.get(1).and_then(|last| last.parse().ok()).unwrap_or(i32::MAX); // ~0U does not fit
                self.close(who, record, first..=last.max(first));
            }
            _ => {}
        }
    }

    /// What the kernel says fills in what no call has told: the port that connect() or sendto() got.
    pub fn take_state(&mut self, who: Process, state: &State) {
        let Some(&id) = self.open.get(&(who, state.fd)) else { return self.adopt(who, state) };
        let socket = &mut self.all[id];
        if socket.kind == Kind::Other || socket.kind == Kind::Packets {
            return;
        }
        socket.local = socket.local.or_else(|| address(&state.local));
        socket.peer = socket.peer.or_else(|| address(&state.peer));
    }

    /// A descriptor that no call has made is a copy (dup(2)) of one that was: a connection is known by its addresses.
    fn adopt(&mut self, who: Process, state: &State) {
        let (Some(local), Some(peer)) = (address(&state.local), address(&state.peer)) else { return };
        let is_it = |socket: &Socket| {
            socket.kind == Kind::Stream
                && socket.peer == Some(peer)
                && socket.local.is_some_and(|own| {
                    own.port() == local.port() && (own.ip() == local.ip() || own.ip().is_unspecified())
                })
        };
        let Some(id) = self.all.iter().rposition(is_it) else { return };
        if !self.open.values().any(|open| *open == id) {
            self.all[id].end = None; // what seemed to be the last close() was not
        }
        self.open.insert((who, state.fd), id);
    }

    fn take_failure(&mut self, id: Option<Id>, record: usize, call: &Call) {
        match (call.name.as_str(), call.errno.as_deref(), id) {
            ("connect", Some("EINPROGRESS"), Some(id)) => self.connect(id, record, call),
            ("recv", Some("ECONNRESET"), Some(id)) => {
                self.all[id].told.get_or_insert((record, true));
            }
            _ => {}
        }
    }

    fn make(&mut self, who: Process, fd: i64, socket: Socket) {
        self.all.push(socket);
        let fd = i32::try_from(fd).unwrap_or(-1);
        self.open.insert((who, fd), self.all.len() - 1);
    }

    fn make_pair(&mut self, who: Process, call: &Call) {
        let Some((a, b)) = call.pair() else { return };
        let kind = if call.has(1, "SOCK_STREAM") { Kind::Stream } else { Kind::Packets };
        let first = self.all.len();
        for (fd, other_end) in [(a, first + 1), (b, first)] {
            self.make(who, fd.into(), Socket { other_end: Some(other_end), ..Socket::new(kind) });
        }
    }

    fn connect(&mut self, id: Id, record: usize, call: &Call) {
        let socket = &mut self.all[id];
        socket.peer = call.address().or(socket.peer);
        socket.connected = Some(record);
    }

    /// The child has copies of all that its parent has open.
    fn fork(&mut self, who: Process, record: usize, call: &Call) {
        let Ok(pid) = i32::try_from(call.value) else { return };
        let child = Process { pid, ..who };
        let copies: Vec<_> = self.range(who, 0..=i32::MAX);
        self.open.extend(copies.into_iter().map(|(fd, id)| ((child, fd), id)));
        self.forks.push((record, child));
    }

    fn take(&mut self, id: Id, record: usize, call: &Call) {
        let socket = &mut self.all[id];
        if call.name == "recv" && call.has(3, "MSG_PEEK") {
            return;
        }
        if call.value == 0 && socket.kind != Kind::Datagrams {
            socket.told.get_or_insert((record, false));
        } else {
            socket.taken.push(Transfer::of(record, call));
        }
    }

    fn end(&mut self, id: Id, record: usize) {
        self.all[id].end.get_or_insert(record);
    }

    /// Takes the numbers away; a socket that nobody has any more has ended.
    fn close(&mut self, who: Process, record: usize, fds: std::ops::RangeInclusive<i32>) {
        for (fd, id) in self.range(who, fds) {
            self.open.remove(&(who, fd));
            if !self.open.values().any(|open| *open == id) {
                self.end(id, record);
            }
        }
    }

    fn range(&self, who: Process, fds: std::ops::RangeInclusive<i32>) -> Vec<(i32, Id)> {
        let (first, last) = fds.into_inner();
        self.open.range((who, first)..=(who, last)).map(|((_, fd), id)| (*fd, *id)).collect()
    }

    /// Ties each accepted socket to the connected one whose addresses are the same, the other way round.
    pub fn join(&mut self) {
        let accepted: Vec<Id> = (0..self.all.len()).filter(|id| self.all[*id].accepted.is_some()).collect();
        for known in [true, false] {
            for &conn in &accepted {
                if self.all[conn].other_end.is_none()
                    && let Some(client) = self.client_of(conn, known)
                {
                    (self.all[conn].other_end, self.all[client].other_end) = (Some(client), Some(conn));
                    let peer = self.all[conn].peer;
                    self.all[client].local = self.all[client].local.or(peer);
                }
            }
        }
    }

    /// A client whose own address is `known`; otherwise one that asked for this port, in the order of asking.
    fn client_of(&self, conn: Id, known: bool) -> Option<Id> {
        let conn = &self.all[conn];
        let port = conn.local.map(|local| local.port());
        let fits = |socket: &Socket| {
            let asked = port.is_none() || socket.peer.map(|peer| peer.port()) == port;
            let free = socket.connected.is_some() && socket.other_end.is_none() && socket.kind == Kind::Stream;
            free && asked
                && if known { socket.local.is_some() && socket.local == conn.peer } else { socket.local.is_none() }
        };
        let mut clients = (0..self.all.len()).filter(|id| fits(&self.all[*id]));
        // A port may serve twice in a long trace: the call that came last before accept4() is the one.
        if known { clients.rfind(|id| self.all[*id].connected < conn.accepted) } else { clients.next() }
    }
}

impl Socket {
    fn new(kind: Kind) -> Socket {
        Socket {
            kind,
            local: None,
            peer: None,
            connected: None,
            accepted: None,
            other_end: None,
            sent: Vec::new(),
            taken: Vec::new(),
            end: None,
            told: None,
        }
    }
}

impl Transfer {
    fn of(record: usize, call: &Call) -> Transfer {
        let bytes = u64::try_from(call.value).unwrap_or_default();
        Transfer { record, bytes, address: call.address(), data: call.data().unwrap_or_default().into() }
    }
}

fn kind(call: &Call) -> Kind {
    match (call.args.first().map(String::as_str), call.has(1, "SOCK_STREAM"), call.has(1, "SOCK_DGRAM")) {
        (Some("AF_INET" | "AF_INET6"), true, _) => Kind::Stream,
        (Some("AF_INET" | "AF_INET6"), _, true) => Kind::Datagrams,
        _ => Kind::Other,
    }
}

/// `127.0.0.1:7000`, `[::1]:7000`; not `*` and the like.
fn address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port())).filter(|address| address.port() != 0)
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
