//! Stage 1: every byte comes back unchanged.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::io::Read;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;
use support::*;

/// Sends `data` and half-closes while reading; returns what came until the end of the stream.
fn echo(peer: Peer, data: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        let mut writer = Peer::new(peer.stream.try_clone().unwrap());
        scope.spawn(move || {
            writer.send(data);
            writer.half_close();
        });
        let (mut all, mut reader) = (Vec::with_capacity(data.len()), peer.stream);
        reader.read_to_end(&mut all).unwrap();
        all
    })
}

fn assert_same(got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len(), "length");
    assert!(got == want, "the bytes differ");
}

#[test]
fn every_byte_comes_back_and_then_the_end() {
    let server = Server::start(&["--mode", "echo"]);
    for len in [0, 1, 3, 100_000, 3_000_000, 64_000_000] {
        let data = noise(len);
        assert_same(&echo(server.connect(), &data), &data);
    }
}

#[test]
fn every_byte_comes_back_over_tls_with_ncat() {
    let server = tls_server(&["--mode", "echo"]);
    for len in [3, 100_000, 3_000_000] {
        let data = noise(len);
        let port = server.port().to_string();
        let echoed = run(Command::new("ncat").args(["--ssl", "127.0.0.1", &port]), &data);
        assert_same(&echoed.out, &data);
    }
}

#[test]
fn foreign_clients_get_their_bytes_back() {
    let server = Server::start(&[]);
    let (data, port) = (noise(3_000_000), server.port().to_string());
    assert_same(&run(Command::new("ncat").args(["127.0.0.1", &port]), &data).out, &data);
    let socat = run(Command::new("socat").args(["-t10", "-", &format!("TCP:127.0.0.1:{port}")]), &data);
    assert_same(&socat.out, &data);
}

#[test]
fn single_bytes_come_back_one_by_one() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    for byte in 0..=255 {
        peer.send([byte]);
        let mut back = [0];
        peer.stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [byte]);
    }
}

#[test]
fn ipv6_works_alike() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let server = Server::start_on("[::1]:0", &[]);
    assert!(server.addr.is_ipv6());
    assert_same(&echo(server.connect(), b"six\n"), b"six\n");
}

#[test]
fn a_peer_that_does_not_read_slows_itself_alone_in_constant_memory() {
    let server = Server::start(&[]);
    let mut lazy = server.connect();
    let data = noise(64_000_000);
    let sent = lazy.send_until_full(&data);
    assert!(sent < data.len(), "backpressure must come before {sent} bytes");
    let child = server.wait_for_children(1)[0];
    assert!(proc_kb(child, "smaps_rollup", "Private_Dirty:") < 1024);

    let other = noise(3_000_000);
    assert_same(&echo(server.connect(), &other), &other);

    lazy.half_close();
    let mut back = Vec::new();
    lazy.stream.read_to_end(&mut back).unwrap();
    assert_same(&back, &data[..sent]);
}

#[test]
fn a_silent_neighbour_and_a_reset_one_disturb_nobody() {
    let server = Server::start(&[]);
    let _silent = server.connect();
    let mut rude = server.connect();
    rude.send("half a");
    rude.reset();
    server.wait_for_log("client reset the connection");
    assert_same(&echo(server.connect(), b"still here\n"), b"still here\n");
}

#[test]
fn an_idle_client_is_sent_away() {
    let server = Server::start(&["--idle-timeout", "0.2"]);
    let mut peer = server.connect();
    assert_eq!(peer.rest(), "");
    server.wait_for_log("idle for too long");
}

#[test]
fn without_fork_one_is_served_at_a_time_in_the_parent() {
    let mut server = Server::start(&["--no-fork"]);
    let mut first = server.connect();
    first.send("first\n");
    assert_eq!(first.line(), "first");
    let mut second = server.connect();
    second.send("second\n");
    assert_eq!(server.children(), []);
    drop(first);
    assert_eq!(second.line(), "second");
    assert_eq!(server.children(), []);
    server.signal(Signal::SIGTERM);
    assert_eq!(second.rest(), "");
    assert_eq!(server.wait().code(), Some(0));
}
