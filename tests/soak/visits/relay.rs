//! Visits to a relay.

use std::sync::TryLockError;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Visit, Visitor};
use crate::PATIENCE;
use crate::failure::{Failure, Result, failed};
use crate::guest::End;
use crate::member::{LOOK, Member, Owed};
use crate::proc::children;
use crate::room::Room;
use crate::tally::Count;
use crate::words::LONGEST;

/// More than one who stalls, its child and the hub can hold; then it has been cut off.
const MOST_FLOOD_BYTES: usize = 32 << 20;
/// Of the one who floods: so much is waiting to be sent.
const FLOOD_AHEAD_BYTES: usize = 256 * 1024;
/// Of the one who stalls: little, so that the flood need not be longer than it has to be.
const SMALL_BUFFER_BYTES: usize = 64 * 1024;
/// A flood costs everybody something.
const BETWEEN_FLOODS: Duration = Duration::from_secs(8);
/// What is not passed on, and how the refusal begins.
static REFUSED: [(&[u8], &str); 3] = [
    (b"\xec\x95\x88\xeb\n", "! UTF-8이 아닌"),
    (b"/dance\n", "! 알 수 없는 명령입니다"),
    (&TOO_LONG, "! 줄이 너무 길어"),
];
static TOO_LONG: [u8; 70_001] = {
    let mut line = [b'x'; 70_001];
    line[70_000] = b'\n';
    line
};

impl<'a> Visitor<'a> {
    pub(super) fn talk(&mut self, room: &'a Room, visit: Visit) -> Result<()> {
        let mut member = Member::join(self.connect(None)?, room, self.tally)?;
        if self.dice.percent(25) {
            member.guest.say(format!("/name 철수{}\n", member.id).as_bytes());
            self.tally.add(Count::Renames, 1);
        }
        for _ in 0..self.dice.within(0..8) {
            member.say(self.dice.within(0..200));
            member.pause(self.dice.ms(0..30))?;
        }
        match visit {
            Visit::HalfClose => self.half_close(member),
            Visit::Reset => self.reset(member),
            Visit::Truncate => self.truncate(member),
            Visit::Kill => self.kill(member),
            Visit::Refused => self.be_refused(member),
            _ => {
                self.tally.add(Count::Quits, 1);
                member.quit()
            }
        }
    }

    fn half_close(&mut self, mut member: Member<'a>) -> Result<()> {
        self.tally.add(Count::HalfCloses, 1);
        member.flush()?;
        member.guest.half_close()?;
        member.pause(self.dice.ms(0..1500))?;
        member.close()
    }

    fn reset(&mut self, mut member: Member<'a>) -> Result<()> {
        self.tally.add(Count::Resets, 1);
        if self.dice.percent(50) {
            member.guest.say(b"half a line");
            member.pause(self.dice.ms(0..20))?;
        }
        let (guest, left) = member.leave();
        guest.reset()?;
        left.settle(Owed::Some).map(drop)
    }

    /// Whole lines count, the one that is cut off does not.
    fn truncate(&mut self, mut member: Member<'a>) -> Result<()> {
        self.tally.add(Count::Truncations, 1);
        member.guest.say("이 줄은 끝나지 않".as_bytes());
        member.flush()?;
        member.guest.cut()?;
        member.close()
    }

    fn kill(&mut self, mut member: Member<'a>) -> Result<()> {
        self.tally.add(Count::Kills, 1);
        let name = format!("sockstep-c{}\n", member.id);
        let is_its = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == name);
        let Some(child) = children(self.site.pid()).into_iter().find(is_its) else {
            return failed(format!("no child {name}"));
        };
        kill(Pid::from_raw(child as i32), Signal::SIGKILL)?;
        member.hear_out()?;
        member.leave().1.settle(Owed::Some).map(drop)
    }

    fn be_refused(&mut self, mut member: Member<'a>) -> Result<()> {
        self.tally.add(Count::Refusals, 1);
        for _ in 0..self.dice.within(1..4) {
            let (line, refusal) = self.dice.one_of(&REFUSED);
            member.guest.say(line);
            self.tally.add(Count::Sent, 1);
            member.say(self.dice.within(0..200));
            member.told(refusal)?;
            self.tally.add(Count::Refused, 1);
        }
        member.quit()
    }

    /// One stops reading, another says so much that the hub is full: the first has to go, and is told why; nobody
    /// else notices more than a pause.
    pub(super) fn stall(&mut self, room: &'a Room) -> Result<()> {
        let mut last = match room.stalling.try_lock() {
            Ok(last) if last.is_none_or(|last| last.elapsed() > BETWEEN_FLOODS) => last,
            Err(TryLockError::Poisoned(_)) => return failed("another who had somebody stall has panicked"),
            _ => return self.talk(room, Visit::Polite),
        };
        let mut flooder = Member::join(self.connect(None)?, room, self.tally)?;
        let mut stalled = Member::join(self.connect(Some(SMALL_BUFFER_BYTES))?, room, self.tally)?;
        let (until, mut flood) = (Instant::now() + PATIENCE, 0);
        while room.gone(stalled.id).is_none() {
            if Instant::now() > until {
                return failed(format!("손님{} does not read, and is not cut off", stalled.id));
            }
            if flood < MOST_FLOOD_BYTES && flooder.guest.unsent() < FLOOD_AHEAD_BYTES {
                flooder.say(LONGEST);
                flood += LONGEST;
            }
            flooder.turn(Instant::now() + LOOK)?;
        }
        let end = stalled.hear_out()?;
        if end != End::Clean || !stalled.last_word().starts_with("! 받는 속도가 너무 느려서") {
            let last = stalled.last_word();
            return failed(format!("손님{} is cut off: {end:?} after {last:?}", stalled.id));
        }
        let (_guest, left) = stalled.leave();
        let (gone, _) = left.settle(Owed::All)?;
        flooder.quit()?;
        *last = Some(Instant::now());
        self.tally.add(Count::Stalls, 1);
        if gone.slow { Ok(()) } else { Err(Failure::new("one who stalls has left of its own will")) }
    }
}
