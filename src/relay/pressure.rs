//! Backpressure, and when patience ends: whom the hub hears, and who holds everybody up.

use std::time::Instant;

use super::Id;
use super::hub::{Hub, LOG_BYTES, Member, OUTBOX_BYTES};
use super::packet::RELAY_MAX_BYTES;

/// While the log is full, a member that takes less than this in `slow_timeout` is stalled.
const SLOW_BYTES: u64 = 64 * 1024;

impl Hub {
    /// True while the packet of some child still fits, whatever is in it.
    pub fn has_room(&self) -> bool {
        self.log.len() + self.private_bytes + RELAY_MAX_BYTES <= LOG_BYTES
    }

    /// True while this child's packets are welcome: there is room, and it reads its own answers.
    pub fn welcomes(&self, id: Id) -> bool {
        self.has_room() && self.members.get(&id).is_none_or(|member| member.outbox_bytes <= OUTBOX_BYTES)
    }

    /// When [`Hub::overdue`] has to be asked again, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.full_since.map(|since| since + self.slow_timeout)
    }

    /// The members that have kept the log full for longer than the slow timeout.
    ///
    /// Stalled is who lags far behind and took next to nothing meanwhile. When nobody is ahead, the
    /// machine is slow, not the member: then only one who took nothing at all is stalled.
    pub fn overdue(&mut self, now: Instant) -> Vec<Id> {
        if self.log.len() + self.private_bytes < LOG_BYTES / 2 {
            self.full_since = None;
        } else if self.full_since.is_none() && !self.has_room() {
            self.full_since = Some(now);
            for member in self.members.values_mut() {
                member.taken_when_full = member.taken;
            }
        }
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.full_since = None; // whoever stays is judged anew
        let lag = |member: &Member| (self.log.head() - member.cursor) as usize;
        let somebody_is_ahead = self.members.values().any(|member| lag(member) < LOG_BYTES / 4);
        let enough = if somebody_is_ahead { SLOW_BYTES } else { 1 };
        let stalled = |member: &Member| {
            (lag(member) >= LOG_BYTES / 4 || member.outbox_bytes >= OUTBOX_BYTES / 2)
                && member.taken - member.taken_when_full < enough
        };
        self.members.iter().filter(|(_, member)| stalled(member)).map(|(id, _)| *id).collect()
    }
}
