//! What is said of a socket through its life, look by look; tests/state.rs holds the looks against ss.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::*;
use sockstep::lesson::state::*;
use sockstep::lifecycle::{SocketOption, set_option};
use sockstep::text::width;
use support::eventually;

fn look(socket: &impl AsFd) -> State {
    State::of(socket.as_fd()).unwrap()
}

/// The kernel moves some states on by itself: looks until this one is there.
fn look_until(socket: &impl AsFd, wanted: impl Fn(&State) -> bool) -> State {
    let mut state = look(socket);
    eventually("the state", || {
        state = look(socket);
        wanted(&state)
    });
    state
}

fn unbound(family: AddressFamily, kind: SockType, flags: SockFlag) -> OwnedFd {
    socket(family, kind, flags, None).unwrap()
}

/// A connected pair: the client's end and the server's.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_listener_comes_into_being_and_its_queue_fills_and_empties() {
    let listener = unbound(AddressFamily::Inet, SockType::Stream, SockFlag::empty());
    let fresh = look(&listener);
    assert_eq!(fresh.brief(), "tcp CLOSE 0 0 0.0.0.0:* 0.0.0.0:*");
    bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let bound = look(&listener);
    let port = getsockname::<SockaddrIn>(listener.as_raw_fd()).unwrap().port();
    assert_eq!(bound.changes_since(&fresh), [format!("local 0.0.0.0:* -> 127.0.0.1:{port}")]);
    listen(&listener, Backlog::new(5).unwrap()).unwrap();
    let empty = look(&listener);
    assert_eq!(empty.changes_since(&bound), ["CLOSE -> LISTEN", "accept queue limit 5"]);
    assert_eq!(empty.brief(), format!("tcp LISTEN 0 5 127.0.0.1:{port} 0.0.0.0:*"));
    let _first = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let one = look_until(&listener, |state| state.recv_q == Some(1));
    assert_eq!(one.changes_since(&empty), ["accept queue 0 -> 1"]);
    let _second = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let two = look_until(&listener, |state| state.recv_q == Some(2));
    assert_eq!(two.changes_since(&one), ["accept queue 1 -> 2"]);
    let listener = TcpListener::from(listener);
    listener.accept().unwrap();
    assert_eq!(look(&listener).changes_since(&two), ["accept queue 2 -> 1"]);
    listen(&listener, Backlog::new(7).unwrap()).unwrap();
    assert_eq!(look(&listener).changes_since(&one), ["accept queue limit 5 -> 7"]);
    assert_eq!(look(&listener).changes_since(&look(&listener)), [""; 0]);
}

#[test]
fn bytes_that_wait_are_counted_until_they_are_read() {
    let (mut client, mut server) = connection();
    let before = look(&server);
    let (ours, theirs) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
    assert_eq!(before.brief(), format!("tcp ESTAB 0 0 {ours} {theirs}"));
    client.write_all("안녕".as_bytes()).unwrap();
    let after = look_until(&server, |state| state.recv_q != Some(0));
    assert_eq!(after.changes_since(&before), ["Recv-Q 0 -> 6"]);
    server.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(look(&server).changes_since(&after), ["Recv-Q 6 -> 2"]);
}

#[test]
fn bytes_that_the_peer_has_no_room_for_wait_in_the_send_queue() {
    let (mut client, _server) = connection();
    client.set_nonblocking(true).unwrap();
    let mut took = 0;
    let refused = std::iter::repeat_with(|| client.write(&[0; 65536])).find_map(|wrote| wrote.map(|n| took += n).err());
    assert_eq!(refused.unwrap().kind(), ErrorKind::WouldBlock);
    let state = look(&client);
    assert_eq!(state.recv_q, Some(0));
    assert!(state.send_q > Some(0) && state.send_q < Some(took as u32), "{} of {took}", state.brief());
}

