//! A handshake of the server with itself, in memory, before anybody comes.
//!
//! OpenSSL makes much of what it needs when it is first used: methods are looked up, functions are bound,
//! the random generators are seeded. What the parent has, its children inherit; what it has not, each of them would make
//! for itself again, and be alone with the pages.
//!
//! - Notes: notes/12-tls.md
//! - Manual: ossl-guide-libcrypto-introduction(7) (fetching), fork(2)

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslContextRef, SslMethod, SslStream, SslVerifyMode};

/// Turns that each side gets. A handshake takes two, the tickets and a few bytes behind it two more.
const TURNS: usize = 4;

/// What happens here is of no consequence, also when it fails: with --client-ca it does, as the server has
/// no client certificate to show to itself, and most of the work is done by then.
pub fn rehearse(server: &SslContextRef) -> Result<(), ErrorStack> {
    let mut client = SslContext::builder(SslMethod::tls_client())?;
    client.set_verify(SslVerifyMode::NONE); // whom would it not trust?
    let (mut server, mut client) = (Ssl::new(server)?, Ssl::new(&client.build())?);
    server.set_accept_state();
    client.set_connect_state();
    let (there, back) = (Bytes::default(), Bytes::default());
    let mut server = SslStream::new(server, Pipe { from: there.clone(), to: back.clone() })?;
    let mut client = SslStream::new(client, Pipe { from: back, to: there })?;
    for _ in 0..TURNS {
        for stream in [&mut client, &mut server] {
            let _ = stream.do_handshake();
            let _ = stream.ssl_write(b"?");
            let _ = stream.ssl_read(&mut [0; 8]);
        }
    }
    let _ = client.shutdown();
    let _ = server.shutdown();
    Ok(())
}

type Bytes = Rc<RefCell<VecDeque<u8>>>;

/// One end of a connection in memory.
struct Pipe {
    from: Bytes,
    to: Bytes,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.from.borrow_mut().read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.to.borrow_mut().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
