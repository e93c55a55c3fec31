//! The run: every work, every round, every server in its turn.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

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
    pub missing: Vec<Peer>,
}

/// True when all that came back was right.
pub fn run(options: &Options) -> Result<bool> {
    // What a server leaves behind becomes ours: it is counted, and it is ended.
    set_child_subreaper(true)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let temp = tempfile::tempdir()?;
    let place = Place { certs: temp.path().join("certs"), dir: temp.path().into() };
    make_certs(&place.certs)?;
    let peers = chosen(options)?;
    let (missing, peers): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(|peer| peer.is_missing());
    for peer in &missing {
        eprintln!("{}: 설치되어 있지 않아 재지 않습니다", peer.name());
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

fn chosen(options: &Options) -> Result<Vec<Peer>> {
    if let Some(fault) = options.wrong {
        return Ok(vec![Peer::Wrong(fault)]);
    }
    if let Some(name) = options.servers.iter().find(|name| !Peer::ALL.iter().any(|peer| peer.name() == **name)) {
        let names: Vec<String> = Peer::ALL.iter().map(|peer| peer.name()).collect();
        return failed(format!("그런 서버는 없습니다: {name}. 쓸 수 있는 이름: {}", names.join(", ")));
    }
    let all = Peer::ALL.into_iter();
    Ok(all.filter(|peer| options.servers.is_empty() || options.servers.contains(&peer.name())).collect())
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
fn progress(text: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}

fn make_certs(dir: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make-certs.sh");
    let made = Command::new(script).arg("-d").arg(dir).output()?;
    if made.status.success() { Ok(()) } else { failed(String::from_utf8_lossy(&made.stderr)) }
}
