//! TLS by hand: hellos and records as no library would send them, and what is to come of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};

use crate::support::tls::TlsPeer;
use crate::support::{Server, eventually, tls_server};

/// Kinds of records (RFC 8446 §5.1) and of alerts (§6).
pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;
pub const HEARTBEAT: u8 = 24;
pub const UNEXPECTED_MESSAGE: u8 = 10;
pub const BAD_RECORD_MAC: u8 = 20;
pub const RECORD_OVERFLOW: u8 = 22;
pub const HANDSHAKE_FAILURE: u8 = 40;
pub const ILLEGAL_PARAMETER: u8 = 47;
pub const DECODE_ERROR: u8 = 50;
pub const PROTOCOL_VERSION: u8 = 70;
pub const INAPPROPRIATE_FALLBACK: u8 = 86;
pub const NO_RENEGOTIATION: u8 = 100;
pub const MISSING_EXTENSION: u8 = 109;

/// Extensions (RFC 8446 §4.2, RFC 6520, RFC 7627, RFC 5077, RFC 5746).
pub const GROUPS: u16 = 10;
pub const HEARTBEAT_EXTENSION: u16 = 15;
pub const EXTENDED_MASTER_SECRET: u16 = 23;
pub const TICKET: u16 = 35;
pub const PRE_SHARED_KEY: u16 = 41;
pub const EARLY_DATA: u16 = 42;
pub const PSK_MODES: u16 = 45;
pub const KEY_SHARE: u16 = 51;
pub const RENEGOTIATION_INFO: u16 = 0xff01;

/// A ClientHello, whose every part can be another.
#[derive(Clone)]
pub struct Hello {
    pub version: u16,
    pub session_id: Vec<u8>,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// One that a TLS 1.2 server answers.
    pub fn tls12() -> Hello {
        Hello {
            version: 0x0303,
            session_id: vec![],
            suites: vec![0xc02b], // ECDHE-ECDSA-AES128-GCM-SHA256
            compressions: vec![0],
            extensions: vec![
                (GROUPS, vec![0, 4, 0, 0x1d, 0, 0x17]), // X25519, and the curve of the certificate
                (11, vec![1, 0]),                       // points, uncompressed
                (13, vec![0, 2, 4, 3]),                 // ECDSA with SHA-256
                (EXTENDED_MASTER_SECRET, vec![]),
            ],
        }
    }

    /// One that a TLS 1.3 server answers.
    pub fn tls13() -> Hello {
        let mut hello = Hello { session_id: vec![7; 32], suites: vec![0x1301], ..Hello::tls12() };
        let point = [9].into_iter().chain([0; 31]);
        hello.extensions.push((43, vec![2, 3, 4]));
        hello.extensions.push((KEY_SHARE, [0, 36, 0, 0x1d, 0, 32].into_iter().chain(point).collect()));
        hello
    }

    pub fn with(mut self, kind: u16, body: &[u8]) -> Hello {
        self.extensions.retain(|(known, _)| *known != kind);
        self.and(kind, body)
    }

    /// A second one of its kind, where there is one.
    pub fn and(mut self, kind: u16, body: &[u8]) -> Hello {
        self.extensions.push((kind, body.to_vec()));
        self
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let extensions =
            self.extensions.iter().flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &long(body)].concat());
        let body = [
            &self.version.to_be_bytes()[..],
            &[5; 32],
            &short(&self.session_id),
            &long(&suites),
            &short(&self.compressions),
            &long(&extensions.collect::<Vec<_>>()),
        ]
        .concat();
        [&[1, 0][..], &long(&body)].concat()
    }

    pub fn record(&self) -> Vec<u8> {
        record(HANDSHAKE, &self.message())
    }
}

pub fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &long(body)].concat()
}

/// The next record: its kind and what is in it. `None` at the end of the stream.
pub fn next_record(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).unwrap();
    Some((head[0], body))
}

/// The extensions of a ServerHello, by their kinds, and its random.
pub struct Answer {
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub extensions: Vec<u16>,
}

/// Reads a ServerHello out of the handshake message that a record begins with.
pub fn answer(message: &[u8]) -> Answer {
    assert_eq!(message[0], 2, "a ServerHello");
    let id = usize::from(message[38]);
    let mut rest = &message[39 + id + 3..4 + usize::from(u16::from_be_bytes([message[2], message[3]]))];
    let mut extensions = Vec::new();
    rest = rest.get(2..).unwrap_or_default();
    while let [a, b, c, d, ..] = *rest {
        extensions.push(u16::from_be_bytes([a, b]));
        rest = &rest[4 + usize::from(u16::from_be_bytes([c, d]))..];
    }
    Answer { random: message[6..38].try_into().unwrap(), session_id: message[39..39 + id].to_vec(), extensions }
}

/// An echo server, and somebody who goes on talking whatever another one does to it.
pub struct Judge {
    pub server: Server,
    witness: TlsPeer,
}

impl Judge {
    pub fn new() -> Judge {
        let server = tls_server(&["--mode", "echo"]);
        let witness = TlsPeer::connect(&server);
        Judge { server, witness }
    }

    /// The server answers these bytes with this alert, closes, and says why.
    pub fn assert_alert(&mut self, what: &str, bytes: &[u8], alert: u8, why: &str) {
        assert_eq!(self.last_words(what, bytes, why), Some((ALERT, vec![2, alert])), "{what}");
    }

    /// The same where the server has a key already: the alert is an encrypted record, and which one it is, the log says.
    pub fn assert_sealed_alert(&mut self, what: &str, bytes: &[u8], why: &str) {
        let last = self.last_words(what, bytes, why);
        assert!(
            last.as_ref().is_some_and(|(kind, body)| *kind == DATA && body.len() == 2 + 1 + 16),
            "{what}: {last:?}"
        );
    }

    /// Sends these bytes; returns the last record of the answer.
    pub fn last_words(&mut self, what: &str, bytes: &[u8], why: &str) -> Option<(u8, Vec<u8>)> {
        let mut tcp = self.server.connect().stream;
        let from = tcp.local_addr().unwrap().to_string();
        tcp.write_all(bytes).unwrap();
        let last = std::iter::from_fn(|| next_record(&mut tcp)).last();
        drop(tcp);
        self.assert_logged(what, &from, "TLS handshake failed", why);
        last
    }

    /// The log has one line about why the client at `from` was sent away; and the others do not care.
    pub fn assert_logged(&mut self, what: &str, from: &str, ending: &str, why: &str) {
        let closed = format!("{from} closed after ");
        eventually("the line of its end", || {
            self.server.log().lines().any(|line| line.contains(&closed) && line.ends_with(ending))
        });
        let log = self.server.log();
        let said: Vec<&str> = log.lines().filter(|line| line.contains(&format!("{from}: "))).collect();
        assert!(
            said.len() == 1 && said[0].contains(&format!("{ending}: ")) && said[0].contains(why),
            "{what}: {said:?}"
        );
        self.assert_undisturbed(what);
    }

    pub fn assert_undisturbed(&mut self, what: &str) {
        self.witness.send("그래도\n");
        assert_eq!(self.witness.line(), "그래도", "{what}");
    }
}
