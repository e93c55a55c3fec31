//! Bytes that come back: so many connections, so many bytes of each under way.

use openssl::ssl::SslContext;

use crate::failure::{Result, failed};
use crate::load::{Conn, Waiting, finish};
use crate::measure::{Meter, Plan, Sample, measure};
use crate::peers::Server;

const THREADS: usize = 2;
/// A prime, so that no buffer size of a server hides a shift.
const PATTERN_BYTES: usize = 65_521;

pub struct Echo {
    pub conns: usize,
    pub window: usize,
    pub bytes_per_unit: f64,
}

impl Echo {
    pub fn run(&self, server: &Server, context: Option<&SslContext>, plan: &Plan) -> Result<Sample> {
        let pattern = pattern(self.window);
        let mut groups: Vec<Vec<Stream>> = (0..THREADS.min(self.conns)).map(|_| Vec::new()).collect();
        for number in 0..self.conns {
            let conn = Conn::open(server.addr, context)?;
            conn.hurry(true)?;
            let count = groups.len();
            groups[number % count].push(Stream { conn, number, sent: 0, received: 0 });
        }
        let (pattern, window) = (&pattern[..], self.window);
        let load = groups.into_iter().map(|group| move |meter: &Meter| drive(group, pattern, window, meter)).collect();
        measure(plan, 1, self.bytes_per_unit, load)
    }
}

fn drive(mut streams: Vec<Stream>, pattern: &[u8], window: usize, meter: &Meter) -> Result<Vec<f32>> {
    let mut waiting = Waiting::new()?;
    for (at, stream) in streams.iter().enumerate() {
        waiting.add(&stream.conn, at)?;
    }
    let mut buf = vec![0; window.max(4096)];
    while !meter.has_failed() && (!meter.is_stopped() || streams.iter().any(|stream| stream.received < stream.sent)) {
        for at in waiting.ready()? {
            streams[at].turn(pattern, window, &mut buf, meter)?;
        }
    }
    for stream in streams.into_iter().filter(|_| !meter.has_failed()) {
        stream.conn.hurry(false)?;
        finish(stream.conn)?;
    }
    Ok(Vec::new())
}

struct Stream {
    conn: Conn,
    number: usize,
    sent: usize,
    received: usize,
}

impl Stream {
    /// Sends and receives until neither goes on.
    fn turn(&mut self, pattern: &[u8], window: usize, buf: &mut [u8], meter: &Meter) -> Result<()> {
        loop {
            let before = (self.sent, self.received);
            while let Some(len) = self.conn.read(buf)? {
                self.check(&buf[..len], pattern)?;
                meter.add(len as u64);
                if len < buf.len() && matches!(self.conn, Conn::Plain(_)) {
                    break;
                }
            }
            while self.sent - self.received < window && !meter.is_stopped() {
                let room = window - (self.sent - self.received);
                let Some(len) = self.conn.write(&self.expected(self.sent, pattern)[..room])? else { break };
                self.sent += len;
            }
            if (self.sent, self.received) == before {
                return Ok(());
            }
        }
    }

    fn check(&mut self, bytes: &[u8], pattern: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return failed(format!("the server closed, and owed {} bytes", self.sent - self.received));
        }
        if bytes.len() > self.sent - self.received {
            return failed(format!("more came back than was sent, at byte {}", self.received));
        }
        let expected = &self.expected(self.received, pattern)[..bytes.len()];
        if bytes != expected {
            let at = bytes.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
            return failed(format!("byte {} did not come back as it was sent", self.received + at));
        }
        self.received += bytes.len();
        Ok(())
    }

    /// What stands at this offset of its stream: of each stream, something else.
    fn expected<'a>(&self, offset: usize, pattern: &'a [u8]) -> &'a [u8] {
        &pattern[(offset + self.number * 1009) % PATTERN_BYTES..]
    }
}

/// Noise, repeated far enough that a window from any offset is one slice.
fn pattern(window: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let once: Vec<u8> = (0..PATTERN_BYTES).map(|_| next()).collect();
    once.iter().copied().cycle().take(PATTERN_BYTES + window.max(4096)).collect()
}
