//! What the clients say: each line follows from who says it and from its number, so that nothing of it has to be kept.

use std::sync::LazyLock;

use crate::failure::{Failure, Result};

/// No line is longer, with its number.
pub const LONGEST: usize = 60_000;
/// Characters of one, two, three and four bytes: a cut in one of them would show.
const LETTERS: &str = "가나다라마바사아자차카타파하 abcdefghijklmnopqrstuvwxyz é ü 0123456789 😀 ";

static MANY_LETTERS: LazyLock<String> = LazyLock::new(|| LETTERS.repeat(2 + LONGEST / LETTERS.len()));

/// The line without its newline; about as long as asked for.
pub fn line(who: u32, number: u32, len: usize) -> String {
    let text = letters(who, number, len.min(LONGEST));
    format!("{number} {} {text}.", text.len()) // with an end that `/to` does not take for blanks
}

/// The number of a line that `who` has said; anything but what was said is a failure.
pub fn number_in(who: u32, heard: &str) -> Result<u32> {
    let damaged = || Failure::new(format!("damaged line of {who}: {:?}", excerpt(heard)));
    let mut parts = heard.splitn(3, ' ');
    let (Some(number), Some(len), Some(text)) =
        (parts.next(), parts.next(), parts.next().and_then(|text| text.strip_suffix('.')))
    else {
        return Err(damaged());
    };
    let number = number.parse().map_err(|_| damaged())?;
    let len: usize = len.parse().map_err(|_| damaged())?;
    if len == text.len() && len <= LONGEST && letters(who, number, len) == text { Ok(number) } else { Err(damaged()) }
}

fn letters(who: u32, number: u32, len: usize) -> &'static str {
    let all = MANY_LETTERS.as_str();
    let start = boundary(all, (who as usize * 31 + number as usize * 7) % LETTERS.len());
    &all[start..boundary(all, start + len)]
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// For a message: a person is to read it.
pub fn excerpt(text: &str) -> &str {
    &text[..boundary(text, text.len().min(120))]
}
