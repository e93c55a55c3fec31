//! One step of an experiment: what is typed in which terminal, and what is written below it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use regex::Regex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `이름$ …`, typed to the shell.
    Command,
    /// `이름# …`, typed to a shell of root.
    AsRoot,
    /// `이름> …`, a line for the program that runs there.
    Line,
    /// `이름>>> …`, a line for Python's prompt.
    Python,
    /// `이름^C`, a key together with Ctrl.
    Key,
    /// `이름:`, nothing: what has come there since?
    Look,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// Empty for the one without a name.
    pub terminal: String,
    pub kind: Kind,
    pub text: String,
    pub expected: Vec<String>,
}

/// The steps of a block that begins in this line, in terminals of which some are known already.
pub fn steps(block: &str, line: usize, known: &[String]) -> Vec<Step> {
    let (mut steps, mut known) = (Vec::<Step>::new(), known.to_vec());
    let mut goes_on = false;
    for (n, text) in block.lines().enumerate() {
        let line = line + n + 1;
        if goes_on {
            let step = steps.last_mut().unwrap_or_else(|| panic!("line {line} follows nothing"));
            step.text.push('\n');
            step.text.push_str(text);
        } else if let Some(step) = step(text, line, &known) {
            known.push(step.terminal.clone());
            steps.push(step);
        } else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("line {line}: output of nothing: {text:?}"));
            step.expected.push(text.to_string());
            continue;
        }
        goes_on = text.ends_with('\\');
    }
    steps
}

static PROMPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\p{Hangul}[\p{Hangul}\d]*)?(?:(\$|#|>>>|>)(?: (.*))?|\^([A-Z\\])|(:))$").unwrap());

fn step(text: &str, line: usize, known: &[String]) -> Option<Step> {
    let found = PROMPT.captures(text)?;
    let part = |n| found.get(n).map_or("", |part| part.as_str());
    let (kind, typed) = match (part(2), part(4)) {
        ("$", _) => (Kind::Command, part(3)),
        ("#", _) => (Kind::AsRoot, part(3)),
        (">", _) => (Kind::Line, part(3)),
        (">>>", _) => (Kind::Python, part(3)),
        (_, "") => (Kind::Look, ""),
        (_, key) => (Kind::Key, key),
    };
    let terminal = part(1).to_string();
    let opens = matches!(kind, Kind::Command | Kind::AsRoot);
    // A terminal begins with a command: what only looks like a step before that is somebody's output.
    let is_one = if opens { kind == Kind::Command || !terminal.is_empty() } else { known.contains(&terminal) };
    is_one.then(|| Step { line, terminal, kind, text: typed.to_string(), expected: Vec::new() })
}

impl Step {
    /// A command that only looks, and may be typed again until it shows what it should.
    pub fn only_looks(&self) -> bool {
        const LOOKS: [&str; 9] = ["ss", "ps", "ls", "cat", "grep", "nstat", "pgrep", "head", "readlink"];
        let first = self.text.split_whitespace().next();
        matches!(self.kind, Kind::Command | Kind::AsRoot) && first.is_some_and(|word| LOOKS.contains(&word))
    }
}
