//! What an OpenSSL call came to: wait and call again, a clean end, or trouble.
//!
//! - Manual: SSL_get_error(3ssl), ERR_get_error(3ssl)

use nix::errno::Errno;
use nix::poll::PollFlags;
use openssl::error::ErrorStack;
use openssl::ssl::ErrorCode;

use crate::error::{describe, errno_of};

/// Why the conversation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The socket failed, or the peer went.
    Errno(Errno),
    /// The peer closed where TLS does not allow it.
    UnexpectedEof,
    /// TLS refused something, in OpenSSL's words.
    Tls(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Errno(errno) => f.write_str(&describe(*errno)),
            Trouble::UnexpectedEof => f.write_str("unexpected EOF (no close_notify)"),
            Trouble::Tls(reason) => f.write_str(reason),
        }
    }
}

/// What an OpenSSL call said: wait for this event and call again, a clean end, or trouble.
pub enum Verdict {
    Wait(PollFlags),
    CleanEnd,
    Trouble(Trouble),
}

/// Reads an SSL_get_error(3ssl) result.
pub fn verdict(error: &openssl::ssl::Error) -> Verdict {
    match error.code() {
        ErrorCode::WANT_READ => Verdict::Wait(PollFlags::POLLIN),
        ErrorCode::WANT_WRITE => Verdict::Wait(PollFlags::POLLOUT),
        ErrorCode::ZERO_RETURN => Verdict::CleanEnd,
        _ => Verdict::Trouble(match (error.io_error(), error.ssl_error()) {
            (Some(io), _) => Trouble::Errno(errno_of(io)),
            (None, Some(stack)) => match reason(stack) {
                text if text.contains("unexpected eof") => Trouble::UnexpectedEof,
                text => Trouble::Tls(text),
            },
            (None, None) => Trouble::UnexpectedEof,
        }),
    }
}

/// The most telling line of OpenSSL's error queue: the first of its TLS, where the rules were broken; or the first of all.
/// What lies before it is how that came to light ("cipher operation failed"); "… lib" only points back there.
pub fn reason(stack: &ErrorStack) -> String {
    let reasons = || stack.errors().iter().filter_map(|error| Some((error.library(), error.reason()?)));
    let of_tls = reasons().find(|(library, reason)| *library == Some("SSL routines") && !reason.ends_with(" lib"));
    of_tls.or_else(|| reasons().next()).map_or("unknown error", |(_, reason)| reason).to_string()
}
