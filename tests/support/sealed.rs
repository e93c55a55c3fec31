//! Records made by hand and sealed with the keys of a real handshake.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::ssl::{Error, SslConnector, SslMethod, SslVersion};
use openssl::symm::{Cipher, encrypt_aead};

use crate::raw_tls::{DATA, record, short};
use crate::support::tls::TlsPeer;
use crate::support::{Server, cert};

/// A client after an honest handshake, whose next records are made by hand. What it hears, OpenSSL reads.
pub struct Sealed {
    pub peer: TlsPeer,
    version: SslVersion,
    secret: Vec<u8>,
    key: Vec<u8>,
    iv: Vec<u8>,
    sequence: u64,
}

impl Sealed {
    pub fn connect(server: &Server, version: SslVersion) -> Sealed {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        connector.set_max_proto_version(Some(version)).unwrap();
        connector.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").unwrap();
        connector.set_ciphersuites("TLS_AES_128_GCM_SHA256").unwrap();
        let secrets = Arc::new(Mutex::new(String::new()));
        let noted = secrets.clone();
        connector.set_keylog_callback(move |_, line| *noted.lock().unwrap() += &format!("{line}\n"));
        let peer = TlsPeer::with(connector, server.connect().stream);
        let label = if version == SslVersion::TLS1_2 { "CLIENT_RANDOM " } else { "CLIENT_TRAFFIC_SECRET_0 " };
        let secrets = secrets.lock().unwrap();
        let secret = secrets.lines().find_map(|line| line.strip_prefix(label)?.split(' ').nth(1)).unwrap();
        let secret: Vec<u8> =
            (0..secret.len()).step_by(2).map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap()).collect();
        let (key, iv, sequence) = if version == SslVersion::TLS1_2 {
            let block = key_block(&peer, &secret);
            (block[..16].to_vec(), block[32..36].to_vec(), 1) // the Finished was the first
        } else {
            (expand(&secret, "key", 16), expand(&secret, "iv", 12), 0)
        };
        Sealed { peer, version, secret, key, iv, sequence }
    }

    /// A record of this kind, sealed; each has a number that the next one has not.
    pub fn seal(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let inner = [body, &[kind]].concat(); // TLS 1.3: the kind is within
        if self.version == SslVersion::TLS1_2 { self.seal_as(kind, body) } else { self.seal_as(DATA, &inner) }
    }

    fn seal_as(&mut self, kind: u8, inside: &[u8]) -> Vec<u8> {
        let number = self.sequence.to_be_bytes();
        self.sequence += 1;
        let is_1_2 = self.version == SslVersion::TLS1_2;
        let (nonce, about, explicit) = if is_1_2 {
            let length = (inside.len() as u16).to_be_bytes();
            let about = [&number[..], &[kind, 3, 3], &length].concat();
            ([&self.iv[..], &number].concat(), about, &number[..])
        } else {
            let mut nonce = self.iv.clone();
            nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
            let length = (inside.len() as u16 + 16).to_be_bytes();
            (nonce, [&[kind, 3, 3][..], &length].concat(), &[][..])
        };
        let mut tag = [0; 16];
        let sealed = encrypt_aead(Cipher::aes_128_gcm(), &self.key, Some(&nonce), &about, inside, &mut tag).unwrap();
        record(kind, &[explicit, &sealed, &tag].concat())
    }

    /// TLS 1.3: a record whose inside is just this, with no kind at its end but what these bytes say.
    pub fn seal_inside(&mut self, inside: &[u8]) -> Vec<u8> {
        self.seal_as(DATA, inside)
    }

    pub fn put(&mut self, bytes: &[u8]) {
        let _ = self.wire().write_all(bytes); // a server that has had enough of it does not read the rest
    }

    pub fn wire(&mut self) -> &mut TcpStream {
        self.peer.stream.get_mut()
    }

    /// What a KeyUpdate announces (RFC 8446 §7.2).
    pub fn renew_key(&mut self) {
        self.secret = expand(&self.secret, "traffic upd", 32);
        (self.key, self.iv, self.sequence) = (expand(&self.secret, "key", 16), expand(&self.secret, "iv", 12), 0);
    }

    /// What comes until the server says that it will not go on, and the alert that says so.
    pub fn until_alert(&mut self) -> (Vec<u8>, u8) {
        let (heard, error) = self.until_error();
        let stack = error.ssl_error().unwrap_or_else(|| panic!("no alert: {error:?}"));
        (heard, (stack.errors()[0].reason_code() - 1000) as u8) // SSL_AD_REASON_OFFSET
    }

    /// What comes until OpenSSL sees no reason to go on, and its reason.
    pub fn until_error(&mut self) -> (Vec<u8>, Error) {
        let mut heard = Vec::new();
        let mut buf = [0; 4096];
        loop {
            match self.peer.stream.ssl_read(&mut buf) {
                Ok(n) => heard.extend_from_slice(&buf[..n]),
                Err(error) => return (heard, error),
            }
        }
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    parts.iter().for_each(|part| signer.update(part).unwrap());
    signer.sign_to_vec().unwrap()
}

/// HKDF-Expand-Label (RFC 8446 §7.1), for what fits into one block.
fn expand(secret: &[u8], label: &str, length: u8) -> Vec<u8> {
    let label = short(format!("tls13 {label}").as_bytes());
    hmac(secret, &[&[0, length], &label, &[0], &[1]])[..usize::from(length)].to_vec()
}

/// The first two blocks of the key expansion of TLS 1.2 (RFC 5246 §6.3).
fn key_block(peer: &TlsPeer, master: &[u8]) -> Vec<u8> {
    let (mut client, mut server) = ([0; 32], [0; 32]);
    peer.stream.ssl().client_random(&mut client);
    peer.stream.ssl().server_random(&mut server);
    let seed = [b"key expansion", &server[..], &client].concat();
    let first = hmac(master, &[&seed]);
    let second = hmac(master, &[&first]);
    [hmac(master, &[&first, &seed]), hmac(master, &[&second, &seed])].concat()
}
