//! Between the hub and the children: packets in, packets out, and whoever breaks the rules.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::client::{Client, Runner};
use super::parent::Parent;
use crate::cli::Mode;
use crate::error::{Result, describe};
use crate::logging::LOG_PACKET;
use crate::relay::{FromPair, HERE, Id, Offence, SHORT_OF_MEMORY};

/// A child whose packets have ended, by its own will or the hub's, or that was dismissed has this long to tell its
/// client, then it is killed.
pub const LAST_WORDS: Duration = Duration::from_secs(5);

/// More packets than a pair holds (some 300 of the smallest, unless net.core.wmem_default was raised): whoever goes on
/// speaking meanwhile is not waited for.
const QUEUED_AT_MOST: usize = 4096;

/// All children that are about to speak have done so within this time, and that much for each.
const GATHERING: Duration = Duration::from_micros(500);
const GATHERING_A_CHILD: Duration = Duration::from_micros(30);
/// When it took longer, the processors are busy with others' work: for so long nobody is waited for.
const BRISK: Duration = Duration::from_millis(50);

/// What reading one packet came to.
enum Heard {
    Packet,
    Nothing,
    End,
    Offence(&'static str),
}

impl From<std::result::Result<(), Offence>> for Heard {
    fn from(taken: std::result::Result<(), Offence>) -> Heard {
        taken.map_or_else(|offence| Heard::Offence(offence.0), |()| Heard::Packet)
    }
}

impl Parent<'_> {
    /// epoll reports a relay end: one packet is read a round, so that all senders get their turn.
    pub fn hear_child(&mut self, id: Id, flags: EpollFlags, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if flags.contains(EpollFlags::EPOLLHUP) {
            self.hub.deaf(id); // the child has closed its end: it takes nothing more
        }
        if flags.contains(EpollFlags::EPOLLOUT) {
            client.full = false;
            self.news = true;
            self.watch(id);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            if self.welcomes(id) {
                self.hear_packet(id, now);
            } else {
                self.stop_hearing(id, flags);
            }
        }
    }

    /// Once the server is stopping, packets are read only to get to their end.
    fn welcomes(&self, id: Id) -> bool {
        self.stop_by.is_some() || self.hub.welcomes(id)
    }

