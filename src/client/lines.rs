//! Standard input cut into lines, in bounded memory, for datagrams: a line is a datagram.

use std::io::{self, Read};

/// A line that is at least this long is cut here. No datagram is so long: sendto() will say so.
pub const LINE_BYTES: usize = 64 * 1024;

pub struct Lines {
    bytes: Vec<u8>,
    /// What is in front of it has been given out.
    start: usize,
    end: usize,
    /// Nothing more will come.
    pub ended: bool,
}

impl Lines {
    pub fn new() -> Lines {
        Lines { bytes: vec![0; 2 * LINE_BYTES], start: 0, end: 0, ended: false }
    }

    /// `read()` once; to be called when [`Lines::next`] has nothing.
    pub fn fill(&mut self, mut from: impl Read) -> io::Result<()> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match from.read(&mut self.bytes[self.end..]) {
            Ok(n) => {
                self.end += n;
                self.ended = n == 0;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next line, without its newline; the last one need not have had one.
    pub fn next(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.start..self.end];
        let (length, taken) = match rest.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') {
            Some(length) => (length, length + 1),
            None if rest.len() >= LINE_BYTES => (LINE_BYTES, LINE_BYTES),
            None if self.ended && !rest.is_empty() => (rest.len(), rest.len()),
            None => return None,
        };
        self.start += taken;
        Some(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All lines of `input`, read in pieces of `piece` bytes.
    fn lines(input: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut lines, mut rest, mut all) = (Lines::new(), input, Vec::new());
        while !lines.ended {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            lines.fill(now).unwrap();
            rest = later;
            while let Some(line) = lines.next() {
                all.push(line.to_vec());
            }
        }
        all
    }

    #[test]
    fn a_line_is_what_stands_between_newlines_however_it_is_read() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(lines(b"a\n\nbc\r\n\0d", piece), [&b"a"[..], b"", b"bc\r", b"\0d"], "{piece}");
            assert_eq!(lines(b"\n", piece), [b""], "{piece}");
            assert!(lines(b"", piece).is_empty());
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_never_kept_whole() {
        let long = [vec![b'x'; 3 * LINE_BYTES], b"\nshort\n".to_vec()].concat();
        for piece in [1000, 2 * LINE_BYTES] {
            let lines = lines(&long, piece);
            assert_eq!(lines.iter().map(Vec::len).sum::<usize>(), 3 * LINE_BYTES + 5, "{piece}");
            assert!(lines.iter().all(|line| line.len() <= LINE_BYTES), "{piece}");
            assert_eq!(lines.last().unwrap(), b"short", "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_at_their_newlines(
            input in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..100), piece in 1..50_usize,
        ) {
            let mut expected: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            prop_assert_eq!(lines(&input, piece), expected);
        }
    }
}
