//! One client of a chat: joins, takes lines apart as they come, and holds each against what is due.

use std::time::Instant;

use super::lines::{Heard, read_line};
use super::relay::{SENDERS, Sender};
use crate::failure::{Result, failed};
use crate::load::Conn;

pub struct Guest {
    pub conn: Conn,
    pub unsent: Vec<u8>,
    /// The number of the next line of each sender: anything else is a loss, a double, or out of order.
    due: [u32; SENDERS],
    /// A line whose end has not come.
    begun: Vec<u8>,
}

impl Guest {
    /// Waits until the server has greeted: from then on, the guest hears all that is said.
    pub fn join(mut conn: Conn) -> Result<Guest> {
        let mut byte = [0];
        while byte != *b"\n" {
            match conn.read(&mut byte)? {
                Some(1..) => {}
                _ => return failed("the chat does not greet"),
            }
        }
        conn.hurry(true)?;
        Ok(Guest { conn, unsent: Vec::new(), due: [0; SENDERS], begun: Vec::new() })
    }

    /// Reads past what is said before the first line.
    pub fn skip(&mut self, buf: &mut [u8]) -> Result<()> {
        while let Some(len @ 1..) = self.conn.read(buf)? {
            self.begun.extend_from_slice(&buf[..len]);
            let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            self.begun.drain(..whole);
        }
        Ok(())
    }

    /// Sends what can be sent now.
    pub fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            let Some(len) = self.conn.write(&self.unsent)? else { break };
            self.unsent.drain(..len);
        }
        Ok(())
    }

    /// Reads what is there. Returns how many lines of others it was; `tell` hears when each was due, and when it came.
    pub fn hear(
        &mut self,
        own: usize,
        senders: &mut [Sender; SENDERS],
        buf: &mut [u8],
        mut tell: impl FnMut(Instant, Instant),
    ) -> Result<u64> {
        let mut count = 0;
        while let Some(len) = self.conn.read(buf)? {
            if len == 0 {
                return failed(format!("the server closed the connection of client {own}"));
            }
            let now = Instant::now();
            for part in buf[..len].split_inclusive(|byte| *byte == b'\n') {
                let whole = part.ends_with(b"\n");
                if !whole || !self.begun.is_empty() {
                    self.begun.extend_from_slice(part);
                }
                if !whole {
                    break;
                }
                let line = if self.begun.is_empty() { part } else { &self.begun };
                if let Heard::Line { sender, number } = read_line(line)? {
                    self.expect(own, sender, number)?;
                    tell(senders[sender].delivered(number), now);
                    count += 1;
                }
                self.begun.clear();
            }
            if len < buf.len() && matches!(self.conn, Conn::Plain(_)) {
                break;
            }
        }
        Ok(count)
    }

    fn expect(&mut self, own: usize, sender: usize, number: u32) -> Result<()> {
        let of = format_args!("client {own}: line {number} of sender {sender}");
        match self.due.get(sender) {
            None => return failed(format!("{of}: there is no such sender")),
            Some(_) if sender == own => return failed(format!("{of}: its own line came back")),
            Some(due) if number < *due => return failed(format!("{of}: came twice or too late; {due} is due")),
            Some(due) if number > *due => return failed(format!("{of}: came, but {due} has not")),
            Some(_) => self.due[sender] += 1,
        }
        Ok(())
    }
}
