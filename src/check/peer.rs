//! One of our clients: what it still has to send, what it has heard, and how its connection ended.
//!
//! All of them are moved by one poll() loop, [`pump`], with a deadline: so nothing that a server does or leaves
//! undone can hold us, and we read while we send where the case asks for it.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::shown;
use crate::lifecycle::{Socket, set_linger};
use crate::tls::Trouble;
use crate::transport::{Received, Transport};

const READ_BYTES: usize = 64 * 1024;
/// A line of more than this is none that the course knows: what has come of it is forgotten.
const LINE_MOST_BYTES: usize = 1024 * 1024;
/// How long a client that leaves listens for the server's end, and how long for the next byte.
const LEAVING: Duration = Duration::from_millis(300);
const LEAVING_QUIET: Duration = Duration::from_millis(100);
/// Who sends so much to somebody that leaves has no end in mind.
const LEAVING_MOST_BYTES: usize = 1024 * 1024;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN, and under TLS a close_notify before it.
    Clean,
    /// FIN without close_notify.
    Truncated,
    Lost(Trouble),
}

pub struct Peer {
    /// Whom a report names.
    pub who: &'static str,
    transport: Transport<Rc<Socket>>,
    /// What is to be sent; the first `sent` bytes of it are.
    out: Vec<u8>,
    sent: usize,
    /// "I have said all" is to be said when all of it is sent.
    finishing: bool,
    finished: bool,
    /// A client that does not read leaves what comes to the kernel's buffers.
    pub reads: bool,
    /// What has come and has not been looked at.
    pub heard: Vec<u8>,
    pub end: Option<End>,
    /// Leaves in peace when dropped: says its end, hears the server out for a moment, closes.
    peaceful: bool,
}

impl Peer {
    pub fn new(who: &'static str, transport: Transport<Rc<Socket>>) -> Peer {
        let (out, heard) = (Vec::new(), Vec::new());
        let (sent, finishing, finished, reads) = (0, false, false, true);
        Peer { who, transport, out, sent, finishing, finished, reads, heard, end: None, peaceful: true }
    }

    /// To be sent as soon as the server takes it.
    pub fn say(&mut self, data: impl AsRef<[u8]>) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        self.out.extend_from_slice(data.as_ref());
    }

    /// `shutdown(SHUT_WR)` behind what is to be sent; under TLS a close_notify before it.
    pub fn say_all(&mut self) {
        self.finishing = true;
    }

    /// How much is still to be sent.
    pub fn owes(&self) -> usize {
        self.out.len() - self.sent
    }

    /// All whole lines that have come, without their ends (`\n` or `\r\n`).
    pub fn lines(&mut self) -> Vec<Vec<u8>> {
        let Some(end) = self.heard.iter().rposition(|byte| *byte == b'\n') else {
            if self.heard.len() > LINE_MOST_BYTES {
                self.heard.clear();
            }
            return Vec::new();
        };
        let whole: Vec<u8> = self.heard.drain(..=end).collect();
        let lines = whole[..end].split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
    }

    /// Closes at once, with FIN: for who has heard all that it was owed.
    pub fn close(mut self) {
        self.peaceful = false;
    }

    /// Closes with RST.
    pub fn reset(mut self) {
        self.peaceful = false;
        let _ = set_linger(self.transport.fd().as_fd(), 0); // then it is a FIN: still an end
    }

    /// How it ended, in Korean; nothing while the connection stands.
    pub fn fate(&self) -> Option<String> {
        self.end.as_ref().map(|end| match end {
            End::Clean => "연결이 끝났습니다 (EOF)".into(),
            End::Truncated => "close_notify 없이 연결이 끝났습니다 (EOF)".into(),
            End::Lost(trouble) => format!("연결이 끊어졌습니다: {}", crate::text::escaped(&trouble.to_string())),
        })
    }

    /// Sends and reads what can be now.
    fn step(&mut self, buf: &mut [u8]) {
        while self.owes() > 0 && self.end.is_none() {
            match self.transport.send(&self.out[self.sent..]) {
                Ok(0) => break,
                Ok(n) => self.sent += n,
                Err(trouble) => self.cannot_send(trouble),
            }
        }
        if self.finishing && !self.finished && self.owes() == 0 && self.end.is_none() {
            match self.transport.finish() {
                Ok(done) => self.finished = done,
                Err(trouble) => self.cannot_send(trouble),
            }
        }
        if self.reads && self.end.is_none() {
            match self.transport.receive(buf) {
                Ok(Received::Data(n)) => self.heard.extend_from_slice(&buf[..n]),
                Ok(Received::Wait) => {}
                Ok(Received::End) => self.end = Some(End::Clean),
                Ok(Received::Truncated) => self.end = Some(End::Truncated),
                Err(trouble) => self.end = Some(End::Lost(trouble)),
            }
        }
    }

    /// What the server has sent before is still to be read, unless nobody reads.
    fn cannot_send(&mut self, trouble: Trouble) {
        self.out.clear();
        (self.sent, self.finishing, self.finished) = (0, true, true);
        if !self.reads || matches!(trouble, Trouble::Tls(_)) {
            self.end = Some(End::Lost(trouble));
        }
    }

    fn awaits(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        if self.end.is_none() && (self.owes() > 0 || self.finishing && !self.finished) {
            events |= self.transport.write_event();
        }
        if self.end.is_none() && self.reads {
            events |= self.transport.read_event();
        }
        events
    }

    fn has_more(&self) -> bool {
        self.reads && self.end.is_none() && self.transport.has_more()
    }
}

