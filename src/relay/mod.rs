//! The relay: how a child that serves one client speaks with the parent that knows them all.
//!
//! ```text
//! client ── child ──packet──▶ hub (one log, a cursor for each child) ──packet──▶ child ── client
//! ```
//!
//! ```text
//! packet.rs    what goes through the pair
//! hub.rs       who is there, and what they say
//! log.rs       the one bounded log
//! owed.rs      what each member still has to get
//! pressure.rs  whom the hub hears, and who is too slow
//! members.rs   who is there
//! names.rs     who is called what
//! certified.rs names that come from certificates
//! ```
//!
//! - Notes: notes/10-relay.md
//! - Manual: unix(7), socketpair(2)

mod certified;
mod hub;
mod log;
mod members;
mod names;
mod owed;
mod packet;
mod pressure;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::Shutdown;

use crate::lesson::{self, Packet};
use crate::lifecycle::{Socket, close, recv_packet, send, shutdown, socketpair};

pub use hub::{Hub, Offence, Rules};
pub use names::check as check_name;
pub use packet::{HERE, MAX_LINES_BYTES, PREFIX_MAX_BYTES, RELAY_MAX_BYTES, ToHub, frames};

/// A connection's number: given by the parent, counted up, never used twice.
pub type Id = u32;

/// The parent's end of a child's relay pair.
#[derive(Debug)]
pub struct ParentEnd(Socket);

/// The child's end. End of file on it means that the parent wants the child to end, or has gone.
#[derive(Debug)]
pub struct ChildEnd(Socket);

/// ENOBUFS on the pair: so long is waited before the same packet is tried again. The queue has room, and to wait for that
/// would be to spin, at the worst of times.
pub const SHORT_OF_MEMORY: Duration = Duration::from_millis(20);

/// What came through the pair.
#[derive(Debug)]
pub enum FromPair<'a> {
    Packet(Packet<'a>),
    Nothing,
    End,
}

/// Two connected ends, made before fork(): each process keeps one and closes the other.
// [10.pair]
pub fn pair() -> nix::Result<(ParentEnd, ChildEnd)> {
    socketpair().map(|(parent, child)| (ParentEnd(parent), ChildEnd(child)))
}

/// Fails where the kernel does not take our longest packet: better at the start than in the middle.
pub fn check_longest_packet() -> nix::Result<()> {
    lesson::remark(|| "가장 긴 중계 패킷을 커널이 받아 주는지 포트를 열기 전에 시험합니다");
    lesson::step::unasked(|| {
        let (parent, child) = pair()?;
        let sent = parent.send(&vec![0; RELAY_MAX_BYTES]);
        parent.close();
        child.close();
        sent.map(drop)
    })
}

impl ParentEnd {
    /// Sends one packet of frames; false when the child's queue is full.
    pub fn send(&self, packet: &[u8]) -> nix::Result<bool> {
        send_packet(self.0.as_fd(), packet)
    }

    pub fn receive<'a>(&self, buf: &'a mut [u8]) -> nix::Result<FromPair<'a>> {
        receive_packet(self.0.as_fd(), buf)
    }

    /// Tells the child, behind all packets sent so far, that no more will come: say goodbye.
    pub fn finish(&self) {
        // ENOTCONN: the child has gone already, which is what we want of it.
        let _ = shutdown(self.0.as_fd(), Shutdown::Write);
    }

    /// Tells the child at once that it is cut off; what it has not read yet no longer counts.
    pub fn cut(&self) {
        let _ = shutdown(self.0.as_fd(), Shutdown::Both);
    }

    pub fn close(self) {
        close(self.0);
    }
}

impl ChildEnd {
    /// Sends one packet to the hub; false when the hub is not reading: slow down.
    pub fn send(&self, packet: &[u8]) -> nix::Result<bool> {
        send_packet(self.0.as_fd(), packet)
    }

    pub fn receive<'a>(&self, buf: &'a mut [u8]) -> nix::Result<FromPair<'a>> {
        receive_packet(self.0.as_fd(), buf)
    }

    pub fn close(self) {
        close(self.0);
    }
}

impl AsFd for ParentEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for ChildEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn send_packet(fd: BorrowedFd<'_>, packet: &[u8]) -> nix::Result<bool> {
    match send(fd, packet) {
        Ok(_) => Ok(true), // a packet goes whole or not at all
        // [10.full] ENOBUFS is another matter: the kernel has no memory for it, and no event says when it has.
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn receive_packet<'a>(fd: BorrowedFd<'_>, buf: &'a mut [u8]) -> nix::Result<FromPair<'a>> {
    loop {
        let received = recv_packet(fd, buf).map(|packet| packet.length);
        return match received {
            Ok(0) => Ok(FromPair::End),
            Ok(length) => Ok(FromPair::Packet(Packet { bytes: &buf[..length.min(buf.len())], length })),
            Err(Errno::EAGAIN) => Ok(FromPair::Nothing),
            // The other end closed without reading all of ours. Linux reports that once, and before
            // the packets that still lie here: go on until the end.
            Err(Errno::ECONNRESET) => continue,
            Err(errno) => Err(errno),
        };
    }
}
