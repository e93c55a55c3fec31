//! A network of a test's own: loopback is exempt from some limits, and here this machine has other addresses too.

use std::net::{IpAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use super::{Peer, Server};

/// Set in the process that runs the test there.
const THERE: &str = "SOCKSTEP_TEST_NETWORK";

/// All of 192.0.2.0/24 and of 2001:db8::/32 (addresses for examples, RFC 5737 and 3849) are this machine.
const SET_UP: &str = "ip link set lo up && ip route add local 192.0.2.0/24 dev lo || exit 77
ip -6 route add local 2001:db8::/32 dev lo && echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind
exec \"$0\" --exact \"$1\" --nocapture";

/// Runs a test, by its name, again in another process that has such a network; with a word about it, does nothing where
/// the system gives none.
pub fn with_own_network(test: &str, body: impl FnOnce()) {
    if std::env::var_os(THERE).is_some() {
        return body();
    }
    let mut again = Command::new("unshare");
    again.args(["-Urn", "sh", "-c", SET_UP]).arg(std::env::current_exe().unwrap()).arg(test).env(THERE, "1");
    let output = again.output();
    let Some(output) =
        output.ok().filter(|output| !matches!(output.status.code(), Some(1 | 77) if output.stdout.is_empty()))
    else {
        return eprintln!("skipped: no network namespace to be had here");
    };
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{}{}", said[0], said[1]);
}

/// Connects from this address.
pub fn connect_from(from: &str, server: &Server) -> Peer {
    let from: IpAddr = from.parse().unwrap();
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let mut to = server.addr;
    to.set_ip(to.ip().to_canonical());
    let conn = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(conn.as_raw_fd(), &SockaddrStorage::from(std::net::SocketAddr::new(from, 0))).unwrap();
    connect(conn.as_raw_fd(), &SockaddrStorage::from(to)).unwrap();
    Peer::new(TcpStream::from(conn))
}
