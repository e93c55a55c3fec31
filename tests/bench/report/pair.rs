//! Two numbers of sockstep's own that stand in no work beside each other.

use super::{RATE, Spread};
use crate::peers::Peer;
use crate::run::{Outcome, Row};

pub struct Pair {
    /// In the JSON.
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub less_is_better: bool,
    pub ours: (&'static str, Spread),
    pub other: (&'static str, Spread),
    /// The one for each of the other.
    pub ratio: Spread,
}

impl Pair {
    pub fn all_of(outcome: &Outcome) -> Vec<Pair> {
        [resumption(outcome), trace(outcome)].into_iter().flatten().collect()
    }
}

/// What a ticket saves: round by round, they have had the same moment.
fn resumption(outcome: &Outcome) -> Option<Pair> {
    let ours = |name: &str| {
        let (_, rows) = outcome.works.iter().find(|(work, _)| work.name == name)?;
        rows.iter().find(|row: &&Row| row.peer == Peer::Sockstep && row.failure.is_none())
    };
    let (resumed, full) = (ours("resumed-tls")?, ours("handshakes-tls")?);
    let by_round = resumed.samples.iter().zip(&full.samples);
    Some(Pair {
        name: "resumed_to_full",
        title: "sockstep의 핸드셰이크, 재개와 전체, TLS",
        unit: "연결/초",
        less_is_better: false,
        ours: ("재개", RATE.spread(resumed)?),
        other: ("전체", RATE.spread(full)?),
        ratio: Spread::of(by_round.map(|(resumed, full)| resumed.rate() / full.rate()))?,
    })
}

/// What the trace costs when nobody looks: counted, so each number is there once.
fn trace(outcome: &Outcome) -> Option<Pair> {
    let counted = outcome.instructions.as_ref()?;
    let once = |number| Spread { median: number, min: number, max: number };
    Some(Pair {
        name: "trace_off",
        title: "sockstep의 에코 왕복 하나, 꺼 둔 트레이스",
        unit: "사용자 명령어",
        less_is_better: true,
        ours: ("sockstep", once(counted.as_it_is)),
        other: ("no-trace", once(counted.without_trace)),
        ratio: once(counted.as_it_is / counted.without_trace),
    })
}
