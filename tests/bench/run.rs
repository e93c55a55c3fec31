//! The run: every work, every round, every server in its turn.

use std::io::{IsTerminal, Write};

use crate::failure::{Result, failed};
use crate::hold::{self, Held};
use crate::instructions::{Instructions, PROGRAM};
use crate::measure::Sample;
use crate::options::Options;
use crate::peers::{Peer, Place, is_installed};
use crate::report::{self, Readme};
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
    pub instructions: Option<Instructions>,
    /// Very many clients at the same time: for the README only.
    pub held: Vec<Held>,
    /// The programs that are not installed.
    pub missing: Vec<&'static str>,
}

/// True when all that came back was right.
pub fn run(options: &Options) -> Result<bool> {
    let readme = options.readme.as_deref().map(Readme::open).transpose()?;
    let mut place = Place::make()?;
    place.no_trace = options.no_trace.clone();
    let (peers, missing) = peers(options)?;
    if peers.is_empty() {
        return failed("잴 수 있는 서버가 없습니다");
    }
    if readme.is_some() {
        options.is_whole(&missing)?;
    }
    let mut outcome = Outcome { works: Vec::new(), instructions: None, held: Vec::new(), missing };
    let all = Work::all(options.most_clients);
    let works: Vec<Work> = all.iter().filter(|work| options.wants(&work.name)).cloned().collect();
    for together in works.chunk_by(Work::goes_with) {
        outcome.works.extend(in_turns(together, &peers, options, &place));
    }
    let mut right = outcome.works.iter().flat_map(|(_, rows)| rows).all(|row| row.failure.is_none());
    let counts = options.no_trace.is_some() && options.wants("instructions");
    if outcome.works.is_empty() && !counts {
        let names: Vec<&str> = all.iter().map(|work| work.name.as_str()).collect();
        return failed(format!("그런 일은 없습니다: {}. 있는 것: {}", options.works.join(","), names.join(", ")));
    }
    if counts && peers.contains(&Peer::Sockstep) && !outcome.missing.contains(&PROGRAM) {
        progress("명령어를 세는 중");
        outcome.instructions = unless_failed("명령어", Instructions::count(&place), &mut right);
    }
    if readme.is_some() {
        let suits = |peer: &Peer| matches!(peer, Peer::Sockstep | Peer::Bare);
        let peers: Vec<Peer> = peers.into_iter().filter(suits).collect();
        let held = hold::hold_all(&peers, options.held, options.seconds, &place);
        outcome.held = unless_failed("동시 접속", held, &mut right).unwrap_or_default();
    }
    report::all(&outcome, options, readme.filter(|_| right))?;
    Ok(right)
}

/// What has been measured before is not to be lost with it.
fn unless_failed<T>(what: &str, result: Result<T>, right: &mut bool) -> Option<T> {
    progress("");
    *right &= result.is_ok();
    result.map_err(|failure| eprintln!("{what}: {failure}")).ok()
}

/// Those that are asked for and are there; the programs that are not, each of which is named.
fn peers(options: &Options) -> Result<(Vec<Peer>, Vec<&'static str>)> {
    let mut chosen = match options.wrong {
        Some(fault) => vec![Peer::Wrong(fault)],
        None => Peer::chosen(&options.servers)?,
    };
    if let Some(program) = options.no_trace.as_deref().filter(|program| !program.exists()) {
        return failed(format!("{}: 없습니다. 먼저 `make no-trace`를 실행하십시오", program.display()));
    }
    chosen.retain(|peer| *peer != Peer::NoTrace || options.no_trace.is_some());
    let (missing, peers): (Vec<Peer>, Vec<Peer>) = chosen.into_iter().partition(|peer| peer.is_missing());
    let mut missing: Vec<&'static str> = missing.into_iter().filter_map(Peer::program).collect();
    missing.dedup();
    missing.extend((options.no_trace.is_some() && !is_installed(PROGRAM)).then_some(PROGRAM));
    for program in &missing {
        eprintln!("{program}: 설치되어 있지 않아 재지 않습니다");
    }
    Ok((peers, missing))
}

/// A B C, A B C: what else the machine does meanwhile falls on all of them.
fn in_turns(works: &[Work], peers: &[Peer], options: &Options, place: &Place) -> Vec<(Work, Vec<Row>)> {
    let row = |peer: &Peer| Row { peer: *peer, samples: Vec::new(), failure: None };
    let rows = |work: &Work| peers.iter().filter(|peer| work.suits(**peer)).map(row).collect();
    let mut all: Vec<(Work, Vec<Row>)> = works.iter().map(|work| (work.clone(), rows(work))).collect();
    for round in 1..=options.rounds {
        for (work, rows) in &mut all {
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
    }
    progress("");
    all
}

/// Overwritten by what comes next; nothing where nobody looks on.
pub fn progress(text: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}
