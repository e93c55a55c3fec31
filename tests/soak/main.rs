//! `make soak`: four servers under every kind of client at the same time, for as long as one likes. Is every line
//! accounted for, and does nothing grow?
//!
//! - options.rs: what is asked for; run.rs: who is sent where, and the end; report.rs: the table and the verdict
//! - site.rs: a server, its log, and what an operator does to it; watch.rs: what it takes up
//! - room.rs: the one order of a relay; member.rs: a client that is held against it; guest.rs: a connection with lines
//! - steady.rs: those who stay; visits/: those who come and go, each in another way
//! - words.rs: what they say; dice.rs: what they do next; tally.rs: what has happened
//! - selftest.rs: what `cargo test` runs instead
//!
//! A thread for each client: most of the time each waits, and what it does can be read from top to bottom.
#![allow(clippy::print_stdout, clippy::print_stderr)] // It talks to a person.

#[path = "../support/conn.rs"]
mod conn;
mod dice;
#[path = "../support/failure.rs"]
mod failure;
mod guest;
mod member;
mod options;
#[path = "../support/proc.rs"]
mod proc;
mod report;
mod room;
mod run;
mod selftest;
mod site;
mod steady;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod visits;
mod watch;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use options::{Cli, Command};

/// Nothing may take longer, on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    // Anything else is meant for a test program.
    if args.get(1).is_none_or(|arg| arg != "run") {
        return selftest::main();
    }
    let Command::Run(options) = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(error) => return failure::refused(&error, "soak", "`make soak ARGS=--help`"),
    };
    match run::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("soak: {failure}");
            ExitCode::FAILURE
        }
    }
}
