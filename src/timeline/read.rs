//! Trace files: what `--trace=FILE` has written, read back line by line.
//!
//! A line that is not what it should be is named with its file and number, and the rest is read on: a
//! file may be cut short, edited by hand, or still be written to.

use super::call::Call;
use crate::text::{escaped, excerpt};

/// Lines that are wrong are named one by one up to this many a file; then only counted.
const MOST_COMPLAINTS: usize = 20;
/// The columns of a record: time, role, pid, call, duration, annotation, chapter.
const COLUMNS: usize = 7;
const HEADER: &str = "# sockstep-trace ";
const VERSION: &str = "1";

/// What one file holds.
#[derive(Debug, Default)]
pub struct Trace {
    pub records: Vec<Record>,
    pub headers: Vec<Header>,
    /// `run.trace:17: expected …`
    pub complaints: Vec<String>,
}

/// The two clocks of the machine that wrote the file, in microseconds, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub realtime: u64,
    pub monotonic: u64,
}

impl Header {
    /// What is to be added to the monotonic clock for the time of day.
    pub fn offset(&self) -> i128 {
        i128::from(self.realtime) - i128::from(self.monotonic)
    }
}

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Client,
    Server,
    /// The child of this connection.
    Child(u32),
}

#[derive(Clone, Debug)]
pub struct Record {
    /// CLOCK_MONOTONIC, microseconds, at which the call began.
    pub time: u64,
    pub role: Role,
    pub pid: i32,
    /// The thread; as the pid for the main one.
    pub tid: i32,
    pub what: What,
    /// How long the call took, in microseconds.
    pub took: u64,
    /// The TLS records that went through the call.
    pub note: String,
    pub chapter: String,
}

#[derive(Clone, Debug)]
pub enum What {
    Call(Call),
    State(State),
}

/// What the kernel says of a descriptor, in the words of ss(8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub fd: i32,
    pub kind: String,
    pub state: String,
    pub recv_q: u64,
    pub send_q: u64,
    pub local: String,
    pub peer: String,
}

impl Trace {
    /// Reads a whole file; `name` is what complaints call it.
    pub fn read(name: &str, bytes: &[u8]) -> Trace {
        let (mut trace, mut wrong) = (Trace::default(), 0);
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            let taken = std::str::from_utf8(line)
                .map_err(|_| "expected UTF-8 text".to_string())
                .and_then(|line| trace.take(line));
            let Err(expected) = taken else { continue };
            wrong += 1;
            if wrong <= MOST_COMPLAINTS {
                trace.complaints.push(format!("{}:{number}: {expected}", escaped(name)));
            }
        }
        if wrong > MOST_COMPLAINTS {
            let more = wrong - MOST_COMPLAINTS;
            trace.complaints.push(format!("{}: {more} more lines that are not as expected", escaped(name)));
        }
        trace
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if let Some(header) = line.strip_prefix(HEADER) {
            self.headers.push(read_header(header)?);
        } else if !line.is_empty() && !line.starts_with('#') {
            self.records.push(read_record(line)?);
        }
        Ok(())
    }
}

fn read_header(line: &str) -> Result<Header, String> {
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    if version != VERSION {
        return Err(format!("expected `{HEADER}{VERSION} …`, found version {:?}", excerpt(version.as_bytes())));
    }
    let (mut realtime, mut monotonic) = (None, None);
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        match key {
            "realtime" => realtime = value.parse().ok(),
            "monotonic" => monotonic = value.parse().ok(),
            _ => {}
        }
    }
    let (Some(realtime), Some(monotonic)) = (realtime, monotonic) else {
        return Err("expected realtime=MICROSECONDS and monotonic=MICROSECONDS in the header".into());
    };
    Ok(Header { realtime, monotonic })
}

fn read_record(line: &str) -> Result<Record, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [time, role, pid, what, took, note, chapter] = columns[..] else {
        return Err(format!("expected {COLUMNS} columns separated by tabs, found {}", columns.len()));
    };
    let (pid, tid) = read_pid(pid).ok_or_else(|| expected("a pid, or pid/tid, in column 3", pid))?;
    Ok(Record {
        time: time.parse().map_err(|_| expected("microseconds in column 1", time))?,
        role: read_role(role).ok_or_else(|| expected("server, client, or c and a number in column 2", role))?,
        pid,
        tid,
        what: read_what(what).ok_or_else(|| expected("a call such as `close(3) = 0` in column 4", what))?,
        took: match took {
            "" => 0,
            took => took.parse().map_err(|_| expected("microseconds in column 5", took))?,
        },
        note: note.into(),
        chapter: chapter.into(),
    })
}

fn expected(what: &str, found: &str) -> String {
    format!("expected {what}, found {:?}", excerpt(found.as_bytes()))
}