#[test]
fn a_closed_peer_shows_in_the_states_of_both_ends() {
    let (client, server) = connection();
    let open = look(&server);
    client.shutdown(Shutdown::Write).unwrap();
    let half = look_until(&server, |state| state.recv_q == Some(1));
    assert_eq!(half.changes_since(&open), ["ESTAB -> CLOSE-WAIT", "Recv-Q 0 -> 1"], "ss counts an unread FIN");
    assert_eq!((&server).read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(look(&server).recv_q, Some(0));
    let waiting = look_until(&client, |state| state.state == "FIN-WAIT-2");
    let peer = server.local_addr().unwrap();
    drop(server);
    let over = look_until(&client, |state| state.state == "CLOSE");
    let said = [String::from("FIN-WAIT-2 -> CLOSE"), format!("peer {peer} -> 0.0.0.0:*")];
    assert_eq!(over.changes_since(&waiting), said, "the TIME-WAIT that ss shows belongs to nobody");
}

#[test]
fn a_connect_without_an_answer_knows_whom_it_has_asked() {
    let listener = unbound(AddressFamily::Inet, SockType::Stream, SockFlag::empty());
    bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let addr: SockaddrIn = getsockname(listener.as_raw_fd()).unwrap();
    let ask = || {
        let client = unbound(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK);
        let _in_progress = connect(client.as_raw_fd(), &addr);
        client
    };
    let _queued = ask();
    look_until(&listener, |state| state.recv_q == Some(1)); // more than the limit: whoever comes now is not answered
    let late = ask();
    let state = look(&late);
    assert_eq!((state.state, state.send_q, state.peer.to_string()), ("SYN-SENT", Some(1), addr.to_string()));
}

#[test]
fn a_datagram_waits_in_memory_until_it_is_read() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, from) = (receiver.local_addr().unwrap(), sender.local_addr().unwrap());
    let empty = look(&receiver);
    assert_eq!(empty.brief(), format!("udp UNCONN 0 0 {to} 0.0.0.0:*"));
    let unconnected = look(&sender);
    sender.connect(to).unwrap();
    assert_eq!(
        look(&sender).changes_since(&unconnected),
        ["UNCONN -> ESTAB".to_string(), format!("peer 0.0.0.0:* -> {to}")]
    );
    assert_eq!(look(&sender).local.to_string(), from.to_string());
    sender.send(b"hello").unwrap();
    let waiting = look_until(&receiver, |state| state.recv_q != Some(0));
    assert!(waiting.recv_q > Some(5), "the memory, not the bytes: {}", waiting.brief());
    assert_eq!(next_datagram(&receiver), ["5"]);
    receiver.recv(&mut [0; 9]).unwrap();
    assert_eq!((look(&receiver), next_datagram(&receiver)), (empty, vec!["0".to_string()]));
}

/// The row of the table that says how long the next datagram is.
fn next_datagram(socket: &impl AsFd) -> Vec<String> {
    let rows = in_full(socket.as_fd());
    let row = rows.iter().filter_map(|row| row.strip_prefix("다음"));
    row.map(|row| row.split_whitespace().next().unwrap().to_string()).collect()
}

#[test]
fn packets_wait_in_a_pair() {
    let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap();
    assert_eq!(look(&child).brief(), "u_seq ESTAB 0 0 * *");
    send(parent.as_raw_fd(), b"1234", MsgFlags::empty()).unwrap();
    send(parent.as_raw_fd(), b"56", MsgFlags::empty()).unwrap();
    assert_eq!(look(&child).recv_q, Some(6));
    assert!(look(&parent).send_q > Some(6));
    recv(child.as_raw_fd(), &mut [0; 9], MsgFlags::empty()).unwrap();
    assert_eq!(look(&child).recv_q, Some(2));
    drop(parent);
    assert_eq!(look(&child).brief(), "u_seq ESTAB 2 0 * *");
}

#[test]
fn a_unix_socket_is_called_by_its_path_and_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    assert_eq!(look(&log).brief(), format!("u_dgr UNCONN 0 0 {} *", path.display()));
    let program = std::os::unix::net::UnixDatagram::unbound().unwrap();
    program.connect(&path).unwrap();
    assert_eq!(look(&program).brief(), format!("u_dgr ESTAB 0 0 * {}", path.display()));
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("listener")).unwrap();
    assert_eq!(look(&listener).brief(), format!("u_str LISTEN … … {}/listener *", dir.path().display()));
}

