//! TLS records as they cross the system-call line: what their headers say, while the rest is secret.
//!
//! - Standard: RFC 8446 §5.1 (records), §4 (handshake types), §6 (alerts); RFC 5246 §6.2.1

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

/// Type, version, length.
const HEADER: usize = 5;
/// Type and length of a handshake message.
const MESSAGE_HEADER: usize = 4;
/// A call is one line, and a peer may send thousands of empty records at once.
const RECORDS_NAMED: usize = 16;
/// And thousands of empty messages in one record.
const MESSAGES_NAMED: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    In,
    Out,
}

/// One direction of a TLS connection.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// A header that is not whole yet.
    head: Vec<u8>,
    /// How much of the record that has begun is still to come.
    rest: usize,
    /// ChangeCipherSpec has passed: what is no plain handshake message now is encrypted.
    encrypted: bool,
}

static STREAMS: Mutex<Option<HashMap<(RawFd, Direction), Stream>>> = Mutex::new(None);

/// From here on what goes through `fd` is TLS.
pub fn begin(fd: RawFd) {
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let streams = streams.get_or_insert_default();
    for direction in [Direction::In, Direction::Out] {
        streams.insert((fd, direction), Stream::default());
    }
}

/// Descriptors have been closed; their numbers may come again.
pub fn end(first: RawFd, last: RawFd) {
    if let Some(streams) = STREAMS.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        streams.retain(|(fd, _), _| !(first..=last).contains(fd));
    }
}

/// `Handshake ClientHello 517 + ApplicationData 41`: the records in `bytes`; empty where no TLS is spoken.
///
/// The lengths are those of whole records with their headers, so that they add up to what the call returned.
/// A record in several pieces: `ApplicationData 16406 (first 8192)`, then `(next 8192)`, then `(last 22)`.
pub fn note(fd: RawFd, direction: Direction, bytes: &[u8]) -> String {
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    match streams.as_mut().and_then(|streams| streams.get_mut(&(fd, direction))) {
        Some(stream) => stream.take(bytes).join(" + "),
        None => String::new(),
    }
}

/// The records in `bytes` that are about to be sent: [`note`] without having sent them.
pub fn ahead(fd: RawFd, bytes: &[u8]) -> String {
    let streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let stream = streams.as_ref().and_then(|streams| streams.get(&(fd, Direction::Out)));
    stream.map_or(String::new(), |stream| stream.clone().take(bytes).join(" + "))
}

impl Stream {
    /// One note a record or piece of one; of very many in one call only the first ones are named.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let (mut notes, mut more, mut more_bytes) = (Vec::new(), 0, 0);
        while !bytes.is_empty() {
            let (note, n) = self.next(bytes);
            if notes.len() < RECORDS_NAMED {
                notes.push(note);
            } else {
                (more, more_bytes) = (more + 1, more_bytes + n);
            }
            bytes = &bytes[n..];
        }
        if more > 0 {
            notes.push(format!("{more} more records {more_bytes}"));
        }
        notes
    }

    /// The record, or the piece of one, that `bytes` begin with, and how many of them it has.
    fn next(&mut self, bytes: &[u8]) -> (String, usize) {
        if self.rest > 0 {
            let n = self.rest.min(bytes.len());
            self.rest -= n;
            return (format!("({} {n})", if self.rest == 0 { "last" } else { "next" }), n);
        }
        let missing = HEADER - self.head.len();
        if bytes.len() < missing {
            self.head.extend_from_slice(bytes);
            return (format!("(header {})", bytes.len()), bytes.len());
        }
        let before = self.head.len();
        self.head.extend_from_slice(&bytes[..missing]);
        let head = std::mem::take(&mut self.head);
        let body = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let here = body.min(bytes.len() - missing);
        let name = self.name(head[0], body, &bytes[missing..missing + here]);
        self.rest = body - here;
        let whole = before == 0 && self.rest == 0;
        let part = if whole { String::new() } else { format!(" (first {})", missing + here) };
        (format!("{name} {}{part}", HEADER + body), missing + here)
    }

    fn name(&mut self, kind: u8, length: usize, body: &[u8]) -> String {
        match kind {
            20 => {
                self.encrypted = true;
                "ChangeCipherSpec".into()
            }
            21 if length == 2 => format!("Alert {}", body.get(1).map_or("…".into(), |code| alert(*code))),
            21 => "Alert (encrypted)".into(),
            22 => format!("Handshake {}", messages(body, length, self.encrypted)),
            23 => "ApplicationData".into(),
            other => format!("record type {other}"),
        }
    }
}

/// `ServerHello`, or `Certificate+ServerHelloDone`, as far as they are in clear.
fn messages(mut body: &[u8], length: usize, encrypted: bool) -> String {
    let Some(kind) = body.first() else { return "…".into() };
    let size = |body: &[u8]| {
        body.get(1..MESSAGE_HEADER).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
    };
    // Behind ChangeCipherSpec only a second ClientHello (after HelloRetryRequest) is still in clear.
    if encrypted && (*kind != 1 || size(body).map(|size| MESSAGE_HEADER + size) != Some(length)) {
        return "(encrypted)".into();
    }
    let mut names = Vec::new();
    while let Some(kind) = body.first() {
        if names.len() == MESSAGES_NAMED {
            names.push("…".into());
            break;
        }
        names.push(message(*kind));
        match size(body).filter(|size| MESSAGE_HEADER + size < body.len()) {
            Some(size) => body = &body[MESSAGE_HEADER + size..],
            None => break,
        }
    }
    names.join("+")
}

