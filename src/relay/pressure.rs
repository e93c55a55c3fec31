//! Backpressure, and when patience ends: whom the hub hears, and who holds everybody up.

use std::time::Instant;

use super::Id;
use super::certified::CONNECTIONS_OF_ONE;
use super::hub::{Hub, LOG_BYTES, Member, OUTBOX_BYTES};
use super::packet::RELAY_MAX_BYTES;

/// While the log is full, a member that takes less than this in `slow_timeout` is stalled.
const SLOW_BYTES: u64 = 64 * 1024;

impl Hub {
    /// True while the packet of some child still fits, whatever is in it: a private line goes to every
    /// connection of the one it is for.
    pub fn has_room(&self) -> bool {
        // [10.room]
        let copies = if self.certified.is_some() { CONNECTIONS_OF_ONE } else { 1 };
        self.log.len() + self.private_bytes + copies * RELAY_MAX_BYTES <= LOG_BYTES
    }

    /// True while this child's packets are welcome: there is room, and it reads its own answers.
    pub fn welcomes(&self, id: Id) -> bool {
        self.has_room() && self.members.get(&id).is_none_or(|member| member.outbox_bytes <= OUTBOX_BYTES)
    }

    /// When [`Hub::overdue`] has to be asked although nothing else happens; after every round it is asked anyway.
    pub fn deadline(&self) -> Option<Instant> {
        self.full_since.map(|since| since + self.slow_timeout)
    }

    /// The members that have kept the hub full for longer than the slow timeout.
    ///
    /// Stalled is who is owed something and took less than 64 KiB meanwhile; a slow reader that takes
    /// more slows the senders down instead. When nobody is ahead, the
    /// machine is slow, not the member: then only one who took nothing at all is stalled. Those who
    /// hold much go first; the many who hold little each go only when that did not find anybody.
    pub fn overdue(&mut self, now: Instant) -> Vec<Id> {
        if self.log.len() + self.private_bytes < LOG_BYTES / 2 {
            self.full_since = None;
        } else if self.full_since.is_none() && !self.has_room() {
            self.begin_watch(now);
        }
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let head = self.log.head();
        let lag = |member: &Member| (head - member.cursor) as usize;
        let listening = || self.members.iter().filter(|(_, member)| !member.deaf);
        let somebody_is_ahead = listening().any(|(_, member)| lag(member) < LOG_BYTES / 4);
        let enough = if somebody_is_ahead { SLOW_BYTES } else { 1 };
        let stalled: Vec<(Id, &Member)> = listening()
            .filter(|(_, member)| lag(member) + member.outbox_bytes > 0)
            .filter(|(_, member)| member.taken - member.taken_when_full < enough)
            .map(|(id, member)| (*id, member))
            .collect();
        let holds_much = |member: &Member| lag(member) >= LOG_BYTES / 4 || member.outbox_bytes >= OUTBOX_BYTES / 2;
        let mut worst: Vec<Id> = stalled.iter().filter(|(_, member)| holds_much(member)).map(|(id, _)| *id).collect();
        if worst.is_empty() && !self.has_room() {
            worst = stalled.iter().map(|(id, _)| *id).collect();
        }
        self.begin_watch(now); // whoever stays is judged anew, also when nothing moves any more
        worst
    }

    fn begin_watch(&mut self, now: Instant) {
        self.full_since = Some(now);
        for member in self.members.values_mut() {
            member.taken_when_full = member.taken;
        }
    }
}
