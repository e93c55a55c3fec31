//! Stage 2: whoever is there hears what the others say, and nobody can spoil it for the rest.

use super::case::{After, Case, Failure, Outcome};
use super::exam::Exam;
use super::peer::{Peer, pump};
use super::room::{Room, holds};
use super::shown;

const STREAM: &str = "notes/08-send-recv.md";
const RELAY: &str = "notes/10-relay.md";

pub const CASES: &[Case] = &[
    Case {
        name: "relay-all", title: "한 사람이 보낸 줄이 다른 모두에게 전해집니다", chapter: RELAY, run: all_hear
    },
    Case { name: "relay-hangul", title: "한글과 이모지가 깨지지 않습니다", chapter: RELAY, run: hangul },
    Case {
        name: "relay-cut-syllable",
        title: "한 글자의 바이트가 나뉘어 도착해도 깨지지 않습니다",
        chapter: STREAM,
        run: cut_syllable,
    },
    Case {
        name: "relay-pieces",
        title: "여러 번에 나누어 보낸 한 줄이 한 줄로 전해집니다",
        chapter: STREAM,
        run: pieces,
    },
    Case {
        name: "relay-joined-lines",
        title: "한 번에 보낸 여러 줄이 모두 따로 전해집니다",
        chapter: STREAM,
        run: joined_lines,
    },
    Case {
        name: "relay-long-line", title: "4,000바이트가 넘는 줄도 잘리지 않습니다", chapter: STREAM, run: long_line
    },
    Case {
        name: "relay-order",
        title: "두 사람이 동시에 200줄씩 보내도 각자의 줄은 보낸 순서대로 한 번씩만 옵니다",
        chapter: RELAY,
        run: order,
    },
    Case {
        name: "relay-leave", title: "한 사람이 나가도 남은 사람들의 대화는 계속됩니다", chapter: RELAY, run: leave
    },
    Case {
        name: "relay-reset",
        title: "한 사람의 연결이 줄 중간에서 RST로 끊겨도 남은 사람들의 대화는 계속됩니다",
        chapter: STREAM,
        run: reset,
    },
    Case {
        name: "relay-stalled-reader",
        title: "읽지 않는 사람이 있어도 다른 사람들의 대화는 멈추지 않습니다",
        chapter: RELAY,
        run: stalled_reader,
    },
];

const LINES: usize = 200;
const LONG_BYTES: usize = 4000;
/// What goes past the client that does not read: more than the kernels keep for it.
const FLOOD_BYTES: usize = 8 * 1024 * 1024;
const FLOOD_LINE_BYTES: usize = 1000;
/// Lines under way at a time: what follows the flood must not have to wait behind all of it.
const FLOOD_WINDOW: usize = 256;
/// A receive buffer that is soon full.
const SMALL_BUFFER: i32 = 4096;

fn all_hear(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    (0..3).try_for_each(|from| room.relays_a_line(from))
}

fn hangul(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let token = exam.token();
    let text = format!("{token} 안녕하세요 뷁 쌍떡잎 ㄱㅏ 漢字 😀👩‍💻");
    room.relays(0, &[format!("{text}\n").as_bytes()], &token, &text)
}

fn cut_syllable(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let token = exam.token();
    let text = format!("{token} 가나다 😀 끝");
    let line = format!("{text}\n");
    let (syllable, emoji) = (line.find('나').unwrap_or_default() + 1, line.find('😀').unwrap_or_default() + 2);
    let bytes = line.as_bytes();
    let pieces = [&bytes[..syllable], &bytes[syllable..emoji], &bytes[emoji..]];
    room.relays(0, &pieces, &token, &text).after("'나'와 '😀'의 바이트 사이에서 나누어 보낸")
}

fn pieces(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let token = exam.token();
    let text = format!("{token} one two three");
    let at = token.len();
    let line = format!("{text}\n");
    let pieces = [&line[..at + 5], &line[at + 5..at + 9], &line[at + 9..text.len()], "\n"].map(str::as_bytes);
    room.relays(0, &pieces, &token, &text).after("네 번에 나누어 보낸")
}