#[test]
fn what_is_no_socket_or_is_closed_has_no_state() {
    let (reader, _writer) = nix::unistd::pipe().unwrap();
    assert_eq!(State::of(reader.as_fd()), None);
    assert_eq!(in_full(reader.as_fd()), [""; 0]);
    let netlink = unbound(AddressFamily::Netlink, SockType::Raw, SockFlag::empty());
    assert_eq!(State::of(netlink.as_fd()), None, "no socket of the lesson");
    let raised = nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(900)).unwrap();
    nix::unistd::close(raised).unwrap();
    assert!(all_sockets().iter().all(|(fd, _)| *fd != raised && *fd != reader.as_raw_fd()));
}

#[test]
fn an_error_that_waits_on_a_socket_still_waits_after_a_look() {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    client.connect(nobody).unwrap();
    client.send(b"anybody?").unwrap(); // on loopback the ICMP error has come when send() returns
    let _looks = (look(&client), in_full(client.as_fd()), all_sockets());
    assert_eq!(client.take_error().unwrap().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn every_socket_of_the_process_is_found_by_its_number() {
    let (client, server) = connection();
    let all = all_sockets();
    for socket in [&client, &server] {
        let found = all.iter().find(|(fd, _)| *fd == socket.as_raw_fd()).unwrap();
        assert_eq!(found.1, look(socket));
    }
    assert!(all.is_sorted_by_key(|(fd, _)| *fd));
}

#[test]
fn another_socket_under_an_old_number_is_told_as_a_whole() {
    let tcp = unbound(AddressFamily::Inet, SockType::Stream, SockFlag::empty());
    let udp = unbound(AddressFamily::Inet, SockType::Datagram, SockFlag::empty());
    let said = ["tcp CLOSE 0 0 0.0.0.0:* 0.0.0.0:* -> udp UNCONN 0 0 0.0.0.0:* 0.0.0.0:*"];
    assert_eq!(look(&udp).changes_since(&look(&tcp)), said);
}

#[test]
fn each_value_stands_beside_its_source() {
    let (client, _server) = connection();
    client.set_nodelay(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let rows = in_full(client.as_fd());
    let columns = |text: &str| text.chars().map(width).sum::<usize>();
    for (label, value, whence) in [
        ("종류", "tcp", "getsockopt(SO_PROTOCOL) = 6"),
        ("상태", "ESTAB", "getsockopt(TCP_INFO).tcpi_state"),
        ("Recv-Q", "0", "ioctl(SIOCINQ)"),
        ("Send-Q", "0", "ioctl(SIOCOUTQ)"),
        ("로컬", &client.local_addr().unwrap().to_string(), "getsockname()"),
        ("상대", &client.peer_addr().unwrap().to_string(), "getpeername()"),
        ("옵션", "TCP_NODELAY=1", "getsockopt()"),
        ("", "O_NONBLOCK FD_CLOEXEC", "fcntl(F_GETFL), fcntl(F_GETFD)"),
    ] {
        let row = rows.iter().find(|row| row.ends_with(whence) && row.starts_with(label)).unwrap();
        assert_eq!(row.split(whence).next().unwrap().trim_start_matches(label).trim(), value, "{row}");
        assert_eq!(columns(row.split(whence).next().unwrap()), 33, "{row}");
    }
}

#[test]
fn every_option_that_the_program_sets_is_in_the_table() {
    use SocketOption::*;
    for (family, kind, options) in [
        (
            AddressFamily::Inet,
            SockType::Stream,
            &[ReuseAddr, NoDelay, KeepAlive, KeepIdle, SendBuffer, ReceiveBuffer][..],
        ),
        (AddressFamily::Inet, SockType::Datagram, &[ReuseAddr, PacketInfo, Errors, SendBuffer, ReceiveBuffer]),
        (AddressFamily::Inet6, SockType::Datagram, &[ReuseAddr, PacketInfo6, Errors6, SendBuffer, ReceiveBuffer]),
    ] {
        let socket = unbound(family, kind, SockFlag::empty());
        for option in options {
            let before = in_full(socket.as_fd());
            // One that is a number of seconds or bytes takes 10,000, a switch may not.
            let set = [10_000, 1].map(|value| set_option(socket.as_fd(), *option, value));
            assert!(set.iter().any(|result| result.is_ok()), "{option:?}: {set:?}");
            assert_ne!(in_full(socket.as_fd()), before, "{option:?} does not show");
        }
    }
}
