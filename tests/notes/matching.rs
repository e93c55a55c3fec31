//! What came against what is written: `[..]`, `...` and values that have a name.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use snapbox::assert::Action;
use snapbox::report::Palette;
use snapbox::{Assert, IntoData};

/// `<학생 포트>`: what it stands for is learned where it first appears, and is the same from there on.
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<(\p{Hangul}[\p{Hangul}\w ]*)>").unwrap());

#[derive(Default)]
pub struct Values(HashMap<String, String>);

impl Values {
    /// `text` with the values that are known.
    pub fn fill(&self, text: &str) -> String {
        let fill = |found: &Captures<'_>| self.0.get(&found[1]).unwrap_or(&found[0].to_string()).clone();
        NAME.replace_all(text, fill).into_owned()
    }

    /// As [`Values::fill`], for what is typed: all must be known.
    pub fn fill_all(&self, text: &str) -> String {
        let filled = self.fill(text);
        assert!(!NAME.is_match(&filled), "nothing has shown yet what this stands for: {filled}");
        filled
    }

    /// Holds what came against what is written; learns the values of new names. The error is a readable difference.
    pub fn compare(&mut self, expected: &[String], actual: &[String]) -> Result<(), String> {
        let (expected, actual) = (self.fill(&even(expected)), even(actual));
        let learned = learn(&expected, &actual).unwrap_or_default();
        let mut with_learned = Values(self.0.clone());
        with_learned.0.extend(learned);
        let expected = with_learned.fill(&expected);
        let assert = Assert::new().action(Action::Verify).palette(Palette::plain()).normalize_paths(false);
        assert.try_eq(None, actual.into_data(), expected.into_data()).map_err(|error| error.to_string())?;
        self.0 = with_learned.0;
        Ok(())
    }
}

/// Blanks count once, and neither at the end of a line nor as lines at the end.
fn even(lines: &[String]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
        .collect();
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines[..end].iter().map(|line| format!("{line}\n")).collect()
}

/// The values of the names in `expected`, if `actual` is of that form and no name stands for two things.
fn learn(expected: &str, actual: &str) -> Option<HashMap<String, String>> {
    let mut names = Vec::new();
    let mut pattern = String::from("^");
    for line in expected.lines() {
        if line == "..." {
            pattern.push_str("(?:.*\n)*?");
            continue;
        }
        let mut at = 0;
        for found in NAME.captures_iter(line) {
            let whole = found.get(0)?;
            pattern.push_str(&regex::escape(&line[at..whole.start()]).replace(r"\[\.\.\]", ".*?"));
            pattern.push_str("([0-9A-Za-z_]+)");
            names.push(found[1].to_string());
            at = whole.end();
        }
        pattern.push_str(&regex::escape(&line[at..]).replace(r"\[\.\.\]", ".*?"));
        pattern.push('\n');
    }
    let found = Regex::new(&(pattern + "$")).ok()?.captures(actual)?;
    let mut values = HashMap::<String, String>::new();
    for (n, name) in names.into_iter().enumerate() {
        let value = found[n + 1].to_string();
        if values.insert(name, value.clone()).is_some_and(|before| before != value) {
            return None;
        }
    }
    Some(values)
}
