//! Why a load was not borne: above all, an answer that is not what was sent.

use std::fmt;
use std::process::ExitCode;

#[derive(Debug)]
pub struct Failure(String);

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(why: impl Into<String>) -> Failure {
        Failure(why.into())
    }
}

pub fn failed<T>(why: impl Into<String>) -> Result<T> {
    Err(Failure::new(why))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<nix::Error> for Failure {
    fn from(errno: nix::Error) -> Failure {
        Failure(errno.to_string())
    }
}

impl From<openssl::error::ErrorStack> for Failure {
    fn from(stack: openssl::error::ErrorStack) -> Failure {
        Failure(stack.to_string())
    }
}

/// A command line that is wrong: the program's own words for it, from `who` and with the place where `who`'s options
/// are to be looked up. The help that was asked for is no error.
pub fn refused(error: &clap::Error, who: &str, help: &str) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let why = sockstep::cli::explain(error);
    let why = why.lines().next().unwrap_or_default();
    eprintln!("{}", why.replacen("sockstep: ", &format!("{who}: "), 1));
    eprintln!("힌트: {help}로 옵션을 확인하십시오.");
    ExitCode::from(2)
}
