//! Stage 1: every byte comes back unchanged. One buffer, filled and emptied in turn.
//!
//! Nothing is read while something is left to write: a peer that reads slowly slows only itself,
//! and memory stays constant.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::PollFlags;

use super::child::Setup;
use super::ending::{Ending, ending_of, farewell};
use super::wait::Waiter;
use crate::relay::ChildEnd;
use crate::signal;
use crate::transport::{Received, Transport};

const BUFFER_BYTES: usize = 64 * 1024;
/// Reads in a row without a look at the parent, while the client keeps the buffer full.
const READS_A_LOOK: u32 = 16;

pub fn serve(
    mut transport: Transport<BorrowedFd<'_>>,
    relay: &ChildEnd,
    setup: &Setup<'_>,
    waiter: &Waiter,
    buffers: &mut [u8],
) -> Ending {
    let buf = &mut buffers[..BUFFER_BYTES];
    let mut pending = 0..0; // the part of `buf` that the client is still to get back
    let mut reads = 0;
    let idle = setup.args.idle_timeout;
    let next_idle_at = || (!idle.is_zero()).then(|| Instant::now() + idle); // where nobody waits, nobody asks the time
    let mut idle_at = next_idle_at();
    loop {
        let (event, until) = match (pending.is_empty(), transport.has_more()) {
            (false, _) => (transport.write_event(), idle_at),
            (true, false) => (transport.read_event(), idle_at),
            (true, true) => (PollFlags::empty(), Some(Instant::now())), // only a look
        };
        reads += 1;
        if !event.is_empty() || reads % READS_A_LOOK == 0 {
            match waiter.wait((transport.fd(), event), (relay, PollFlags::POLLIN), until) {
                Ok(ready) if ready.relay_speaks() || ready.relay_cut() || signal::asked_to_stop() => {
                    farewell(&mut transport, waiter, &buf[pending], false);
                    return Ending::Stopped;
                }
                Ok(_) if idle_at.is_some_and(|idle_at| Instant::now() >= idle_at) => {
                    farewell(&mut transport, waiter, &[], false);
                    return Ending::Idle;
                }
                Ok(_) => {}
                Err(_) => return Ending::Lost,
            }
        }
        if pending.is_empty() {
            match transport.receive(buf) {
                Ok(Received::Data(n)) => pending = 0..n,
                Ok(Received::Wait) => continue,
                Ok(end) => {
                    farewell(&mut transport, waiter, &[], true);
                    return if end == Received::End { Ending::Done } else { Ending::Truncated };
                }
                Err(trouble) => return ending_of(trouble, setup.peer),
            }
        }
        match transport.send(&buf[pending.clone()]) {
            Ok(0) => continue,
            // [08.short]
            Ok(n) => pending.start += n,
            Err(trouble) => return ending_of(trouble, setup.peer),
        }
        idle_at = next_idle_at();
    }
}
