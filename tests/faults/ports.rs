//! A port that is taken, and free again.

use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;

use super::support::daemon::own_address;
use super::support::holdings::*;
use super::support::*;

#[test]
fn a_port_that_is_taken_is_left_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let failed = run(Command::new(BIN).args(["server", "--listen", &addr]), b"");
    assert_eq!(failed.code(), 1);
    assert!(
        failed.err.contains(&format!("sockstep: bind({addr}): EADDRINUSE (Address already in use)")),
        "{}",
        failed.err
    );
    assert!(failed.err.contains("힌트: "), "{}", failed.err);
}

#[test]
fn a_port_that_is_free_again_is_taken_at_once_whoever_had_it() {
    // An address that is nobody else's: no other test gets the port while it is free.
    let mut first = Server::start_on(&own_address(0).to_string(), &[]);
    let addr = first.addr.to_string();
    let second = || run(Command::new(BIN).args(["server", "--listen", &addr]), b"");
    let before = Before::of(first.pid());
    for _ in 0..3 {
        let refused = second();
        assert_eq!((refused.code(), refused.text().as_str()), (1, ""), "{}", refused.err);
        assert!(refused.err.contains("EADDRINUSE"), "{}", refused.err);
    }
    let mut peer = first.connect();
    peer.send("아직\n");
    assert_eq!(peer.line(), "아직");
    drop(peer);
    before.is_back(KEPT_KB);
    // Ended well, and killed: with connections open, which stay in TIME-WAIT.
    for ending in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut peer = first.connect();
        peer.send("a\n");
        assert_eq!(peer.line(), "a");
        first.signal(ending);
        assert_eq!(first.wait().code(), (ending == Signal::SIGTERM).then_some(0));
        first = Server::start_on(&addr, &[]);
        assert_eq!(first.addr.to_string(), addr);
    }
    // A stranger's listener, which goes.
    drop(first);
    let stranger = TcpListener::bind(&addr).unwrap();
    assert_eq!(second().code(), 1);
    drop(stranger);
    Server::start_on(&addr, &[]);
}
