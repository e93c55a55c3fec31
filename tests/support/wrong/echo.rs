//! Stage 1: a thread for each client, which sends back what it receives.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::TcpListener;
use std::sync::Arc;

use nix::poll::{PollFlags, PollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use super::conn::Conn;
use super::servers;
use super::site::Site;

servers! {
    /// An echo server over TCP.
    Echo, 1 right:
    Correct,
    /// A ring buffer of 1 MiB that is one byte too short: where it wraps, a byte is lost.
    DropsAByte,
    /// `send(fd, buf, strlen(buf), 0)`: what was received is taken for a C string, which a 0 byte ends.
    StopsAtZero,
    /// `for line in file`: what has no newline yet waits for it, or for the end.
    WaitsForNewline,
    /// `while (strchr(line, '\n'))`: a last piece without newline is never sent.
    OnlyWholeLines,
    /// No thread and no fork(): the next accept() comes after the end of this client.
    OneAtATime,
    /// The first recv() stands right behind accept(), before the thread is made: who says nothing blocks the newcomers.
    SilentBlocks,
    /// recv() returned 0, so the client is gone: close(), and what it has gathered to send is lost.
    HalfCloseLosesTail,
    /// recv() returned 0, so there is nothing to do: the connection stays open and the client waits for the end.
    NeverCloses,
    /// The chapter's `toupper()` example, left in.
    UpperCases,
    /// `line.strip()`: a text has no carriage returns.
    StripsCr,
    /// An error of one client is not caught: ECONNRESET ends the whole server.
    DiesOnReset,
    /// It welcomes each client, so what comes back is not only what was sent.
    Greets,
    /// One send() on a non-blocking socket; what it did not take is thrown away.
    IgnoresShortSends,
    /// `Client clients[20]`, and the place of one that has left is not used again.
    ServesTwenty,
    /// One connection for each address, against cheaters; who has left is still on the list.
    OnceForEachHost,
}

const RING_BYTES: usize = 1 << 20;
const PLACES: usize = 20;
const OWED_MAX_BYTES: usize = 32 << 20;
const GATHER_MS: u16 = 50;
/// Longer than any line that a test sends.
const LINE_MAX_BYTES: usize = 1 << 20;

pub fn serve(site: &Arc<Site>, listener: &TcpListener, mistake: Echo) {
    let (mut places, mut hosts) = (PLACES, HashSet::new());
    while let Some(conn) = site.accept(listener) {
        let host = conn.0.peer_addr().map(|addr| addr.ip()).ok();
        match mistake {
            Echo::ServesTwenty if places == 0 => continue,
            Echo::ServesTwenty => places -= 1,
            Echo::OnceForEachHost if !hosts.insert(host) => continue,
            Echo::SilentBlocks if conn.first_byte().is_err() => continue,
            Echo::OneAtATime => {
                let _ = talk(conn, mistake);
                continue;
            }
            _ => {}
        }
        let host = site.clone();
        site.spawn(move || {
            if talk(conn, mistake).is_err() && mistake == Echo::DiesOnReset {
                host.end();
            }
        });
    }
}

fn talk(mut conn: Conn, mistake: Echo) -> Result<()> {
    match mistake {
        Echo::HalfCloseLosesTail => return lose_the_tail(conn),
        Echo::IgnoresShortSends => return send_once(conn),
        Echo::Greets => conn.send_all("어서 오십시오!\n".as_bytes())?,
        _ => {}
    }
    let (mut buf, mut answer) = (vec![0; 65536], Answer { mistake, held: Vec::new(), ring: 0 });
    loop {
        match conn.read(&mut buf)? {
            0 => break,
            n => conn.send_all(&answer.to(&buf[..n]))?,
        }
        if answer.held.len() > LINE_MAX_BYTES {
            return Ok(());
        }
    }
    match mistake {
        Echo::WaitsForNewline => conn.send_all(&answer.held),
        Echo::NeverCloses => conn.wait(PollFlags::empty(), PollTimeout::NONE).map(|_| ()),
        _ => Ok(()),
    }
}

/// What the server says to what it has received.
struct Answer {
    mistake: Echo,
    /// The line that has no newline yet.
    held: Vec<u8>,
    /// The place in the ring buffer.
    ring: usize,
}

impl Answer {
    fn to(&mut self, got: &[u8]) -> Vec<u8> {
        match self.mistake {
            Echo::DropsAByte => got.iter().filter(|_| self.fits()).copied().collect(),
            Echo::StopsAtZero => got.iter().take_while(|byte| **byte != 0).copied().collect(),
            Echo::WaitsForNewline | Echo::OnlyWholeLines => {
                self.held.extend_from_slice(got);
                let lines = self.held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                self.held.drain(..lines).collect()
            }
            Echo::UpperCases => got.to_ascii_uppercase(),
            Echo::StripsCr => got.iter().filter(|byte| **byte != b'\r').copied().collect(),
            _ => got.to_vec(),
        }
    }

    fn fits(&mut self) -> bool {
        self.ring = (self.ring + 1) % RING_BYTES;
        self.ring != 0
    }
}

/// Many small pieces are to become one send(): it comes when nothing more arrives for a moment.
fn lose_the_tail(mut conn: Conn) -> Result<()> {
    let (mut buf, mut owed) = (vec![0; 65536], Vec::new());
    loop {
        let timeout = if owed.is_empty() { PollTimeout::NONE } else { GATHER_MS.into() };
        if owed.len() < OWED_MAX_BYTES && conn.wait(PollFlags::POLLIN, timeout)? {
            match conn.read(&mut buf)? {
                0 => return Ok(()),
                n => owed.extend_from_slice(&buf[..n]),
            }
        } else {
            conn.send_all(&owed)?;
            owed.clear();
        }
    }
}

/// With a small send buffer: so a short send is seen without a client that is slow for long.
fn send_once(mut conn: Conn) -> Result<()> {
    setsockopt(&*conn.0, sockopt::SndBuf, &4096)?;
    conn.0.set_nonblocking(true)?;
    let mut buf = vec![0; 65536];
    loop {
        conn.wait(PollFlags::POLLIN, PollTimeout::NONE)?;
        let n = conn.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        match conn.write(&buf[..n]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// The same over any stream.
pub fn echo<S: Read + Write>(stream: &mut S) -> Result<()> {
    let mut buf = vec![0; 65536];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}
