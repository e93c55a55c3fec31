//! A call in the shape that strace gives it, taken apart; brief.rs puts it together again so that it fits.

use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// As it stands in the trace.
    pub text: String,
    pub name: String,
    pub args: Vec<String>,
    pub value: i64,
    /// `EAGAIN`; only where the value is -1.
    pub errno: Option<String>,
}

impl Call {
    /// `None` for what is not `name(arguments) = value`.
    pub fn parse(text: &str) -> Option<Call> {
        let (name, rest) = text.split_once('(')?;
        let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let (args, rest) = named.then(|| arguments(rest)).flatten()?;
        let result = rest.trim_start().strip_prefix('=')?.trim_start();
        let (value, why) = result.split_once(' ').unwrap_or((result, ""));
        // fcntl(F_GETFL) returns flags, which strace writes in hexadecimal.
        let value = match value.strip_prefix("0x") {
            Some(flags) => u32::from_str_radix(flags, 16).ok()?.into(),
            None => value.parse().ok()?,
        };
        let errno = why.split(' ').next().filter(|errno| value < 0 && errno.starts_with('E'));
        Some(Call { text: text.into(), name: name.into(), args, value, errno: errno.map(str::to_string) })
    }

    pub fn failed(&self) -> bool {
        self.value < 0
    }

    /// True when the call brings something in: it is over when that has come, which may be long after it began.
    pub fn takes(&self) -> bool {
        matches!(self.name.as_str(), "accept4" | "accept" | "recv" | "recvfrom" | "recvmsg")
            || (self.name == "fork" && self.value == 0)
    }

    /// The descriptor that the call is about.
    pub fn fd(&self) -> Option<i32> {
        match self.name.as_str() {
            "socket" | "socketpair" | "fork" | "close_range" => None,
            _ => self.number(0),
        }
    }

    pub fn number(&self, arg: usize) -> Option<i32> {
        self.args.get(arg)?.parse().ok()
    }

    /// Whether argument `arg` has this flag: `SOCK_STREAM|SOCK_CLOEXEC` has SOCK_STREAM.
    pub fn has(&self, arg: usize, flag: &str) -> bool {
        self.args.get(arg).is_some_and(|flags| flags.split('|').any(|one| one == flag))
    }

    /// The two descriptors of a socketpair.
    pub fn pair(&self) -> Option<(i32, i32)> {
        let (a, b) = self.args.get(3)?.strip_prefix('[')?.strip_suffix(']')?.split_once(", ")?;
        Some((a.parse().ok()?, b.parse().ok()?))
    }

    /// The address in the call; an IPv4 address that an IPv6 socket has seen, as IPv4.
    pub fn address(&self) -> Option<SocketAddr> {
        let whole = |arg: &String| arg.starts_with("{sa_family=") || arg.starts_with("{msg_name={sa_family=");
        let text = self.args.iter().find(|arg| whole(arg))?;
        let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
        let port = after("sin_port=htons(").or_else(|| after("sin6_port=htons("))?.split_once(')')?.0;
        let ip = after("inet_addr(\"").or_else(|| after("inet_pton(AF_INET6, \""))?.split_once('"')?.0;
        let ip: IpAddr = ip.parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), port.parse().ok()?))
    }

    /// The data that went through the call, quoted and cut as in the trace.
    pub fn data(&self) -> Option<&str> {
        match self.name.as_str() {
            "send" | "sendto" | "recv" | "recvfrom" => self.args.get(1).map(String::as_str),
            "sendmsg" | "recvmsg" => self.args.get(1)?.split_once("iov_base=").map(|(_, rest)| literal(rest)),
            _ => None,
        }
        .filter(|data| data.starts_with('"'))
    }
}

