//! A ClientHello, byte by byte: OpenSSL as it is built today offers no TLS 1.1 that could be refused.
//!
//! - Standard: RFC 4346 §7.4.1.2 (ClientHello of TLS 1.1), §A.1 (records), RFC 8422 §5.1 (elliptic curves)

use std::net::IpAddr;

/// `major, minor` as they stand in a record.
pub const TLS_1_0: [u8; 2] = [3, 1];
pub const TLS_1_1: [u8; 2] = [3, 2];
pub const TLS_1_2: [u8; 2] = [3, 3];

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Suites that TLS 1.0 knows, for both kinds of certificates: ECDHE and RSA with AES-CBC and SHA-1.
const SUITES: [u8; 12] = [0xc0, 0x0a, 0xc0, 0x09, 0xc0, 0x14, 0xc0, 0x13, 0x00, 0x35, 0x00, 0x2f];
/// supported_groups: x25519, secp256r1, secp384r1.
const GROUPS: [u8; 12] = [0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24];
/// ec_point_formats: uncompressed. renegotiation_info: none before.
const FORMATS: [u8; 6] = [0, 11, 0, 2, 1, 0];
const RENEGOTIATION: [u8; 5] = [0xff, 1, 0, 1, 0];

/// The record with which a client begins that knows nothing newer than `version`.
pub fn client_hello(version: [u8; 2], host: &str) -> Vec<u8> {
    let mut random = [0x5a; 32];
    let _ = openssl::rand::rand_bytes(&mut random); // nothing secret follows: any bytes will do
    let mut body = version.to_vec();
    body.extend(random);
    body.push(0); // no session
    body.extend(with_length(&SUITES));
    body.extend([1, 0]); // no compression
    body.extend(with_length(&[server_name(host).as_slice(), &GROUPS, &FORMATS, &RENEGOTIATION].concat()));
    let message = [&[CLIENT_HELLO, 0][..], &with_length(&body)].concat();
    [&[HANDSHAKE, 3, 1][..], &with_length(&message)].concat()
}

/// server_name, unless the host is an IP address (RFC 6066 §3).
fn server_name(host: &str) -> Vec<u8> {
    if host.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let name = [&[0][..], &with_length(host.as_bytes())].concat();
    [&[0, 0][..], &with_length(&with_length(&name))].concat()
}

/// Two bytes of length, and the bytes. Nothing here comes near 64 KiB.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// What the answer begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not enough of it yet.
    Unknown,
    Alert,
    /// The server takes this version.
    Hello([u8; 2]),
    /// No TLS.
    Other,
}

pub fn answer(bytes: &[u8]) -> Answer {
    match bytes {
        [] => Answer::Unknown,
        [21, 3, ..] => Answer::Alert,
        [HANDSHAKE, 3, _, _, _, SERVER_HELLO, _, _, _, major, minor, ..] => Answer::Hello([*major, *minor]),
        [HANDSHAKE, 3, _, _, _, SERVER_HELLO, ..] | [HANDSHAKE, 3, _, _, _] => Answer::Unknown,
        bytes if bytes.len() < 5 && [21, HANDSHAKE].contains(&bytes[0]) && bytes.get(1).is_none_or(|b| *b == 3) => {
            Answer::Unknown
        }
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lengths_in_it_are_its_lengths() {
        for host in ["127.0.0.1", "localhost"] {
            let hello = client_hello(TLS_1_1, host);
            let length = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
            assert_eq!((hello[0], length(3), length(7)), (HANDSHAKE, hello.len() - 5, hello.len() - 9));
            assert_eq!(hello[9..11], TLS_1_1);
        }
    }

    #[test]
    fn an_answer_is_known_when_enough_of_it_has_come() {
        let hello = [22, 3, 2, 0, 60, 2, 0, 0, 56, 3, 2];
        for cut in 0..hello.len() {
            assert_eq!(answer(&hello[..cut]), Answer::Unknown, "{cut}");
        }
        assert_eq!(answer(&hello), Answer::Hello(TLS_1_1));
        assert_eq!(answer(&[21, 3, 1, 0, 2, 2, 70]), Answer::Alert);
        assert_eq!(answer(b"HTTP/1.1 400"), Answer::Other);
        assert_eq!(answer(&client_hello(TLS_1_1, "a")), Answer::Other, "an echo");
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_answer(bytes: Vec<u8>) {
            answer(&bytes);
        }
    }
}
