//! Who is who: certificates that our client refuses, and keys that our server does not start with.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use openssl::pkey::PKey;
use openssl::symm::Cipher;
use support::tls::{Issued, assert_refused, tls_client};
use support::*;

const QUIT: &[u8] = b"/quit\n";

fn relay_with(pem: &str, key: &str) -> Server {
    Server::start(&["--mode", "relay", "--tls", "--cert", pem, "--key", key])
}

/// A TLS client that does not look at the certificate gets in; it says so.
fn assert_insecure_gets_in(server: &Server) {
    let ended = run(&mut tls_client(server, &["--insecure"]), QUIT);
    assert_eq!(ended.code(), 0, "{}", ended.err);
    assert!(ended.text().contains("* 안녕히") && ended.err.starts_with("경고: --insecure"), "{}", ended.err);
}

#[test]
fn the_right_ca_and_a_name_in_the_certificate_get_in() {
    let server = tls_server(&["--mode", "relay"]);
    let (local, numeric) = (format!("localhost:{}", server.port()), server.addr.to_string());
    for args in [&["--connect", &local][..], &["--connect", &numeric], &["--connect", &numeric, "--server-name", "::1"]]
    {
        let ended = run(client(args).args(["--tls", "--ca", &cert("ca.pem")]), QUIT);
        assert_eq!((ended.code(), ended.err.as_str()), (0, ""), "{args:?}");
        assert!(ended.text().contains("* 안녕히"), "{args:?}");
    }
}

#[test]
fn a_ca_that_did_not_sign_the_certificate_is_refused() {
    let server = tls_server(&["--mode", "relay"]);
    let dir = tempfile::tempdir().unwrap();
    let (foreign, _) = Issued::ca("somebody else").write(dir.path(), "foreign");
    make_certs(dir.path(), &[]); // the same name, other keys: what a second `make certs` elsewhere makes
    let remade = dir.path().join("ca.pem").to_str().unwrap().to_string();
    for ca in [&["--ca", &foreign][..], &["--ca", &remade], &[]] {
        let mut command = client(&["--connect", &server.addr.to_string(), "--tls"]);
        let ended = run(command.args(ca), QUIT);
        assert_refused(&ended, "certificate verify failed: unable to get local issuer certificate", "--ca");
    }
    server.wait_for_log("TLS handshake failed: tlsv1 alert unknown ca");
    assert_insecure_gets_in(&server);
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_refused() {
    let server = tls_server(&["--mode", "relay"]);
    for (name, reason) in [("other.example", "hostname mismatch"), ("127.0.0.9", "IP address mismatch")] {
        let ended = run(&mut tls_client(&server, &["--server-name", name]), QUIT);
        assert_refused(&ended, reason, "--server-name");
        assert!(ended.err.contains(&format!("`make certs HOST={name}`")), "the exact command: {}", ended.err);
    }
    assert_insecure_gets_in(&server);

    let (pem, key) = (cert("server.pem"), cert("server.key"));
    let args = ["--mode", "relay", "--tls", "--cert", &pem, "--key", &key];
    let elsewhere = Server::start_on("127.0.0.2:0", &args);
    assert_refused(&run(&mut tls_client(&elsewhere, &[]), QUIT), "IP address mismatch", "--server-name");
    assert_eq!(run(&mut tls_client(&elsewhere, &["--server-name", "127.0.0.1"]), QUIT).code(), 0);
}

#[test]
fn a_certificate_that_is_not_good_is_refused() {
    let ca = Issued::ca("test CA");
    let dir = tempfile::tempdir().unwrap();
    let (ca_pem, _) = ca.write(dir.path(), "ca");
    let student = (cert("client.pem"), cert("client.key"), cert("ca.pem"));
    let leaf = |name, days, by| {
        let (pem, key) = Issued::leaf("server", &["localhost"], days, by).write(dir.path(), name);
        (pem, key, ca_pem.clone())
    };
    for ((pem, key, ca), reason, hint) in [
        (leaf("expired", -10..-1, Some(&ca)), "certificate has expired", "만료"),
        (leaf("early", 1..10, Some(&ca)), "certificate is not yet valid", "시계"),
        (leaf("own", -1..10, None), "self-signed certificate", "--ca"),
        (student, "certificate purpose", "서버용이 아닙니다"),
    ] {
        let server = relay_with(&pem, &key);
        let mut command = client(&["--connect", &server.addr.to_string(), "--tls", "--ca", &ca]);
        assert_refused(&run(&mut command, QUIT), reason, hint);
        assert_insecure_gets_in(&server);
        assert_eq!(server.log().contains("expired on"), reason.contains("expired"), "the server warns its owner");
    }
    // The same CA, days and names that are good: it was not for something else that they were refused.
    let (pem, key, ca) = leaf("good", -1..10, Some(&ca));
    let server = relay_with(&pem, &key);
    let mut command = client(&["--connect", &server.addr.to_string(), "--tls", "--ca", &ca]);
    assert_eq!(run(&mut command, QUIT).code(), 0);
}

/// RFC 9525 §2: names live in subjectAltName; the subject's common name does not count.
#[test]
fn a_name_in_the_subject_alone_is_refused() {
    let (ca, dir) = (Issued::ca("test CA"), tempfile::tempdir().unwrap());
    let (ca_pem, _) = ca.write(dir.path(), "ca");
    let (pem, key) = Issued::leaf("old.example", &[], -1..10, Some(&ca)).write(dir.path(), "server");
    let server = relay_with(&pem, &key);
    let mut command = client(&["--connect", &server.addr.to_string(), "--tls", "--ca", &ca_pem]);
    assert_refused(&run(command.args(["--server-name", "old.example"]), QUIT), "hostname mismatch", "--server-name");
}

/// The server must complain of this file, and before it has touched the port: the port given to it
/// is taken, which it does not find out.
fn assert_does_not_start(mut command: Command, pem: &Path, key: &Path, culprit: &Path, reason: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    command.args(["server", "--listen", &taken.local_addr().unwrap().to_string(), "--tls", "--cert"]);
    let ended = run(command.arg(pem).arg("--key").arg(key), b"");
    assert_refused(&ended, &culprit.display().to_string(), "");
    assert!(ended.err.contains(reason), "{reason:?}: {}", ended.err);
    assert!(!ended.err.contains("listening on"), "{}", ended.err);
}

#[test]
fn a_bad_certificate_or_key_is_named_before_the_port_opens() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        fs::write(dir.path().join(name), content).unwrap();
        dir.path().join(name)
    };
    let (pem, key) = (certs().join("server.pem"), certs().join("server.key"));
    let other_key = certs().join("client.key");
    let (missing, garbage, empty) = (dir.path().join("missing"), file("garbage", "안녕\n"), file("empty", ""));
    let armour = file("armour", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let broken_key = file("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    for (pem, key, culprit, reason) in [
        (&missing, &key, &missing, "ENOENT"),
        (&pem, &missing, &missing, "ENOENT"),
        (&garbage, &key, &garbage, "certificate"),
        (&empty, &key, &empty, "certificate"),
        (&armour, &key, &armour, "not a PEM certificate"),
        (&key, &key, &key, "certificate"),
        (&pem, &garbage, &garbage, "not an unencrypted PEM private key"),
        (&pem, &empty, &empty, "not an unencrypted PEM private key"),
        (&pem, &broken_key, &broken_key, "not an unencrypted PEM private key"),
        (&pem, &pem, &pem, "not an unencrypted PEM private key"),
        (&pem, &other_key, &other_key, "does not belong to the certificate"),
    ] {
        assert_does_not_start(Command::new(BIN), pem, key, culprit, reason);
    }
}

