//! What travels: each call that gave something, tied to the call that got it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::sockets::{Id, Kind as Socket, Sockets, Transfer};

/// What travels along an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// connect() to accept4(): the connection waits in the listener's queue in between.
    Connect,
    /// Bytes of a TCP connection.
    Data,
    /// A packet of the pair between parent and child.
    Relay,
    Datagram,
    /// Nothing more will come: FIN.
    End,
    /// Nothing more will come through the pair.
    PairEnd,
    /// The connection was cut off.
    Reset,
    Fork,
}

/// From one record to another, by their places in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    pub from: usize,
    pub to: usize,
    pub kind: Kind,
}

/// All ties but those of fork().
pub fn ties(sockets: &mut Sockets) -> Vec<Tie> {
    sockets.join();
    let mut ties = Vec::new();
    for socket in &sockets.all {
        let Some(other) = socket.other_end.and_then(|other| sockets.all.get(other)) else { continue };
        if let (Some(from), Some(to)) = (other.connected, socket.accepted) {
            ties.push(Tie { from, to, kind: Kind::Connect });
        }
        match socket.kind {
            Socket::Stream => stream(&socket.sent, &other.taken, &mut ties),
            Socket::Packets => packets(&socket.sent, &other.taken, &mut ties),
            Socket::Datagrams | Socket::Other => {}
        }
        if let (Some(from), Some((to, reset))) = (socket.end, other.told) {
            let kind = match socket.kind {
                Socket::Stream if reset => Kind::Reset,
                Socket::Stream => Kind::End,
                _ => Kind::PairEnd,
            };
            ties.push(Tie { from, to, kind });
        }
    }
    datagrams(sockets, &mut ties);
    // A record that is not complete may tie a call to one before it: that cannot be.
    ties.retain(|tie| tie.from < tie.to);
    ties
}

/// A stream has no messages: the bytes are counted on both sides, and whoever took one of a send() is tied to it.
fn stream(sent: &[Transfer], taken: &[Transfer], ties: &mut Vec<Tie>) {
    let (mut sent, mut taken) = (sent.iter(), taken.iter());
    let (mut gives, mut takes) = (sent.next(), taken.next());
    let (mut given, mut got) = (0_u64, 0_u64); // bytes of the two that are through
    while let (Some(from), Some(to)) = (gives, takes) {
        let through = (from.bytes - given).min(to.bytes - got);
        if through > 0 {
            ties.push(Tie { from: from.record, to: to.record, kind: Kind::Data });
        }
        (given, got) = (given + through, got + through);
        if given == from.bytes {
            (gives, given) = (sent.next(), 0);
        }
        if got == to.bytes {
            (takes, got) = (taken.next(), 0);
        }
    }
}

/// Packets stay whole and in order; where the lengths differ, one side's record is not complete.
fn packets(sent: &[Transfer], taken: &[Transfer], ties: &mut Vec<Tie>) {
    let same = sent.iter().zip(taken).take_while(|(from, to)| from.bytes == to.bytes);
    ties.extend(same.map(|(from, to)| Tie { from: from.record, to: to.record, kind: Kind::Relay }));
}

/// Datagrams may be lost: each that was taken is tied to the first one like it that was sent its way.
fn datagrams(sockets: &mut Sockets, ties: &mut Vec<Tie>) {
    let of_kind: Vec<Id> = (0..sockets.all.len()).filter(|id| sockets.all[*id].kind == Socket::Datagrams).collect();
    let count = |transfers: fn(&super::sockets::Socket) -> &Vec<Transfer>| {
        let mut all: Vec<(usize, Id, usize)> = Vec::new();
        for &id in &of_kind {
            all.extend(transfers(&sockets.all[id]).iter().enumerate().map(|(n, transfer)| (transfer.record, id, n)));
        }
        all.sort_unstable();
        all
    };
    // What came is mostly what was sent first: found, and taken out, near the front.
    let (mut given, got) = (VecDeque::from(count(|socket| &socket.sent)), count(|socket| &socket.taken));
    for (record, receiver, n) in got {
        let found = given.iter().position(|&(_, sender, m)| {
            let (from, to) = (&sockets.all[sender], &sockets.all[receiver]);
            let (sent, taken) = (&from.sent[m], &to.taken[n]);
            let here = |address: &SocketAddr| to.local.is_none_or(|local| reaches(local, *address));
            let mine = from.local.is_none_or(|local| taken.address.is_some_and(|address| reaches(local, address)));
            sender != receiver
                && mine
                && sent.address.as_ref().is_some_and(here)
                && sent.bytes == taken.bytes
                && sent.data == taken.data
        });
        let Some(found) = found else { continue };
        let Some((from, sender, _)) = given.remove(found) else { continue };
        ties.push(Tie { from, to: record, kind: Kind::Datagram });
        let source = sockets.all[receiver].taken[n].address;
        let known = &mut sockets.all[sender].local;
        *known = known.or(source); // the port that the first sendto() got
    }
}

/// Whether a socket bound to `local` is the one at `address`; 0.0.0.0 and :: are every address.
fn reaches(local: SocketAddr, address: SocketAddr) -> bool {
    local.port() == address.port() && (local.ip().is_unspecified() || local.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transfers(first: usize, lengths: &[u64]) -> Vec<Transfer> {
        let one = |(n, bytes): (usize, &u64)| Transfer {
            record: first + n,
            bytes: *bytes,
            address: None,
            data: String::new(),
        };
        lengths.iter().enumerate().map(one).collect()
    }

    fn streamed(sent: &[u64], taken: &[u64]) -> Vec<(usize, usize)> {
        let mut ties = Vec::new();
        stream(&transfers(0, sent), &transfers(100, taken), &mut ties);
        ties.into_iter().map(|tie| (tie.from, tie.to - 100)).collect()
    }

    #[test]
    fn bytes_are_tied_by_where_they_stand_in_the_stream() {
        assert_eq!(streamed(&[5, 3], &[5, 3]), [(0, 0), (1, 1)]);
        assert_eq!(streamed(&[5, 3], &[8]), [(0, 0), (1, 0)]);
        assert_eq!(streamed(&[8], &[5, 3]), [(0, 0), (0, 1)]);
        assert_eq!(streamed(&[4, 4], &[6, 2]), [(0, 0), (1, 0), (1, 1)]);
        assert_eq!(streamed(&[4], &[]), []);
        assert_eq!(streamed(&[], &[4]), [], "from somebody whose trace we do not have");
    }

    #[test]
    fn packets_are_tied_until_a_record_is_missing() {
        let mut ties = Vec::new();
        packets(&transfers(0, &[1, 9, 4]), &transfers(100, &[1, 4]), &mut ties);
        assert_eq!(ties, [Tie { from: 0, to: 100, kind: Kind::Relay }]);
    }

    proptest! {
        #[test]
        fn any_lengths_are_tied_in_order(sent: Vec<u64>, taken: Vec<u64>) {
            prop_assert!(streamed(&sent, &taken).is_sorted());
        }
    }
}
