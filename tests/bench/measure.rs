//! One measurement: warm up, take a reading, let it run, take another, and stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::cpu;
use crate::failure::{Failure, Result, failed};

/// After this, it is measured as it is.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
pub struct Plan {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What one server did in one round.
#[derive(Clone, Debug)]
pub struct Sample {
    pub seconds: f64,
    /// In the unit of the work.
    pub units: f64,
    pub server_cpu: Duration,
    /// The load generator's own: where this is near `seconds` for each thread, it is the limit.
    pub load_cpu: Duration,
    /// Of all deliveries in that time, in microseconds, in order.
    pub latencies: Vec<f32>,
}

// Before: 0, warming up.
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;
const FAILED: u8 = 3;

/// Shared by the threads of the load and the one that reads the clock.
#[derive(Default)]
pub struct Meter {
    count: AtomicU64,
    phase: AtomicU8,
    /// The first, which may be why others fail.
    failure: Mutex<Option<Failure>>,
}

impl Meter {
    /// So much more has come back, and was right.
    pub fn add(&self, count: u64) {
        self.count.fetch_add(count, Relaxed);
    }

    pub fn is_measuring(&self) -> bool {
        self.phase.load(Relaxed) == MEASURING
    }

    /// Then nothing new is sent, and what is under way is waited for.
    pub fn is_stopped(&self) -> bool {
        self.phase.load(Relaxed) >= STOPPED
    }

    /// Then nothing is waited for either.
    pub fn has_failed(&self) -> bool {
        self.phase.load(Relaxed) == FAILED
    }

    fn fail(&self, failure: Failure) {
        self.phase.store(FAILED, Relaxed);
        if let Ok(mut first) = self.failure.lock() {
            first.get_or_insert(failure);
        }
    }

    fn enter(&self, phase: u8) {
        self.phase.fetch_max(phase, Relaxed);
    }
}

struct Reading {
    at: Instant,
    count: u64,
    server_cpu: Duration,
    load_cpu: Duration,
}

impl Reading {
    fn take(meter: &Meter) -> Result<Reading> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let of = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        let load_cpu = of(usage.user_time()) + of(usage.system_time());
        let server_cpu = cpu::of_servers();
        Ok(Reading { at: Instant::now(), count: meter.count.load(Relaxed), server_cpu, load_cpu })
    }
}

/// Runs the threads of a load; each returns the latencies that it saw, in microseconds. The warm-up begins when
/// `settled` bytes, lines or connections have come back: until then there may be other things to read, greetings above all.
pub fn measure<'a, L>(plan: &Plan, settled: u64, per_unit: f64, load: Vec<L>) -> Result<Sample>
where
    L: FnOnce(&Meter) -> Result<Vec<f32>> + Send + 'a,
{
    let meter = Meter::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            load.into_iter().map(|one| scope.spawn(|| one(&meter).map_err(|failure| meter.fail(failure)))).collect();
        let wait = |until: Instant, enough: u64| {
            while Instant::now() < until && meter.count.load(Relaxed) < enough && !meter.has_failed() {
                std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
        };
        wait(Instant::now() + SETTLE, settled);
        wait(Instant::now() + plan.warm_up, u64::MAX);
        let before = Reading::take(&meter);
        meter.enter(MEASURING);
        wait(Instant::now() + plan.measured, u64::MAX);
        let after = Reading::take(&meter);
        meter.enter(STOPPED);
        let mut latencies = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(Ok(mut seen)) => latencies.append(&mut seen),
                Ok(Err(())) => {} // said to the meter
                Err(_) => return failed("the load generator panicked"),
            }
        }
        if let Some(failure) = meter.failure.lock().ok().and_then(|mut failure| failure.take()) {
            return Err(failure);
        }
        let (before, after) = (before?, after?);
        latencies.sort_unstable_by(f32::total_cmp);
        Ok(Sample {
            seconds: (after.at - before.at).as_secs_f64(),
            units: (after.count - before.count) as f64 / per_unit,
            server_cpu: after.server_cpu.saturating_sub(before.server_cpu),
            load_cpu: after.load_cpu - before.load_cpu,
            latencies,
        })
    })
}

impl Sample {
    pub fn rate(&self) -> f64 {
        self.units / self.seconds
    }

    /// Microseconds of the server's CPU time for a unit.
    pub fn cpu_per_unit(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.units
    }

    /// The latency that this part of the deliveries did not exceed.
    pub fn percentile(&self, part: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * part).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| f64::from(*latency))
    }
}
