//! Reads the command line, sets the log up, runs the role, and turns its end into an exit code:
//! 0 fine, 1 failed, 2 wrong use.

use std::io::Write;
use std::process::ExitCode;

use sockstep::cli::{Cli, Command};
use sockstep::error::Error;
use sockstep::{client, logging, server};

const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let command = match Cli::read() {
        Ok(cli) => cli.command,
        Err(error) => return explain(&error),
    };
    let result = match command {
        Command::Server(args) => {
            logging::init("server", "info");
            server::run(&args)
        }
        Command::Client(args) => {
            logging::init("client", "warn");
            client::run(&args)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// clap's own words, and in Korean where help is to be found. `--help` itself is no error.
fn explain(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(
        std::io::stderr(),
        "힌트: `sockstep --help`, `sockstep server --help`, `sockstep client --help`를 보십시오."
    );
    ExitCode::from(WRONG_USE)
}

/// Which call failed, on what, with which errno; and what to try.
fn report(error: &Error) -> ExitCode {
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "sockstep: {error}");
    if let Some(hint) = error.hint() {
        let _ = writeln!(stderr, "힌트: {hint}");
    }
    ExitCode::FAILURE
}
