//! One connection of the load, plain or TLS; and many of them in one epoll loop.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslMode, SslOptions, SslSession, SslSessionCacheMode, SslStream, SslVerifyMode,
};

use crate::failure::{Failure, Result, failed};
use crate::peers::Server;

/// Nothing that a server owes may take longer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// So often a thread looks whether another has failed.
const LOOK_MS: u16 = 100;
const EVENTS: usize = 64;

pub enum Conn {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

thread_local! {
    /// The last ticket of the thread's last connection.
    static TICKET: RefCell<Option<SslSession>> = const { RefCell::new(None) };
}

/// Checks the server's certificate, as every client should.
pub fn client_context(certs: &Path) -> Result<SslContext> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_ca_file(certs.join("ca.pem"))?;
    context.set_verify(SslVerifyMode::PEER);
    context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS);
    context.set_read_ahead(true);
    // Not every peer says close_notify; what it sent before its end is checked anyway.
    context.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    context.set_new_session_callback(|_, session| TICKET.set(Some(session)));
    Ok(context.build())
}

impl Conn {
    /// Connects, and shakes hands where there is a context; blocks, as all that follows until [`Conn::hurry`].
    pub fn open(server: &Server, context: Option<&SslContext>) -> Result<Conn> {
        Conn::resume(server, context, None)
    }

    pub fn resume(server: &Server, context: Option<&SslContext>, ticket: Option<&SslSession>) -> Result<Conn> {
        let stream = TcpStream::connect(server.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(context) = context else { return Ok(Conn::Plain(stream)) };
        let mut ssl = Ssl::new(context)?;
        if let Some(ticket) = ticket {
            resume(&mut ssl, ticket)?;
        }
        let mut tls = SslStream::new(ssl, stream)?;
        tls.connect().map_err(|error| Failure::new(format!("handshake: {error}")))?;
        Ok(Conn::Tls(Box::new(tls)))
    }

    pub fn was_resumed(&self) -> bool {
        matches!(self, Conn::Tls(tls) if tls.ssl().session_reused())
    }

    /// The ticket that this thread was given last.
    pub fn take_ticket() -> Option<SslSession> {
        TICKET.take()
    }

    /// From now on, reads and writes do not wait.
    pub fn hurry(&self, hurry: bool) -> Result<()> {
        Ok(self.stream().set_nonblocking(hurry)?)
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Conn::Plain(stream) => stream,
            Conn::Tls(tls) => tls.get_ref(),
        }
    }

    /// `None` when there is nothing now; 0 at the end.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>> {
        later(match self {
            Conn::Plain(stream) => stream.read(buf),
            Conn::Tls(tls) => tls.read(buf),
        })
    }

    /// `None` when nothing can be taken now.
    pub fn write(&mut self, data: &[u8]) -> Result<Option<usize>> {
        later(match self {
            Conn::Plain(stream) => stream.write(data),
            Conn::Tls(tls) => tls.write(data),
        })
    }

    /// Says "I have said all", and reads what is still to come, which must be nothing.
    pub fn finish(mut self) -> Result<()> {
        match &mut self {
            Conn::Plain(stream) => stream.shutdown(Shutdown::Write)?,
            Conn::Tls(tls) => drop(tls.shutdown()),
        }
        match self.read(&mut [0; 64])? {
            Some(0) => Ok(()),
            Some(len) => failed(format!("{len} bytes more than were sent")),
            None => failed("no end of the connection"),
        }
    }
}

#[allow(unsafe_code)]
fn resume(ssl: &mut Ssl, ticket: &SslSession) -> Result<()> {
    // SAFETY: every ticket of a work was made in its one context.
    Ok(unsafe { ssl.set_session(ticket) }?)
}

fn later(result: std::io::Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

/// Waits for any of many connections. Edge-triggered: who is told of one works on it until it would wait.
pub struct Waiting {
    epoll: Epoll,
    events: [EpollEvent; EVENTS],
    quiet_ms: u16,
}

impl Waiting {
    pub fn new() -> Result<Waiting> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Waiting { epoll, events: [EpollEvent::empty(); EVENTS], quiet_ms: 0 })
    }

    pub fn add(&self, what: impl AsFd, number: usize) -> Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(what, EpollEvent::new(flags, number as u64))?)
    }

    /// The numbers of those that are ready; none after a while. That nothing at all comes any more is a failure.
    pub fn ready(&mut self) -> Result<impl Iterator<Item = usize> + use<'_>> {
        let count = match self.epoll.wait(&mut self.events, LOOK_MS) {
            Err(nix::Error::EINTR) => 0,
            result => result?,
        };
        self.quiet_ms = if count > 0 { 0 } else { self.quiet_ms + LOOK_MS };
        if u128::from(self.quiet_ms) > PATIENCE.as_millis() {
            return failed("nothing comes back any more");
        }
        Ok(self.events[..count].iter().map(|event| event.data() as usize))
    }
}
