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
#[path = "records_tests.rs"]
mod tests;
