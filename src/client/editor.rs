//! The line that is being typed. It knows keys and columns, and no terminal.

use crate::text::{is_control, width};

/// What typing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Enter: a whole line, with its `\n`.
    Line(String),
    /// Ctrl-D on an empty line.
    End,
}

/// Where we are in an escape sequence (arrow keys and the like), which is swallowed.
#[derive(Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Inside,
}

#[derive(Debug, Default)]
pub struct Editor {
    line: String,
    /// The first bytes of a character that is not whole yet.
    partial: Vec<u8>,
    escape: Escape,
}

impl Editor {
    /// Takes one byte from the keyboard.
    pub fn take(&mut self, byte: u8) -> Option<Typed> {
        match (&self.escape, byte) {
            (_, 0x1b) => self.escape = Escape::Begun,
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Inside,
            (Escape::Begun, _) => self.escape = Escape::None,
            (Escape::Inside, 0x40..=0x7e) => self.escape = Escape::None,
            (Escape::Inside, _) => {}
            (Escape::None, b'\n' | b'\r') => return Some(Typed::Line(std::mem::take(&mut self.line) + "\n")),
            (Escape::None, 0x04) if self.line.is_empty() => return Some(Typed::End),
            (Escape::None, 0x7f | 0x08) => drop(self.line.pop()),
            (Escape::None, 0x15) => self.line.clear(),
            (Escape::None, 0x17) => {
                let kept = self.line.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.line.truncate(kept);
            }
            (Escape::None, b'\t') => self.line.push('\t'),
            (Escape::None, 0..=0x1f) => {}
            (Escape::None, byte) => self.add(byte),
        }
        None
    }

    /// UTF-8 comes byte by byte; a character enters the line when it is whole.
    fn add(&mut self, byte: u8) {
        if byte & 0xc0 != 0x80 {
            self.partial.clear(); // a new character begins: what was left of another is no character
        }
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(character) => {
                self.line.push_str(character);
                self.partial.clear();
            }
            Err(error) if error.error_len().is_some() => self.partial.clear(),
            Err(_) => {}
        }
    }

    /// The end of the line that fits into `columns`, as it is to be shown.
    pub fn shown(&self, columns: usize) -> String {
        let mut used = 0;
        let fits = |c: &char| {
            used += width(*c);
            used <= columns
        };
        // A paste may bring what drives a terminal: it is sent as it is, and shown as no character.
        let visible = |c: char| match c {
            '\t' => ' ',
            c if is_control(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        let shown: Vec<char> = self.line.chars().rev().map(visible).take_while(fits).collect();
        shown.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn type_all(keys: &[u8]) -> (Editor, Vec<Typed>) {
        let mut editor = Editor::default();
        let typed = keys.iter().filter_map(|byte| editor.take(*byte)).collect();
        (editor, typed)
    }

    #[test]
    fn hangul_is_erased_by_the_syllable() {
        let (_, typed) = type_all("안녕하\x7f히\n".as_bytes());
        assert_eq!(typed, [Typed::Line("안녕히\n".into())]);
    }

    #[test]
    fn control_keys_do_what_they_do_in_a_shell() {
        let (_, typed) = type_all(b"one two\x17three\nabc\x15\n\x04");
        assert_eq!(typed, [Typed::Line("one three\n".into()), Typed::Line("\n".into()), Typed::End]);
    }

    #[test]
    fn ctrl_d_ends_only_on_an_empty_line() {
        assert_eq!(type_all(b"a\x04b\n").1, [Typed::Line("ab\n".into())]);
    }

    #[test]
    fn arrow_keys_and_broken_utf8_leave_no_trace() {
        let (_, typed) = type_all(b"a\x1b[A\x1b[1;5C\x1bOHb\xec\x95c\xff\n");
        assert_eq!(typed, [Typed::Line("abc\n".into())]);
    }

    #[test]
    fn only_the_end_of_a_long_line_is_shown() {
        let (editor, _) = type_all("abc가나".as_bytes());
        assert_eq!(editor.shown(80), "abc가나");
        assert_eq!(editor.shown(5), "c가나");
        assert_eq!(editor.shown(3), "나");
    }

    #[test]
    fn a_pasted_control_character_is_sent_and_not_shown() {
        let (mut editor, _) = type_all("a\u{9b}2J\u{202e}b".as_bytes());
        assert_eq!(editor.shown(80), "a\u{fffd}2J\u{fffd}b");
        assert_eq!(editor.take(b'\n'), Some(Typed::Line("a\u{9b}2J\u{202e}b\n".into())));
    }

    proptest! {
        /// A paste brings more than a keyboard has: it is edited, fits, and does not drive the terminal.
        #[test]
        fn any_keys_make_lines_that_can_be_shown(
            keys in prop::collection::vec(prop_oneof![any::<u8>(), 0x20..0x7f_u8, 0x80..=0xc2_u8], 0..80), paste: String, columns in 0..60_usize,
        ) {
            let (editor, typed) = type_all(&[keys, paste.into_bytes()].concat());
            let shown = editor.shown(columns);
            prop_assert!(!shown.chars().any(is_control), "{:?}", shown);
            prop_assert!(shown.chars().map(width).sum::<usize>() <= columns);
            prop_assert!(editor.partial.len() < 4);
            for line in typed {
                prop_assert!(line == Typed::End || matches!(line, Typed::Line(line) if line.find('\n') == Some(line.len() - 1)));
            }
        }
    }
}
