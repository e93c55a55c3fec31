//! The door: whom it lets in, who is in by source and by handshake, and refusals that arrive.
//!
//! It counts as people come and go, one by one: nobody is looked for among all who are here.
//!
//! - Notes: notes/05-listen.md
//! - Standard: RFC 8446 §6 (alerts)

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::socket::Shutdown;
use openssl::rand::rand_bytes;

use super::client::Client;
use crate::cli::ServerArgs;
use crate::lifecycle::{Socket, close, discard, send, shutdown};
use crate::limits::{EarlyDrop, Source, Sources, Throttle};
use crate::network::{Network, allowed};

/// A refused newcomer has this long to read why and to close.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// Refused newcomers that are held open so; part of `limits::RESERVED_FDS`.
const REFUSED_AT_MOST: usize = 16;
/// More than a receive buffer holds: one call empties it.
const DISCARD_BYTES: usize = 1 << 26;
/// A TLS alert, fatal, access_denied, before any handshake: all that a TLS client can read.
const TLS_REFUSAL: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Why a newcomer is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Stranger,
    NoPlace,
    Source,
    Handshakes,
}

/// The state of the door.
#[derive(Debug)]
pub struct Door {
    /// While set, accept() is not called: the system had nothing left.
    pub paused_until: Option<Instant>,
    /// epoll does not report newcomers.
    pub unwatched: bool,
    allow: Vec<Network>,
    tls: bool,
    max_clients: u32,
    max_per_source: u32,
    max_handshakes: EarlyDrop,
    /// Who is in, but for those who are exempt.
    sources: Sources,
    /// Of them, those who have not finished their TLS handshake.
    handshakes: u32,
    refused: VecDeque<(Instant, Socket)>,
    refusals: [Throttle; 4], // one a reason
    pub losses: Throttle,
    pub exhaustions: Throttle,
}

impl Door {
    /// `max_clients`: as many as there are descriptors for, if that is less than was asked for.
    pub fn new(args: &ServerArgs, max_clients: u32) -> Door {
        Door {
            paused_until: None,
            unwatched: false,
            allow: args.allow.clone(),
            tls: args.tls,
            max_clients,
            max_per_source: args.max_per_source,
            max_handshakes: args.max_handshakes,
            sources: Sources::default(),
            handshakes: 0,
            refused: VecDeque::new(),
            refusals: Default::default(),
            losses: Throttle::default(),
            exhaustions: Throttle::default(),
        }
    }

    /// When the door has to be looked after again.
    pub fn deadline(&self) -> Option<Instant> {
        let linger = self.refused.front().map(|(until, _)| *until);
        [self.paused_until, linger].into_iter().flatten().min()
    }

    /// What stands against one more, while `clients` are here.
    pub fn objection(&self, clients: usize, peer: SocketAddr) -> Option<Refusal> {
        if !allowed(&self.allow, peer.ip()) {
            return Some(Refusal::Stranger);
        }
        if clients >= self.max_clients as usize {
            return Some(Refusal::NoPlace);
        }
        let source = counted(peer)?;
        if self.sources.count(source) >= self.max_per_source {
            Some(Refusal::Source)
        } else if self.tls && self.max_handshakes.refuses(self.handshakes, dice) {
            Some(Refusal::Handshakes)
        } else {
            None
        }
    }

    /// One more is in.
    pub fn let_in(&mut self, peer: SocketAddr) {
        if let Some(source) = counted(peer) {
            self.sources.add(source);
            self.handshakes += u32::from(self.tls);
        }
    }

    /// One who is in has finished the handshake, if that has not been heard before.
    pub fn handshake_over(&mut self, client: &mut Client) {
        if std::mem::take(&mut client.handshaking) && counted(client.peer).is_some() {
            self.handshakes -= 1;
        }
    }

    /// One who was in has gone.
    pub fn let_out(&mut self, client: &mut Client) {
        self.handshake_over(client);
        if let Some(source) = counted(client.peer) {
            self.sources.remove(source);
        }
    }

    /// Tells a newcomer, and once a second the log, why it may not come in.
    pub fn turn_away(&mut self, conn: Socket, peer: SocketAddr, refusal: Refusal, now: Instant) {
        let (places, most, source) = (self.max_clients, self.max_per_source, Source::of(peer.ip()));
        let from = peer.ip().to_canonical();
        let (words, why) = match refusal {
            Refusal::Stranger => {
                (format!("이 서버는 {from}에서 오는 접속을 받지 않습니다."), "not in --allow".to_string())
            }
            Refusal::NoPlace => (
                format!("자리가 없습니다. 동시에 {places}명까지 접속할 수 있습니다."),
                format!("{places} clients are here already"),
            ),
            Refusal::Source => (
                format!("{source}에서는 더 접속할 수 없습니다. 한 주소에서 동시에 {most}명까지 접속할 수 있습니다."),
                format!("{most} clients of {source} are here already"),
            ),
            Refusal::Handshakes => (
                String::new(), // there are handshakes under TLS only, and its alert has no words
                format!("{} handshakes are not finished (--max-handshakes {})", self.handshakes, self.max_handshakes),
            ),
        };
        if let Some(more) = self.refusals[refusal as usize].pass(now) {
            log::warn!("refused {peer}: {why} ({more} more refused)");
        }
        self.refuse(conn, &format!("! {words}\n"), now);
    }

    /// Tells a newcomer why, in its own protocol, and keeps the socket until that has been read.
    pub fn refuse(&mut self, conn: Socket, words: &str, now: Instant) {
        let words = if self.tls { &TLS_REFUSAL[..] } else { words.as_bytes() };
        // A fresh socket has room for this; if the newcomer has gone already, nobody misses it.
        let _ = send(conn.as_fd(), words);
        let _ = shutdown(conn.as_fd(), Shutdown::Write);
        self.refused.push_back((now + REFUSAL_LINGER, conn));
        self.dismiss(now);
    }

    /// Closes the refused whose time is up. Their unread input goes first: it would make an RST.
    pub fn dismiss(&mut self, now: Instant) {
        while self.refused.len() > REFUSED_AT_MOST || self.refused.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, conn)) = self.refused.pop_front() else { return };
            let _ = discard(conn.as_fd(), DISCARD_BYTES);
            close(conn);
        }
    }

    /// Closes all that have been refused.
    pub fn dismiss_all(&mut self, now: Instant) {
        self.refused.iter_mut().for_each(|(until, _)| *until = now);
        self.dismiss(now);
    }
}

/// The source that a peer is counted under; `None` for one who is exempt.
fn counted(peer: SocketAddr) -> Option<Source> {
    Some(Source::of(peer.ip())).filter(|source| !source.is_exempt())
}

/// A number that nobody can foresee. Without one, the dice are against the newcomer.
fn dice() -> u32 {
    let mut bytes = [0; 4];
    rand_bytes(&mut bytes).map_or(0, |()| u32::from_ne_bytes(bytes))
}
