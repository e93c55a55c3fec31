//! The client over UDP: one thread and one poll() over standard input, the socket and the signals.
//!
//! The other way than talk.rs: recv() cannot know when data will come, but poll() can wait for all
//! of it at once, so nothing here needs a thread. There is no connection: each sendto() names the
//! server, and the first one gets us a port. A line is a datagram, without its newline: a datagram
//! keeps its borders by itself.
//!
//! - Notes: notes/11-udp.md
//! - Manual: udp(7), ip(7) (IP_RECVERR, ip_local_port_range), poll(2)
//! - Standard: RFC 768, RFC 1122 §4.1.3.3 (an ICMP error is passed up to us)

use std::io::{Read, stdin};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::{SockFlag, SockType};

use super::editor::Typed;
use super::lines::Lines;
use super::output::Output;
use super::terminal::Screen;
use super::{addresses, happened, nowhere, say, take_terminal, wait};
use crate::cli::Target;
use crate::error::{During, Error, Result, describe, errno_of};
use crate::lesson::{self, step};
use crate::lifecycle::{Socket, SocketOption, close, recvfrom, sendto, set_option, socket};
use crate::network::reached;
use crate::signal::{Watch, die_by};

/// More than the longest datagram.
const BUFFER_BYTES: usize = 64 * 1024;
/// What has not been answered after this long is taken for lost.
const PATIENCE: Duration = Duration::from_secs(1);

struct Talk {
    socket: Socket,
    server: SocketAddr,
    /// Further addresses of the same host: the next one is tried while none has answered.
    others: IntoIter<SocketAddr>,
    terminal: Option<Screen>,
    /// Where there is no `terminal`.
    output: Output,
    buf: Vec<u8>,
    /// What was sent last, kept for the next address.
    last: Vec<u8>,
    sent: u64,
    answered: u64,
    /// Sent, not answered, and not yet taken for lost.
    owed: u64,
    patience_ends: Instant,
}

/// Sends standard input line by line, and shows what comes back.
pub fn talk(target: &Target) -> Result<()> {
    let mut others = addresses(target)?;
    let (socket, server) = open_next(&mut others).unwrap_or_else(|| Err(nowhere(target, "no address")))?;
    let (terminal, signals) = take_terminal(&format!(
        "{server}에 UDP로 보냅니다. 한 줄을 쓰고 Enter를 누르면 데이터그램 하나를 보냅니다. 끝내려면 Ctrl-D를 누르십시오."
    ))?;
    let (output, patience_ends) = (Output::open(), Instant::now());
    let (buf, last) = (vec![0; BUFFER_BYTES], Vec::new());
    let mut talk =
        Talk { socket, server, others, terminal, output, buf, last, sent: 0, answered: 0, owed: 0, patience_ends };
    let end = talk.run(signals.as_ref());
    let Talk { socket, server, terminal, sent, answered, .. } = talk;
    drop(terminal); // it is as it was before we speak or die
    close(socket);
    match end? {
        Some(_) if step::has_quit() => Ok(()),
        Some(signal) => die_by(signal),
        None if answered >= sent => Ok(()),
        None => {
            say(&format!("데이터그램 {sent}개를 보냈고 {answered}개가 돌아왔습니다."));
            let hint = "UDP는 데이터그램이 도착했는지 알려 주지 않습니다. 서버의 주소와 포트가 맞는지, 서버가 실행 중인지, 서버가 이 컴퓨터의 주소를 허용하는지 확인하십시오.";
            Err(Error::PeerGone {
                peer: server.to_string(),
                reason: "not every datagram was answered",
                hint: Some(hint.into()),
            })
        }
    }
}

/// socket(), for the next address of the host for which there is one; `None` when there is no address left.
fn open_next(others: &mut IntoIter<SocketAddr>) -> Option<Result<(Socket, SocketAddr)>> {
    let mut opened = None;
    for addr in others.by_ref() {
        let server = reached(addr);
        opened = Some(open(&server).map(|socket| (socket, server)));
        if matches!(opened, Some(Ok(_))) {
            break;
        }
    }
    opened
}

fn open(server: &SocketAddr) -> Result<Socket> {
    let socket = socket(server, SockType::Datagram, SockFlag::SOCK_NONBLOCK).during("socket", server)?;
    let errors = if server.is_ipv4() { SocketOption::Errors } else { SocketOption::Errors6 };
    // [11.recverr]
    set_option(socket.as_fd(), errors, 1).during("setsockopt", format!("{server}, {errors:?}"))?;
    Ok(socket)
}

