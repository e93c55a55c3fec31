//! Stage 2: lines from the client go to the hub, what the hub sends goes to the client.
//!
//! Nothing piles up here. The client is not read while the hub has not taken its last lines, and
//! the hub is not read while the client has not taken what is meant for it: TCP and the relay pair
//! hold the rest, and whoever causes the jam feels it.

mod hear;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::child::Setup;
use super::ending::{Ending, farewell};
use super::lines::Lines;
use super::notices::{BYE, CHILD_ENDS, TOO_IDLE, TOO_SLOW};
use super::outgoing::{OUT_ENOUGH_BYTES, Outgoing};
use super::uplink::Uplink;
use super::wait::{LOSS_ONLY, Ready, Waiter};
use crate::relay::{ChildEnd, RELAY_MAX_BYTES};
use crate::signal;
use crate::tls::Trouble;
use crate::traffic::Traffic;
use crate::transport::Transport;

/// At a time, so that what one read asks for can be answered in bounded memory.
pub const READ_BYTES: usize = 16 * 1024;
/// More than the hub can ever make wait here. Beyond it, only our own answers to a client that
/// asks and does not read: it is not read either.
const OUT_MOST_BYTES: usize = OUT_ENOUGH_BYTES + 2 * RELAY_MAX_BYTES;
/// A client that has said its end stays as long as there is something to hear, and this long after.
const HALF_CLOSED: Duration = Duration::from_secs(5);
/// And this long when it does not take what there is.
const HALF_CLOSED_STUCK: Duration = Duration::from_secs(60);

struct Chat<'a, 'fd> {
    transport: Transport<BorrowedFd<'fd>>,
    relay: &'a ChildEnd,
    setup: &'a Setup<'a>,
    lines: Lines,
    up: Uplink,
    out: Outgoing,
    packet: &'a mut [u8],
    /// The client has closed its half, and how: it may still listen.
    peer_end: Option<Ending>,
    /// The client has said `/quit`: nothing more is read, but it hears what is owed to it.
    quitting: bool,
    /// Nothing more is read from the client; the child ends so when the hub has taken all lines.
    ending: Option<Ending>,
    /// Nothing more can be written to the client.
    mute: bool,
    /// A write has heard of the client's reset. The kernel tells of it once: what is read then ends as if by FIN.
    reset: bool,
    last_heard: Option<Instant>,
    /// When the client last got something, or closed its half.
    last_told: Instant,
}

/// `name` is the one in the client's certificate, if it had to show one.
pub fn serve(
    transport: Transport<BorrowedFd<'_>>,
    name: Option<&str>,
    relay: &ChildEnd,
    setup: &Setup<'_>,
    waiter: &Waiter,
    buffers: &mut [u8],
) -> Ending {
    let (packet, buf) = buffers.split_at_mut(RELAY_MAX_BYTES);
    let mut chat = Chat {
        transport,
        relay,
        setup,
        lines: Lines::new(setup.args.max_line as usize),
        up: Uplink::joining(name),
        out: Outgoing::default(),
        packet,
        peer_end: None,
        quitting: false,
        ending: None,
        mute: false,
        reset: false,
        last_heard: None,
        last_told: Instant::now(),
    };
    let began = Instant::now();
    let ending = loop {
        let ready = match chat.wait(waiter, began) {
            Ok(ready) => ready,
            Err(_) => break Ending::Lost,
        };
        if let Some(ending) = chat.turn(ready, buf, began) {
            break ending;
        }
    };
    if !chat.mute && ending != Ending::Reset {
        farewell(&mut chat.transport, waiter, chat.out.rest(), chat.peer_end.is_some());
    }
    ending
}

