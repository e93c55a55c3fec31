//! Standard output where no line is being typed: a pipe or a file gets the server's bytes as they are, a terminal what
//! is harmless of them.
//!
//! `echo hello | sockstep client …` has a terminal at its one end: what the server answers must not drive it.

use std::io::{self, IsTerminal, Write, stdout};

use crate::text::escaped;

#[derive(Debug)]
pub struct Output {
    is_terminal: bool,
    /// The end of what has come, as long as it is not known what it is: a part of a character, or of `\r\n`.
    rest: Vec<u8>,
}

impl Output {
    pub fn open() -> Output {
        Output { is_terminal: stdout().is_terminal(), rest: Vec::new() }
    }

    /// Bytes of a stream, however it was cut.
    pub fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_terminal {
            return write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let known = self.rest.len() - unfinished(&self.rest);
        let now: Vec<u8> = self.rest.drain(..known).collect();
        write(visible(&now).as_bytes())
    }

    /// A datagram: one line, whatever is in it.
    pub fn print_datagram(&self, bytes: &[u8]) -> io::Result<()> {
        match self.is_terminal {
            true => write((escaped(&String::from_utf8_lossy(bytes)) + "\n").as_bytes()),
            false => write(&[bytes, b"\n"].concat()),
        }
    }

    /// Nothing more will come.
    pub fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        write(visible(&rest).as_bytes())
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Lines as they are, and all other controls made visible.
fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let whole = |line: &str| escaped(line.strip_suffix('\r').unwrap_or(line)) + "\n";
    text.split_inclusive('\n').map(|line| line.strip_suffix('\n').map_or_else(|| escaped(line), whole)).collect()
}

/// How many bytes at the end may be the beginning of something.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let Some(last) = bytes.utf8_chunks().last().map(|chunk| chunk.invalid()) else { return 0 };
    let may_go_on = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
    if may_go_on { last.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::is_control;
    use proptest::prelude::*;

    /// What a terminal gets of a stream that comes in these pieces.
    fn shown<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
        let (mut rest, mut out) = (Vec::new(), String::new());
        for piece in pieces {
            rest.extend_from_slice(piece);
            let known = rest.len() - unfinished(&rest);
            let now: Vec<u8> = rest.drain(..known).collect();
            out += &visible(&now);
        }
        out + &visible(&rest)
    }

    #[test]
    fn lines_stay_lines_and_the_rest_becomes_visible() {
        let hostile = "안녕\r\n\x1b[2J\ta\rb\u{9b}\u{202e}\n끝".as_bytes();
        assert_eq!(shown([hostile].into_iter()), "안녕\n^[[2J\ta^Mb\\u{9b}\\u{202e}\n끝");
        assert_eq!(shown([&b"\x9b31m\xec\x95"[..]].into_iter()), "\u{fffd}31m\u{fffd}");
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(
            text in "([가-힣a😀\r\n\u{9b}\u{202e}\x1b]|\r\n){0,30}", garbage in prop::collection::vec(any::<u8>(), 0..9), size in 1..9_usize,
        ) {
            let stream = [text.as_bytes(), &garbage].concat();
            let whole = shown([&stream[..]].into_iter());
            prop_assert!(!whole.chars().any(|c| c != '\n' && is_control(c)));
            prop_assert_eq!(shown(stream.chunks(size)), whole);
        }

        /// What is typed at comes at once, though no line has ended.
        #[test]
        fn at_most_three_bytes_wait(bytes: Vec<u8>) {
            prop_assert!(unfinished(&bytes) <= 3);
        }
    }
}
