//! The sending side, in the main thread: from standard input to send().

use std::io::{Read, stdin};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::editor::Typed;
use super::talk::{Sent, Shared};
use super::{happened, wait};
use crate::error::errno_of;
use crate::lesson::{self, step};
use crate::signal::Watch;
use crate::tls::Trouble;

const BUFFER_BYTES: usize = 64 * 1024;
const QUIT: &[u8] = b"/quit";

pub struct Sender<'a, 'fd> {
    shared: &'a Shared<'fd>,
    /// Readable when the receiving thread has ended.
    ended: &'a OwnedFd,
    /// At a terminal: Ctrl-C and Ctrl-Z, which must not leave it in a strange state.
    signals: Option<&'a Watch>,
    quit: Quit,
    /// The last thing that went out was a whole line (or nothing): another one may follow it.
    between_lines: bool,
}

impl<'a, 'fd> Sender<'a, 'fd> {
    pub fn new(shared: &'a Shared<'fd>, ended: &'a OwnedFd, signals: Option<&'a Watch>) -> Self {
        Sender { shared, ended, signals, quit: Quit::default(), between_lines: true }
    }

    /// Sends `first`, then standard input to its end, and says so: close_notify and `shutdown(SHUT_WR)`.
    pub fn run(mut self, first: &str) -> Sent {
        let said = self.send_all(first.as_bytes()).and_then(|()| self.send_input()).and_then(|()| self.finish());
        match said {
            Ok(()) => Sent::All,
            Err(Sent::Signal(signal)) => {
                // A goodbye if there is room for it; no waiting.
                let mut transport = self.shared.transport();
                if self.between_lines {
                    let _ = transport.send(self.shared.farewell().as_bytes());
                }
                let _ = transport.finish();
                Sent::Signal(signal)
            }
            // Behind a /quit the server need not take what we still had to say.
            Err(Sent::Lost(_)) if self.quit.said => Sent::Interrupted { quit: true },
            Err(stopped) => stopped,
        }
    }

    fn send_input(&mut self) -> Result<(), Sent> {
        let mut buf = vec![0; BUFFER_BYTES];
        loop {
            lesson::remark(|| "보낼 글이 입력되기를 기다립니다 (poll)");
            self.wait_for(stdin().as_fd(), PollFlags::POLLIN)?;
            match read_input(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) if self.pass_on(&buf[..n])? => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Sent::InputFailed(errno_of(&error))),
            }
        }
    }

    /// At a terminal the editor decides what is a line; from a pipe bytes go as they come. True after Ctrl-D.
    fn pass_on(&mut self, bytes: &[u8]) -> Result<bool, Sent> {
        let Some(typed) = self.shared.terminal().map(|mut terminal| terminal.type_in(bytes)) else {
            return self.send_all(bytes).map(|()| false);
        };
        for typed in typed {
            match typed {
                Typed::Line(line) => self.send_all(line.as_bytes())?,
                Typed::End => return self.send_all(self.shared.farewell().as_bytes()).map(|()| true),
            }
        }
        Ok(false)
    }

    /// send() takes what fits; the rest follows when poll() says that there is room.
    fn send_all(&mut self, mut data: &[u8]) -> Result<(), Sent> {
        if data.is_empty() {
            return Ok(());
        }
        self.shared.saying(data);
        self.quit.hear(data);
        let whole_lines = data.ends_with(b"\n");
        self.between_lines = false;
        while !data.is_empty() {
            let (sent, event) = {
                let mut transport = self.shared.transport();
                (transport.send(data).map_err(Sent::Lost)?, transport.write_event())
            };
            data = &data[sent..];
            if sent == 0 {
                lesson::remark(|| "송신 버퍼에 자리가 나기를 기다립니다 (poll)");
                self.wait_for(self.shared.fd, event)?;
            }
        }
        self.between_lines = whole_lines;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Sent> {
        loop {
            let (done, event) = {
                let mut transport = self.shared.transport();
                (transport.finish().map_err(Sent::Lost)?, transport.write_event())
            };
            if done {
                return Ok(());
            }
            self.wait_for(self.shared.fd, event)?;
        }
    }

    /// Waits for `event`; an error says what came first: the end of the receiving thread, or a signal.
    fn wait_for(&self, fd: BorrowedFd<'_>, event: PollFlags) -> Result<(), Sent> {
        loop {
            let mut fds = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN), PollFd::new(fd, event)];
            fds.extend(self.signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
            wait(&mut fds, None).map_err(|errno| Sent::Lost(Trouble::Errno(errno)))?;
            if happened(&fds[0]) {
                return Err(Sent::Interrupted { quit: self.quit.said });
            }
            match self.signals.and_then(Watch::next) {
                Some(Signal::SIGTSTP) => self.shared.terminal().iter_mut().for_each(|terminal| terminal.rest()),
                Some(signal) => {
                    step::run_on(); // the other thread may ask, and hold what we need
                    return Err(Sent::Signal(signal));
                }
                None if happened(&fds[1]) => return Ok(()),
                None => {}
            }
        }
    }
}

/// Standard input, which is there; unless a key of it was for the stepper.
fn read_input(buf: &mut [u8]) -> std::io::Result<usize> {
    let keyboard = step::keyboard();
    if keyboard.is_some() && poll(&mut [PollFd::new(stdin().as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0) {
        return Err(std::io::ErrorKind::Interrupted.into());
    }
    stdin().read(buf)
}

/// Whether a line with the command `/quit` has been said, however the bytes are cut: then an end is expected.
#[derive(Default)]
struct Quit {
    line: Vec<u8>,
    said: bool,
}

impl Quit {
    /// Of each line only the beginning matters; with a \r, and one more byte to tell it from a longer line.
    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n");
            let text = line.unwrap_or(piece);
            let room = (QUIT.len() + 2).saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if line.is_some() {
                let word = self.line.trim_ascii_end().split(|byte| matches!(byte, b' ' | b'\t')).next();
                self.said |= word == Some(QUIT);
                self.line.clear();
            }
        }
    }
}