impl Chat<'_, '_> {
    fn wait(&self, waiter: &Waiter, began: Instant) -> nix::Result<Ready> {
        let mut conn = PollFlags::empty();
        if self.may_read() {
            conn |= self.transport.read_event();
        }
        if !self.out.is_empty() {
            conn |= self.transport.write_event();
        }
        if self.peer_end.is_some() && conn.is_empty() && self.up.is_empty() {
            conn = LOSS_ONLY; // a client that has closed both halves answers our next words with RST
        }
        let mut relay = PollFlags::empty();
        if self.out.len() < OUT_ENOUGH_BYTES {
            relay |= PollFlags::POLLIN;
        }
        if !self.up.is_empty() && self.up.short_until.is_none() {
            relay |= PollFlags::POLLOUT;
        }
        let at_once = self.may_read() && self.transport.has_more();
        let until = if at_once { Some(Instant::now()) } else { self.deadline(began).map(|(when, _)| when) };
        let until = until.into_iter().chain(self.up.short_until).min();
        waiter.wait((self.transport.fd(), conn), (self.relay, relay), until)
    }

    fn may_read(&self) -> bool {
        self.peer_end.is_none()
            && !self.quitting
            && self.ending.is_none()
            && self.up.is_empty()
            && self.out.len() < OUT_MOST_BYTES
    }

    /// The time at which the child ends by itself, and how. A client that is stuck, because it asks
    /// and does not read, is counted from the last byte that moved.
    fn deadline(&self, began: Instant) -> Option<(Instant, Ending)> {
        let idle = self.setup.args.idle_timeout;
        let heard = self.last_heard.unwrap_or(began);
        let stuck = !self.out.is_empty();
        if !stuck && !self.up.is_empty() {
            return None; // it is the hub that lets us wait, and what the client said must reach it
        }
        match (self.peer_end, stuck) {
            (Some(_), true) => Some((self.last_told + HALF_CLOSED_STUCK, Ending::Idle)),
            (Some(end), false) => Some((self.last_told + HALF_CLOSED, end)),
            (None, _) if idle.is_zero() => None,
            (None, true) => Some((heard.max(self.last_told) + idle, Ending::Idle)),
            (None, false) => Some((heard + idle, Ending::Idle)),
        }
    }

    /// One round: hub to client, client to hub, then what has to be written.
    fn turn(&mut self, ready: Ready, buf: &mut [u8], began: Instant) -> Option<Ending> {
        if ready.relay_cut() {
            // Without the mark the parent has died, and nobody was slow.
            let slow = self.setup.traffic.is_some_and(Traffic::was_cut_off);
            return if slow { self.end_now(TOO_SLOW, Ending::Slow) } else { Some(Ending::Stopped) };
        }
        if signal::asked_to_stop() {
            return self.end_now(CHILD_ENDS, Ending::Stopped);
        }
        if ready.relay_speaks() && !self.hear_hub() {
            return if self.quitting { self.end_now(BYE, Ending::Done) } else { Some(Ending::Stopped) };
        }
        if ready.conn_lost() {
            self.ending = self.ending.or(self.peer_end);
        }
        let readable = ready.conn.intersects(self.transport.read_event()) || ready.conn_lost();
        if self.may_read() && (readable || self.transport.has_more()) {
            self.hear_client(buf);
        }
        if self.up.send(self.relay).is_err() {
            return Some(Ending::RelayFailed);
        }
        self.write();
        match self.deadline(began) {
            Some((when, ending)) if self.ending.is_none() && Instant::now() >= when => {
                self.end_now(if ending == Ending::Idle { TOO_IDLE } else { "" }, ending)
            }
            _ => self.ending.filter(|_| self.up.is_empty()),
        }
    }

    fn end_now(&mut self, words: &str, ending: Ending) -> Option<Ending> {
        self.out.push(words.as_bytes());
        Some(ending)
    }

    fn write(&mut self) {
        if self.mute || self.out.is_empty() {
            return self.out.clear();
        }
        match self.transport.send(self.out.rest()) {
            Ok(0) => {}
            Ok(n) => {
                self.out.advance(n);
                self.last_told = Instant::now();
            }
            Err(trouble) => {
                // It hears no more, but what it said before may still lie in the socket: read on.
                self.mute = true;
                self.reset = trouble == Trouble::Errno(Errno::ECONNRESET);
                self.ending = self.ending.or(self.peer_end);
            }
        }
    }
}
