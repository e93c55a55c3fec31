//! Connections one after the other: each says one line, hears it, and ends.

use openssl::ssl::SslContext;

use super::lines::{LINE_BYTES, write_line};
use crate::failure::{Result, failed};
use crate::load::{Conn, finish};
use crate::measure::{Meter, Plan, Sample, measure};
use crate::peers::Server;

pub struct Connections {
    pub slots: usize,
    /// Every handshake but the first of a slot uses the ticket of the one before.
    pub resumed: bool,
}

impl Connections {
    pub fn run(&self, server: &Server, context: Option<&SslContext>, plan: &Plan) -> Result<Sample> {
        let slot = |slot: usize| move |meter: &Meter| self.slot(slot, server, context, meter);
        measure(plan, 1, 1.0, (0..self.slots).map(slot).collect())
    }

    /// Most of the time each waits for the server, so a thread for each is simple and no burden.
    fn slot(&self, slot: usize, server: &Server, context: Option<&SslContext>, meter: &Meter) -> Result<Vec<f32>> {
        let (mut ticket, mut count) = (None, 0);
        while !meter.is_stopped() {
            let mut conn = Conn::resume(server.addr, context, ticket.as_ref())?;
            if conn.was_resumed() != ticket.is_some() {
                return failed("the server did not take its own ticket back");
            }
            one_line(&mut conn, slot, count)?;
            finish(conn)?;
            if self.resumed {
                ticket = Conn::take_ticket();
                if ticket.is_none() {
                    return failed("the server gave no ticket");
                }
            }
            meter.add(1);
            count += 1;
        }
        Ok(Vec::new())
    }
}

/// Says a line, and hears it.
pub fn one_line(conn: &mut Conn, slot: usize, count: u32) -> Result<()> {
    let (mut line, mut heard) = ([0; LINE_BYTES], [0; LINE_BYTES]);
    write_line(slot, count, &mut line);
    if conn.write(&line)? != Some(LINE_BYTES) {
        return failed("a line could not be sent");
    }
    let mut len = 0;
    while len < LINE_BYTES {
        match conn.read(&mut heard[len..])? {
            Some(0) => return failed(format!("the server closed after {len} bytes of a line")),
            Some(n) => len += n,
            None => return failed("a line did not come back"),
        }
    }
    if heard == line { Ok(()) } else { failed("a line did not come back as it was sent") }
}
