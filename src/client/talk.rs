//! Two threads, one connection: this one sends, the other receives, as the course says.
//!
//! recv() cannot know when data will come, so a thread of its own waits for it. Under TLS one SSL
//! object must not be used by two threads at once: it lives behind a mutex, the socket is
//! non-blocking, and each thread sleeps in poll() WITHOUT the lock and takes it only for the moment
//! of one read or write. The socket itself may be polled by both.
//!
//! - Notes: notes/07-connect.md
//! - Manual: poll(2), pthreads(7)

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::Shutdown;
use nix::unistd::pipe2;

use super::receiving::receive;
use super::sending::Sender;
use super::terminal::{Screen, Terminal};
use super::{happened, take_terminal, wait};
use crate::cli::ClientArgs;
use crate::error::{During, Error, Result};
use crate::lesson::step;
use crate::lifecycle::shutdown;
use crate::signal::{Watch, die_by};
use crate::tls::{Trouble, alert_hint};
use crate::transport::Transport;

/// At a terminal, after Ctrl-D: once the server has been silent for this long, we go.
const QUIET: Duration = Duration::from_secs(1);
/// And after this long we go although it still talks.
const QUIET_AT_LAST: Duration = Duration::from_secs(5);

/// How a server says no (and a relay only so: its first words are a greeting).
const REFUSAL: &[u8] = b"! ";

/// What both threads hold.
pub struct Shared<'fd> {
    pub fd: BorrowedFd<'fd>,
    transport: Mutex<Transport<BorrowedFd<'fd>>>,
    /// `None` when input or output is no terminal: then bytes pass as they are.
    terminal: Option<Screen>,
    last_heard: Mutex<Instant>,
    /// The server greeted us with a notice: it is a relay, and knows `/quit`.
    greeted: AtomicBool,
    /// The first thing that we said looks like a refusal: an echo of it is none.
    said_bang: OnceLock<bool>,
}

impl<'fd> Shared<'fd> {
    /// The connection, for the moment of one read or write.
    pub fn transport(&self) -> MutexGuard<'_, Transport<BorrowedFd<'fd>>> {
        lock(&self.transport)
    }

    pub fn terminal(&self) -> Option<MutexGuard<'_, Terminal>> {
        self.terminal.as_ref().map(Screen::lock)
    }

    pub fn heard_now(&self) {
        *lock(&self.last_heard) = Instant::now();
    }

    pub fn heard_a_notice_first(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// About to send `bytes`: the first ones are remembered.
    pub fn saying(&self, bytes: &[u8]) {
        self.said_bang.get_or_init(|| bytes.starts_with(REFUSAL));
    }

    /// True when these first words of the server are a refusal, and not our own words come back.
    pub fn is_refusal(&self, first: &[u8]) -> bool {
        first.starts_with(REFUSAL) && self.said_bang.get() != Some(&true)
    }

    /// What Ctrl-D and Ctrl-C mean at a terminal: "I go". To a relay that is more than the end of what we
    /// say: others would see us stay until it learned that nobody listens any more.
    pub fn farewell(&self) -> &'static str {
        if self.greeted.load(Ordering::Relaxed) { "/quit\n" } else { "" }
    }
}

/// A thread that panicked has left nothing half-done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the receiving thread ended.
#[derive(Debug)]
pub enum Heard {
    End,
    /// The server said no, in words that have been shown, and closed.
    Refused,
    Truncated,
    /// The server answers in TLS, and we had not asked for it.
    TlsRecord,
    Lost(Trouble),
    OutputFailed(Errno),
}

/// Why the sending side stopped. `quit`: `/quit` has been said, so an end is expected.
#[derive(Debug)]
pub enum Sent {
    /// Standard input is at its end.
    All,
    /// The receiving thread has ended first.
    Interrupted {
        quit: bool,
    },
    Lost(Trouble),
    InputFailed(Errno),
    Signal(Signal),
}

