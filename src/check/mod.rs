//! `sockstep check`: is that server, in whatever language, what the course asks for? A black box is tried from
//! outside, case by case.
//!
//! ```text
//! case.rs     a case, and what is said when it fails
//! echo.rs     the cases of stage 1; echoed.rs is how bytes that come back are judged
//! relay.rs    the cases of stage 2; neighbours.rs those of them in which somebody may spoil it for the rest,
//!             room.rs the clients that talk with one another
//! secure.rs   the cases of TLS, rough.rs those with clients that are none; handshake.rs is how they get in, hello.rs a
//!             ClientHello by hand
//! datagram.rs the cases of UDP; udp_client.rs is one of our clients
//! exam.rs     who is examined, and the deadline of a case; dial.rs is how our clients get there
//! peer.rs     one of our clients; pump.rs is the poll() loop that moves all of them
//! shown.rs    bytes for a report
//! report.rs   the report: rows or JSON
//! ```
//!
//! The lists of cases are the course's definition of "correct". Each case makes its own connections, has its own
//! deadline, and trusts nothing that the server sends.
//!
//! - Notes: notes/15-questions.md
//! - Try: make check STAGE=1

mod case;
mod datagram;
mod dial;
mod echo;
mod echoed;
mod exam;
mod handshake;
mod hello;
mod neighbours;
mod peer;
mod pump;
mod relay;
mod report;
mod room;
mod rough;
mod secure;
mod shown;
mod udp_client;

use std::time::Instant;

use self::case::Case;
use self::exam::Exam;
use self::report::{Heading, Report, Tried};
use crate::cli::CheckArgs;
use crate::error::{During, Error, Result, errno_of};
use crate::text::escaped;

/// A title, and the cases below it.
type Group = (&'static str, Vec<&'static Case>);

const PASSED: u8 = 0;
const FAILED: u8 = 1;

/// Examines. 0 when all cases have passed, 1 when not; an error when there is nobody to examine.
pub fn run(args: &CheckArgs) -> Result<u8> {
    if args.list {
        let written = report::list(&groups(args), args.json);
        return written.map(|()| PASSED).map_err(|error| errno_of(&error)).during("write", "stdout");
    }
    let cases = cases(args)?;
    let exam = Exam::of(args)?;
    let server = args.server.as_ref().map(ToString::to_string).unwrap_or_default();
    let heading = Heading { server, stage: args.stage(), tls: args.speaks_tls(), udp: args.udp };
    let mut report = Report::begin(heading, cases.len(), args.json);
    for (n, case) in cases.into_iter().enumerate() {
        report.trying(case);
        let began = Instant::now();
        let mut outcome = exam.try_case(case);
        if let Some(error) = exam.never_reached() {
            report.clear();
            return Err(error);
        }
        if let Some(failure) = outcome.as_mut().err().filter(|_| n == 0 && !args.udp && secure::speaks_tls(&exam)) {
            failure.came.push_str(". 이 서버는 TLS로 응답합니다. --tls를 붙여 검사하십시오");
        }
        let tried = Tried { case, outcome, took: began.elapsed() };
        report.done(tried).map_err(|error| errno_of(&error)).during("write", "stdout")?;
    }
    let all = report.end().map_err(|error| errno_of(&error)).during("write", "stdout")?;
    Ok(if all { PASSED } else { FAILED })
}

/// All cases of the stage, or those of them that were asked for.
fn cases(args: &CheckArgs) -> Result<Vec<&'static Case>> {
    let all: Vec<&'static Case> = groups(args).into_iter().flat_map(|(_, cases)| cases).collect();
    if let Some(unknown) = args.only.iter().find(|name| all.iter().all(|case| case.name != *name)) {
        return Err(Error::Refused {
            what: format!("--case {}", escaped(unknown)),
            reason: "no such case in this examination".into(),
            hint: "같은 옵션에 --list를 더하면 검사하는 항목의 이름을 볼 수 있습니다.".into(),
        });
    }
    let asked = |case: &&Case| args.only.is_empty() || args.only.iter().any(|name| case.name == name);
    Ok(all.into_iter().filter(asked).collect())
}

/// What is tried, in this order: all the rest goes over what TLS has to be.
fn groups(args: &CheckArgs) -> Vec<Group> {
    const TLS: (&str, &[Case]) = ("TLS", secure::CASES);
    const ROUGH: (&str, &[Case]) = ("TLS: 끝까지 접속하지 않는 클라이언트", rough::CASES);
    const ECHO: (&str, &[Case]) = ("1단계: 에코", echo::CASES);
    const RELAY: (&str, &[Case]) = ("2단계: 중계 (3단계에서는 TLS 위에서)", relay::CASES);
    const UDP: (&str, &[Case]) = ("1단계: UDP 에코", datagram::CASES);
    let own = if args.stage == Some(1) { ECHO } else { RELAY };
    let groups = match args.stage {
        _ if args.udp => vec![UDP],
        None => vec![ECHO, UDP, RELAY, TLS, ROUGH], // --list
        _ if args.speaks_tls() => vec![TLS, own, ROUGH],
        _ => vec![own],
    };
    let asked = |case: &&Case| !args.speaks_tls() || !echo::WITHOUT_TLS.contains(&case.name);
    groups.into_iter().map(|(title, cases)| (title, cases.iter().filter(asked).collect())).collect()
}
