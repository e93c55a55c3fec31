//! `make bench`: sockstep and other servers under the same load, in turns, in one table.
//!
//! - options.rs: what is asked for; run.rs: who takes turns at what; hold.rs: very many clients at the same time
//! - works/: what is measured, and how what comes back is checked; lines.rs has the lines of the relay
//! - peers/: who is measured, how each is started; bare.rs and tokio_chat.rs are servers of our own
//! - load.rs: the connections of the load, each from ../support/conn.rs; measure.rs, cpu.rs: time, count, processors
//! - instructions.rs, memory.rs: what valgrind counts, what a server takes up
//! - report/: the table, the JSON, the chart, the README
//! - selftest.rs: what `cargo test` runs instead
//!
//! A test program without the usual harness: so that cargo builds it with dev-dependencies, and names the server's binary.
#![allow(clippy::print_stdout, clippy::print_stderr)] // It talks to a person.

#[path = "../support/conn.rs"]
mod conn;
mod cpu;
#[path = "../support/failure.rs"]
mod failure;
mod hold;
mod instructions;
mod load;
mod measure;
mod memory;
mod options;
mod peers;
#[path = "../support/proc.rs"]
mod proc;
mod report;
mod run;
mod selftest;
mod works;

use std::process::ExitCode;

use clap::Parser;
use options::{Cli, Command, Served};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    // Anything else is meant for a test program.
    if !args.get(1).is_some_and(|arg| ["measure", "hold", "serve"].contains(&arg.as_str())) {
        return selftest::main();
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            return failure::refused(&error, "bench", "`make bench ARGS=--help`, `make bench-hold ARGS=--help`");
        }
    };
    let done = match cli.command {
        Command::Measure(options) => run::run(&options),
        Command::Hold(options) => hold::run(&options),
        Command::Serve { server, certs, fault, chat } => match server {
            Served::Bare => peers::bare::serve(certs.as_deref()),
            Served::Tokio => peers::tokio_chat::serve(certs.as_deref()),
            Served::Wrong => peers::wrong::serve(fault, chat),
        }
        .map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
