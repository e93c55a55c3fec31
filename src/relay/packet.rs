//! The packets between child and hub.
//!
//! Child to hub: one byte of kind, then the content. (A daemon's child also sends lines for the log this
//! way, of kind `G`; the parent writes them down before the hub sees them.) Hub to child: frames, as many as fit, each
//! `origin (u32) length (u32) text`, native byte order: both ends are one program on one machine.

use super::Id;

/// The longest packet, both ways. Linux takes packets up to SO_SNDBUF (212,992 by default) less 32.
pub const RELAY_MAX_BYTES: usize = 200 * 1024;
/// Longest name, in characters; each is at most three bytes of UTF-8.
pub const NAME_MAX_CHARS: usize = 20;
/// Room for what the hub writes before a line: `[name] ` or `[name → name] `.
pub const PREFIX_MAX_BYTES: usize = 2 * NAME_MAX_CHARS * 3 + 8;
/// The most that the lines of one packet may come to, each counted with its prefix.
///
/// A line of 64 KiB, every byte of it escaped to three, still fits.
pub const MAX_LINES_BYTES: usize = RELAY_MAX_BYTES - HEADER_BYTES - 1;

const HEADER_BYTES: usize = 8;

/// The origin of what the hub itself says: no connection has this number.
pub const FROM_HUB: Id = 0;

/// What the child of an echo server says once the TLS handshake is over, and nothing else ever: `Join(None)`.
pub const HERE: &[u8] = b"J";

/// What a child may ask of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToHub<'a> {
    /// The client is there: handshake done, if there is one; with the name in its certificate, if it
    /// had to show one.
    Join(Option<&'a str>),
    /// Complete lines, escaped, each ended by `\n`.
    Lines(&'a str),
    /// `/name NAME`
    Name(&'a str),
    /// `/who`
    Who,
    /// `/to NAME text`
    Private { to: &'a str, text: &'a str },
    /// `/quit`: the child wants what is owed to it, and then the end.
    Leave,
}

impl<'a> ToHub<'a> {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ToHub::Join(name) => ["J", name.unwrap_or_default()].concat().into_bytes(),
            ToHub::Lines(lines) => ["T", lines].concat().into_bytes(),
            ToHub::Name(name) => ["N", name].concat().into_bytes(),
            ToHub::Who => b"W".to_vec(),
            ToHub::Leave => b"L".to_vec(),
            ToHub::Private { to, text } => ["P", to, " ", text].concat().into_bytes(),
        }
    }

    /// `None` for anything that our own children would not send.
    pub fn decode(packet: &'a [u8]) -> Option<ToHub<'a>> {
        let (kind, content) = packet.split_first()?;
        let content = std::str::from_utf8(content).ok()?;
        match kind {
            b'J' => Some(ToHub::Join(Some(content).filter(|name| !name.is_empty()))),
            b'T' => Some(ToHub::Lines(content)),
            b'N' => Some(ToHub::Name(content)),
            b'W' if content.is_empty() => Some(ToHub::Who),
            b'L' if content.is_empty() => Some(ToHub::Leave),
            b'P' => content.split_once(' ').map(|(to, text)| ToHub::Private { to, text }),
            _ => None,
        }
    }
}

/// Appends a frame whose text is what `write` appends.
pub fn append_frame(buf: &mut Vec<u8>, origin: Id, write: impl FnOnce(&mut Vec<u8>)) {
    buf.extend(origin.to_ne_bytes());
    let length_at = buf.len();
    buf.extend([0; 4]);
    write(buf);
    let length = (buf.len() - length_at - 4) as u32;
    buf[length_at..length_at + 4].copy_from_slice(&length.to_ne_bytes());
}

/// One frame: who said it, and what a client is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub origin: Id,
    pub text: &'a [u8],
}

impl Frame<'_> {
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.text.len()
    }
}

/// The frames of a packet, in order; ends early at one that is not whole.
pub fn frames(mut packet: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (origin, rest) = packet.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        packet = rest;
        Some(Frame { origin: Id::from_ne_bytes(*origin), text })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_survive_the_trip() {
        let requests = [
            ToHub::Join(None),
            ToHub::Join(Some("철수")),
            ToHub::Lines("안녕\n\n"),
            ToHub::Name("철수"),
            ToHub::Who,
            ToHub::Private { to: "영희", text: "a b" },
            ToHub::Leave,
        ];
        for request in requests {
            assert_eq!(ToHub::decode(&request.encode()), Some(request));
        }
        assert_eq!(ToHub::decode(HERE), Some(ToHub::Join(None)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(bytes: Vec<u8>) {
            if let Some(request) = ToHub::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
        }

        #[test]
        fn frames_survive_the_trip(texts: Vec<(u32, Vec<u8>)>) {
            let mut packet = Vec::new();
            for (origin, text) in &texts {
                append_frame(&mut packet, *origin, |buf| buf.extend(text));
            }
            let back: Vec<_> = frames(&packet).map(|frame| (frame.origin, frame.text.to_vec())).collect();
            prop_assert_eq!(back, texts);
        }

        #[test]
        fn any_bytes_are_read_as_frames_without_harm(bytes: Vec<u8>) {
            let read: usize = frames(&bytes).map(|frame| frame.encoded_len()).sum();
            prop_assert!(read <= bytes.len());
        }
    }
}
