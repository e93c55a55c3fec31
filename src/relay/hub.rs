//! The hub: one log, a cursor for each member, and the names. It makes no system call.
//!
//! What it promises: every member sees the same order; a member gets every frame since it joined,
//! or is disconnected with a reason; memory is bounded by [`LOG_BYTES`], whatever anybody does.
//!
//! The parent drives it: `receive` what a child sent, `next` what a child is owed, `delivered` when
//! the child's socket took it, `overdue` to learn who holds everybody up.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Id;
use super::certified::Certified;
use super::log::Log;
use super::names::Names;
use super::packet::{FROM_HUB, MAX_LINES_BYTES, PREFIX_MAX_BYTES, ToHub, append_frame};
use crate::text::are_clean_lines;

/// What somebody still has to get, in the log and in private frames, is never more; only the
/// notices of joins and leaves, one a member each, come on top.
pub(super) const LOG_BYTES: usize = 4 * 1024 * 1024;
/// Private frames (answers, `/to`) that may wait for one member.
pub(super) const OUTBOX_BYTES: usize = 64 * 1024;

/// A packet that our own children would never send: the child is not to be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence(pub &'static str);

/// What the server's owner has asked for.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub slow_timeout: Duration,
    /// A child must bring the name that its client's certificate has.
    pub certified: bool,
    pub keys_logged: bool,
}

#[derive(Debug)]
pub struct Hub {
    pub(super) log: Log,
    pub(super) members: BTreeMap<Id, Member>,
    pub(super) names: Names,
    /// Under --client-ca: names come from certificates, and `names` is not used.
    pub(super) certified: Option<Certified>,
    /// The server writes the keys of its connections down: every newcomer is told so.
    pub(super) keys_logged: bool,
    /// Bytes in all outboxes.
    pub(super) private_bytes: usize,
    /// Members that were asked to go, whether they listen or not.
    pub(super) dismissed: Vec<Id>,
    /// The newest member there has been.
    pub(super) newest: Id,
    /// Since when the log has been more than half full without a break, after it was full.
    pub(super) full_since: Option<Instant>,
    /// Something has changed since the last delivery: there may be packets, or room.
    pub(super) news: bool,
    pub(super) slow_timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The log position of the first frame that this member has not got.
    // [10.cursor]
    pub(super) cursor: u64,
    pub(super) outbox: VecDeque<Private>,
    pub(super) outbox_bytes: usize,
    /// It has asked to leave: once it has everything, its packets end.
    pub(super) leaving: bool,
    /// Its child takes nothing more: what it still says is heard, and nothing waits for it.
    pub(super) deaf: bool,
    /// Bytes taken so far, and how many those were when the log became full.
    pub(super) taken: u64,
    pub(super) taken_when_full: u64,
}

/// A frame for one member alone, to be read before log position `before`: so order is kept.
#[derive(Debug)]
pub(super) struct Private {
    pub(super) before: u64,
    pub(super) frame: Vec<u8>,
}

impl Hub {
    pub fn new(rules: Rules) -> Hub {
        Hub {
            log: Log::new(LOG_BYTES),
            members: BTreeMap::new(),
            names: Names::default(),
            certified: rules.certified.then(Certified::default),
            keys_logged: rules.keys_logged,
            private_bytes: 0,
            dismissed: Vec::new(),
            newest: 0,
            full_since: None,
            news: false,
            slow_timeout: rules.slow_timeout,
        }
    }