/// Talks until standard input or the server ends.
pub fn talk(transport: Transport<BorrowedFd<'_>>, args: &ClientArgs, peer: &str) -> Result<()> {
    let how = if args.tls { " (TLS)" } else { "" };
    let (terminal, signals) = take_terminal(&format!(
        "{peer}에 접속했습니다{how}. 한 줄을 쓰고 Enter를 누르면 보냅니다. 끝내려면 Ctrl-D를 누르십시오."
    ))?;
    let (fd, transport) = (transport.fd(), Mutex::new(transport));
    let last_heard = Mutex::new(Instant::now());
    let (greeted, said_bang) = (AtomicBool::new(false), OnceLock::new());
    let shared = Shared { fd, transport, terminal, last_heard, greeted, said_bang };
    // The receiving thread holds the writing end: when it ends, poll() on the other one wakes us.
    let (ended, running) = pipe2(OFlag::O_CLOEXEC).during("pipe2", "")?;
    let first = args.name.as_ref().map(|name| format!("/name {name}\n")).unwrap_or_default();
    let (sent, heard) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&shared, running));
        let mut sent = Sender::new(&shared, &ended, signals.as_ref()).run(&first);
        let ended_by_itself = match wait_for_the_rest(&shared, &sent, &ended, signals.as_ref()) {
            Rest::Ended => true,
            Rest::TimeIsUp => false,
            Rest::Signal(signal) => {
                sent = Sent::Signal(signal);
                false
            }
        };
        if !ended_by_itself {
            // [07.wake]
            // close() would not wake a thread that sleeps on the socket; shutdown() does.
            let _ = shutdown(shared.fd, Shutdown::Both);
        }
        let heard = receiver.join().unwrap_or(Heard::Lost(Trouble::Errno(Errno::EIO)));
        (sent, ended_by_itself.then_some(heard))
    });
    drop(shared); // the terminal is as it was before we speak or die
    verdict(sent, heard, peer)
}

/// What came of waiting for the rest.
enum Rest {
    /// The receiving thread has ended by itself.
    Ended,
    TimeIsUp,
    Signal(Signal),
}

/// After our end: what is still owed to us. A pipe wants all of it, however long it takes.
fn wait_for_the_rest(shared: &Shared<'_>, sent: &Sent, ended: &OwnedFd, signals: Option<&Watch>) -> Rest {
    let (quiet, at_last) = match sent {
        Sent::All if shared.terminal.is_none() || step::is_on() => (None, None),
        Sent::All | Sent::Lost(_) | Sent::Interrupted { .. } => (Some(QUIET), Some(Instant::now() + QUIET_AT_LAST)),
        Sent::InputFailed(_) | Sent::Signal(_) => (Some(Duration::ZERO), None),
    };
    shared.heard_now(); // the silence counts from our end on, not from before it
    loop {
        let silent_until = quiet.map(|quiet| *lock(&shared.last_heard) + quiet);
        let until = silent_until.map(|until| at_last.map_or(until, |at_last| until.min(at_last)));
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        fds.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        if wait(&mut fds, left).is_err() || happened(&fds[0]) {
            return Rest::Ended;
        }
        match signals.and_then(Watch::next) {
            Some(signal) if signal != Signal::SIGTSTP => {
                step::run_on();
                return Rest::Signal(signal);
            }
            _ if left.is_some_and(|left| left.is_zero()) => return Rest::TimeIsUp,
            _ => {}
        }
    }
}

/// Whether that was a good end. `heard` is `None` when it was we who left.
fn verdict(sent: Sent, heard: Option<Heard>, peer: &str) -> Result<()> {
    let gone =
        |reason, hint: &'static str| Err(Error::PeerGone { peer: peer.to_string(), reason, hint: Some(hint.into()) });
    let lost = |call, trouble| match trouble {
        Trouble::Errno(errno) => Err(Error::Call { call, object: peer.to_string(), errno }),
        trouble => {
            let (object, reason) = (peer.to_string(), trouble.to_string());
            let hint = alert_hint(&reason).map(Into::into); // TLS 1.3: only now the server has judged our certificate
            Err(Error::Tls { doing: call, object, reason, hint })
        }
    };
    match (sent, heard) {
        (Sent::Signal(_), _) if step::has_quit() => Ok(()),
        (Sent::Signal(signal), _) => die_by(signal),
        (Sent::InputFailed(errno), _) => Err(errno).during("read", "stdin"),
        (_, Some(Heard::OutputFailed(errno))) => Err(errno).during("write", "stdout"),
        (_, Some(Heard::TlsRecord)) => gone(
            "the server answers in TLS",
            "이 서버는 TLS를 씁니다. --tls를 붙여 다시 접속하십시오 (make에서는 STAGE를 서버와 같게 적습니다).",
        ),
        (_, Some(Heard::Refused)) => gone("refused the connection", "거절한 이유는 위의 `!` 줄에 있습니다."),
        (_, Some(Heard::Truncated)) => gone(
            "closed without close_notify: the end may be missing",
            "TLS 종료 알림(close_notify) 없이 연결이 끊겼습니다. 서버가 강제로 종료되었거나 중간에서 누군가 연결을 끊었을 수 있습니다.",
        ),
        (_, Some(Heard::Lost(trouble))) => lost("recv", trouble),
        (Sent::Lost(trouble), _) => lost("send", trouble),
        (Sent::Interrupted { quit: false }, _) => gone("closed the connection", "서버가 연결을 닫았습니다."),
        (Sent::All | Sent::Interrupted { quit: true }, _) => Ok(()),
    }
}
