//! What is said of our own sockets is what ss says of them.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::process::Command;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, connect, getsockname, listen,
    send, setsockopt, socket, socketpair, sockopt,
};
use nix::sys::stat::fstat;
use sockstep::lesson::state::{State, in_full};
use support::{DEADLINE, eventually, run};

/// What ss says of a descriptor of this process.
struct Row {
    /// The words of [`State::brief`].
    brief: Vec<String>,
    /// Of an AF_UNIX socket: the numbers that stand behind the two names, in place of ports.
    inodes: Option<[u64; 2]>,
    /// What `-i` adds: `cwnd:10`
    info: Vec<String>,
}

impl Row {
    /// `ss FLAGS`; `-O` puts what `-i` adds on the row itself.
    fn of(socket: &impl AsFd, flags: &str) -> Option<Row> {
        let all = run(Command::new("ss").args(["-H", "-O", flags]), b"").text();
        let ours = format!("pid={},fd={})", std::process::id(), socket.as_fd().as_raw_fd());
        let row = all.lines().find(|row| row.contains(&ours))?;
        let (columns, info) = row.split_once("users:").unwrap();
        let split = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let (mut brief, info, mut inodes) = (split(columns), split(info), None);
        match &flags[..2] {
            "-x" => inodes = Some([7, 5].map(|n| brief.remove(n).parse().unwrap())),
            "-u" => brief.insert(0, "udp".into()), // ss leaves it out where all are of one kind
            _ => brief.insert(0, "tcp".into()),
        }
        Some(Row { brief, inodes, info })
    }

    fn info(&self, key: &str) -> Option<&str> {
        self.info.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
    }
}

/// In what the two disagree: empty when they say the same.
fn differences(state: &State, row: &Row) -> Vec<String> {
    let brief = state.brief();
    let ours: Vec<&str> = brief.split(' ').collect();
    assert_eq!(ours.len(), row.brief.len(), "{brief}, ss: {:?}", row.brief);
    let pairs = ours.into_iter().zip(&row.brief).filter(|(ours, theirs)| ours != theirs);
    pairs.map(|(ours, theirs)| format!("{ours}, ss: {theirs}")).collect()
}

/// Looks until both say the same: the kernel may be about to change something.
fn agrees_with_ss(socket: &impl AsFd, flags: &str) -> State {
    let until = Instant::now() + DEADLINE;
    loop {
        let state = State::of(socket.as_fd()).unwrap();
        let differences = match Row::of(socket, flags) {
            Some(row) => differences(&state, &row),
            None => vec!["ss does not know it".to_string()],
        };
        if differences.is_empty() {
            return state;
        }
        assert!(Instant::now() < until, "{}: {differences:?}", state.brief());
    }
}

const TCP: &str = "-tanip";
const UDP: &str = "-uanp";
const UNIX: &str = "-xanp";

/// The loopback addresses of this machine.
fn loopbacks() -> Vec<SocketAddr> {
    let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    if !has_ipv6 {
        eprintln!("without [::1]: this machine has no IPv6");
    }
    let all = ["127.0.0.1:0", "[::1]:0"].into_iter().take(if has_ipv6 { 2 } else { 1 });
    all.map(|addr| addr.parse().unwrap()).collect()
}

#[test]
fn a_listener_and_its_queue_are_what_ss_says() {
    for addr in loopbacks() {
        let listener = TcpListener::bind(addr).unwrap();
        listen(&listener, Backlog::new(3).unwrap()).unwrap();
        let mut waiting = Vec::new();
        for count in 0..3 {
            let state = agrees_with_ss(&listener, "-tlnp");
            assert_eq!((state.state, state.recv_q, state.send_q), ("LISTEN", Some(count), Some(3)));
            waiting.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        }
    }
}

#[test]
fn a_connection_is_what_ss_says_until_its_end() {
    for addr in loopbacks() {
        let listener = TcpListener::bind(addr).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        agrees_when(&client, "ESTAB", 0);
        client.write_all(b"hello").unwrap();
        agrees_when(&server, "ESTAB", 5);
        client.shutdown(Shutdown::Write).unwrap();
        agrees_when(&client, "FIN-WAIT-2", 0);
        agrees_when(&server, "CLOSE-WAIT", 6);
        server.read_exact(&mut [0; 3]).unwrap();
        agrees_when(&server, "CLOSE-WAIT", 3);
        assert_eq!(server.read_to_end(&mut Vec::new()).unwrap(), 2);
        agrees_when(&server, "CLOSE-WAIT", 0);
    }
}

