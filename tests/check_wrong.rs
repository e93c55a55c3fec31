//! The grader catches every mistake of the deliberately wrong servers by the case that is about it, and none where there is
//! none.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/graded.rs"]
mod graded;
mod support;
#[path = "support/wrong/mod.rs"]
mod wrong;

use graded::*;
use support::*;
use wrong::{Echo, Kind, Relay, Tls, Udp, Wrong};

/// The case that has to catch it.
fn caught_by(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Echo(Echo::Correct) => return None,
        Kind::Echo(Echo::DropsAByte) => "echo-large",
        Kind::Echo(Echo::StopsAtZero | Echo::StripsCr) => "echo-binary",
        Kind::Echo(Echo::WaitsForNewline | Echo::OnlyWholeLines) => "echo-no-newline",
        Kind::Echo(Echo::OneAtATime) => "echo-idle-neighbour",
        Kind::Echo(Echo::SilentBlocks) => "echo-silent-neighbour",
        Kind::Echo(Echo::HalfCloseLosesTail) => "echo-half-close-late",
        Kind::Echo(Echo::NeverCloses) => "echo-half-close",
        Kind::Echo(Echo::UpperCases | Echo::Greets) => "echo-line",
        Kind::Echo(Echo::DiesOnReset) => "echo-reset",
        Kind::Echo(Echo::IgnoresShortSends) => "echo-late-reader",
        Kind::Echo(Echo::ServesTwenty | Echo::OnceForEachHost) => "echo-reconnect",
        Kind::Relay(Relay::Correct | Relay::Bare) => return None,
        Kind::Relay(Relay::EchoesToSelfOnly | Relay::ReachesOneOnly | Relay::ForgetsNewlines) => "relay-all",
        Kind::Relay(Relay::SharesItsBuffer) => "relay-mixed-pieces",
        Kind::Relay(Relay::EndsAtEmptyLine) => "relay-empty-line",
        Kind::Relay(Relay::SilentBlocks) => "relay-silent-neighbour",
        Kind::Relay(Relay::DiesOfBadText) => "relay-not-text",
        Kind::Relay(Relay::OverwritesTheLast) => "relay-leave",
        Kind::Relay(Relay::SplitsByRecv) => "relay-pieces",
        Kind::Relay(Relay::BreaksHangul) => "relay-cut-syllable",
        Kind::Relay(Relay::CutsLongLines) => "relay-long-line",
        Kind::Relay(Relay::SwapsLines) => "relay-order",
        Kind::Relay(Relay::StallsForOne) => "relay-stalled-reader",
        Kind::Relay(Relay::EndsWhenOneLeaves | Relay::ClosesTheNeighbour) => "relay-leave",
        Kind::Relay(Relay::DiesOnReset) => "relay-reset",
        Kind::Relay(Relay::SwallowsSecondLine) => "relay-joined-lines",
        Kind::Tls(Tls::Correct | Tls::Echo) => return None,
        Kind::Tls(Tls::Plain) => "tls-handshake",
        Kind::Tls(Tls::TakesTls11) => "tls-old-versions",
        Kind::Tls(Tls::OtherCa | Tls::SelfSigned) => "tls-ca",
        Kind::Tls(Tls::OtherHost) => "tls-name",
        Kind::Tls(Tls::HandshakeBlocks) => "tls-stalled-handshake",
        Kind::Tls(Tls::NoCloseNotify) => "tls-close-notify",
        Kind::Tls(Tls::PlainTextKills | Tls::ServesPlainToo) => "tls-plain-text",
        Kind::Tls(Tls::StalledRecordBlocks) => "tls-stalled-record",
        Kind::Udp(Udp::Correct) => return None,
        Kind::Udp(Udp::CutsLongOnes) => "udp-large",
        Kind::Udp(Udp::AnswersTheFirst | Udp::AnswersTheOneBefore | Udp::AnswersEverybody) => "udp-two-clients",
        Kind::Udp(Udp::EndsAtEmpty | Udp::IgnoresEmpty) => "udp-empty",
        Kind::Udp(Udp::MergesTwo) => "udp-boundaries",
        Kind::Udp(Udp::StopsAtZero) => "udp-binary",
    })
}

fn examine(kind: Kind, more: &[&str]) -> Graded {
    let server = Wrong::start(kind);
    let ca = cert("ca.pem");
    let stage: &[&str] = match kind {
        Kind::Echo(_) => &["--stage", "1"],
        Kind::Relay(_) => &["--stage", "2"],
        Kind::Tls(Tls::Echo) => &["--stage", "1", "--tls", "--ca", &ca],
        Kind::Tls(_) => &["--stage", "3", "--ca", &ca],
        Kind::Udp(_) => &["--udp"],
    };
    grade(&server.addr.to_string(), &[stage, more].concat())
}

#[test]
fn every_mistake_is_caught_by_the_case_that_is_about_it() {
    for kind in Kind::wrong() {
        let case = caught_by(kind).unwrap();
        let graded = examine(kind, &["--timeout", "2", "--case", case]);
        assert_eq!((graded.names(false), graded.code), (vec![case], 1), "{kind:?}");
    }
}

#[test]
fn a_line_without_its_newline_is_named() {
    let graded = examine(Kind::Relay(Relay::ForgetsNewlines), &["--timeout", "1", "--case", "relay-all"]);
    let came = graded.said("relay-all", "came");
    assert!(came.contains(r"줄바꿈(\n) 없이 왔습니다: "), "{came}");
}

#[test]
fn the_first_mistake_does_not_hide_the_rest() {
    let graded = examine(Kind::Echo(Echo::Greets), &["--timeout", "2"]);
    assert_eq!((graded.names(true).len() + graded.names(false).len(), graded.code), (15, 1));
    let graded = examine(Kind::Relay(Relay::ReachesOneOnly), &["--timeout", "2"]);
    assert_eq!((graded.names(true).len() + graded.names(false).len(), graded.code), (14, 1));
}

#[test]
fn a_server_without_a_mistake_passes() {
    for kind in Kind::right() {
        let graded = examine(kind, &[]);
        assert_eq!((graded.names(false), graded.code), (vec![], 0), "{kind:?}");
    }
}
