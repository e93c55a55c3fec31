//! What a terminal, or a log file that is looked at in one, would obey: one of each kind, and who has let it through.
#![allow(dead_code, clippy::unwrap_used)]

/// ECMA-48 (C0, C1, and what they begin), and the characters of Unicode that say in which order others stand.
pub const HOSTILE: [&str; 20] = [
    "\x1b[2J\x1b[31;1m",
    "\x1b]0;owned\x07",
    "\x1bP$q\x1b\\",
    "\x1bc",
    "\x07\x08\x08",
    "a\rb",
    "\x0b\x0c",
    "\x0e\x0f",
    "\0",
    "\x7f",
    "\u{9b}2J",
    "\u{9d}0;owned\u{9c}",
    "\u{85}\u{84}",
    "\u{2028}\u{2029}",
    "\u{61c}",
    "\u{200e}\u{200f}",
    "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}",
    "\u{2066}\u{2067}\u{2068}\u{2069}",
    "\u{206a}\u{206f}",
    "\x1b[6n\x1b[c",
];

/// The same as bytes that are no text: a terminal of 8 bits would know them.
pub const RAW: &[u8] = b"\x9b2J\x9d0;owned\x9c\xff\xec\x95";

/// All of it on lines of its own, between two words that show that it came through.
pub fn all() -> Vec<u8> {
    let lines = HOSTILE.iter().map(|hostile| [b"begin ", hostile.as_bytes(), b" end\n"].concat());
    [lines.collect::<Vec<_>>().concat(), RAW.to_vec(), b"\n".to_vec()].concat()
}

/// Nothing in it but text, tabs and newlines. `sockstep::text` is not asked: it is what is tested.
#[track_caller]
pub fn assert_harmless(what: &str, bytes: impl AsRef<[u8]>) {
    let text = std::str::from_utf8(bytes.as_ref()).unwrap_or_else(|error| panic!("{what}: {error}"));
    for line in text.split('\n') {
        for c in line.chars() {
            let layout = matches!(u32::from(c), 0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x206f);
            assert!(!layout && (!c.is_control() || c == '\t'), "{what}: U+{:04X} in {line:?}", u32::from(c));
        }
    }
}

/// What our client itself writes to a terminal: back to the first column and clear the line; and the terminal's own `\r\n`.
#[track_caller]
pub fn assert_only_ours(what: &str, bytes: Vec<u8>) {
    let text = String::from_utf8(bytes).unwrap();
    assert_harmless(what, text.replace("\r\x1b[K", "").replace("\r\n", "\n"));
}
