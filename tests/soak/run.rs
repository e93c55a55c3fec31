//! The run: servers, clients, an operator, and one who looks on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal};

use crate::PATIENCE;
use crate::dice::Dice;
use crate::failure::{Failure, Result, failed};
use crate::options::Options;
use crate::report::{self, Outcome};
use crate::room::Room;
use crate::site::Site;
use crate::steady::{self, Scribe};
use crate::tally::Tally;
use crate::visits::Visitor;
use crate::watch::{Course, Sample};

/// So many looks at the servers, or more: the verdict compares fifths of them.
const SAMPLES: u32 = 60;
const SOONEST: Duration = Duration::from_millis(250);
const LATEST: Duration = Duration::from_secs(10);
/// A line of the table, or when the next sample comes.
const ROW: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const RELOAD_PAUSE_MS: std::ops::Range<usize> = 500..4000;
/// Until each server has had its first: so that there is enough to see in a short run, too.
const FIRST_RELOAD_PAUSE_MS: std::ops::Range<usize> = 100..300;

type Handle<'scope> = ScopedJoinHandle<'scope, ()>;

/// True when nothing was lost and nothing is left.
pub fn run(options: &Options) -> Result<bool> {
    let tally = Arc::new(Tally::default());
    end_at_ctrl_c(&tally)?;
    let seed = options.seed.unwrap_or_else(some_seed);
    let dir = tempfile::tempdir()?;
    let mut sites = Site::start_all(dir.path())?;
    report::opening(options, seed);
    let began = Instant::now();
    let courses = Load { sites: &sites, tally: &tally, options, seed }.bear()?;
    for site in &sites {
        tally.judge(site.name, site.is_left_as_it_was());
    }
    for site in &mut sites {
        let result = site.end();
        tally.judge(site.name, result);
    }
    if tally.failed() == 0 {
        tally.judge("줄", tally.balance());
    }
    let outcome = Outcome { sites: &sites, courses: &courses, tally: &tally, lasted: began.elapsed() };
    let right = report::verdict(&outcome, options, seed);
    if !right {
        println!("서버들의 로그: {}", dir.keep().display());
    }
    Ok(right)
}

/// Who does what at which server.
struct Load<'a> {
    sites: &'a [Site],
    tally: &'a Tally,
    options: &'a Options,
    seed: u64,
}

