//! A program at a pseudo-terminal, and what a person would see there.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write, sink};
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

use crate::support::{BIN, eventually};

pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that has been written to it.
    written: Arc<Mutex<Vec<u8>>>,
    /// Held open so that the terminal's modes can still be asked for when everybody has left it.
    tty: File,
    before: Termios,
    columns: u16,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// `sockstep client ARGS` at a terminal that is wide enough for every line.
    pub fn client(args: &[&str]) -> Terminal {
        Terminal::run((24, 120), &[&[BIN, "client"], args].concat())
    }

    pub fn run((rows, cols): (u16, u16), command: &[&str]) -> Terminal {
        let size = PtySize { rows, cols, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).unwrap();
        let tty = pair.master.tty_name().unwrap();
        let tty = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(tty).unwrap();
        let before = tcgetattr(&tty).unwrap();
        let [rows, columns] = [rows, cols].map(|n| NonZeroU16::new(n).unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut output, sink, all) = (pair.master.try_clone_reader().unwrap(), screen.clone(), written.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buf) {
                all.lock().unwrap().extend_from_slice(&buf[..n]);
                sink.lock().unwrap().process(&buf[..n]);
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        let child = pair.slave.spawn_command(CommandBuilder::from_argv(command.iter().map(Into::into).collect()));
        Terminal { child: child.unwrap(), keyboard, screen, written, tty, before, columns: cols, master: pair.master }
    }

    /// Somebody pulls at the window: the kernel and the screen have another size from here on.
    pub fn resize(&mut self, (rows, cols): (u16, u16)) {
        let [height, width] = [rows, cols].map(|n| NonZeroU16::new(n).unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(height, width);
        self.master.resize(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        self.columns = cols;
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Types the same again and again until nothing is taken any more for a moment.
    pub fn press_until_full(&mut self, keys: &str) {
        let mut keyboard = std::mem::replace(&mut self.keyboard, Box::new(sink()));
        let (keys, taken) = (keys.repeat(300), Arc::new(AtomicUsize::new(0)));
        let counter = taken.clone();
        // Blocks for good when the program reads no more: so it must not be the test's own thread.
        std::thread::spawn(move || {
            while keyboard.write_all(keys.as_bytes()).is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (mut seen, mut since) = (0, Instant::now());
        eventually("a full terminal", || {
            let now = taken.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            seen > 0 && since.elapsed() > Duration::from_millis(700)
        });
    }

    /// The rows of the screen, without what is empty at their end and at the end of the screen.
    pub fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        let mut rows: Vec<_> = screen.screen().rows(0, self.columns).map(|row| row.trim_end().to_string()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    /// Every byte that has come so far.
    pub fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }

    /// Whether this row runs on into the next one.
    pub fn wraps(&self, row: usize) -> bool {
        self.screen.lock().unwrap().screen().row_wrapped(row as u16)
    }

    /// Whether anything on the screen has a colour of its own.
    pub fn is_coloured(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        let (rows, columns) = screen.screen().size();
        let (rows, columns) = (rows.get(), columns.get());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    pub fn cursor(&self) -> (usize, usize) {
        let (row, column) = self.screen.lock().unwrap().screen().cursor_position();
        (row.into(), column.into())
    }

    /// Waits until the last rows of the screen are exactly these.
    pub fn shows_last(&self, last: &[&str]) {
        self.shows(&format!("{last:?} as its last rows"), |rows| {
            rows.len() >= last.len() && rows[rows.len() - last.len()..] == *last
        });
    }

    /// Waits until some row holds `text`.
    pub fn shows_somewhere(&self, text: &str) {
        self.shows(&format!("{text:?}"), |rows| rows.iter().any(|row| row.contains(text)));
    }

    fn shows(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        eventually(&format!("the screen to show {what}"), || wanted(&self.rows()));
    }

    /// Waits for the prompt: the client has connected and has taken the terminal.
    pub fn is_ready(&self) {
        self.shows("the prompt", |rows| rows.last().is_some_and(|row| row == ">"));
        assert!(!self.modes().local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO));
    }

    pub fn modes(&self) -> Termios {
        tcgetattr(&self.tty).unwrap()
    }

    /// Every mode of the terminal is what it was before the program started.
    pub fn assert_given_back(&self) {
        assert!(self.before.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
        assert_eq!(self.modes(), self.before);
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.process_id().unwrap() as i32), signal).unwrap();
    }

    /// Waits for the program to end by itself.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end of the program at the terminal", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- screen ---\n{}\n--------------", self.rows().join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