/// Leaving with unread bytes would be an RST: only who means it does that.
impl Drop for Peer {
    fn drop(&mut self) {
        if !self.peaceful || self.end.is_some() {
            return;
        }
        self.out.clear();
        (self.sent, self.reads) = (0, true);
        self.say_all();
        let at_last = Instant::now() + LEAVING;
        let mut heard = 0;
        while heard < LEAVING_MOST_BYTES && Instant::now() < at_last {
            self.heard.clear();
            let quiet = (Instant::now() + LEAVING_QUIET).min(at_last);
            if !pump(std::slice::from_mut(self), quiet, |peers| !peers[0].heard.is_empty()) {
                break;
            }
            heard += self.heard.len();
        }
    }
}

/// Lets them talk until `done`: true; or until the time is up, or all of their connections have ended: false.
pub fn pump(peers: &mut [Peer], until: Instant, mut done: impl FnMut(&mut [Peer]) -> bool) -> bool {
    let mut buf = vec![0; READ_BYTES];
    loop {
        peers.iter_mut().for_each(|peer| peer.step(&mut buf));
        if done(peers) {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || peers.iter().all(|peer| peer.end.is_some()) {
            return false;
        }
        if !peers.iter().any(Peer::has_more) {
            let awaited = peers.iter().map(|peer| (peer.transport.fd(), peer.awaits()));
            wait(&awaited.filter(|(_, events)| !events.is_empty()).collect::<Vec<_>>(), left);
        }
    }
}

/// `poll()`: whether something has happened. A signal shortens the sleep, and the caller looks at its clock.
pub fn wait<F: AsFd>(awaited: &[(F, PollFlags)], time: Duration) -> bool {
    let mut fds: Vec<_> = awaited.iter().map(|(fd, events)| PollFd::new(fd.as_fd(), *events)).collect();
    let timeout = PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(n) => n > 0,
        Err(Errno::EINTR) => false,
        Err(_) => {
            std::thread::sleep(time.min(Duration::from_millis(10))); // no memory: rather slow than spinning
            false
        }
    }
}

/// What there was instead of what was waited for.
pub fn what_came(peer: &Peer, waited: Duration) -> String {
    let seconds = waited.as_secs_f64();
    match (peer.heard.is_empty(), peer.fate()) {
        (true, Some(fate)) => format!("아무것도 오지 않고 {fate}"),
        (true, None) => format!("{seconds:.1}초 동안 아무것도 오지 않았습니다"),
        (false, Some(fate)) => format!("{} 뒤에 {fate}", shown::bytes(&peer.heard)),
        (false, None) => format!("{} 뒤로 더 오지 않았습니다 ({seconds:.1}초)", shown::bytes(&peer.heard)),
    }
}
