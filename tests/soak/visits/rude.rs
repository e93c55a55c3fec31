//! Visits of those who do not speak the protocol.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::Visitor;
use crate::failure::{Result, failed};
use crate::guest::reset_at_close;
use crate::tally::Count;

/// A TLS record as that of a ClientHello (RFC 8446 §5.1), 40 bytes long; what is in it begins as no handshake message.
const NO_CLIENT_HELLO: [u8; 6] = [0x16, 3, 1, 0, 40, 0xee];
/// A TLS record that is an alert.
const ALERT: u8 = 21;

impl Visitor<'_> {
    pub(super) fn connect_and_reset(&mut self) -> Result<()> {
        self.tally.add(Count::ConnectResets, 1);
        let stream = self.site.dial(self.tally)?;
        if self.dice.percent(50) {
            std::thread::sleep(self.dice.ms(0..30));
        }
        reset_at_close(&stream)
    }

    /// What speaks another protocol is refused in a way that it can read; to an echo, all is welcome.
    pub(super) fn speak_garbage(&mut self) -> Result<()> {
        self.tally.add(Count::Garbage, 1);
        let mut stream = self.site.dial(self.tally)?;
        let (noise, words) = (self.noise(), "GET / HTTP/1.0\r\n\r\n".as_bytes());
        match (self.site.is_tls(), &self.site.room) {
            (true, _) if self.dice.percent(50) => must_contain(&mut stream, words, "! 이 포트는 TLS를 씁니다"),
            (true, _) => match answer(&mut stream, &noise)?.first() {
                Some(&ALERT) => Ok(()),
                other => failed(format!("no alert for what is no ClientHello, but {other:?}")),
            },
            (false, Some(_)) => must_contain(&mut stream, &noise, "! 이 포트는 TLS를 쓰지 않습니다"),
            (false, None) => match answer(&mut stream, &noise)? == noise {
                true => Ok(()),
                false => failed("noise did not come back as it was sent"),
            },
        }
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.dice.within(64..512);
        [&NO_CLIENT_HELLO[..], &self.dice.bytes(len)].concat()
    }
}

fn must_contain(stream: &mut TcpStream, said: &[u8], wanted: &str) -> Result<()> {
    let answer = String::from_utf8_lossy(&answer(stream, said)?).into_owned();
    if answer.contains(wanted) { Ok(()) } else { failed(format!("{wanted:?} is not in the answer: {answer:?}")) }
}

/// All that comes back to what is said.
fn answer(stream: &mut TcpStream, said: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(said)?;
    let mut answer = Vec::new();
    // The server may have ended first.
    let _ = stream.shutdown(Shutdown::Write);
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(answer),
    }
}
