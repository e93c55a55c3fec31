//! Between two that trust each other: what was changed on its way, and certificates that only look right.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use support::program::Program;
use support::tls::{Issued, TlsPeer, assert_refused, tls_client};
use support::*;

/// Somebody in the middle who passes everything on, until told to change a bit in what comes next.
struct Meddler {
    addr: SocketAddr,
    up: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
}

impl Meddler {
    /// For one connection to `server`.
    fn before(server: &Server) -> Meddler {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, to) = (listener.local_addr().unwrap(), server.addr);
        let (up, down) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (upwards, downwards) = (up.clone(), down.clone());
        std::thread::spawn(move || {
            let (client, server) = (listener.accept().unwrap().0, TcpStream::connect(to).unwrap());
            let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(from, into, &upwards));
            pass(server, client, &downwards);
        });
        Meddler { addr, up, down }
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, change: &AtomicBool) {
    let mut buf = [0; 65536];
    while let Ok(n) = from.read(&mut buf) {
        if n == 0
            || (change.load(SeqCst) && {
                buf[n - 1] ^= 1;
                false
            })
            || into.write_all(&buf[..n]).is_err()
        {
            break;
        }
    }
    let _ = into.shutdown(std::net::Shutdown::Write);
}

const CHANGED: &str = "도중에 바뀌었습니다";

#[test]
fn a_bit_that_was_changed_on_its_way_ends_it_and_both_sides_say_so() {
    for upwards in [true, false] {
        let server = tls_server(&["--mode", "echo"]);
        let mut other = TlsPeer::connect(&server);
        let meddler = Meddler::before(&server);
        let address = meddler.addr.to_string();
        let mut ours = Program::start(&mut client(&["--connect", &address, "--tls", "--ca", &cert("ca.pem")]));
        ours.say("1000원\n");
        ours.wait_for("1000원\n");
        (if upwards { &meddler.up } else { &meddler.down }).store(true, SeqCst);
        ours.say("2000원\n");
        let ended = ours.end();
        assert_eq!((ended.code(), ended.text().as_str()), (1, "1000원\n"), "{}", ended.err);
        assert!(ended.err.contains("bad record mac") && ended.err.contains(CHANGED), "{}", ended.err);
        server.wait_for_log(if upwards { "TLS failed: decryption failed" } else { " alert bad record mac" });
        other.send("그대로\n");
        assert_eq!(other.line(), "그대로");
    }
}

#[test]
fn a_bit_that_was_changed_in_the_handshake_ends_it() {
    for upwards in [true, false] {
        let server = tls_server(&["--mode", "echo"]);
        let meddler = Meddler::before(&server);
        (if upwards { &meddler.up } else { &meddler.down }).store(true, SeqCst);
        let address = meddler.addr.to_string();
        let ended = run(&mut client(&["--connect", &address, "--tls", "--ca", &cert("ca.pem")]), b"a");
        assert_eq!((ended.code(), ended.text().as_str()), (1, ""), "{}", ended.err);
        eventually("the end of the handshake", || server.log().contains("TLS handshake failed: "));
    }
}

/// Writes a certificate and, below it, those that lead up from it; returns the paths of both files.
fn chain(dir: &Path, leaf: &Issued, above: &[&Issued]) -> (String, String) {
    let (pem, key) = leaf.write(dir, "chain");
    let pems = [leaf].iter().chain(above).flat_map(|issued| issued.pem.to_pem().unwrap()).collect::<Vec<_>>();
    fs::write(&pem, pems).unwrap();
    (pem, key)
}

/// Who has a certificate has a key to sign with, and could give out others with it.
#[test]
fn a_certificate_that_is_no_cas_signs_none() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Issued::ca("class");
    let (ca_pem, _) = ca.write(dir.path(), "ca");
    let student = Issued::leaf("철수", &[], -1..10, Some(&ca));
    let forged = Issued::leaf("영희", &["localhost"], -1..10, Some(&student));
    let (pem, key) = chain(dir.path(), &forged, &[&student]);

    let false_server = Server::start(&["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
    let address = false_server.addr.to_string();
    let ended = run(&mut client(&["--connect", &address, "--tls", "--ca", &ca_pem]), b"");
    assert_refused(&ended, "invalid CA certificate (code 79)", "CA가 아닌 인증서");
    false_server.wait_for_log("TLS handshake failed: tlsv1 alert unknown ca");

    let server = tls_server(&["--mode", "relay", "--client-ca", &ca_pem]);
    let ended = run(&mut tls_client(&server, &["--cert", &pem, "--key", &key]), b"");
    assert_refused(&ended, "alert unknown ca", "--cert");
    server.wait_for_log("client certificate refused: invalid CA certificate (code 79): CN=철수");
    assert!(!server.log().contains("(client certificate)"), "{}", server.log());
}

/// RFC 9525: without any subjectAltName, the common name does not count either.
#[test]
fn a_certificate_without_names_is_for_nobody() {
    let (ca, dir) = (Issued::ca("test CA"), tempfile::tempdir().unwrap());
    let (ca_pem, _) = ca.write(dir.path(), "ca");
    let (pem, key) = Issued::nameless("localhost", &ca).write(dir.path(), "server");
    let server = Server::start(&["--mode", "relay", "--tls", "--cert", &pem, "--key", &key]);
    for (name, reason) in [("localhost", "hostname mismatch"), ("127.0.0.1", "IP address mismatch")] {
        let mut command = client(&["--connect", &server.addr.to_string(), "--tls", "--ca", &ca_pem]);
        assert_refused(&run(command.args(["--server-name", name]), b""), reason, "--server-name");
    }
}

/// Another's server that shows a key which can be broken.
#[test]
fn a_key_that_is_too_small_is_refused() {
    let weak = PKey::from_rsa(Rsa::generate(768).unwrap()).unwrap();
    let own = Issued::leaf_with(weak, "localhost", &["localhost"]);
    let dir = tempfile::tempdir().unwrap();
    let (pem, key) = own.write(dir.path(), "weak");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_cipher_list("DEFAULT@SECLEVEL=0").unwrap();
        acceptor.set_certificate(&own.pem).unwrap();
        acceptor.set_private_key(&own.key).unwrap();
        let _ = acceptor.build().accept(Peer::new(listener.accept().unwrap().0).stream);
    });
    assert_refused(
        &run(&mut client(&["--connect", &address, "--tls", "--ca", &pem]), b""),
        "key too weak",
        "안전하지 않습니다",
    );
    server.join().unwrap();

    // Ours does not start with it.
    let args = ["server", "--listen", "127.0.0.1:0", "--tls", "--cert", &pem, "--key", &key];
    let ended = run(std::process::Command::new(BIN).args(args), b"");
    assert_refused(&ended, &format!("certificate {pem}: ee key too small"), "make certs");
}
