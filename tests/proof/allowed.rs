//! Where the trace and strace may differ, and why. Nowhere else.
//!
//! The notes quote [`ALLOWED`]. Each row holds an example that a test holds together: what the
//! trace shows, and what strace shows for it. What is not in this table is a lie of the trace.

use std::collections::BTreeSet;

use super::Entry;
use super::line::{Argument, Call, Piece};

/// One row: an example of both sides (empty: that side shows nothing), and the reason.
#[derive(Debug)]
pub struct Allowed {
    pub trace: &'static str,
    pub strace: &'static str,
    pub korean: &'static str,
    pub english: &'static str,
}

/// All that may differ. First the renamings, then what only one side shows, then how arguments are written.
pub const ALLOWED: [Allowed; 13] = [
    Allowed {
        trace: r#"recv(6, "hi\n", 65536, 0) = 3"#,
        strace: r#"recvfrom(6, "\x68\x69\x0a", 65536, 0, NULL, NULL) = 3"#,
        korean: "커널에는 recv()라는 시스템 호출이 없습니다. C 라이브러리의 recv()는 주소 자리에 NULL을 넣어 recvfrom()을 부릅니다.",
        english: "The kernel has no recv(): the C library makes it a recvfrom() without an address.",
    },
    Allowed {
        trace: r#"send(6, "hi\n", 3, MSG_NOSIGNAL) = 3"#,
        strace: r#"sendto(6, "\x68\x69\x0a", 3, MSG_NOSIGNAL, NULL, 0) = 3"#,
        korean: "send()도 시스템 호출이 아닙니다. C 라이브러리가 주소 없이 sendto()를 부릅니다.",
        english: "Nor is send() a system call: the C library makes it a sendto() without an address.",
    },
    Allowed {
        trace: "fork() = 4130",
        strace: "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f48f5fb2390) = 4130",
        korean: "C 라이브러리의 fork()는 시스템 호출 clone()을 부릅니다. 끝나면 SIGCHLD를 보내는 새 프로세스가 생깁니다.",
        english: "The C library's fork() is a clone() of a process that sends SIGCHLD when it ends.",
    },
    Allowed {
        trace: "fork() = 0",
        strace: "",
        korean: "자식에서도 fork()가 0을 돌려주며 끝나지만, strace는 부모 쪽의 clone()만 보여 줍니다.",
        english: "In the child fork() returns 0; strace shows the clone() in the parent only.",
    },
    Allowed {
        trace: "",
        strace: "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD, exit_signal=0, stack_size=0x1fff00} => {parent_tid=[4201]}, 88) = 4201",
        korean: "CLONE_THREAD가 있는 clone()은 같은 프로세스 안에 스레드를 만들므로 fork()가 아닙니다.",
        english: "A clone() with CLONE_THREAD makes a thread of the same process and is no fork().",
    },
    Allowed {
        trace: "",
        strace: "close(5) = 0",
        korean: "소켓이 아닌 디스크립터(파일, 파이프, epoll, signalfd)를 읽고 쓰고 닫는 호출은 트레이스에 나오지 않습니다.",
        english: "What is done with descriptors that are no sockets (files, pipes, epoll, signalfd) is not in the trace.",
    },
    Allowed {
        trace: "",
        strace: "poll([{fd=3, events=POLLIN}], 1, -1) = 1",
        korean: "기다리는 호출(poll, ppoll, epoll)은 데이터를 옮기지도 소켓을 바꾸지도 않으므로 트레이스에 나오지 않습니다.",
        english: "Calls that wait (poll, ppoll, epoll) neither move data nor change a socket, and are not in the trace.",
    },
    Allowed {
        trace: "",
        strace: "fcntl(3, F_GETFD) = 0x1 (flags FD_CLOEXEC)",
        korean: "fcntl()은 소켓의 상태 플래그(F_GETFL, F_SETFL)와 복제(F_DUPFD_CLOEXEC)만 트레이스에 나옵니다. F_GETFD는 디버그 빌드의 Rust 표준 라이브러리가 닫기 전에 확인하는 호출입니다.",
        english: "Of fcntl() the trace shows F_GETFL, F_SETFL and F_DUPFD_CLOEXEC; with F_GETFD a debug build of Rust's library checks what it is about to close.",
    },
    Allowed {
        trace: "accept4(3, …, [128], SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable)",
        strace: "accept4(3, 0x7fff5eea6f18, [128], SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable)",
        korean: "커널이 채우지 않은 자리에 strace는 포인터의 값(또는 NULL)을, 트레이스는 …을 보여 줍니다.",
        english: "For what the kernel has not filled in strace shows a pointer's value (or NULL), and the trace shows ….",
    },
    Allowed {
        trace: r#"send(6, "안녕하십니까 여러분, "..., 46, MSG_NOSIGNAL) = 46"#,
        strace: r#"sendto(6, "\xec\x95\x88\xeb\x85\x95\xed\x95\x98\xec\x8b\xad\xeb\x8b\x88\xea\xb9\x8c\x20\xec\x97\xac\xeb\x9f\xac\xeb\xb6\x84\x2c\x20\xeb\xb0\x98\xea\xb0\x91\xec\x8a\xb5\xeb\x8b\x88\xeb\x8b\xa4\x0a", 46, MSG_NOSIGNAL, NULL, 0) = 46"#,
        korean: "트레이스는 데이터를 UTF-8로, 글자의 경계에서 32바이트까지만 보여 주고 더 있으면 ...을 붙입니다. strace에는 -xx로 모든 바이트를 16진수로 보이게 했습니다.",
        english: "The trace shows data as UTF-8, 32 bytes of it cut on a character's border; strace was told to show every byte in hexadecimal (-xx).",
    },
    Allowed {
        trace: r#"sendmsg(3, {msg_namelen=28, msg_control=[{cmsg_len=36, cmsg_level=SOL_IPV6, cmsg_type=0x32}], msg_controllen=40, msg_flags=0}, 0) = 2"#,
        strace: r#"sendmsg(3, {msg_namelen=28, msg_control=[{cmsg_len=36, cmsg_level=SOL_IPV6, cmsg_type=IPV6_PKTINFO, cmsg_data={ipi6_ifindex=1}}], msg_controllen=40, msg_flags=0}, 0) = 2"#,
        korean: "IPV6_PKTINFO의 내용은 strace의 버전에 따라 번호(0x32)로만 나오기도 합니다. 트레이스는 번호만 보여 줍니다.",
        english: "Of IPV6_PKTINFO some versions of strace show no more than its number, 0x32, as the trace does.",
    },
    Allowed {
        trace: "",
        strace: "getsockname(8, {sa_family=AF_UNIX}, [110 => 2]) = 0\ngetpeername(8, {sa_family=AF_UNIX}, [110 => 2]) = 0\ngetsockopt(8, SOL_SOCKET, SO_TYPE, [5], [4]) = 0\nioctl(8, FIONREAD, [0]) = 0",
        korean: "--trace=파일은 소켓의 상태를 커널에 물어 state 줄을 적습니다. 그렇게 물어보는 호출은 프로그램의 것이 아니므로 트레이스에 나오지 않습니다.",
        english: "For its state records --trace=FILE asks the kernel what a socket looks like; these questions are the trace's own and not shown.",
    },
    Allowed {
        trace: "",
        strace: r#"ioctl(3, SIOCGIFNAME, {ifr_ifindex=1, ifr_name="\x6c\x6f"}) = 0"#,
        korean: "주소에 있는 인터페이스의 번호를 이름(lo)으로 보여 주려고 커널에 묻는 호출도 트레이스에 나오지 않습니다.",
        english: "Nor is the question for the name of an interface (lo) whose number stands in an address.",
    },
];

