//! Stage 3: the correct relay, over TLS.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use nix::poll::{PollFlags, PollTimeout};
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod, SslOptions, SslStream, SslVersion};
use openssl::x509::X509;

use super::conn::Conn;
use super::room::{Room, talk};
use super::site::Site;
use super::{echo, relay, servers};
use crate::support::certs;
use crate::support::tls::Issued;

servers! {
    /// A relay over TLS, with the certificate of [`certs`] where nothing else is said.
    Tls, 2 right:
    Correct,
    /// Not a relay but an echo server.
    Echo,
    /// accept() returns a socket, and nobody made it a TLS one.
    Plain,
    /// "So that old clients work, too": a minimum version of TLS 1.0, at security level 0.
    TakesTls11,
    /// A certificate of a CA that is not the class's.
    OtherCa,
    /// `openssl req -x509`: a certificate that signs itself.
    SelfSigned,
    /// The certificate was made for another computer.
    OtherHost,
    /// SSL_accept() stands right behind accept(), before the thread is made: one stalled handshake blocks everybody.
    HandshakeBlocks,
    /// close() without SSL_shutdown(): an end like one that an attacker has cut off.
    NoCloseNotify,
    /// A failed handshake is not caught: who speaks plain text ends the whole server.
    PlainTextKills,
    /// It looks at the first byte, and who does not speak TLS is served without it.
    ServesPlainToo,
    /// select(), then a blocking SSL_read() in the one loop: half a record that stays alone stops everybody.
    StalledRecordBlocks,
}

/// The first byte of a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

pub fn serve(site: &Arc<Site>, listener: &TcpListener, mistake: Tls) {
    if mistake == Tls::Plain {
        return relay::serve(site, listener, relay::Relay::Correct);
    }
    let acceptor = Arc::new(acceptor(mistake));
    let room = Arc::new(Room::new(relay::Relay::Correct));
    while let Some(conn) = site.accept(listener) {
        let early = (mistake == Tls::HandshakeBlocks).then(|| acceptor.accept(conn.clone()));
        let (acceptor, room, host) = (acceptor.clone(), room.clone(), site.clone());
        site.spawn(move || {
            if mistake == Tls::ServesPlainToo && conn.first_byte().is_ok_and(|byte| byte != Some(HANDSHAKE)) {
                let _ = talk(&room, &mut conn.clone(), &conn);
                return conn.finish();
            }
            match early.unwrap_or_else(|| acceptor.accept(conn.clone())) {
                Ok(stream) => serve_one(&room, stream, &conn, mistake),
                Err(_) if mistake == Tls::PlainTextKills => host.end(),
                Err(_) => {}
            }
        });
    }
}

fn serve_one(room: &Room, mut stream: SslStream<Conn>, conn: &Conn, mistake: Tls) {
    let left = match mistake {
        Tls::Echo => echo::echo(&mut stream),
        Tls::StalledRecordBlocks => talk(room, &mut OneLoop(&mut stream, conn), conn),
        _ => talk(room, &mut stream, conn),
    };
    if mistake != Tls::NoCloseNotify && left.is_ok() {
        let _ = stream.shutdown();
    }
    conn.finish();
}

/// As if all clients were read in one loop: what is begun is read to its end before another one has its turn.
struct OneLoop<'s>(&'s mut SslStream<Conn>, &'s Conn);

static TURN: Mutex<()> = Mutex::new(());

impl Read for OneLoop<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let _turn = TURN.lock().unwrap();
        let is_readable = self.1.wait(PollFlags::POLLIN, PollTimeout::ZERO)?;
        loop {
            match self.0.read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && is_readable => {
                    self.1.wait(PollFlags::POLLIN, PollTimeout::NONE)?;
                }
                read => return read,
            }
        }
    }
}

impl Write for OneLoop<'_> {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

fn acceptor(mistake: Tls) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    if mistake == Tls::TakesTls11 {
        builder.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        builder.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
        builder.set_cipher_list("DEFAULT@SECLEVEL=0").unwrap();
    }
    let shown = certificate(mistake);
    builder.set_certificate(&shown.pem).unwrap();
    builder.set_private_key(&shown.key).unwrap();
    builder.check_private_key().unwrap();
    builder.build()
}

fn certificate(mistake: Tls) -> Issued {
    match mistake {
        Tls::OtherCa => Issued::leaf("server", &["localhost"], -1..10, Some(&Issued::ca("elsewhere"))),
        Tls::SelfSigned => Issued::leaf("server", &["localhost"], -1..10, None),
        Tls::OtherHost => Issued::elsewhere("elsewhere.example", &kept("ca")),
        _ => kept("server"),
    }
}

/// What `make certs` has made.
fn kept(name: &str) -> Issued {
    let read = |extension| std::fs::read(certs().join(name).with_extension(extension)).unwrap();
    let (pem, key) = (X509::from_pem(&read("pem")).unwrap(), PKey::private_key_from_pem(&read("key")).unwrap());
    Issued { pem, key }
}
