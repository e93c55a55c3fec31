//! `sockstep check` as a script uses it, and what it found.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::process::Command;

use tinyjson::JsonValue;

use crate::support::{BIN, Finished, run};

/// `sockstep check ADDR ARGS`
pub fn check(addr: &str, args: &[&str]) -> Finished {
    run(Command::new(BIN).args(["check", addr]).args(args), b"")
}

/// What `--json` said.
pub struct Graded {
    pub document: HashMap<String, JsonValue>,
    pub cases: Vec<HashMap<String, JsonValue>>,
    pub code: i32,
}

impl Graded {
    pub fn of(done: &Finished) -> Graded {
        assert_eq!(done.err, "", "nothing is on standard error unless it is a terminal");
        let document: JsonValue = done.text().parse().unwrap();
        let document: HashMap<_, _> = document.try_into().unwrap();
        let cases: Vec<JsonValue> = document["cases"].clone().try_into().unwrap();
        let cases = cases.into_iter().map(|case| case.try_into().unwrap()).collect();
        Graded { document, cases, code: done.code() }
    }

    pub fn names(&self, passed: bool) -> Vec<&str> {
        let cases = self.cases.iter().filter(|case| *case["passed"].get::<bool>().unwrap() == passed);
        cases.map(|case| case["name"].get::<String>().unwrap().as_str()).collect()
    }

    /// What is said of a case that has failed.
    pub fn said(&self, name: &str, part: &str) -> &str {
        let case = self.cases.iter().find(|case| *case["name"].get::<String>().unwrap() == name).unwrap();
        case[part].get::<String>().unwrap_or_else(|| panic!("{name} has passed"))
    }
}

pub fn grade(addr: &str, args: &[&str]) -> Graded {
    Graded::of(&check(addr, &[args, &["--json"]].concat()))
}
