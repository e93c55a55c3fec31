//! The notes are right: every experiment is typed into terminals as a student would, and shows what the notes say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "notes/chapter.rs"]
mod chapter;
#[path = "notes/lab.rs"]
mod lab;
#[path = "notes/matching.rs"]
mod matching;
#[path = "notes/step.rs"]
mod step;
mod support;
#[path = "notes/terminal.rs"]
mod terminal;

use std::time::Duration;

use chapter::Experiment;
use support::DEADLINE;

/// One test a chapter, so that each says of itself whether it is right.
macro_rules! chapters {
    ($($test:ident $number:literal,)*) => {
        const TESTED: &[&str] = &[$($number),*];
        $(#[test]
        fn $test() {
            for experiment in chapter::chapter($number).experiments {
                lab::perform(&experiment, DEADLINE).unwrap_or_else(|why| panic!("{why}"));
            }
        })*
    };
}

chapters! {
    chapter_00_map "00",
    chapter_01_stack "01",
    chapter_02_port_and_socket "02",
    chapter_03_socket "03",
    chapter_04_bind "04",
    chapter_05_listen "05",
    chapter_06_accept "06",
    chapter_07_connect "07",
    chapter_08_send_recv "08",
    chapter_09_fork "09",
    chapter_10_relay "10",
    chapter_11_udp "11",
    chapter_12_tls "12",
    chapter_13_daemon "13",
    chapter_14_watching "14",
    chapter_15_questions "15",
}

#[test]
fn every_chapter_is_tested() {
    let chapters = chapter::chapters();
    let numbers: Vec<&str> = chapters.iter().map(chapter::Chapter::number).collect();
    assert_eq!(numbers, TESTED);
}

fn tried(block: &str, patience: Duration) -> Result<(), String> {
    let steps = step::steps(block, 0, &[]);
    lab::perform(&Experiment { place: "here".to_string(), ids: Vec::new(), steps }, patience)
}

const DIALOGUE: &str = "\
서버$ sockstep server --listen 127.0.0.1:7199
[..] INFO [server <부모>] listening on 127.0.0.1:7199
...
학생$ ncat 127.0.0.1 7199
학생> 안녕
안녕
$ ss -tnHp 'sport = :7199'
ESTAB 0 0 127.0.0.1:7199 127.0.0.1:<학생 포트> users:((\"sockstep-c1\",pid=<자식>,fd=6))
$ ss -tnH 'dport = :7199'
ESTAB 0 0 127.0.0.1:<학생 포트> 127.0.0.1:7199
$ kill -9 <자식>; echo $?
0
학생^C
학생$ echo 끝
끝
파이썬$ python3 -q
파이썬>>> from socket import *
파이썬>>> c = create_connection(('127.0.0.1', 7199)); c.send(b'x')
1
파이썬>>> c.recv(1)
b'x'
파이썬>>> c.recv(1)
파이썬^C
...
KeyboardInterrupt
파이썬>>> 1 + 1
2
";

#[test]
fn what_is_written_is_what_comes() {
    tried(DIALOGUE, DEADLINE).unwrap();
}

#[test]
fn what_is_written_wrongly_is_caught() {
    let cases = [
        ("a line that does not come", "$ echo 안녕\n안녕\n잘 가\n", "-잘 가"),
        ("a line that is not written", "$ printf '안녕\\n잘 가\\n'\n안녕\n", "+잘 가"),
        ("a line that comes later", "갑$ echo 안녕; echo 잘 가\n안녕\n갑$ true\n", "잘 가"),
        ("a line that comes last", "갑$ sleep 0.03; echo 안녕\n", "+안녕"),
        ("an answer that comes last", "갑$ sh -c 'read x; sleep 0.03; echo $x'\n갑> 안녕\n", "+안녕"),
        ("a wildcard that would have to span lines", "$ printf 'a\\nb\\n'\n[..]b\n", "[..]b"),
        ("a name that stands for two things", "$ echo 1 2\n<수> <수>\n", "<수>"),
        ("a name that stood for something else", "$ echo 1\n<수>\n$ echo 2\n<수>\n", "+2"),
        ("a command that does not end", "갑$ cat\n갑$ true\n", "has not ended"),
        ("a call that blocks", "갑$ python3 -q\n갑>>> input()\n갑>>> 1\n", "has not ended"),
    ];
    for (what, block, says) in cases {
        let why = tried(block, Duration::from_secs(2)).expect_err(what);
        let even: String = why
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            .replace("+ ", "+")
            .replace("- ", "-");
        assert!(even.contains(says), "{what}: {why}");
    }
}

#[test]
#[should_panic(expected = "nothing has shown yet what this stands for: kill <아무도>")]
fn a_value_that_nothing_has_shown_is_not_typed() {
    let _ = tried("$ kill <아무도>\n", DEADLINE);
}
