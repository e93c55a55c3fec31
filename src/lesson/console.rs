//! Where the stepper asks: the controlling terminal, or a script that answers and standard error to read along.
//!
//! Standard input is not it: a client's standard input is the conversation.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write, stderr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use super::file::out_of_the_way;
use super::{lock, screen};
use crate::error::{During, Error, Result, describe, errno_of};

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

#[derive(Debug)]
pub enum Console {
    /// With its modes as the program has found them.
    Terminal(File, Mutex<Termios>),
    /// Parent and children read on where another has stopped: they share the open file.
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
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        if let Some((n, line)) = text.lines().enumerate().find(|(_, line)| !is_comment(line) && key(line).is_none()) {
            let line = crate::text::excerpt(line.as_bytes());
            return Err(refuse(format!("line {}: expected a key (empty, s, n, c, q or ?), found {line:?}", n + 1)));
        }
        let file = File::open(path).map_err(|error| refuse(describe(errno_of(&error))))?;
        Ok(Console::Script(File::from(out_of_the_way(file.into()))))
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
            Console::Script(_) => stderr().write_all(lines.as_bytes()),
        };
    }

    /// Waits for an answer; `None` when there will be none any more: end of the script, a terminal that has gone.
    pub fn ask(&self) -> Option<Key> {
        match self {
            Console::Terminal(tty, found) => pressed(tty, &lock(found)),
            Console::Script(file) => next_line(file),
        }
    }
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

/// One key, without Enter behind it, and without an echo. Ctrl-C and Ctrl-D are `q` here; what means nothing is passed over.
///
/// Afterwards the terminal is as it was before; as it was `found`, when one who asked has died and left it so.
fn pressed(mut tty: &File, found: &Termios) -> Option<Key> {
    let before = tcgetattr(tty).ok()?;
    let before = if before.local_flags.contains(LocalFlags::ISIG) { before } else { found.clone() };
    let mut mode = before.clone();
    mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    mode.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    mode.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    tcsetattr(tty, SetArg::TCSANOW, &mode).ok()?;
    let mut byte = [0];
    let answer = loop {
        match tty.read(&mut byte) {
            Ok(0) => break None,
            Ok(_) => match byte[0] {
                b'\r' | b'\n' => break Some(Key::Run),
                0x03 | 0x04 => break Some(Key::Quit),
                other => {
                    let word = char::from(other).to_string();
                    if let Some(key) = key(&word).filter(|key| *key != Key::Run) {
                        break Some(key);
                    }
                }
            },
            Err(error) if errno_of(&error) == Errno::EINTR => {}
            Err(_) => break None,
        }
    };
    let _ = tcsetattr(tty.as_fd(), SetArg::TCSANOW, &before);
    answer
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
