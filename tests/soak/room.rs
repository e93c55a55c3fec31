//! The one order of a relay: kept by a scribe who is there from the first line to the last, and held against what
//! every other member hears.
//!
//! A member hears exactly what stands in the order behind the notice of its own coming, without what it says itself:
//! not a line less, not one more, none in another place. The scribe itself hears each speaker's lines from number 0
//! on, one after the other; and who has left tells how many there must have been.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::failure::{Result, failed};
use crate::tally::{Count, Tally};
use crate::words::{excerpt, number_in};

/// So much of the order is kept: more than any member may lag behind before the relay cuts it off.
const KEPT: usize = 1 << 18;
/// What a member is called that has not chosen a name, before its number.
const GUEST: &str = "손님";
/// The origin of what everybody hears.
const NOBODY: u32 = 0;

#[derive(Default)]
pub struct Room {
    order: Mutex<Order>,
    /// Held by the one who has somebody stall: one flood at a time. When the last was over.
    pub stalling: Mutex<Option<Instant>>,
    /// Those who stay, for who wants to whisper.
    pub steady: Mutex<Vec<u32>>,
    /// How many of them still speak.
    pub speaking: AtomicUsize,
    /// Numbers of lines under way from one to another.
    whispers: Mutex<HashMap<(u32, u32), VecDeque<u32>>>,
}

#[derive(Default)]
struct Order {
    /// The place of the first entry that is still kept.
    base: u64,
    entries: VecDeque<Entry>,
    /// The number of the next line of everybody who is there.
    next_line: HashMap<u32, u32>,
    /// The place of the notice of everybody's coming.
    joined: HashMap<u32, u64>,
    names: HashMap<String, u32>,
    gone: HashMap<u32, Gone>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Whose own child keeps it back.
    origin: u32,
    hash: u64,
}

/// What the room knows of one who has left.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// The place of the notice.
    pub at: u64,
    pub lines: u32,
    /// Told as one who read too slowly.
    pub slow: bool,
}

/// How far a member has followed the order.
#[derive(Default)]
pub struct Follower {
    next: Option<u64>,
    /// Heard, but not by the scribe yet.
    ahead: VecDeque<u64>,
}

impl Follower {
    pub fn hears(&mut self, line: &str) {
        self.ahead.push_back(hash(line));
    }

    /// Has heard nothing that does not stand in the order.
    pub fn is_level(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Has heard all that stands before this place, where its own leaving stands.
    pub fn is_past(&self, place: u64) -> bool {
        self.is_level() && self.next.is_some_and(|next| next > place)
    }
}

impl Room {
    /// The scribe has heard a line for everybody.
    pub fn hears(&self, line: &str, tally: &Tally) -> Result<()> {
        lock(&self.order).hears(line, tally)
    }

    /// Holds what `id` has heard against the order, as far as the scribe has it.
    pub fn follow(&self, id: u32, follower: &mut Follower) -> Result<()> {
        lock(&self.order).follow(id, follower)
    }

    /// The same, unless others are at it: who listens must not wait for anybody, or the relay takes it for slow.
    pub fn follow_if_free(&self, id: u32, follower: &mut Follower) -> Result<()> {
        self.order.try_lock().map_or(Ok(()), |order| order.follow(id, follower))
    }

    pub fn gone(&self, id: u32) -> Option<Gone> {
        lock(&self.order).gone.get(&id).copied()
    }

    /// Takes what the room knows of one who has left: it has been accounted for.
    pub fn account(&self, id: u32) {
        lock(&self.order).gone.remove(&id);
    }

    pub fn whispered(&self, from: u32, to: u32, number: u32) {
        lock(&self.whispers).entry((from, to)).or_default().push_back(number);
    }

    /// `to` has heard a whisper of `from`.
    pub fn hears_whisper(&self, from: u32, to: u32, text: &str) -> Result<()> {
        let number = number_in(from, text)?;
        match lock(&self.whispers).get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            Some(due) if due == number => Ok(()),
            due => failed(format!("{to} hears whisper {number} of {from}, but {due:?} is due")),
        }
    }

    pub fn whispers_are_over(&self) -> bool {
        lock(&self.whispers).values().all(VecDeque::is_empty)
    }

