//! A program that a test talks with while it runs: ncat, openssl s_client, our own client.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Finished, eventually};

/// Killed and waited for when dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Output,
    err: Output,
}

/// What has come so far, and the thread that reads it.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap()));
        Program { stdin: child.stdin.take(), child, out, err }
    }

    pub fn say(&mut self, words: &str) {
        self.stdin.as_mut().unwrap().write_all(words.as_bytes()).unwrap();
    }

    /// Closes the program's standard input.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// What it has written to standard output so far.
    pub fn heard(&self) -> String {
        self.out.text()
    }

    pub fn wait_for(&self, text: &str) {
        eventually(&format!("{text:?} on standard output"), || self.heard().contains(text));
    }

    /// Waits until it has ended, by itself.
    pub fn end(mut self) -> Finished {
        let mut status = None;
        eventually("the program's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        for output in [&mut self.out, &mut self.err] {
            output.reader.take().unwrap().join().unwrap();
        }
        Finished { status: status.unwrap(), out: self.heard().into_bytes(), err: self.err.text() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- program's stdout ---\n{}--- stderr ---\n{}", self.heard(), self.err.text());
        }
    }
}

impl Output {
    fn of(mut from: impl Read + Send + 'static) -> Output {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = text.clone();
        let reader = std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buf) {
                sink.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        Output { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}
