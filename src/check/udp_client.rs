//! One of our clients over UDP: what it sends comes back, whole, and nothing else comes.
//!
//! A datagram may be lost: what has not come back is sent again, a few times.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{SockFlag, SockType};

use super::case::{Failure, Outcome};
use super::exam::Exam;
use super::pump::wait;
use super::shown;
use crate::error::describe;
use crate::lifecycle::{Socket, SocketOption, close, recvfrom, sendto, set_option, socket};

/// More than the longest datagram.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often something is sent before it counts as unanswered.
const TRIES: u32 = 5;
/// How long to listen for what is too much.
const QUIET: Duration = Duration::from_millis(150);

/// One of our clients.
pub struct Client<'e> {
    exam: &'e Exam,
    pub who: &'static str,
    socket: Socket,
    server: SocketAddr,
    buf: Vec<u8>,
    /// All that has been sent: what comes of it late is no other datagram.
    said: Vec<Vec<u8>>,
    /// Something was sent twice, and may come twice.
    retried: bool,
}

impl<'e> Client<'e> {
    /// For the address that has answered, or the first one at which nobody says that there is no server.
    pub fn open(exam: &'e Exam, who: &'static str) -> Result<Client<'e>, Failure> {
        let fail = |call: &str, errno| Failure::new(format!("{call}()"), "성공합니다", describe(errno));
        let mut last = fail("socket", Errno::EHOSTUNREACH);
        for server in exam.addresses() {
            let opened = socket(&server, SockType::Datagram, SockFlag::SOCK_NONBLOCK);
            let socket = opened.map_err(|errno| fail("socket", errno))?;
            let errors = if server.is_ipv4() { SocketOption::Errors } else { SocketOption::Errors6 };
            set_option(socket.as_fd(), errors, 1).map_err(|errno| fail("setsockopt", errno))?;
            let (buf, said) = (vec![0; BUFFER_BYTES], Vec::new());
            let mut client = Client { exam, who, socket, server, buf, said, retried: false };
            if exam.has_answered() {
                return Ok(client);
            }
            match client.knock() {
                Ok(()) => {
                    exam.answered_at(server);
                    return Ok(client);
                }
                Err(errno) => {
                    exam.not_reached("recvfrom", &server, errno);
                    last = fail("recvfrom", errno);
                }
            }
        }
        Err(last)
    }

    /// Nobody is there any more for what is still to come.
    pub fn close(self) {
        close(self.socket);
    }

    /// Is there anybody? On this machine an ICMP error comes at once; silence may be a slow server, or a lossy net.
    fn knock(&mut self) -> nix::Result<()> {
        let word = self.exam.token().into_bytes();
        sendto(self.socket.as_fd(), &word, &self.server)?;
        self.said.push(word);
        wait(&[(self.socket.as_fd(), PollFlags::POLLIN)], QUIET);
        match recvfrom(self.socket.as_fd(), &mut [0; 64]) {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Sends them, and gets each of them back.
    pub fn echo(&mut self, datagrams: &[Vec<u8>]) -> Outcome {
        datagrams.iter().try_for_each(|datagram| self.send(datagram))?;
        self.hear_back(datagrams)
    }

    pub fn send(&mut self, datagram: &[u8]) -> Outcome {
        self.said.push(datagram.to_vec());
        loop {
            match sendto(self.socket.as_fd(), datagram, &self.server) {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) if Instant::now() < self.exam.until() => {
                    wait(&[(self.socket.as_fd(), PollFlags::POLLOUT)], QUIET);
                }
                // What an earlier datagram has met with; this one has not left yet.
                Err(Errno::ECONNREFUSED) if Instant::now() < self.exam.until() => {}
                Err(errno) => return Err(self.failure(datagram, format!("sendto(): {}", describe(errno)))),
            }
        }
    }

    /// What has been sent comes back: each as it was, and nothing else. The answer to a second try may come late.
    pub fn hear_back(&mut self, sent: &[Vec<u8>]) -> Outcome {
        let mut missing: Vec<&Vec<u8>> = sent.iter().collect();
        let patience = self.exam.until().saturating_duration_since(Instant::now()) / TRIES;
        let mut failed = Vec::new();
        for attempt in 1..=TRIES {
            let until = Instant::now() + patience;
            while !missing.is_empty() {
                match self.receive(until) {
                    Ok(Some(came)) if sent.contains(&came) => missing.retain(|sent| **sent != came),
                    Ok(Some(came)) if self.said.contains(&came) => {}
                    Ok(Some(came)) => {
                        let came = format!("다른 데이터그램이 왔습니다: {}", shown::sized(&came));
                        return Err(self.failure(missing[0], came));
                    }
                    Ok(None) => break,
                    Err(errno) => {
                        failed.push(errno);
                        break;
                    }
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            if failed.len() > 1 {
                break; // not by chance
            }
            if attempt < TRIES {
                self.retried = true;
                missing.iter().try_for_each(|datagram| self.send(datagram))?;
            }
        }
        let why = match failed.pop() {
            Some(Errno::ECONNREFUSED) => {
                "ECONNREFUSED (Connection refused): 서버가 끝난 것으로 보입니다 (ICMP)".to_string()
            }
            Some(errno) => describe(errno),
            None => format!("{TRIES}번 보냈지만 {:.1}초 동안 오지 않았습니다", self.exam.waited().as_secs_f64()),
        };
        Err(self.failure(missing[0], why))
    }

    pub fn nothing_more(&mut self) -> Outcome {
        match self.receive(self.exam.within(QUIET)) {
            Ok(Some(more)) if !self.retried || !self.said.contains(&more) => Err(Failure::new(
                format!("{}: 데이터그램 하나. 그것은 돌아왔습니다", self.who),
                "더 오는 것은 없습니다",
                format!("데이터그램이 더 왔습니다: {}", shown::bytes(&more)),
            )),
            _ => Ok(()),
        }
    }

    /// The next datagram from the server; those of others are none of our business.
    fn receive(&mut self, until: Instant) -> nix::Result<Option<Vec<u8>>> {
        loop {
            match recvfrom(self.socket.as_fd(), &mut self.buf) {
                Ok(datagram) if datagram.from == self.server => return Ok(Some(datagram.bytes.to_vec())),
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno),
            }
            let left = until.min(self.exam.until()).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            wait(&[(self.socket.as_fd(), PollFlags::POLLIN)], left);
        }
    }

    fn failure(&self, sent: &[u8], came: String) -> Failure {
        let expected = format!("{}에게 같은 데이터그램이 돌아옵니다", self.who);
        Failure::new(format!("{}: {}", self.who, shown::sized(sent)), expected, came)
    }
}