fn message(kind: u8) -> String {
    let name = match kind {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        4 => "NewSessionTicket",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        22 => "CertificateStatus",
        other => return format!("type {other}"),
    };
    name.into()
}

fn alert(code: u8) -> String {
    let name = match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        112 => "unrecognized_name",
        116 => "certificate_required",
        other => return other.to_string(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3, (body.len() >> 8) as u8, body.len() as u8], body].concat()
    }

    /// How many of the bytes that went through a call a note is about: the last number in it. The header of a
    /// record that came before the rest of it has been told already.
    fn here(note: &str) -> usize {
        let digits = |word: &str| word.trim_end_matches(')').parse().unwrap_or_else(|_| panic!("{note}"));
        digits(note.rsplit(' ').next().unwrap_or_default())
    }

    fn hello(kind: u8) -> Vec<u8> {
        [&[kind, 0, 2, 0][..], &[0; 512]].concat()
    }

    #[test]
    fn records_are_named_from_their_headers_and_add_up() {
        let mut stream = Stream::default();
        assert_eq!(stream.take(&record(22, &hello(1))), ["Handshake ClientHello 521"]);
        let flight = [record(22, &hello(2)), record(20, &[1]), record(23, &[0; 36])].concat();
        assert_eq!(stream.take(&flight), ["Handshake ServerHello 521", "ChangeCipherSpec 6", "ApplicationData 41"]);
        assert_eq!(stream.take(&record(21, &[1, 0])), ["Alert close_notify 7"]);
        assert_eq!(stream.take(&record(21, &[9; 26])), ["Alert (encrypted) 31"]);
        assert_eq!(stream.take(&record(22, &[9; 40])), ["Handshake (encrypted) 45"]);
        assert_eq!(stream.take(&record(22, &hello(1))), ["Handshake ClientHello 521"]);
    }

    #[test]
    fn messages_in_one_record_are_all_named() {
        let both = [&[11, 0, 0, 1, 7][..], &[14, 0, 0, 0]].concat();
        assert_eq!(Stream::default().take(&record(22, &both)), ["Handshake Certificate+ServerHelloDone 14"]);
    }

    #[test]
    fn a_record_in_pieces_is_told_piece_by_piece() {
        let (mut stream, bytes) = (Stream::default(), record(23, &[0; 95]));
        assert_eq!(stream.take(&bytes[..3]), ["(header 3)"]);
        assert_eq!(stream.take(&bytes[3..50]), ["ApplicationData 100 (first 47)"]);
        assert_eq!(stream.take(&bytes[50..60]), ["(next 10)"]);
        assert_eq!(
            stream.take(&[&bytes[60..], &record(21, &[2, 49])].concat()),
            ["(last 40)", "Alert access_denied 7"]
        );
    }

    #[test]
    fn of_very_many_the_first_are_named_and_the_rest_counted() {
        let mut stream = Stream::default();
        let notes = stream.take(&record(21, &[]).repeat(3000));
        assert_eq!(notes.len(), RECORDS_NAMED + 1);
        assert_eq!(notes[RECORDS_NAMED], format!("{} more records {}", 3000 - 16, (3000 - 16) * HEADER));
        let hellos = stream.take(&record(22, &[0; 400]));
        assert_eq!(hellos, [format!("Handshake {}… 405", "HelloRequest+".repeat(MESSAGES_NAMED))]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_told(pieces: Vec<Vec<u8>>) {
            let mut stream = Stream::default();
            for piece in pieces {
                let notes = stream.take(&piece);
                prop_assert_eq!(notes.is_empty(), piece.is_empty());
                prop_assert!(notes.len() <= RECORDS_NAMED + 1 && notes.join(" + ").len() < 4096);
                prop_assert!(stream.head.len() < HEADER && stream.rest <= usize::from(u16::MAX));
            }
        }

        /// Wherever a stream of records is cut, each byte is told once, and behind the last one nothing is missing.
        #[test]
        fn records_cut_anywhere_are_told_to_the_last_byte(
            records in prop::collection::vec((18..26_u8, prop::collection::vec(any::<u8>(), 0..60)), 1..8), size in 1..40_usize,
        ) {
            let bytes: Vec<u8> = records.iter().flat_map(|(kind, body)| record(*kind, body)).collect();
            let (mut whole, mut cut) = (Stream::default(), Stream::default());
            prop_assert_eq!(whole.take(&bytes).len(), records.len());
            let told: usize = bytes.chunks(size).flat_map(|piece| cut.take(piece)).map(|note| here(&note)).sum();
            prop_assert_eq!(told, bytes.len());
            for stream in [whole, cut] {
                prop_assert!(stream.head.is_empty() && stream.rest == 0);
            }
        }
    }
}
