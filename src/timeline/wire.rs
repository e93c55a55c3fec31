//! Which of the captured packets belong to the sockets of the traces, and which way they went.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::packet::{Body, Packet};
use super::sockets::{Kind, Socket, Sockets};

/// Between whom a packet went, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub client: SocketAddr,
    pub to_server: bool,
}

/// The addresses of the traces: TCP or not, the client's, the server's (whose IP address may be unspecified).
pub struct Wire(BTreeSet<(bool, SocketAddr, SocketAddr)>);

impl Wire {
    pub fn of(sockets: &Sockets) -> Wire {
        let mut pairs = BTreeSet::new();
        for socket in &sockets.all {
            match socket.kind {
                Kind::Stream => {
                    let (client, server) = if socket.accepted.is_some() {
                        (socket.peer, socket.local)
                    } else {
                        (socket.local, socket.peer)
                    };
                    pairs.extend(client.zip(server).map(|(client, server)| (true, client, server)));
                }
                Kind::Datagrams => pairs.extend(conversations(socket)),
                Kind::Packets | Kind::Other => {}
            }
        }
        Wire(pairs)
    }

    pub fn side(&self, packet: &Packet) -> Option<Side> {
        let (from, to) = (packet.from, packet.to);
        if self.knows(packet, from, to) {
            Some(Side { client: from, to_server: true })
        } else if self.knows(packet, to, from) {
            Some(Side { client: to, to_server: false })
        } else {
            None
        }
    }

    fn knows(&self, packet: &Packet, client: SocketAddr, server: SocketAddr) -> bool {
        let tcp = matches!(packet.body, Body::Tcp { .. });
        let any_address = |ip: [u8; 4]| SocketAddr::from((ip, server.port()));
        self.0.contains(&(tcp, client, server))
            || self.0.contains(&(tcp, client, any_address([0; 4])))
            || self.0.contains(&(tcp, client, SocketAddr::from(([0_u16; 8], server.port()))))
    }
}

/// With whom a UDP socket has spoken. Who took something before it sent anything is the server.
fn conversations(socket: &Socket) -> Vec<(bool, SocketAddr, SocketAddr)> {
    let Some(local) = socket.local else { return Vec::new() };
    let first = |transfers: &[super::sockets::Transfer]| transfers.first().map_or(usize::MAX, |first| first.record);
    let serves = first(&socket.taken) < first(&socket.sent);
    let others = socket.sent.iter().chain(&socket.taken).filter_map(|transfer| transfer.address);
    others.map(|other| if serves { (false, other, local) } else { (false, local, other) }).collect()
}
