//! A call shortened where it hurts least, and text cut to the columns that there are.

use std::net::SocketAddr;

use super::call::Call;
use crate::text::width;

/// An argument that is cut shorter than this says nothing.
const LEAST_ARGUMENT: usize = 4;

impl Call {
    /// The call in at most `columns`: what a student looks for first, addresses as ss(8) writes them. `note`
    /// stands for data that nobody can read: what TLS has made of it.
    pub fn brief(&self, note: &str, columns: usize) -> String {
        let end = match (&self.errno, self.value) {
            (Some(errno), -1) => errno.clone(),
            (_, flags) if self.has(1, "F_GETFL") => format!("{flags:#x}"),
            (_, value) => value.to_string(),
        };
        let (head, tail) = (format!("{}(", self.name), format!(") = {end}"));
        let room = |tail: &str| columns.saturating_sub(columns_of(&head) + columns_of(tail));
        let whole = self.essence(note, usize::MAX);
        // A 0 that says no more than "done" goes before an argument does; of recv() it is the end.
        let tail = match columns_of(&whole) > room(&tail) && self.value == 0 && !self.takes() {
            true => ")",
            false => tail.as_str(),
        };
        cut(&format!("{head}{}{tail}", self.essence(note, room(tail))), columns)
    }

    /// The arguments that matter, in at most `room` columns; the descriptor is the last to go.
    fn essence(&self, note: &str, room: usize) -> String {
        let arg = |n: usize| self.args.get(n).cloned().unwrap_or_default();
        let plain = |n: usize| arg(n).split('|').next().unwrap_or_default().to_string();
        let address = || self.address().map(|address| address.to_string());
        let (first, rest): (String, Vec<String>) = match self.name.as_str() {
            "socket" => (plain(0), vec![plain(1)]),
            "socketpair" => (arg(3), vec![]),
            "setsockopt" | "getsockopt" => (arg(0), vec![arg(2), arg(3).trim_matches(['[', ']']).to_string()]),
            "bind" | "connect" | "accept4" | "getsockname" => (arg(0), address().into_iter().collect()),
            "listen" | "shutdown" | "fcntl" => (arg(0), self.args.iter().skip(1).cloned().collect()),
            "close_range" => (arg(0), vec![arg(1)]),
            "fork" | "close" => (arg(0), vec![]),
            "recv" | "send" | "recvfrom" | "sendto" | "recvmsg" | "sendmsg" => {
                let data = match note {
                    "" => self.data().map(readable),
                    note => Some(records(note)),
                };
                let peek = self.has(3, "MSG_PEEK").then(|| "MSG_PEEK".to_string());
                (arg(0), peek.into_iter().chain(data).chain(address()).collect())
            }
            _ => (arg(0), self.args.iter().skip(1).cloned().collect()),
        };
        fit(first, &rest, room)
    }
}

/// `first, rest…` in `room` columns: the last are left out first, and the one that is left is cut.
fn fit(first: String, rest: &[String], room: usize) -> String {
    for kept in (0..=rest.len()).rev() {
        let text = [std::slice::from_ref(&first), &rest[..kept]].concat().join(", ");
        let least = columns_of(&first) + 2 + LEAST_ARGUMENT;
        if columns_of(&text) <= room || kept == 0 {
            return text;
        }
        if kept == 1 && room >= least {
            let left = room - columns_of(&first) - 2;
            return format!("{first}, {}", cut_argument(&rest[0], left));
        }
    }
    first
}

/// `"안녕하세요"...` as `"안녕…"`, so that it still ends as data does; of an address the port, which tells more.
fn cut_argument(text: &str, columns: usize) -> String {
    if columns_of(text) > columns {
        if text.starts_with('"') {
            let data = text.trim_end_matches("...").trim_end_matches('"');
            return cut(&format!("{data}…"), columns.saturating_sub(1)) + "\"";
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            let port = format!(":{}", address.port());
            return if columns_of(&port) < columns { format!("…{port}") } else { cut(&port, columns) };
        }
    }
    cut(text, columns)
}

/// `Handshake ServerHello 127 + ChangeCipherSpec 6` as `ServerHello + ChangeCipherSpec`: the call says how long.
fn records(note: &str) -> String {
    let record = |record: &str| match record.rsplit_once(' ') {
        Some((name, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => name.replacen("Handshake ", "", 1),
        _ => record.to_string(),
    };
    note.split(" + ").map(record).collect::<Vec<_>>().join(" + ")
}

/// Data that begins with a number (the head of a relay's frame), from where its text begins.
fn readable(data: &str) -> String {
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let begins_with_number = data.strip_prefix("\"\\").is_some_and(number);
    let last = data.rmatch_indices('\\').map(|(at, _)| &data[at + 1..]).find(|rest| number(rest));
    match last.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit())) {
        Some(text) if begins_with_number && columns_of(text) > LEAST_ARGUMENT => format!("\"…{text}"),
        _ => data.into(),
    }
}

pub fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// `text` in at most `columns`, with `…` where it has been cut.
pub fn cut(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.into();
    }
    let (mut out, mut taken) = (String::new(), 0);
    for c in text.chars() {
        if taken + width(c) + 1 > columns {
            break;
        }
        taken += width(c);
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        Call::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_call_is_shortened_where_it_hurts_least() {
        let recv = call("recv(6, \"안녕하세요, 여러분\"..., 16384, 0) = 33");
        assert_eq!(recv.brief("", 80), "recv(6, \"안녕하세요, 여러분\"...) = 33");
        assert_eq!(recv.brief("", 24), "recv(6, \"안녕하…\") = 33");
        assert_eq!(recv.brief("", 35), "recv(6, \"안녕하세요, 여러분…\") = 33");
        assert_eq!(recv.brief("", 16), "recv(6) = 33");
        let frame = call(r#"send(7, "\2\0\0\0%\0\0\0* 손님2 님이"..., 45, MSG_NOSIGNAL) = 45"#);
        assert_eq!(frame.brief("", 80), "send(7, \"…* 손님2 님이\"...) = 45");
        assert_eq!(recv.brief("Handshake ClientHello 517", 80), "recv(6, ClientHello) = 33");
        let bind = call(
            r#"bind(3, {sa_family=AF_INET, sin_port=htons(7000), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 EADDRINUSE (Address already in use)"#,
        );
        assert_eq!(bind.brief("", 80), "bind(3, 127.0.0.1:7000) = EADDRINUSE");
        assert_eq!(
            call("socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3").brief("", 80),
            "socket(AF_INET, SOCK_STREAM) = 3"
        );
    }
}
