//! The sending side, in the main thread: from standard input to send().

use std::io::{Read, stdin};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, raise};

use super::editor::Typed;
use super::talk::{Sent, Shared};
use super::{happened, wait};
use crate::error::errno_of;
use crate::signal::Watch;
use crate::tls::Trouble;

const BUFFER_BYTES: usize = 64 * 1024;

/// Where the words come from, and what else may happen meanwhile.
pub struct Input<'a> {
    /// What is said before anything is typed.
    pub first: Option<String>,
    /// Readable when the receiving thread has ended.
    pub ended: &'a OwnedFd,
    /// At a terminal: Ctrl-C and Ctrl-Z, which must not leave it in a strange state.
    pub signals: Option<Watch>,
}

/// What woke the sending side.
enum Woken {
    Input,
    Ended,
    Signal(Signal),
}

/// Sends standard input to its end, and then says so: close_notify and `shutdown(SHUT_WR)`.
pub fn send_input(shared: &Shared<'_>, input: Input<'_>) -> Sent {
    match say_everything(shared, &input) {
        Ok(end @ (Sent::All | Sent::Signal(_))) => finish(shared, &input).map_or_else(Sent::Lost, |()| end),
        Ok(end) => end,
        Err(trouble) => Sent::Lost(trouble),
    }
}

fn say_everything(shared: &Shared<'_>, input: &Input<'_>) -> Result<Sent, Trouble> {
    if let Some(first) = &input.first {
        send_all(shared, first.as_bytes(), input)?;
    }
    let (mut buf, mut quit) = (vec![0; BUFFER_BYTES], false);
    loop {
        match wait_for_input(input) {
            Ok(Woken::Ended) => return Ok(Sent::Interrupted { quit }),
            Ok(Woken::Signal(Signal::SIGTSTP)) => rest(shared),
            Ok(Woken::Signal(signal)) => return Ok(Sent::Signal(signal)),
            Ok(Woken::Input) => match stdin().read(&mut buf) {
                Ok(0) => return Ok(Sent::All),
                Ok(n) if pass_on(shared, &buf[..n], input, &mut quit)? => return Ok(Sent::All),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Sent::InputFailed(errno_of(&error))),
            },
            Err(errno) => return Ok(Sent::InputFailed(errno)),
        }
    }
}

fn wait_for_input(input: &Input<'_>) -> nix::Result<Woken> {
    let stdin = stdin();
    let mut fds =
        vec![PollFd::new(input.ended.as_fd(), PollFlags::POLLIN), PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    if let Some(signals) = &input.signals {
        fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
    }
    wait(&mut fds, None)?;
    if happened(&fds[0]) {
        return Ok(Woken::Ended);
    }
    Ok(input.signals.as_ref().and_then(Watch::next).map_or(Woken::Input, Woken::Signal))
}

/// At a terminal the editor decides what is a line; from a pipe bytes go as they come. True after Ctrl-D.
fn pass_on(shared: &Shared<'_>, bytes: &[u8], input: &Input<'_>, quit: &mut bool) -> Result<bool, Trouble> {
    let Some(typed) = shared.terminal().map(|mut terminal| terminal.type_in(bytes)) else {
        *quit = is_quit(bytes);
        return send_all(shared, bytes, input).map(|()| false);
    };
    for typed in typed {
        match typed {
            Typed::Line(line) => {
                *quit = is_quit(line.as_bytes());
                send_all(shared, line.as_bytes(), input)?;
            }
            Typed::End => return send_all(shared, shared.farewell().as_bytes(), input).map(|()| true),
        }
    }
    Ok(false)
}

fn is_quit(bytes: &[u8]) -> bool {
    bytes.trim_ascii_end().ends_with(b"/quit")
}

/// Ctrl-Z: gives the terminal back, sleeps until `fg`, and takes it again.
fn rest(shared: &Shared<'_>) {
    if let Some(mut terminal) = shared.terminal() {
        terminal.give_back();
        let _ = raise(Signal::SIGSTOP);
        terminal.take_again();
    }
}

/// send() takes what fits; the rest follows when poll() says that there is room.
fn send_all(shared: &Shared<'_>, mut data: &[u8], input: &Input<'_>) -> Result<(), Trouble> {
    shared.saying(data);
    while !data.is_empty() {
        let (sent, event) = {
            let mut transport = shared.transport();
            (transport.send(data)?, transport.write_event())
        };
        data = &data[sent..];
        if sent == 0 {
            wait_for_room(shared, event, input)?;
        }
    }
    Ok(())
}

fn finish(shared: &Shared<'_>, input: &Input<'_>) -> Result<(), Trouble> {
    loop {
        let (done, event) = {
            let mut transport = shared.transport();
            (transport.finish()?, transport.write_event())
        };
        if done {
            return Ok(());
        }
        wait_for_room(shared, event, input)?;
    }
}

/// Waits until the connection can go on, or the receiving thread has ended: then nothing can.
fn wait_for_room(shared: &Shared<'_>, event: PollFlags, input: &Input<'_>) -> Result<(), Trouble> {
    let mut fds = [PollFd::new(input.ended.as_fd(), PollFlags::POLLIN), PollFd::new(shared.fd, event)];
    wait(&mut fds, None).map_err(Trouble::Errno)?;
    if happened(&fds[0]) { Err(Trouble::Errno(Errno::EPIPE)) } else { Ok(()) }
}
