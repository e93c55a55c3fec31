//! The terminal of a person who talks: incoming lines appear above the line that is being typed.
//!
//! The kernel's own line editing (canonical mode, termios(3)) cannot be asked what has been typed so
//! far, so it is switched off, and back on when we leave, rest or die.

use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use super::editor::{Editor, Typed};
use crate::lesson::screen;
use crate::text::{escaped, width};

const PROMPT: &str = "> ";
/// To the first column, and clear to the end of the line (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";
/// A line without end is shown in pieces of this size.
const LINE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub struct Terminal {
    before: Termios,
    editor: Editor,
    /// An incoming line whose end has not come yet.
    rest: Vec<u8>,
}

/// The terminal, for all threads, and for what the lesson and the log have to say beside the conversation.
#[derive(Clone, Debug)]
pub struct Screen(Arc<Mutex<Terminal>>);

impl Screen {
    /// Takes the terminal. It is given back when the last one lets go of it.
    pub fn open() -> nix::Result<Screen> {
        let terminal = Arc::new(Mutex::new(Terminal::open()?));
        if stderr().is_terminal() {
            let seen = Arc::downgrade(&terminal);
            screen::share(Box::new(move |lines| match seen.upgrade() {
                Some(terminal) => lock(&terminal).draw(lines).is_ok(),
                None => false,
            }));
        }
        Ok(Screen(terminal))
    }

    pub fn lock(&self) -> MutexGuard<'_, Terminal> {
        lock(&self.0)
    }
}

/// A thread that panicked has left nothing half-done that matters here.
fn lock(terminal: &Mutex<Terminal>) -> MutexGuard<'_, Terminal> {
    terminal.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    /// Takes standard input out of canonical mode and shows the prompt.
    fn open() -> nix::Result<Terminal> {
        let before = tcgetattr(stdin())?;
        let mut terminal = Terminal { before, editor: Editor::default(), rest: Vec::new() };
        terminal.switch()?;
        terminal.redraw("");
        Ok(terminal)
    }

    /// No line editing, no echo, byte by byte; Ctrl-C and Ctrl-Z stay signals.
    fn switch(&mut self) -> nix::Result<()> {
        let mut mode = self.before.clone();
        mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        mode.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        mode.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(stdin(), SetArg::TCSADRAIN, &mode)
    }

    /// Keys from the keyboard; whole lines come back and stay on the screen.
    pub fn type_in(&mut self, keys: &[u8]) -> Vec<Typed> {
        let mut all = Vec::new();
        for key in keys {
            // A line that is sent stays on the screen as it was shown.
            let sent = matches!(key, b'\n' | b'\r').then(|| self.editor.shown(columns()));
            let Some(typed) = self.editor.take(*key) else { continue };
            if let Some(shown) = sent {
                self.redraw(&format!("{PROMPT}{shown}\n"));
            }
            all.push(typed);
        }
        self.redraw("");
        all
    }

    /// Bytes from the server: whole lines above the line being typed, controls made visible.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole = if whole == 0 && self.rest.len() > LINE_BYTES { self.rest.len() } else { whole };
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let shown: String = String::from_utf8_lossy(&lines).lines().map(|line| escaped(line) + "\n").collect();
        self.draw(&shown)
    }

    /// A datagram: one line above the line being typed, whatever is in it.
    pub fn show_datagram(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.draw(&(escaped(&String::from_utf8_lossy(bytes)) + "\n"))
    }

    /// A last line without end.
    pub fn show_rest(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.redraw(&(escaped(&String::from_utf8_lossy(&rest)) + "\n"));
        }
    }

    /// Ctrl-Z: gives the terminal back, sleeps until `fg`, and takes it again.
    pub fn rest(&mut self) {
        self.give_back();
        let _ = raise(Signal::SIGSTOP);
        let _ = self.switch();
        self.redraw("");
    }

    fn give_back(&mut self) {
        print(CLEAR_LINE);
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }

    /// Puts `above` where the line being typed stands, and that line below it.
    fn draw(&self, above: &str) -> io::Result<()> {
        let mut out = stdout().lock();
        write!(out, "{CLEAR_LINE}{above}{PROMPT}{}", self.editor.shown(columns()))?;
        out.flush()
    }

    /// The same where a terminal that has gone is noticed elsewhere: at the next read of it.
    fn redraw(&self, above: &str) {
        let _ = self.draw(above);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Columns for the line being typed: the window's width less the prompt and the cursor.
#[allow(unsafe_code)] // ioctl(2) has no typed form; TIOCGWINSZ fills one small struct.
fn columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a winsize that the kernel may write to, and lives until the call returns.
    let known = unsafe { libc::ioctl(stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0 && size.ws_col > 0;
    let window = if known { usize::from(size.ws_col) } else { 80 };
    window.saturating_sub(PROMPT.chars().map(width).sum::<usize>() + 1).max(1)
}
