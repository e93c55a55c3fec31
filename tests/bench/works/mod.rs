//! What is measured.

pub mod connections;
mod echo;
mod guest;
mod lines;
mod relay;

use std::path::Path;

use crate::failure::{Failure, Result};
use crate::load::client_context;
use crate::measure::{Plan, Sample};
use crate::peers::{Peer, Place, Server, Serves};
use connections::Connections;
use echo::Echo;
use relay::{Pace, Relay};

const MIB: f64 = 1024.0 * 1024.0;

/// One row of the table for each server.
#[derive(Clone, Debug)]
pub struct Work {
    /// For `--works`, and in the JSON.
    pub name: String,
    /// For people.
    pub title: String,
    pub unit: &'static str,
    pub serves: Serves,
    pub tls: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Throughput,
    RoundTrips,
    Connections { resumed: bool },
    Deliveries { clients: usize },
    Latency { clients: usize },
}

impl Work {
    /// All of them; nowhere more clients than `most_clients`.
    pub fn all(most_clients: usize) -> Vec<Work> {
        let mut all = Vec::new();
        let both = [false, true];
        all.extend(both.map(|tls| Work::new(Kind::Throughput, tls)));
        all.extend(both.map(|tls| Work::new(Kind::RoundTrips, tls)));
        all.extend(both.map(|tls| Work::new(Kind::Connections { resumed: false }, tls)));
        all.push(Work::new(Kind::Connections { resumed: true }, true));
        let mut sizes = [10, 100, 500].map(|clients| clients.min(most_clients)).to_vec();
        sizes.dedup();
        for clients in sizes {
            all.extend(both.map(|tls| Work::new(Kind::Deliveries { clients }, tls)));
        }
        let clients = 100.min(most_clients);
        all.extend(both.map(|tls| Work::new(Kind::Latency { clients }, tls)));
        all
    }

    fn new(kind: Kind, tls: bool) -> Work {
        let (name, title, unit) = match kind {
            Kind::Throughput => ("throughput".into(), "에코 처리량, 연결 8개".into(), "MiB"),
            Kind::RoundTrips => ("round-trips".into(), "에코 왕복 64바이트, 연결 16개".into(), "왕복"),
            Kind::Connections { resumed: true } => ("resumed".into(), "재개한 핸드셰이크".into(), "연결"),
            Kind::Connections { .. } if tls => ("handshakes".into(), "전체 핸드셰이크".into(), "연결"),
            Kind::Connections { .. } => ("connections".into(), "연결, 한 줄씩".into(), "연결"),
            Kind::Deliveries { clients } => (format!("deliveries-{clients}"), format!("중계 {clients}명"), "전달"),
            Kind::Latency { clients } => {
                (format!("latency-{clients}"), format!("중계 지연, {clients}명, 초당 400줄"), "전달")
            }
        };
        let serves =
            if matches!(kind, Kind::Deliveries { .. } | Kind::Latency { .. }) { Serves::Chat } else { Serves::Echo };
        let (name, title) = (format!("{name}-{}", protocol(tls)), if tls { format!("{title}, TLS") } else { title });
        Work { name, title, unit, serves, tls, kind }
    }

    /// Where the time until a line arrives counts, not how many do.
    pub fn is_latency(&self) -> bool {
        matches!(self.kind, Kind::Latency { .. })
    }

    /// Measured together, round by round: for what the one saves of the other.
    pub fn goes_with(&self, other: &Work) -> bool {
        let is_handshake = |work: &Work| work.tls && matches!(work.kind, Kind::Connections { .. });
        is_handshake(self) && is_handshake(other)
    }

    pub fn suits(&self, peer: Peer) -> bool {
        let suits = match self.kind {
            Kind::Connections { resumed: true } => matches!(peer, Peer::Sockstep | Peer::Bare),
            // Once the connection stands, Nagle holds nothing back: the same server twice.
            Kind::RoundTrips => !matches!(peer, Peer::SocatNoDelay),
            Kind::Throughput => !matches!(peer, Peer::SocatNoDelay | Peer::NoTrace | Peer::NoSandbox),
            _ => peer != Peer::NoTrace,
        };
        suits && peer.serves(self.serves, self.tls)
    }

    /// Starts the server, measures, and ends it.
    pub fn measure(&self, peer: Peer, plan: &Plan, place: &Place) -> Result<Sample> {
        let server = Server::start(peer, self.serves, self.tls, place)?;
        self.load(&server, plan, &place.certs).map_err(|failure| match server.last_words() {
            words if words.is_empty() => failure,
            words => Failure::new(format!("{failure} (the server's last words: {words})")),
        })
    }

    fn load(&self, server: &Server, plan: &Plan, certs: &Path) -> Result<Sample> {
        let context = server.tls.then(|| client_context(&certs.join("ca.pem"))).transpose()?;
        let context = context.as_ref();
        match self.kind {
            Kind::Throughput => Echo { conns: 8, window: 64 * 1024, bytes_per_unit: MIB }.run(server, context, plan),
            Kind::RoundTrips => Echo { conns: 16, window: 64, bytes_per_unit: 64.0 }.run(server, context, plan),
            Kind::Connections { resumed } => Connections { slots: 16, resumed }.run(server, context, plan),
            Kind::Deliveries { clients } => Relay { clients, pace: Pace::Window(16) }.run(server, context, plan),
            Kind::Latency { clients } => Relay { clients, pace: Pace::Rate(100) }.run(server, context, plan),
        }
    }
}

fn protocol(tls: bool) -> &'static str {
    if tls { "tls" } else { "plain" }
}
