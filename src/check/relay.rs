//! Stage 2: whoever is there hears what the others say, and nobody can spoil it for the rest.

use super::case::{After, Case, Failure, Outcome};
use super::exam::Exam;
use super::neighbours;
use super::room::{Room, Said, holds};
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
        name: "relay-mixed-pieces",
        title: "두 사람이 한 줄을 번갈아 나누어 보내도 서로 섞이지 않습니다",
        chapter: STREAM,
        run: mixed_pieces,
    },
    Case {
        name: "relay-empty-line",
        title: "빈 줄을 보낸 사람도 계속 대화할 수 있습니다",
        chapter: STREAM,
        run: empty_line,
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
        name: "relay-silent-neighbour",
        title: "접속만 하고 아무것도 보내지 않는 사람이 있어도 다른 사람들은 대화할 수 있습니다",
        chapter: RELAY,
        run: neighbours::silent_neighbour,
    },
    Case {
        name: "relay-leave",
        title: "한 사람이 나가고 다른 사람이 들어와도 대화는 계속됩니다",
        chapter: RELAY,
        run: neighbours::leave,
    },
    Case {
        name: "relay-not-text",
        title: "UTF-8이 아닌 바이트를 보내는 사람이 있어도 다른 사람들의 대화는 계속됩니다",
        chapter: RELAY,
        run: neighbours::not_text,
    },
    Case {
        name: "relay-reset",
        title: "한 사람의 연결이 줄 중간에서 RST로 끊겨도 남은 사람들의 대화는 계속됩니다",
        chapter: STREAM,
        run: neighbours::reset,
    },
    Case {
        name: "relay-stalled-reader",
        title: "읽지 않는 사람이 있어도 다른 사람들의 대화는 멈추지 않습니다",
        chapter: RELAY,
        run: neighbours::stalled_reader,
    },
];

const LINES: usize = 200;
/// Lines of each of the two under way at a time.
const ORDER_WINDOW: usize = 40;
const LONG_BYTES: usize = 4000;

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
    let lines: Vec<Said<'_>> = tokens.iter().zip(&texts).map(|(token, text)| Said { from: 0, token, text }).collect();
    room.hears(&lines).after("한 번의 send()로 세 줄을 보낸")
}

/// Whose line is whose? One buffer for all clients does not know.
fn mixed_pieces(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    let tokens = [exam.token(), exam.token()];
    let texts = tokens.clone().map(|token| format!("{token} one two"));
    let middle = tokens[0].len() + 4;
    for part in [0..middle, middle..texts[0].len()] {
        for (from, text) in texts.iter().enumerate() {
            room.members[from].say(&text[part.clone()]);
            room.a_moment();
        }
    }
    for from in 0..2 {
        room.members[from].say("\n");
    }
    let lines = [0, 1].map(|from| Said { from, token: &tokens[from], text: &texts[from] });
    room.hears(&lines).after("철수와 영희가 두 번에 나누어 번갈아 보낸")
}

/// What is done with an empty line is the server's affair; but it is no end.
fn empty_line(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    for empty in ["\n", "\r\n"] {
        room.members[0].say(empty);
        room.a_moment();
        let after = format!("철수가 빈 줄 {}을 보낸 뒤에", shown::bytes(empty.as_bytes()));
        room.relays_a_line(0).and_then(|()| room.relays_a_line(1)).after(&after)?;
    }
    Ok(())
}

fn long_line(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희"])?;
    let token = exam.token();
    let text = format!("{token} {} end", "0123456789".repeat(LONG_BYTES / 10));
    room.relays(0, &[format!("{text}\n").as_bytes()], &token, &text)
}

/// A few at a time: a server may end a client that is behind by more than it cares to keep.
fn order(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    let tokens = [exam.token(), exam.token()];
    let (mut seen, mut wrong, mut goes_on) = ([0; 2], None, false);
    for last in (ORDER_WINDOW..=LINES).step_by(ORDER_WINDOW) {
        for (member, token) in room.members.iter_mut().zip(&tokens) {
            member.say((last - ORDER_WINDOW + 1..=last).map(|n| format!("{token} no {n};\n")).collect::<String>());
        }
        goes_on = room.listen(exam.until(), |to, line| {
            for (from, token) in tokens.iter().enumerate().filter(|(_, token)| to == 2 && holds(line, token)) {
                let next = format!("{token} no {};", seen[from] + 1);
                match holds(line, &next) {
                    true => seen[from] += 1,
                    false => wrong = wrong.take().or_else(|| Some((next, line.to_vec()))),
                }
            }
            wrong.is_some() || seen == [last; 2]
        });
        if !goes_on || wrong.is_some() {
            break;
        }
    }
    let came = match wrong {
        Some((next, line)) => {
            format!("{} 차례에 온 것: {}", shown::bytes(next.as_bytes()), shown::bytes(&line))
        }
        None if goes_on => return Ok(()),
        None => {
            let why = room.members[2].why_no_more(exam.waited());
            format!("철수의 줄 {}개, 영희의 줄 {}개가 온 뒤에 {why}", seen[0], seen[1])
        }
    };
    let first = shown::bytes(format!("{} no 1;\n", tokens[0]).as_bytes());
    Err(Failure::new(
        format!("철수와 영희: 동시에 {LINES}줄씩, {first}"),
        "민수에게 철수의 줄과 영희의 줄이 각각 보낸 순서대로 한 번씩만 옵니다",
        came,
    ))
}
