//! What an operator asks of a running server, by signals: to stop, to read its files again, and who is there.
//!
//! - Notes: notes/13-daemon.md
//! - Manual: signal(7), kill(1), logrotate(8)
//! - Try: kill -USR1 $(pgrep -x sockstep)   (the table is in the log)

use std::time::Instant;

use nix::sys::signal::Signal;

use super::parent::{GOODBYE, Parent};
use super::start::tls_context;
use crate::lesson::step;
use crate::lifecycle::close;
use crate::logging;
use crate::signal::Sender;

impl Parent<'_> {
    /// First signal: the port closes, children flush and say goodbye. Second: no more patience.
    pub fn stop(&mut self, signal: Signal, now: Instant) {
        step::run_on(); // who waits for a key would be killed as too late
        if self.stop_by.is_some() {
            log::info!("{signal} again: children are killed");
            self.stop_by = Some(now);
            return;
        }
        log::info!("{signal}: stopping, {} clients", self.clients.len());
        if let Some(listener) = self.listener.take() {
            let _ = self.epoll.delete(&listener);
            close(listener);
        }
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.hear_out(id, now); // what the children have said so far still counts
        }
        self.hub.say_goodbye();
        self.stop_by = Some(now + GOODBYE);
    }

    /// SIGHUP: the terminal has gone, or somebody wants the files read again; terminal and sender know which.
    pub fn hang_up(&mut self, sender: Sender, now: Instant) {
        match (self.stop_by, self.terminal.has_gone(sender)) {
            (Some(_), _) => {} // a shell that ends sends one, and then the kernel another
            (None, true) => self.stop(Signal::SIGHUP, now),
            (None, false) => self.reload(),
        }
    }

    /// Log, certificate and key are opened anew. What is broken leaves the old one in place; connections stay.
    fn reload(&mut self) {
        reopen_log();
        match tls_context(self.args, self.keylog.as_ref()) {
            Ok(Some(tls)) => {
                self.tls = Some(tls); // children that run keep what they began with
                log::info!("SIGHUP: certificate and key read anew");
            }
            Ok(None) => {}
            Err(error) => log::error!("SIGHUP: {error}: the old certificate stays"),
        }
        log::info!("SIGHUP: {} clients stay", self.clients.len());
    }

    /// SIGUSR1: one line a client.
    pub fn list_clients(&self) {
        log::info!("SIGUSR1: {} clients", self.clients.len());
        for (id, client) in &self.clients {
            let (received, sent) = client.traffic.map_or((0, 0), |traffic| traffic.so_far());
            log::info!(
                "c{id} {} {} pid {}: {} s, {received} bytes in, {sent} bytes out, {} bytes behind",
                self.hub.name(*id).unwrap_or("-"),
                client.peer,
                client.pid,
                client.since.elapsed().as_secs(),
                self.hub.lag(*id),
            );
        }
    }
}

/// SIGHUP: whoever has renamed the file wants a new one.
pub fn reopen_log() {
    match logging::reopen() {
        Ok(true) => log::info!("SIGHUP: log opened anew"),
        Ok(false) => log::info!("SIGHUP: the log is standard error, which stays"),
        Err(error) => log::error!("SIGHUP: {error}: the old log stays"),
    }
}