/// The arguments up to the parenthesis that closes the call, and what stands behind it.
fn arguments(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut args, mut start, mut depth, mut in_quotes, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, c) in text.char_indices() {
        if in_quotes {
            in_quotes = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => in_quotes = true,
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                let last = text[start..at].trim();
                if !last.is_empty() || !args.is_empty() {
                    args.push(last.to_string());
                }
                return Some((args, &text[at + 1..]));
            }
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                args.push(text[start..at].trim().to_string());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// The quoted text that `text` begins with, its `...` included.
fn literal(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            let end = at + 1;
            return if text[end..].starts_with("...") { &text[..end + 3] } else { &text[..end] };
        }
        escaped = !escaped && c == '\\';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::brief::columns_of;
    use proptest::prelude::*;

    fn call(text: &str) -> Call {
        Call::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_call_is_a_name_arguments_and_a_value() {
        let failed = call("recv(3, …, 65536, 0) = -1 EAGAIN (Resource temporarily unavailable)");
        assert_eq!((failed.fd(), failed.value, failed.errno.as_deref()), (Some(3), -1, Some("EAGAIN")));
        assert_eq!((failed.args.len(), failed.data()), (4, None));
        let sent = call(r#"send(6, "a, \"b\") = 7 (\\", 14, MSG_NOSIGNAL) = 14"#);
        assert_eq!((sent.value, sent.data()), (14, Some(r#""a, \"b\") = 7 (\\""#)));
        assert_eq!(call("fork() = 4130").args, [""; 0]);
        assert_eq!(call("fcntl(3, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)").value, 0x802);
        let pair = call("socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, [7, 8]) = 0");
        assert_eq!((pair.pair(), pair.has(1, "SOCK_CLOEXEC"), pair.fd()), (Some((7, 8)), true, None));
        for bad in [
            "",
            "close",
            "close(3",
            "close(3)",
            "close(3) = x",
            "close(3) = 0xx",
            "close(3) = 0x-1",
            "clo se(3) = 0",
            "(3) = 0",
            "a(]) = 0",
            "a(\"\\\") = 0",
        ] {
            assert_eq!(Call::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_found_and_never_in_the_data() {
        let v4 = r#"{sa_family=AF_INET, sin_port=htons(7000), sin_addr=inet_addr("127.0.0.1")}"#;
        let v6 = |ip: &str| {
            format!(
                "{{sa_family=AF_INET6, sin6_port=htons(7), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id=0}}"
            )
        };
        let address = |text: &str| call(text).address().map(|address| address.to_string());
        assert_eq!(address(&format!("bind(3, {v4}, 16) = 0")).as_deref(), Some("127.0.0.1:7000"));
        assert_eq!(address(&format!("connect(3, {}, 28) = 0", v6("::1"))).as_deref(), Some("[::1]:7"));
        assert_eq!(address(&format!("connect(3, {}, 28) = 0", v6("::ffff:10.0.0.1"))).as_deref(), Some("10.0.0.1:7"));
        assert_eq!(address("accept4(3, …, [128], 0) = -1 EAGAIN (x)"), None);
        assert_eq!(address(r#"send(3, "{sa_family=AF_INET, sin_port=htons(1)", 9, 0) = 9"#), None);
        let message = call(&format!(
            "recvmsg(3, {{msg_name={v4}, msg_namelen=128 => 16, msg_iov=[{{iov_base=\"x\\\"}}\"..., iov_len=64}}], msg_iovlen=1, msg_controllen=0, msg_flags=0}}, 0) = 70"
        ));
        assert_eq!(message.address().unwrap().port(), 7000);
        assert_eq!(message.data(), Some(r#""x\"}"..."#));
    }

    proptest! {
        #[test]
        fn any_text_is_a_call_or_none(text: String, columns in 0_usize..60) {
            if let Some(call) = Call::parse(&text) {
                let _ = (call.fd(), call.address(), call.data(), call.pair());
                prop_assert!(columns_of(&call.brief("", columns)) <= columns);
            }
        }

        #[test]
        fn almost_a_call_is_read_without_harm(
            name in "(recv|sendmsg|bind|socketpair|x)",
            args in "([0-9]|, |\"|\\\\|\\[|\\]|\\{sa_family=|\\{msg_name=\\{sa_family=|sin_port=htons\\(|inet_addr\\(\"|\\)|iov_base=|가|\\.\\.\\.){0,20}",
            columns in 0_usize..60,
        ) {
            if let Some(call) = Call::parse(&format!("{name}({args}) = 1")) {
                let _ = (call.fd(), call.address(), call.data(), call.pair());
                for note in ["", "Handshake"] {
                    prop_assert!(columns_of(&call.brief(note, columns)) <= columns);
                }
            }
        }
    }
}
