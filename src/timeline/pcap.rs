//! Captures in the classic format of `tcpdump -w`: a header of 24 bytes, then 16 bytes before each packet.
//!
//! - Manual: pcap-savefile(5)
//! - Try: tcpdump -i lo -w lesson.pcap port 7000

use super::packet::{Link, Packet};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The first block of pcapng, the same in both byte orders.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;
/// The longest packet that libpcap takes for one (MAXIMUM_SNAPLEN); what claims to be longer is no capture.
const MOST_BYTES: usize = 262_144;
/// `-i any` shows a packet twice, as it leaves and as it comes, microseconds apart: once is enough.
const TWICE_MICROS: u64 = 5_000;
/// How far back the first of the two is looked for.
const LOOK_BACK: usize = 64;

#[derive(Debug, Default)]
pub struct Capture {
    pub packets: Vec<Packet>,
    /// Why the file could not be read to its end.
    pub complaint: Option<String>,
}

/// Why a file is no capture that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Pcapng,
    NoCapture,
    Link(u32),
}

impl Capture {
    pub fn read(bytes: &[u8]) -> Result<Capture, Unreadable> {
        if bytes.starts_with(&PCAPNG) {
            return Err(Unreadable::Pcapng);
        }
        let header = bytes.get(..HEADER_BYTES).ok_or(Unreadable::NoCapture)?;
        let (order, per_micro) = order(header).ok_or(Unreadable::NoCapture)?;
        let link = order.number(header, 20).unwrap_or_default() & 0x0fff_ffff; // above: length of a checksum
        let link = Link::of(link).ok_or(Unreadable::Link(link))?;
        let (mut capture, mut rest) = (Capture::default(), &bytes[HEADER_BYTES..]);
        let mut recent: Vec<(u64, &[u8])> = Vec::new();
        for number in 1.. {
            if rest.is_empty() {
                break;
            }
            let Some((head, frame)) = next(order, &mut rest) else {
                capture.complaint =
                    Some(format!("packet {number}: the file ends in the middle of it, or it is damaged"));
                break;
            };
            let time = (u64::from(head[0]) * 1_000_000).saturating_add(u64::from(head[1] / per_micro));
            let Some(packet) = Packet::read(link, time, frame, head[3] as usize) else { continue };
            // Only the link layer's header differs between the two.
            let same = link.strip(frame).unwrap_or(frame);
            let twice = recent
                .iter()
                .rev()
                .take(LOOK_BACK)
                .any(|(at, seen)| time.abs_diff(*at) < TWICE_MICROS && *seen == same);
            if !twice {
                recent.push((time, same));
                capture.packets.push(packet);
            }
        }
        Ok(capture)
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn number(self, bytes: &[u8], at: usize) -> Option<u32> {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        })
    }
}

/// The byte order of the machine that captured, and how many of its units are a microsecond.
fn order(header: &[u8]) -> Option<(Order, u32)> {
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.number(header, 0)? {
        MICROSECONDS => Some((order, 1)),
        NANOSECONDS => Some((order, 1000)),
        _ => None,
    })
}

/// Seconds, fraction, length here, length on the wire; and the packet.
fn next<'a>(order: Order, rest: &mut &'a [u8]) -> Option<([u32; 4], &'a [u8])> {
    let (header, body) = rest.split_at_checked(PACKET_HEADER_BYTES)?;
    let mut head = [0; 4];
    for (n, field) in head.iter_mut().enumerate() {
        *field = order.number(header, n * 4)?;
    }
    let length = usize::try_from(head[2]).ok().filter(|length| *length <= MOST_BYTES)?;
    let (frame, behind) = body.split_at_checked(length)?;
    *rest = behind;
    Some((head, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::packet::Body;
    use proptest::prelude::*;

    /// 127.0.0.1:7 → 127.0.0.1:8, SYN/ACK, with 3 bytes of data.
    fn segment() -> Vec<u8> {
        let ip = [0x45, 0, 0, 43, 0, 1, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let tcp = [0, 7, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 1, 0, 0, 0, 0, 0];
        [&ip[..], &tcp, b"abc"].concat()
    }

    fn file(link: u32, frames: &[&[u8]]) -> Vec<u8> {
        let mut out = [MICROSECONDS, 0x0004_0002, 0, 0, 65535, link].map(u32::to_le_bytes).concat();
        for (n, frame) in (0..).zip(frames) {
            out.extend([5, 7 + n * 10_000, frame.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat());
            out.extend(*frame);
        }
        out
    }

    #[test]
    fn every_link_layer_leads_to_the_same_packet() {
        let ip = segment();
        let head = |head: &[u8]| [head, &ip].concat();
        let cooked = [&[0; 14][..], &[8, 0]].concat();
        let cooked2 = [&[8, 0][..], &[0; 18]].concat();
        for (link, frame) in [
            (1, head(&[&[0; 12][..], &[8, 0]].concat())),
            (1, head(&[&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat())),
            (113, head(&cooked)),
            (276, head(&cooked2)),
            (101, ip.clone()),
            (0, head(&[2, 0, 0, 0])),
            (108, head(&[0, 0, 0, 2])),
        ] {
            let capture = Capture::read(&file(link, &[&frame])).unwrap();
            let [packet] = &capture.packets[..] else { panic!("{link}: {capture:?}") };
            assert_eq!((packet.time, packet.from.port(), packet.to.port(), packet.length), (5_000_007, 7, 8, 3));
            assert_eq!(packet.body, Body::Tcp { flags: 0x12, sequence: 1, acknowledged: 2 });
            assert_eq!(packet.label(), "SYN/ACK 3 B");
        }
    }

    #[test]
    fn ipv6_is_read_behind_its_extension_headers() {
        let addresses = [&[0; 15][..], &[1], &[0; 15], &[1]].concat();
        let udp = [0, 7, 0, 8, 0, 13, 0, 0];
        let ip = [&[0x60, 0, 0, 0, 0, 21, 0, 64][..], &addresses, &[17, 0, 0, 0, 0, 0, 0, 0], &udp, b"hello"].concat();
        let capture = Capture::read(&file(229, &[&ip])).unwrap();
        assert_eq!(capture.packets[0].from, "[::1]:7".parse().unwrap());
        assert_eq!(capture.packets[0].label(), "UDP 5 B");
    }

    #[test]
    fn what_comes_again_later_is_another_packet() {
        let ip = segment();
        let capture = Capture::read(&file(101, &[&ip, &ip])).unwrap();
        assert_eq!(capture.packets.len(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = Capture::read(&bytes);
        }

        #[test]
        fn any_packets_are_read_without_harm(
            link in prop::sample::select(vec![0_u32, 1, 12, 101, 108, 113, 228, 229, 276]),
            frames: Vec<Vec<u8>>,
            version in prop::sample::select(vec![0x45_u8, 0x4f, 0x60]),
            kind in prop::sample::select(vec![[8_u8, 0], [0x86, 0xdd], [0x81, 0]]),
            cut in 0_usize..200,
        ) {
            // Random bytes would hardly ever get beyond the link layer.
            let headed: Vec<Vec<u8>> = frames.iter().map(|frame| {
                let link_header = match link { 1 => [&[0; 12][..], &kind].concat(), 113 => [&[0; 14][..], &kind].concat(),
                    276 => [&kind[..], &[0; 18]].concat(), 0 | 108 => vec![0; 4], _ => vec![] };
                [&link_header[..], &[version], frame].concat()
            }).collect();
            let mut bytes = file(link, &headed.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for packet in Capture::read(&bytes).unwrap().packets {
                packet.label();
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let _ = Capture::read(&bytes);
        }
    }
}
