//! Plain or TLS: the one type that server and client read and write.
//!
//! The socket under it is non-blocking. A call that cannot go on says which event to wait for;
//! under TLS a read may have to wait until the socket is writable, and the reverse.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::Shutdown;
use openssl::ssl::SslStream;

use crate::lifecycle::{recv, send, shutdown};
use crate::tls::{Trouble, Verdict, Wire, holds_bytes, verdict};
use crate::traffic::Traffic;

/// The most that one TLS record carries (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Data(usize),
    /// Nothing yet: poll for [`Transport::read_event`].
    Wait,
    /// The peer has said all that it had to say: FIN, and under TLS a close_notify before it.
    End,
    /// FIN without close_notify: somebody may have cut the end off (RFC 8446 §6.1).
    Truncated,
}

/// `F` is the socket, borrowed, or held together with others.
pub struct Transport<F> {
    fd: F,
    tls: Option<SslStream<Wire<F>>>,
    read_event: PollFlags,
    write_event: PollFlags,
    /// Where what goes through is counted, if anywhere.
    traffic: Option<&'static Traffic>,
    /// The last read may have left something behind that poll() does not know of.
    more: bool,
}

impl<F: AsFd + Clone> Transport<F> {
    /// recv() and send() on the socket itself.
    pub fn plain(fd: F) -> Self {
        Transport {
            fd,
            tls: None,
            read_event: PollFlags::POLLIN,
            write_event: PollFlags::POLLOUT,
            traffic: None,
            more: false,
        }
    }

    /// The same through SSL_read() and SSL_write(), after the handshake.
    pub fn over_tls(fd: F, stream: SslStream<Wire<F>>) -> Self {
        Transport { tls: Some(stream), more: true, ..Transport::plain(fd) }
    }

    /// The same, with what goes through counted.
    pub fn counted_in(self, traffic: Option<&'static Traffic>) -> Self {
        Transport { traffic, ..self }
    }

    pub fn fd(&self) -> F {
        self.fd.clone()
    }

    /// The event that lets a read go on.
    pub fn read_event(&self) -> PollFlags {
        self.read_event
    }

    /// The event that lets a write go on.
    pub fn write_event(&self) -> PollFlags {
        self.write_event
    }

    /// True when the next read must not wait for poll(), which sees the socket and not what OpenSSL has taken out of
    /// it: the rest of what it has decrypted or read ahead, and what came together with the last message of the handshake.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Reads what is there. A plain read that did not fill `buf` has emptied the socket.
    pub fn receive(&mut self, buf: &mut [u8]) -> Result<Received, Trouble> {
        let received = match &mut self.tls {
            None => match recv(self.fd.as_fd(), buf) {
                Ok([]) => Received::End,
                Ok(bytes) => Received::Data(bytes.len()),
                Err(Errno::EAGAIN) => Received::Wait,
                Err(errno) => return Err(Trouble::Errno(errno)),
            },
            Some(stream) => match stream.ssl_read(buf) {
                Ok(n) => Received::Data(n),
                Err(error) => match verdict(&error) {
                    Verdict::Wait(event) => {
                        self.read_event = event;
                        Received::Wait
                    }
                    Verdict::CleanEnd => Received::End,
                    // [12.truncated]
                    Verdict::Trouble(Trouble::UnexpectedEof) => Received::Truncated,
                    Verdict::Trouble(trouble) => return Err(trouble),
                },
            },
        };
        if let (Received::Data(n), Some(traffic)) = (received, self.traffic) {
            traffic.count_received(n);
        }
        self.more = match (received, &self.tls) {
            (Received::Data(n), None) => n == buf.len(),
            // Behind a full record there usually is another.
            (Received::Data(n), Some(stream)) => n >= RECORD_BYTES || holds_bytes(stream),
            _ => false,
        };
        Ok(received)
    }

    /// Writes what fits now and returns how much; 0 means: poll for [`Transport::write_event`].
    pub fn send(&mut self, data: &[u8]) -> Result<usize, Trouble> {
        if data.is_empty() {
            return Ok(0);
        }
        self.write_event = PollFlags::POLLOUT;
        // [01.plain-or-tls]
        let sent = match &mut self.tls {
            None => match send(self.fd.as_fd(), data) {
                Err(Errno::EAGAIN) => 0,
                result => result.map_err(Trouble::Errno)?,
            },
            Some(stream) => match stream.ssl_write(data) {
                Ok(n) => n,
                Err(error) => match verdict(&error) {
                    Verdict::Wait(event) => {
                        self.write_event = event;
                        0
                    }
                    Verdict::CleanEnd => return Err(Trouble::Errno(Errno::EPIPE)),
                    Verdict::Trouble(trouble) => return Err(trouble),
                },
            },
        };
        if let Some(traffic) = self.traffic {
            traffic.count_sent(sent);
        }
        Ok(sent)
    }

    /// "I have said all": close_notify, then `shutdown(SHUT_WR)`. True when done, false when it
    /// must be tried again after [`Transport::write_event`].
    pub fn finish(&mut self) -> Result<bool, Trouble> {
        let mut said = Ok(true);
        if let Some(Err(error)) = self.tls.as_mut().map(SslStream::shutdown) {
            match verdict(&error) {
                Verdict::Wait(event) => {
                    self.write_event = event;
                    return Ok(false);
                }
                Verdict::CleanEnd => {}
                Verdict::Trouble(trouble) => said = Err(trouble),
            }
        }
        shutdown(self.fd.as_fd(), Shutdown::Write).map_err(Trouble::Errno)?; // FIN, even if close_notify failed
        said
    }
}
