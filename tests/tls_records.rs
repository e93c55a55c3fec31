//! Records as no honest client sends them, before, during and after the handshake: who sends one is told, logged and gone.
#![allow(clippy::unwrap_used)]

#[path = "support/raw_tls.rs"]
mod raw_tls;
#[path = "support/sealed.rs"]
mod sealed;
mod support;

use openssl::ssl::SslVersion;
use raw_tls::*;
use sealed::Sealed;
use support::tls::TlsPeer;
use support::*;

const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A handshake message of this kind.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, body.len() as u8], body].concat()
}

#[test]
fn a_record_that_has_no_place_in_a_handshake_ends_it() {
    let mut judge = Judge::new();
    let (hello12, hello13) = (Hello::tls12().record(), Hello::tls13().record());
    let after = |hello: &[u8], then: &[u8]| [hello, then].concat();
    let ccs = record(CHANGE_CIPHER_SPEC, &[1]);
    let warning = record(ALERT, &[1, 90]);
    let data = record(DATA, b"GET / HTTP/1.0\r\n\r\n");
    for (what, bytes, alert, why) in [
        ("empty records", record(HANDSHAKE, &[]).repeat(40), UNEXPECTED_MESSAGE, "record too small"),
        ("2^14 + 257 bytes", record(HANDSHAKE, &[1; (1 << 14) + 257]), RECORD_OVERFLOW, "length too long"),
        ("2^14 + 1 bytes", record(HANDSHAKE, &[1; (1 << 14) + 1]), RECORD_OVERFLOW, "data length too long"),
        ("a hello of 16 MiB", record(HANDSHAKE, &[1, 255, 255, 255]), ILLEGAL_PARAMETER, "excessive message size"),
        ("a Finished first", record(HANDSHAKE, &message(20, &[0; 12])), UNEXPECTED_MESSAGE, "unexpected message"),
        ("CCS with no key to change to", after(&hello12, &ccs), UNEXPECTED_MESSAGE, "unexpected message"),
        ("data before the key", after(&hello12, &data), UNEXPECTED_MESSAGE, "unexpected record"),
        ("a second hello", after(&hello12, &hello12), UNEXPECTED_MESSAGE, "unexpected message"),
        ("warnings without end", after(&hello12, &warning.repeat(10)), UNEXPECTED_MESSAGE, "too many warn alerts"),
        ("a heartbeat", after(&hello12, &record(HEARTBEAT, &[1, 64, 0])), UNEXPECTED_MESSAGE, "unexpected record"),
    ] {
        judge.assert_alert(what, &bytes, alert, why);
    }
    judge.assert_sealed_alert("CCS without end", &after(&hello13, &ccs.repeat(40)), "unexpected ccs message");
    judge.assert_sealed_alert("data in the clear", &after(&hello13, &data), "decryption failed or bad record mac");
}

/// After the handshake: `put` sends something bad, and the server says so to both sides.
fn assert_fatal(judge: &mut Judge, what: &str, version: SslVersion, alert: u8, why: &str, put: impl Fn(&mut Sealed)) {
    let mut peer = Sealed::connect(&judge.server, version);
    let from = peer.wire().local_addr().unwrap();
    let good = peer.seal(DATA, "먼저\n".as_bytes());
    peer.put(&good);
    assert_eq!(peer.peer.line(), "먼저", "{what}: the records that are made by hand are good ones");
    put(&mut peer);
    assert_eq!(peer.until_alert(), (vec![], alert), "{what}, {version:?}");
    drop(peer);
    judge.assert_logged(&format!("{what} {version:?}"), &format!("{from}"), "TLS failed", why);
}

#[test]
fn a_record_that_was_changed_on_its_way_is_a_bad_record() {
    let mut judge = Judge::new();
    for version in BOTH {
        for at in [5, 6, 13, 20, 28] {
            assert_fatal(&mut judge, "a bit", version, BAD_RECORD_MAC, "bad record mac", |peer| {
                let mut record = peer.seal(DATA, b"to A: 1000");
                let at = at.min(record.len() - 1);
                record[at] ^= 1;
                peer.put(&record);
            });
        }
        assert_fatal(&mut judge, "said twice", version, BAD_RECORD_MAC, "bad record mac", |peer| {
            let record = peer.seal(DATA, b"");
            peer.put(&record.repeat(2));
        });
        assert_fatal(&mut judge, "one left out", version, BAD_RECORD_MAC, "bad record mac", |peer| {
            peer.seal(DATA, b"not");
            let record = peer.seal(DATA, b"guilty");
            peer.put(&record);
        });
        assert_fatal(&mut judge, "cut short", version, BAD_RECORD_MAC, "", |peer| {
            let record = peer.seal(DATA, b"to A: 1000");
            peer.put(&raw_tls::record(DATA, &record[5..record.len() - 1]));
        });
        assert_fatal(&mut judge, "in the clear", version, BAD_RECORD_MAC, "", |peer| {
            peer.put(&record(DATA, b"to A: 1000, and some more to be as long as a tag"));
        });
    }
}