    /// True when something calls for a round of deliveries.
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// True once after anything that calls for a round of deliveries.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Those who have been dismissed since this was last asked: whoever does not listen would stay for ever.
    pub fn take_dismissed(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.dismissed)
    }

    /// Takes one packet from a child.
    pub fn receive(&mut self, id: Id, packet: &[u8], now: Instant) -> Result<(), Offence> {
        self.news = true;
        let request = ToHub::decode(packet).ok_or(Offence("unknown or malformed packet"))?;
        match (request, self.members.contains_key(&id)) {
            (ToHub::Join(name), false) => self.join(id, name)?,
            (ToHub::Join(_), true) => return Err(Offence("joined twice")),
            (_, false) => return Err(Offence("spoke before it joined")),
            (ToHub::Lines(lines), true) => self.say(id, lines)?,
            (ToHub::Name(name), true) => self.rename(id, name, now),
            (ToHub::Who, true) => self.tell(id, &self.who()),
            (ToHub::Private { to, text }, true) => self.whisper(id, to, text)?,
            (ToHub::Leave, true) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.leaving = true;
                }
            }
        }
        Ok(())
    }

    /// Lines for everybody; the origin's own child drops them again.
    fn say(&mut self, id: Id, lines: &str) -> Result<(), Offence> {
        if !are_clean_lines(lines.as_bytes()) {
            return Err(Offence("lines with control characters or without an end"));
        }
        let count = lines.bytes().filter(|byte| *byte == b'\n').count();
        if lines.len() + count * PREFIX_MAX_BYTES > MAX_LINES_BYTES {
            return Err(Offence("more lines than fit in a packet"));
        }
        let Some(member) = self.members.get(&id) else { return Ok(()) };
        self.log.append(id, |buf| {
            for line in lines.split_inclusive('\n') {
                for part in ["[", &member.name, "] ", line] {
                    buf.extend_from_slice(part.as_bytes());
                }
            }
        });
        Ok(())
    }

    /// A line for one person, over every connection that this person has.
    fn whisper(&mut self, id: Id, to: &str, text: &str) -> Result<(), Offence> {
        let line = format!("{text}\n");
        if !are_clean_lines(line.as_bytes()) || text.contains('\n') || text.len() + PREFIX_MAX_BYTES > MAX_LINES_BYTES {
            return Err(Offence("a private line with control characters, or too long"));
        }
        let Some((name, targets)) = self.called(to) else {
            let name = crate::text::excerpt(to.as_bytes());
            self.tell(id, &format!("! {name} 님은 접속해 있지 않습니다. /who로 누가 있는지 볼 수 있습니다."));
            return Ok(());
        };
        let jammed = |id: &Id| self.members.get(id).is_some_and(|member| member.outbox_bytes > OUTBOX_BYTES);
        let (jammed, open): (Vec<Id>, Vec<Id>) = targets.into_iter().partition(jammed);
        let from = self.members.get(&id).map_or("", |member| member.name.as_str());
        let line = format!("[{from} → {name}] {text}");
        open.iter().for_each(|target| self.tell(*target, &line));
        if !jammed.is_empty() {
            let whom = if open.is_empty() { "님에게" } else { "님의 일부 연결에" };
            self.tell(id, &format!("! {name} {whom} 전하지 못했습니다. 받지 않은 말이 너무 많이 밀려 있습니다."));
        }
        Ok(())
    }

    /// Tells everybody that the server ends.
    pub fn say_goodbye(&mut self) {
        self.news = true;
        self.announce(FROM_HUB, "* 서버를 종료합니다. 안녕히 가십시오.");
    }

    /// One line for everybody but the connection it is about.
    pub(super) fn announce(&mut self, about: Id, line: &str) {
        self.log.append(about, |buf| buf.extend(line.bytes().chain([b'\n'])));
    }

    /// One line for one member, in its place between the public ones.
    pub(super) fn tell(&mut self, id: Id, line: &str) {
        let before = self.log.head();
        let Some(member) = self.members.get_mut(&id).filter(|member| !member.deaf) else { return };
        let mut frame = Vec::with_capacity(line.len() + 16);
        append_frame(&mut frame, FROM_HUB, |buf| buf.extend(line.bytes().chain([b'\n'])));
        member.outbox_bytes += frame.len();
        self.private_bytes += frame.len();
        member.outbox.push_back(Private { before, frame });
    }

    /// A member's name, for the log.
    pub fn name(&self, id: Id) -> Option<&str> {
        self.members.get(&id).map(|member| member.name.as_str())
    }

    /// Bytes that a member still has to be sent: of the log, and for it alone.
    pub fn lag(&self, id: Id) -> u64 {
        self.members.get(&id).map_or(0, |member| self.log.head() - member.cursor + member.outbox_bytes as u64)
    }

    pub fn members(&self) -> impl Iterator<Item = Id> {
        self.members.keys().copied()
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
