//! Limits of who may come in, each at its edge: connections of one source, unfinished TLS handshakes, refusals on their way.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::network::{connect_from, with_own_network};
use support::tls::{TlsPeer, assert_refused, tls_client};
use support::*;

/// A fatal alert, access_denied, and nothing before or after it.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

fn tls_server_on(listen: &str, args: &[&str]) -> Server {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    Server::start_on(listen, &[&["--tls", "--cert", &pem, "--key", &key], args].concat())
}

/// What an echo, or nothing but its refusal, says to a newcomer who says a line.
fn answer(mut peer: Peer) -> (Peer, String) {
    peer.send("안녕\n");
    let line = peer.line();
    (peer, line)
}

fn assert_gets_in(peer: Peer) -> Peer {
    let (peer, line) = answer(peer);
    assert_eq!(line, "안녕");
    peer
}

fn assert_crowded(peer: Peer, source: &str) {
    let (mut peer, line) = answer(peer);
    assert_eq!(line, format!("! {source}에서는 더 접속할 수 없습니다. 한 주소에서 동시에 2명까지 접속할 수 있습니다."));
    assert_eq!(peer.rest(), "");
}

/// Finishes its handshake, and has heard from the server since.
fn finished(peer: Peer) -> TlsPeer {
    let mut inside = TlsPeer::over(peer.stream);
    inside.send("안녕\n");
    inside.line();
    inside
}

/// Everything that the server has to say to a TLS client that says nothing.
fn words_to_silence(mut peer: Peer) -> Vec<u8> {
    let mut words = Vec::new();
    peer.stream.read_to_end(&mut words).unwrap();
    words
}

#[test]
fn a_source_has_its_number_of_connections_and_not_one_more() {
    with_own_network("a_source_has_its_number_of_connections_and_not_one_more", || {
        let server = Server::start_on("192.0.2.1:0", &["--max-per-source", "2"]);
        let first = assert_gets_in(connect_from("192.0.2.7", &server));
        let _second = assert_gets_in(connect_from("192.0.2.7", &server));
        assert_crowded(connect_from("192.0.2.7", &server), "192.0.2.7");
        let _neighbour = assert_gets_in(connect_from("192.0.2.8", &server));
        server.wait_for_log("2 clients of 192.0.2.7 are here already (0 more refused)");
        drop(first);
        server.wait_for_children(2);
        let _third = assert_gets_in(connect_from("192.0.2.7", &server));
        assert_crowded(connect_from("192.0.2.7", &server), "192.0.2.7");
    });
}

#[test]
fn of_ipv6_addresses_the_first_64_bits_count() {
    with_own_network("of_ipv6_addresses_the_first_64_bits_count", || {
        if TcpListener::bind("[2001:db8::1]:0").is_err() {
            return eprintln!("skipped: this machine has no IPv6");
        }
        let server = Server::start_on("[2001:db8::1]:0", &["--max-per-source", "2"]);
        let _in = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"].map(|from| assert_gets_in(connect_from(from, &server)));
        assert_crowded(connect_from("2001:db8:0:1::3", &server), "2001:db8:0:1::/64");
        let _neighbour = assert_gets_in(connect_from("2001:db8:0:2::1", &server));
    });
}

#[test]
fn an_ipv4_source_of_an_ipv6_listener_is_an_ipv4_source() {
    with_own_network("an_ipv4_source_of_an_ipv6_listener_is_an_ipv4_source", || {
        if TcpListener::bind("[::ffff:192.0.2.1]:0").is_err() {
            return eprintln!("skipped: this machine has no IPv6");
        }
        let server = Server::start_on("[::ffff:192.0.2.1]:0", &["--max-per-source", "2"]);
        let _in = [(); 2].map(|()| assert_gets_in(connect_from("192.0.2.7", &server)));
        assert_crowded(connect_from("192.0.2.7", &server), "192.0.2.7");
        // Were they all in ::ffff:0:0/64, this one would be the third.
        let _neighbour = assert_gets_in(connect_from("192.0.2.8", &server));
    });
}

/// A full source that refuses is a crowd in the log, too.
#[test]
fn a_flood_from_one_source_is_one_log_line_a_second_with_a_count() {
    with_own_network("a_flood_from_one_source_is_one_log_line_a_second_with_a_count", || {
        let server = tls_server_on("192.0.2.1:0", &["--max-per-source", "1"]);
        let _only = connect_from("192.0.2.7", &server);
        server.wait_for_children(1);
        let began = Instant::now();
        for _ in 0..200 {
            assert_eq!(words_to_silence(connect_from("192.0.2.7", &server)), ACCESS_DENIED);
        }
        let seconds = began.elapsed().as_secs() as usize;
        let lines = server.log().matches("clients of 192.0.2.7 are here already").count();
        assert!((1..=seconds + 2).contains(&lines), "{lines} lines in {seconds} s");
        eventually("a line with a count", || {
            drop(words_to_silence(connect_from("192.0.2.7", &server)));
            server.log().lines().any(|line| line.contains("are here already") && !line.contains("(0 more refused)"))
        });
    });
}

