//! Our client in another program's hands: between pipes, and standard input stays open.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::support::{Finished, client, eventually};

pub struct Piped {
    child: Child,
    stdin: ChildStdin,
    out: Collected,
    err: Collected,
}

impl Piped {
    pub fn start(args: &[&str]) -> Piped {
        let mut child = spawn(client(args).stdout(Stdio::piped()));
        let out = Collected::from(child.stdout.take().unwrap());
        Piped::over(child, out)
    }

    /// With nobody at the other end of its standard output.
    pub fn start_unheard(args: &[&str]) -> Piped {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reader);
        // A program that another test starts just now has a copy of it until its exec().
        eventually("a pipe without a reader", || {
            let mut fds = [PollFd::new(writer.as_fd(), PollFlags::empty())];
            poll(&mut fds, PollTimeout::ZERO).unwrap();
            fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
        });
        Piped::over(spawn(client(args).stdout(writer)), Collected::from(std::io::empty()))
    }

    fn over(mut child: Child, out: Collected) -> Piped {
        let err = Collected::from(child.stderr.take().unwrap());
        Piped { stdin: child.stdin.take().unwrap(), child, out, err }
    }

    pub fn say(&mut self, words: &str) {
        self.stdin.write_all(words.as_bytes()).unwrap();
    }

    /// Waits until `words` have come on its standard output.
    pub fn hears(&self, words: &str) {
        let heard = || String::from_utf8_lossy(&self.out.bytes.lock().unwrap()).contains(words);
        eventually(&format!("{words:?} on standard output"), heard);
    }

    /// Waits for its end, with standard input still open.
    pub fn end(mut self) -> Finished {
        let mut status = None;
        eventually("the client's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (out, err) = (self.out.all(), String::from_utf8(self.err.all()).unwrap());
        Finished { status: status.unwrap(), out, err }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a thread reads from a pipe; it can be looked at before the end has come.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(mut pipe: impl Read + Send + 'static) -> Collected {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = bytes.clone();
        let reader = thread::spawn(move || {
            let mut buf = [0; 65536];
            while let Ok(n @ 1..) = pipe.read(&mut buf) {
                sink.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        Collected { bytes, reader: Some(reader) }
    }

    fn all(&mut self) -> Vec<u8> {
        self.reader.take().unwrap().join().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}