/// Waits until this is what we say, then asks ss.
fn agrees_when(end: &TcpStream, state: &str, recv_q: u32) {
    eventually(state, || {
        let said = State::of(end.as_fd()).unwrap();
        (said.state, said.recv_q) == (state, Some(recv_q))
    });
    let agreed = agrees_with_ss(end, TCP);
    assert_eq!((agreed.state, agreed.recv_q), (state, Some(recv_q)));
}

#[test]
fn an_unread_fin_without_data_counts_as_in_ss() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut server = listener.accept().unwrap().0;
    client.shutdown(Shutdown::Write).unwrap();
    agrees_when(&server, "CLOSE-WAIT", 1);
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
    agrees_when(&server, "CLOSE-WAIT", 0);
}

#[test]
fn a_full_send_queue_is_as_long_as_ss_says() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _server = listener.accept().unwrap().0;
    client.set_nonblocking(true).unwrap();
    while client.write(&[0; 65536]).is_ok() {}
    assert!(agrees_with_ss(&client, TCP).send_q > Some(65536));
}

#[test]
fn a_connect_without_an_answer_is_what_ss_says() {
    for addr in loopbacks() {
        let listener = TcpListener::bind(addr).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let _queued = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let late = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        let _in_progress = match listener.local_addr().unwrap() {
            SocketAddr::V4(addr) => connect(late.as_raw_fd(), &SockaddrIn::from(addr)),
            SocketAddr::V6(addr) => connect(late.as_raw_fd(), &SockaddrIn6::from(addr)),
        };
        let state = agrees_with_ss(&late, TCP);
        assert_eq!((state.state, state.send_q), ("SYN-SENT", Some(1)));
    }
}

/// Bound to `::`, which takes IPv4 as well unless it is told otherwise.
fn bound_to_any(kind: SockType, v6_only: bool) -> OwnedFd {
    let fd = socket(AddressFamily::Inet6, kind, SockFlag::empty(), None).unwrap();
    setsockopt(&fd, sockopt::Ipv6V6Only, &v6_only).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn6::from("[::]:0".parse::<std::net::SocketAddrV6>().unwrap())).unwrap();
    fd
}

#[test]
fn the_ipv6_addresses_of_a_listener_for_both_families_are_written_as_in_ss() {
    if loopbacks().len() < 2 {
        return;
    }
    for (v6_only, any) in [(false, "*"), (true, "[::]")] {
        let listener = bound_to_any(SockType::Stream, v6_only);
        listen(&listener, Backlog::new(3).unwrap()).unwrap();
        let state = agrees_with_ss(&listener, TCP);
        let port = getsockname::<SockaddrIn6>(listener.as_raw_fd()).unwrap().port();
        assert_eq!((state.local.to_string(), state.peer.to_string()), (format!("{any}:{port}"), format!("{any}:*")));
        let udp = bound_to_any(SockType::Datagram, v6_only);
        assert!(agrees_with_ss(&udp, UDP).local.to_string().starts_with(any));
        if !v6_only {
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let server = TcpListener::from(listener).accept().unwrap().0;
            let state = agrees_with_ss(&server, TCP);
            assert_eq!(state.peer.to_string(), format!("[::ffff:127.0.0.1]:{}", client.local_addr().unwrap().port()));
        }
    }
}

#[test]
fn a_link_local_address_is_written_with_its_interface_as_in_ss() {
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let Some(line) = table.lines().find(|line| line.starts_with("fe80")) else {
        return eprintln!("skipped: this machine has no link-local address");
    };
    let columns: Vec<&str> = line.split_whitespace().collect();
    let ip = u128::from_str_radix(columns[0], 16).unwrap();
    let scope = u32::from_str_radix(columns[1], 16).unwrap();
    let addr = |port| std::net::SocketAddrV6::new(ip.into(), port, 0, scope);
    let listener = TcpListener::bind(addr(0)).unwrap();
    let state = agrees_with_ss(&listener, TCP);
    assert!(state.local.to_string().contains(&format!("]%{}:", columns[5])), "{}", state.brief());
    let client = TcpStream::connect(addr(listener.local_addr().unwrap().port())).unwrap();
    agrees_with_ss(&client, TCP);
    agrees_with_ss(&UdpSocket::bind(addr(0)).unwrap(), UDP);
}

