//! Children that have ended, or have to: waited for, killed, forgotten.
//!
//! - Notes: notes/09-fork.md
//! - Manual: wait(2) (zombies), kill(2)

use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::client::{Client, Runner, words};
use super::parent::Parent;
use crate::error::describe;
use crate::lesson::step;
use crate::relay::Id;
use crate::sandbox::FORBIDDEN;

impl Parent<'_> {
    /// Waits for those whose packets have ended, as far as they have; no zombie stays.
    ///
    /// The kernel closes a process's descriptors before it says SIGCHLD: whoever has ended is among these. To ask
    /// for each by its pid costs the same however many there are; `waitpid(-1)` looks at every child.
    pub fn reap(&mut self) {
        for id in std::mem::take(&mut self.parted) {
            let Some(pid) = self.clients.get(&id).and_then(Client::process) else { continue };
            // [09.reap]
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => self.parted.push(id), // SIGCHLD will tell
                Ok(status) => self.bury(id, status),
                Err(errno) => {
                    log::error!("waitpid({pid}): {}", describe(errno));
                    self.forget(id);
                }
            }
        }
    }

    fn bury(&mut self, id: Id, status: WaitStatus) {
        if matches!(status, WaitStatus::Signaled(..)) {
            step::tidy();
        }
        if let Some(client) = self.forget(id) {
            let seconds = client.since.elapsed().as_secs();
            let (peer, words) = (client.peer, words(status, client.traffic));
            let level = if is_breach(status) { log::Level::Warn } else { log::Level::Info };
            log::log!(level, "c{id} {peer} closed after {seconds} s: {words}");
        }
    }

    /// A thread is over when its packets have ended; a process has to be waited for.
    pub fn forget_thread(&mut self, id: Id) {
        if self.clients.get(&id).is_none_or(|client| client.process().is_some()) {
            return;
        }
        if let Some(Client { runner: Runner::Thread(thread), peer, .. }) = self.forget(id) {
            let ending = thread.join().map_or("panicked", |ending| ending.words());
            log::info!("c{id} {peer} closed: {ending}");
        }
        self.watch_listener(); // under --no-fork the next one may come
    }

    fn forget(&mut self, id: Id) -> Option<Client> {
        let mut client = self.clients.remove(&id)?;
        self.door.let_out(&mut client);
        self.kill_at.retain(|(_, late)| *late != id);
        self.places.give_back(client.traffic);
        Some(client)
    }

    /// A child that has not ended in time. Its packets end here as well: whoever else holds its end of the pair, somebody
    /// to whom it was passed on, need not ever hang up.
    pub fn kill_late(&mut self, id: Id, now: Instant) {
        let Some(client) = self.clients.get(&id) else { return };
        log::warn!("c{id} {} did not end in time: killed", client.peer);
        client.kill();
        if let Runner::Thread(_) = client.runner {
            self.forget(id); // a thread cannot be killed; it ends with the process
        } else if client.end.is_some() {
            self.hear_out(id, now);
            self.part(id, false, now);
        }
    }
}

/// Somebody should look at this: a child has tried what no child of ours does.
fn is_breach(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(_, FORBIDDEN) | WaitStatus::Signaled(_, Signal::SIGSYS, _))
}