fn read_role(text: &str) -> Option<Role> {
    match text {
        "server" => Some(Role::Server),
        "client" => Some(Role::Client),
        _ => text.strip_prefix('c')?.parse().ok().map(Role::Child),
    }
}

fn read_pid(text: &str) -> Option<(i32, i32)> {
    let (pid, tid) = text.split_once('/').unwrap_or((text, text));
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    Some((number(pid)?, number(tid)?))
}

fn read_what(text: &str) -> Option<What> {
    match text.strip_prefix("state ") {
        Some(state) => read_state(state).map(What::State),
        None => Call::parse(text).map(What::Call),
    }
}

fn read_state(text: &str) -> Option<State> {
    let words: Vec<&str> = text.split(' ').collect();
    let [fd, kind, state, recv_q, send_q, local, peer] = words[..] else { return None };
    Some(State {
        fd: fd.parse().ok().filter(|fd| *fd >= 0)?,
        kind: kind.into(),
        state: state.into(),
        recv_q: recv_q.parse().ok()?,
        send_q: send_q.parse().ok()?,
        local: local.into(),
        peer: peer.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "# sockstep-trace 1 realtime=1764000000123456 monotonic=81234567890 role=server pid=4121\n";

    #[test]
    fn a_file_is_header_comments_calls_and_states() {
        let text = format!(
            "{HEAD}# a comment\n10\tserver\t4121\tsocket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3\t12\t\tnotes/03-socket.md\n\
             11\tserver\t4121\tstate 3 tcp LISTEN 0 4096 127.0.0.1:7000 0.0.0.0:*\t\t\t\n\
             12\tc1\t4130/4131\trecv(6, …, 65536, 0) = -1 EAGAIN (Resource temporarily unavailable)\t2\tHandshake ClientHello 517\t\n"
        );
        let trace = Trace::read("x", text.as_bytes());
        assert_eq!(trace.complaints, [""; 0]);
        assert_eq!(trace.headers, [Header { realtime: 1_764_000_000_123_456, monotonic: 81_234_567_890 }]);
        let [call, state, thread] = &trace.records[..] else { panic!("{:?}", trace.records) };
        assert_eq!((call.time, call.role, call.pid, call.took), (10, Role::Server, 4121, 12));
        let What::State(state) = &state.what else { panic!("{state:?}") };
        assert_eq!((state.fd, state.state.as_str(), state.send_q), (3, "LISTEN", 4096));
        assert_eq!((thread.role, thread.pid, thread.tid), (Role::Child(1), 4130, 4131));
        assert_eq!(thread.note, "Handshake ClientHello 517");
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_the_rest_is_read() {
        let lines: [(&[u8], &str); 7] = [
            (b"a\tb\tc", "expected 7 columns separated by tabs, found 3"),
            (b"\xff", "expected UTF-8 text"),
            (b"x\tserver\t1\tclose(3) = 0\t1\t\t", "expected microseconds in column 1, found \"x\""),
            (b"1\tpeer\t1\tclose(3) = 0\t1\t\t", "column 2, found \"peer\""),
            (b"1\tserver\t0\tclose(3) = 0\t1\t\t", "column 3, found \"0\""),
            (b"1\tserver\t1\tclose(3\t1\t\t", "column 4, found \"close(3\""),
            (b"1\tserver\t1\tstate 3 tcp\t1\t\t", "column 4, found \"state 3 tcp\""),
        ];
        for (line, expected) in lines {
            let text = [HEAD.as_bytes(), line, b"\n1\tserver\t1\tclose(3) = 0\t1\t\t\n"].concat();
            let trace = Trace::read("run.trace", &text);
            let [complaint] = &trace.complaints[..] else { panic!("{:?}", trace.complaints) };
            assert!(complaint.starts_with("run.trace:2: expected ") && complaint.ends_with(expected), "{complaint}");
            assert_eq!(trace.records.len(), 1);
        }
    }

    #[test]
    fn a_file_of_rubbish_does_not_flood_the_screen() {
        let trace = Trace::read("x", "rubbish\n".repeat(1000).as_bytes());
        assert_eq!(trace.complaints.len(), MOST_COMPLAINTS + 1);
        assert_eq!(trace.complaints[MOST_COMPLAINTS], "x: 980 more lines that are not as expected");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            Trace::read("x", &bytes);
        }

        #[test]
        fn almost_a_trace_is_read_without_harm(text in "(# sockstep-trace [0-9 a-z=]{0,40}\n)?([0-9]{0,22}\t(server|client|c[0-9]{0,12})\t[0-9/]{0,24}\t(state [0-9a-z: ]{0,30}|[a-z]{0,6}\\(.{0,30}\\) = -?[0-9]{0,20})\t[0-9]{0,22}\t.{0,5}\t\n){0,3}") {
            let trace = Trace::read("x", text.as_bytes());
            prop_assert!(trace.records.len() <= 3);
        }
    }
}
