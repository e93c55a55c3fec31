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
