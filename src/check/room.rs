//! Clients that talk with one another through a relay of which nothing is known but that it relays lines.
//!
//! A relay may put a name in front of a line, greet, send notices, or send a line back to its sender as well: so
//! a line is known by the token in it, and what has none of ours is passed over.

use std::time::{Duration, Instant};

use super::case::{Failure, Outcome};
use super::exam::Exam;
use super::peer::{Peer, pump};
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
    fn admit(&mut self) -> Outcome {
        let everybody = 0..self.members.len();
        let probes: Vec<String> = everybody.clone().map(|_| self.exam.token()).collect();
        let mut heard = vec![vec![false; self.members.len()]; self.members.len()]; // whose probe, by whom
        let mut last_lines = vec![Vec::new(); self.members.len()];
        let until = self.exam.half_the_rest();
        for said in 0.. {
            let Some(missing) = first_missing(&heard) else { break };
            if Instant::now() >= until || self.members.iter().any(|member| member.end.is_some()) {
                let came = self.has_ended(&last_lines).unwrap_or_else(|| self.not_heard_by(missing, &heard));
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
        Failure::new(format!("{sender}: {probe} ({said}번)"), expected, came)
    }

    fn not_heard_by(&self, (from, to): (usize, usize), heard: &[Vec<bool>]) -> String {
        let (sender, receiver, seconds) = (self.members[from].who, self.members[to].who, self.exam.waited());
        let echoed = if heard[from][from] { format!(". {sender}에게만 돌아왔습니다") } else { String::new() };
        format!("{receiver}에게 {:.1}초 동안 오지 않았습니다{echoed}", seconds.as_secs_f64())
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
        self.hears(from, &[(token, text)])
    }

    /// A line of its own, from `from` to all the others.
    pub fn relays_a_line(&mut self, from: usize) -> Outcome {
        let token = self.exam.token();
        let text = format!("{token} hello"); // what is not ASCII has a case of its own
        self.relays(from, &[format!("{text}\n").as_bytes()], &token, &text)
    }

    /// What `from` has said, as tokens and the lines in which they stand, reaches all the others.
    pub fn hears(&mut self, from: usize, lines: &[(&str, &str)]) -> Outcome {
        let others = (0..self.members.len()).filter(|to| *to != from);
        let mut missing: Vec<(usize, usize)> = others.flat_map(|to| (0..lines.len()).map(move |n| (to, n))).collect();
        let mut until = self.exam.until();
        // What has come of a line when it was not the line: it may have been cut, or its bytes changed.
        let mut instead: Option<(usize, usize, Vec<u8>)> = None;
        while !missing.is_empty() {
            let all = self.listen(until, |to, line| {
                for (n, (_, text)) in lines.iter().enumerate().filter(|(_, (token, _))| holds(line, token)) {
                    if holds(line, text) {
                        missing.retain(|pair| *pair != (to, n));
                    } else if to != from && instead.is_none() {
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
                return Err(self.not_heard(from, lines, &missing, instead));
            }
        }
        Ok(())
    }

    fn not_heard(
        &self,
        from: usize,
        lines: &[(&str, &str)],
        missing: &[(usize, usize)],
        instead: Option<(usize, usize, Vec<u8>)>,
    ) -> Failure {
        let (to, n) = missing.first().copied().unwrap_or_default();
        let member = &self.members[to];
        let came = match instead.filter(|(who, which, _)| missing.contains(&(*who, *which))) {
            Some((who, _, line)) => format!("{}에게 다르게 왔습니다: {}", self.members[who].who, shown::bytes(&line)),
            None => match member.fate() {
                Some(fate) => format!("{}: {fate}", member.who),
                None => format!("{}에게 {:.1}초 동안 오지 않았습니다", member.who, self.exam.waited().as_secs_f64()),
            },
        };
        let said = shown::bytes(format!("{}\n", lines[n].1).as_bytes());
        Failure::new(
            format!("{}: {said}", self.members[from].who),
            format!("{}에게 이 글이 한 줄로 옵니다", member.who),
            came,
        )
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
