//! Children that have ended, or have to: waited for, killed, forgotten.
//!
//! - Notes: notes/09-fork.md
//! - Manual: wait(2) (zombies), kill(2)

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::client::{Client, Runner, words};
use super::parent::Parent;
use crate::error::describe;
use crate::lesson::step;
use crate::relay::Id;

impl Parent<'_> {
    /// Waits for every child that has ended; no zombie stays. Its data may still have to be read.
    pub fn reap(&mut self) {
        loop {
            // [09.reap]
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(errno) => return log::error!("waitpid: {}", describe(errno)),
                Ok(status) => status,
            };
            if matches!(status, WaitStatus::Signaled(..)) {
                step::tidy();
            }
            let Some(id) = status.pid().and_then(|pid| self.pids.remove(&pid)) else { continue };
            if let Some(client) = self.clients.get_mut(&id) {
                client.runner = Runner::Over;
                log::info!(
                    "c{id} {} closed after {} s: {}",
                    client.peer,
                    client.since.elapsed().as_secs(),
                    words(status)
                );
            }
            self.forget_if_over(id);
        }
    }

    /// Both must have come, in whatever order: the child's exit, and the end of its packets.
    pub fn forget_if_over(&mut self, id: Id) {
        let Some(client) = self.clients.get(&id).filter(|client| client.end.is_none()) else { return };
        if matches!(client.runner, Runner::Process(_)) {
            return;
        }
        if let Some(Client { runner: Runner::Thread(thread), peer, .. }) = self.forget(id) {
            let ending = thread.join().map_or("panicked", |ending| ending.words());
            log::info!("c{id} {peer} closed: {ending}");
        }
        self.watch_listener(); // under --no-fork the next one may come
    }

    fn forget(&mut self, id: Id) -> Option<Client> {
        let client = self.clients.remove(&id)?;
        self.places.give_back(client.traffic);
        Some(client)
    }

    pub fn kill_late(&mut self, id: Id) {
        let Some(client) = self.clients.get(&id) else { return };
        log::warn!("c{id} {} did not end in time: killed", client.peer);
        client.kill();
        if let Runner::Thread(_) = client.runner {
            self.forget(id); // a thread cannot be killed; it ends with the process
        }
    }
}
