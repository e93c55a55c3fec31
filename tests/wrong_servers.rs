//! The wrong servers are wrong: each shows its mistake to a probe written by hand, which the right one passes; and apart
//! from its mistake it works. So a grader that does not catch one of them is itself at fault.
#![allow(clippy::unwrap_used)]

#[path = "wrong_servers/caller.rs"]
mod caller;
#[path = "wrong_servers/echo.rs"]
mod echo;
#[path = "wrong_servers/relay.rs"]
mod relay;
mod support;
#[path = "wrong_servers/tls.rs"]
mod tls;
#[path = "wrong_servers/udp.rs"]
mod udp;
#[path = "support/wrong/mod.rs"]
mod wrong;

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use caller::Patience;
use support::{eventually, noise};
use wrong::{Echo, Kind, Relay, Tls, Udp, Wrong};

/// The same probe tells the wrong server from the right one.
fn told_apart<M: Copy + Debug>(
    wrong: &[M],
    right: &[M],
    kind: fn(M) -> Kind,
    shows: fn(M, SocketAddr, Patience) -> bool,
) {
    for mistake in wrong {
        let server = Wrong::start(kind(*mistake));
        assert!(shows(*mistake, server.addr, Patience::WITH_WRONG), "{mistake:?} does not show");
        for right in right {
            let server = Wrong::start(kind(*right));
            assert!(!shows(*mistake, server.addr, Patience::WITH_RIGHT), "{right:?} is taken for {mistake:?}");
        }
    }
}

#[test]
fn each_wrong_echo_server_shows_its_mistake() {
    told_apart(Echo::WRONG, Echo::RIGHT, Kind::Echo, echo::shows);
}

#[test]
fn each_wrong_relay_shows_its_mistake() {
    told_apart(Relay::WRONG, Relay::RIGHT, Kind::Relay, relay::shows);
}

#[test]
fn each_wrong_tls_server_shows_its_mistake() {
    told_apart(Tls::WRONG, &[Tls::Correct], Kind::Tls, tls::shows);
}

#[test]
fn each_wrong_udp_server_shows_its_mistake() {
    told_apart(Udp::WRONG, Udp::RIGHT, Kind::Udp, udp::shows);
}

/// An ordinary little dialogue: with Hangul, and for a relay with two clients.
fn talks(kind: Kind, addr: SocketAddr) -> bool {
    match kind {
        Kind::Echo(_) => echo::talks(addr),
        Kind::Relay(_) => relay::talks(addr),
        Kind::Tls(server) => tls::talks(addr, server),
        Kind::Udp(_) => udp::talks(addr),
    }
}

#[test]
fn right_servers_hold_an_ordinary_dialogue() {
    for kind in Kind::right() {
        assert!(talks(kind, Wrong::start(kind).addr), "{kind:?}");
    }
}

#[test]
fn right_servers_carry_much_and_keep_its_order() {
    let server = Wrong::start(Kind::Echo(Echo::Correct));
    let data = noise(3_000_000);
    assert!(caller::plain(server.addr).transfer(&data).unwrap() == data);
    for right in Relay::RIGHT {
        let server = Wrong::start(Kind::Relay(*right));
        assert!(relay::keeps_order(server.addr, 2000), "{right:?}");
    }
}

#[test]
fn wrong_servers_do_as_well_where_their_mistake_does_not_show() {
    // These show it in every dialogue.
    let at_once = [
        Kind::Echo(Echo::Greets),
        Kind::Relay(Relay::EchoesToSelfOnly),
        Kind::Relay(Relay::ForgetsNewlines),
        Kind::Tls(Tls::Plain),
    ];
    for kind in Kind::wrong().into_iter().filter(|kind| !at_once.contains(kind)) {
        assert!(talks(kind, Wrong::start(kind).addr), "{kind:?}");
    }
}

#[test]
fn a_server_that_is_dropped_leaves_no_connection_and_no_port() {
    for kind in Kind::right() {
        let server = Wrong::start(kind);
        let addr = server.addr;
        if matches!(kind, Kind::Udp(_)) {
            drop(server);
            eventually("the port", || UdpSocket::bind(addr).is_ok());
            continue;
        }
        let mut silent = caller::plain(addr);
        drop(server);
        assert!(silent.is_told_the_end(), "{kind:?}");
        drop(silent);
        eventually("the port", || TcpListener::bind(addr).is_ok());
    }
}

#[test]
fn every_server_has_its_place_in_the_lists() {
    let all: Vec<String> = Kind::right().iter().chain(&Kind::wrong()).map(|kind| format!("{kind:?}")).collect();
    assert_eq!(all.len(), Echo::ALL.len() + Relay::ALL.len() + Tls::ALL.len() + Udp::ALL.len());
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert_eq!(Kind::right().len(), 6);
}
