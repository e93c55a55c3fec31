//! Who gets no answer to a datagram, and why.
//!
//! An answer to one who answers would go round for ever, and one packet with a forged sender is
//! enough to start it. An answer to a broadcast would come from every server of the class at once.
//!
//! - Manual: udp(7), ip(7) (IP_PKTINFO)
//! - Standard: RFC 6335 §6 (system ports)

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crate::lesson::PacketInfo;
use crate::network::{Network, allowed};

/// Ports below belong to services of the system, some of which answer whatever comes.
const FIRST_USER_PORT: u16 = 1024;

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    NotAllowed,
    SystemPort,
    OwnPort,
    ToEverybody,
}

/// The reason for silence, if there is one.
pub fn silence(allow: &[Network], own_port: u16, from: SocketAddr, info: Option<PacketInfo>) -> Option<Silence> {
    if !allowed(allow, from.ip()) {
        Some(Silence::NotAllowed)
    } else if from.port() < FIRST_USER_PORT {
        Some(Silence::SystemPort)
    } else if from.port() == own_port {
        Some(Silence::OwnPort)
    } else if info.is_some_and(to_everybody) {
        Some(Silence::ToEverybody)
    } else {
        None
    }
}

/// Sent to a broadcast or multicast address: on IPv4 the kernel would answer it from another one.
fn to_everybody(info: PacketInfo) -> bool {
    match info {
        PacketInfo::V4 { ours, asked, .. } => ours != asked,
        PacketInfo::V6 { asked, .. } => match asked.to_ipv4_mapped() {
            Some(asked) => asked.is_multicast() || asked == Ipv4Addr::BROADCAST, // another subnet's: sendmsg() refuses
            None => asked.is_multicast(),
        },
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Silence::NotAllowed => "its address is not in --allow",
            Silence::SystemPort => "a port below 1024 may be a service that answers in turn",
            Silence::OwnPort => "our own port number: another echo server, or a forged sender",
            Silence::ToEverybody => "it was sent to a broadcast or multicast address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence_of(from: &str, info: Option<PacketInfo>) -> Option<Silence> {
        silence(&[], 7000, from.parse().unwrap(), info)
    }

    #[test]
    fn who_might_answer_in_turn_gets_no_answer() {
        for from in ["127.0.0.1:0", "127.0.0.1:7", "192.0.2.1:53", "[::1]:1023"] {
            assert_eq!(silence_of(from, None), Some(Silence::SystemPort), "{from}");
        }
        for from in ["127.0.0.1:7000", "192.0.2.1:7000", "[::1]:7000"] {
            assert_eq!(silence_of(from, None), Some(Silence::OwnPort), "{from}");
        }
        for from in ["127.0.0.1:1024", "192.0.2.1:6999", "[::1]:65535"] {
            assert_eq!(silence_of(from, None), None, "{from}");
        }
    }

    #[test]
    fn who_is_not_in_allow_gets_no_answer() {
        let of = |from: &str| silence(&["192.0.2.0/24".parse().unwrap()], 7000, from.parse().unwrap(), None);
        assert_eq!((of("192.0.2.1:40000"), of("192.0.3.1:40000")), (None, Some(Silence::NotAllowed)));
    }

    #[test]
    fn what_was_sent_to_everybody_gets_no_answer() {
        let v4 = |asked: &str| {
            let (ours, asked) = (Ipv4Addr::new(192, 0, 2, 1), asked.parse().unwrap());
            silence_of("192.0.2.9:40000", Some(PacketInfo::V4 { interface: 1, ours, asked }))
        };
        let v6 = |asked: &str| {
            let asked = asked.parse().unwrap();
            silence_of("[::1]:40000", Some(PacketInfo::V6 { interface: 1, asked }))
        };
        assert_eq!(v4("192.0.2.1"), None);
        for everybody in ["192.0.2.255", "255.255.255.255", "224.0.0.1"] {
            assert_eq!(v4(everybody), Some(Silence::ToEverybody), "{everybody}");
        }
        assert_eq!([v6("::1"), v6("::ffff:192.0.2.1"), v6("fe80::1")], [None; 3]);
        for everybody in ["ff02::1", "::ffff:255.255.255.255", "::ffff:224.0.0.1"] {
            assert_eq!(v6(everybody), Some(Silence::ToEverybody), "{everybody}");
        }
    }
}
