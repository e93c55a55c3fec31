//! Who may come in by address: `--allow`, over IPv4, IPv6, and IPv4 that comes in over IPv6.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use support::tls::{TlsPeer, assert_refused, tls_client};
use support::*;

/// Connects from 127.0.0.`last`: on Linux all of 127.0.0.0/8 is this machine.
fn connect_from(last: u8, server: &Server) -> Peer {
    network::connect_from(&format!("127.0.0.{last}"), server)
}

fn assert_gets_in(mut peer: Peer) {
    peer.send("안녕\n");
    assert_eq!(peer.line(), "안녕");
}

fn assert_turned_away(mut peer: Peer, from: &str) {
    assert_eq!(peer.rest(), format!("! 이 서버는 {from}에서 오는 접속을 받지 않습니다.\n"));
}

#[test]
fn only_who_is_on_the_list_gets_in() {
    let server = Server::start(&["--allow", "127.0.0.2,127.0.0.4/31", "--allow", "127.0.0.99/28"]);
    for last in [2, 4, 5, 96, 111] {
        assert_gets_in(connect_from(last, &server));
    }
    for last in [1, 3, 6, 95, 112] {
        assert_turned_away(connect_from(last, &server), &format!("127.0.0.{last}"));
    }
    server.wait_for_log("refused 127.0.0.1:");
}

#[test]
fn without_a_list_everybody_gets_in() {
    let server = Server::start(&[]);
    [1, 2, 200].into_iter().for_each(|last| assert_gets_in(connect_from(last, &server)));
}

#[test]
fn a_stranger_costs_no_child_and_no_seat() {
    let server = Server::start(&["--max-clients", "1", "--allow", "127.0.0.2"]);
    assert_turned_away(connect_from(1, &server), "127.0.0.1");
    assert_gets_in(connect_from(2, &server));
    server.wait_for_children(0);
    let mut first = connect_from(2, &server);
    first.send("a\n");
    assert_eq!(first.line(), "a");
    assert_turned_away(connect_from(1, &server), "127.0.0.1");
    assert!(connect_from(2, &server).rest().starts_with("! 자리가 없습니다."));
    // Numbers are given to connections that got a child: the strangers have none.
    server.wait_for_log("c2 127.0.0.2:");
    assert!(!server.log().contains("c3 "), "{}", server.log());
}

#[test]
fn a_stranger_who_has_sent_much_still_reads_why() {
    let server = Server::start(&["--allow", "127.0.0.2"]);
    for _ in 0..10 {
        let mut peer = connect_from(1, &server);
        peer.send(noise(200_000));
        assert_turned_away(peer, "127.0.0.1");
    }
}

#[test]
fn a_crowd_of_strangers_is_one_log_line_a_second_with_a_count() {
    let server = Server::start(&["--allow", "127.0.0.2"]);
    let began = Instant::now();
    for _ in 0..200 {
        assert_turned_away(connect_from(1, &server), "127.0.0.1");
    }
    let seconds = began.elapsed().as_secs() as usize;
    server.wait_for_log("not in --allow");
    let lines = server.log().matches("not in --allow").count();
    assert!((1..=seconds + 2).contains(&lines), "{lines} lines in {seconds} s");
    // The next line, whenever its second comes, tells how many had none.
    eventually("a line with a count", || {
        assert_turned_away(connect_from(1, &server), "127.0.0.1");
        server.log().lines().any(|line| line.contains("not in --allow") && !line.contains("(0 more refused)"))
    });
}

#[test]
fn under_tls_a_stranger_gets_an_alert() {
    let server = tls_server(&["--allow", "127.0.0.2"]);
    assert_refused(&run(&mut tls_client(&server, &[]), b"hello\n"), "alert access denied", "주소");
    let server = tls_server(&["--allow", "127.0.0.0/8"]);
    let mut peer = TlsPeer::connect(&server);
    peer.send("a\n");
    assert_eq!(peer.line(), "a");
}

#[test]
fn ipv6_has_lists_of_its_own() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    for (list, allowed) in [("::1", true), ("::/64", true), ("2001:db8::/32", false), ("0.0.0.0/0", false)] {
        let server = Server::start_on("[::1]:0", &["--allow", list]);
        if allowed {
            assert_gets_in(server.connect());
        } else {
            assert_turned_away(server.connect(), "::1");
        }
    }
}

#[test]
fn an_ipv4_peer_of_an_ipv6_listener_is_an_ipv4_peer() {
    let mapped = "[::ffff:127.0.0.1]:0";
    if TcpListener::bind(mapped).is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let server = Server::start_on(mapped, &["--allow", "127.0.0.2"]);
    assert!(matches!(server.addr, SocketAddr::V6(_)));
    assert_gets_in(connect_from(2, &server));
    assert_turned_away(connect_from(1, &server), "127.0.0.1");
    server.wait_for_log("refused [::ffff:127.0.0.1]:");
}