impl Talk {
    /// Until standard input is at its end and nothing is owed to us, or a signal comes.
    ///
    /// A person may type on while answers are under way. From a pipe, the next line waits for the
    /// answer to the one before it: a flood would only be lost.
    fn run(&mut self, signals: Option<&Watch>) -> Result<Option<Signal>> {
        let mut lines = Lines::new();
        loop {
            let now = Instant::now();
            // [11.patience]
            if self.patience_ends <= now && !step::is_on() {
                self.owed = 0;
            }
            let reads = !lines.ended && (self.terminal.is_some() || self.owed == 0);
            if self.owed == 0 {
                if let Some(line) = lines.next() {
                    self.send(line)?;
                    continue;
                }
                if lines.ended {
                    return Ok(None);
                }
            }
            let stdin = stdin();
            let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            fds.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
            fds.extend(reads.then(|| PollFd::new(stdin.as_fd(), PollFlags::POLLIN)));
            lesson::remark(|| {
                if reads {
                    "입력이나 데이터그램을 기다립니다 (poll)"
                } else {
                    "서버의 답을 기다립니다 (poll)"
                }
            });
            let left = (self.owed > 0 && !step::is_on()).then(|| self.patience_ends.saturating_duration_since(now));
            wait(&mut fds, left).during("poll", self.server)?;
            let [answer, typed] = [happened(&fds[0]), reads && fds.last().is_some_and(happened)];
            match signals.and_then(Watch::next) {
                Some(Signal::SIGTSTP) => self.terminal.iter().for_each(|terminal| terminal.lock().rest()),
                Some(signal) => {
                    step::run_on();
                    return Ok(Some(signal));
                }
                None => {}
            }
            if answer {
                self.receive()?;
            }
            if typed {
                self.read(&mut lines)?;
            }
        }
    }

    /// At a terminal the editor decides what is a line; from a pipe `lines` does, in its turn.
    fn read(&mut self, lines: &mut Lines) -> Result<()> {
        let failed = |error| Err(errno_of(&error)).during("read", "stdin");
        let Some(terminal) = &self.terminal else { return lines.fill(stdin().lock()).or_else(failed) };
        let typed = match stdin().read(&mut self.buf) {
            Ok(0) => vec![Typed::End],
            Ok(n) => terminal.lock().type_in(&self.buf[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return failed(error),
        };
        for typed in typed {
            match typed {
                Typed::Line(line) => self.send(line.trim_end_matches('\n').as_bytes())?,
                Typed::End => {
                    lines.ended = true;
                    break;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, data: &[u8]) -> Result<()> {
        self.put(data)?;
        (self.sent, self.owed) = (self.sent + 1, self.owed + 1);
        self.last.clear();
        self.last.extend_from_slice(data);
        Ok(())
    }

    /// sendto(): all of it or nothing.
    fn put(&mut self, data: &[u8]) -> Result<()> {
        loop {
            match sendto(self.socket.as_fd(), data, &self.server) {
                Ok(_) => break,
                Err(Errno::EAGAIN) => {
                    let mut room = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    wait(&mut room, None).during("poll", self.server)?;
                }
                Err(errno) => self.try_next_address("sendto", errno)?,
            }
        }
        self.patience_ends = Instant::now() + PATIENCE;
        Ok(())
    }

    /// recvfrom(), and an answer is shown as a line. An ICMP error of what we sent comes out here, too.
    fn receive(&mut self) -> Result<()> {
        let datagram = match recvfrom(self.socket.as_fd(), &mut self.buf) {
            Ok(datagram) if datagram.from == self.server => datagram.bytes,
            Ok(stranger) => {
                log::debug!("ignored a datagram of {}, not of {}", stranger.from, self.server);
                return Ok(());
            }
            Err(Errno::EAGAIN) => return Ok(()), // its checksum was wrong: poll(2), BUGS
            Err(errno) => {
                self.try_next_address("recvfrom", errno)?;
                let last = std::mem::take(&mut self.last);
                let put = self.put(&last);
                self.last = last;
                return put;
            }
        };
        (self.answered, self.owed) = (self.answered + 1, self.owed.saturating_sub(1));
        let shown = match &self.terminal {
            Some(terminal) => terminal.lock().show_datagram(datagram),
            None => self.output.print_datagram(datagram),
        };
        shown.map_err(|error| errno_of(&error)).during("write", "stdout")
    }

    /// A host with several addresses, as localhost, need not have a server at each of them.
    fn try_next_address(&mut self, call: &'static str, errno: Errno) -> Result<()> {
        let next = if self.answered == 0 { open_next(&mut self.others) } else { None };
        match next {
            Some(Ok((socket, server))) => {
                log::info!("{}: {}: trying {server}", self.server, describe(errno));
                close(std::mem::replace(&mut self.socket, socket));
                self.server = server;
                Ok(())
            }
            _ => Err(errno).during(call, self.server),
        }
    }
}
