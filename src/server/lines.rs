//! Cuts a stream of bytes into lines, however TCP cut it, in bounded memory.

/// What one line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line, without its `\n` or `\r\n`.
    Text(&'a str),
    /// Longer than allowed; the rest of it is skipped. Told once a line, as soon as it is known.
    TooLong,
    NotUtf8,
}

#[derive(Debug)]
pub struct Lines {
    /// The beginning of a line whose end has not come yet: at most `max` bytes and a `\r`.
    held: Vec<u8>,
    max: usize,
    skipping: bool,
}

impl Lines {
    pub fn new(max: usize) -> Lines {
        Lines { held: Vec::new(), max, skipping: false }
    }

    /// Takes the next bytes and hands each line that they complete to `each`, in order.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.held.is_empty() {
                each(judge(line, self.max));
            } else {
                self.hold(line);
                each(judge(&self.held, self.max));
                self.held.clear();
            }
        }
        if !self.skipping {
            self.hold(bytes);
            if self.held.len() > self.max && !(self.held.len() == self.max + 1 && self.held.ends_with(b"\r")) {
                self.skipping = true;
                self.held = Vec::new();
                each(Line::TooLong);
            }
        }
    }

    /// The stream has ended cleanly: a last line without `\n` counts.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.held.is_empty() {
            each(judge(&self.held, self.max));
            self.held.clear();
        }
    }

    /// Holds on to `bytes`, but never to more than it takes to know that the line is too long.
    fn hold(&mut self, bytes: &[u8]) {
        let room = (self.max + 2).saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn judge(line: &[u8], max: usize) -> Line<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > max {
        return Line::TooLong;
    }
    std::str::from_utf8(line).map_or(Line::NotUtf8, Line::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `stream` in the given pieces and writes down what comes out.
    fn lines_of<'a>(pieces: impl Iterator<Item = &'a [u8]>, max: usize) -> Vec<String> {
        let (mut lines, mut out) = (Lines::new(max), Vec::new());
        let mut note = |line: Line<'_>| out.push(format!("{line:?}"));
        for piece in pieces {
            lines.feed(piece, &mut note);
            assert!(lines.held.len() <= max + 2);
        }
        lines.finish(&mut note);
        out
    }

    #[test]
    fn lines_end_in_newline_with_or_without_carriage_return() {
        let got = lines_of([&b"a\r\n\nb\rc\n"[..], b"last"].into_iter(), 10);
        assert_eq!(got, ["Text(\"a\")", "Text(\"\")", "Text(\"b\\rc\")", "Text(\"last\")"]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
        for end in ["\n", "\r\n"] {
            assert_eq!(lines_of([format!("12345{end}").as_bytes()].into_iter(), 5), ["Text(\"12345\")"]);
            assert_eq!(lines_of([format!("123456{end}ok\n").as_bytes()].into_iter(), 5), ["TooLong", "Text(\"ok\")"]);
        }
    }

    proptest! {
        /// However a stream is cut, the same lines come out: Hangul is never torn.
        #[test]
        fn the_cut_of_the_stream_does_not_matter(
            text in "([가-힣a-z😀\r]{0,12}\n){0,8}[가-힣]{0,3}", garbage in any::<bool>(), size in 1usize..9, max in 4usize..40,
        ) {
            let mut stream = text.into_bytes();
            if garbage {
                stream.extend(b"\xec\x95\nend\n");
            }
            let whole = lines_of(std::iter::once(&stream[..]), max);
            prop_assert_eq!(lines_of(stream.chunks(size), max), whole);
        }

        /// Whatever the bytes are: as many lines as there are newlines, each judged by itself.
        #[test]
        fn any_bytes_are_cut_at_their_newlines(
            stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0xec), any::<u8>()], 0..120),
            size in 1usize..9, max in 1usize..12,
        ) {
            let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
            if lines.last().is_some_and(|last| last.is_empty()) {
                lines.pop(); // nothing stands behind the last newline
            }
            let judged: Vec<_> = lines.into_iter().map(|line| format!("{:?}", judge(line, max))).collect();
            prop_assert_eq!(lines_of(stream.chunks(size), max), judged);
        }
    }
}
