//! Stage 2, the cases in which somebody is silent, goes away, sends what he should not, or does not read: what is that
//! to the rest?

use super::case::{After, Outcome};
use super::exam::Exam;
use super::peer::Peer;
use super::pump::pump;
use super::room::{Room, holds};
use super::shown;

/// What goes past the client that does not read: more than the kernels keep for it.
const FLOOD_BYTES: usize = 8 * 1024 * 1024;
const FLOOD_LINE_BYTES: usize = 1000;
/// Lines under way at a time: what follows the flood must not have to wait behind all of it.
const FLOOD_WINDOW: usize = 64;
/// A receive buffer that is soon full.
const SMALL_BUFFER: i32 = 4096;
/// Bytes that are in no UTF-8, and a syllable without its last one.
const NOT_TEXT: &[u8] = b"\xff\xfe \xec\x95\n";

/// The one who goes was there first: in the server's list he leaves a hole.
pub fn leave(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["민수", "철수", "영희"])?;
    drop(room.members.remove(0));
    rest_goes_on(&mut room).after("민수가 나간 뒤에")?;
    room.members.push(exam.connect("수진")?);
    room.admit()
        .and_then(|()| (0..3).try_for_each(|from| room.relays_a_line(from)))
        .after("민수가 나가고 수진이 들어온 뒤에")
}

/// He was there before the others; a server that waits for his first words before it accepts the next has none.
pub fn silent_neighbour(exam: &Exam) -> Outcome {
    let _silent = exam.connect("민수")?;
    let when = "민수가 접속만 하고 아무것도 보내지 않을 때";
    Room::open(exam, &["철수", "영희"]).and_then(|mut room| room.relays_a_line(0)).after(when)
}

/// The server may pass it on, refuse it, or end him.
pub fn not_text(exam: &Exam) -> Outcome {
    let mut room = Room::open(exam, &["철수", "영희", "민수"])?;
    room.members[2].say(NOT_TEXT);
    room.a_moment();
    drop(room.members.pop());
    let after = format!("민수가 UTF-8이 아닌 줄 {}을 보낸 뒤에", shown::bytes(NOT_TEXT));
    rest_goes_on(&mut room).after(&after)
}

pub fn reset(exam: &Exam) -> Outcome {
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
pub fn stalled_reader(exam: &Exam) -> Outcome {
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
    let token = exam.token();
    let line = format!("{}\n", token.repeat(FLOOD_LINE_BYTES / 8));
    let (mut said, mut heard) = (0_usize, 0_usize);
    let all = FLOOD_BYTES / line.len();
    pump(members, exam.half_the_rest(), |members| {
        heard += members[1].lines().iter().filter(|line| holds(line, &token)).count();
        members[0].heard.clear(); // what comes back to the sender, if it does
        let room = FLOOD_WINDOW.saturating_sub(said.saturating_sub(heard)).min(all - said);
        (0..room).for_each(|_| members[0].say(&line));
        said += room;
        heard >= all
    });
    heard
}
