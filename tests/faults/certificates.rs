//! A certificate that is replaced while many shake hands.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use openssl::ssl::{SslConnector, SslMethod};

use super::Over;
use super::support::holdings::*;
use super::support::tls::Issued;
use super::support::*;

const REPLACED: usize = 200;
/// So many are made; each takes its turns.
const PAIRS: usize = 8;

/// Folders `0`, `1`, … with a certificate and its key each, and `now`, a link to one of them.
struct Safe {
    dir: tempfile::TempDir,
}

impl Safe {
    fn new() -> Safe {
        let (dir, ca) = (tempfile::tempdir().unwrap(), Issued::ca("class CA"));
        ca.write(dir.path(), "ca");
        for n in 0..PAIRS {
            let folder = dir.path().join(n.to_string());
            fs::create_dir(&folder).unwrap();
            Issued::leaf(&n.to_string(), &["localhost"], -1..10, Some(&ca)).write(&folder, "server");
        }
        let safe = Safe { dir };
        safe.take(0);
        safe
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Certificate and key change at one moment: rename(2).
    fn take(&self, n: usize) {
        symlink(Path::new(&n.to_string()), self.path("next")).unwrap();
        fs::rename(self.path("next"), self.path("now")).unwrap();
    }

    /// Shakes hands, verifies, and gives the name in the certificate that was shown.
    fn shown(&self, server: &Server) -> String {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(self.path("ca.pem")).unwrap();
        let stream = connector.build().connect("127.0.0.1", server.connect().stream).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        certificate.subject_name().entries().next().unwrap().data().to_string().unwrap()
    }
}

#[test]
fn a_certificate_that_is_replaced_again_and_again_is_whole_in_every_handshake() {
    let safe = Safe::new();
    let (pem, key) = (safe.path("now/server.pem"), safe.path("now/server.key"));
    let files = ["--cert", pem.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let mut server = Server::start(&[&["--tls"], &files[..]].concat());
    assert_eq!(safe.shown(&server), "0");
    server.wait_for_children(0);
    let before = Before::of(server.pid());
    let (over, seen) = (AtomicBool::new(false), Mutex::new((0, BTreeSet::new())));
    thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let shown = safe.shown(&server);
                    let mut seen = seen.lock().unwrap();
                    seen.0 += 1;
                    seen.1.insert(shown);
                }
            });
        }
        for n in 1..=REPLACED {
            safe.take(n % PAIRS);
            server.signal(Signal::SIGHUP);
            // Another moment each time: now and then a handshake comes between, now and then the next SIGHUP does.
            if n % 3 == 0 {
                let so_far = seen.lock().unwrap().0;
                eventually("a handshake", || seen.lock().unwrap().0 > so_far || over.load(Ordering::Relaxed));
            }
        }
        let last = (REPLACED % PAIRS).to_string();
        eventually("the last certificate", || safe.shown(&server) == last);
    });
    let (handshakes, names) = seen.into_inner().unwrap();
    assert!(handshakes > REPLACED / 3 && names.len() > 2, "{handshakes} handshakes, {names:?}");
    server.wait_for_children(0);
    assert!(server.log().contains("certificate and key read anew"));
    assert!(!server.log().contains("TLS handshake failed"), "{}", server.log());
    before.is_back(KEPT_KB);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}
