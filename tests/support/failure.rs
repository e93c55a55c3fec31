//! Why a load was not borne: above all, an answer that is not what was sent.

use std::fmt;

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
