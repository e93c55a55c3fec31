//! The first words of a handshake, as no honest client says them: each is answered as the RFC says, and the log says why.
#![allow(clippy::unwrap_used)]

#[path = "support/raw_tls.rs"]
mod raw_tls;
mod support;

use std::io::Write;

use raw_tls::*;
use support::*;

/// What the server answers to a hello that it takes, and the handshake messages (their kinds) that follow in the clear.
fn taken(judge: &Judge, hello: &Hello) -> (Answer, Vec<u8>) {
    let mut tcp = judge.server.connect().stream;
    tcp.write_all(&hello.record()).unwrap();
    let (kind, mut messages) = next_record(&mut tcp).unwrap();
    assert_eq!(kind, HANDSHAKE, "{messages:?}");
    let answer = answer(&messages);
    let mut kinds = Vec::new();
    loop {
        while let [kind, _, high, low, ..] = messages[..] {
            kinds.push(kind);
            messages.drain(..4 + usize::from(u16::from_be_bytes([high, low])));
        }
        if answer.extensions.contains(&KEY_SHARE) || kinds.last() == Some(&14) {
            return (answer, kinds);
        }
        messages.extend(next_record(&mut tcp).unwrap().1);
    }
}

#[test]
fn a_version_of_old_is_refused_by_its_name() {
    let mut judge = Judge::new();
    for (version, alert, why) in [
        (0x0300, HANDSHAKE_FAILURE, "version too low"), // SSLv3 knows no better word
        (0x0301, PROTOCOL_VERSION, "unsupported protocol"),
        (0x0302, PROTOCOL_VERSION, "unsupported protocol"),
    ] {
        for record_version in [0x0300_u16, 0x0301, version] {
            let mut bytes = Hello { version, suites: vec![0x002f, 0xc009, 0xc02b], ..Hello::tls12() }.record();
            bytes[1..3].copy_from_slice(&record_version.to_be_bytes());
            judge.assert_alert("an old version", &bytes, alert, why);
        }
    }
    // TLS 1.3 asked for by one that says that it knows only drafts and older ones.
    let drafts = Hello::tls13().with(43, &[4, 0x7f, 0x1c, 3, 2]);
    judge.assert_alert("no version in common", &drafts.record(), PROTOCOL_VERSION, "unsupported protocol");
    // Who could do better says that it was made to try less (RFC 7507).
    let fallback = Hello { suites: vec![0xc02b, 0x5600], ..Hello::tls12() };
    judge.assert_alert("a fallback", &fallback.record(), INAPPROPRIATE_FALLBACK, "inappropriate fallback");
}

#[test]
fn what_is_not_in_common_is_a_handshake_failure() {
    let mut judge = Judge::new();
    for (what, suites) in [
        ("RSA key exchange", vec![0x002f, 0x0035, 0x009c, 0x009d]),
        ("finite fields", vec![0x009e, 0x009f, 0xccaa]),
        ("CBC", vec![0xc009, 0xc00a, 0xc023, 0xc024]),
        ("for another kind of certificate", vec![0xc02f, 0xc030, 0xcca8]),
        ("nobody's certificate", vec![0x0018, 0x0034, 0x006c]),
        ("3DES, RC4, NULL, export", vec![0xc008, 0x000a, 0x0004, 0x0005, 0x0001, 0x0002, 0xc006, 0x0003]),
        ("PSK and SRP", vec![0x00a8, 0xccac, 0xc01e]),
        ("only a signal", vec![0x00ff]),
        ("unknown", vec![0x1a1a, 0xfefe]),
    ] {
        let hello = Hello { suites, ..Hello::tls12() };
        judge.assert_alert(what, &hello.record(), HANDSHAKE_FAILURE, "no shared cipher");
    }
    let hello = Hello { suites: vec![0x1304, 0x1305, 0xc02b], ..Hello::tls13() };
    judge.assert_alert("TLS 1.3 with CCM", &hello.record(), HANDSHAKE_FAILURE, "no shared cipher");
}

/// A key of 8192 bits would cost the server fifty times what one on a curve costs, and the client nothing.
#[test]
fn no_group_but_a_curve_is_computed_with() {
    let mut judge = Judge::new();
    for group in [0x0019_u16, 0x001e, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104, 0x0016, 0x0013, 0x0015, 0x1234] {
        let groups = [&[0, 2][..], &group.to_be_bytes()].concat();
        let hello = Hello::tls13().with(GROUPS, &groups).with(KEY_SHARE, &[0, 0]);
        judge.assert_alert("TLS 1.3", &hello.record(), HANDSHAKE_FAILURE, "no suitable key share");
        let hello = Hello::tls12().with(GROUPS, &groups);
        judge.assert_alert("TLS 1.2", &hello.record(), HANDSHAKE_FAILURE, "no shared cipher");
    }
}

