//! What a member is owed: the log from its cursor on, and its private frames in their places.

use super::Id;
use super::hub::Hub;

impl Hub {
    /// The next packet for a member, `None` when it has everything.
    pub fn next(&self, id: Id) -> Option<&[u8]> {
        let member = self.members.get(&id).filter(|member| !member.deaf)?;
        match member.outbox.front() {
            Some(private) if private.before == member.cursor => Some(&private.frame),
            Some(private) => Some(self.log.batch(member.cursor, private.before)),
            None if member.cursor < self.log.head() => Some(self.log.batch(member.cursor, self.log.head())),
            None => None,
        }
    }

    /// The member's child has taken the `len` bytes that [`Hub::next`] gave.
    pub fn delivered(&mut self, id: Id, len: usize) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.taken += len as u64;
        match member.outbox.front() {
            Some(private) if private.before == member.cursor => {
                member.outbox.pop_front();
                member.outbox_bytes -= len;
                self.private_bytes -= len;
            }
            _ => member.cursor += len as u64,
        }
    }

    /// The member's child has closed its end: what it is owed must not hold anybody up, nor its own
    /// last words, which may still have to be read.
    pub fn deaf(&mut self, id: Id) {
        let Some(member) = self.members.get_mut(&id).filter(|member| !member.deaf) else { return };
        self.news = true; // its room is free for others
        member.deaf = true;
        member.outbox.clear();
        self.private_bytes -= std::mem::take(&mut member.outbox_bytes);
    }

    /// True when a member has asked to leave and has got everything.
    pub fn may_leave(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(|member| member.leaving) && self.next(id).is_none()
    }

    /// Gives back the room of what everybody has got. Call it after a round of deliveries.
    pub fn release(&mut self) {
        let head = self.log.head();
        let listening = self.members.values().filter(|member| !member.deaf);
        let tail = listening.map(|member| member.cursor).min().unwrap_or(head);
        self.log.release(tail);
    }
}