#[test]
fn a_record_that_breaks_the_rules_is_fatal_though_its_seal_is_good() {
    let mut judge = Judge::new();
    let cases = [
        ("2^14 + 1 bytes", DATA, vec![0; (1 << 14) + 1], 1, RECORD_OVERFLOW, "data length too long"),
        ("empty records", DATA, vec![], 40, UNEXPECTED_MESSAGE, "record too small"),
        ("a heartbeat", HEARTBEAT, vec![1, 64, 0], 1, UNEXPECTED_MESSAGE, "record"),
        ("an unknown kind", 25, vec![1], 1, UNEXPECTED_MESSAGE, "record"),
        ("warnings", ALERT, vec![1, 90], 10, UNEXPECTED_MESSAGE, "too many warn alerts"),
        ("half an alert", ALERT, vec![2], 1, UNEXPECTED_MESSAGE, "invalid alert"),
    ];
    for version in BOTH {
        for (what, kind, body, times, alert, why) in &cases {
            assert_fatal(&mut judge, what, version, *alert, why, |peer| {
                for _ in 0..*times {
                    let record = peer.seal(*kind, body);
                    peer.put(&record);
                }
            });
        }
    }
}

#[test]
fn a_handshake_message_after_the_handshake_is_fatal() {
    let mut judge = Judge::new();
    let version = SslVersion::TLS1_3;
    for (what, body, alert, why) in [
        ("a hello", Hello::tls13().message(), UNEXPECTED_MESSAGE, "unexpected message"),
        ("a ticket from a client", message(4, &[0; 20]), UNEXPECTED_MESSAGE, "unexpected message"),
        ("a CertificateRequest", message(13, &[0; 3]), UNEXPECTED_MESSAGE, "unexpected message"),
        ("a second Finished", message(20, &[0; 32]), UNEXPECTED_MESSAGE, "unexpected message"),
        ("a message of 16 MiB", vec![24, 255, 255, 255], ILLEGAL_PARAMETER, "excessive message size"),
        ("an update that means nothing", message(24, &[2]), ILLEGAL_PARAMETER, "bad key update"),
        ("an update with a tail", [message(24, &[0]), vec![0]].concat(), UNEXPECTED_MESSAGE, "not on record boundary"),
    ] {
        assert_fatal(&mut judge, what, version, alert, why, |peer| {
            let record = peer.seal(HANDSHAKE, &body);
            peer.put(&record);
        });
    }
    assert_fatal(&mut judge, "padding alone", version, UNEXPECTED_MESSAGE, "bad record type", |peer| {
        let record = peer.seal_inside(&[0; 100]);
        peer.put(&record);
    });
    assert_fatal(&mut judge, "data amid a message", version, UNEXPECTED_MESSAGE, "mixed", |peer| {
        let records = [peer.seal(HANDSHAKE, &[24, 0]), peer.seal(DATA, b"?")].concat();
        peer.put(&records);
    });
}

/// TLS 1.2: the answer is a warning (RFC 5246 §7.2.2), and the conversation could go on.
#[test]
fn a_renegotiation_is_declined() {
    let judge = Judge::new();
    let mut peer = Sealed::connect(&judge.server, SslVersion::TLS1_2);
    let record = peer.seal(HANDSHAKE, &Hello::tls12().and(RENEGOTIATION_INFO, &[0]).message());
    peer.put(&record);
    assert!(peer.until_error().1.to_string().contains("no renegotiation"));
}

#[test]
fn new_keys_as_often_as_one_likes() {
    let mut judge = Judge::new();
    let mut peer = Sealed::connect(&judge.server, SslVersion::TLS1_3);
    for turn in 0..1000_u32 {
        let update = peer.seal(HANDSHAKE, &message(24, &[(turn % 2) as u8]));
        peer.put(&update);
        peer.renew_key();
    }
    let line = peer.seal(DATA, b"still here\n");
    peer.put(&line);
    assert_eq!(peer.peer.line(), "still here");
    judge.assert_undisturbed("new keys");
}

/// RFC 8446 §6.1: what comes behind a close_notify does not count.
#[test]
fn nothing_counts_behind_a_close_notify() {
    for version in BOTH {
        let server = tls_server(&["--mode", "relay"]);
        let mut listener = TlsPeer::join(&server);
        let mut peer = Sealed::connect(&server, version);
        let records =
            [peer.seal(DATA, b"first\nlast"), peer.seal(ALERT, &[1, 0]), peer.seal(DATA, b" of all\nlate\n")].concat();
        peer.put(&records);
        listener.line_with("] first");
        assert!(listener.line().ends_with("] last"));
        drop(peer);
        assert_eq!(listener.line(), "* 손님2 님이 나갔습니다.", "{version:?}");
    }
}

/// What was said before the fault is delivered, but not half a line.
#[test]
fn a_last_line_before_a_bad_record_is_not_delivered() {
    for version in BOTH {
        let server = tls_server(&["--mode", "relay"]);
        let mut listener = TlsPeer::join(&server);
        let mut peer = Sealed::connect(&server, version);
        let mut records = [peer.seal(DATA, b"first\nlast"), peer.seal(DATA, b" of all\n")].concat();
        *records.last_mut().unwrap() ^= 1;
        peer.put(&records);
        listener.line_with("] first");
        drop(peer);
        assert_eq!(listener.line(), "* 손님2 님이 나갔습니다.", "{version:?}");
        server.wait_for_log("TLS failed: decryption failed or bad record mac");
    }
}
