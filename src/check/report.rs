//! How it went, row by row for a person, or as one JSON document for a script.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use super::case::{Case, Failure, Outcome};
use crate::json::Json;
use crate::text::width;

/// To the first column, and clear to the end of the line (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// A thread that died or a client that was never forgotten spoils the cases that follow.
const FIRST_THINGS_FIRST: &str =
    "위에서부터 하나씩 고치십시오. 앞의 검사에서 망가진 서버는 뒤의 검사에도 실패할 수 있습니다.
서버를 다시 실행하고 --case로 그 항목만 검사하면 알 수 있습니다.";

/// A case that has been tried.
pub struct Tried {
    pub case: &'static Case,
    pub outcome: Outcome,
    pub took: Duration,
}

impl Tried {
    pub fn passed(&self) -> bool {
        self.outcome.is_ok()
    }
}

/// Who was examined, and as what.
pub struct Heading {
    pub server: String,
    pub stage: u8,
    pub tls: bool,
    pub udp: bool,
}

impl Heading {
    fn in_words(&self) -> String {
        let what = match (self.stage, self.udp, self.tls) {
            (_, true, _) => "1단계 UDP 에코",
            (1, _, false) => "1단계 에코",
            (1, _, true) => "1단계 에코 (TLS)",
            (2, _, false) => "2단계 중계",
            (2, _, true) => "2단계 중계 (TLS)",
            _ => "3단계 TLS 중계",
        };
        format!("{} 검사: {what}", self.server)
    }
}

/// Rows on standard output as the cases end; what is being tried, on a terminal, on standard error.
pub struct Report {
    heading: Heading,
    cases: usize,
    json: bool,
    progress: bool,
    tried: Vec<Tried>,
}

impl Report {
    pub fn begin(heading: Heading, cases: usize, json: bool) -> Report {
        Report { heading, cases, json, progress: stderr().is_terminal(), tried: Vec::new() }
    }

    pub fn trying(&self, case: &Case) {
        if self.progress {
            let what = format!("[{}/{}] {}", self.tried.len() + 1, self.cases, case.title);
            let mut columns = 0;
            let fits = |c: &char| {
                columns += width(*c);
                columns < 79
            };
            let what: String = what.chars().take_while(fits).collect();
            let _ = write!(stderr(), "{CLEAR_LINE}{what}");
        }
    }

    pub fn done(&mut self, tried: Tried) -> io::Result<()> {
        self.clear();
        if !self.json {
            let mut out = stdout().lock();
            if self.tried.is_empty() {
                writeln!(out, "{}\n", self.heading.in_words())?;
            }
            out.write_all(row(&tried).as_bytes())?;
            out.flush()?;
        }
        self.tried.push(tried);
        Ok(())
    }

    /// Takes the line of the progress away.
    pub fn clear(&self) {
        if self.progress {
            let _ = write!(stderr(), "{CLEAR_LINE}");
        }
    }

    /// The summary, or the document. True when all cases have passed.
    pub fn end(self) -> io::Result<bool> {
        let passed = self.tried.iter().filter(|tried| tried.passed()).count();
        let failed = self.tried.len() - passed;
        let mut out = stdout().lock();
        if self.json {
            writeln!(out, "{}", self.document(passed, failed))?;
        } else if failed == 0 {
            writeln!(out, "\n{passed}개 검사를 모두 통과했습니다.")?;
        } else {
            writeln!(out, "\n{}개 검사 가운데 {passed}개를 통과하고 {failed}개를 실패했습니다.", self.tried.len())?;
            if failed > 1 {
                writeln!(out, "{FIRST_THINGS_FIRST}")?;
            }
        }
        out.flush()?;
        Ok(failed == 0)
    }

    fn document(&self, passed: usize, failed: usize) -> Json {
        Json::object([
            ("server", Json::string(&self.heading.server)),
            ("stage", Json::number(self.heading.stage)),
            ("tls", Json::boolean(self.heading.tls)),
            ("udp", Json::boolean(self.heading.udp)),
            ("passed", Json::number(passed as i64)),
            ("failed", Json::number(failed as i64)),
            ("cases", Json::array(self.tried.iter().map(as_json))),
        ])
    }
}

fn row(tried: &Tried) -> String {
    let title = tried.case.title;
    match &tried.outcome {
        Ok(()) => format!("통과  {title}\n"),
        Err(Failure { sent, expected, came }) => format!(
            "실패  {title}\n      보낸 것: {sent}\n      기대한 것: {expected}\n      받은 것: {came}\n      참고: {} (이 항목만 다시: --case {})\n",
            tried.case.chapter, tried.case.name
        ),
    }
}

fn as_json(tried: &Tried) -> Json {
    let failure = tried.outcome.as_ref().err();
    let part = |part: fn(&Failure) -> &String| Json::maybe(failure.map(|failure| Json::string(part(failure))));
    Json::object([
        ("name", Json::string(tried.case.name)),
        ("title", Json::string(tried.case.title)),
        ("chapter", Json::string(tried.case.chapter)),
        ("passed", Json::boolean(tried.passed())),
        ("milliseconds", Json::number(tried.took.as_millis() as i64)),
        ("sent", part(|failure| &failure.sent)),
        ("expected", part(|failure| &failure.expected)),
        ("came", part(|failure| &failure.came)),
    ])
}

/// The cases themselves: what a correct server does, and where that is explained.
pub fn list(stages: &[(&str, Vec<&Case>)], json: bool) -> io::Result<()> {
    let mut out = stdout().lock();
    if json {
        let all = stages.iter().flat_map(|(stage, cases)| {
            cases.iter().map(|case| {
                Json::object([
                    ("stage", Json::string(stage)),
                    ("name", Json::string(case.name)),
                    ("title", Json::string(case.title)),
                    ("chapter", Json::string(case.chapter)),
                ])
            })
        });
        return writeln!(out, "{}", Json::array(all));
    }
    for (n, (stage, cases)) in stages.iter().enumerate() {
        writeln!(out, "{}{stage}", if n > 0 { "\n" } else { "" })?;
        for case in cases {
            writeln!(out, "  {:<22} {} ({})", case.name, case.title, case.chapter)?;
        }
    }
    Ok(())
}
