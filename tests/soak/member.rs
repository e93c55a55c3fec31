//! A client of a relay: what it hears is held against the room's order, and what it has said is accounted for.

use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::conn::Conn;
use crate::failure::{Failure, Result, failed};
use crate::guest::{End, Guest};
use crate::room::{Follower, Gone, Room};
use crate::tally::{Count, Tally};
use crate::words;

/// So often somebody who waits for others looks.
pub const LOOK: Duration = Duration::from_millis(10);

/// What may have become of the lines of one who has left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    All,
    /// The first of them: the connection has ended in a way that may cost lines.
    Some,
}

pub struct Member<'a> {
    room: &'a Room,
    tally: &'a Tally,
    pub guest: Guest,
    pub id: u32,
    follower: Follower,
    /// Lines for everybody that it has said.
    said: u32,
    /// Lines for it alone that nobody has asked for yet.
    private: Vec<String>,
}

impl<'a> Member<'a> {
    /// Waits to be greeted: from then on, it hears all that is said.
    pub fn join(conn: Conn, room: &'a Room, tally: &'a Tally) -> Result<Member<'a>> {
        let guest = Guest::new(conn)?;
        let mut member =
            Member { room, tally, guest, id: 0, follower: Follower::default(), said: 0, private: Vec::new() };
        let greeting = member.told("* 어서 오십시오, 손님")?;
        let id = greeting.split("손님").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        member.id = id.ok_or_else(|| Failure::new(format!("a greeting without a name: {greeting}")))?;
        Ok(member)
    }

    /// One line for everybody.
    pub fn say(&mut self, len: usize) {
        let line = words::line(self.id, self.said, len) + "\n";
        self.guest.say(line.as_bytes());
        self.said += 1;
        self.tally.add(Count::Sent, 1);
    }

    pub fn turn(&mut self, until: Instant) -> Result<()> {
        let Member { room, tally, guest, id, follower, private, .. } = self;
        let mut heard = 0;
        guest.turn(until, |line| {
            match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                Some((names, text)) if names.contains(" → ") => return hears_whisper(room, *id, names, text, tally),
                None if !is_for_everybody(line) => private.push(line.into()),
                said => {
                    heard += u64::from(said.is_some());
                    follower.hears(line);
                }
            }
            Ok(())
        })?;
        tally.add(Count::Heard, heard);
        room.follow_if_free(*id, follower)
    }

    /// Goes on hearing until `done`; that it takes too long is a failure.
    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done(self)? {
            if Instant::now() > until {
                return failed(format!("손님{} has waited in vain for {what}", self.id));
            }
            match self.guest.ended {
                None => self.turn(Instant::now() + LOOK)?,
                Some(_) => std::thread::sleep(LOOK), // what others do is waited for
            }
        }
        Ok(())
    }

    /// Waits until the server says this to it alone.
    pub fn told(&mut self, beginning: &str) -> Result<String> {
        let mut found = None;
        self.wait(beginning, |member| {
            found = member.private.iter().position(|line| line.starts_with(beginning));
            match (found, member.guest.ended) {
                (None, Some(end)) => failed(format!("손님{}: {end:?} before {beginning:?}", member.id)),
                _ => Ok(found.is_some()),
            }
        })?;
        Ok(found.map(|at| self.private.remove(at)).unwrap_or_default())
    }

    pub fn pause(&mut self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        while Instant::now() < until && self.guest.ended.is_none() {
            self.turn(until)?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        self.wait("room to send", |member| Ok(member.guest.unsent() == 0))
    }

    pub fn whisper(&mut self, to: u32, number: u32) {
        self.room.whispered(self.id, to, number);
        self.guest.say(format!("/to 손님{to} {}\n", words::line(self.id, number, 40)).as_bytes());
        self.tally.add(Count::Sent, 1);
        self.tally.add(Count::Whispers, 1);
    }

    /// Waits until the server has ended the connection.
    pub fn hear_out(&mut self) -> Result<End> {
        self.wait("the end", |member| Ok(member.guest.ended.is_some()))?;
        self.guest.ended.ok_or_else(|| Failure::new("no end"))
    }

    /// The last that the server has said to it alone.
    pub fn last_word(&self) -> &str {
        self.private.last().map_or("", String::as_str)
    }

    /// Leaves with `/quit`, having heard all that was said before that, and with all that it has said delivered.
    pub fn quit(mut self) -> Result<()> {
        self.guest.say(b"/quit\n");
        let end = self.hear_out()?;
        if end != End::Clean || !self.guest.is_whole() || self.last_word() != "* 안녕히 가십시오." {
            return failed(format!("손님{} quits, and the end is {end:?} after {:?}", self.id, self.last_word()));
        }
        let (_guest, left) = self.leave();
        let id = left.id;
        let (gone, follower) = left.settle(Owed::All)?;
        if follower.is_past(gone.at) { Ok(()) } else { failed(format!("손님{id} quit, and has not heard all lines")) }
    }

    /// Has half-closed, and is told that all has arrived: may close without more ado.
    pub fn close(mut self) -> Result<()> {
        self.told("* 보내기를 마치셨습니다")?;
        let (guest, left) = self.leave();
        drop(guest);
        left.settle(Owed::All).map(drop)
    }

    /// The connection, and what is still to be accounted for.
    pub fn leave(self) -> (Guest, Left<'a>) {
        let Member { room, tally, guest, id, follower, said, .. } = self;
        (guest, Left { room, tally, id, follower, said })
    }
}

/// Of one who is about to leave.
pub struct Left<'a> {
    room: &'a Room,
    tally: &'a Tally,
    pub id: u32,
    follower: Follower,
    said: u32,
}

impl Left<'_> {
    /// Waits until the room has been told; then every line is delivered, or lost with its sender.
    pub fn settle(mut self, owed: Owed) -> Result<(Gone, Follower)> {
        let until = Instant::now() + PATIENCE;
        let (id, said) = (self.id, self.said);
        let gone = loop {
            if let Some(gone) = self.room.gone(id) {
                break gone;
            }
            if Instant::now() > until {
                return failed(format!("손님{id} has left, and the room has not been told"));
            }
            std::thread::sleep(LOOK);
        };
        self.room.account(id);
        self.room.follow(id, &mut self.follower)?;
        let lost = said.saturating_sub(gone.lines);
        if gone.lines > said || (owed == Owed::All && lost > 0) {
            return failed(format!("손님{id} said {said} lines, {} were delivered", gone.lines));
        }
        if !self.follower.is_level() {
            return failed(format!("손님{id} has heard what nobody else has"));
        }
        self.tally.add(Count::Lost, lost.into());
        Ok((gone, self.follower))
    }
}

/// `[손님1 → 손님2] …`
fn hears_whisper(room: &Room, to: u32, names: &str, text: &str, tally: &Tally) -> Result<()> {
    let from = names.split(" → ").next().and_then(|name| name.strip_prefix("손님")?.parse().ok());
    let from = from.ok_or_else(|| Failure::new(format!("a whisper of nobody: {names}")))?;
    tally.add(Count::Delivered, 1);
    room.hears_whisper(from, to, text)
}

/// A notice of the room, which stands in its order; all other notices are for one alone.
pub fn is_for_everybody(line: &str) -> bool {
    line.starts_with("* 이름이 바뀌었습니다: ")
        || ["님이 들어왔습니다.", "님이 나갔습니다.", "님의 연결이 끊겼습니다. 받는 속도가 너무 느렸습니다."]
            .iter()
            .any(|end| line.starts_with("* ") && line.ends_with(end))
}
