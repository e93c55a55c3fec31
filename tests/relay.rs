//! Stage 2: the others' lines, whole, in one order, with their names.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;

const RELAY: [&str; 2] = ["--mode", "relay"];

fn relay(args: &[&str]) -> Server {
    Server::start(&[&RELAY, args].concat())
}

/// Two people who have both joined.
fn pair(server: &Server) -> (Peer, Peer) {
    let mut first = server.join();
    let second = server.join();
    assert_eq!(first.line(), "* 손님2 님이 들어왔습니다.");
    (first, second)
}

#[test]
fn a_line_reaches_the_others_with_its_name_and_not_its_sender() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("안녕하세요\r\n");
    assert_eq!(second.line(), "[손님1] 안녕하세요");
    second.send("네\n");
    assert_eq!(first.line(), "[손님2] 네"); // and nothing of its own before it
}

#[test]
fn hangul_and_emoji_stay_whole_however_they_are_cut() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    let text = "안녕 👩‍👩‍👧 세계";
    for byte in format!("{text}\n").into_bytes() {
        first.send([byte]);
    }
    assert_eq!(second.line(), format!("[손님1] {text}"));
}

#[test]
fn commands_do_what_help_says() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("/help\n");
    for command in ["/name", "/who", "/to", "/quit", "//"] {
        assert!(first.line().contains(command), "{command}");
    }
    first.send("/name 철수\n/who\n//name 아님\n/dance\n/to\n");
    assert_eq!(first.line_with("/dance"), "! 알 수 없는 명령입니다: /dance. /help를 입력해 보십시오.");
    assert_eq!(first.line(), "! 사용법: /to 이름 할 말");
    assert_eq!(first.line(), "* 이름이 바뀌었습니다: 손님1 → 철수");
    assert_eq!(first.line(), "* 지금 2명: 철수, 손님2");
    assert_eq!(second.line(), "* 이름이 바뀌었습니다: 손님1 → 철수");
    assert_eq!(second.line(), "[철수] /name 아님");
    second.send("/to 철수 둘만의 이야기\n/quit\n뒤의 말\n");
    assert_eq!(first.line(), "[손님2 → 철수] 둘만의 이야기");
    assert_eq!(first.line(), "* 손님2 님이 나갔습니다.");
    assert_eq!(second.rest(), "* 안녕히 가십시오.\n");
}

#[test]
fn who_quits_still_hears_the_answers_that_are_owed() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    second.send("네\n");
    assert_eq!(first.line(), "[손님2] 네"); // so that the order of the two is known
    first.send("/who\n/to 손님1 나에게\n/quit\n");
    let heard = first.rest();
    assert_eq!(heard, "* 지금 2명: 손님1, 손님2\n[손님1 → 손님1] 나에게\n* 안녕히 가십시오.\n");
    assert_eq!(second.line(), "* 손님1 님이 나갔습니다.");
    let at_once = run(&mut client(&["--connect", &server.addr.to_string()]), b"/who\n/quit\n");
    assert!(at_once.text().contains("* 지금 2명: 손님2, 손님3\n"), "{}", at_once.text());
    assert_eq!(at_once.code(), 0);
}

#[test]
fn a_private_line_reaches_one_person_only() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    let mut third = server.join();
    first.send("/to 손님2 비밀\n모두에게\n");
    assert_eq!(second.line_with("["), "[손님1 → 손님2] 비밀");
    assert_eq!(third.line(), "[손님1] 모두에게");
}

#[test]
fn a_name_is_not_given_to_another_while_anyone_remembers_its_owner() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("/name kim\n");
    second.line_with("kim");
    second.send("/name KIM\n");
    assert_eq!(second.line(), "! 이름을 바꾸지 못했습니다. 다른 사람이 쓰고 있는 이름입니다.");
    drop(first);
    assert_eq!(second.line(), "* kim 님이 나갔습니다.");
    let mut third = server.join();
    third.send("/name kim\n");
    assert!(third.line().starts_with("! 이름을 바꾸지 못했습니다."));
    drop((second, third));
    server.wait_for_children(0);
    let mut fourth = server.join();
    fourth.send("/name kim\n");
    assert_eq!(fourth.line(), "* 이름이 바뀌었습니다: 손님4 → kim");
}

