//! Text from strangers: what may reach a terminal or a log, and how wide it stands there.

use std::fmt::{self, Write};

/// Longest excerpt of foreign text in a log line, in characters.
const EXCERPT_CHARS: usize = 100;

/// True for characters that drive a terminal, end a line, or say in which order others stand: C0 but tab, DEL, C1;
/// U+2028 and U+2029; every bidi control (UAX #9 §2) and what was deprecated beside them.
///
/// What has no width and moves nothing is text: emoji are put together with U+200D and U+FE0F, and Hangul has fillers.
pub fn is_control(c: char) -> bool {
    match c {
        '\0'..='~' => c < ' ' && c != '\t',
        '\u{2070}'.. => false, // Hangul is decided as fast as ASCII: every line goes through here
        '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => {
            true
        }
        _ => false,
    }
}

/// Appends `text` with every control character made visible: ESC as `^[`, U+009B as `\u{9b}`.
///
/// No character grows to more than three times its bytes; `relay::packet` counts on that.
pub fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            c if !is_control(c) => out.push(c),
            '\x7f' => out.push_str("^?"),
            '\0'..='\x1f' => out.extend(['^', char::from(c as u8 + b'@')]),
            '\u{61c}' => out.push_str("\\u061c"), // two bytes: with braces it would be seven
            c => out.extend(c.escape_unicode()),
        }
    }
}

pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(text, &mut out);
    out
}

/// Anything that can be written, with every control character of it made visible: for a line of a log, whatever
/// has found its way into it.
pub struct Harmless<T>(pub T);

impl<T: fmt::Display> fmt::Display for Harmless<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.chars().any(is_control) { self.0.write_str(&escaped(text)) } else { self.0.write_str(text) }
    }
}

/// Foreign bytes for a log line: escaped, and cut at 100 characters.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(EXCERPT_CHARS).collect();
    let mark = if cut.len() < text.len() { "…" } else { "" };
    escaped(&cut) + mark
}

/// True when `bytes` are whole UTF-8 lines, each ended by `\n`, with no other control in them.
pub fn are_clean_lines(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    text.ends_with('\n') && !text.chars().any(|c| c != '\n' && is_control(c))
}

/// Columns that `c` takes on a terminal: 2 for Hangul and other wide characters, 0 for marks that
/// join the character before them. The ranges are Unicode's East Asian Width W and F (UAX #11).
pub fn width(c: char) -> usize {
    match c as u32 {
        0x0300..=0x036f | 0x1160..=0x11ff | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff => 2,
        0xa000..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1faff => 2,
        0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_become_visible_and_text_stays() {
        assert_eq!(escaped("안녕\t\x1b[31m\u{9b}\u{202e}\x7f 😀"), "안녕\t^[[31m\\u{9b}\\u{202e}^? 😀");
        assert_eq!(escaped("a\u{61c}\u{200f}\u{2028}\u{206a}b"), "a\\u061c\\u{200f}\\u{2028}\\u{206a}b");
    }

    #[test]
    fn what_emoji_and_hangul_are_made_of_is_text() {
        for text in [
            "👩\u{200d}💻",
            "❤\u{fe0f}",
            "🏴\u{e0067}\u{e0062}\u{e007f}",
            "\u{1112}\u{1161}\u{11ab}",
            "\u{115f}\u{1160}\u{3164}",
        ] {
            assert_eq!(escaped(text), text);
        }
    }

    #[test]
    fn what_is_written_in_pieces_is_harmless_as_well() {
        let pieces = format_args!("a{}\x1b{:?}{}", "\u{9b}", "\u{202e}", 'b').to_string();
        assert_eq!(Harmless(pieces).to_string(), r#"a\u{9b}^["\u{202e}"b"#);
    }

    #[test]
    fn the_control_characters_are_exactly_these() {
        let layout = |c: char| matches!(u32::from(c), 0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x206f);
        for c in '\0'..=char::MAX {
            assert_eq!(is_control(c), (c.is_control() && c != '\t') || layout(c), "{c:?}");
        }
    }

    #[test]
    fn no_character_grows_more_than_threefold() {
        for c in ('\0'..=char::MAX).filter(|c| is_control(*c)) {
            assert!(escaped(&c.to_string()).len() <= 3 * c.len_utf8(), "{c:?}");
        }
    }

    #[test]
    fn clean_lines_end_in_newline_and_hold_no_escape() {
        assert!(are_clean_lines("가\n\n나\t다\n".as_bytes()));
        assert!(!are_clean_lines("가".as_bytes()));
        assert!(!are_clean_lines(b"a\x1b[2J\n"));
        assert!(!are_clean_lines(b"a\r\n"));
        assert!(!are_clean_lines(b"\xec\x95\n"));
        assert!(!are_clean_lines(b""));
    }

    #[test]
    fn hangul_is_two_columns_wide() {
        assert_eq!("한글 ab😀".chars().map(width).sum::<usize>(), 4 + 1 + 2 + 2);
    }

    #[test]
    fn an_excerpt_is_cut_and_marked() {
        assert_eq!(excerpt(b"a\nb"), "a^Jb");
        assert_eq!(excerpt("가".repeat(200).as_bytes()).chars().count(), 101);
    }
}