    /// Backpressure: the child's packets stay where they are until the hub has room again.
    fn stop_hearing(&mut self, id: Id, flags: EpollFlags) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !std::mem::replace(&mut client.unheard, true) {
            self.unheard.push(id);
        }
        match &client.end {
            // A hang-up cannot be masked: level-triggered epoll would report it for ever.
            Some(end) if flags.contains(EpollFlags::EPOLLHUP) => client.watched = self.epoll.delete(end).is_err(),
            _ => self.watch(id),
        }
    }

    /// Reads one packet, if there is one and the hub has room; false when there was none.
    pub fn hear_packet(&mut self, id: Id, now: Instant) -> bool {
        if !self.welcomes(id) {
            return false;
        }
        let Some(client) = self.clients.get(&id) else { return false };
        let Some(end) = &client.end else { return false };
        let heard = match end.receive(&mut self.packet) {
            Ok(FromPair::Packet(packet)) if packet.length > packet.bytes.len() => Heard::Offence("packet too long"),
            Ok(FromPair::Packet(packet)) if packet.bytes.starts_with(&[LOG_PACKET]) => {
                self.clients.get_mut(&id).map_or(Ok(()), |client| client.write_down(id, packet.bytes)).into()
            }
            // Behind our goodbye nobody would hear it any more.
            Ok(FromPair::Packet(_)) if self.stop_by.is_some() || client.finished => Heard::Packet,
            Ok(FromPair::Packet(packet)) => {
                let taken = match self.args.mode {
                    Mode::Relay => self.hub.receive(id, packet.bytes, now),
                    Mode::Echo => is_here(client, packet.bytes),
                };
                // The first packet that is taken says that the client is there, whatever else it says.
                if let Some(client) = self.clients.get_mut(&id).filter(|_| taken.is_ok()) {
                    self.door.handshake_over(client);
                }
                taken.into()
            }
            Ok(FromPair::Nothing) => Heard::Nothing,
            Ok(FromPair::End) => Heard::End,
            Err(errno) => {
                log::error!("c{id} relay: {}", describe(errno));
                Heard::End
            }
        };
        match heard {
            Heard::Packet | Heard::Nothing => {}
            Heard::End => self.part(id, false, now),
            Heard::Offence(what) => {
                log::error!("c{id} broke the relay's rules ({what}): killed");
                if let Some(client) = self.clients.get(&id) {
                    client.kill();
                }
                self.part(id, false, now);
            }
        }
        matches!(heard, Heard::Packet)
    }

    /// Reads what a child has said so far, and no more than that.
    pub fn hear_out(&mut self, id: Id, now: Instant) {
        for _ in 0..QUEUED_AT_MOST {
            if !self.hear_packet(id, now) {
                return;
            }
        }
    }

    /// The end of a child's packets: the room is told, the relay end closed.
    pub fn part(&mut self, id: Id, slow: bool, now: Instant) {
        if let Some(end) = self.clients.get_mut(&id).and_then(|client| client.end.take()) {
            let _ = self.epoll.delete(&end); // a child being forked may hold a copy for a moment
            if slow {
                end.cut();
            }
            end.close();
        }
        self.hub.leave(id, slow, now);
        self.parted.push(id);
        self.kill_at.push((now + LAST_WORDS, id)); // a child that is not ours any more might stay for ever
        self.forget_thread(id);
    }

    /// A receiver that has kept the log full for too long.
    pub fn cut_off(&mut self, id: Id, now: Instant) {
        if let Some(client) = self.clients.get_mut(&id) {
            let name = self.hub.name(id).unwrap_or_default();
            let behind = self.hub.lag(id);
            log::warn!("c{id} {} ({name}) reads too slowly: cut off, {behind} bytes behind", client.peer);
            client.traffic.inspect(|traffic| traffic.mark_cut_off());
            if let Runner::Thread(_) = client.runner {
                client.runner = Runner::Over; // joining it now would mean to wait for its last words
            }
        }
        self.part(id, true, now);
    }

    /// Whoever is about to speak may do so first: the packets become fewer and fuller, and each child wakes up once
    /// for all of it. On an idle machine sched_yield() returns at once; on one that computes, with the next tick.
    pub fn gather(&mut self, events: &mut [EpollEvent], now: Instant) -> Result<()> {
        if !self.hub.has_news() || self.brisk_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let began = Instant::now();
        // [10.gather]
        thread::yield_now();
        let took = began.elapsed();
        let enough = GATHERING + GATHERING_A_CHILD * self.clients.len() as u32;
        self.brisk_until = (took > enough).then(|| now + took + BRISK);
        let count = self.epoll.wait(events, EpollTimeout::ZERO).unwrap_or(0);
        self.hear(&events[..count], now)
    }

    /// Sends every child what it is owed, as far as its queue takes it.
    pub fn deliver(&mut self, now: Instant) {
        while std::mem::take(&mut self.news) | self.hub.take_news() {
            self.deliver_once(now);
        }
    }

    fn deliver_once(&mut self, now: Instant) {
        let mut changed = Vec::new();
        'clients: for (id, client) in &mut self.clients {
            let Some(end) = client.end.as_ref().filter(|_| !client.full && !client.finished) else { continue };
            while let Some(packet) = self.hub.next(*id) {
                let len = packet.len();
                match end.send(packet) {
                    Ok(true) => self.hub.delivered(*id, len),
                    Ok(false) => client.full = true,
                    Err(Errno::ENOBUFS) => {
                        self.short_until = Some(now + SHORT_OF_MEMORY);
                        continue 'clients; // it is still owed this, also when the server is stopping
                    }
                    // It has closed its end; what it still has to say comes before our reading of that.
                    Err(Errno::EPIPE | Errno::ECONNRESET) => self.hub.deaf(*id),
                    Err(errno) => {
                        log::error!("c{id} cannot be sent {len} bytes: {}: killed", describe(errno));
                        client.kill();
                        self.hub.deaf(*id);
                    }
                }
                if client.full {
                    changed.push(*id);
                    break;
                }
            }
            if self.hub.may_leave(*id) {
                self.hub.leave(*id, false, now);
                client.finished = true;
            }
            client.finished |= self.stop_by.is_some() && !client.full;
            if client.finished {
                end.finish();
            }
        }
        changed.into_iter().for_each(|id| self.watch(id));
        self.hub.release();
        self.hear_again();
    }

    /// Those who were not heard for want of room, are heard again as soon as there is some.
    fn hear_again(&mut self) {
        for id in std::mem::take(&mut self.unheard) {
            if !self.welcomes(id) {
                self.unheard.push(id);
            } else if let Some(client) = self.clients.get_mut(&id) {
                client.unheard = false;
                self.watch(id);
            }
        }
    }
}

/// All that the child of an echo server has to say, and only once, when its handshake is over.
fn is_here(client: &Client, packet: &[u8]) -> std::result::Result<(), Offence> {
    if client.handshaking && packet == HERE { Ok(()) } else { Err(Offence("an echo has nothing to say")) }
}