/// The log is 4 MiB; its first page and its last may be shared with something else.
#[test]
fn the_hubs_log_is_not_in_a_childs_memory() {
    let server = Server::start(&RELAY);
    let _client = server.join();
    let maps = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (parent, child) = (maps(server.pid()), maps(server.wait_for_children(1)[0]));
    let (mut place, mut kept) = ("", Vec::new());
    for line in parent.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("VmFlags:") if words.any(|flag| flag == "dc") => kept.push(place), // "do not copy area on fork"
            Some(first) if first.contains('-') => place = first,
            _ => {}
        }
    }
    let bytes = |place: &&str| {
        let ends = place.split_once('-').map(|(from, to)| [from, to].map(|end| u64::from_str_radix(end, 16).unwrap()));
        ends.map_or(0, |[from, to]| to - from)
    };
    let log = kept.iter().find(|place| bytes(place) >= (4 << 20) - 8192).expect("a mapping that is not handed on");
    assert!(parent.contains(*log) && !child.contains(*log), "{log}");
}

#[test]
fn a_line_that_is_too_long_is_refused_and_memory_stays_flat() {
    let server = relay(&["--max-line", "1000"]);
    let (mut first, mut second) = pair(&server);
    first.send(format!("{}\n{}\n", "x".repeat(1000), "y".repeat(1001)));
    assert_eq!(second.line(), format!("[손님1] {}", "x".repeat(1000)));
    assert_eq!(first.line(), "! 줄이 너무 길어 전하지 않았습니다.");
    for _ in 0..50 {
        first.send(vec![b'z'; 1_000_000]);
    }
    first.send("\n다시 정상\n");
    assert_eq!(second.line(), "[손님1] 다시 정상");
    for child in server.children().into_iter().filter(|child| may_look_into(*child)) {
        assert!(proc_kb(child, "smaps_rollup", "Private_Dirty:") < 2048);
    }
}

#[test]
fn the_longest_line_of_the_worst_characters_arrives() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("\u{9b}".repeat(32_768) + "\n" + &"가".repeat(21_845) + "\n");
    assert_eq!(second.line(), format!("[손님1] {}", "\\u{9b}".repeat(32_768)));
    assert_eq!(second.line(), format!("[손님1] {}", "가".repeat(21_845)));
    // A byte more than the default allows.
    first.send("x".repeat(65_537) + "\n끝\n");
    assert_eq!(first.line(), "! 줄이 너무 길어 전하지 않았습니다.");
    assert_eq!(second.line(), "[손님1] 끝");
}

#[test]
fn broken_utf8_is_refused_and_the_connection_stays() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send(b"ab\xec\x95\ncd\n");
    assert_eq!(first.line(), "! UTF-8이 아닌 바이트가 있어 전하지 않았습니다.");
    assert_eq!(second.line(), "[손님1] cd");
}

#[test]
fn nobody_can_drive_anothers_terminal() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("\x1b[2J\u{202e}abc\u{9b}31m\x07\t끝\n/to 손님2 \x1b]0;x\x07\n/name a\x1b[31m\n/\x1b[H\n");
    assert_eq!(second.line(), "[손님1] ^[[2J\\u{202e}abc\\u{9b}31m^G\t끝");
    assert_eq!(second.line(), "[손님1 → 손님2] ^[]0;x^G");
    let answers = first.line() + &first.line();
    assert!(!answers.chars().any(|c| c.is_control()), "{answers:?}");
}

#[test]
fn after_a_half_close_the_replies_keep_coming() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("질문 있습니다\n마지막 줄");
    first.half_close();
    assert_eq!(second.line(), "[손님1] 질문 있습니다");
    assert_eq!(second.line(), "[손님1] 마지막 줄");
    second.send("대답입니다\n");
    assert_eq!(first.line_with("["), "[손님2] 대답입니다");
    // Nothing more to hear: after a quiet while the server closes its half, too.
    assert_eq!(first.rest(), "");
    assert_eq!(second.line(), "* 손님1 님이 나갔습니다.");
}

#[test]
fn who_leaves_altogether_is_gone_before_one_who_still_listens() {
    let server = relay(&[]);
    let (first, mut second) = pair(&server);
    let third = server.join();
    third.half_close();
    drop(first); // answers the next words with RST
    second.line_with("손님3 님이 들어왔습니다");
    assert_eq!(second.line(), "* 손님1 님이 나갔습니다.");
    assert_eq!(second.line(), "* 손님3 님이 나갔습니다.");
}

