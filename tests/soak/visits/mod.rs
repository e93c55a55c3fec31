//! Those who come and go: each visit is of one kind, and ends with everything accounted for.

mod echo;
mod relay;
mod rude;

use std::time::Duration;

use crate::conn::Conn;
use crate::dice::Dice;
use crate::failure::Result;
use crate::site::{Site, Ticket};
use crate::tally::Tally;

/// What a visitor does at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Says something and leaves as one should; in a relay with `/quit`, in an echo with a half-close.
    Polite,
    /// Half-closes, and goes on listening.
    HalfClose,
    /// RST, with a line half said.
    Reset,
    /// FIN without close_notify.
    Truncate,
    /// Its child is killed.
    Kill,
    /// Stops reading while somebody says a lot.
    Stall,
    /// Says what is not passed on.
    Refused,
    /// Reads only after a while.
    Late,
    /// RST in place of any word.
    ConnectReset,
    /// Speaks another protocol.
    Garbage,
}

use Visit::{ConnectReset, Garbage, HalfClose, Kill, Late, Polite, Refused, Reset, Stall, Truncate};
pub use echo::Echoed;

const TO_RELAY: [Visit; 8] = [Stall, Polite, HalfClose, Reset, Kill, Refused, ConnectReset, Garbage];
const TO_ECHO: [Visit; 5] = [Polite, Reset, Late, ConnectReset, Garbage];
const PAUSE_MS: std::ops::Range<usize> = 20..800;

pub struct Visitor<'a> {
    pub site: &'a Site,
    pub tally: &'a Tally,
    pub dice: Dice,
    ticket: Option<Ticket>,
}

impl<'a> Visitor<'a> {
    pub fn new(site: &'a Site, tally: &'a Tally, dice: Dice) -> Visitor<'a> {
        Visitor { site, tally, dice, ticket: None }
    }

    /// One visit after the other. The `visitors` of a site share the kinds out first, so that each has been there;
    /// then chance decides.
    pub fn run(mut self, nth: usize, visitors: usize) {
        let mut kinds = if self.site.room.is_some() { TO_RELAY.to_vec() } else { TO_ECHO.to_vec() };
        kinds.extend(self.site.is_tls().then_some(Truncate));
        for turn in 0.. {
            if self.tally.is_stopped() {
                return;
            }
            let due = kinds.get(nth + turn * visitors).copied();
            let visit = due.unwrap_or_else(|| self.dice.one_of(&kinds));
            let result = self.make(visit);
            let failed = !self.tally.judge(&format!("{}, {visit:?}", self.site.name), result);
            let pause = self.dice.ms(PAUSE_MS);
            std::thread::sleep(if failed { Duration::from_secs(1) } else { pause });
        }
    }

    fn make(&mut self, visit: Visit) -> Result<()> {
        let begun = self.site.generation();
        match (&self.site.room, visit) {
            (_, ConnectReset) => return self.connect_and_reset(),
            (_, Garbage) => return self.speak_garbage(),
            (Some(room), Stall) => self.stall(room)?,
            (Some(room), _) => self.talk(room, visit)?,
            (None, _) => self.echo(visit)?,
        }
        // OpenSSL does not take up a session again that has not ended as it should.
        if !matches!(visit, Reset | Kill | Truncate) {
            self.ticket = self.site.take_ticket(begun);
        }
        Ok(())
    }

    /// Half of those who have a ticket use it.
    fn connect(&mut self, receive_buffer: Option<usize>) -> Result<Conn> {
        drop(Conn::take_ticket()); // of an older connection
        let ticket = self.ticket.take().filter(|_| self.dice.percent(50));
        self.site.connect(ticket.as_ref(), receive_buffer, self.tally)
    }
}
