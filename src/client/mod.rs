//! The client: socket, connect, send in this thread, recv in another, close. With --udp there is no
//! connect, and one thread does it all.
//!
//! ```text
//! talk.rs       the two threads and the one connection between them
//! sending.rs    from standard input to send()
//! receiving.rs  from recv() to the screen
//! datagram.rs   --udp: sendto() and recvfrom() in one poll() loop; lines.rs cuts its input
//! editor.rs     the line that is being typed at a terminal
//! output.rs     standard output where nobody types: as it is, but harmless for a terminal
//! terminal.rs   the terminal itself, and a screen that incoming lines do not tear
//! ```

mod datagram;
mod editor;
mod lines;
mod output;
mod receiving;
mod sending;
mod talk;
mod terminal;

use std::io::{IsTerminal, Write, stdin, stdout};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockFlag, SockType};
use openssl::ssl::{SslContext, SslStream};

use self::terminal::Screen;
use crate::cli::{ClientArgs, Target};
use crate::error::{During, Error, Result};
use crate::lesson;
use crate::lifecycle::{Socket, SocketOption, close, connect, local_address, set_nonblocking, set_option, socket};
use crate::signal::Watch;
use crate::tls::{Identity, KeyLog, Trouble, Wire, client_context, connecting, handshake_step, refusal_hint};
use crate::transport::Transport;

/// One deadline for the whole handshake, however slowly the bytes come.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// As good as never.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Connects, talks until one side has had enough, and closes.
pub fn run(args: &ClientArgs) -> Result<()> {
    if let Some(path) = args.lesson.trace_file() {
        lesson::record_to(path, false)?;
    }
    if args.lesson.steps() {
        lesson::step_by(args.lesson.step_script.as_deref())?;
    }
    if args.udp {
        return datagram::talk(&args.connect);
    }
    let context = if args.tls { Some(make_context(args)?) } else { None };
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

/// Every file that the command line names is read before we go out.
fn make_context(args: &ClientArgs) -> Result<SslContext> {
    let keylog = if args.keylog { Some(KeyLog::open()?) } else { None };
    let me = args.cert.as_deref().zip(args.key.as_deref()).map(|(cert, key)| Identity { cert, key });
    let context = client_context(me, args.ca.as_deref(), args.insecure, keylog.as_ref())?;
    if let Some(keylog) = keylog {
        let path = keylog.path().display();
        say(&format!(
            "경고: --keylog를 쓰면 TLS 키를 {path}에 기록합니다. 이 파일을 읽으면 누구나 이 대화를 복호화할 수 있습니다."
        ));
    }
    Ok(context)
}

/// socket() → connect(), for each address of the host until one answers.
fn open_connection(target: &Target) -> Result<(Socket, SocketAddr)> {
    let mut last = nowhere(target, "no address");
    for addr in addresses(target)? {
        match connect_to(&addr) {
            Ok(conn) => return Ok((conn, addr)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// getaddrinfo(): all addresses of the host.
fn addresses(target: &Target) -> Result<std::vec::IntoIter<SocketAddr>> {
    let found = (target.host.as_str(), target.port).to_socket_addrs();
    found.map_err(|error| nowhere(target, &error.to_string()))
}

fn nowhere(target: &Target, reason: &str) -> Error {
    Error::Lookup { host: target.host.clone(), reason: reason.into() }
}

fn connect_to(addr: &SocketAddr) -> Result<Socket> {
    // [07.client]
    let conn = socket(addr, SockType::Stream, SockFlag::empty()).during("socket", addr)?;
    connect(conn.as_fd(), addr).during("connect", addr)?;
    local_address(conn.as_fd()).during("getsockname", addr)?; // for the class: connect() has picked a port
    set_option(conn.as_fd(), SocketOption::NoDelay, 1).during("setsockopt", addr)?;
    set_nonblocking(conn.as_fd()).during("fcntl", addr)?; // from here on poll() is what waits
    Ok(conn)
}

/// The handshake: afterwards we know that the server is who it says it is, or we have left.
fn secure<'fd>(
    fd: BorrowedFd<'fd>,
    context: &SslContext,
    name: &str,
    peer: &str,
) -> Result<SslStream<Wire<BorrowedFd<'fd>>>> {
    let mut until = Instant::now() + HANDSHAKE;
    let mut stream = connecting(context, name, Wire(fd))?;
    let failed = |stream: &SslStream<Wire<BorrowedFd<'_>>>, trouble: Trouble| {
        let (reason, hint) = refusal_hint(stream.ssl(), &trouble, name);
        Error::Tls { doing: "handshake", object: format!("{peer}, {name}"), reason, hint }
    };
    loop {
        match handshake_step(&mut stream) {
            Ok(None) => return Ok(stream),
            Ok(Some(event)) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() && !is_patient() {
                    return Err(failed(&stream, Trouble::Errno(Errno::ETIMEDOUT)));
                }
                if left.is_zero() {
                    say(
                        "서버가 아직 TLS 핸드셰이크에 답하지 않았습니다. 계속 기다립니다. 그만두려면 Ctrl-C를 누르십시오.",
                    );
                    until = Instant::now() + A_YEAR;
                    continue;
                }
                lesson::remark(|| "서버가 TLS 핸드셰이크에 답하기를 기다립니다 (poll)");
                wait(&mut [PollFd::new(fd, event)], Some(left)).during("poll", peer)?;
            }
            Err(trouble) => return Err(failed(&stream, trouble)),
        }
    }
}

/// Somebody steps, here or, who knows, at the server: a person who watches can also give up.
fn is_patient() -> bool {
    lesson::step::is_on() || stdin().is_terminal()
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

/// Takes the terminal after a word to the person at it, and the signals that must not leave it in a strange
/// state; nothing when input or output is no terminal: then bytes pass as they are.
fn take_terminal(greeting: &str) -> Result<(Option<Screen>, Option<Watch>)> {
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        return Ok((None, None));
    }
    say(greeting);
    let signals = Watch::for_terminal().during("signalfd", "terminal")?;
    lesson::step::can_be_stopped();
    let screen = Screen::open().during("tcsetattr", "stdin")?;
    Ok((Some(screen), Some(signals)))
}

/// A word to the person at the keyboard. It goes to standard error: standard output is the conversation.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
