//! The log: one line an event, with time, level, role and pid.
//!
//! It goes to standard error; as a daemon, to a file or to syslog (`sink.rs`); `patient.rs` writes. There it belongs to the
//! parent alone: a child hands its lines over through the relay pair, so that it keeps no descriptor
//! of the log, and a log that is opened anew is a new one for everybody.
//!
//! - Notes: notes/13-daemon.md
//! - Manual: syslog(3), unix(7), open(2) (O_APPEND)

mod patient;
mod sink;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter, Record};

use self::sink::{Form, form, hand_over_through};
pub use self::sink::{Sink, divert, end_hand_over, give_to, open_file, open_syslog, reopen};
use crate::lesson;
use crate::text::{Harmless, escaped, excerpt};

/// The kind byte of a packet with a line for the log.
pub const LOG_PACKET: u8 = b'G';
/// The longest text of such a packet; what is longer is cut.
const PACKET_TEXT_CHARS: usize = 500;

/// Whose lines these are: 0 for the parent and for a client, otherwise the number of the connection.
static CONNECTION: AtomicU32 = AtomicU32::new(0);
/// The pid of the child whose line the parent is writing down; 0 when a process speaks for itself.
static SPEAKER_PID: AtomicI32 = AtomicI32::new(0);

/// From here on this process is the child of connection `id` in the log.
pub fn become_child(id: u32, relay: BorrowedFd<'_>) {
    CONNECTION.store(id, Ordering::Relaxed);
    let parents = hand_over_through(relay.as_raw_fd());
    lesson::become_child(id);
    drop(parents); // syslog's socket, if it was that: now its end is told as this child's
}

/// Sets the log up: `level` unless RUST_LOG says otherwise.
///
/// With `trace` the calls are shown as well: bare lines on standard error, which may be coloured.
pub fn init(role: &'static str, level: &str, trace: bool) {
    patient::make_stderr_nonblocking();
    lesson::play(role);
    let mut builder = Builder::from_env(Env::default().default_filter_or(level));
    if trace {
        builder.filter_module(lesson::TARGET, LevelFilter::Trace);
    }
    builder
        .target(Target::Pipe(Box::new(patient::Patient::default())))
        .format(move |buf, record| match form() {
            Form::Bare if record.target() == lesson::TARGET => bare_line(buf, record),
            Form::Bare | Form::Terminal => terminal_line(buf, role, record),
            Form::Syslog => syslog_line(buf, record),
            Form::ToParent => packet(buf, record),
        })
        .init();
    lesson::colour(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()));
    if log::log_enabled!(target: lesson::TARGET, Level::Trace) {
        lesson::watch();
    }
}

/// A panic is a line in the log as well: a daemon's standard error leads nowhere.
pub fn note_panics() {
    std::panic::set_hook(Box::new(|panic| log::error!("{}", panic.to_string().replace('\n', " "))));
}

/// A call, as a class is shown it: whose it is and what it is, and no time.
fn bare_line(buf: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    writeln!(buf, "[{} {}] {}", lesson::role(), lesson::pid(), record.args())
}

fn terminal_line(buf: &mut Formatter, role: &str, record: &Record<'_>) -> std::io::Result<()> {
    let (time, level) = (buf.timestamp_millis(), record.level());
    match speaker() {
        (0, pid) => writeln!(buf, "{time} {level:<5} [{role} {pid}] {}", Harmless(record.args())),
        (id, pid) => writeln!(buf, "{time} {level:<5} [c{id} {pid}] {}", Harmless(record.args())),
    }
}

/// `<priority>tag[pid]: text`, as syslog(3) sends it, but for the time, which the receiver knows better.
fn syslog_line(buf: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let severity = match record.level() {
        Level::Error => libc::LOG_ERR,
        Level::Warn => libc::LOG_WARNING,
        Level::Info => libc::LOG_INFO,
        Level::Debug | Level::Trace => libc::LOG_DEBUG,
    };
    write!(buf, "<{}>sockstep[{}]: ", libc::LOG_DAEMON | severity, std::process::id())?;
    match speaker() {
        (0, _) => write!(buf, "{}", Harmless(record.args())),
        (id, pid) => write!(buf, "[c{id} {pid}] {}", Harmless(record.args())),
    }
}

/// Kind, level, target, text: what [`write_down`] reads. No newline: the packet has its own end.
fn packet(buf: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let mut text = String::new();
    let _ = write!(text, "{}", record.args()); // a String takes everything
    let cut: String = escaped(&text).chars().take(PACKET_TEXT_CHARS).collect();
    write!(buf, "{}{}{} {cut}", char::from(LOG_PACKET), record.level() as usize, record.target())
}

/// The connection and the pid that the next line is to name.
fn speaker() -> (u32, i32) {
    let pid = match SPEAKER_PID.load(Ordering::Relaxed) {
        0 => std::process::id() as i32,
        pid => pid,
    };
    (CONNECTION.load(Ordering::Relaxed), pid)
}

/// Writes a line down for the child of connection `id`, and returns its level; `None` when no child of ours would
/// send this.
pub fn write_down(packet: &[u8], id: u32, pid: i32) -> Option<Level> {
    let (level, target, text) = parse(packet)?;
    CONNECTION.store(id, Ordering::Relaxed);
    SPEAKER_PID.store(pid, Ordering::Relaxed);
    log::log!(target: target, level, "{text}");
    SPEAKER_PID.store(0, Ordering::Relaxed);
    CONNECTION.store(0, Ordering::Relaxed);
    Some(level)
}

fn parse(packet: &[u8]) -> Option<(Level, &str, &str)> {
    let content = std::str::from_utf8(packet.strip_prefix(&[LOG_PACKET])?).ok()?;
    let (level, rest) = content.split_at_checked(1)?;
    let level = Level::iter().find(|known| level == (*known as usize).to_string())?;
    let (target, text) = rest.split_once(' ')?;
    let clean = target.starts_with("sockstep") && excerpt(target.as_bytes()) == target && escaped(text) == text;
    (clean && text.chars().count() <= PACKET_TEXT_CHARS).then_some((level, target, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_childs_line_is_level_target_and_text() {
        assert_eq!(parse("G3sockstep::tls 안녕 x".as_bytes()), Some((Level::Info, "sockstep::tls", "안녕 x")));
        for bad in ["", "G", "G9sockstep a", "G3sockstep", "G3other a", "G3sockstep \x1b[2J", "T3sockstep a"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse(format!("G3sockstep {}", "가".repeat(PACKET_TEXT_CHARS + 1)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(bytes: Vec<u8>) {
            let packet = [&[LOG_PACKET][..], &bytes].concat();
            if let Some((_, _, text)) = parse(&packet) {
                prop_assert!(!text.chars().any(crate::text::is_control));
            }
        }

        /// What is written down is one line of a child of ours, with nothing in it that a terminal would obey.
        #[test]
        fn almost_a_line_is_one_or_none(
            text in "G?[0-9]?(sockstep(::[a-z]{0,4}|\\PC|\n|\x1b)?|other)? ?(\\PC|[\x00-\x1f\u{80}-\u{9f}\u{202e}\u{61c}]){0,40}",
        ) {
            if let Some((_, target, said)) = parse(text.as_bytes()) {
                prop_assert!(target.starts_with("sockstep") && target.len() <= 100 * 4);
                prop_assert!(![target, said].iter().any(|part| part.chars().any(crate::text::is_control)));
            }
        }
    }
}
