//! Who is examined, and how our clients get there. Every wait ends at the deadline of the case.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use openssl::ssl::SslContext;
use openssl::x509::X509;

use super::case::{Case, Failure, Outcome};
use super::handshake::{Keys, Refusal, shake_hands};
use super::peer::Peer;
use super::pump::pump;
use crate::cli::CheckArgs;
use crate::error::{Error, Result};
use crate::network::reached;
use crate::transport::Transport;

/// How long nothing may come before we believe that nothing more will.
const QUIET: Duration = Duration::from_millis(150);
/// The letters of a token: none that is mistaken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

pub struct Exam {
    pub host: String,
    addresses: Vec<SocketAddr>,
    /// The one of them that has answered.
    addr: Cell<Option<SocketAddr>>,
    pub stage: u8,
    pub keys: Option<Keys>,
    /// What is known of the server's TLS: that there is none.
    pub speaks_plain: Cell<bool>,
    /// Why nobody has ever got there.
    unreachable: RefCell<Option<Error>>,
    timeout: Duration,
    began: Cell<Instant>,
    until: Cell<Instant>,
}

impl Exam {
    pub fn of(args: &CheckArgs) -> Result<Exam> {
        let nowhere = |host: &str, reason: String| Error::Lookup { host: host.into(), reason };
        let Some(target) = &args.server else { return Err(nowhere("", "no host".into())) };
        let keys = if args.speaks_tls() { Some(Keys::new(args.ca())?) } else { None };
        let found = (target.host.as_str(), target.port).to_socket_addrs();
        let found = found.map_err(|error| nowhere(&target.host, error.to_string()))?;
        let now = Instant::now();
        Ok(Exam {
            host: target.host.clone(),
            addresses: found.map(reached).collect(),
            addr: Cell::new(None),
            stage: args.stage(),
            keys,
            speaks_plain: Cell::new(false),
            unreachable: RefCell::new(None),
            timeout: args.timeout,
            began: Cell::new(now),
            until: Cell::new(now),
        })
    }

    /// Tries a case: its time begins to run.
    pub fn try_case(&self, case: &Case) -> Outcome {
        self.began.set(Instant::now());
        self.until.set(Instant::now() + self.timeout);
        (case.run)(self)
    }

    /// Why the server cannot be examined at all, if nobody has ever got there.
    pub fn never_reached(&self) -> Option<Error> {
        if self.addr.get().is_some() { None } else { self.unreachable.borrow_mut().take() }
    }

    /// For a case in which much has to pass: its time is twice that of the others.
    pub fn take_longer(&self) {
        self.until.set(self.until() + self.timeout);
    }

    /// When the case has to be over.
    pub fn until(&self) -> Instant {
        self.until.get()
    }

    /// Time of its own, for a question between the cases.
    pub fn grant(&self, time: Duration) -> Instant {
        self.until.set(Instant::now() + time);
        self.until()
    }

    /// At most this long from now.
    pub fn within(&self, time: Duration) -> Instant {
        self.until().min(Instant::now() + time)
    }

    /// Half of what is left of the case's time: for what has to leave room for more.
    pub fn half_the_rest(&self) -> Instant {
        let now = Instant::now();
        now + self.until().saturating_duration_since(now) / 2
    }

    /// How long the case has been running.
    pub fn waited(&self) -> Duration {
        self.began.get().elapsed()
    }

    /// A word that nobody has ever said: what is sent is known by it, whatever the server puts around it.
    pub fn token(&self) -> String {
        let mut random = [0; 8];
        // Without random bytes the clock has to do: only nobody else's words must be like it.
        if openssl::rand::rand_bytes(&mut random).is_err() {
            random = (self.waited().as_nanos() as u64 | u64::from(std::process::id()) << 40).to_ne_bytes();
        }
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    /// A client of the kind that the server is for: over TLS where TLS is examined.
    pub fn connect(&self, who: &'static str) -> std::result::Result<Peer, Failure> {
        self.connect_with(who, None)
    }

    /// The same, with a receive buffer of this many bytes: a server that sends to it soon has to wait.
    pub fn connect_with(&self, who: &'static str, buffer: Option<i32>) -> std::result::Result<Peer, Failure> {
        let conn = self.dial(buffer)?;
        let Some(keys) = &self.keys else { return Ok(Peer::new(who, Transport::plain(conn))) };
        if self.speaks_plain.get() {
            return Err(Failure::new(
                "TLS 핸드셰이크",
                "TLS로 응답합니다",
                "앞에서 확인한 대로 TLS가 아닌 평문 서버입니다",
            ));
        }
        // What the certificate is worth has cases of its own: the others are about something else.
        let stream = shake_hands(&keys.anyone, &self.host, &conn, self.until()).map_err(Refusal::failure)?;
        Ok(Peer::new(who, Transport::over_tls(conn, stream)))
    }

    /// A client that speaks plain text to whatever is there.
    pub fn connect_plain(&self, who: &'static str) -> std::result::Result<Peer, Failure> {
        self.dial(None).map(|conn| Peer::new(who, Transport::plain(conn)))
    }

    /// A client that trusts as `context` says, and the certificate that it was shown.
    pub fn enter(&self, context: &SslContext, until: Instant) -> std::result::Result<(Peer, Option<X509>), Refusal> {
        let conn = self.dial(None).map_err(Refusal::NoConnection)?;
        let stream = shake_hands(context, &self.host, &conn, until)?;
        let certificate = stream.ssl().peer_certificate();
        Ok((Peer::new("철수", Transport::over_tls(conn, stream)), certificate))
    }

    /// Those of the host, until one has answered; from then on that one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addr.get().map_or_else(|| self.addresses.clone(), |addr| vec![addr])
    }

    pub fn answered_at(&self, addr: SocketAddr) {
        self.addr.set(Some(addr));
    }

    pub fn has_answered(&self) -> bool {
        self.addr.get().is_some()
    }

    pub fn not_reached(&self, call: &'static str, addr: &SocketAddr, errno: Errno) {
        *self.unreachable.borrow_mut() = Some(Error::Call { call, object: addr.to_string(), errno });
    }

    /// Lets them talk until `done` or the case's time is up.
    pub fn pump(&self, peers: &mut [Peer], done: impl FnMut(&mut [Peer]) -> bool) -> bool {
        pump(peers, self.until(), done)
    }

    /// Until what the server has been told is on its way: it has taken all, or it takes nothing more for now.
    pub fn push(&self, peers: &mut [Peer]) {
        let owed = |peers: &[Peer]| peers.iter().map(Peer::owes).sum::<usize>();
        loop {
            let before = owed(peers);
            let all = pump(peers, self.within(QUIET), |peers| owed(peers) == 0);
            if all || owed(peers) == before || Instant::now() >= self.until() {
                return;
            }
        }
    }

    /// For a moment, in which what was sent arrives as a piece of its own, or what should not come would have come.
    pub fn a_moment(&self, peers: &mut [Peer]) {
        pump(peers, self.within(QUIET), |_| false);
    }
}
