//! How the show looks: a caption, then line after line, at the pace of somebody who reads.

use std::io::{self, ErrorKind, IsTerminal, Write, stdout};
use std::path::Path;
use std::time::Duration;

use super::TRACE;
use super::fold::{Item, items};
use super::interrupt::{Interrupt, Shown, Stop};
use super::script::{Script, Step};
use crate::cli::DemoArgs;
use crate::error::{Error, describe, errno_of};
use crate::text::width;
use crate::timeline::text::{Columns, Line};
use crate::timeline::{Event, Lane, window};

/// Columns where there is no terminal to ask.
const COLUMNS: usize = 100;
/// Less is no terminal that anybody reads on.
const LEAST_COLUMNS: usize = 20;
const LINE_MS: u64 = 110;
/// For each column of what is to be read before the next lines come.
const READING_MS: u64 = 14;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
/// A client and its child have the same colour.
const COLOURS: [&str; 5] = ["36", "35", "33", "36", "35"];

pub struct Show<'a> {
    interrupt: &'a Interrupt,
    /// Colours are for a terminal, and for whoever does not mind (NO_COLOR).
    coloured: bool,
    paced: bool,
    /// The lanes whose processes are there.
    alive: Vec<bool>,
}

impl<'a> Show<'a> {
    pub fn new(args: &DemoArgs, interrupt: &'a Interrupt, lanes: usize) -> Show<'a> {
        let terminal = stdout().is_terminal();
        let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Show { interrupt, coloured: terminal && !minds, paced: terminal && !args.fast, alive: vec![false; lanes] }
    }

    pub fn opening(&mut self, script: &Script, lanes: &[Lane]) -> Shown<()> {
        let arrows = match (self.columns(lanes).side_by_side(), script.forks()) {
            (true, true) => "-->는 보낸 것이 가는 곳, ==>는 fork()이고",
            (true, false) => "-->는 보낸 것이 가는 곳이고",
            (false, _) => "-> 뒤는 가는 곳, <- 뒤는 온 곳이고",
        };
        let notes = format!(
            "서버 하나와 클라이언트 둘(철수, 영희)이 지금 이 컴퓨터에서 실제로 대화합니다. 아래는 그동안의 소켓 호출입니다. \
             왼쪽은 첫 호출부터 지난 시간(밀리초), {arrows}, …로 시작하는 줄은 여러 호출을 줄여 적은 것입니다."
        );
        self.put(BOLD, &format!("sockstep 시연: {}", script.title))?;
        self.prose("", &notes)
    }

    /// The caption of a step, the names of the lanes, and a line for each thing that happened.
    pub fn step(
        &mut self,
        number: usize,
        step: &Step,
        events: &[Event],
        screens: &[Vec<String>; 2],
        lanes: &[Lane],
    ) -> Shown<()> {
        self.put("", "")?;
        self.wrapped(BOLD, &format!("── {number}. "), step.title)?;
        self.prose("   ", step.look)?;
        self.heading(events, lanes)?;
        for item in items(step, events, screens) {
            self.item(&item, lanes)?;
        }
        for lane in step.gone() {
            self.alive.get_mut(lane).into_iter().for_each(|alive| *alive = false);
        }
        Ok(())
    }

    pub fn ending(&mut self, script: &Script, kept: Option<&Path>) -> Shown<()> {
        let stage = script.stage;
        self.put("", "")?;
        self.put(BOLD, "── 끝: 시작한 프로세스가 모두 끝났습니다")?;
        let by_hand = format!("make run-server STAGE={stage}, 다른 터미널에서 make run-client STAGE={stage}");
        self.wrapped("", "   직접 해 보기: ", &by_hand)?;
        self.wrapped("", "   그림으로 보기: ", &format!("make timeline STAGE={stage}"))?;
        let kept = kept.map(|directory| directory.join(TRACE).display().to_string());
        kept.map_or(Ok(()), |kept| self.wrapped("", "   기록: ", &kept))
    }

    /// Over columns each time, for who comes late; in one column, who is new.
    fn heading(&mut self, events: &[Event], lanes: &[Lane]) -> Shown<()> {
        let comes = |lane: usize| events.iter().any(|event| event.lane == lane);
        let columns = self.columns(lanes);
        let named = |lane: usize| comes(lane) || (columns.side_by_side() && self.alive[lane]);
        let new = |lane: usize| columns.side_by_side() || !self.alive[lane];
        let seen: Vec<bool> = (0..lanes.len()).map(|lane| named(lane) && new(lane)).collect();
        for line in columns.with_only(&seen).heading().lines() {
            self.put(BOLD, line)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, lanes: &[Lane]) -> Shown<()> {
        let (Item::Call(event) | Item::Quiet(event)) = item else { return self.words(item, lanes) };
        let forks = event.made().is_some_and(|made| made.call.name == "fork");
        for lane in [Some(event.lane), event.to.filter(|_| forks)].into_iter().flatten() {
            self.alive[lane] = true;
        }
        let failed = event.made().is_some_and(|made| made.call.failed());
        let colour = match item {
            Item::Quiet(_) => DIM,
            _ if failed => RED,
            _ => COLOURS[event.lane],
        };
        let line = self.columns(lanes).with_only(&self.alive).line(event);
        self.line(colour, &line)
    }

    fn words(&mut self, item: &Item, lanes: &[Lane]) -> Shown<()> {
        let (at, lane, words, colour) = match item {
            Item::Folded { at, lane, words } => (*at, *lane, words, DIM.to_string()),
            Item::Person { at, lane, words } => (*at, *lane, words, format!("{BOLD};{}", COLOURS[*lane])),
            Item::Call(_) | Item::Quiet(_) => return Ok(()),
        };
        let line = self.columns(lanes).with_only(&self.alive).words(at, lane, words);
        self.line(&colour, &line)
    }

    /// What happened in its colour, and what is only there to hold the lanes apart dimmed.
    fn line(&mut self, colour: &str, line: &Line) -> Shown<()> {
        if self.coloured {
            let after = if line.after.is_empty() { String::new() } else { painted(DIM, &line.after) };
            self.write(&format!("{}{}{after}\n", painted(DIM, &line.before), painted(colour, &line.body)))?;
        } else {
            self.write(&format!("{line}\n"))?;
        }
        self.pause(LINE_MS)
    }

    fn put(&mut self, colour: &str, line: &str) -> Shown<()> {
        match self.coloured && !colour.is_empty() && !line.is_empty() {
            true => self.write(&format!("{}\n", painted(colour, line))),
            false => self.write(&format!("{line}\n")),
        }
    }

    /// Sentences, and time to read them.
    fn prose(&mut self, indent: &str, text: &str) -> Shown<()> {
        self.wrapped("", indent, text)?;
        self.pause(READING_MS * columns_of(text) as u64)
    }

    /// Broken at blanks, so that no line is longer than the terminal; the first begins with `indent`.
    fn wrapped(&mut self, colour: &str, indent: &str, text: &str) -> Shown<()> {
        let most = terminal_columns();
        let (margin, mut line) = (" ".repeat(columns_of(indent)), indent.to_string());
        let mut begun = false;
        for word in text.split(' ') {
            if begun && columns_of(&line) + 1 + columns_of(word) > most {
                self.put(colour, &line)?;
                (line, begun) = (margin.clone(), false);
            }
            line.push_str(if begun { " " } else { "" });
            line.push_str(word);
            begun = true;
        }
        self.put(colour, &line)
    }

    /// Asked for each line anew: somebody may be pulling at the window.
    fn columns(&self, lanes: &[Lane]) -> Columns {
        Columns::new(terminal_columns(), lanes)
    }

    fn pause(&self, ms: u64) -> Shown<()> {
        let time = if self.paced { Duration::from_millis(ms) } else { Duration::ZERO };
        self.interrupt.pause(time)
    }

    fn write(&mut self, text: &str) -> Shown<()> {
        let mut out = stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Stop::Unheard),
            Err(error) => Err(cannot_write(&error).into()),
        }
    }
}

fn cannot_write(error: &io::Error) -> Error {
    Error::File {
        path: "standard output".into(),
        what: "output",
        reason: describe(errno_of(error)),
        hint: "출력을 파일로 보냈다면 빈 공간이 있는지 확인하십시오.".into(),
    }
}

fn painted(colour: &str, text: &str) -> String {
    format!("\x1b[{colour}m{text}\x1b[0m")
}

fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// What the terminal says now; where there is none, what COLUMNS says.
fn terminal_columns() -> usize {
    let said = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    window().or_else(said).unwrap_or(COLUMNS).max(LEAST_COLUMNS)
}
