//! The lines of the relay: each names its sender and its number, and the rest follows from these.

use crate::failure::{Failure, Result};

pub const LINE_BYTES: usize = 64;
const HEAD_BYTES: usize = 12; // ~, the sender, :, eight digits, :
const LETTERS: &[u8; 128] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
/// `[name] `, `<user17> `: what a chat may put before a line.
const MOST_PREFIX_BYTES: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Line {
        sender: usize,
        number: u32,
    },
    /// The server's own words.
    Notice,
}

pub fn write_line(sender: usize, number: u32, line: &mut [u8; LINE_BYTES]) {
    line[0] = b'~';
    line[1] = b'0' + (sender % 64) as u8;
    line[2] = b':';
    for (nth, digit) in line[3..11].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (28 - 4 * nth)) as usize & 15];
    }
    line[11] = b':';
    line[HEAD_BYTES..LINE_BYTES - 1].copy_from_slice(filling(sender, number));
    line[LINE_BYTES - 1] = b'\n';
}

fn filling(sender: usize, number: u32) -> &'static [u8] {
    let at = (number as usize + 7 * sender) % (LETTERS.len() - LINE_BYTES);
    &LETTERS[at..][..LINE_BYTES - 1 - HEAD_BYTES]
}

/// Of a line with its newline.
pub fn read_line(line: &[u8]) -> Result<Heard> {
    let damaged = || Failure::new(format!("a line came damaged: {:?}", String::from_utf8_lossy(line)));
    if line.starts_with(b"* ") || line.starts_with(b"<announce>") {
        return Ok(Heard::Notice);
    }
    let at = line.len().checked_sub(LINE_BYTES).filter(|at| *at <= MOST_PREFIX_BYTES).ok_or_else(damaged)?;
    let said: &[u8; LINE_BYTES] = line[at..].try_into().map_err(|_| damaged())?;
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let number = said[3..11].iter().try_fold(0, |number, next| Some(number << 4 | digit(next)?)).ok_or_else(damaged)?;
    let sender = said[1].checked_sub(b'0').ok_or_else(damaged)?.into();
    let mut expected = [0; LINE_BYTES];
    write_line(sender, number, &mut expected);
    if *said == expected { Ok(Heard::Line { sender, number }) } else { Err(damaged()) }
}
