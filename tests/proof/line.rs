//! One call as strace and the trace print it: `bind(3, {sa_family=AF_INET, …}, 16) = 0`.

use std::fmt;

/// Part of an argument: strings are decoded, since the two escape them differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `"…"`, or with `cut` `"…"...`: there were more bytes than are shown.
    Bytes {
        bytes: Vec<u8>,
        cut: bool,
    },
}

pub type Argument = Vec<Piece>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub args: Vec<Argument>,
    /// `5`, `0x2 (flags O_RDWR)`, `-1 EAGAIN (Resource temporarily unavailable)`
    pub result: String,
}

/// What stands between the parts of a line of the trace, and in no result.
pub const GAP: &str = "   ";

/// A call from the start of `text`, and what follows it.
pub fn parse(text: &str) -> Option<(Call, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = text.split_at(end);
    let mut scanner = Scanner { rest: rest.strip_prefix('(')?, args: vec![Vec::new()] };
    scanner.arguments()?;
    let (mut args, rest) = (scanner.args, scanner.rest.strip_prefix(" = ")?);
    if args == [Vec::new()] {
        args.clear();
    }
    let (result, rest) = rest.split_at(rest.find(GAP).unwrap_or(rest.len()));
    let call = Call { name: name.into(), args, result: result.into() };
    (!call.name.is_empty() && !call.result.is_empty()).then_some((call, rest))
}

struct Scanner<'a> {
    rest: &'a str,
    args: Vec<Argument>,
}

impl<'a> Scanner<'a> {
    /// Up to and with the parenthesis that closes the call.
    fn arguments(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => {
                    let piece = self.string()?;
                    self.args.last_mut()?.push(piece);
                    continue;
                }
                ')' if depth == 0 => return Some(()),
                ',' if depth == 0 => {
                    self.rest = self.rest.strip_prefix(' ')?;
                    self.args.push(Vec::new());
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            self.text(c)?;
        }
    }

    fn text(&mut self, c: char) -> Option<()> {
        let argument = self.args.last_mut()?;
        match argument.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => argument.push(Piece::Text(c.into())),
        }
        Some(())
    }

    /// What follows an opening quote.
    fn string(&mut self) -> Option<Piece> {
        let mut bytes = Vec::new();
        loop {
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => break,
                '\\' => bytes.push(self.escape()?),
                c => bytes.extend(c.to_string().as_bytes()),
            }
        }
        let after = self.rest.strip_prefix("...");
        self.rest = after.unwrap_or(self.rest);
        Some(Piece::Bytes { bytes, cut: after.is_some() })
    }

    /// What follows a backslash: `x41` of strace -xx, and `n`, `"` or up to three octal digits of the trace.
    fn escape(&mut self) -> Option<u8> {
        let c = self.rest.chars().next()?;
        let (digits, radix) = match c {
            'x' => (self.rest.get(1..3)?, 16),
            '0'..='7' => (self.octal(), 8),
            _ => {
                self.rest = &self.rest[1..];
                let known = [('n', b'\n'), ('r', b'\r'), ('t', b'\t'), ('"', b'"'), ('\\', b'\\')];
                return known.iter().find(|(escape, _)| *escape == c).map(|(_, byte)| *byte);
            }
        };
        self.rest = &self.rest[digits.len() + usize::from(radix == 16)..];
        u8::from_str_radix(digits, radix).ok()
    }

    fn octal(&self) -> &'a str {
        let end = self.rest.find(|c: char| !('0'..='7').contains(&c)).unwrap_or(self.rest.len());
        &self.rest[..end.min(3)]
    }
}

impl Call {
    /// The first argument, where it is a descriptor.
    pub fn fd(&self) -> Option<i32> {
        self.number(0)
    }

    /// An argument that is a plain number.
    pub fn number(&self, n: usize) -> Option<i32> {
        self.text(n)?.parse().ok()
    }

    /// An argument without strings in it.
    pub fn text(&self, n: usize) -> Option<&str> {
        match self.args.get(n)?.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What came back, if it is a number and not an error.
    pub fn returned(&self) -> Option<i32> {
        self.result.parse().ok().filter(|n| *n >= 0)
    }
}

/// For a message: the argument as it was, but for the way in which bytes are shown.
pub fn show(argument: &Argument) -> String {
    argument.iter().map(Piece::to_string).collect()
}

impl Piece {
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Piece::Text(_) => None,
            Piece::Bytes { bytes, .. } => Some(bytes),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Text(text) => f.write_str(text),
            Piece::Bytes { bytes, cut } => {
                write!(f, "\"{}\"{}", bytes.escape_ascii(), if *cut { "..." } else { "" })
            }
        }
    }
}
