//! From a client's lines to packets for the hub: as many lines in one packet as came together.

use std::collections::VecDeque;
use std::time::Instant;

use nix::errno::Errno;

use crate::relay::{ChildEnd, MAX_LINES_BYTES, PREFIX_MAX_BYTES, SHORT_OF_MEMORY, ToHub};
use crate::text::escape_into;

#[derive(Debug)]
pub struct Uplink {
    /// Packets that the hub has not taken yet, in order.
    packets: VecDeque<Vec<u8>>,
    /// Lines that are still being gathered for the next packet, and how many they are.
    lines: String,
    count: usize,
    /// The kernel had no memory for a packet: it is tried again then.
    pub short_until: Option<Instant>,
}

impl Uplink {
    /// An uplink whose first packet tells the hub that the client is there, and by which certified name.
    pub fn joining(name: Option<&str>) -> Uplink {
        let packets = VecDeque::from([ToHub::Join(name).encode()]);
        Uplink { packets, lines: String::new(), count: 0, short_until: None }
    }

    /// True when the hub has taken everything.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.lines.is_empty()
    }

    /// One line for everybody; its control characters are made visible here.
    pub fn say(&mut self, text: &str) {
        let start = self.lines.len();
        escape_into(text, &mut self.lines);
        self.lines.push('\n');
        self.count += 1;
        if self.lines.len() + self.count * PREFIX_MAX_BYTES > MAX_LINES_BYTES {
            let last = self.lines.split_off(start);
            self.seal();
            (self.lines, self.count) = (last, 1);
        }
    }

    /// A request to the hub, behind all lines said before it.
    pub fn ask(&mut self, request: &ToHub<'_>) {
        self.seal();
        self.packets.push_back(request.encode());
    }

    fn seal(&mut self) {
        if !self.lines.is_empty() {
            self.packets.push_back(ToHub::Lines(&self.lines).encode());
            self.lines.clear();
            self.count = 0;
        }
    }

    /// Sends what the hub takes now. A parent that has cut us off is no error
    /// here: it always ends both directions, and the wait tells of that.
    pub fn send(&mut self, relay: &ChildEnd) -> nix::Result<()> {
        self.seal();
        self.short_until = None;
        while let Some(packet) = self.packets.front() {
            match relay.send(packet) {
                Ok(true) => drop(self.packets.pop_front()),
                Err(Errno::ENOBUFS) => {
                    self.short_until = Some(Instant::now() + SHORT_OF_MEMORY);
                    break;
                }
                Ok(false) | Err(Errno::EPIPE | Errno::ECONNRESET) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::command::obey;
    use super::super::lines::Lines;
    use super::super::outgoing::Outgoing;
    use super::*;
    use crate::relay::{Hub, Rules, frames};
    use crate::text::are_clean_lines;
    use proptest::prelude::*;

    #[test]
    fn lines_that_came_together_go_together_and_requests_keep_their_place() {
        let mut up = Uplink::joining(None);
        up.say("가");
        up.say("\x1b나");
        up.ask(&ToHub::Who);
        up.say("다");
        up.seal();
        let packets: Vec<_> = up.packets.iter().map(|packet| ToHub::decode(packet).unwrap()).collect();
        assert_eq!(packets, [ToHub::Join(None), ToHub::Lines("가\n^[나\n"), ToHub::Who, ToHub::Lines("다\n")]);
    }

    #[test]
    fn no_packet_is_longer_than_the_hub_allows() {
        let mut up = Uplink::joining(None);
        for line in ["\u{9b}".repeat(32 * 1024), String::new(), "가".repeat(20_000), "x".repeat(65_536)] {
            up.say(&line);
        }
        (0..5000).for_each(|_| up.say(""));
        up.seal();
        let mut newlines = 0;
        for packet in up.packets.iter().skip(1) {
            let Some(ToHub::Lines(lines)) = ToHub::decode(packet) else { panic!("not lines") };
            let count = lines.matches('\n').count();
            assert!(lines.len() + count * PREFIX_MAX_BYTES <= MAX_LINES_BYTES);
            newlines += count;
        }
        assert_eq!(newlines, 5004);
    }

    /// What a client may send: commands and parts of them, lines, what is no text, what is long.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "(/name |/to |/who|/help|/quit|//|/|손님1|손님2| |\t|\r)".prop_map(String::into_bytes),
            4 => Just(b"\n".to_vec()),
            3 => "\\PC{0,30}".prop_map(String::into_bytes),
            2 => any::<String>().prop_map(String::into_bytes),
            2 => any::<Vec<u8>>(),
            1 => ("[\u{9b}\u{61c}\u{202e}\x1b가]", 0..40_000_usize).prop_map(|(c, n)| c.repeat(n).into_bytes()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// The hub kills a child that breaks its rules: no client can make its own child do that, and what the
        /// others, and he himself, get to see of it are lines without a control character.
        #[test]
        fn whatever_a_client_sends_its_child_keeps_the_rules(
            pieces in prop::collection::vec(piece(), 0..60), max in prop_oneof![1..300_usize, Just(65_536)],
        ) {
            let rules = Rules { slow_timeout: Duration::from_secs(2), certified: false, keys_logged: false };
            let (mut hub, now) = (Hub::new(rules), Instant::now());
            hub.receive(2, &ToHub::Join(None).encode(), now).unwrap();
            let (mut lines, mut up, mut out) = (Lines::new(max), Uplink::joining(None), Outgoing::default());
            for piece in pieces {
                lines.feed(&piece, |line| {
                    obey(line, &mut up, &mut out);
                });
                up.seal();
                for packet in up.packets.drain(..) {
                    prop_assert_eq!(hub.receive(1, &packet, now), Ok(()));
                }
                prop_assert!(out.is_empty() || are_clean_lines(out.rest()));
                out.clear();
                for id in [1, 2] {
                    while let Some(packet) = hub.next(id).map(<[u8]>::to_vec) {
                        prop_assert!(frames(&packet).all(|frame| are_clean_lines(frame.text)));
                        hub.delivered(id, packet.len());
                    }
                }
                hub.release();
            }
        }
    }
}
