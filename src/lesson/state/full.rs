//! A socket as a table for a person: each value with the call that it comes from.

use std::os::fd::BorrowedFd;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use super::look::{self, TcpInfo};
use super::{Address, LISTEN, State, number};

/// Columns of a value; a longer one pushes its source to the right.
const VALUE_COLUMNS: usize = 22;

/// What a value is called, the value, and where it comes from.
type Row = (&'static str, String, String);

/// The lines of the table; none for what [`State::of`] does not know.
pub fn in_full(fd: BorrowedFd<'_>) -> Vec<String> {
    let Some(state) = State::of(fd) else { return Vec::new() };
    let mut rows = vec![kind(fd, &state)];
    rows.push(("상태", state.state.into(), whence_state(&state).into()));
    rows.extend(queues(&state));
    rows.push(("로컬", state.local.to_string(), "getsockname()".into()));
    rows.push(("상대", state.peer.to_string(), whence_peer(&state).into()));
    if state.kind == "udp" {
        if let Ok(bytes) = look::unread(fd) {
            rows.push(("다음", bytes.to_string(), "ioctl(SIOCINQ): 맨 앞 데이터그램의 바이트 수".into()));
        }
    } else if let (Address::Unix(_), Ok(inode)) = (&state.local, look::inode(fd)) {
        rows.push(("inode", inode.to_string(), "fstat().st_ino: ss -xp에서 이름 뒤의 번호".into()));
    }
    if state.kind == "tcp" && !matches!(state.state, "CLOSE" | LISTEN | "SYN-SENT") {
        rows.extend(look::tcp_info(fd).into_iter().flat_map(|info| connection(&info)));
    }
    rows.extend(options(fd));
    aligned(&rows)
}

fn kind(fd: BorrowedFd<'_>, state: &State) -> Row {
    let (option, name) = match state.local {
        Address::Inet { .. } => (libc::SO_PROTOCOL, "SO_PROTOCOL"),
        Address::Unix(_) => (libc::SO_TYPE, "SO_TYPE"),
    };
    let value = look::number(fd, libc::SOL_SOCKET, option).ok().map(|value| value.unsigned_abs());
    ("종류", state.kind.into(), format!("getsockopt({name}) = {}", number(value)))
}

fn whence_state(state: &State) -> &'static str {
    match (state.kind, state.state) {
        ("tcp", _) => "getsockopt(TCP_INFO).tcpi_state",
        (_, LISTEN) => "getsockopt(SO_ACCEPTCONN)",
        _ => "getpeername(): 상대가 있으면 ESTAB, 없으면 UNCONN",
    }
}

fn whence_peer(state: &State) -> &'static str {
    match (state.kind, state.state) {
        ("tcp", "SYN-SENT") => "getsockopt(SO_PEERNAME)",
        (_, "CLOSE" | LISTEN | "UNCONN") => "연결된 상대가 없습니다",
        _ => "getpeername()",
    }
}

fn queues(state: &State) -> Vec<Row> {
    let (recv_q, send_q) = (number(state.recv_q), number(state.send_q));
    let (recv, send) = match (state.kind, state.state) {
        ("tcp", LISTEN) => {
            let whence = "TCP_INFO.tcpi_unacked / tcpi_sacked: accept()를 기다리는 연결 / 한도";
            return vec![("대기열", format!("{recv_q} / {send_q}"), whence.into())];
        }
        (_, LISTEN) => {
            return vec![("대기열", format!("{recv_q} / {send_q}"), "소켓에 물어서는 알 수 없습니다: ss -xl".into())];
        }
        ("tcp", "CLOSE-WAIT" | "LAST-ACK" | "CLOSING") => ("ioctl(SIOCINQ) + 아직 읽지 않은 FIN", "ioctl(SIOCOUTQ)"),
        ("tcp", "SYN-SENT") => ("ioctl(SIOCINQ)", "ioctl(SIOCOUTQ) + 아직 응답이 없는 SYN"),
        ("udp", _) => (
            "getsockopt(SO_MEMINFO): 도착한 데이터그램이 쓰는 메모리",
            "getsockopt(SO_MEMINFO): 보내는 중인 데이터그램이 쓰는 메모리",
        ),
        ("u_dgr", _) => {
            ("ioctl(SIOCINQ): 맨 앞 데이터그램의 바이트 수", "ioctl(SIOCOUTQ): 상대가 읽지 않은 것이 쓰는 메모리")
        }
        ("u_str" | "u_seq", _) => ("ioctl(SIOCINQ)", "ioctl(SIOCOUTQ): 상대가 읽지 않은 것이 쓰는 메모리"),
        _ => ("ioctl(SIOCINQ)", "ioctl(SIOCOUTQ)"),
    };
    vec![("Recv-Q", recv_q, recv.into()), ("Send-Q", send_q, send.into())]
}

