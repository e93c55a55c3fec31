//! Two transcripts of the same programs, held together call by call.
//!
//! ```text
//! line.rs     one call as both print it: name, arguments, result
//! allowed.rs  where the two may differ, and why: the one table, which the notes quote
//! strace.rs   what strace has seen, thread by thread, and which descriptors are sockets
//! trace.rs    what the trace tells: lines on standard error, or records in a file
//! compare.rs  the same calls, in the same order; and where they are not, what to look at
//! scene.rs    programs under strace
//! mutants.rs  transcripts that are wrong in one place; token.rs what can be wrong in a call
//! lies.rs     the test of the test: none of these passes
//! examples.rs the table holds for its own examples
//! ```
#![allow(clippy::unwrap_used, clippy::print_stderr)]

pub mod allowed;
pub mod compare;
mod examples;
mod lies;
pub mod line;
pub mod mutants;
pub mod scene;
pub mod strace;
pub mod token;
pub mod trace;

use std::collections::BTreeMap;

use self::line::Call;

/// One call in a transcript.
#[derive(Clone, Debug)]
pub struct Entry {
    pub tid: i32,
    pub call: Call,
    /// In the trace: the chapter that the line names.
    pub chapter: Option<String>,
    /// In strace's transcript, µs: when the call began and ended, and when its line had been written.
    pub began: u64,
    pub ended: u64,
    pub told_at: u64,
    /// The line as it was found, for whoever has to look.
    pub found: String,
    /// Where it was found: which text, and which of its lines; `None` for what strace cannot show.
    pub place: Option<(usize, usize)>,
}

/// A process and its calls in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// `server`, `c1`, `client`
    pub role: String,
    pub calls: Vec<Entry>,
}

/// Processes by their pids.
pub type Transcript = BTreeMap<i32, Process>;
