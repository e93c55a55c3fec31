//! One connection of a load, plain or TLS: made in a call that waits, and then, when it has to hurry, one that does not.
#![allow(dead_code)] // not every load needs all of it

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{
    ShutdownState, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslSession, SslSessionCacheMode, SslStream,
    SslVerifyMode,
};

/// Nothing that a server owes may take longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub enum Conn {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

thread_local! {
    /// The last ticket of the thread's last connection.
    static TICKET: RefCell<Option<SslSession>> = const { RefCell::new(None) };
}

/// Checks the server's certificate, as every client should.
pub fn client_context(ca: &Path) -> std::result::Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_ca_file(ca)?;
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
    /// Connects, and shakes hands where there is a context; waits, as all that follows until [`Conn::hurry`].
    pub fn open(addr: SocketAddr, context: Option<&SslContext>) -> Result<Conn> {
        Conn::resume(addr, context, None)
    }

    pub fn resume(addr: SocketAddr, context: Option<&SslContext>, ticket: Option<&SslSession>) -> Result<Conn> {
        Conn::over(TcpStream::connect(addr)?, context, ticket)
    }

    pub fn over(stream: TcpStream, context: Option<&SslContext>, ticket: Option<&SslSession>) -> Result<Conn> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(context) = context else { return Ok(Conn::Plain(stream)) };
        let mut ssl = Ssl::new(context)?;
        if let Some(ticket) = ticket {
            resume(&mut ssl, ticket)?;
        }
        let mut tls = SslStream::new(ssl, stream)?;
        tls.connect().map_err(|error| Error::other(format!("handshake: {error}")))?;
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
        self.stream().set_nonblocking(hurry)
    }

    pub fn stream(&self) -> &TcpStream {
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

    /// Says "I have said all": FIN; in TLS, close_notify.
    pub fn end(&mut self) -> Result<()> {
        match self {
            Conn::Plain(stream) => stream.shutdown(Shutdown::Write),
            Conn::Tls(tls) => tls.shutdown().map(drop).map_err(Error::other),
        }
    }

    /// Whether the end that was read was one that nobody can have cut off: in TLS, that is close_notify.
    pub fn ended_well(&mut self) -> bool {
        match self {
            Conn::Plain(_) => true,
            Conn::Tls(tls) => tls.get_shutdown().contains(ShutdownState::RECEIVED),
        }
    }
}

#[allow(unsafe_code)]
fn resume(ssl: &mut Ssl, ticket: &SslSession) -> Result<()> {
    // SAFETY: every ticket of a load was made in its one context.
    Ok(unsafe { ssl.set_session(ticket) }?)
}

fn later(result: Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}