/// The words of `ss -ti`; its times are milliseconds.
fn connection(info: &TcpInfo) -> [Row; 4] {
    let ms = |us: u32| f64::from(us) / 1000.0;
    [
        (
            "rtt",
            format!("{}/{}", ms(info.rtt_us), ms(info.rtt_deviation_us)),
            "TCP_INFO.tcpi_rtt / tcpi_rttvar: 왕복 시간 / 편차(ms)".into(),
        ),
        ("cwnd", info.cwnd.to_string(), "TCP_INFO.tcpi_snd_cwnd: ACK를 받기 전에 보낼 수 있는 세그먼트 수".into()),
        ("mss", info.mss.to_string(), "TCP_INFO.tcpi_snd_mss: 세그먼트 하나에 담는 바이트 수".into()),
        (
            "retrans",
            format!("{}/{}", info.retrans, info.total_retrans),
            "TCP_INFO.tcpi_retrans / tcpi_total_retrans: 지금 재전송 중인 수 / 지금까지의 수".into(),
        ),
    ]
}

/// What is on, the sizes of the buffers, and the flags. A socket that does not have an option says so by an error.
fn options(fd: BorrowedFd<'_>) -> Vec<Row> {
    let value = |(level, name, word): (libc::c_int, libc::c_int, &str)| {
        let value = look::number(fd, level, name).ok().filter(|value| *value != 0)?;
        Some(format!("{word}={value}"))
    };
    let mut on: Vec<String> = SWITCHES.into_iter().filter_map(value).collect();
    if on.iter().any(|option| option.starts_with("SO_KEEPALIVE")) {
        on.extend(value((libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, "TCP_KEEPIDLE")));
    }
    let sizes: Vec<String> = BUFFERS.into_iter().filter_map(value).collect();
    let rows = [(on, "getsockopt()"), (sizes, "getsockopt()"), (flags(fd), "fcntl(F_GETFL), fcntl(F_GETFD)")];
    let shown = rows.into_iter().filter(|(words, _)| !words.is_empty());
    let label = |n: usize| if n == 0 { "옵션" } else { "" };
    shown.enumerate().map(|(n, (words, whence))| (label(n), words.join(" "), whence.into())).collect()
}

const SWITCHES: [(libc::c_int, libc::c_int, &str); 9] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, "SO_REUSEADDR"),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT, "SO_REUSEPORT"),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, "IPV6_V6ONLY"),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, "TCP_NODELAY"),
    (libc::IPPROTO_IP, libc::IP_PKTINFO, "IP_PKTINFO"),
    (libc::IPPROTO_IP, libc::IP_RECVERR, "IP_RECVERR"),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, "IPV6_RECVERR"),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, "SO_KEEPALIVE"),
];

const BUFFERS: [(libc::c_int, libc::c_int, &str); 2] =
    [(libc::SOL_SOCKET, libc::SO_SNDBUF, "SO_SNDBUF"), (libc::SOL_SOCKET, libc::SO_RCVBUF, "SO_RCVBUF")];

fn flags(fd: BorrowedFd<'_>) -> Vec<String> {
    let status = fcntl(fd, FcntlArg::F_GETFL).map_or(OFlag::empty(), OFlag::from_bits_retain);
    let own = fcntl(fd, FcntlArg::F_GETFD).map_or(FdFlag::empty(), FdFlag::from_bits_retain);
    let flags = [(status.contains(OFlag::O_NONBLOCK), "O_NONBLOCK"), (own.contains(FdFlag::FD_CLOEXEC), "FD_CLOEXEC")];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_string()).collect()
}

fn aligned(rows: &[Row]) -> Vec<String> {
    let columns = |text: &str| text.chars().map(crate::text::width).sum::<usize>();
    let label_columns = rows.iter().map(|(label, ..)| columns(label)).max().unwrap_or(0);
    let padded = |text: &str, to: usize| format!("{text}{}", " ".repeat(to.saturating_sub(columns(text))));
    let line = |(label, value, whence): &Row| {
        format!("{}  {}  {whence}", padded(label, label_columns), padded(value, VALUE_COLUMNS))
    };
    rows.iter().map(line).collect()
}