#[test]
fn so_many_handshakes_may_be_unfinished_and_not_one_more() {
    with_own_network("so_many_handshakes_may_be_unfinished_and_not_one_more", || {
        for mode in ["echo", "relay"] {
            let server = tls_server_on("192.0.2.1:0", &["--mode", mode, "--max-handshakes", "2"]);
            let [first, second] = [1, 2].map(|count| {
                let peer = server.connect();
                server.wait_for_children(count);
                peer
            });
            assert_eq!(
                words_to_silence(connect_from("192.0.2.8", &server)),
                ACCESS_DENIED,
                "whoever comes, from anywhere"
            );
            server.wait_for_log("2 handshakes are not finished (--max-handshakes 2:100:2) (0 more refused)");
            assert_refused(
                &run(&mut tls_client(&server, &["--server-name", "127.0.0.1"]), b""),
                "alert access denied",
                "잠시",
            );

            // Who has finished makes room, although he stays.
            let _first = finished(first);
            let _third = finished(server.connect());
            // And who goes without having finished.
            let _waiting = server.connect();
            server.wait_for_children(4);
            assert_eq!(words_to_silence(server.connect()), ACCESS_DENIED);
            drop(second);
            server.wait_for_children(3);
            finished(server.connect());
        }
    });
}

/// However a handshake ends, it is counted no more.
#[test]
fn a_handshake_that_fails_or_is_killed_gives_its_place_back() {
    with_own_network("a_handshake_that_fails_or_is_killed_gives_its_place_back", || {
        let server = tls_server_on("192.0.2.1:0", &["--max-handshakes", "1"]);
        let mut wrong = server.connect();
        wrong.send(b"\x16\x03\x01\0\x04oops");
        drop(words_to_silence(wrong));
        server.wait_for_log(" s: TLS handshake failed");
        let orphan = server.connect();
        let child = server.wait_for_children(1)[0];
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        drop(words_to_silence(orphan));
        server.wait_for_log("killed by SIGKILL");
        finished(server.connect());

        let hasty = tls_server_on("192.0.2.1:0", &["--max-handshakes", "1", "--handshake-timeout", "0.2"]);
        for count in 1..=2 {
            drop(words_to_silence(hasty.connect()));
            eventually("its end", || hasty.log().matches("TLS handshake took too long").count() == count);
        }
        let refused = |server: &Server| server.log().contains("refused");
        assert!(!refused(&server) && !refused(&hasty), "{}{}", server.log(), hasty.log());
    });
}

/// Half of the time; that a hundred throws are all alike would be a wonder.
#[test]
fn between_start_and_full_chance_decides() {
    with_own_network("between_start_and_full_chance_decides", || {
        let server = tls_server_on("192.0.2.1:0", &["--max-handshakes", "1:50:1000"]);
        let _unfinished = server.connect();
        server.wait_for_children(1);
        let words = (0..100).map(|_| {
            let peer = server.connect();
            let _ = peer.stream.shutdown(Shutdown::Write); // no handshake comes
            words_to_silence(peer)
        });
        let (refused, let_in): (Vec<_>, Vec<_>) = words.partition(|words| words == &ACCESS_DENIED);
        assert!(!refused.is_empty() && !let_in.is_empty(), "{} refused, {} let in", refused.len(), let_in.len());
        assert!(let_in.iter().all(Vec::is_empty), "{let_in:?}");
    });
}

/// The defaults, at their worst: all are there before one of them has finished, and all have the address of the NAT. (But
/// for the time: on a busy machine it takes long until all are there.)
#[test]
fn a_class_of_500_that_arrives_at_once_from_behind_one_address_gets_in() {
    with_own_network("a_class_of_500_that_arrives_at_once_from_behind_one_address_gets_in", || {
        let server = tls_server_on("192.0.2.1:0", &["--handshake-timeout", "600"]);
        let class: Vec<Peer> = (0..500).map(|_| server.connect()).collect();
        server.wait_for_children(500);
        let _some = class.into_iter().step_by(25).map(finished).collect::<Vec<_>>();
        assert!(!server.log().contains("refused"), "{}", server.log());
    });
}

#[test]
fn this_machine_itself_is_not_counted() {
    let server = tls_server(&["--max-per-source", "1", "--max-handshakes", "1"]);
    let _unfinished = [(); 3].map(|()| server.connect());
    server.wait_for_children(3);
    let _inside = [(); 3].map(|()| finished(server.connect()));
    assert!(!server.log().contains("refused"), "{}", server.log());
}

/// A refused newcomer who does not close is waited for, but only so many.
#[test]
fn refusals_on_their_way_hold_few_descriptors() {
    let server = Server::start(&["--max-clients", "1"]);
    let _only = assert_gets_in(server.connect());
    let before = server.open_fds();
    let refused: Vec<Peer> = (0..60)
        .map(|_| {
            let mut peer = server.connect();
            assert!(peer.line().starts_with("! 자리가 없습니다."));
            peer
        })
        .collect();
    let now = server.open_fds();
    assert!(now <= before + 16 + 1, "{now} after {before}"); // the last one may still be in its hands
    drop(refused);
    eventually("the end of all refusals", || server.open_fds() == before);
}