#[test]
fn a_last_line_without_newline_counts_after_fin_and_not_after_rst() {
    let server = relay(&[]);
    let (mut first, mut second) = pair(&server);
    first.send("온전한 줄\n반쪽");
    assert_eq!(second.line(), "[손님1] 온전한 줄");
    first.reset();
    assert_eq!(second.line(), "* 손님1 님이 나갔습니다.");
}

/// The kernel tells of a reset once. Who hears of it in send() reads 0 afterwards, as at a clean end.
#[test]
fn half_a_line_before_rst_does_not_count_when_a_write_has_heard_of_the_rst_first() {
    let server = relay(&[]);
    let mut first = server.join();
    let child = server.wait_for_children(1)[0];
    let (mut second, mut third) = (server.join(), server.join());
    second.line_with("손님3");
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    eventually("a stopped child", || state(child) == Some('T'));
    second.send("쓸 것\n");
    assert_eq!(third.line(), "[손님2] 쓸 것"); // so the child has it, too
    first.send("온전한 줄\n반쪽");
    first.reset();
    kill(Pid::from_raw(child), Signal::SIGCONT).unwrap();
    assert_eq!(second.line(), "[손님1] 온전한 줄");
    assert_eq!(second.line(), "* 손님1 님이 나갔습니다.");
    server.wait_for_log(": client reset the connection\n");
}

#[test]
fn lines_sent_just_before_leaving_all_arrive() {
    let server = relay(&[]);
    let mut listener = server.join();
    for round in 0..20 {
        let mut hasty = server.connect();
        let lines: String = (0..500).map(|n| format!("{round}-{n}\n")).collect();
        hasty.send(lines);
        drop(hasty); // with the greeting unread, so the kernel sends RST
        for n in 0..500 {
            let line = listener.line_with("[");
            assert!(line.ends_with(&format!(" {round}-{n}")), "{line}");
        }
    }
}

#[test]
fn everybody_sees_the_same_order_and_every_line() {
    const SENDERS: usize = 4;
    const LINES: usize = 1000;
    let server = relay(&[]);
    let mut readers: Vec<Peer> = (0..4).map(|_| server.join()).collect();
    let senders: Vec<Peer> = (0..SENDERS).map(|_| server.join()).collect();
    let seen: Vec<Vec<String>> = thread::scope(|scope| {
        let reading: Vec<_> = readers
            .iter_mut()
            .map(|reader| {
                scope.spawn(|| (0..SENDERS * LINES).map(|_| reader.line_where(|line| line.starts_with('['))).collect())
            })
            .collect();
        for (who, mut sender) in senders.into_iter().enumerate() {
            scope.spawn(move || {
                (0..LINES).for_each(|n| sender.send(format!("{who} {n}\n")));
                sender.half_close();
                sender.rest(); // a sender reads, too
            });
        }
        reading.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    for reader in &seen[1..] {
        assert!(*reader == seen[0], "two readers saw different orders");
    }
    for who in 0..SENDERS {
        let of_one: Vec<_> = seen[0].iter().filter_map(|line| line.split_once(&format!("] {who} "))).collect();
        let in_order = of_one.iter().enumerate().all(|(n, (_, number))| *number == n.to_string());
        assert!(of_one.len() == LINES && in_order, "sender {who}: {} lines", of_one.len());
    }
}

/// Floods a relay with two good readers and one that is `stalled`; the good ones miss nothing.
fn flood_past(server: &Server, stalled: &str) {
    const LINES: usize = 20_000;
    let (mut sender, mut reader) = (server.join(), server.join());
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..LINES {
                let line = reader.line_where(|line| line.starts_with('[') && line.contains("] flood "));
                assert!(line.contains(&format!("] flood {n} ")), "after {n}: {line:.60}");
            }
        });
        let mut drain = Peer::new(sender.stream.try_clone().unwrap());
        scope.spawn(move || drain.rest());
        let padding = "x".repeat(1000);
        for n in 0..LINES {
            sender.send(format!("flood {n} {padding}\n"));
        }
        sender.half_close();
    });
    server.wait_for_log(stalled);
    assert!(proc_kb(server.pid(), "status", "VmHWM:") < 64 * 1024, "the hub's memory is bounded");
}

