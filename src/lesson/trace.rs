//! One call as one line, shaped as strace prints it; text is shown as UTF-8.

use std::os::fd::AsRawFd;

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType};

use super::call::{Call, Outcome, Returned};
use super::message::{received, sent};
use super::shown::{address, filled_address, length, quoted};
use crate::error::describe;

/// `bind(3, {sa_family=AF_INET, …}, 16) = 0`
pub fn line<T: Outcome>(call: &Call<'_>, result: &nix::Result<T>) -> String {
    let (back, end) = match result {
        Ok(value) => {
            let back = value.returned();
            let end = match back.flags {
                Some(flags) => format!("{:#x} (flags {})", back.value, file_flags(flags)),
                None => back.value.to_string(),
            };
            (back, end)
        }
        Err(errno) => (Returned::default(), format!("-1 {}", describe(*errno))),
    };
    format!("{} = {end}", arguments(call, &back))
}

/// The call that is about to be made: what the kernel will fill in is `…`.
pub fn ahead(call: &Call<'_>) -> String {
    arguments(call, &Returned::default())
}

fn arguments(call: &Call<'_>, back: &Returned<'_>) -> String {
    match *call {
        Call::Socket { domain, kind, flags } => {
            format!("socket({}, {}, {})", family(domain), kind_flags(kind, flags), protocol(domain))
        }
        Call::Socketpair { kind, flags } => {
            let pair = back.pair.map_or("…".into(), |[a, b]| format!("[{a}, {b}]"));
            format!("socketpair(AF_UNIX, {}, 0, {pair})", kind_flags(kind, flags))
        }
        Call::Setsockopt { fd, level, name, value } => {
            format!("setsockopt({}, {level}, {name}, [{value}], 4)", fd.as_raw_fd())
        }
        Call::Linger { fd, seconds } => {
            let value = format!("{{l_onoff=1, l_linger={seconds}}}");
            format!("setsockopt({}, SOL_SOCKET, SO_LINGER, {value}, 8)", fd.as_raw_fd())
        }
        Call::Getsockopt { fd, level, name } => {
            let value = back.number.map_or("…".into(), |n| format!("[{n}]"));
            format!("getsockopt({}, {level}, {name}, {value}, [4])", fd.as_raw_fd())
        }
        Call::Bind { fd, addr } => format!("bind({}, {}, {})", fd.as_raw_fd(), address(fd, addr), length(addr)),
        Call::Connect { fd, addr } => format!("connect({}, {}, {})", fd.as_raw_fd(), address(fd, addr), length(addr)),
        Call::ConnectUnix { fd, path } => {
            let length = size_of::<libc::sa_family_t>() + path.len() + 1; // with the NUL behind the path
            format!(
                "connect({}, {{sa_family=AF_UNIX, sun_path={}}}, {length})",
                fd.as_raw_fd(),
                quoted(path.as_bytes())
            )
        }
        Call::Getsockname { fd } => format!("getsockname({}, {})", fd.as_raw_fd(), filled_address(fd, back)),
        Call::Listen { fd, backlog } => format!("listen({}, {backlog})", fd.as_raw_fd()),
        Call::Accept { fd, flags } => {
            format!("accept4({}, {}, {})", fd.as_raw_fd(), filled_address(fd, back), sock_flags(flags))
        }
        Call::Fork => "fork()".into(),
        Call::Recv { fd, len, flags } => {
            let data = back.data.map_or("…".into(), quoted);
            format!("recv({}, {data}, {len}, {})", fd.as_raw_fd(), msg_flags(flags))
        }
        Call::Send { fd, data, flags } => {
            format!("send({}, {}, {}, {})", fd.as_raw_fd(), quoted(data), data.len(), msg_flags(flags))
        }
        Call::Recvfrom { fd, len } => {
            let data = back.data.map_or("…".into(), quoted);
            format!("recvfrom({}, {data}, {len}, 0, {})", fd.as_raw_fd(), filled_address(fd, back))
        }
        Call::Sendto { fd, data, to } => {
            let (shown, to, room) = (quoted(data), address(fd, to), length(to));
            format!("sendto({}, {shown}, {}, 0, {to}, {room})", fd.as_raw_fd(), data.len())
        }
        Call::Recvmsg { fd, len } => format!("recvmsg({}, {}, 0)", fd.as_raw_fd(), received(fd, len, back)),
        Call::Sendmsg { fd, data, to, info } => {
            format!("sendmsg({}, {}, 0)", fd.as_raw_fd(), sent(fd, data, to, info))
        }
        Call::Shutdown { fd, how } => format!("shutdown({}, {})", fd.as_raw_fd(), direction(how)),
        Call::Close { fd } => format!("close({fd})"),
        Call::CloseRange { first, last } => format!("close_range({first}, {last}, 0)"),
        Call::Dupfd { fd, least } => format!("fcntl({}, F_DUPFD_CLOEXEC, {least})", fd.as_raw_fd()),
        Call::Getfl { fd } => format!("fcntl({}, F_GETFL)", fd.as_raw_fd()),
        Call::Setfl { fd, flags } => format!("fcntl({}, F_SETFL, {})", fd.as_raw_fd(), file_flags(flags)),
    }
}

