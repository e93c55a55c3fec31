//! `sockstep timeline`: trace files of servers and clients, and a capture, as one picture.
//!
//! ```text
//! read.rs     trace files; call.rs takes a call apart, brief.rs shortens it
//! pcap.rs     captures of tcpdump -w; packet.rs is one packet
//! merge.rs    one order for all that happened
//! sockets.rs  which socket a descriptor is; arrows.rs is what travelled between them
//! lanes.rs    who stands where; wire.rs whose packets are drawn
//! compose.rs  all of it put together: model.rs is the picture
//! text.rs     for a terminal
//! svg.rs      for slides; layout.rs is where everything stands, ink.rs how it is written
//! html.rs     for a browser, step by step: page.html
//! ```

mod arrows;
mod brief;
mod call;
mod compose;
mod html;
mod ink;
mod lanes;
mod layout;
mod merge;
mod model;
mod packet;
mod pcap;
mod read;
mod sockets;
mod svg;
pub mod text;
mod wire;

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub use self::call::Call;
pub use self::model::{Doing, Event, Lane, Made, Picture, Place};
use self::pcap::{Capture, Unreadable};
use self::read::Trace;
use crate::cli::TimelineArgs;
use crate::error::{Error, Hint, Result, describe, errno_of};
use crate::text::escaped;

/// Longer files are not for a picture, and /dev/zero has no end.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Columns where there is no terminal to ask.
const COLUMNS: usize = 100;
const FINE: u8 = 0;
const FLAWED: u8 = 1;

/// What is to be drawn, by the end of the file's name.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Svg,
    Html,
}

/// Draws. 0, or 1 when something in the files could not be read: the rest is drawn all the same.
pub fn run(args: &TimelineArgs) -> Result<u8> {
    let form = args.output.as_deref().map_or(Ok(Form::Text), form)?;
    if let Some(output) = &args.output {
        refuse_to_overwrite(output, args)?;
    }
    let mut complaints = Vec::new();
    let mut traces = Vec::new();
    for path in &args.files {
        let trace = Trace::read(&path.display().to_string(), &contents(path, "trace")?);
        if trace.records.is_empty() && trace.headers.is_empty() {
            complain(trace.complaints.get(..1).unwrap_or_default()); // of another kind of file no line is as expected
            return Err(no_trace(path, "it holds no line of a trace"));
        }
        complaints.extend(trace.complaints.iter().cloned());
        traces.push(trace);
    }
    let capture = args.pcap.as_deref().map(|path| capture(path, &traces, &mut complaints)).transpose()?;
    complain(&complaints);
    let picture = compose::picture(&traces, capture.as_ref().map(|capture| capture.packets.as_slice()));
    if picture.events.is_empty() {
        let first = args.files.first().cloned().unwrap_or_default();
        return Err(no_trace(&first, "it holds no call"));
    }
    let is_packet = |event: &Event| matches!(event.what, Doing::Packet(_));
    if let Some(path) = args.pcap.as_ref().filter(|_| !picture.events.iter().any(is_packet)) {
        complain(&[format!("{}: it holds no packet of a socket in these traces", shown(path))]);
    }
    let drawn = match form {
        Form::Text => text::draw(&picture, width(args.output.is_none())),
        Form::Svg => svg::draw(&picture),
        Form::Html => html::draw(&picture),
    };
    put(args.output.as_deref(), &drawn)?;
    Ok(if complaints.is_empty() { FINE } else { FLAWED })
}

/// A trace as far as it has been written, for who looks on. What cannot be read is left out.
pub fn so_far(trace: &[u8], capture: Option<&[u8]>) -> Picture {
    let whole = trace.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let traces = [Trace::read("", &trace[..whole])];
    let capture = capture.map(|bytes| Capture::read(bytes).unwrap_or_default());
    compose::picture(&traces, capture.as_ref().map(|capture| capture.packets.as_slice()))
}

fn form(path: &Path) -> Result<Form> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(Form::Svg),
        Some("html" | "htm") => Ok(Form::Html),
        Some("txt") => Ok(Form::Text),
        _ => Err(Error::Refused {
            what: format!("-o {}", shown(path)),
            reason: "expected a name that ends in .svg, .html or .txt".into(),
            hint: "그림은 .svg, 브라우저에서 한 단계씩 볼 것은 .html, 글은 .txt로 끝나는 이름을 적으십시오.".into(),
        }),
    }
}