/// And of the order: within a thread it is the same. Of two threads' calls the trace may show the later one first
/// if it began before the line of the earlier one was written; strace sees that write as well.
///
/// 한 스레드의 호출은 순서까지 같습니다. 두 스레드의 호출은, 먼저 한 호출의 줄이 적히기 전에 다른 호출이 시작되었을 때만 순서가 바뀔 수 있습니다.
pub fn may_stand_before(later: &Entry, earlier: &Entry) -> bool {
    later.tid != earlier.tid && later.began < earlier.told_at
}

/// What can be done with any descriptor. On a socket it would be a call of the lesson, and the trace has no line for it.
const GENERAL: [&str; 9] = ["read", "write", "readv", "writev", "dup", "dup2", "dup3", "ioctl", "sendfile"];

/// What waits for descriptors.
const WAITING: [&str; 7] = ["poll", "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// What strace has seen, as the trace has to tell it; `None` for what it need not tell.
///
/// `looks` is true where the trace writes state records.
pub fn retold(call: &Call, sockets: &BTreeSet<i32>, looks: bool) -> Option<Call> {
    let on_socket = call.fd().is_some_and(|fd| sockets.contains(&fd));
    if is_name_of_interface(call) || (looks && is_look(call)) {
        return None;
    }
    let count = call.args.len();
    let told = |name: &str, args: usize| {
        Some(Call { name: name.into(), args: call.args[..args].to_vec(), result: call.result.clone() })
    };
    match call.name.as_str() {
        "recvfrom" if count == 6 && call.text(4) == Some("NULL") && call.text(5) == Some("NULL") => told("recv", 4),
        "sendto" if count == 6 && call.text(4) == Some("NULL") && call.text(5) == Some("0") => told("send", 4),
        "fork" | "vfork" | "clone" | "clone3" if is_thread(call) => None,
        "clone" | "clone3" if has_flag(call, "SIGCHLD") => told("fork", 0),
        "close" if !on_socket => None,
        "fcntl" if !(on_socket && (is_copy(call) || matches!(call.text(1), Some("F_GETFL" | "F_SETFL")))) => None,
        name if GENERAL.contains(&name) && !on_socket => None,
        name if WAITING.contains(&name) => None,
        _ => Some(call.clone()),
    }
}

/// `clone(…CLONE_THREAD…)`
pub fn is_thread(call: &Call) -> bool {
    has_flag(call, "CLONE_THREAD")
}

fn has_flag(call: &Call, flag: &str) -> bool {
    let word = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == flag);
    call.args.iter().flatten().any(|piece| matches!(piece, Piece::Text(text) if word(text)))
}

