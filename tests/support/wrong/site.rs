//! What all these servers stand on: their threads and sockets, so that a server ends as a whole.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use nix::sys::socket::{Shutdown, shutdown};

use super::conn::Conn;

/// More connections than any test makes at once; further ones are closed at once.
const CONNS_MAX: usize = 500;

type Socket = dyn AsRawFd + Send + Sync;

#[derive(Default)]
pub struct Site {
    sockets: Mutex<Sockets>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Weak, so that a socket is closed when the server drops it, not when the test ends.
#[derive(Default)]
struct Sockets {
    ended: bool,
    open: Vec<Weak<Socket>>,
}

impl Site {
    /// Makes [`Site::end`] know of this socket. False when the server has ended, or has too many.
    pub fn keep<S: AsRawFd + Send + Sync + 'static>(&self, socket: &Arc<S>) -> bool {
        let mut sockets = self.sockets.lock().unwrap();
        sockets.open.retain(|socket| socket.strong_count() > 0);
        let socket: Arc<Socket> = socket.clone();
        sockets.open.push(Arc::downgrade(&socket));
        !sockets.ended && sockets.open.len() <= CONNS_MAX
    }

    /// The next connection, or `None` when the server has ended.
    pub fn accept(&self, listener: &TcpListener) -> Option<Conn> {
        loop {
            let stream = Arc::new(listener.accept().ok()?.0);
            if self.keep(&stream) {
                return Some(Conn(stream));
            }
            if self.has_ended() {
                return None;
            }
        }
    }

    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let mut threads = self.threads.lock().unwrap();
        threads.retain(|thread| !thread.is_finished());
        threads.push(std::thread::spawn(work));
    }

    pub fn has_ended(&self) -> bool {
        self.sockets.lock().unwrap().ended
    }

    /// Ends the server, from inside (a mistake that kills it) or at the end of a test: shutdown() wakes every thread
    /// that waits in accept(), recv() or send().
    pub fn end(&self) {
        let mut sockets = self.sockets.lock().unwrap();
        sockets.ended = true;
        for socket in sockets.open.drain(..).filter_map(|socket| socket.upgrade()) {
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
    }

    /// Waits for all threads; returns how many of them panicked.
    pub fn join(&self) -> usize {
        let mut panics = 0;
        while let Some(thread) = { self.threads.lock().unwrap().pop() } {
            panics += usize::from(thread.join().is_err());
        }
        panics
    }
}
