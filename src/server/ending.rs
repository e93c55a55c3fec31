//! How a child ends: its exit code, and the words in the parent's log. And the orderly end itself.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::wait::Waiter;
use crate::lifecycle::discard;
use crate::tls::Trouble;
use crate::transport::Transport;

/// The last words must be taken by the kernel within this time.
const FLUSH: Duration = Duration::from_secs(3);
/// Then the peer has this long to close its side.
const LINGER: Duration = Duration::from_secs(1);
/// How much is thrown away at a time while lingering.
const DISCARD_BYTES: usize = 1 << 20;

/// Declares the endings once: name, exit code, words.
macro_rules! endings {
    ($($name:ident = $code:literal $words:literal,)*) => {
        /// Why a connection ended. The number is the child's exit code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Ending { $($name = $code,)* }

        impl Ending {
            pub fn from_code(code: i32) -> Option<Ending> {
                match code { $($code => Some(Ending::$name),)* _ => None }
            }

            pub fn words(self) -> &'static str {
                match self { $(Ending::$name => $words,)* }
            }
        }
    };
}

endings! {
    Done = 0 "client left",
    Stopped = 10 "ended by the server",
    Reset = 11 "client reset the connection",
    Lost = 12 "connection failed",
    Truncated = 13 "client left without close_notify",
    Idle = 14 "idle for too long",
    Slow = 15 "client read too slowly",
    PlainOnTls = 16 "client spoke plain text on a TLS port",
    TlsOnPlain = 17 "client spoke TLS on a plain port",
    HandshakeFailed = 18 "TLS handshake failed",
    HandshakeTimeout = 19 "TLS handshake took too long",
    TlsFailed = 20 "TLS failed",
    RelayFailed = 21 "relay to the parent failed",
    SetupFailed = 22 "child could not set itself up",
    NotNamed = 23 "client certificate has no name to go by",
    Forbidden = 24 "made a forbidden system call",
    Panicked = 70 "child panicked: this is a bug",
}

impl From<Trouble> for Ending {
    fn from(trouble: Trouble) -> Ending {
        match trouble {
            Trouble::Errno(Errno::ECONNRESET | Errno::EPIPE) => Ending::Reset,
            Trouble::Errno(_) => Ending::Lost,
            Trouble::UnexpectedEof => Ending::Truncated,
            Trouble::Tls(_) => Ending::TlsFailed,
        }
    }
}

/// What `trouble` with the connection of `peer` came to. An exit code has no room for what OpenSSL says: the log has.
pub fn ending_of(trouble: Trouble, peer: SocketAddr) -> Ending {
    match &trouble {
        Trouble::Tls(reason) => log::info!("{peer}: TLS failed: {reason}"),
        trouble => log::debug!("{peer}: {trouble}"),
    }
    trouble.into()
}

/// Says the last words and closes in a way that lets the peer read them.
///
/// Flush, close_notify, FIN; then, unless the peer has said its own end, throw away what it still
/// sends for at most a second: unread input at close() would send RST, and RST eats the words.
pub fn farewell(transport: &mut Transport<BorrowedFd<'_>>, waiter: &Waiter, words: &[u8], peer_has_ended: bool) {
    let until = Instant::now() + FLUSH;
    let mut rest = words;
    while !rest.is_empty() {
        match transport.send(rest) {
            Ok(0) if !waiter.wait_for(transport.fd(), transport.write_event(), until) => return,
            Ok(n) => rest = &rest[n..],
            Err(_) => return, // nobody is left to read them
        }
    }
    while let Ok(false) = transport.finish() {
        if !waiter.wait_for(transport.fd(), transport.write_event(), until) {
            return;
        }
    }
    if !peer_has_ended {
        linger(transport, waiter);
    }
}

// [08.linger]
fn linger(transport: &Transport<BorrowedFd<'_>>, waiter: &Waiter) {
    let until = Instant::now() + LINGER;
    loop {
        match discard(transport.fd(), DISCARD_BYTES) {
            Ok(0) => return, // the peer has closed too
            Ok(_) | Err(Errno::EAGAIN) if waiter.wait_for(transport.fd(), PollFlags::POLLIN, until) => {}
            _ => return, // its time is up, or it has reset the connection
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_leads_back_to_its_ending() {
        for code in 0..=255 {
            if let Some(ending) = Ending::from_code(code) {
                assert_eq!(ending as i32, code);
                assert!(!ending.words().is_empty());
            }
        }
        assert_eq!(Ending::from_code(0), Some(Ending::Done));
        assert_eq!(Ending::from_code(1), None);
        assert_eq!(Ending::from_code(crate::sandbox::FORBIDDEN), Some(Ending::Forbidden));
    }
}
