//! One captured packet: from the link layer's header to the TCP flags.
//!
//! - Manual: pcap-linktype(7), packet(7)
//! - Standard: RFC 791 §3.1 (IPv4), RFC 8200 §3 (IPv6), RFC 9293 §3.1 (TCP), RFC 768 (UDP)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: [u16; 2] = [0x8100, 0x88a8];
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Extension headers of IPv6 that have their length in their second byte: hop-by-hop, routing, destination.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What the first bytes of a packet are, as the capture's header says (LINKTYPE_ values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Null,
    Ethernet,
    Raw,
    Cooked,
    Cooked2,
}

impl Link {
    pub fn of(number: u32) -> Option<Link> {
        Some(match number {
            0 | 108 => Link::Null,
            1 => Link::Ethernet,
            12 | 14 | 101 | 228 | 229 => Link::Raw,
            113 => Link::Cooked,
            276 => Link::Cooked2,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// CLOCK_REALTIME, microseconds.
    pub time: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub body: Body,
    /// Bytes of data, as the headers count them: a capture may hold fewer.
    pub length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Tcp { flags: u8, sequence: u32, acknowledged: u32 },
    Udp,
}

impl Packet {
    /// `None` for what is neither TCP nor UDP, or too short to tell. `whole` is the length on the wire.
    pub fn read(link: Link, time: u64, frame: &[u8], whole: usize) -> Option<Packet> {
        let ip = link.strip(frame)?;
        let whole = whole.max(frame.len()) - (frame.len() - ip.len());
        let (from, to, protocol, segment, length) = match ip.first()? >> 4 {
            4 => ipv4(ip, whole)?,
            6 => ipv6(ip, whole)?,
            _ => return None,
        };
        let port = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let number = |at: usize| Some(u32::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let (body, header) = match protocol {
            TCP => {
                let (flags, header) = (*segment.get(13)?, usize::from(segment.get(12)? >> 4) * 4);
                (Body::Tcp { flags, sequence: number(4)?, acknowledged: number(8)? }, header)
            }
            UDP => (Body::Udp, 8),
            _ => return None,
        };
        let (from, to) = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
        Some(Packet { time, from, to, body, length: length.saturating_sub(header) })
    }

    /// `SYN`, `SYN/ACK`, `ACK`, `33 B`, `FIN`, `RST`
    pub fn label(&self) -> String {
        let Body::Tcp { flags, .. } = self.body else { return format!("UDP {} B", self.length) };
        let has = |flag: u8| flags & flag != 0;
        let mut names = Vec::new();
        names.extend(has(SYN).then_some(if has(ACK) { "SYN/ACK" } else { "SYN" }));
        names.extend(has(FIN).then_some("FIN"));
        names.extend(has(RST).then_some("RST"));
        match (names.is_empty(), self.length) {
            (true, 0) => "ACK".into(),
            (true, length) => format!("{length} B"),
            (false, 0) => names.join("/"),
            (false, length) => format!("{} {length} B", names.join("/")),
        }
    }
}

impl Link {
    /// The IP packet in a frame: all that stands behind the link layer's header.
    pub fn strip(self, frame: &[u8]) -> Option<&[u8]> {
        network_layer(self, frame)
    }
}

fn network_layer(link: Link, frame: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let (kind, header) = match link {
        Link::Raw => return Some(frame),
        // An address family of the machine that captured, in its byte order: the IP version says as much.
        Link::Null => return frame.get(4..),
        Link::Cooked => (word(14)?, 16),
        Link::Cooked2 => (word(0)?, 20),
        Link::Ethernet => match word(12)? {
            kind if VLAN.contains(&kind) => (word(16)?, 18),
            kind => (kind, 14),
        },
    };
    if kind == IPV4 || kind == IPV6 { frame.get(header..) } else { None }
}

type Datagram<'a> = (IpAddr, IpAddr, u8, &'a [u8], usize);

fn ipv4(ip: &[u8], whole: usize) -> Option<Datagram<'_>> {
    let header = usize::from(ip[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
    let total = if total == 0 { whole } else { total }; // the card was to cut it up (TSO): nobody has counted yet
    let fragment = u16::from_be_bytes(*ip.get(6..)?.first_chunk()?) & 0x1fff;
    let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
    let (from, to) = (address(12)?.into(), address(16)?.into());
    let segment = if fragment == 0 && header >= 20 { ip.get(header..)? } else { return None };
    Some((from, to, ip[9], segment, total.saturating_sub(header)))
}

fn ipv6(ip: &[u8], whole: usize) -> Option<Datagram<'_>> {
    let payload = usize::from(u16::from_be_bytes(*ip.get(4..)?.first_chunk()?));
    let end = if payload == 0 { whole } else { payload + 40 };
    let address = |at: usize| Some(Ipv6Addr::from(*ip.get(at..)?.first_chunk::<16>()?).to_canonical());
    let (from, to) = (address(8)?, address(24)?);
    let (mut next, mut at) = (ip[6], 40);
    while EXTENSIONS.contains(&next) {
        let extension = ip.get(at..)?.first_chunk::<2>()?;
        (next, at) = (extension[0], at + (usize::from(extension[1]) + 1) * 8);
    }
    Some((from, to, next, ip.get(at..)?, end.saturating_sub(at)))
}
