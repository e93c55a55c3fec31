//! How much each connection has moved: counters in memory that parent and children share. And one word of the
//! parent's: that it has cut a child off, as the end of a relay pair looks the same when the parent has died. And one of
//! the child's, its last: which call was forbidden.
//!
//! A child counts what it receives and sends; the parent, which sees none of it, reads the numbers when
//! somebody asks (SIGUSR1). A page of `MAP_SHARED` memory is the same page on both sides of fork(), so that
//! counting costs no call and even a stopped child has its numbers. A child could write nonsense into it,
//! also into another's place: numbers for people to look at, and the words of a goodbye; nothing else depends on it.
//!
//! - Notes: notes/09-fork.md
//! - Manual: mmap(2) (MAP_SHARED, MAP_ANONYMOUS), shm_overview(7)

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// What went through one connection, in bytes of the conversation (under TLS: before encryption).
#[derive(Debug, Default)]
#[repr(align(64))] // a cache line each: processes on different processors do not get in each other's way
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    cut_off: AtomicBool,
    forbidden_call: AtomicU32,
}

impl Traffic {
    pub fn count_received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    pub fn count_sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// To be said before the relay pair is cut: then the child knows why.
    pub fn mark_cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
    }

    pub fn was_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// For [`crate::sandbox::report_to`].
    pub fn forbidden_call(&self) -> &AtomicU32 {
        &self.forbidden_call
    }

    /// Received and sent so far.
    pub fn so_far(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }
}

/// Only the one who serves the connection writes, so that it need not lock the memory for it.
fn add(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
}

/// Places for as many connections as there may be at a time; the kernel gives a page when it is touched.
#[derive(Debug)]
pub struct Places {
    all: &'static [Traffic],
    /// Of all, so many have been taken so far: those behind them are free, and not written to yet.
    touched: usize,
    /// Given back.
    free: Vec<&'static Traffic>,
}

impl Places {
    /// Maps the memory, for as long as the process lives.
    #[allow(unsafe_code)] // mmap(2) gives bare memory.
    pub fn new(count: u32) -> nix::Result<Places> {
        let count = count as usize;
        let Some(length) = NonZeroUsize::new(count * size_of::<Traffic>()) else {
            return Ok(Places { all: &[], touched: 0, free: Vec::new() });
        };
        let (readable, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let memory = unsafe { mmap_anonymous(None, length, readable, flags) }?;
        // SAFETY: the mapping is page-aligned, holds `count` values, is never unmapped, and all-zero bytes
        // are a valid `Traffic`; its fields are atomics, so that other processes may write them meanwhile.
        let places: &'static [Traffic] = unsafe { std::slice::from_raw_parts(memory.cast().as_ptr(), count) };
        Ok(Places { all: places, touched: 0, free: Vec::new() })
    }

    /// A place of one's own, as new; `None` when more are asked for than there are.
    pub fn take(&mut self) -> Option<&'static Traffic> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = self.all.get(self.touched)?;
                self.touched += 1;
                place
            }
        };
        place.received.store(0, Ordering::Relaxed);
        place.sent.store(0, Ordering::Relaxed);
        place.cut_off.store(false, Ordering::Relaxed);
        place.forbidden_call.store(0, Ordering::Relaxed);
        Some(place)
    }

    pub fn give_back(&mut self, place: Option<&'static Traffic>) {
        self.free.extend(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_starts_at_nothing() {
        let mut places = Places::new(2).unwrap();
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_none());
        first.count_received(5);
        second.count_sent(7);
        first.mark_cut_off();
        assert_eq!((first.so_far(), second.so_far()), ((5, 0), (0, 7)));
        assert_eq!((first.was_cut_off(), second.was_cut_off()), (true, false));
        places.give_back(Some(first));
        assert_eq!(places.take().map(|place| (place.so_far(), place.was_cut_off())), Some(((0, 0), false)));
    }
}
