//! The marks that the figure is made of, and its words: escaped, so that they are words and nothing else.
//!
//! - Standard: XML 1.0 §2.2 (characters), §2.4 (character data and markup)

use std::fmt::Write;

use crate::text::escaped;

/// Colours in figure.css; further conversations begin again.
const COLORS: usize = 8;
/// Length and half the width of an arrow's head.
pub const TIP: (f64, f64) = (7.0, 3.6);

pub fn tip(out: &mut String, x: f64, y: f64, sign: f64, fill: &str) {
    let (length, half) = TIP;
    let _ =
        write!(out, r#"<path class="{fill}" d="M{x:.1} {y:.1}l{:.1} {half:.1}v{:.1}z"/>"#, -sign * length, -2.0 * half);
}

pub fn stroke(color: Option<usize>) -> String {
    color.map_or("s".into(), |color| format!("s{}", color % COLORS))
}

pub fn fill(color: Option<usize>) -> String {
    color.map_or("f".into(), |color| format!("f{}", color % COLORS))
}

pub fn text(out: &mut String, class: &str, x: f64, y: f64, size: f64, anchor: &str, words: &str) {
    let words = xml(words);
    let _ = write!(
        out,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}">{words}</text>"#
    );
}

/// `0.40초`, `12.3초`
pub fn seconds(micros: u64) -> String {
    let seconds = micros as f64 / 1e6;
    match micros {
        0..10_000_000 => format!("{seconds:.2}초"),
        _ => format!("{seconds:.1}초"),
    }
}

/// Text that can neither end its element nor be no XML at all: U+FFFE and U+FFFF are not allowed (XML 1.0 §2.2).
pub fn xml(words: &str) -> String {
    let mut out = String::new();
    for c in escaped(words).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