#[test]
fn an_unreadable_key_is_named_before_the_port_opens() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // install(1) copies: a file that this process had open for writing could not be executed while
    // another test forks.
    for (from, mode) in [(BIN, "755"), (&cert("server.pem"), "644"), (&cert("server.key"), "000")] {
        assert!(Command::new("install").args(["-m", mode, from]).arg(dir.path()).status().unwrap().success());
    }
    let (pem, key) = (dir.path().join("server.pem"), dir.path().join("server.key"));
    let mut command = Command::new(dir.path().join("sockstep"));
    if nix::unistd::geteuid().is_root() {
        command.uid(65_534).gid(65_534); // root may read everything
    }
    assert_does_not_start(command, &pem, &key, &key, "EACCES");
}

#[test]
fn an_encrypted_key_is_refused_without_asking_at_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let key = PKey::private_key_from_pem(&fs::read(cert("server.key")).unwrap()).unwrap();
    let cipher = Cipher::aes_256_cbc();
    for encrypted in [
        key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap(),
        key.ec_key().unwrap().private_key_to_pem_passphrase(cipher, b"secret").unwrap(),
    ] {
        let path = dir.path().join("encrypted.key");
        fs::write(&path, encrypted).unwrap();
        let pty = portable_pty::native_pty_system().openpty(Default::default()).unwrap();
        let mut command = portable_pty::CommandBuilder::new(BIN);
        command.args(["server", "--listen", "127.0.0.1:0", "--tls", "--cert", &cert("server.pem"), "--key"]);
        command.arg(&path);
        let mut child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut screen = pty.master.try_clone_reader().unwrap();
        let reader = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let _ = screen.read_to_end(&mut seen); // ends with EIO, as terminals do
            String::from_utf8_lossy(&seen).into_owned()
        });
        eventually("its end, without a passphrase", || child.try_wait().unwrap().is_some());
        let (status, seen) = (child.wait().unwrap(), reader.join().unwrap());
        assert_eq!(status.exit_code(), 1, "{seen}");
        assert!(seen.contains("encrypted.key: not an unencrypted PEM private key") && seen.contains("힌트"), "{seen}");
        assert!(!seen.contains("pass phrase") && !seen.contains("listening on"), "{seen}");
    }
}
