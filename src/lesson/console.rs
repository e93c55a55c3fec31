//! Where the stepper asks: the controlling terminal, or a script that answers and standard error to read along.
//!
//! Standard input is not it: a client's standard input is the conversation.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write, stderr};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::sys::termios::{FlushArg, SetArg, Termios, tcflush, tcgetattr, tcsetattr};

use super::file::{append_all, out_of_the_way};
use super::keyboard::{Keyboard, Press, was_left};
use super::{lock, screen};
use crate::error::{During, Error, Result, describe, errno_of};

/// Nobody writes down more keys than this.
const SCRIPT_MAX_BYTES: u64 = 1 << 20;

/// What a person, or a line of the script, answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Run,
    State,
    NextKind,
    RunOn,
    Quit,
    Help,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Key(Key),
    /// End of the script, or a terminal that has gone.
    NoMore,
    /// Nobody asks any more: the program is ending.
    Over,
}

#[derive(Debug)]
pub enum Console {
    /// With its modes as the program has found them.
    Terminal(File, Mutex<Termios>),
    /// A copy of it. Parent and children read on where another has stopped: they share the open file.
    Script(File),
}

impl Console {
    pub fn terminal() -> Result<Console> {
        let tty = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty");
        let tty = tty.map_err(|error| Error::File {
            path: "/dev/tty".into(),
            what: "controlling terminal",
            reason: describe(errno_of(&error)),
            hint: "--step은 터미널에서 실행해야 합니다. 터미널이 없으면 --step-script로 키를 적은 파일을 지정하십시오."
                .into(),
        })?;
        let modes = tcgetattr(&tty).during("tcgetattr", "/dev/tty")?;
        Ok(Console::Terminal(File::from(out_of_the_way(tty.into())), Mutex::new(modes)))
    }

    /// One answer a line: nothing (Enter), `s`, `n`, `c`, `q` or `?`; `#` begins a comment.
    pub fn script(path: &Path) -> Result<Console> {
        let refuse = |reason| Error::File {
            path: path.into(),
            what: "step script",
            reason,
            hint: "한 줄에 키를 하나씩 적습니다: 빈 줄(Enter), s, n, c, q, ?. #으로 시작하는 줄은 설명입니다.".into(),
        };
        let text = read_script(path).map_err(|error| refuse(said(&error)))?;
        if let Some((n, line)) = text.lines().enumerate().find(|(_, line)| !is_comment(line) && key(line).is_none()) {
            let line = crate::text::excerpt(line.as_bytes());
            return Err(refuse(format!("line {}: expected a key (empty, s, n, c, q or ?), found {line:?}", n + 1)));
        }
        let mut keys: File = memfd_create("sockstep-keys", MFdFlags::MFD_CLOEXEC).during("memfd_create", "")?.into();
        let copied = keys.write_all(text.as_bytes()).and_then(|()| keys.rewind());
        copied.map_err(|error| errno_of(&error)).during("write", "copy of the step script")?;
        Ok(Console::Script(File::from(out_of_the_way(keys.into()))))
    }

    pub fn raw_fd(&self) -> RawFd {
        match self {
            Console::Terminal(file, _) | Console::Script(file) => file.as_raw_fd(),
        }
    }

    /// Shows whole lines. A terminal that has gone is noticed when it is asked.
    pub fn say(&self, lines: &str) {
        if screen::above(lines) {
            return;
        }
        let _ = match self {
            Console::Terminal(tty, _) => Write::write_all(&mut &*tty, lines.as_bytes()),
            Console::Script(_) => say_on_stderr(lines),
        };
    }

    /// Waits for an answer, while the question `stands`. `heard`: the signals that this process ends by.
    pub fn ask(&self, heard: &[Signal], stands: impl Fn() -> bool) -> Answer {
        match self {
            Console::Terminal(tty, found) => match Keyboard::take(tty, &lock(found), heard) {
                Some(keyboard) => pressed(&keyboard, stands),
                None => Answer::NoMore,
            },
            Console::Script(file) => next_line(file).map_or(Answer::NoMore, Answer::Key),
        }
    }

    /// Drops what has been typed and not read.
    pub fn forget_keys(&self) {
        if let Console::Terminal(tty, _) = self {
            let _ = tcflush(tty, FlushArg::TCIFLUSH);
        }
    }

    /// Gives the terminal the modes back that one who asked, and was killed, has left it without.
    pub fn tidy(&self) {
        if let Console::Terminal(tty, found) = self
            && tcgetattr(tty).is_ok_and(|modes| was_left(&modes))
        {
            let _ = tcsetattr(tty, SetArg::TCSANOW, &lock(found));
        }
    }
}

/// Standard error may be a pipe and does not block: what is not read in time is lost, and counted.
fn say_on_stderr(lines: &str) -> std::io::Result<()> {
    static LOST: AtomicUsize = AtomicUsize::new(0);
    let lost = LOST.load(Ordering::Relaxed);
    let note = if lost == 0 { String::new() } else { format!("    ({lost} lines lost: they were not read in time)\n") };
    let said = append_all(&mut stderr(), (note + lines).as_bytes());
    LOST.store(if said.is_ok() { 0 } else { lost + lines.lines().count() }, Ordering::Relaxed);
    said
}

/// All of it, once: what is read from a pipe is not there a second time.
fn read_script(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SCRIPT_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SCRIPT_MAX_BYTES {
        return Err(Errno::EFBIG.into());
    }
    Ok(text)
}

/// An errno by its name; what is no errno in its own words.
fn said(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| describe(Errno::from_raw(code)))
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#')
}

fn key(word: &str) -> Option<Key> {
    Some(match word.trim() {
        "" => Key::Run,
        "s" => Key::State,
        "n" => Key::NextKind,
        "c" => Key::RunOn,
        "q" => Key::Quit,
        "?" => Key::Help,
        _ => return None,
    })
}

/// Ctrl-C and Ctrl-D are `q` here; what means nothing is passed over.
fn pressed(keyboard: &Keyboard<'_>, stands: impl Fn() -> bool) -> Answer {
    loop {
        match keyboard.press(&stands) {
            Press::Key(b'\r' | b'\n') => return Answer::Key(Key::Run),
            Press::Key(0x03 | 0x04) => return Answer::Key(Key::Quit),
            Press::Key(other) => {
                if let Some(key) = key(&char::from(other).to_string()).filter(|key| *key != Key::Run) {
                    return Answer::Key(key);
                }
            }
            Press::Over => return Answer::Over,
            Press::Gone => return Answer::NoMore,
        }
    }
}

/// Byte by byte: what is behind the line belongs to whoever asks next.
fn next_line(mut file: &File) -> Option<Key> {
    loop {
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            match file.read(&mut byte) {
                Ok(0) if line.is_empty() => return None,
                Ok(0) => break,
                Ok(_) if byte[0] == b'\n' => break,
                Ok(_) => line.push(byte[0]),
                Err(error) if errno_of(&error) == Errno::EINTR => {}
                Err(_) => return None,
            }
        }
        let line = String::from_utf8_lossy(&line);
        if !is_comment(&line) {
            return key(&line);
        }
    }
}