#[test]
fn a_hello_that_contradicts_itself_is_refused() {
    let mut judge = Judge::new();
    let mut cases = vec![
        ("a key of an empty curve point", Hello::tls13().with(KEY_SHARE, &[0, 4, 0, 0x1d, 0, 0]), 50, "length"),
        ("a ticket twice", Hello::tls12().and(TICKET, &[]).and(TICKET, &[]), ILLEGAL_PARAMETER, "bad extension"),
        (
            "a key for no offered group",
            Hello::tls13().with(GROUPS, &[0, 2, 0, 0x17]),
            ILLEGAL_PARAMETER,
            "bad key share",
        ),
        ("no groups", Hello::tls13(), MISSING_EXTENSION, "missing supported groups extension"),
        ("no signatures", Hello::tls13(), MISSING_EXTENSION, "missing sigalgs extension"),
        (
            "a PSK that is not the last",
            Hello::tls13().and(PRE_SHARED_KEY, &[0, 0]).and(EARLY_DATA, &[]),
            ILLEGAL_PARAMETER,
            "bad extension",
        ),
    ];
    cases[3].1.extensions.retain(|(kind, _)| *kind != GROUPS);
    cases[4].1.extensions.retain(|(kind, _)| *kind != 13);
    for twice in 0..5 {
        let hello = Hello::tls13();
        let (kind, body) = hello.extensions[twice].clone();
        cases.push(("an extension twice", hello.and(kind, &body), ILLEGAL_PARAMETER, "bad extension"));
    }
    let hello = Hello { compressions: vec![1, 0], ..Hello::tls13() };
    cases.push(("DEFLATE as well", hello, ILLEGAL_PARAMETER, "invalid compression algorithm"));
    let hello = Hello { session_id: vec![0; 33], ..Hello::tls13() };
    cases.push(("a session ID of 33 bytes", hello, DECODE_ERROR, "length mismatch"));
    // Between 3.0 and 3.6 OpenSSL has changed its mind about which of two alerts these are worth.
    for (hello, why) in [
        (Hello { suites: vec![], ..Hello::tls12() }, "no ciphers specified"),
        (Hello { compressions: vec![1], ..Hello::tls12() }, "compression"),
        (Hello { compressions: vec![1], ..Hello::tls13() }, "compression"),
    ] {
        let last = judge.last_words(why, &hello.record(), why);
        let either = [ILLEGAL_PARAMETER, DECODE_ERROR].map(|alert| Some((ALERT, vec![2, alert])));
        assert!(either.contains(&last), "{why}: {last:?}");
    }
    for (what, hello, alert, why) in cases {
        judge.assert_alert(what, &hello.record(), alert, why);
    }
    let mut short = Hello::tls12().message();
    short[3] -= 1;
    short.pop();
    judge.assert_alert("an end that is missing", &record(HANDSHAKE, &short), DECODE_ERROR, "");
}

#[test]
fn what_nobody_knows_is_passed_over_and_weak_things_are_not_agreed_on() {
    let judge = Judge::new();
    // GREASE (RFC 8701), heartbeat, compression as well, 0-RTT without a key that is known.
    let odd = Hello::tls12().and(0x1a1a, b"?").and(HEARTBEAT_EXTENSION, &[1]).and(RENEGOTIATION_INFO, &[0]);
    let (answer, messages) = taken(&judge, &Hello { suites: vec![0x2a2a, 0xc02b], compressions: vec![1, 0], ..odd });
    assert_eq!(messages, [2, 11, 12, 14], "ServerHello, Certificate, ServerKeyExchange, ServerHelloDone");
    assert!(answer.extensions.contains(&EXTENDED_MASTER_SECRET) && answer.extensions.contains(&RENEGOTIATION_INFO));
    assert!(!answer.extensions.contains(&HEARTBEAT_EXTENSION), "{:?}", answer.extensions);
    assert_eq!(&answer.random[24..], b"DOWNGRD\x01", "1.3 is spoken here, and somebody made us speak 1.2");

    let identity = [&[0, 38, 0, 32][..], &[9; 32], &[0, 0, 0, 0], &[0, 33, 32], &[1; 32]].concat();
    let early = Hello::tls13().and(EARLY_DATA, &[]).and(PSK_MODES, &[1, 1]).and(PRE_SHARED_KEY, &identity);
    let (answer, _) = taken(&judge, &early);
    assert_eq!(answer.extensions, [43, KEY_SHARE], "a handshake in full");
    assert_ne!(&answer.random[24..], b"DOWNGRD\x01");
}

#[test]
fn a_ticket_or_a_session_that_is_none_is_a_handshake_in_full() {
    let judge = Judge::new();
    for ticket in [vec![], vec![0], noise(16), noise(192), noise(4000)] {
        let hello = Hello { session_id: noise(32), ..Hello::tls12() }.and(TICKET, &ticket);
        let (answer, messages) = taken(&judge, &hello);
        assert_eq!(messages, [2, 11, 12, 14]);
        assert_ne!(answer.session_id, hello.session_id, "not taken up");
    }
}

#[test]
fn a_hello_in_the_smallest_pieces_is_a_hello() {
    let judge = Judge::new();
    for hello in [Hello::tls12(), Hello::tls13()] {
        let mut tcp = judge.server.connect().stream;
        for byte in hello.message() {
            tcp.write_all(&record(HANDSHAKE, &[byte])).unwrap();
        }
        let (kind, message) = next_record(&mut tcp).unwrap();
        assert_eq!((kind, message[0]), (HANDSHAKE, 2), "a ServerHello: {message:?}");
    }
}

#[test]
fn an_sslv2_hello_is_not_tls() {
    let judge = Judge::new();
    let mut old = judge.server.connect();
    old.send([&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[7; 37]].concat());
    assert!(old.rest().starts_with("! "));
    judge.server.wait_for_log("client spoke plain text on a TLS port");
}
