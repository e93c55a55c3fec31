//! One terminal of an experiment: a shell at a pseudo-terminal, and what a person would read there.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::{BIN, eventually};

/// The shell's prompt: nothing else writes this.
const SHELL: &str = "⟪⟫";
const PYTHON: &str = ">>> ";
/// As wide as a terminal on a projector: `ss` draws its table to this width.
const COLUMNS: u16 = 160;
/// As wide as the longest line: it is read as one, however a terminal breaks it.
const LINE: u16 = 2000;

pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    came: Arc<Mutex<Vec<u8>>>,
    /// How much of what came is written in the notes already.
    claimed: usize,
    /// How much had come when something was typed last: a prompt before that is not the answer.
    typed: usize,
}

impl Terminal {
    /// A shell in `dir`, where `sockstep` is on the path; in the network of that process, if there is one.
    pub fn open(dir: &Path, network: Option<u32>) -> Terminal {
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: COLUMNS, ..PtySize::default() }).unwrap();
        // Without echo: what is typed is written in the notes as it is.
        let start = ["sh", "-c", "stty -echo && exec bash --norc --noprofile --noediting -i"].map(String::from);
        let enter = network.map(|pid| ["nsenter", "-t", &pid.to_string(), "-n"].map(String::from));
        let argv = enter.into_iter().flatten().chain(start).map(OsString::from).collect();
        let mut shell = CommandBuilder::from_argv(argv);
        shell.cwd(dir);
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", Path::new(BIN).parent().unwrap().display()));
        for (name, value) in [("PS1", SHELL), ("PS2", ""), ("TERM", "xterm"), ("NO_COLOR", "1"), ("LC_ALL", "C.UTF-8")]
        {
            shell.env(name, value);
        }
        // Python's own prompt, without an editor that would write what is typed a second time.
        shell.env("PYTHON_BASIC_REPL", "1");
        shell.env("PYTHONPATH", dir.join(".python"));
        for name in ["RUST_LOG", "SSLKEYLOGFILE", "RUST_BACKTRACE", "HISTFILE"] {
            shell.env_remove(name);
        }
        let child = pair.slave.spawn_command(shell).unwrap();
        let (mut output, came) = (pair.master.try_clone_reader().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let sink = came.clone();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buf) {
                sink.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        let mut terminal = Terminal { child, _master: pair.master, keyboard, came, claimed: 0, typed: 0 };
        eventually("a shell", || terminal.shell_waits());
        terminal.claimed = terminal.len();
        terminal
    }

    pub fn press(&mut self, keys: &str) {
        self.typed = self.len();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    pub fn len(&self) -> usize {
        self.came.lock().unwrap().len()
    }

    /// Nothing has come since something was last typed.
    pub fn is_silent(&self) -> bool {
        self.len() == self.typed
    }

    pub fn shell_waits(&self) -> bool {
        self.came.lock().unwrap()[self.typed..].ends_with(SHELL.as_bytes())
    }

    pub fn python_waits(&self) -> bool {
        self.came.lock().unwrap()[self.typed..].ends_with(PYTHON.as_bytes())
    }

    /// Everything up to here has been read.
    pub fn claim(&mut self, upto: usize) {
        self.claimed = upto;
    }

    /// What a person has before him since the last claim, without prompts, and up to where that goes.
    pub fn unclaimed(&self) -> (Vec<String>, usize) {
        let came = self.came.lock().unwrap();
        let (before, mut new) = came.split_at(self.claimed);
        // A program may write a line and its end in two goes, and the notes may have had the first of them.
        if [b"\n".as_slice(), SHELL.as_bytes(), PYTHON.as_bytes()].iter().all(|end| !before.ends_with(end)) {
            new = new.strip_prefix(b"\r\n").unwrap_or(new);
        }
        // As many rows as there can be, so that nothing scrolls away.
        let rows = new.iter().filter(|byte| **byte == b'\n').count() + new.len() / usize::from(LINE) + 2;
        let [rows, columns] = [rows.try_into().unwrap_or(u16::MAX), LINE].map(|n| NonZeroU16::new(n).unwrap());
        let mut screen = vt100::Parser::new(rows, columns, 0);
        screen.process(new);
        (screen.screen().rows(0, LINE).map(|line| without_prompts(&line)).collect(), came.len())
    }
}

fn without_prompts(line: &str) -> String {
    let line = line.replace(SHELL, "");
    let mut rest = line.as_str();
    while let Some(after) = rest.strip_prefix(PYTHON.trim_end()) {
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    rest.to_string()
}

impl Drop for Terminal {
    /// Ends the shell and all that was started in this terminal and has not left its session.
    fn drop(&mut self) {
        let Some(shell) = self.child.process_id() else { return };
        for pid in session(shell) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// The processes whose session is this one (proc(5)).
fn session(leader: u32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let session = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(3)).map(str::to_string);
        session.is_some_and(|session| session == leader.to_string())
    };
    pids.filter(of).collect()
}