impl<'a> Load<'a> {
    /// Until the time is up, or somebody presses Ctrl-C; then until everybody has left.
    fn bear(&self) -> Result<Vec<Course>> {
        let (over, threads) = (AtomicBool::new(false), AtomicUsize::new(0));
        let rooms = self.sites.iter().filter_map(|site| Some((site, site.room.as_ref()?)));
        let scribe = |(site, room): (&'a Site, &'a Room)| Ok((site, Scribe::join(site, room, self.tally)?));
        let scribes: Vec<(&Site, Scribe<'_>)> = rooms.map(scribe).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let (scribes, over) = (scribes.into_iter(), &over);
            let write = |(site, scribe): (&'a Site, Scribe<'a>)| {
                scope.spawn(move || self.must_go_on(site.name, scribe.write(over)))
            };
            let scribes: Vec<Handle<'_>> = scribes.map(write).collect();
            let mut dice = || Dice::of(self.seed, threads.fetch_add(1, SeqCst) as u64);
            let (mut staying, mut passing): (Vec<Handle<'_>>, Vec<Handle<'_>>) = (Vec::new(), Vec::new());
            for site in self.sites {
                self.send(scope, site, &mut dice, [&mut staying, &mut passing]);
            }
            let operator = dice();
            passing.push(scope.spawn(|| self.operate(operator)));
            let courses = self.look_on();
            self.tally.stop();
            let passed = join(passing);
            self.tally.silence();
            let stayed = join(staying);
            over.store(true, SeqCst);
            let written = join(scribes);
            passed.and(stayed).and(written).map(|()| courses)
        })
    }

    /// Half of a site's clients stay; the others come and go.
    fn send<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        site: &'a Site,
        dice: &mut impl FnMut() -> Dice,
        [stay, pass]: [&mut Vec<Handle<'scope>>; 2],
    ) {
        let share = self.options.clients as usize / self.sites.len();
        let (staying, visitors) = (share / 2, share - share / 2);
        site.room.iter().for_each(|room| room.speaking.store(staying, SeqCst));
        for _ in 0..staying {
            let mut dice = dice();
            stay.push(scope.spawn(move || {
                let result = match &site.room {
                    Some(room) => steady::stay(site, room, self.tally, &mut dice),
                    None => steady::echo(site, self.tally, &mut dice),
                };
                self.must_go_on(site.name, result);
            }));
        }
        for nth in 0..visitors {
            let visitor = Visitor::new(site, self.tally, dice());
            pass.push(scope.spawn(move || visitor.run(nth, visitors)));
        }
    }

    /// Without those who stay, the rest of the run would say nothing.
    fn must_go_on(&self, who: &str, result: Result<()>) {
        if !self.tally.judge(who, result) {
            self.tally.stop();
        }
    }

    fn operate(&self, mut dice: Dice) {
        for turn in 0.. {
            let first = turn < self.sites.len();
            let pause = Instant::now() + dice.ms(if first { FIRST_RELOAD_PAUSE_MS } else { RELOAD_PAUSE_MS });
            while Instant::now() < pause && !self.tally.is_stopped() {
                std::thread::sleep(LOOK);
            }
            if self.tally.is_stopped() {
                return;
            }
            let site = self.sites.get(turn).unwrap_or_else(|| &self.sites[dice.within(0..self.sites.len())]);
            self.tally.judge(site.name, site.reload(self.tally));
        }
    }

    /// Takes samples, and tells of them. What a server takes up is compared only from when everything has happened
    /// once: its buffers have been as full as they get.
    fn look_on(&self) -> Vec<Course> {
        let mut courses: Vec<Course> = self.sites.iter().map(|_| Course::default()).collect();
        let (began, every) = (Instant::now(), (self.options.duration() / SAMPLES).clamp(SOONEST, LATEST));
        let (mut next, mut row) = (began + every, began + ROW.max(every));
        loop {
            let now = Instant::now();
            let enough = now - began >= self.options.duration() && self.tally.missing().is_empty();
            if enough || self.tally.is_stopped() || now - began > self.options.duration() + PATIENCE {
                let samples: Vec<Sample> = self.sites.iter().map(Sample::of).collect();
                report::row(now - began, &samples, self.tally);
                return courses;
            }
            if now >= next {
                let samples: Vec<Sample> = self.sites.iter().map(Sample::of).collect();
                if now >= row {
                    report::row(now - began, &samples, self.tally);
                    row += ROW.max(every);
                }
                if self.tally.missing().is_empty() {
                    courses.iter_mut().zip(samples).for_each(|(course, sample)| course.add(sample));
                }
                next += every;
            }
            std::thread::sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
        }
    }
}

fn join(handles: Vec<Handle<'_>>) -> Result<()> {
    let panicked = handles.into_iter().map(ScopedJoinHandle::join).filter(std::result::Result::is_err).count();
    if panicked == 0 { Ok(()) } else { failed(format!("{panicked} threads of the load panicked")) }
}

/// The first Ctrl-C ends the run tidily, the second at once; the servers end with us.
fn end_at_ctrl_c(tally: &Arc<Tally>) -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?; // in all threads that are still to come
    let tally = tally.clone();
    std::thread::spawn(move || {
        for pressed in 0.. {
            if signals.wait().is_err() || pressed > 0 {
                std::process::exit(130);
            }
            report::interrupted();
            tally.interrupt();
        }
    });
    Ok(())
}

fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| Failure::new(error.to_string()));
    now.map_or(1, |now| now.as_micros() as u64 % 1_000_000)
}
