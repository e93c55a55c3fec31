//! Clients that talk with one another through a relay of which nothing is known but that it relays lines.
//!
//! A relay may put a name in front of a line, greet, send notices, or send a line back to its sender as well: so
//! a line is known by the token in it, and what has none of ours is passed over.

use std::time::{Duration, Instant};

use super::case::{Failure, Outcome};
use super::exam::Exam;
use super::peer::Peer;
use super::pump::pump;
use super::shown;

/// How long to wait for a probe before it is said once more.
const PROBE: Duration = Duration::from_millis(200);
/// Once a line has come in another form, how much longer the right one may take.
const GRACE: Duration = Duration::from_millis(500);

pub struct Room<'e> {
    exam: &'e Exam,
    pub members: Vec<Peer>,
}

impl<'e> Room<'e> {
    /// Connects them, and waits until each of them hears every other.
    pub fn open(exam: &'e Exam, names: &[&'static str]) -> Result<Room<'e>, Failure> {
        let members = names.iter().map(|who| exam.connect(who)).collect::<Result<_, _>>()?;
        Room::with(exam, members)
    }

    pub fn with(exam: &'e Exam, members: Vec<Peer>) -> Result<Room<'e>, Failure> {
        let mut room = Room { exam, members };
        room.admit()?;
        Ok(room)
    }

    /// When has a client joined? No protocol says so, and a line that is relayed before is not for it. So each one
    /// says a probe, again and again for half of the case's time, until all others have heard it. The probe is one
    /// short word: a server that asks for a name first takes the first one for a name, and relays the next.
    pub fn admit(&mut self) -> Outcome {
        let everybody = 0..self.members.len();
        let probes: Vec<String> = everybody.clone().map(|_| self.exam.token()).collect();
        let mut heard = vec![vec![false; self.members.len()]; self.members.len()]; // whose probe, by whom
        let mut last_lines = vec![Vec::new(); self.members.len()];
        let until = self.exam.half_the_rest();
        for said in 0.. {
            let Some(missing) = first_missing(&heard) else { break };
            if Instant::now() >= until || self.members.iter().any(|member| member.end.is_some()) {
                let came = self.has_ended(&last_lines).unwrap_or_else(|| self.not_heard_by(missing, &probes, &heard));
                return Err(self.not_admitted(missing, &probes, said, came));
            }
            for from in everybody
                .clone()
                .filter(|from| heard[*from].iter().enumerate().any(|(to, heard)| to != *from && !heard))
            {
                self.members[from].say(format!("{}\n", probes[from]));
            }
            self.listen(self.exam.within(PROBE), |to, line| {
                for from in everybody.clone().filter(|from| holds(line, &probes[*from])) {
                    heard[from][to] = true;
                }
                last_lines[to] = line.to_vec();
                first_missing(&heard).is_none()
            });
        }
        Ok(())
    }

    fn not_admitted(&self, (from, to): (usize, usize), probes: &[String], said: u32, came: String) -> Failure {
        let (sender, probe) = (self.members[from].who, shown::bytes(format!("{}\n", probes[from]).as_bytes()));
        let expected = format!("함께 접속한 {}에게 이 줄이 전해집니다", self.members[to].who);
        Failure::new(format!("{sender}: {probe} ({said}번 보냄)"), expected, came)
    }

    fn not_heard_by(&self, (from, to): (usize, usize), probes: &[String], heard: &[Vec<bool>]) -> String {
        let (sender, receiver, seconds) = (self.members[from].who, self.members[to].who, self.exam.waited());
        let echoed = if heard[from][from] { format!(". {sender}에게만 돌아왔습니다") } else { String::new() };
        let not_there = || format!("{receiver}에게 {:.1}초 동안 오지 않았습니다{echoed}", seconds.as_secs_f64());
        self.unended(to, &probes[from]).unwrap_or_else(not_there)
    }

    /// Whose connection has ended, after which words, if anyone's has.
    fn has_ended(&self, last_lines: &[Vec<u8>]) -> Option<String> {
        let mut all = self.members.iter().zip(last_lines);
        all.find_map(|(member, line)| match (member.fate()?, line.is_empty()) {
            (fate, true) => Some(format!("{}: {fate}", member.who)),
            (fate, false) => Some(format!("{}: {} 뒤에 {fate}", member.who, shown::bytes(line))),
        })
    }

    /// Gives every line that comes to any of them to `heard`, with who has got it, until that returns true.
    pub fn listen(&mut self, until: Instant, mut heard: impl FnMut(usize, &[u8]) -> bool) -> bool {
        pump(&mut self.members, until, |members| {
            let mut done = false;
            for (to, member) in members.iter_mut().enumerate() {
                for line in member.lines() {
                    done |= heard(to, &line);
                }
            }
            done
        })
    }

    /// Lets what was sent go, so that what follows comes as a piece of its own.
    pub fn a_moment(&mut self) {
        self.exam.a_moment(&mut self.members);
    }

    /// `from` says these pieces, one after the other; `text`, which they make up, has to reach all the others as
    /// one line. `token` stands in it.
    pub fn relays(&mut self, from: usize, pieces: &[&[u8]], token: &str, text: &str) -> Outcome {
        for (n, piece) in pieces.iter().enumerate() {
            if n > 0 {
                self.a_moment();
            }
            self.members[from].say(piece);
        }
        self.hears(&[Said { from, token, text }])
    }

    /// A line of its own, from `from` to all the others.
    pub fn relays_a_line(&mut self, from: usize) -> Outcome {
        let token = self.exam.token();
        let text = format!("{token} hello"); // what is not ASCII has a case of its own
        self.relays(from, &[format!("{text}\n").as_bytes()], &token, &text)
    }

    /// Each of these lines reaches all but the one who has said it.
    pub fn hears(&mut self, lines: &[Said<'_>]) -> Outcome {
        let others = |from: usize| (0..self.members.len()).filter(move |to| *to != from);
        let mut missing: Vec<(usize, usize)> =
            lines.iter().enumerate().flat_map(|(n, said)| others(said.from).map(move |to| (to, n))).collect();
        let mut until = self.exam.until();
        // What has come of a line when it was not the line: it may have been cut, or its bytes changed.
        let mut instead: Option<(usize, usize, Vec<u8>)> = None;
        while !missing.is_empty() {
            let all = self.listen(until, |to, line| {
                for (n, said) in lines.iter().enumerate().filter(|(_, said)| holds(line, said.token)) {
                    if said.is_in(line, lines) {
                        missing.retain(|pair| *pair != (to, n));
                    } else if to != said.from && instead.is_none() {
                        instead = Some((to, n, line.to_vec()));
                    }
                }
                missing.is_empty() || instead.is_some()
            });
            if missing.is_empty() {
                break;
            }
            until = until.min(Instant::now() + GRACE);
            if !all || Instant::now() >= until {
                return Err(self.not_heard(lines, &missing, instead));
            }
        }
        Ok(())
    }

    fn not_heard(
        &self,
        lines: &[Said<'_>],
        missing: &[(usize, usize)],
        instead: Option<(usize, usize, Vec<u8>)>,
    ) -> Failure {
        let instead = instead.filter(|(to, n, _)| missing.contains(&(*to, *n)));
        let (to, n) = instead.as_ref().map(|(to, n, _)| (*to, *n)).or(missing.first().copied()).unwrap_or_default();
        let (member, said) = (&self.members[to], &lines[n]);
        let came = match instead {
            Some((_, _, line)) => format!("{}에게 다르게 왔습니다: {}", member.who, shown::bytes(&line)),
            None => match member.fate() {
                Some(fate) => format!("{}: {fate}", member.who),
                None => self.unended(to, said.token).unwrap_or_else(|| self.not_there(to)),
            },
        };
        let line = shown::bytes(format!("{}\n", said.text).as_bytes());
        let expected = format!("{}에게 이 글이 한 줄로 옵니다", member.who);
        Failure::new(format!("{}: {line}", self.members[said.from].who), expected, came)
    }

    /// He has not got it, though perhaps something else.
    fn not_there(&self, to: usize) -> String {
        let (member, seconds) = (&self.members[to], self.exam.waited().as_secs_f64());
        let other = if member.was_hearing() { ". 그때까지 다른 것은 오고 있었습니다" } else { "" };
        format!("{}에게 {seconds:.1}초 동안 오지 않았습니다{other}", member.who)
    }

    /// What has come to him of this line, when it came without its end: no client knows that it is a line.
    fn unended(&self, to: usize, token: &str) -> Option<String> {
        let member = &self.members[to];
        holds(&member.heard, token)
            .then(|| format!("{}에게 줄바꿈(\\n) 없이 왔습니다: {}", member.who, shown::bytes(&member.heard)))
    }
}

/// A line that somebody has said. `token` stands in `text`.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub from: usize,
    pub token: &'a str,
    pub text: &'a str,
}

impl Said<'_> {
    /// `line` is this one, whatever stands around it, and none of the others.
    fn is_in(&self, line: &[u8], all: &[Said<'_>]) -> bool {
        let another = |said: &Said<'_>| said.token != self.token && holds(line, said.token);
        holds(line, self.text) && !all.iter().any(another)
    }
}

/// Somebody's probe, and somebody else who has not heard it.
fn first_missing(heard: &[Vec<bool>]) -> Option<(usize, usize)> {
    let to = |from: usize| heard[from].iter().enumerate().position(|(to, heard)| to != from && !heard);
    (0..heard.len()).find_map(|from| Some((from, to(from)?)))
}

/// Whether `line` holds `words`, whatever stands around them.
pub fn holds(line: &[u8], words: impl AsRef<[u8]>) -> bool {
    let words = words.as_ref();
    line.windows(words.len()).any(|window| window == words)
}
