//! The table of what may differ, held to its own examples.

use super::allowed::{ALLOWED, Allowed};
use super::compare::compare;
use super::scene::Pair;
use super::strace::Watched;
use super::trace::Form;

/// The example of a row: a server, and where only a child tells something, that child.
fn example(row: &Allowed) -> Pair {
    let record = |role: &str, pid: i32, call: &str| {
        let words = sockstep::lesson::words::of(call.split('(').next().unwrap());
        format!("1\t{role}\t{pid}\t{call}\t1\t\t{}\n", words.map_or("", |words| words.chapter))
    };
    let seen = |texts: &[(i32, String)]| vec![Watched { role: "server", texts: texts.iter().cloned().collect() }];
    let at = |calls: &str| calls.lines().map(|call| format!("1.000000 {call}\n")).collect::<String>();
    let (programs, told) = match (row.trace, row.strace) {
        (trace, "") => {
            let birth = at("clone(flags=CLONE_CHILD_SETTID|SIGCHLD) = 8");
            (seen(&[(7, birth), (8, String::new())]), record("server", 7, "fork() = 8") + &record("c1", 8, trace))
        }
        ("", strace) => (seen(&[(7, at(strace))]), String::new()),
        (trace, strace) => (seen(&[(7, at(strace))]), record("server", 7, trace)),
    };
    let child = row.trace.strip_prefix("fork() = ").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0);
    let told = told + &child.map_or(String::new(), |child| record("c1", child, "fork() = 0"));
    Pair { programs, told, form: Form::File }
}

#[test]
fn what_may_differ_is_explained_in_both_languages_by_an_example_that_holds() {
    for row in &ALLOWED {
        example(row).assert_same(row.trace.lines().collect::<Vec<_>>().as_slice());
        assert!(row.korean.ends_with("니다."), "{}", row.korean);
        assert!(row.english.ends_with('.'), "{}", row.english);
        assert!(row.trace != row.strace);
    }
}

#[test]
fn two_threads_may_change_places_only_while_the_first_has_not_told_its_call() {
    let born = "1.000000 clone3({flags=CLONE_THREAD}, 88) = 8\n";
    for (written, same) in [("3.000002", true), ("3.000000", false)] {
        let main = format!("{born}2.000000 shutdown(3, SHUT_WR) = 0\n{written} write(2, \"\", 0) = 0\n");
        let other = "3.000001 recvfrom(3, \"\", 9, 0, NULL, NULL) = 0\n4.000000 write(2, \"\", 0) = 0\n";
        let programs = vec![Watched { role: "client", texts: [(7, main), (8, other.into())].into() }];
        let told = "[client 7/8] recv(3, \"\", 9, 0) = 0   notes/08-send-recv.md\n\
                    [client 7] shutdown(3, SHUT_WR) = 0   notes/08-send-recv.md\n";
        let pair = Pair { programs, told: told.into(), form: Form::Lines };
        assert_eq!(compare(&pair.trace().unwrap(), &pair.strace().unwrap()).is_ok(), same, "written at {written}");
    }
}

#[test]
fn the_notes_say_what_may_differ() {
    let notes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("notes/14-watching.md");
    let notes = std::fs::read_to_string(notes).unwrap();
    for row in &ALLOWED {
        assert!(notes.contains(&format!("\n- {}\n", row.korean)), "not in the notes: {}", row.korean);
    }
    let list = notes.split("(`tests/proof/allowed.rs`).").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    assert_eq!(list.lines().count(), ALLOWED.len(), "the notes list more than may differ");
}