/// A descriptor gets a second number: of a socket the trace has to tell that.
pub fn is_copy(call: &Call) -> bool {
    match call.name.as_str() {
        "fcntl" => call.text(1).is_some_and(|command| command.starts_with("F_DUPFD")),
        name => ["dup", "dup2", "dup3"].contains(&name),
    }
}

/// `if_nametoindex("lo")` in an address: the trace asks for the name as strace does.
fn is_name_of_interface(call: &Call) -> bool {
    call.name == "ioctl" && call.text(1) == Some("SIOCGIFNAME")
}

/// A question of the state records, for which the room for an address is that of AF_UNIX (the program itself
/// gives a whole sockaddr_storage, 128). The program never asks for the peer's name, and of options for SO_ERROR alone.
fn is_look(call: &Call) -> bool {
    match call.name.as_str() {
        "getsockname" => call.text(2).is_some_and(|room| room.starts_with("[110 ") || room == "[110]"),
        "getpeername" => true,
        "getsockopt" => call.text(2) != Some("SO_ERROR"),
        "ioctl" => matches!(call.text(1), Some("FIONREAD" | "TIOCOUTQ" | "SIOCINQ" | "SIOCOUTQ")),
        _ => false,
    }
}

/// Why a call of the trace is not what strace has seen (and [`retold`] has renamed); `None` when it is.
pub fn difference(trace: &Call, strace: &Call) -> Option<String> {
    if trace.name != strace.name {
        return Some("another call".into());
    }
    if trace.args.len() != strace.args.len() {
        return Some(format!("{} arguments, and {}", trace.args.len(), strace.args.len()));
    }
    for (n, (told, seen)) in trace.args.iter().zip(&strace.args).enumerate() {
        if !is_same(told, seen) {
            let (told, seen) = (super::line::show(told), super::line::show(seen));
            return Some(format!("argument {}: {told} is not {seen}", n + 1));
        }
    }
    (trace.result != strace.result).then(|| format!("result: {} is not {}", trace.result, strace.result))
}

fn is_same(told: &Argument, seen: &Argument) -> bool {
    if let ([Piece::Text(told)], [Piece::Text(seen)]) = (told.as_slice(), seen.as_slice()) {
        if told == "…" && is_pointer(seen) {
            return true;
        }
    }
    let pieces = |argument: &Argument| argument.iter().map(without_packet_info6).collect::<Vec<_>>();
    let (told, seen) = (pieces(told), pieces(seen));
    told.len() == seen.len() && told.iter().zip(&seen).all(|(told, seen)| is_same_piece(told, seen))
}

fn is_pointer(text: &str) -> bool {
    let digits = text.strip_prefix("0x");
    text == "NULL" || digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit()))
}

/// The trace shows 32 bytes, less at most what a character cut in two has had: it may have four bytes.
const SHOWN_BYTES: std::ops::RangeInclusive<usize> = 29..=32;

fn is_same_piece(told: &Piece, seen: &Piece) -> bool {
    match (told, seen) {
        (Piece::Bytes { bytes: told, cut: true }, Piece::Bytes { bytes: seen, cut: false }) => {
            SHOWN_BYTES.contains(&told.len()) && seen.len() > told.len() && seen.starts_with(told)
        }
        (told, seen) => told == seen,
    }
}

fn without_packet_info6(piece: &Piece) -> Piece {
    let Piece::Text(text) = piece else { return piece.clone() };
    let Some((before, after)) = text.split_once("cmsg_level=SOL_IPV6, cmsg_type=") else { return piece.clone() };
    let known = ["0x32", "IPV6_PKTINFO"].iter().any(|name| after.starts_with(name));
    match after.find("}], msg_controllen") {
        Some(end) if known => Piece::Text(format!("{before}IPV6_PKTINFO{}", &after[end..])),
        _ => piece.clone(),
    }
}
