//! Lines from a few senders to all the others: how many are delivered a second, or how soon.

use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use openssl::ssl::SslContext;

use super::guest::Guest;
use super::lines::{LINE_BYTES, write_line};
use crate::failure::{Result, failed};
use crate::load::{Conn, Waiting};
use crate::measure::{Meter, Plan, Sample, measure};
use crate::peers::Server;

pub const SENDERS: usize = 4;
/// Lines of a sender that are not with everybody yet: more than this, and the server cannot keep up.
const UNDER_WAY: usize = 1024;
const BUF_BYTES: usize = 64 * 1024;
const TIMER: usize = usize::MAX;

#[derive(Clone, Copy)]
pub enum Pace {
    /// So many lines of each sender under way: the next when one has reached everybody.
    Window(u32),
    /// So many lines a second of each sender, whether or not the server keeps up.
    Rate(u32),
}

pub struct Relay {
    pub clients: usize,
    pub pace: Pace,
}

impl Relay {
    pub fn run(&self, server: &Server, context: Option<&SslContext>, plan: &Plan) -> Result<Sample> {
        let (mut guests, mut buf) = (Vec::<Guest>::with_capacity(self.clients), vec![0; BUF_BYTES]);
        for joined in 1..=self.clients {
            guests.push(Guest::join(Conn::open(server.addr, context)?)?);
            // ncat tells everybody of everybody at each newcomer: with 500 that is half a gigabyte.
            if joined % 16 == 0 {
                guests.iter_mut().try_for_each(|guest| guest.skip(&mut buf))?;
            }
        }
        // One line of each sender is with everybody.
        let settled = SENDERS * (self.clients - 1);
        // One thread is enough: for each batch it does less than any server.
        measure(plan, settled as u64, 1.0, vec![|meter: &Meter| Room::new(guests, self.pace).drive(meter)])
    }
}

/// What is under way between the guests.
pub struct Room {
    guests: Vec<Guest>,
    senders: [Sender; SENDERS],
    pace: Pace,
    latencies: Vec<f32>,
}

/// The lines of one guest that speaks.
pub struct Sender {
    next: u32,
    /// Everybody has all before this one.
    complete: u32,
    /// For each line under way: who still waits for it, and when it was due.
    waiting: Vec<u32>,
    due: Vec<Instant>,
}

impl Sender {
    fn new() -> Sender {
        Sender { next: 0, complete: 0, waiting: vec![0; UNDER_WAY], due: vec![Instant::now(); UNDER_WAY] }
    }

    fn under_way(&self) -> u32 {
        self.next - self.complete
    }

    /// One of the others has this line; returns when it was due.
    pub fn delivered(&mut self, number: u32) -> Instant {
        let slot = number as usize % UNDER_WAY;
        self.waiting[slot] -= 1;
        if self.waiting[slot] == 0 {
            self.complete += 1; // everybody has them in order, so this was the oldest
        }
        self.due[slot]
    }
}

impl Room {
    fn new(guests: Vec<Guest>, pace: Pace) -> Room {
        Room { guests, senders: std::array::from_fn(|_| Sender::new()), pace, latencies: Vec::new() }
    }

    fn drive(mut self, meter: &Meter) -> Result<Vec<f32>> {
        let mut waiting = Waiting::new()?;
        for (number, guest) in self.guests.iter().enumerate() {
            waiting.add(&guest.conn, number)?;
        }
        let mut clock = match self.pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => Some(Clock::start(rate)?),
        };
        if let Some(clock) = &clock {
            waiting.add(&clock.timer, TIMER)?;
        }
        let mut buf = vec![0; BUF_BYTES];
        while !meter.is_stopped() || self.senders.iter().any(|sender| sender.under_way() > 0) {
            self.speak(clock.as_mut(), meter)?;
            for number in waiting.ready()?.filter(|number| *number != TIMER) {
                let (senders, latencies) = (&mut self.senders, &mut self.latencies);
                let keep = clock.is_some() && meter.is_measuring();
                let heard = self.guests[number].hear(number, senders, &mut buf, |due: Instant, now: Instant| {
                    if keep {
                        latencies.push((now - due).as_secs_f32() * 1e6);
                    }
                })?;
                meter.add(heard);
                self.guests[number].flush()?;
            }
        }
        Ok(self.latencies)
    }

    /// Sends what is due.
    fn speak(&mut self, clock: Option<&mut Clock>, meter: &Meter) -> Result<()> {
        if let Some(clock) = clock {
            clock.timer_rang()?;
            while let Some((sender, due)) = clock.next_due() {
                if !meter.is_stopped() {
                    self.say(sender, due)?;
                }
            }
        } else if let (Pace::Window(window), false) = (self.pace, meter.is_stopped()) {
            for sender in 0..SENDERS {
                while self.senders[sender].under_way() < window {
                    self.say(sender, Instant::now())?;
                }
            }
        }
        for guest in &mut self.guests[..SENDERS] {
            guest.flush()?;
        }
        Ok(())
    }

    fn say(&mut self, number: usize, due: Instant) -> Result<()> {
        let sender = &mut self.senders[number];
        if sender.under_way() as usize == UNDER_WAY {
            return failed(format!("{UNDER_WAY} lines of a sender are under way: the server does not keep up"));
        }
        let mut line = [0; LINE_BYTES];
        write_line(number, sender.next, &mut line);
        self.guests[number].unsent.extend_from_slice(&line);
        let slot = sender.next as usize % UNDER_WAY;
        (sender.waiting[slot], sender.due[slot]) = (self.guests.len() as u32 - 1, due);
        sender.next += 1;
        Ok(())
    }
}

/// Says when each sender is to speak: one after the other, evenly.
struct Clock {
    timer: TimerFd,
    start: Instant,
    interval: Duration,
    said: u32,
}

impl Clock {
    fn start(rate: u32) -> Result<Clock> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let interval = Duration::from_secs(1) / (rate * SENDERS as u32);
        timer.set(Expiration::Interval(TimeSpec::from(interval)), TimerSetTimeFlags::empty())?;
        Ok(Clock { timer, start: Instant::now(), interval, said: 0 })
    }

    fn timer_rang(&self) -> Result<()> {
        match self.timer.wait() {
            Ok(()) | Err(nix::Error::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn next_due(&mut self) -> Option<(usize, Instant)> {
        let due = self.start + self.interval * (self.said + 1);
        (due <= Instant::now()).then(|| {
            self.said += 1;
            (self.said as usize % SENDERS, due)
        })
    }
}