#[test]
fn datagrams_wait_as_ss_says() {
    for addr in loopbacks() {
        let receiver = UdpSocket::bind(addr).unwrap();
        let sender = UdpSocket::bind(addr).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        assert_eq!(agrees_with_ss(&sender, UDP).state, "ESTAB");
        let empty = agrees_with_ss(&receiver, UDP);
        assert_eq!((empty.state, empty.recv_q), ("UNCONN", Some(0)));
        for datagram in [&b"hello"[..], b""] {
            sender.send(datagram).unwrap();
            agrees_with_ss(&receiver, UDP);
        }
        let both = agrees_with_ss(&receiver, UDP);
        assert!(both.recv_q > Some(5));
        receiver.recv(&mut [0; 9]).unwrap();
        let one = State::of(receiver.as_fd()).unwrap().recv_q;
        assert!(one > Some(0) && one <= both.recv_q, "ss may know of less: what is read and not yet given back");
        receiver.recv(&mut [0; 9]).unwrap();
        assert_eq!(agrees_with_ss(&receiver, UDP), empty);
    }
}

fn inode(socket: &impl AsFd) -> u64 {
    fstat(socket.as_fd()).unwrap().st_ino
}

#[test]
fn packets_in_a_pair_wait_as_ss_says() {
    for kind in [SockType::SeqPacket, SockType::Stream, SockType::Datagram] {
        let (one, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::empty()).unwrap();
        for packet in [&b"1234"[..], b"56"] {
            send(one.as_raw_fd(), packet, MsgFlags::empty()).unwrap();
        }
        assert!(agrees_with_ss(&one, UNIX).send_q > Some(6));
        let waiting = if kind == SockType::Datagram { 4 } else { 6 };
        assert_eq!(agrees_with_ss(&other, UNIX).recv_q, Some(waiting));
        let row = Row::of(&other, UNIX).unwrap();
        assert_eq!(row.inodes, Some([inode(&one), inode(&other)]));
        let table = in_full(other.as_fd()).join("\n");
        assert_eq!(table_value(&table, "inode"), inode(&other).to_string());
        drop(one);
        agrees_with_ss(&other, UNIX);
    }
}

#[test]
fn a_unix_socket_with_a_name_is_called_by_it_as_in_ss() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    assert_eq!(agrees_with_ss(&log, UNIX).local.to_string(), path.to_str().unwrap());
    let abstract_name = format!("sockstep-{}", std::process::id());
    let addr = unix::SocketAddr::from_abstract_name(&abstract_name).unwrap();
    let named = UnixDatagram::bind_addr(&addr).unwrap();
    assert_eq!(agrees_with_ss(&named, UNIX).local.to_string(), format!("@{abstract_name}"));
}

/// The value of a row of the table.
fn table_value(table: &str, label: &str) -> String {
    let row = table.lines().find_map(|row| row.strip_prefix(label)).unwrap_or_else(|| panic!("no {label}: {table}"));
    row.split_whitespace().next().unwrap().to_string()
}

#[test]
fn the_numbers_of_a_connection_are_those_of_ss() {
    for addr in loopbacks() {
        let listener = TcpListener::bind(addr).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _server = listener.accept().unwrap().0;
        client.write_all(b"hello").unwrap();
        eventually("agreement with ss", || {
            let (table, row) = (in_full(client.as_fd()).join("\n"), Row::of(&client, TCP).unwrap());
            let same = ["rtt", "cwnd", "mss"].iter().all(|key| row.info(key) == Some(&table_value(&table, key)));
            same && row.info("retrans").unwrap_or("0/0") == table_value(&table, "retrans") // ss leaves out 0/0
        });
    }
}

#[test]
fn whatever_is_not_as_ss_says_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let state = agrees_with_ss(&client, TCP);
    let row = Row::of(&client, TCP).unwrap();
    assert_eq!(differences(&state, &row), [""; 0]);
    let other = State::of(listener.as_fd()).unwrap();
    for wrong in [
        State { kind: "udp", ..state.clone() },
        State { state: "CLOSE-WAIT", ..state.clone() },
        State { recv_q: Some(1), ..state.clone() },
        State { send_q: None, ..state.clone() },
        State { local: other.local, ..state.clone() },
        State { peer: other.peer, ..state.clone() },
    ] {
        let differences = differences(&wrong, &row);
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert_eq!(wrong.changes_since(&state).len(), 1, "{}", wrong.brief());
    }
}
