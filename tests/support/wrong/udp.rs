//! Stage 1 over UDP: one socket, and each datagram goes back to where it came from.

use std::io::{ErrorKind, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::servers;
use super::site::Site;

servers! {
    /// An echo server over UDP.
    Udp, 1 right:
    Correct,
    /// `char buf[1024]`: recvfrom() throws away the rest of a longer datagram.
    CutsLongOnes,
    /// The address is taken once, from the first recvfrom(), as accept() would have given it.
    AnswersTheFirst,
    /// The address is stored behind the sendto() that should have used it: the one before gets the answer.
    AnswersTheOneBefore,
    /// A list of all addresses, each of which gets each datagram.
    AnswersEverybody,
    /// recvfrom() returned 0, so "the client has closed": the loop ends.
    EndsAtEmpty,
    /// `if (n > 0)` before the sendto(): an empty datagram gets no answer.
    IgnoresEmpty,
    /// It sends when nothing more comes for a moment, as one would gather a stream: two datagrams become one.
    MergesTwo,
    /// `sendto(fd, buf, strlen(buf), …)`: what was received is taken for a C string.
    StopsAtZero,
}

const SMALL_BYTES: usize = 1024;
const CLIENTS_MAX: usize = 100;
const GATHER_MS: u16 = 30;

pub fn serve(site: &Site, socket: &UdpSocket, mistake: Udp) {
    let mut buf = vec![0; if mistake == Udp::CutsLongOnes { SMALL_BYTES } else { 65_536 }];
    let mut known: Vec<SocketAddr> = Vec::new();
    while let Ok((n, from)) = receive(site, socket, &mut buf, mistake) {
        if !known.contains(&from) && known.len() < CLIENTS_MAX {
            known.push(from);
        }
        let data = &buf[..n];
        let (data, to) = match mistake {
            Udp::EndsAtEmpty if n == 0 => return,
            Udp::IgnoresEmpty if n == 0 => continue,
            Udp::AnswersTheFirst => (data, known[..1].to_vec()),
            Udp::AnswersTheOneBefore => (data, vec![std::mem::replace(&mut known[0], from)]),
            Udp::AnswersEverybody => (data, known.clone()),
            Udp::StopsAtZero => (data.split(|byte| *byte == 0).next().unwrap_or(data), vec![from]),
            _ => (data, vec![from]),
        };
        for addr in to {
            let _ = socket.send_to(data, addr);
        }
    }
}

/// The next datagram, or all that come close together.
fn receive(site: &Site, socket: &UdpSocket, buf: &mut [u8], mistake: Udp) -> Result<(usize, SocketAddr)> {
    wait(site, socket, PollTimeout::NONE)?;
    let (mut n, mut from) = socket.recv_from(buf)?;
    while mistake == Udp::MergesTwo && n < buf.len() && wait(site, socket, GATHER_MS.into())? {
        let (more, addr) = socket.recv_from(&mut buf[n..])?;
        (n, from) = (n + more, addr);
    }
    Ok((n, from))
}

/// False when nothing comes in time. The end of the server is an error, seen here: after shutdown() there is no address
/// for recv_from(), and it panics.
fn wait(site: &Site, socket: &UdpSocket, timeout: PollTimeout) -> Result<bool> {
    let ready = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout)?;
    if site.has_ended() { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(ready > 0) }
}
