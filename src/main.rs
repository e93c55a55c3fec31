//! Reads the command line, sets the log up, runs the role, and turns its end into an exit code:
//! 0 fine, 1 failed, 2 wrong use; of a daemon's state, as the LSB has them: 3 and 7 none runs, 4 unknown;
//! and 4 is also that of a server which could not be checked.

use std::io::Write;
use std::process::ExitCode;

use sockstep::cli::{Cli, Command, explain};
use sockstep::text::escaped;
use sockstep::{check, client, daemon, demo, logging, server, signal, timeline};

const FINE: u8 = 0;
const FAILED: u8 = 1;
const WRONG_USE: u8 = 2;
const UNKNOWN: u8 = 4;

fn main() -> ExitCode {
    let command = match Cli::read() {
        Ok(cli) => cli.command,
        Err(error) => return refuse(&error),
    };
    signal::survive_full_files();
    let failed = if matches!(command, Command::Status(_) | Command::Check(_)) { UNKNOWN } else { FAILED };
    // [00.roles]
    let result = match command {
        Command::Server(args) => {
            logging::init("server", if args.lesson.steps() { "warn" } else { "info" }, args.lesson.trace == Some(None));
            server::run(&args).map(|()| FINE)
        }
        Command::Client(args) => {
            logging::init("client", "warn", args.lesson.trace == Some(None));
            client::run(&args).map(|()| FINE)
        }
        Command::Status(args) => daemon::status(&args.pid_file),
        Command::Stop(args) => daemon::stop(&args.pid_file),
        Command::Reload(args) => daemon::reload(&args.pid_file),
        Command::Timeline(args) => timeline::run(&args),
        Command::Demo(args) => demo::run(&args).map(|()| FINE),
        Command::Check(args) => check::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // [00.errno]
            // Which call failed, on what, with which errno; and what to try.
            let words: String = error.in_full().lines().map(|line| escaped(line) + "\n").collect();
            let _ = write!(std::io::stderr(), "{words}");
            ExitCode::from(failed)
        }
    }
}

/// `--help` and the like are no error; and a bare `sockstep` gets the help, but has asked for nothing.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::from(FINE);
    }
    let _ = write!(std::io::stderr(), "{}", explain(error));
    ExitCode::from(WRONG_USE)
}
