//! A client that expects nothing of its server: what does not come, or comes wrong, is an answer, too.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::DEADLINE;

/// What every server sends is waited for until the deadline. A mistake is often that something does not come, or that
/// something else does: then it depends on whom one asks, the wrong server or the right one.
#[derive(Clone, Copy)]
pub struct Patience {
    /// How long to wait for what only a right server sends.
    pub silence: Duration,
    /// How long to wait for what only a wrong one sends.
    pub watch: Duration,
}

impl Patience {
    pub const WITH_WRONG: Patience = Patience { silence: Duration::from_millis(300), watch: DEADLINE };
    pub const WITH_RIGHT: Patience = Patience { silence: DEADLINE, watch: Duration::from_millis(200) };
}

pub struct Caller<S = TcpStream> {
    pub stream: S,
    read: Vec<u8>,
}

pub fn plain(addr: SocketAddr) -> Caller {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    Caller::over(stream).within(DEADLINE)
}

impl<S: Read + Write> Caller<S> {
    pub fn over(stream: S) -> Caller<S> {
        Caller { stream, read: Vec::new() }
    }

    /// A server that is gone does not hear it: that shows in what comes back.
    pub fn say(&mut self, data: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(data.as_ref());
    }

    /// Waits for one more piece; false at the end, or after too long a silence.
    fn hear(&mut self) -> bool {
        let mut buf = [0; 65536];
        match self.stream.read(&mut buf) {
            Ok(n @ 1..) => {
                self.read.extend_from_slice(&buf[..n]);
                true
            }
            _ => false,
        }
    }

    /// The next line, without its newline, if one comes.
    pub fn line(&mut self) -> Option<String> {
        let end = loop {
            match self.read.iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None if self.hear() => {}
                None => return None,
            }
        };
        let line: Vec<u8> = self.read.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// The next line that has this in it.
    pub fn line_with(&mut self, text: &str) -> Option<String> {
        loop {
            let line = self.line()?;
            if line.contains(text) {
                return Some(line);
            }
        }
    }

    /// Whether this text comes at all, with or without a newline.
    pub fn hears(&mut self, text: &str) -> bool {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            if !self.hear() {
                return false;
            }
        }
        true
    }

    /// Whether exactly these bytes come back.
    pub fn gets_back(&mut self, data: &[u8]) -> bool {
        self.say(data);
        while self.read.len() < data.len() && self.hear() {}
        std::mem::take(&mut self.read) == data
    }
}

impl Caller {
    /// How long it waits from now on.
    pub fn within(self, patience: Duration) -> Caller {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        self.stream.set_write_timeout(Some(patience)).unwrap();
        self
    }

    /// Sends all while it reads, half-closes, and returns all that came; `None` without an end.
    pub fn transfer(mut self, data: &[u8]) -> Option<Vec<u8>> {
        let mut writer = self.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = writer.write_all(data);
                let _ = writer.shutdown(Shutdown::Write);
            });
            while self.hear() {}
            self.is_told_the_end().then_some(self.read)
        })
    }

    /// Whether the server ends this connection, in whatever way, before it has been silent for too long.
    pub fn is_told_the_end(&mut self) -> bool {
        while self.hear() {}
        match self.stream.read(&mut [0]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Whether the server ends this connection within this time.
    pub fn closes_within(self, patience: Duration) -> bool {
        self.within(patience).is_told_the_end()
    }
}
