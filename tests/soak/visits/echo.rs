//! Visits to an echo: every line comes back, as it was sent and in its place.

use std::time::{Duration, Instant};

use super::{Visit, Visitor};
use crate::PATIENCE;
use crate::conn::Conn;
use crate::failure::{Result, failed};
use crate::guest::{End, Guest};
use crate::tally::{Count, Tally};
use crate::words;

const LOOK: Duration = Duration::from_millis(10);
/// Said by one who does not read yet: more than the server's buffers and ours can hold.
const LATE_LINES: usize = 30;
const FEW_LINES: u32 = 2;

/// One who says lines and hears them.
pub struct Echoed<'a> {
    tally: &'a Tally,
    pub guest: Guest,
    who: u32,
    said: u32,
    back: u32,
}

impl<'a> Echoed<'a> {
    pub fn new(conn: Conn, tally: &'a Tally) -> Result<Echoed<'a>> {
        let guest = Guest::new(conn)?;
        let who = u32::from(guest.port()?);
        Ok(Echoed { tally, guest, who, said: 0, back: 0 })
    }

    pub fn say(&mut self, len: usize) {
        self.guest.say((words::line(self.who, self.said, len) + "\n").as_bytes());
        self.said += 1;
        self.tally.add(Count::Sent, 1);
    }

    pub fn under_way(&self) -> u32 {
        self.said - self.back
    }

    pub fn turn(&mut self, until: Instant) -> Result<()> {
        let Echoed { tally, guest, who, back, .. } = self;
        let before = *back;
        let result = guest.turn(until, |line| match words::number_in(*who, line)? {
            number if number == *back => {
                *back += 1;
                Ok(())
            }
            number => failed(format!("line {number} came back, but {back} is due")),
        });
        let came = u64::from(*back - before);
        tally.add(Count::Delivered, came);
        tally.add(Count::Heard, came);
        result
    }

    pub fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > until || self.guest.ended.is_some() {
                let (back, said, ended) = (self.back, self.said, self.guest.ended);
                return failed(format!("waited in vain for {what}: {back} of {said} lines are back; {ended:?}"));
            }
            self.turn(Instant::now() + LOOK)?;
        }
        Ok(())
    }

    /// Has said all: what is still under way comes back, and then the end.
    pub fn finish(mut self) -> Result<()> {
        // In TLS the end is a message as well, and must not wait for one who waits for us to read.
        let most = if self.guest.is_tls() { FEW_LINES } else { u32::MAX };
        self.wait("room to send", |echoed| echoed.guest.unsent() == 0 && echoed.under_way() <= most)?;
        self.guest.half_close()?;
        self.wait("the end", |echoed| echoed.guest.ended.is_some())?;
        match (self.guest.ended, self.under_way()) {
            (Some(End::Clean), 0) => Ok(()),
            (end, missing) => failed(format!("{missing} of {} lines did not come back; {end:?}", self.said)),
        }
    }
}

impl Visitor<'_> {
    pub(super) fn echo(&mut self, visit: Visit) -> Result<()> {
        let mut echoed = Echoed::new(self.connect(None)?, self.tally)?;
        for _ in 0..self.dice.within(1..8) {
            echoed.say(self.dice.within(0..2000));
            echoed.turn(Instant::now() + self.dice.ms(0..20))?;
        }
        match visit {
            Visit::Reset => {
                self.tally.add(Count::Resets, 1);
                self.tally.add(Count::Lost, echoed.under_way().into());
                echoed.guest.reset()
            }
            Visit::Late => {
                self.tally.add(Count::LateReads, 1);
                (0..LATE_LINES).for_each(|_| echoed.say(words::LONGEST));
                echoed.guest.speak(Instant::now() + Duration::from_millis(200))?;
                echoed.finish()
            }
            Visit::Truncate => {
                self.tally.add(Count::Truncations, 1);
                echoed.wait("all lines", |echoed| echoed.under_way() == 0)?;
                echoed.guest.cut()?;
                echoed.wait("the end", |echoed| echoed.guest.ended.is_some())
            }
            _ => {
                self.tally.add(Count::HalfCloses, 1);
                echoed.finish()
            }
        }
    }
}
