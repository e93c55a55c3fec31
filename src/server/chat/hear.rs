//! What a child of the relay hears: packets of frames from the hub, and bytes from its client.

use std::time::Instant;

use super::super::command::obey;
use super::super::ending::{Ending, ending_of};
use super::super::notices::{SENT_ALL, TLS_ON_PLAIN};
use super::Chat;
use crate::relay::{FromPair, frames};
use crate::transport::Received;

impl Chat<'_, '_> {
    /// Takes one packet of frames from the hub; false at the end, when the server wants us to go.
    pub(super) fn hear_hub(&mut self) -> bool {
        match self.relay.receive(self.packet) {
            Ok(FromPair::Packet(packet)) => {
                for frame in frames(packet.bytes).filter(|frame| frame.origin != self.setup.id) {
                    self.out.push(frame.text);
                }
                true
            }
            Ok(FromPair::Nothing) => true,
            Ok(FromPair::End) | Err(_) => false,
        }
    }

    pub(super) fn hear_client(&mut self, buf: &mut [u8]) {
        match self.transport.receive(buf) {
            Ok(Received::Data(n)) => self.hear_bytes(&buf[..n]),
            Ok(Received::Wait) => {}
            Ok(Received::End) if self.reset => self.ending = Some(Ending::Reset),
            Ok(Received::End) => {
                let Chat { lines, up, out, quitting, .. } = self;
                lines.finish(|line| *quitting = *quitting || obey(line, up, out));
                self.half_close(Ending::Done);
            }
            Ok(Received::Truncated) => {
                log::info!(
                    "{}: TLS ended without close_notify: a last unfinished line is not delivered",
                    self.setup.peer
                );
                self.half_close(Ending::Truncated);
            }
            Err(trouble) => {
                self.mute = true;
                self.ending = Some(ending_of(trouble, self.setup.peer));
            }
        }
    }

    fn hear_bytes(&mut self, bytes: &[u8]) {
        let first = self.last_heard.replace(Instant::now()).is_none();
        if first && bytes.starts_with(&[0x16, 0x03]) {
            self.out.push(TLS_ON_PLAIN.as_bytes()); // a ClientHello, RFC 8446 §5.1
            self.ending = Some(Ending::TlsOnPlain);
            return;
        }
        let Chat { lines, up, out, quitting, .. } = self;
        lines.feed(bytes, |line| *quitting = *quitting || obey(line, up, out)); // nothing behind a /quit counts
    }

    /// The client has said its end. Whether it still listens, the answer to these words will show.
    fn half_close(&mut self, end: Ending) {
        self.peer_end = Some(end);
        self.last_told = Instant::now();
        if !self.quitting {
            self.out.push(SENT_ALL.as_bytes());
        }
    }
}