fn family(domain: AddressFamily) -> &'static str {
    match domain {
        AddressFamily::Inet => "AF_INET",
        AddressFamily::Inet6 => "AF_INET6",
        _ => "AF_UNIX",
    }
}

fn protocol(domain: AddressFamily) -> &'static str {
    if domain == AddressFamily::Unix { "0" } else { "IPPROTO_IP" }
}

fn kind_flags(kind: SockType, flags: SockFlag) -> String {
    let kind = match kind {
        SockType::Stream => "SOCK_STREAM",
        SockType::Datagram => "SOCK_DGRAM",
        _ => "SOCK_SEQPACKET",
    };
    if flags.is_empty() { kind.into() } else { format!("{kind}|{}", sock_flags(flags)) }
}

fn sock_flags(flags: SockFlag) -> String {
    names(&[("SOCK_CLOEXEC", SockFlag::SOCK_CLOEXEC), ("SOCK_NONBLOCK", SockFlag::SOCK_NONBLOCK)], |f| {
        flags.contains(f)
    })
}

fn msg_flags(flags: MsgFlags) -> String {
    let known = [
        ("MSG_PEEK", MsgFlags::MSG_PEEK),
        ("MSG_TRUNC", MsgFlags::MSG_TRUNC),
        ("MSG_DONTWAIT", MsgFlags::MSG_DONTWAIT),
        ("MSG_NOSIGNAL", MsgFlags::MSG_NOSIGNAL),
    ];
    names(&known, |f| flags.contains(f))
}

fn file_flags(flags: OFlag) -> String {
    names(&[("O_RDWR", OFlag::O_RDWR), ("O_APPEND", OFlag::O_APPEND), ("O_NONBLOCK", OFlag::O_NONBLOCK)], |f| {
        flags.contains(f)
    })
}

/// The names of the flags that are set, joined by `|`; `0` for none.
fn names<F: Copy>(known: &[(&str, F)], set: impl Fn(F) -> bool) -> String {
    let set: Vec<&str> = known.iter().filter(|(_, flag)| set(*flag)).map(|(name, _)| *name).collect();
    if set.is_empty() { "0".into() } else { set.join("|") }
}

fn direction(how: Shutdown) -> &'static str {
    match how {
        Shutdown::Read => "SHUT_RD",
        Shutdown::Write => "SHUT_WR",
        Shutdown::Both => "SHUT_RDWR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::net::SocketAddr;
    use std::os::fd::AsFd;

    #[test]
    fn a_call_reads_as_strace_prints_it() {
        let addr: SocketAddr = "127.0.0.1:7000".parse().unwrap();
        let stdin = std::io::stdin();
        let call = Call::Bind { fd: stdin.as_fd(), addr: &addr };
        let want = r#"bind(0, {sa_family=AF_INET, sin_port=htons(7000), sin_addr=inet_addr("127.0.0.1")}, 16) = "#;
        assert_eq!(line(&call, &Ok(())), format!("{want}0"));
        assert_eq!(line::<()>(&call, &Err(Errno::EADDRINUSE)), format!("{want}-1 EADDRINUSE (Address already in use)"));
    }
}
