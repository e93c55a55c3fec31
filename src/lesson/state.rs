//! What the kernel says of a socket of our own process, in the words of ss(8).
//!
//! `look.rs` asks, `address.rs` is one end of a socket, `full.rs` the table for a person.
//!
//! Where a call on the socket does not tell what ss is told by the kernel:
//! - an unread FIN, and a SYN without answer, count in ss's queues, not in SIOCINQ and SIOCOUTQ: added here;
//! - UDP's Recv-Q is memory, not bytes. The kernel takes back the memory of datagrams that have been read only when
//!   their batch is empty; ss leaves it out at once, and no call on the socket tells how much it is;
//! - the two ends of an AF_UNIX pair have no names, and ss adds inode numbers; its queue of connections only ss knows;
//! - TIME-WAIT has no owner: its descriptor says CLOSE.

mod address;
mod full;
mod look;

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Mutex;

use super::{lock, shown};
pub use address::Address;
pub use full::in_full;
use look::TcpInfo;

/// One look at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `tcp`, `udp`, `u_str`, `u_seq`, `u_dgr`
    pub kind: &'static str,
    /// `LISTEN`, `ESTAB`, …; `CLOSE` for a TCP socket that has neither listened nor connected.
    pub state: &'static str,
    /// Of a listener the connections that wait for accept(); `None` where nobody can tell.
    pub recv_q: Option<u32>,
    /// Of a listener how many connections may wait.
    pub send_q: Option<u32>,
    pub local: Address,
    pub peer: Address,
}

impl State {
    /// What the kernel says now; `None` for what is no socket of the lesson, or closed.
    ///
    /// At most six system calls, and one for the name of a link-local address's interface.
    pub fn of(fd: BorrowedFd<'_>) -> Option<State> {
        let local = Address::parse(look::local(fd).ok()?.bytes())?;
        if let Address::Unix(_) = local {
            return unix(fd, local);
        }
        match look::tcp_info(fd) {
            Ok(info) => Some(tcp(fd, local, &info)),
            Err(_) => udp(fd, local),
        }
    }

    /// `tcp LISTEN 0 4096 127.0.0.1:7000 0.0.0.0:*`
    pub fn brief(&self) -> String {
        let State { kind, state, local, peer, .. } = self;
        format!("{kind} {state} {} {} {local} {peer}", number(self.recv_q), number(self.send_q))
    }

    /// What is different from a look before: `CLOSE -> LISTEN`, `accept queue 0 -> 1`.
    pub fn changes_since(&self, before: &State) -> Vec<String> {
        if self.kind != before.kind {
            return vec![format!("{} -> {}", before.brief(), self.brief())]; // another socket, with the old one's number
        }
        let mut changes = Vec::new();
        let mut note = |what: &str, old: String, new: String| {
            if old != new {
                changes.push(format!("{what}{old} -> {new}"));
            }
        };
        note("", before.state.into(), self.state.into());
        note("local ", before.local.to_string(), self.local.to_string());
        note("peer ", before.peer.to_string(), self.peer.to_string());
        match (before.is_listener(), self.is_listener()) {
            (true, true) => {
                note("accept queue ", number(before.recv_q), number(self.recv_q));
                note("accept queue limit ", number(before.send_q), number(self.send_q));
            }
            (false, false) => {
                note("Recv-Q ", number(before.recv_q), number(self.recv_q));
                note("Send-Q ", number(before.send_q), number(self.send_q));
            }
            (false, true) => changes.push(format!("accept queue limit {}", number(self.send_q))),
            (true, false) => {}
        }
        changes
    }

    pub fn is_listener(&self) -> bool {
        self.state == LISTEN
    }
}

/// The descriptors of a child, which may not look into /proc.
static ONLY: Mutex<Option<Vec<RawFd>>> = Mutex::new(None);

pub fn has_only(fds: &[RawFd]) {
    *lock(&ONLY) = Some(fds.to_vec());
}

/// Every socket of this process that the lesson knows, by its number.
#[allow(unsafe_code)] // only the numbers of the descriptors are known here.
pub fn all_sockets() -> Vec<(RawFd, State)> {
    let known = lock(&ONLY).clone();
    let mut fds: Vec<RawFd> = known.unwrap_or_else(|| {
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    });
    fds.sort_unstable();
    // SAFETY: the number is only shown to the kernel, which says EBADF if a thread has closed it meanwhile.
    let look = |fd: RawFd| Some((fd, State::of(unsafe { BorrowedFd::borrow_raw(fd) })?));
    fds.into_iter().filter_map(look).collect()
}

fn number(known: Option<u32>) -> String {
    known.map_or("…".to_string(), |number| number.to_string())
}

const LISTEN: &str = "LISTEN";

