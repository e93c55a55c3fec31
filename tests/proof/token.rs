//! A call's text in its parts, each of which can be changed.

use std::ops::Range;

use super::Entry;
use super::line::{self, Piece};
use super::mutants::Side;

/// The call, changed in one place: every number, name and shown byte in turn.
pub fn changed(call: &str, entry: &Entry, other: &Entry, side: Side) -> Vec<(String, String)> {
    let mut changed = Vec::new();
    let strings = if side == Side::Trace { entry } else { other }.call.args.iter().flatten();
    let shown: Vec<usize> = strings.filter_map(Piece::bytes).map(<[u8]>::len).collect();
    let is_fork = other.call.name == "fork";
    let arguments = call.find('(').unwrap()..call.rfind(" = ").unwrap();
    for token in tokens(call) {
        // Of clone() the trace shows its result alone.
        if is_fork && side == Side::Strace && arguments.contains(&token.range.start) {
            continue;
        }
        let before = &call[token.range.clone()];
        let Some(after) = token.other(before, &shown, other) else { continue };
        let text = format!("{}{after}{}", &call[..token.range.start], &call[token.range.end..]);
        changed.push((format!("{before} as {after} in {call}"), text));
    }
    changed
}

#[derive(Debug)]
struct Token {
    range: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Number,
    Word,
    /// `|O_NONBLOCK`: a flag among others, to be left out.
    Flag,
    /// A character or an escape in a string: which string of the line, and from which byte of it on.
    Byte {
        string: usize,
        offset: usize,
    },
    /// `"` or `"...`
    End,
}

impl Token {
    /// The token as it must not be taken for the same; `None` for what the other side does not show.
    fn other(&self, before: &str, shown: &[usize], other: &Entry) -> Option<String> {
        let hidden = |entry: &Entry| entry.call.args.iter().any(|argument| line::show(argument) == "…");
        match self.kind {
            Kind::Number => {
                let hex = before.strip_prefix("0x");
                match hex.map(|hex| u64::from_str_radix(hex, 16)) {
                    Some(Ok(pointer)) if pointer > u64::from(u32::MAX) && hidden(other) => None,
                    Some(Ok(number)) => Some(format!("{:#x}", number ^ 1)),
                    _ => Some((before.parse::<u64>().unwrap() ^ 1).to_string()),
                }
            }
            Kind::Flag => Some(String::new()),
            Kind::Word if before == "NULL" && hidden(other) => None,
            Kind::Word => Some(if before == "EINTR" { "EAGAIN" } else { "EINTR" }.into()),
            Kind::Byte { string, offset } if offset >= shown[string] => None,
            Kind::Byte { .. } => flipped(before),
            Kind::End if before == "\"" => Some("\"...".into()),
            Kind::End => Some("\"".into()),
        }
    }
}

/// A character or an escape with the last bit of its last byte changed.
fn flipped(before: &str) -> Option<String> {
    let (parsed, _) = line::parse(&format!("x(\"{before}\") = 0"))?;
    let Piece::Bytes { bytes, .. } = &parsed.args[0][0] else { return None };
    let (last, rest) = bytes.split_last()?;
    let bytes = rest.iter().copied().chain([last ^ 1]);
    let hex = before.starts_with("\\x");
    Some(bytes.map(|byte| if hex { format!("\\x{byte:02x}") } else { format!("\\{byte:03o}") }).collect())
}

fn tokens(call: &str) -> Vec<Token> {
    let (mut tokens, mut at, mut string) = (Vec::new(), 0, 0);
    while let Some(c) = call[at..].chars().next() {
        let rest = &call[at..];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let len = match c {
            '"' => {
                at = in_string(call, at + 1, string, &mut tokens);
                string += 1;
                continue;
            }
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => {
                if c == '|' {
                    let len = rest[1..].find(|c| !word(c)).unwrap();
                    tokens.push(Token { range: at..at + 1 + len, kind: Kind::Flag });
                }
                at += c.len_utf8();
                continue;
            }
        };
        let kind = if c.is_ascii_digit() { Kind::Number } else { Kind::Word };
        tokens.push(Token { range: at..at + len, kind });
        at += len;
    }
    tokens
}

/// From behind the opening quote to behind the closing one.
fn in_string(call: &str, mut at: usize, string: usize, tokens: &mut Vec<Token>) -> usize {
    let mut offset = 0;
    loop {
        let rest = &call[at..];
        let c = rest.chars().next().unwrap();
        if c == '"' {
            let len = if rest.starts_with("\"...") { 4 } else { 1 };
            tokens.push(Token { range: at..at + len, kind: Kind::End });
            return at + len;
        }
        let len = match rest.as_bytes() {
            [b'\\', b'x', ..] => 4,
            [b'\\', b'0'..=b'7', ..] => {
                1 + rest[1..].bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count()
            }
            [b'\\', ..] => 2,
            _ => c.len_utf8(),
        };
        tokens.push(Token { range: at..at + len, kind: Kind::Byte { string, offset } });
        offset += if c == '\\' { 1 } else { len };
        at += len;
    }
}