#[test]
fn a_stalled_reader_is_cut_off_with_a_reason_and_the_others_miss_nothing() {
    const CUT_OFF: &str = "(손님1) reads too slowly: cut off";
    let server = relay(&["--slow-timeout", "0.5"]);
    let mut stalled = server.join();
    let (mut expected, mut last) = (0, String::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            server.wait_for_log(CUT_OFF); // and now it reads, while the last words still wait for it
            // What it got is whole lines without a gap.
            while let Some(line) = stalled.next_line() {
                if let Some((_, flood)) = line.split_once("] flood ").filter(|(_, flood)| flood.len() > 1000) {
                    assert!(flood.starts_with(&format!("{expected} ")), "{expected}: {flood:.20}");
                    expected += 1;
                }
                last = line;
            }
        });
        flood_past(&server, CUT_OFF);
    });
    assert!(expected > 0);
    assert_eq!(last, "! 받는 속도가 너무 느려서 연결을 끊습니다.");
    server.wait_for_log(" bytes behind\n");
    server.wait_for_log(": client read too slowly\n");
}

#[test]
fn a_stopped_child_is_cut_off_and_killed_and_the_others_miss_nothing() {
    let server = relay(&["--slow-timeout", "0.5"]);
    let mut stalled = server.join();
    let child = server.wait_for_children(1)[0];
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    flood_past(&server, "(손님1) reads too slowly: cut off");
    server.wait_for_log("did not end in time: killed");
    eventually("the stopped child's end", || !server.children().contains(&child));
    stalled.rest();
}

#[test]
fn too_many_are_told_so_and_a_place_that_is_left_is_free_again() {
    let server = relay(&["--max-clients", "2"]);
    let (first, mut second) = pair(&server);
    assert_eq!(server.connect().rest(), "! 자리가 없습니다. 동시에 2명까지 접속할 수 있습니다.\n");
    drop(first);
    second.line_with("나갔습니다");
    server.wait_for_children(1);
    server.join();
}

#[test]
fn a_refusal_arrives_even_when_the_client_has_already_spoken() {
    let server = relay(&["--max-clients", "1"]);
    let _only = server.join();
    for _ in 0..20 {
        let mut refused = server.connect();
        refused.send("안녕하세요\n");
        assert!(refused.line().starts_with("! 자리가 없습니다."));
    }
}

#[test]
fn an_idle_client_hears_why_it_has_to_go() {
    let server = relay(&["--idle-timeout", "0.3"]);
    assert_eq!(server.join().rest(), "! 오랫동안 아무 말씀이 없어서 연결을 끊습니다.\n");
    server.wait_for_log("idle for too long");
}

/// For longer than the limit in all, never for so long in silence.
#[test]
fn who_speaks_now_and_then_is_not_idle() {
    for mode in ["echo", "relay"] {
        let server = Server::start(&["--mode", mode, "--idle-timeout", "2"]);
        let mut peer = server.connect();
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            peer.send("/who\n");
            peer.line();
            thread::sleep(Duration::from_millis(100));
        }
        assert!(!server.log().contains("idle"), "{}", server.log());
        drop(peer);
        server.wait_for_log("closed after");
        assert!(!server.log().contains("idle"), "{}", server.log());
    }
}

#[test]
fn one_person_without_fork_has_the_room_alone() {
    let server = relay(&["--no-fork"]);
    let mut only = server.join();
    only.send("/who\n");
    assert_eq!(only.line(), "* 지금 1명: 손님1");
    assert_eq!(server.children(), []);
}

#[test]
fn ncat_and_socat_talk_with_each_other() {
    let server = relay(&[]);
    let port = server.port().to_string();
    let mut watcher = server.join();
    let ncat = thread::scope(|scope| {
        let port = &port;
        let ncat = scope.spawn(move || {
            let mut ncat = Command::new("ncat")
                .args(["127.0.0.1", port])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            eventually("ncat's line", || {
                std::io::Write::write_all(ncat.stdin.as_mut().unwrap(), "안녕, 나는 ncat\n".as_bytes()).is_ok()
            });
            watcher.line_with("안녕, 나는 ncat");
            let socat = run(
                Command::new("socat").args(["-t1", "-", &format!("TCP:127.0.0.1:{port}")]),
                "반가워, 나는 socat\n".as_bytes(),
            );
            assert!(socat.text().contains("어서 오십시오"), "{}", socat.text());
            watcher.line_with("반가워, 나는 socat");
            drop(ncat.stdin.take());
            ncat.wait_with_output().unwrap()
        });
        ncat.join().unwrap()
    });
    let heard = String::from_utf8(ncat.stdout).unwrap();
    assert!(heard.contains("] 반가워, 나는 socat\n"), "{heard}");
}