fn joined_lines(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let tokens = [(); 3].map(|()| exam.token());
    let texts: Vec<String> = tokens.iter().zip(1..).map(|(token, n)| format!("{token} line {n}")).collect();
    room.members[0].say(texts.iter().map(|text| format!("{text}\n")).collect::<String>());
    let lines: Vec<(&str, &str)> = tokens.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    room.hears(0, &lines).after("한 번의 send()로 세 줄을 보낸")
}

fn long_line(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let token = exam.token();
    let text = format!("{token} {} end", "0123456789".repeat(LONG_BYTES / 10));
    room.relays(0, &[format!("{text}\n").as_bytes()], &token, &text)
}

fn order(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    let tokens = [exam.token(), exam.token()];
    for (member, token) in room.members.iter_mut().zip(&tokens) {
        member.say((1..=LINES).map(|n| format!("{token} no {n};\n")).collect::<String>());
    }
    let mut seen = [0; 2];
    let mut wrong = None;
    let until = exam.until();
    room.listen(until, |to, line| {
        for (from, token) in tokens.iter().enumerate().filter(|(_, token)| to == 2 && holds(line, token)) {
            let next = format!("{token} no {};", seen[from] + 1);
            match holds(line, &next) {
                true => seen[from] += 1,
                false => wrong = wrong.take().or_else(|| Some((from, next, line.to_vec()))),
            }
        }
        wrong.is_some() || seen == [LINES; 2]
    });
    let expected = "민수에게 철수의 줄과 영희의 줄이 각각 보낸 순서대로 한 번씩만 옵니다";
    let sent =
        format!("철수와 영희: 동시에 {LINES}줄씩, {}", shown::bytes(format!("{} no 1;\n", tokens[0]).as_bytes()));
    match wrong {
        Some((_, next, line)) => {
            let (line, next) = (shown::bytes(&line), shown::bytes(next.as_bytes()));
            Err(Failure::new(sent, expected, format!("{next} 차례에 온 것: {line}")))
        }
        None if seen == [LINES; 2] => Ok(()),
        None => {
            let fate = room.members[2].fate().unwrap_or_else(|| "더 오지 않았습니다".into());
            Err(Failure::new(
                sent,
                expected,
                format!("철수의 줄 {}개, 영희의 줄 {}개가 온 뒤에 {fate}", seen[0], seen[1]),
            ))
        }
    }
}

fn leave(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    drop(room.members.pop());
    rest_goes_on(&mut room).after("민수가 나간 뒤에")
}

fn reset(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    room.members[2].say("끝나지 않은 줄");
    room.a_moment();
    if let Some(gone) = room.members.pop() {
        gone.reset();
    }
    rest_goes_on(&mut room).after("민수가 줄 중간에서 RST로 끊은 뒤에")
}

/// More than once: what is sent to who has gone fails at the second send() only.
fn rest_goes_on(room: &mut Room<'_>) -> Outcome {
    [0, 1, 0, 1].into_iter().try_for_each(|from| room.relays_a_line(from))
}

/// A server may wait for such a client, and then let it go: that, too, takes its time.
fn stalled_reader(exam: &Exam) -> Outcome {
    let members = vec![exam.connect("철수")?, exam.connect("영희")?, exam.connect_with("민수", Some(SMALL_BUFFER))?];
    let mut room = Room::with(exam, members)?;
    let mut stalled = room.members.pop();
    stalled.iter_mut().for_each(|stalled| stalled.reads = false); // it stays connected
    exam.take_longer();
    let heard = flood(exam, &mut room.members);
    let when = format!("민수가 읽지 않는 동안 영희에게 {heard}줄이 전해진 뒤에");
    room.relays_a_line(0).and_then(|()| room.relays_a_line(1)).after(&when)
}

/// The first says lines and the second hears them: 8 MiB, or what goes through in half of the case's time.
fn flood(exam: &Exam, members: &mut [Peer]) -> usize {
    let line = format!("{}\n", exam.token().repeat(FLOOD_LINE_BYTES / 8));
    let (mut said, mut heard) = (0_usize, 0_usize);
    let all = FLOOD_BYTES / line.len();
    pump(members, exam.half_the_rest(), |members| {
        heard += members[1].lines().len();
        members[0].heard.clear(); // what comes back to the sender, if it does
        let room = FLOOD_WINDOW.saturating_sub(said.saturating_sub(heard)).min(all - said);
        (0..room).for_each(|_| members[0].say(&line));
        said += room;
        heard >= all
    });
    heard
}