/// A recorded run cannot be had again.
fn refuse_to_overwrite(output: &Path, args: &TimelineArgs) -> Result<()> {
    let Ok(target) = output.canonicalize() else { return Ok(()) };
    match args.files.iter().chain(&args.pcap).find(|file| file.canonicalize().is_ok_and(|file| file == target)) {
        None => Ok(()),
        Some(file) => Err(Error::Refused {
            what: format!("-o {}", shown(output)),
            reason: format!("it is the file {} that is to be read", shown(file)),
            hint: "결과를 쓸 파일에는 다른 이름을 적으십시오.".into(),
        }),
    }
}

fn contents(path: &Path, what: &'static str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let hint: Hint = "파일의 이름과 읽기 권한을 확인하십시오. 기록은 `sockstep server --trace=파일`로 만듭니다.".into();
    let failed = |reason: String| Error::File { path: path.into(), what, reason, hint };
    match read {
        Err(error) => Err(failed(describe(errno_of(&error)))),
        Ok(_) if bytes.len() as u64 > MOST_BYTES => Err(failed(format!("longer than {MOST_BYTES} bytes"))),
        Ok(_) => Ok(bytes),
    }
}

fn no_trace(path: &Path, reason: &str) -> Error {
    Error::File {
        path: path.into(),
        what: "trace",
        reason: reason.into(),
        hint: "`sockstep server --trace=파일`이나 `sockstep client --trace=파일`로 기록한 파일을 적으십시오.".into(),
    }
}

fn capture(path: &Path, traces: &[Trace], complaints: &mut Vec<String>) -> Result<Capture> {
    let no_capture = |reason: String, hint: &'static str| Error::File {
        path: path.into(),
        what: "capture",
        reason,
        hint: hint.into(),
    };
    let capture = Capture::read(&contents(path, "capture")?).map_err(|why| match why {
        Unreadable::Pcapng => no_capture(
            "it is pcapng, not the classic format of tcpdump -w".into(),
            "`editcap -F pcap 원본.pcapng 새파일.pcap`으로 바꾼 뒤 다시 실행하십시오. editcap은 Wireshark에 들어 있습니다.",
        ),
        Unreadable::NoCapture => {
            no_capture("it is no capture".into(), "`sudo tcpdump -i lo -w 파일.pcap port 7000`으로 캡처한 파일을 적으십시오.")
        }
        Unreadable::Link(number) => no_capture(
            format!("link type {number} is not supported"),
            "이더넷이나 루프백 인터페이스에서 캡처하십시오 (예: `tcpdump -i lo`).",
        ),
    })?;
    if merge::clock(traces).is_none() {
        complaints.push(format!(
            "{}: no trace has a header (# sockstep-trace …), so its times cannot be placed",
            shown(path)
        ));
        return Ok(Capture::default());
    }
    complaints
        .extend(capture.complaint.iter().map(|why| format!("{}: {why}; what comes before is drawn", shown(path))));
    Ok(capture)
}

fn shown(path: &Path) -> String {
    escaped(&path.display().to_string())
}

fn complain(complaints: &[String]) {
    for complaint in complaints {
        let _ = writeln!(std::io::stderr(), "{complaint}");
    }
}

fn put(output: Option<&Path>, drawn: &str) -> Result<()> {
    let (written, path) = match output {
        Some(path) => (std::fs::write(path, drawn), path.to_path_buf()),
        None => {
            let mut out = std::io::stdout().lock();
            (out.write_all(drawn.as_bytes()).and_then(|()| out.flush()), PathBuf::from("standard output"))
        }
    };
    match written {
        // `| head` has seen enough.
        Err(error) if output.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::File {
            path,
            what: "output",
            reason: describe(errno_of(&error)),
            hint: "디렉터리가 있는지, 쓸 권한과 빈 공간이 있는지 확인하십시오.".into(),
        }),
        Ok(()) => Ok(()),
    }
}

/// Columns of the line: what COLUMNS or the terminal says, or [`COLUMNS`].
fn width(to_terminal: bool) -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let asked = || (to_terminal && std::io::stdout().is_terminal()).then(window).flatten();
    said.or_else(asked).unwrap_or(COLUMNS)
}

/// Columns of the terminal that standard output is; `None` when it is none.
#[allow(unsafe_code)] // ioctl(2) has no typed form; TIOCGWINSZ fills one small struct.
pub fn window() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a winsize that the kernel may write to, and lives until the call returns.
    let known = unsafe { libc::ioctl(std::io::stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    Some(usize::from(size.ws_col)).filter(|columns| known && *columns > 0)
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
