//! The run: every work, every round, every server in its turn.

use std::io::{IsTerminal, Write};

use crate::failure::{Result, failed};
use crate::measure::Sample;
use crate::options::Options;
use crate::peers::{Peer, Place};
use crate::report;
use crate::works::Work;

/// All rounds of one server at one work.
pub struct Row {
    pub peer: Peer,
    pub samples: Vec<Sample>,
    /// Why there are not as many as rounds.
    pub failure: Option<String>,
}

pub struct Outcome {
    pub works: Vec<(Work, Vec<Row>)>,
    /// The programs that are not installed.
    pub missing: Vec<&'static str>,
}

/// True when all that came back was right.
pub fn run(options: &Options) -> Result<bool> {
    let place = Place::make()?;
    let chosen = match options.wrong {
        Some(fault) => vec![Peer::Wrong(fault)],
        None => Peer::chosen(&options.servers)?,
    };
    let (missing, peers): (Vec<Peer>, Vec<Peer>) = chosen.into_iter().partition(|peer| peer.is_missing());
    let mut missing: Vec<&'static str> = missing.into_iter().filter_map(Peer::program).collect();
    missing.dedup();
    for program in &missing {
        eprintln!("{program}: 설치되어 있지 않아 재지 않습니다");
    }
    let mut outcome = Outcome { works: Vec::new(), missing };
    let wanted = |work: &Work| options.works.is_empty() || options.works.iter().any(|part| work.name.contains(part));
    for work in Work::all(options.most_clients).into_iter().filter(wanted) {
        let rows = in_turns(&work, &peers, options, &place);
        outcome.works.push((work, rows));
    }
    if outcome.works.is_empty() {
        return failed(format!("그런 일은 없습니다: {}", options.works.join(",")));
    }
    report::all(&outcome, options)?;
    Ok(outcome.works.iter().flat_map(|(_, rows)| rows).all(|row| row.failure.is_none()))
}

/// A B C, A B C: what else the machine does meanwhile falls on all of them.
fn in_turns(work: &Work, peers: &[Peer], options: &Options, place: &Place) -> Vec<Row> {
    let peers = peers.iter().filter(|peer| work.suits(**peer));
    let mut rows: Vec<Row> = peers.map(|peer| Row { peer: *peer, samples: Vec::new(), failure: None }).collect();
    for round in 1..=options.rounds {
        for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
            progress(&format!("{} · {round}/{} · {}", work.title, options.rounds, row.peer.name()));
            match work.measure(row.peer, &options.plan(), place) {
                Ok(sample) => row.samples.push(sample),
                Err(failure) => {
                    progress("");
                    eprintln!("{}, {}: {failure}", work.title, row.peer.name());
                    row.failure = Some(failure.to_string());
                }
            }
        }
    }
    progress("");
    rows
}

/// Overwritten by what comes next; nothing where nobody looks on.
pub fn progress(text: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}
