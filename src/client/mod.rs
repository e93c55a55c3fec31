//! The client: socket, connect, send in this thread, recv in another, close.
//!
//! ```text
//! talk.rs       the two threads and the one connection between them
//! sending.rs    from standard input to send()
//! receiving.rs  from recv() to the screen
//! editor.rs     the line that is being typed at a terminal
//! terminal.rs   the terminal itself, and a screen that incoming lines do not tear
//! ```

mod editor;
mod receiving;
mod sending;
mod talk;
mod terminal;

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockFlag, SockType};
use openssl::ssl::{SslContext, SslStream};

use crate::cli::{ClientArgs, Target};
use crate::error::{During, Error, Result};
use crate::lifecycle::{SocketOption, close, connect, set_nonblocking, set_option, socket};
use crate::tls::{Trouble, Wire, client_context, connecting, handshake_step, refusal_hint};
use crate::transport::Transport;

/// One deadline for the whole handshake, however slowly the bytes come.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connects, talks until one side has had enough, and closes.
pub fn run(args: &ClientArgs) -> Result<()> {
    let context = if args.tls { Some(client_context(args.ca.as_deref(), args.insecure)?) } else { None };
    if args.insecure {
        say("경고: --insecure를 쓰면 서버의 인증서를 확인하지 않습니다. 상대가 정말 그 서버인지 알 수 없습니다.");
    }
    let (conn, addr) = open_connection(&args.connect)?;
    let peer = addr.to_string();
    let transport = match context {
        None => Transport::plain(conn.as_fd()),
        Some(context) => {
            let name = args.server_name.as_deref().unwrap_or(&args.connect.host);
            Transport::over_tls(conn.as_fd(), secure(conn.as_fd(), &context, name, &peer)?)
        }
    };
    let result = talk::talk(transport, args, &peer);
    close(conn);
    result
}

/// socket() → connect(), for each address of the host until one answers.
fn open_connection(target: &Target) -> Result<(OwnedFd, SocketAddr)> {
    let lookup = |reason: String| Error::Lookup { host: target.host.clone(), reason };
    let addrs = (target.host.as_str(), target.port).to_socket_addrs().map_err(|error| lookup(error.to_string()))?;
    let mut last = lookup("no address".into());
    for addr in addrs {
        match connect_to(&addr) {
            Ok(conn) => return Ok((conn, addr)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(addr: &SocketAddr) -> Result<OwnedFd> {
    let conn = socket(addr, SockType::Stream, SockFlag::empty()).during("socket", addr)?;
    connect(conn.as_fd(), addr).during("connect", addr)?;
    set_option(conn.as_fd(), SocketOption::NoDelay, 1).during("setsockopt", addr)?;
    set_nonblocking(conn.as_fd()).during("fcntl", addr)?; // from here on poll() is what waits
    Ok(conn)
}

/// The handshake: afterwards we know that the server is who it says it is, or we have left.
fn secure<'fd>(fd: BorrowedFd<'fd>, context: &SslContext, name: &str, peer: &str) -> Result<SslStream<Wire<'fd>>> {
    let until = Instant::now() + HANDSHAKE;
    let mut stream = connecting(context, name, Wire(fd))?;
    let failed = |stream: &SslStream<Wire<'_>>, trouble: Trouble| {
        let (reason, hint) = refusal_hint(stream.ssl(), &trouble);
        Error::Tls { doing: "handshake", object: format!("{peer}, {name}"), reason, hint }
    };
    loop {
        match handshake_step(&mut stream) {
            Ok(None) => return Ok(stream),
            Ok(Some(event)) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(failed(&stream, Trouble::Errno(Errno::ETIMEDOUT)));
                }
                wait(&mut [PollFd::new(fd, event)], Some(left)).during("poll", peer)?;
            }
            Err(trouble) => return Err(failed(&stream, trouble)),
        }
    }
}

/// `poll(fds, n, timeout)`, called again when a signal interrupts it.
fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> nix::Result<()> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
        let left = left.map_or(PollTimeout::NONE, |ms| PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX));
        match poll(fds, left) {
            Err(Errno::EINTR) => continue,
            result => return result.map(drop),
        }
    }
}

/// The events that poll() has reported for `fd`, errors and hang-ups among them.
fn happened(fd: &PollFd<'_>) -> bool {
    fd.revents().is_none_or(|events| events != PollFlags::empty())
}

/// A word to the person at the keyboard. It goes to standard error: standard output is the conversation.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
