//! One of our clients: what it still has to send, what it has heard, and how its connection ended.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::pump::pump;
use super::shown;
use crate::lifecycle::{Socket, send, set_linger};
use crate::tls::Trouble;
use crate::transport::{Received, Transport};

/// Who is sent more than this without an end does not read on: it is more than any case asks for.
const HEARD_MOST_BYTES: usize = 16 * 1024 * 1024;
/// A line of more than this is none that the course knows: what has come of it is forgotten.
const LINE_MOST_BYTES: usize = 1024 * 1024;
/// Who has heard something so short a while ago would have heard more.
const STILL: Duration = Duration::from_millis(500);
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
    /// When something came last.
    heard_at: Option<Instant>,
    /// Leaves in peace when dropped: says its end, hears the server out for a moment, closes.
    peaceful: bool,
}

impl Peer {
    pub fn new(who: &'static str, transport: Transport<Rc<Socket>>) -> Peer {
        let (out, heard) = (Vec::new(), Vec::new());
        let (sent, finishing, finished, reads) = (0, false, false, true);
        Peer { who, transport, out, sent, finishing, finished, reads, heard, end: None, heard_at: None, peaceful: true }
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

    /// Sends these few bytes beneath TLS.
    pub fn say_raw(&self, bytes: &[u8]) {
        let _ = send(self.transport.fd().as_fd(), bytes); // to who has gone it does not matter
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

    /// Who sends without end is looked at by the end of it.
    pub fn forget_all_but(&mut self, most: usize) {
        let gone = self.heard.len().saturating_sub(most);
        self.heard.drain(..gone);
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

    /// Its time is up, and it was still being served.
    pub fn was_hearing(&self) -> bool {
        self.heard_at.is_some_and(|at| at.elapsed() < STILL)
    }

    /// Why it has not heard more: its connection has ended, nothing more came, or there was no more time.
    pub fn why_no_more(&self, waited: Duration) -> String {
        let seconds = waited.as_secs_f64();
        match self.fate() {
            Some(fate) => fate,
            None if self.was_hearing() => format!(
                "제한 시간이 되었습니다 ({seconds:.1}초). 그때까지 오고 있었으므로, 느린 서버라면 --timeout을 늘려 다시 검사하십시오"
            ),
            None => format!("더 오지 않았습니다 ({seconds:.1}초)"),
        }
    }

    /// Sends and reads what can be now.
    pub fn step(&mut self, buf: &mut [u8]) {
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
        if self.listens() {
            match self.transport.receive(buf) {
                Ok(Received::Data(n)) => {
                    self.heard.extend_from_slice(&buf[..n]);
                    self.heard_at = Some(Instant::now());
                }
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

    pub fn fd(&self) -> Rc<Socket> {
        self.transport.fd()
    }

    pub fn awaits(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        if self.end.is_none() && (self.owes() > 0 || self.finishing && !self.finished) {
            events |= self.transport.write_event();
        }
        if self.listens() {
            events |= self.transport.read_event();
        }
        events
    }

    pub fn has_more(&self) -> bool {
        self.listens() && self.transport.has_more()
    }

    fn listens(&self) -> bool {
        self.reads && self.end.is_none() && self.heard.len() < HEARD_MOST_BYTES
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

/// What there was instead of what was waited for.
pub fn what_came(peer: &Peer, waited: Duration) -> String {
    match (peer.heard.is_empty(), peer.fate()) {
        (true, Some(fate)) => format!("아무것도 오지 않고 {fate}"),
        (true, None) => format!("{:.1}초 동안 아무것도 오지 않았습니다", waited.as_secs_f64()),
        (false, _) => format!("{} 뒤에 {}", shown::bytes(&peer.heard), peer.why_no_more(waited)),
    }
}
