//! Descriptors over fork(), close() and shutdown().

use super::*;

/// The calls of process 1 and its child 2, in order.
fn after(calls: &[(i32, &str)]) -> Sockets {
    let mut sockets = Sockets::default();
    for (record, (pid, text)) in calls.iter().enumerate() {
        let call = Call::parse(text).unwrap_or_else(|| panic!("{text}"));
        sockets.take_call(Process { machine: 0, pid: *pid }, record, &call);
    }
    sockets
}

#[test]
fn a_socket_ends_with_the_last_of_its_descriptors() {
    let calls = [
        (1, "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3"),
        (1, "socketpair(AF_UNIX, SOCK_SEQPACKET, 0, [4, 5]) = 0"),
        (1, "fork() = 2"),
        (1, "close(5) = 0"),
        (2, "close_range(3, 4, 0) = 0"),
        (1, "close(3) = 0"),
        (2, "close_range(5, 4294967295, 0) = 0"),
    ];
    let ends = |sockets: &Sockets| sockets.all.iter().map(|socket| socket.end).collect::<Vec<_>>();
    assert_eq!(ends(&after(&calls)), [Some(5), None, Some(6)]);
    assert_eq!(ends(&after(&calls[..5])), [None; 3], "the other process still has each of them");
}

#[test]
fn shutdown_ends_at_once_unless_it_is_for_reading() {
    let make = (1, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3");
    for (how, end) in [("SHUT_RD", None), ("SHUT_WR", Some(1)), ("SHUT_RDWR", Some(1))] {
        let sockets = after(&[make, (1, &format!("shutdown(3, {how}) = 0"))]);
        assert_eq!(sockets.all[0].end, end, "{how}");
    }
}

#[test]
fn what_was_only_looked_at_is_still_to_be_taken() {
    let calls = [
        (1, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3"),
        (1, "recv(3, \"\\26\", 1, MSG_PEEK) = 1"),
        (1, "recv(3, \"\\26\\3\", 9, 0) = 2"),
    ];
    let taken: Vec<u64> = after(&calls).all[0].taken.iter().map(|taken| taken.bytes).collect();
    assert_eq!(taken, [2]);
}

#[test]
fn a_copy_that_no_call_has_made_is_known_by_its_addresses() {
    let address = |port| format!("{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"127.0.0.1\")}}");
    let accept = format!("accept4(3, {}, [128 => 16], 0) = 6", address(4000));
    let bind = format!("bind(3, {}, 16) = 0", address(7000));
    let socket = "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3";
    let mut sockets = after(&[(1, socket), (1, &bind), (1, &accept), (1, "close(6) = 0")]);
    assert_eq!(sockets.all[1].end, Some(3));
    let words = |text: &str| text.to_string();
    let mut state = State {
        fd: 9,
        kind: words("tcp"),
        state: words("ESTAB"),
        recv_q: 3,
        send_q: 0,
        local: words("127.0.0.1:7000"),
        peer: words("127.0.0.1:4001"),
    };
    let who = Process { machine: 0, pid: 1 };
    let recv = Call::parse("recv(9, \"abc\", 9, 0) = 3").unwrap();
    for (peer, taken, end) in [("127.0.0.1:4001", 0, Some(3)), ("127.0.0.1:4000", 1, None)] {
        state.peer = words(peer);
        sockets.take_state(who, &state);
        sockets.take_call(who, 4, &recv);
        assert_eq!((sockets.all[1].taken.len(), sockets.all[1].end), (taken, end));
    }
}