/// ss's word for a state of include/net/tcp_states.h. What ss calls UNCONN is CLOSE to TCP.
fn word(state: u8) -> &'static str {
    const WORDS: [&str; 12] = [
        "UNKNOWN",
        "ESTAB",
        "SYN-SENT",
        "SYN-RECV",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSE",
        "CLOSE-WAIT",
        "LAST-ACK",
        LISTEN,
        "CLOSING",
    ];
    WORDS.get(usize::from(state)).unwrap_or(&WORDS[0])
}

fn tcp(fd: BorrowedFd<'_>, local: Address, info: &TcpInfo) -> State {
    let state = word(info.state);
    let is_alone = matches!(state, "CLOSE" | LISTEN);
    let local = named_fully(fd, local, is_alone);
    let (recv_q, send_q) = match state {
        LISTEN => (Some(info.unacked), Some(info.sacked)), // [05.queue]
        _ => (tcp_unread(fd, state), tcp_unsent(fd, state)),
    };
    let peer = match state {
        _ if is_alone => None,
        "SYN-SENT" => look::asked_peer(fd, matches!(local, Address::Inet { addr: SocketAddr::V4(_), .. })).ok(),
        _ => look::peer(fd).ok(),
    };
    let peer = peer.and_then(|raw| Address::parse(raw.bytes())).unwrap_or_else(|| local.none());
    State { kind: "tcp", state, recv_q, send_q, local, peer }
}

/// A FIN takes a number in the sequence, and ss counts it until it has been read. It comes behind all data.
fn tcp_unread(fd: BorrowedFd<'_>, state: &str) -> Option<u32> {
    let bytes = look::unread(fd).ok()?;
    let has_fin = matches!(state, "CLOSE-WAIT" | "LAST-ACK" | "CLOSING");
    let is_unread = || bytes > 0 || look::memory(fd).is_ok_and(|(arrived, _)| arrived > 0);
    Some(if has_fin && is_unread() { bytes + 1 } else { bytes })
}

/// A SYN takes a number as well, and is all that a socket has sent in this state. A closed socket sends nothing,
/// but SIOCOUTQ may still count a SYN that was refused.
fn tcp_unsent(fd: BorrowedFd<'_>, state: &str) -> Option<u32> {
    let bytes = look::unsent(fd).ok()?;
    Some(match state {
        "SYN-SENT" => bytes + 1,
        "CLOSE" => 0,
        _ => bytes,
    })
}

fn udp(fd: BorrowedFd<'_>, local: Address) -> Option<State> {
    if look::number(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL) != Ok(libc::IPPROTO_UDP) {
        return None;
    }
    let (recv_q, send_q) = look::memory(fd).ok().unzip();
    let peer = look::peer(fd).ok().and_then(|raw| Address::parse(raw.bytes()));
    let local = named_fully(fd, local, peer.is_none());
    let state = if peer.is_some() { "ESTAB" } else { "UNCONN" };
    let peer = peer.unwrap_or_else(|| local.none());
    Some(State { kind: "udp", state, recv_q, send_q, local, peer })
}

/// What getsockname() leaves out and ss prints: an interface's name, and which `::` it is.
///
/// Only a socket without a peer can be bound to `::`; one bound to a link-local address takes no IPv4.
fn named_fully(fd: BorrowedFd<'_>, local: Address, is_alone: bool) -> Address {
    match local {
        Address::Inet { addr: SocketAddr::V6(addr), .. } if addr.scope_id() != 0 => {
            let name = shown::interface_name(fd, addr.scope_id());
            let name = name.map_or(addr.scope_id().to_string(), |name| crate::text::excerpt(&name));
            Address::Inet { addr: addr.into(), interface: Some(name), v6_only: true }
        }
        Address::Inet { addr: addr @ SocketAddr::V6(_), .. } if is_alone => {
            let v6_only = look::number(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) == Ok(1);
            Address::Inet { addr, interface: None, v6_only }
        }
        local => local,
    }
}

fn unix(fd: BorrowedFd<'_>, local: Address) -> Option<State> {
    let kind = match look::number(fd, libc::SOL_SOCKET, libc::SO_TYPE).ok()? {
        libc::SOCK_STREAM => "u_str",
        libc::SOCK_SEQPACKET => "u_seq",
        _ => "u_dgr",
    };
    if kind != "u_dgr" && look::number(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == Ok(1) {
        let peer = local.none();
        return Some(State { kind, state: LISTEN, recv_q: None, send_q: None, local, peer });
    }
    let (recv_q, send_q) = (look::unread(fd).ok(), look::unsent(fd).ok());
    let peer = look::peer(fd).ok().and_then(|raw| Address::parse(raw.bytes()));
    let state = if peer.is_some() { "ESTAB" } else { "UNCONN" };
    let peer = peer.unwrap_or_else(|| local.none());
    Some(State { kind, state, recv_q, send_q, local, peer })
}