    /// At the end: everybody has left, and somebody has accounted for everybody who has said anything.
    pub fn is_settled(&self) -> Result<()> {
        let order = lock(&self.order);
        if !order.next_line.is_empty() {
            return failed(format!("the notice that they have left is missing: {:?}", order.next_line.keys()));
        }
        match order.gone.iter().find(|(_, gone)| gone.lines > 0) {
            Some((id, gone)) => failed(format!("{} lines of {id}, whom nobody knows", gone.lines)),
            None => Ok(()),
        }
    }
}

impl Order {
    fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn hears(&mut self, line: &str, tally: &Tally) -> Result<()> {
        let origin = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((name, text)) => {
                let id = self.id(name)?;
                self.hears_of(id, number_in(id, text)?)?;
                tally.add(Count::Delivered, 1);
                id
            }
            None => self.notice(line)?,
        };
        self.entries.push_back(Entry { origin, hash: hash(line) });
        if self.entries.len() > KEPT {
            self.entries.pop_front();
            self.base += 1;
            if self.base % (KEPT as u64 / 4) == 0 {
                let base = self.base;
                self.joined.retain(|_, place| *place >= base);
                self.gone.retain(|_, gone| gone.lines > 0 || gone.at >= base);
            }
        }
        Ok(())
    }

    fn hears_of(&mut self, id: u32, number: u32) -> Result<()> {
        match self.next_line.get_mut(&id) {
            None => failed(format!("line {number} of {id}, who is not there")),
            Some(due) if *due != number => failed(format!("line {number} of {id} came, but {due} is due")),
            Some(due) => {
                *due += 1;
                Ok(())
            }
        }
    }

    /// Who comes, who goes, who is called what. Returns the origin.
    fn notice(&mut self, line: &str) -> Result<u32> {
        let at = self.head();
        if let Some((old, new)) = line.strip_prefix("* 이름이 바뀌었습니다: ").and_then(|names| names.split_once(" → "))
        {
            let id = self.id(old)?;
            self.names.remove(old);
            self.names.insert(new.into(), id);
            return Ok(NOBODY);
        }
        let Some((name, what)) = line.strip_prefix("* ").and_then(|rest| rest.split_once(' ')) else {
            return failed(format!("not a line of a relay: {:?}", excerpt(line)));
        };
        let slow = match what {
            "님이 들어왔습니다." => {
                let id = self.id(name)?;
                self.joined.insert(id, at);
                self.next_line.insert(id, 0);
                return Ok(id);
            }
            "님이 나갔습니다." => false,
            "님의 연결이 끊겼습니다. 받는 속도가 너무 느렸습니다." => true,
            _ => return failed(format!("not a notice of a relay: {:?}", excerpt(line))),
        };
        let id = self.id(name)?;
        let Some(lines) = self.next_line.remove(&id) else { return failed(format!("{name} left without being there")) };
        self.names.remove(name);
        self.gone.insert(id, Gone { at, lines, slow });
        Ok(id)
    }

    fn id(&self, name: &str) -> Result<u32> {
        let guest = name.strip_prefix(GUEST).and_then(|number| number.parse().ok());
        match guest.or_else(|| self.names.get(name).copied()) {
            Some(id) => Ok(id),
            None => failed(format!("nobody is called {name}")),
        }
    }

    fn follow(&self, id: u32, follower: &mut Follower) -> Result<()> {
        let place = match (follower.next, self.joined.get(&id)) {
            (Some(place), _) => place,
            (None, Some(joined)) => joined + 1,
            (None, None) => return Ok(()),
        };
        let next = follower.next.insert(place);
        if *next < self.base {
            return failed(format!("{id} is too far behind to be checked"));
        }
        while let Some(entry) = self.entries.get((*next - self.base) as usize) {
            if entry.origin != id {
                match follower.ahead.pop_front() {
                    None => return Ok(()),
                    Some(heard) if heard != entry.hash => {
                        return failed(format!("{id} hears something else than the scribe at place {next}"));
                    }
                    Some(_) => {}
                }
            }
            *next += 1;
        }
        Ok(())
    }
}

fn hash(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line.as_bytes());
    hasher.finish()
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
