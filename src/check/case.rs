//! A case: one thing that a correct server does, as something that can be tried.

use super::exam::Exam;

/// What the course asks for is a list of these.
pub struct Case {
    /// For a script: it never changes.
    pub name: &'static str,
    /// What a correct server does, in Korean.
    pub title: &'static str,
    /// Where it is explained.
    pub chapter: &'static str,
    pub run: fn(&Exam) -> Outcome,
}

pub type Outcome = Result<(), Failure>;

/// What a student is told: all of it in Korean, and harmless to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub sent: String,
    pub expected: String,
    pub came: String,
}

impl Failure {
    pub fn new(sent: impl Into<String>, expected: impl Into<String>, came: impl Into<String>) -> Failure {
        Failure { sent: sent.into(), expected: expected.into(), came: came.into() }
    }
}

/// Says what had happened before.
pub trait After {
    fn after(self, what: &str) -> Self;
}

impl<T> After for Result<T, Failure> {
    fn after(self, what: &str) -> Self {
        self.map_err(|failure| Failure { sent: format!("{what} {}", failure.sent), ..failure })
    }
}
