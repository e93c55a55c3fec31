//! One call as one line, shaped as strace prints it; text is shown as UTF-8.

use std::fmt::Write;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType};

use super::call::{Call, Outcome, Returned};
use crate::error::describe;

/// Bytes of data shown in a line: strace's default.
const SHOWN_BYTES: usize = 32;

/// `bind(3, {sa_family=AF_INET, …}, 16) = 0`
pub fn line<T: Outcome>(call: &Call<'_>, result: &nix::Result<T>) -> String {
    let (back, end) = match result {
        Ok(value) => (value.returned(), value.returned().value.to_string()),
        Err(errno) => (Returned::default(), format!("-1 {}", describe(*errno))),
    };
    format!("{} = {end}", arguments(call, &back))
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
        Call::Getsockopt { fd, level, name } => {
            let value = back.number.map_or("…".into(), |n| format!("[{n}]"));
            format!("getsockopt({}, {level}, {name}, {value}, [4])", fd.as_raw_fd())
        }
        Call::Bind { fd, addr } => format!("bind({}, {}, {})", fd.as_raw_fd(), address(addr), length(addr)),
        Call::Connect { fd, addr } => format!("connect({}, {}, {})", fd.as_raw_fd(), address(addr), length(addr)),
        Call::ConnectUnix { fd, path } => {
            let length = size_of::<libc::sa_family_t>() + path.len() + 1; // with the NUL behind the path
            format!(
                "connect({}, {{sa_family=AF_UNIX, sun_path={}}}, {length})",
                fd.as_raw_fd(),
                quoted(path.as_bytes())
            )
        }
        Call::Getsockname { fd } => format!("getsockname({}, {})", fd.as_raw_fd(), filled_address(back)),
        Call::Listen { fd, backlog } => format!("listen({}, {backlog})", fd.as_raw_fd()),
        Call::Accept { fd, flags } => {
            format!("accept4({}, {}, {})", fd.as_raw_fd(), filled_address(back), sock_flags(flags))
        }
        Call::Fork => "fork()".into(),
        Call::Recv { fd, len, flags } => {
            let data = back.data.map_or("…".into(), quoted);
            format!("recv({}, {data}, {len}, {})", fd.as_raw_fd(), msg_flags(flags))
        }
        Call::Send { fd, data, flags } => {
            format!("send({}, {}, {}, {})", fd.as_raw_fd(), quoted(data), data.len(), msg_flags(flags))
        }
        Call::Shutdown { fd, how } => format!("shutdown({}, {})", fd.as_raw_fd(), direction(how)),
        Call::Close { fd } => format!("close({fd})"),
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

fn length(addr: &SocketAddr) -> usize {
    if addr.is_ipv4() { size_of::<libc::sockaddr_in>() } else { size_of::<libc::sockaddr_in6>() }
}

fn address(addr: &SocketAddr) -> String {
    match addr {
        SocketAddr::V4(a) => {
            format!("{{sa_family=AF_INET, sin_port=htons({}), sin_addr=inet_addr(\"{}\")}}", a.port(), a.ip())
        }
        SocketAddr::V6(a) => format!(
            "{{sa_family=AF_INET6, sin6_port=htons({}), sin6_flowinfo=htonl({}), inet_pton(AF_INET6, \"{}\", \
             &sin6_addr), sin6_scope_id={}}}",
            a.port(),
            a.flowinfo(),
            a.ip(),
            a.scope_id()
        ),
    }
}

/// An address that the kernel filled in, with the room it had and the room it took.
fn filled_address(back: &Returned<'_>) -> String {
    match back.addr {
        Some(addr) => format!("{}, [{} => {}]", address(&addr), size_of::<libc::sockaddr_storage>(), length(&addr)),
        None => format!("…, [{}]", size_of::<libc::sockaddr_storage>()),
    }
}

/// `"안녕\n"`, cut after 32 bytes on a character's border; bytes that are not text as `\377`.
fn quoted(data: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut shown = 0;
    'all: for chunk in data.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown + c.len_utf8() > SHOWN_BYTES {
                break 'all;
            }
            shown += c.len_utf8();
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if crate::text::is_control(c) => octal(c.to_string().as_bytes(), &mut out),
                c => out.push(c),
            }
        }
        if shown + chunk.invalid().len() > SHOWN_BYTES {
            break;
        }
        shown += chunk.invalid().len();
        octal(chunk.invalid(), &mut out);
    }
    out.push('"');
    if shown < data.len() {
        out.push_str("...");
    }
    out
}

fn octal(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\{byte:o}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
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

    #[test]
    fn received_text_is_shown_as_text_and_the_rest_as_octal() {
        assert_eq!(quoted("안녕\n".as_bytes()), "\"안녕\\n\"");
        assert_eq!(quoted(b"\xff\x1b\"\\"), r#""\377\33\"\\""#);
        assert_eq!(quoted("가".repeat(20).as_bytes()), format!("\"{}\"...", "가".repeat(10)));
    }
}
