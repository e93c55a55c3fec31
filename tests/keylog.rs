//! `--keylog`: what is written down, where, and who is told.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::stat::Mode;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use support::tls::{TlsPeer, assert_refused, tls_client};
use support::*;

const NOTICE: &str = "* 주의: 이 서버는";

/// `sockstep server --tls … ARGS` with SSLKEYLOGFILE.
fn server_command(listen: &str, file: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", listen, "--tls", "--cert", &cert("server.pem"), "--key", &cert("server.key")]);
    command.args(args).env("SSLKEYLOGFILE", file);
    command
}

/// A server that writes its keys down into `file`.
fn start(file: &Path, args: &[&str]) -> Server {
    Server::from_command(server_command("127.0.0.1:0", file, &[&["--keylog"], args].concat()))
}

/// Connects and writes down itself what the server should: its lines, in order of their names.
fn connect_with_notes(server: &Server, version: SslVersion) -> (TlsPeer, Arc<Mutex<BTreeSet<String>>>) {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(cert("ca.pem")).unwrap();
    connector.set_max_proto_version(Some(version)).unwrap();
    let notes = Arc::new(Mutex::new(BTreeSet::new()));
    let own = notes.clone();
    connector.set_keylog_callback(move |_, line| own.lock().unwrap().extend([line.to_string()]));
    (TlsPeer::with(connector, server.connect().stream), notes)
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(String::from).collect()
}

#[test]
fn the_keys_of_a_connection_are_those_that_its_client_has() {
    let dir = tempfile::tempdir().unwrap();
    for (version, labels) in [
        (
            SslVersion::TLS1_3,
            &[
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_TRAFFIC_SECRET_0",
            ][..],
        ),
        (SslVersion::TLS1_2, &["CLIENT_RANDOM"]),
    ] {
        let file = dir.path().join(format!("{version:?}"));
        let server = start(&file, &["--mode", "echo"]);
        let (mut peer, notes) = connect_with_notes(&server, version);
        peer.send("a\n");
        assert_eq!(peer.line(), "a"); // the server's handshake is over, too
        let written: BTreeSet<String> = lines(&file).into_iter().collect();
        assert_eq!(written, *notes.lock().unwrap(), "the same secrets on both sides");
        let mut random = [0; 32];
        assert_eq!(peer.stream.ssl().client_random(&mut random), 32);
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let words = written.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        assert_eq!(words.clone().map(|words| words[0]).collect::<Vec<_>>(), labels);
        assert!(words.clone().all(|words| words.len() == 3 && words[1] == random), "{random}: {written:?}");
    }
}

#[test]
fn children_do_not_tear_each_others_lines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    fs::write(&file, "# what was there stays\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = start(&file, &["--mode", "echo"]);
    let mut expected = BTreeSet::new();
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..30)
            .map(|_| {
                scope.spawn(|| {
                    let (mut peer, notes) = connect_with_notes(&server, SslVersion::TLS1_3);
                    peer.send("a\n");
                    assert_eq!(peer.line(), "a");
                    notes.lock().unwrap().clone()
                })
            })
            .collect();
        crowd.into_iter().for_each(|peer| expected.extend(peer.join().unwrap()));
    });
    let all = lines(&file);
    assert_eq!((all[0].as_str(), all.len()), ("# what was there stays", 1 + 30 * 5));
    assert_eq!(all[1..].iter().cloned().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_variable_alone_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let server = Server::from_command(server_command("127.0.0.1:0", &file, &["--mode", "relay"]));
    let ended = run(tls_client(&server, &[]).env("SSLKEYLOGFILE", &file), b"/quit\n");
    assert_eq!((ended.code(), ended.err.as_str()), (0, ""));
    assert!(!file.exists() && !ended.text().contains(NOTICE), "{}", ended.text());
    assert!(!server.log().contains("keylog"), "{}", server.log());
}

#[test]
fn the_option_alone_fails_before_the_port_opens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for value in [None, Some("")] {
        let server = server_command(&taken.local_addr().unwrap().to_string(), Path::new(""), &["--keylog"]);
        let ours = client(&["--connect", "127.0.0.1:1", "--tls", "--keylog"]);
        for mut command in [server, ours] {
            match value {
                None => command.env_remove("SSLKEYLOGFILE"),
                Some(value) => command.env("SSLKEYLOGFILE", value),
            };
            assert_refused(&run(&mut command, b""), "environment variable SSLKEYLOGFILE: not set", "SSLKEYLOGFILE=");
        }
    }
}

#[test]
fn a_file_that_somebody_else_may_have_put_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("target"), "").unwrap();
    symlink(path("target"), path("link")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    let reader = nix::fcntl::open(&path("fifo"), nix::fcntl::OFlag::O_RDWR, Mode::empty()).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (file, reason) in [
        (path("link"), "ELOOP"),
        (path("fifo"), "not a regular file"),
        (dir.path().to_path_buf(), "EISDIR"),
        (path("no/where"), "ENOENT"),
    ] {
        let mut command = server_command(&taken.local_addr().unwrap().to_string(), &file, &["--keylog"]);
        let ended = run(&mut command, b"");
        assert_refused(&ended, &format!("key log {}: {reason}", file.display()), "SSLKEYLOGFILE");
    }
    drop(reader);
    assert_eq!(fs::read(path("target")).unwrap(), b"");
}

#[test]
fn the_file_is_for_its_owner_and_a_child_keeps_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let server = start(&file, &["--mode", "relay"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!server.log().contains("can be read by other users"), "{}", server.log());
    let _peers = [TlsPeer::join(&server), TlsPeer::join(&server)];
    for child in server.wait_for_children(2).into_iter().filter(|child| may_look_into(*child)) {
        let fds =
            fs::read_dir(format!("/proc/{child}/fd")).unwrap().map(|fd| fs::read_link(fd.unwrap().path()).unwrap());
        let (logs, others): (Vec<_>, Vec<_>) = fds.partition(|target| *target == file);
        assert_eq!((logs.len(), others.len()), (1, 5), "0, 1, 2 and two sockets: {others:?}");
    }
    drop(server);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    start(&file, &[]).wait_for_log("can be read by other users");
}

#[test]
fn everybody_is_warned_and_echo_stays_byte_exact() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let relay = start(&file, &["--mode", "relay"]);
    relay.wait_for_log(&format!("--keylog: whoever reads {} can decrypt", file.display()));
    for peer in [&mut TlsPeer::join(&relay), &mut TlsPeer::join(&relay)] {
        assert!(peer.line_with("주의").starts_with(NOTICE));
    }
    let echo = start(&file, &["--mode", "echo"]);
    echo.wait_for_log("WARN  [server");
    let echoed = run(&mut tls_client(&echo, &[]), b"abc");
    assert_eq!((echoed.text().as_str(), echoed.err.as_str()), ("abc", ""));
}

#[test]
fn our_client_writes_its_own_keys_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let server = tls_server(&["--mode", "echo"]);
    let ended = run(tls_client(&server, &["--keylog"]).env("SSLKEYLOGFILE", &file), b"abc");
    assert_eq!((ended.code(), ended.text().as_str()), (0, "abc"));
    assert!(ended.err.starts_with("경고: --keylog") && ended.err.contains(file.to_str().unwrap()), "{}", ended.err);
    assert_eq!(lines(&file).len(), 5);
    assert!(lines(&file).iter().any(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")));
}
