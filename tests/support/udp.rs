//! Datagrams: a client that knows what UDP may do, and a server that a test plays.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::DEADLINE;

/// The longest datagram over IPv4: 65,535 less the headers of IP and UDP.
pub const LONGEST: usize = 65_507;
/// After this long a datagram is taken for lost, and sent again: that is what UDP asks of a client.
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket that hears only `server`: whatever comes from another address or port is not for it.
pub fn asking(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Asks until an answer comes, from a new port each time: so no late answer is taken for another one.
pub fn ask(server: SocketAddr, data: &[u8]) -> Vec<u8> {
    let (mut buf, until) = (vec![0; 70_000], Instant::now() + DEADLINE);
    loop {
        let socket = asking(server);
        assert_eq!(socket.send(data).unwrap(), data.len());
        match socket.recv(&mut buf) {
            Ok(n) => return buf[..n].to_vec(),
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {}
            Err(error) => panic!("{} bytes to {server}: {error}", data.len()),
        }
    }
}

pub fn assert_echoed(server: SocketAddr, data: &[u8]) {
    let back = ask(server, data);
    assert_eq!(back.len(), data.len(), "length");
    assert!(back == data, "the bytes differ");
}

/// A server that a test plays; its calls have a deadline.
pub fn played() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// A port that nobody else can take, and at which nobody waits for us: it is connected to somebody else.
pub fn refusing() -> (UdpSocket, SocketAddr) {
    let (socket, addr) = played();
    socket.connect("127.0.0.9:9").unwrap();
    (socket, addr)
}
