//! The hub's one bounded log of frames. Positions in it only ever grow; a cursor is a position.

use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};
use nix::unistd::{SysconfVar, sysconf};

use super::Id;
use super::packet::{RELAY_MAX_BYTES, append_frame, frames};

#[derive(Debug)]
pub struct Log {
    /// Encoded frames, oldest first, in one piece: a batch for a child is a slice of it.
    bytes: Vec<u8>,
    /// The position of `bytes[0]`.
    base: u64,
    /// Everything before this position has been delivered to everybody.
    tail: u64,
}

impl Log {
    pub fn new(capacity: usize) -> Log {
        let mut bytes = Vec::with_capacity(capacity);
        keep_from_children(&mut bytes);
        Log { bytes, base: 0, tail: 0 }
    }

    /// The position behind the newest frame.
    pub fn head(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Bytes that somebody still has to get.
    pub fn len(&self) -> usize {
        (self.head() - self.tail) as usize
    }

    /// Encodes a frame, once for everybody.
    pub fn append(&mut self, origin: Id, write: impl FnOnce(&mut Vec<u8>)) {
        append_frame(&mut self.bytes, origin, write);
    }

    /// As many whole frames from `cursor` on as fit in a packet, none behind `limit`.
    ///
    /// Both must be positions between frames, and `cursor` not before the tail.
    pub fn batch(&self, cursor: u64, limit: u64) -> &[u8] {
        let waiting = &self.bytes[(cursor - self.base) as usize..(limit - self.base) as usize];
        if waiting.len() <= RELAY_MAX_BYTES {
            return waiting;
        }
        let mut end = 0;
        for frame in frames(waiting) {
            if end + frame.encoded_len() > RELAY_MAX_BYTES {
                break;
            }
            end += frame.encoded_len();
        }
        &waiting[..end]
    }

    /// Forgets what stands before `tail`. The bytes move only when half of them are forgotten.
    pub fn release(&mut self, tail: u64) {
        self.tail = tail;
        let done = (tail - self.base) as usize;
        if done * 2 >= self.bytes.len() {
            self.bytes.drain(..done);
            self.base = tail;
        }
    }
}

/// `madvise(…, MADV_DONTFORK)`: what others say is none of a child's business, and pages that fork() does not
/// hand on cost nothing, neither there nor when the parent writes to them again.
///
/// malloc(3) makes a mapping of its own for as much as a log is (mallopt(3), M_MMAP_THRESHOLD), which goes as a whole
/// when it is freed: no other memory gets its pages. A log that has outgrown them is handed on as all else is.
#[allow(unsafe_code)] // madvise(2) is told of memory by its address.
fn keep_from_children(bytes: &mut Vec<u8>) {
    let Ok(Some(page)) = sysconf(SysconfVar::PAGE_SIZE) else { return };
    let page = page as usize;
    let room = bytes.spare_capacity_mut();
    let skipped = room.as_ptr().align_offset(page);
    let pages = room.len().saturating_sub(skipped) / page;
    let Some(start) = room.get_mut(skipped).and_then(|first| NonNull::new(first.as_mut_ptr().cast())) else { return };
    // SAFETY: whole pages, all within `bytes`. In this process nothing changes; a forked child never looks at the hub.
    let _ = unsafe { madvise(start, pages * page, MmapAdvise::MADV_DONTFORK) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(count: usize, text_bytes: usize) -> Log {
        let mut log = Log::new(0);
        for origin in 1..=count {
            log.append(origin as Id, |buf| buf.resize(buf.len() + text_bytes, b'x'));
        }
        log
    }

    #[test]
    fn a_batch_holds_whole_frames_only_and_nothing_is_skipped() {
        let log = log_of(10, 60_000);
        let (mut cursor, mut origins) = (0, Vec::new());
        while cursor < log.head() {
            let batch = log.batch(cursor, log.head());
            assert!(!batch.is_empty() && batch.len() <= RELAY_MAX_BYTES);
            origins.extend(frames(batch).map(|frame| frame.origin));
            cursor += batch.len() as u64;
        }
        assert_eq!(origins, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn positions_stay_when_the_front_is_forgotten() {
        let mut log = log_of(4, 8); // frames of 16 bytes
        let third = log.batch(32, 48).to_vec();
        for tail in [16, 32] {
            log.release(tail);
            assert_eq!(log.batch(32, 48), third);
            assert_eq!((log.head(), log.len()), (64, 64 - tail as usize));
        }
        log.release(64);
        assert_eq!((log.head(), log.len(), log.bytes.len()), (64, 0, 0));
    }
}
