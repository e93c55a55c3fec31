//! A connection that reads lines while it says some: it never waits to write while there is something to read.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use crate::conn::Conn;
use crate::failure::{Result, failed};

/// Read in one turn, so that what is to be said gets its turn, too.
const TURN_BYTES: usize = 1 << 20;

/// How the server has ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN; in TLS, behind close_notify.
    Clean,
    /// In TLS, FIN alone.
    Cut,
    Reset,
}

pub struct Guest {
    conn: Conn,
    unsent: Vec<u8>,
    /// A line whose end has not come.
    begun: Vec<u8>,
    buf: Vec<u8>,
    pub ended: Option<End>,
}

impl Guest {
    pub fn new(conn: Conn) -> Result<Guest> {
        conn.hurry(true)?;
        Ok(Guest { conn, unsent: Vec::new(), begun: Vec::new(), buf: vec![0; 64 * 1024], ended: None })
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// What the kernel has not taken yet.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.conn, Conn::Tls(_))
    }

    pub fn port(&self) -> Result<u16> {
        Ok(self.conn.stream().local_addr()?.port())
    }

    /// Waits until there is something to do, at most until then, and does it: `each` gets every line that has come,
    /// without its newline.
    pub fn turn(&mut self, until: Instant, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        if self.ended.is_none() {
            let mut wanted = PollFlags::POLLIN;
            wanted.set(PollFlags::POLLOUT, !self.unsent.is_empty());
            self.wait(wanted, until)?;
            self.flush()?;
            self.read(&mut each)?;
        }
        Ok(())
    }

    /// Says what can be said until then, and reads nothing.
    pub fn speak(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until && !self.unsent.is_empty() {
            self.wait(PollFlags::POLLOUT, until)?;
            self.flush()?;
        }
        Ok(())
    }

    fn wait(&self, wanted: PollFlags, until: Instant) -> Result<()> {
        let ms = until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        match poll(&mut [PollFd::new(self.conn.as_fd(), wanted)], PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX))
        {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.conn.write(&self.unsent[sent..]) {
                Ok(Some(n)) => sent += n,
                Ok(None) => break,
                // It cannot hear us any more; why, stands in what there is to read.
                Err(error) if is_reset(&error) => sent = self.unsent.len(),
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    fn read(&mut self, each: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
        let mut read = 0;
        while read < TURN_BYTES {
            match self.conn.read(&mut self.buf) {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => {
                    self.ended = Some(if self.conn.ended_well() { End::Clean } else { End::Cut });
                    // Otherwise OpenSSL would not take the session up again. The server may not listen any more.
                    let _ = self.conn.end();
                    return Ok(());
                }
                Ok(Some(n)) => {
                    read += n;
                    take_lines(&mut self.begun, &self.buf[..n], each)?;
                }
                Err(error) if is_reset(&error) => {
                    self.ended = Some(End::Reset);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// No line has been left half said by the server.
    pub fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }

    /// Says "I have said all", in the words of the protocol; all must have been sent.
    pub fn half_close(&mut self) -> Result<()> {
        self.conn.hurry(false)?;
        self.conn.end()?;
        Ok(self.conn.hurry(true)?)
    }

    /// FIN alone: in TLS, what an attacker could do who cuts the end off.
    pub fn cut(&mut self) -> Result<()> {
        Ok(self.conn.stream().shutdown(Shutdown::Write)?)
    }

    /// Closes with RST instead of FIN (SO_LINGER with a time of 0, socket(7)).
    pub fn reset(self) -> Result<()> {
        reset_at_close(self.conn.stream())
    }
}

pub fn reset_at_close(stream: &impl AsFd) -> Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(stream, sockopt::Linger, &linger)?)
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn take_lines(begun: &mut Vec<u8>, bytes: &[u8], each: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(end) = part.strip_suffix(b"\n") else {
            begun.extend_from_slice(part);
            break;
        };
        let line = if begun.is_empty() {
            end
        } else {
            begun.extend_from_slice(end);
            begun.as_slice()
        };
        let Ok(text) = std::str::from_utf8(line) else { return failed("a line came that is no UTF-8") };
        each(text)?;
        begun.clear();
    }
    Ok(())
}
