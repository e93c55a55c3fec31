//! Bytes for a report: as text where they are text, cut, and with nothing in them that a terminal would obey.

use std::fmt::Write;

use crate::text::is_control;

/// Longer ones are cut.
const MOST_BYTES: usize = 60;

/// How much is shown of what goes on.
const FIRST_BYTES: usize = 24;

/// `"안녕\n"`, `"\xff\x00"…(4,096바이트)`
pub fn bytes(data: &[u8]) -> String {
    let (mut out, shown) = quoted(data, MOST_BYTES);
    if shown < data.len() {
        let _ = write!(out, "…({})", size(data.len()));
    }
    out
}

/// With its size in any case, for a datagram: `"" (0바이트)`, `"\xff\x00"…(4,096바이트)`
pub fn sized(data: &[u8]) -> String {
    let (out, shown) = quoted(data, MOST_BYTES);
    let and_more = if shown < data.len() { "…" } else { " " };
    format!("{out}{and_more}({})", size(data.len()))
}

/// How it begins: `"안녕하세요"…`
pub fn first(data: &[u8]) -> String {
    let (mut out, shown) = quoted(data, FIRST_BYTES);
    if shown < data.len() {
        out.push('…');
    }
    out
}

/// At most so many bytes, and no part of a character; and how many these are.
fn quoted(data: &[u8], most: usize) -> (String, usize) {
    let mut out = String::from("\"");
    let mut shown = 0;
    'all: for chunk in data.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown >= most {
                break 'all;
            }
            shown += c.len_utf8();
            character(c, &mut out);
        }
        for byte in chunk.invalid() {
            if shown >= most {
                break 'all;
            }
            shown += 1;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    (out, shown)
}

fn character(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '"' | '\\' => out.extend(['\\', c]),
        '\0'..='\x7f' if is_control(c) => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        // Also what has no width or moves others: a report must show that it came.
        c if is_control(c) || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{feff}') => {
            out.extend(c.escape_unicode());
        }
        c => out.push(c),
    }
}

/// `1,048,576바이트`
pub fn size(bytes: usize) -> String {
    format!("{}바이트", number(bytes))
}

pub fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_shown_as_text_and_the_rest_as_numbers() {
        assert_eq!(bytes("안녕\t\"\\\r\n😀".as_bytes()), r#""안녕\t\"\\\r\n😀""#);
        assert_eq!(bytes(b"\xec\x95a\xff\0\x1b[2J\x7f"), r#""\xec\x95a\xff\x00\x1b[2J\x7f""#);
        assert_eq!(bytes("\u{9b}\u{202e}\u{200b}".as_bytes()), r#""\u{9b}\u{202e}\u{200b}""#);
        assert_eq!(bytes(b""), r#""""#);
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let shown = bytes("가".repeat(1000).as_bytes());
        assert_eq!(shown, format!("\"{}\"…(3,000바이트)", "가".repeat(20)));
        assert_eq!(first("가".repeat(1000).as_bytes()), format!("\"{}\"…", "가".repeat(8)));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(number)[..]);
    }

    proptest! {
        #[test]
        fn whatever_came_is_one_short_line_without_controls(data: Vec<u8>) {
            let shown = bytes(&data);
            prop_assert!(!shown.chars().any(is_control));
            prop_assert!(shown.chars().count() < 10 * MOST_BYTES + 40);
        }
    }
}
