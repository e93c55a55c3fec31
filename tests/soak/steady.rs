//! Those who stay from the beginning to the end: the scribe of a room, those who speak and listen, and those who echo.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::dice::Dice;
use crate::failure::{Result, failed};
use crate::guest::{End, Guest};
use crate::member::{LOOK, Member, is_for_everybody};
use crate::room::{Room, lock};
use crate::site::Site;
use crate::tally::Tally;
use crate::visits::Echoed;
use crate::words::LONGEST;

/// Who is so far behind with sending says nothing new.
const ENOUGH_UNSENT_BYTES: usize = 256 * 1024;
const BURST_LINES: usize = 50;

/// Writes down the one order of a room, until everybody else has left.
pub struct Scribe<'a> {
    guest: Guest,
    room: &'a Room,
    tally: &'a Tally,
}

impl<'a> Scribe<'a> {
    /// Is there before anybody else may come.
    pub fn join(site: &Site, room: &'a Room, tally: &'a Tally) -> Result<Scribe<'a>> {
        let mut scribe = Scribe { guest: Guest::new(site.connect(None, None, tally)?)?, room, tally };
        let (mut greeted, until) = (false, Instant::now() + PATIENCE);
        while !greeted {
            if Instant::now() > until {
                return failed("the relay does not greet");
            }
            scribe.guest.turn(until, |_| {
                greeted = true;
                Ok(())
            })?;
        }
        Ok(scribe)
    }

    pub fn write(mut self, over: &AtomicBool) -> Result<()> {
        while !over.load(SeqCst) {
            self.turn()?;
            if let Some(end) = self.guest.ended {
                return failed(format!("the scribe's connection has ended: {end:?}"));
            }
        }
        self.guest.say(b"/quit\n");
        let until = Instant::now() + PATIENCE;
        while self.guest.ended.is_none() && Instant::now() < until {
            self.turn()?;
        }
        if self.guest.ended == Some(End::Clean) { Ok(()) } else { failed("the scribe could not quit") }
    }

    fn turn(&mut self) -> Result<()> {
        let Scribe { guest, room, tally } = self;
        guest.turn(Instant::now() + LOOK, |line| {
            if line.starts_with('[') || is_for_everybody(line) { room.hears(line, tally) } else { Ok(()) }
        })
    }
}

/// Speaks and listens until the end, and then waits until all who do so have spoken.
pub fn stay(site: &Site, room: &Room, tally: &Tally, dice: &mut Dice) -> Result<()> {
    let spoken = speak(site, room, tally, dice);
    room.speaking.fetch_sub(1, SeqCst);
    let mut member = spoken?;
    // Nobody waits for the whispers of one who has failed.
    let are_over = || room.speaking.load(SeqCst) == 0 && (room.whispers_are_over() || tally.failed() > 0);
    member.wait("the last whispers", |_| Ok(are_over()))?;
    member.quit()
}

fn speak<'a>(site: &Site, room: &'a Room, tally: &'a Tally, dice: &mut Dice) -> Result<Member<'a>> {
    let mut member = Member::join(site.connect(None, None, tally)?, room, tally)?;
    lock(&room.steady).push(member.id);
    let mut whispers = 0;
    while !tally.is_silent() {
        member.pause(dice.ms(10..250))?;
        if let Some(end) = member.guest.ended {
            return failed(format!("손님{} is thrown out: {end:?} after {:?}", member.id, member.last_word()));
        }
        if member.guest.unsent() > ENOUGH_UNSENT_BYTES {
            continue;
        }
        match dice.within(0..100) {
            0 => member.say(LONGEST),
            1..4 => (0..BURST_LINES).for_each(|_| member.say(dice.within(0..100))),
            4..10 => {
                let to = dice.one_of(&lock(&room.steady));
                member.whisper(to, whispers);
                whispers += 1;
            }
            _ => member.say(dice.within(0..100)),
        }
    }
    Ok(member)
}

/// Has some lines under way to an echo, all the time.
pub fn echo(site: &Site, tally: &Tally, dice: &mut Dice) -> Result<()> {
    let mut echoed = Echoed::new(site.connect(None, None, tally)?, tally)?;
    while !tally.is_silent() {
        let lines = dice.within(1..8);
        (0..lines).for_each(|_| echoed.say(if dice.percent(1) { LONGEST } else { dice.within(0..300) }));
        echoed.wait("a line", |echoed| echoed.under_way() < 4)?;
        std::thread::sleep(Duration::from_millis(dice.within(20..120) as u64));
    }
    echoed.finish()
}
