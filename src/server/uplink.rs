//! From a client's lines to packets for the hub: as many lines in one packet as came together.

use std::collections::VecDeque;

use nix::errno::Errno;

use crate::relay::{ChildEnd, MAX_LINES_BYTES, PREFIX_MAX_BYTES, ToHub};
use crate::text::escape_into;

#[derive(Debug)]
pub struct Uplink {
    /// Packets that the hub has not taken yet, in order.
    packets: VecDeque<Vec<u8>>,
    /// Lines that are still being gathered for the next packet, and how many they are.
    lines: String,
    count: usize,
}

impl Uplink {
    /// An uplink whose first packet tells the hub that the client is there, and by which certified name.
    pub fn joining(name: Option<&str>) -> Uplink {
        Uplink { packets: VecDeque::from([ToHub::Join(name).encode()]), lines: String::new(), count: 0 }
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
        while let Some(packet) = self.packets.front() {
            match relay.send(packet) {
                Ok(true) => drop(self.packets.pop_front()),
                Ok(false) | Err(Errno::EPIPE | Errno::ECONNRESET) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
