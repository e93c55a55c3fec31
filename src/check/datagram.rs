//! Stage 1 over UDP: each datagram comes back as it was sent, to the one who has sent it.
//!
//! A datagram may be lost: what has not come back is sent again, a few times.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{SockFlag, SockType};

use super::case::{After, Case, Failure, Outcome};
use super::exam::Exam;
use super::pump::wait;
use super::shown;
use crate::error::describe;
use crate::lifecycle::{Socket, SocketOption, close, recvfrom, sendto, set_option, socket};

const UDP: &str = "notes/11-udp.md";

/// What a server may not survive comes last.
pub const CASES: &[Case] = &[
    Case { name: "udp-text", title: "보낸 데이터그램이 그대로 돌아옵니다", chapter: UDP, run: text },
    Case {
        name: "udp-binary", title: "0부터 255까지 모든 값의 바이트가 그대로 돌아옵니다", chapter: UDP, run: binary
    },
    Case {
        name: "udp-boundaries",
        title: "데이터그램 셋이 합쳐지거나 나뉘지 않고 셋으로 돌아옵니다",
        chapter: UDP,
        run: boundaries,
    },
    Case { name: "udp-large", title: "8KiB 데이터그램이 잘리지 않습니다", chapter: UDP, run: large },
    Case {
        name: "udp-two-clients",
        title: "두 클라이언트가 번갈아 보내도 각자 자기 것만 받습니다",
        chapter: UDP,
        run: two_clients,
    },
    Case {
        name: "udp-gone-client",
        title: "답을 기다리지 않고 사라진 클라이언트가 있어도(ICMP) 계속합니다",
        chapter: UDP,
        run: gone_client,
    },
    Case {
        name: "udp-empty", title: "빈 데이터그램도 돌아오고, 서버가 끝나지 않습니다", chapter: UDP, run: empty
    },
];

/// More than the longest datagram.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often something is sent before it counts as unanswered.
const TRIES: u32 = 5;
/// How long to listen for what is too much.
const QUIET: Duration = Duration::from_millis(150);

fn text(exam: &Exam) -> Outcome {
    let mut client = Client::open(exam, "철수")?;
    client.echo(&[format!("안녕하세요, {} 😀", exam.token()).into_bytes()])?;
    client.nothing_more()
}

fn binary(exam: &Exam) -> Outcome {
    Client::open(exam, "철수")?.echo(&[(0..=255).collect(), (0..=255).rev().collect()])
}

fn boundaries(exam: &Exam) -> Outcome {
    let token = exam.token();
    let three = ["하나", "둘\n두 번째 줄", "셋"].map(|text| format!("{token} {text}").into_bytes());
    Client::open(exam, "철수")?.echo(&three).after("셋을 잇달아 보낸")
}

fn large(exam: &Exam) -> Outcome {
    let data: Vec<u8> = exam.token().bytes().cycle().take(8 * 1024).collect();
    Client::open(exam, "철수")?.echo(&[data])
}

fn empty(exam: &Exam) -> Outcome {
    let mut client = Client::open(exam, "철수")?;
    client.echo(&[Vec::new()])?;
    client.echo(&[exam.token().into_bytes()]).after("빈 데이터그램 뒤에")
}

fn two_clients(exam: &Exam) -> Outcome {
    let (mut one, mut other) = (Client::open(exam, "철수")?, Client::open(exam, "영희")?);
    let of = |client: &Client<'_>| [1, 2, 3].map(|n| format!("{} {n} {}", client.who, exam.token()).into_bytes());
    let (ones, others) = (of(&one), of(&other));
    for (mine, yours) in ones.iter().zip(&others) {
        one.send(mine)?;
        other.send(yours)?;
    }
    one.hear_back(&ones).and_then(|()| other.hear_back(&others)).after("철수와 영희가 번갈아 보낼 때")
}

/// The answer finds no socket; the kernel here says so by ICMP, and the server may hear of it as an errno.
fn gone_client(exam: &Exam) -> Outcome {
    for _ in 0..3 {
        let mut gone = Client::open(exam, "철수")?;
        gone.send(exam.token().as_bytes())?;
        close(gone.socket);
    }
    let mut client = Client::open(exam, "영희")?;
    client.echo(&[exam.token().into_bytes()]).after("철수가 세 번 보내고 바로 사라진 뒤에")
}

struct Client<'e> {
    exam: &'e Exam,
    who: &'static str,
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
    fn open(exam: &'e Exam, who: &'static str) -> Result<Client<'e>, Failure> {
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
    fn echo(&mut self, datagrams: &[Vec<u8>]) -> Outcome {
        datagrams.iter().try_for_each(|datagram| self.send(datagram))?;
        self.hear_back(datagrams)
    }

    fn send(&mut self, datagram: &[u8]) -> Outcome {
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
    fn hear_back(&mut self, sent: &[Vec<u8>]) -> Outcome {
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

    fn nothing_more(&mut self) -> Outcome {
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
