//! What `cargo test` runs: a few seconds of it. No times, but that all has happened, and that what is wrong is seen.
#![allow(clippy::unwrap_used)] // It is a test.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::room::{Follower, Room};
use crate::tally::{Count, Tally};
use crate::watch::{Course, Memory, Sample};
use crate::words;

pub fn main() -> ExitCode {
    let trials = vec![
        Trial::test("a_few_seconds_have_every_kind_of_client_and_lose_nothing", a_few_seconds),
        Trial::test("who_presses_ctrl_c_sees_the_verdict_so_far", who_presses_ctrl_c),
        Trial::test("what_one_member_hears_otherwise_than_the_others_is_seen", what_one_hears_otherwise),
        Trial::test("a_line_that_nobody_hears_is_seen", a_line_that_nobody_hears),
        Trial::test("what_grows_is_seen", what_grows),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn a_few_seconds() -> Result<(), Failed> {
    let options = ["run", "--minutes=0.03", "--clients=24", "--seed=7"];
    let done = Command::new(std::env::current_exe()?).args(options).output()?;
    let (said, err) = (String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?);
    assert!(done.status.success(), "{said}{err}");
    for count in Count::ALL.iter().skip(5) {
        let words = format!("{} 0", count.words());
        assert!(said.contains(count.words()) && !said.contains(&(words + ",")), "{}: {said}", count.words());
    }
    assert!(said.contains("결과: 사라진 줄 없음"), "{said}");
    Ok(())
}

fn who_presses_ctrl_c() -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut soak = command.args(["run", "--minutes=1", "--clients=16"]).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(soak.stdout.take().unwrap()).lines();
    said.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("SIGHUP"))); // the head of the table
    kill(Pid::from_raw(soak.id() as i32), Signal::SIGINT)?;
    let rest = said.collect::<Result<Vec<String>, _>>()?.join("\n");
    assert!(soak.wait()?.success(), "{rest}");
    assert!(rest.contains("Ctrl-C") && rest.contains("결과: 사라진 줄 없음"), "{rest}");
    Ok(())
}

/// What a scribe hears when these come in, and the first of them says three lines.
fn a_room(tally: &Tally) -> Room {
    let room = Room::default();
    let lines = (0..3).map(|number| format!("[손님2] {}", words::line(2, number, 20)));
    let joins = [2, 3].map(|id| format!("* 손님{id} 님이 들어왔습니다."));
    joins.into_iter().chain(lines).for_each(|line| room.hears(&line, tally).unwrap());
    room
}

fn what_one_hears_otherwise() -> Result<(), Failed> {
    let (tally, lines) = (Tally::default(), [0, 1, 2].map(|number| format!("[손님2] {}", words::line(2, number, 20))));
    let room = a_room(&tally);
    for (heard, is_right) in [
        (&[0, 1, 2][..], true),
        (&[0, 1], true), // so far
        (&[0, 2], false),
        (&[1], false),
        (&[1, 0], false),
        (&[0, 0], false),
    ] {
        let mut follower = Follower::default();
        heard.iter().for_each(|number| follower.hears(&lines[*number]));
        assert_eq!(room.follow(3, &mut follower).is_ok(), is_right, "{heard:?}");
    }
    let mut more = Follower::default();
    lines.iter().chain([&lines[0]]).for_each(|line| more.hears(line));
    room.follow(3, &mut more)?;
    assert!(!more.is_level(), "one line more than the scribe has");
    let mut speaker = Follower::default();
    room.follow(2, &mut speaker)?; // does not hear itself
    room.hears("* 손님2 님이 나갔습니다.", &tally)?;
    room.follow(2, &mut speaker)?;
    assert!(!speaker.is_past(room.gone(2).unwrap().at), "the notice of another's coming is missing");
    Ok(())
}

fn a_line_that_nobody_hears() -> Result<(), Failed> {
    let tally = Tally::default();
    let room = a_room(&tally);
    assert!(room.hears(&format!("[손님2] {}", words::line(2, 4, 20)), &tally).is_err(), "3 is missing");
    assert!(room.hears(&format!("[손님2] {}", words::line(2, 2, 20)), &tally).is_err(), "2 was there");
    assert!(room.hears(&format!("[손님3] {}", words::line(2, 3, 20)), &tally).is_err(), "another's line");
    let damaged = words::line(2, 3, 20).replace('가', "거");
    assert!(room.hears(&format!("[손님2] {damaged}"), &tally).is_err());
    assert!(room.is_settled().is_err(), "they are still there");
    assert_eq!(tally.of(Count::Delivered), 3);
    tally.add(Count::Sent, 4);
    assert!(tally.balance().is_err(), "one of four lines");
    tally.add(Count::Lost, 1);
    Ok(tally.balance()?)
}

fn what_grows() -> Result<(), Failed> {
    let (start, zombie) = (Instant::now(), 9000);
    let course = |each: u64, lasts: u32| {
        let mut course = Course::default();
        for nth in 0..40 {
            let memory = |anonymous| Memory { anonymous, private_dirty: 1 };
            let children = [(7, memory(100 + each * nth)), (100 + nth as u32, memory(50))].into();
            let zombies = if nth > 20 { vec![zombie + nth as u32 / lasts] } else { vec![] };
            let (parent, at) = (memory(5000 + each * nth), start + Duration::from_secs(nth));
            course.add(Sample { at, rss: 0, parent, children, fds: 9, processes: 3, zombies });
        }
        course
    };
    for (each, grown) in [(0, 0), (10, 240)] {
        let (parent, (children, count)) =
            (course(each, 1).of_parent().unwrap(), course(each, 1).of_children().unwrap());
        assert_eq!(parent.late - parent.early, grown);
        assert_eq!((children.late - children.early, count), (grown, 1), "of the one that has stayed");
    }
    assert!(course(0, 100).has_lasting_zombie() && !course(0, 2).has_lasting_zombie());
    Ok(())
}
