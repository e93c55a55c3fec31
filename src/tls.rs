//! TLS: contexts, the handshake, and the socket as OpenSSL sees it.
//!
//! TLS 1.2 and 1.3 only, ECDHE with AEAD suites, no renegotiation, no compression. The context is
//! made once, before fork(), so that every child seals its session tickets with the same keys: a
//! client may resume at a child other than the one it knew.
//!
//! ```text
//! context.rs   what both sides agree on before they have met
//! pem.rs       certificates and keys from files
//! trouble.rs   what an OpenSSL call came to
//! judge.rs     who a client is, and what was found wrong with its certificate
//! hint.rs      what a client is told when a handshake came to nothing
//! keylog.rs    the secrets, written down for Wireshark
//! tickets.rs   the keys of session tickets, and how old they may become
//! rehearsal.rs what a child is to inherit of OpenSSL
//! ```
//!
//! - Notes: notes/12-tls.md
//! - Manual: SSL_CTX_new(3ssl), SSL_do_handshake(3ssl), SSL_CTX_set_options(3ssl)
//! - Standard: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 5077 (tickets), RFC 9525 (names)

mod context;
mod hint;
mod judge;
mod keylog;
mod pem;
mod rehearsal;
mod tickets;
mod trouble;

use std::ffi::{c_int, c_void};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslRef, SslStream};
use openssl::x509::verify::X509CheckFlags;

pub use self::context::{Identity, client_context, context_trusting, server_context};
pub use self::hint::{alert_hint, refusal_hint};
pub use self::judge::{Judgement, common_name, whose};
pub use self::keylog::KeyLog;
pub use self::tickets::TicketKeys;
pub use self::trouble::{Trouble, Verdict, reason, verdict};
use crate::error::{Error, Result};
use crate::lesson;
use crate::lifecycle::{recv, send};

/// The accepted or connected socket under OpenSSL: its reads and writes are our recv() and send(),
/// so that the trace shows the TLS records as they cross the system-call line. `F` borrows the socket, or
/// holds it.
#[derive(Debug)]
pub struct Wire<F>(pub F);

impl<F: AsFd> io::Read for Wire<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        recv(self.0.as_fd(), buf).map(<[u8]>::len).map_err(wire_error)
    }
}

impl<F: AsFd> io::Write for Wire<F> {
    // [01.wire]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        send(self.0.as_fd(), data).map_err(wire_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The openssl crate takes ENOTCONN for "try again"; for us it is a connection that has gone.
fn wire_error(errno: Errno) -> io::Error {
    let errno = if errno == Errno::ENOTCONN { Errno::ECONNRESET } else { errno };
    io::Error::from_raw_os_error(errno as i32)
}

/// Whether OpenSSL holds bytes of which poll() knows nothing: decrypted, or of a record that it has read in part or
/// not yet looked at.
#[allow(unsafe_code)] // The safe pending() counts the decrypted ones only.
pub fn holds_bytes<F>(stream: &SslStream<Wire<F>>) -> bool {
    unsafe extern "C" {
        fn SSL_has_pending(ssl: *const c_void) -> c_int;
    }
    let ssl: *const SslRef = stream.ssl();
    // SAFETY: a reference to SslRef is the pointer to a live SSL, and the call changes nothing.
    unsafe { SSL_has_pending(ssl.cast()) == 1 }
}

/// One step of the handshake: `None` when it is done, an event to wait for when it is not.
pub fn handshake_step<F: AsFd>(stream: &mut SslStream<Wire<F>>) -> std::result::Result<Option<PollFlags>, Trouble> {
    match stream.do_handshake() {
        Ok(()) => Ok(None),
        Err(error) => match verdict(&error) {
            Verdict::Wait(event) => Ok(Some(event)),
            Verdict::CleanEnd => Err(Trouble::UnexpectedEof),
            Verdict::Trouble(trouble) => Err(trouble),
        },
    }
}

/// The server's side of a handshake that is about to begin over `wire`, and who takes notes of it.
pub fn accepting<F: AsFd>(context: &SslContext, wire: Wire<F>) -> Result<(SslStream<Wire<F>>, Judgement)> {
    lesson::carries_tls(wire.0.as_fd());
    let mut ssl = Ssl::new(context).map_err(setup_failed)?;
    ssl.set_accept_state();
    let judgement = Judgement::over(&mut ssl, context.verify_mode());
    Ok((SslStream::new(ssl, wire).map_err(setup_failed)?, judgement))
}

/// The client's side: asks for `name` (SNI, unless it is an IP address) and wants it in the certificate.
pub fn connecting<F: AsFd>(context: &SslContext, name: &str, wire: Wire<F>) -> Result<SslStream<Wire<F>>> {
    lesson::carries_tls(wire.0.as_fd());
    let mut ssl = Ssl::new(context).map_err(setup_failed)?;
    ssl.set_connect_state();
    let param = ssl.param_mut();
    // RFC 9525: names are in subjectAltName, and nowhere else.
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    // [12.name]
    match name.parse::<IpAddr>() {
        Ok(ip) => param.set_ip(ip),
        Err(_) => param.set_host(name).and_then(|()| ssl.set_hostname(name)),
    }
    .map_err(setup_failed)?;
    SslStream::new(ssl, wire).map_err(setup_failed)
}

fn setup_failed(stack: ErrorStack) -> Error {
    Error::Tls { doing: "setup", object: "OpenSSL".into(), reason: reason(&stack), hint: None }
}
