//! The scripts: four conversations, one a stage. Each step says what to look at, does something, and names what has
//! to come of it before the next one begins.

use super::cast::Cast;
use super::story::{self, Story};
use crate::cli::Stage;
use crate::timeline::Event;

mod echo;
mod relay;
mod udp;

/// The lanes, from left to right. Over UDP there are no children.
pub const NAMES: [&str; 5] = ["철수", "영희", "server", "c1", "c2"];
pub const CHULSOO: usize = 0;
pub const YOUNGHEE: usize = 1;
pub const SERVER: usize = 2;
pub const C1: usize = 3;
const C2: usize = 4;

pub struct Script {
    pub title: &'static str,
    /// What make calls it.
    pub stage: &'static str,
    pub lanes: usize,
    pub steps: &'static [Step],
}

pub struct Step {
    pub title: &'static str,
    /// What to look at.
    pub look: &'static str,
    pub acts: &'static [Do],
}

#[derive(Clone, Copy, Debug)]
pub enum Do {
    Start(usize),
    /// A line at a client's keyboard.
    Type(usize, &'static str),
    /// The end of its input: Ctrl-D.
    HangUp(usize),
    /// SIGTERM to the server.
    Stop,
    Await(Until),
}

/// What a step waits for.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Words on a client's screen.
    Screen(usize, &'static str),
    /// So many new calls of a lane that begin and end so.
    Calls(usize, usize, &'static str, &'static str),
    /// All that was sent has come to where it goes, and what has come is known to have been sent.
    Settled,
    Ended(usize),
}

impl Script {
    pub fn of(stage: Stage) -> Script {
        let (title, stage, lanes, steps) = match stage {
            Stage::Echo => ("1단계 에코", "1", 5, echo::STEPS),
            Stage::Relay => ("2단계 중계", "2", 5, relay::PLAIN),
            Stage::Tls => ("3단계 TLS 중계", "3", 5, relay::TLS),
            Stage::Udp => ("UDP 에코", "udp", 3, udp::STEPS),
        };
        Script { title, stage, lanes, steps }
    }

    /// Whether the server has children.
    pub fn forks(&self) -> bool {
        self.lanes > C1
    }
}

impl Step {
    /// What is typed in this step, and by whom.
    pub fn typed(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.acts.iter().filter_map(|act| match *act {
            Do::Type(lane, words) => Some((lane, words)),
            Do::HangUp(lane) => Some((lane, "(Ctrl-D)")),
            _ => None,
        })
    }

    pub fn stops_the_server(&self) -> bool {
        self.acts.iter().any(|act| matches!(act, Do::Stop))
    }

    /// The lanes whose processes are gone after this step: a client's child goes with it.
    pub fn gone(&self) -> impl Iterator<Item = usize> {
        let ended = self.acts.iter().filter_map(|act| match *act {
            Do::Await(Until::Ended(lane)) => Some(lane),
            _ => None,
        });
        ended.flat_map(|lane| [Some(lane), (lane < SERVER).then_some(lane + C1)]).flatten()
    }
}

impl Until {
    pub fn is_met(&self, cast: &Cast<'_>, story: &Story) -> bool {
        match *self {
            Until::Screen(lane, words) => cast.is_on_screen(lane, words),
            Until::Calls(lane, count, start, end) => {
                let fits = |event: &Event| {
                    let text = event.made().filter(|_| event.lane == lane).map(|made| made.call.text.as_str());
                    text.is_some_and(|text| text.starts_with(start) && text.ends_with(end))
                };
                story.news().iter().filter(|event| fits(event)).count() >= count
            }
            Until::Settled => story.is_settled(),
            Until::Ended(lane) => cast.has_ended(lane),
        }
    }

    /// For whoever waited in vain.
    pub fn in_words(&self, story: &Story) -> String {
        match *self {
            Until::Screen(lane, words) => format!("{words:?} on the screen of {}", NAMES[lane]),
            Until::Calls(lane, count, start, end) => format!("{count} x {start}…{end} of {} in the trace", NAMES[lane]),
            Until::Settled => match story.news().iter().find(|event| story::is_on_its_way(event)) {
                Some(event) => format!("the other side of {}", event.brief(60)),
                None => "both sides of all that was sent".into(),
            },
            Until::Ended(lane) => format!("the end of {}", NAMES[lane]),
        }
    }
}
