//! The hub's promises, without processes: one order, no gap, bounded memory, nobody frozen.

use super::super::names::guest;
use super::super::packet::{RELAY_MAX_BYTES, frames};
use super::*;
use proptest::prelude::*;

const SLOW: Duration = Duration::from_secs(2);
const RULES: Rules = Rules { slow_timeout: SLOW, certified: false, keys_logged: false };

fn hub_with(members: impl IntoIterator<Item = Id>) -> (Hub, Instant) {
    let (mut hub, now) = (Hub::new(RULES), Instant::now());
    for id in members {
        hub.receive(id, &ToHub::Join(None).encode(), now).unwrap();
    }
    (hub, now)
}

fn send(hub: &mut Hub, id: Id, request: ToHub<'_>, now: Instant) {
    hub.receive(id, &request.encode(), now).unwrap();
}

/// Takes one packet for a member, as its child would; `None` when there is none.
fn take(hub: &mut Hub, id: Id) -> Option<String> {
    let packet = hub.next(id)?.to_vec();
    assert!(!packet.is_empty() && packet.len() <= RELAY_MAX_BYTES);
    hub.delivered(id, packet.len());
    hub.release();
    Some(frames(&packet).map(|frame| std::str::from_utf8(frame.text).unwrap()).collect())
}

fn take_all(hub: &mut Hub, id: Id) -> String {
    std::iter::from_fn(|| take(hub, id)).collect()
}

/// Fills the log from `id` until the hub wants no more; everybody but the `stalled` keeps reading.
fn fill(hub: &mut Hub, id: Id, stalled: &[Id], now: Instant) {
    let line = "x".repeat(60_000) + "\n";
    for _ in 0..2 * LOG_BYTES / line.len() {
        if !hub.has_room() {
            return;
        }
        send(hub, id, ToHub::Lines(&line), now);
        for reader in hub.members.keys().copied().filter(|id| !stalled.contains(id)).collect::<Vec<_>>() {
            take_all(hub, reader);
        }
    }
    panic!("the log is never full");
}

#[test]
fn a_line_reaches_the_others_with_its_name() {
    let (mut hub, now) = hub_with([1, 2]);
    take_all(&mut hub, 1);
    take_all(&mut hub, 2);
    send(&mut hub, 1, ToHub::Lines("안녕\n\n"), now);
    assert_eq!(take_all(&mut hub, 2), "[손님1] 안녕\n[손님1] \n");
}

#[test]
fn a_private_line_keeps_its_place_between_the_public_ones() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    (1..=3).for_each(|id| drop(take_all(&mut hub, id)));
    send(&mut hub, 1, ToHub::Lines("앞\n"), now);
    send(&mut hub, 1, ToHub::Private { to: "손님2", text: "비밀" }, now);
    send(&mut hub, 1, ToHub::Lines("뒤\n"), now);
    assert_eq!(take_all(&mut hub, 2), "[손님1] 앞\n[손님1 → 손님2] 비밀\n[손님1] 뒤\n");
    assert_eq!(take_all(&mut hub, 3), "[손님1] 앞\n[손님1] 뒤\n");
}

#[test]
fn a_private_line_to_nobody_is_refused() {
    let (mut hub, now) = hub_with([1]);
    take_all(&mut hub, 1);
    send(&mut hub, 1, ToHub::Private { to: "유령", text: "있나요" }, now);
    assert!(take_all(&mut hub, 1).starts_with("! 유령 님은 접속해 있지 않습니다."));
}

#[test]
fn nobody_gets_the_name_of_one_who_has_just_left() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    send(&mut hub, 1, ToHub::Name("철수"), now);
    hub.leave(1, false, now);
    (2..=3).for_each(|id| drop(take_all(&mut hub, id)));
    send(&mut hub, 2, ToHub::Name("철수"), now);
    assert!(take_all(&mut hub, 2).starts_with("! 이름을 바꾸지 못했습니다."));
    assert_eq!(take_all(&mut hub, 3), "");
}

#[test]
fn who_names_at_most_a_hundred() {
    let (mut hub, now) = hub_with(1..=130);
    take_all(&mut hub, 130);
    send(&mut hub, 130, ToHub::Who, now);
    let answer = take_all(&mut hub, 130);
    assert!(answer.starts_with("* 지금 130명: 손님1, 손님2, ") && answer.ends_with(", 손님100 외 30명\n"), "{answer}");
}

#[test]
fn a_full_log_stops_the_senders_and_stays_bounded() {
    let (mut hub, now) = hub_with([1, 2]);
    fill(&mut hub, 1, &[2], now);
    assert!(!hub.welcomes(1));
    assert!(hub.log.len() + hub.private_bytes <= LOG_BYTES);
    take_all(&mut hub, 2);
    assert!(hub.welcomes(1));
}

/// The hub wants a packet only while the longest one there is still fits: to the byte.
#[test]
fn there_is_room_as_long_as_any_packet_fits() {
    let (mut hub, _) = hub_with([1, 2]);
    (1..=2).for_each(|id| drop(take_all(&mut hub, id)));
    assert_eq!((hub.log.len(), hub.private_bytes), (0, 0));
    hub.log.append(1, |buf| buf.resize(buf.len() + LOG_BYTES - RELAY_MAX_BYTES - 8, b'x'));
    assert_eq!(hub.log.len(), LOG_BYTES - RELAY_MAX_BYTES);
    assert!(hub.has_room() && hub.welcomes(1));
    hub.private_bytes = 1;
    assert!(!hub.has_room() && !hub.welcomes(1));
}

#[test]
fn answers_wait_for_a_member_up_to_a_bound_and_then_it_is_not_heard() {
    let (mut hub, _) = hub_with([1, 2]);
    for (bytes, welcome) in [(OUTBOX_BYTES, true), (OUTBOX_BYTES + 1, false)] {
        hub.members.get_mut(&1).unwrap().outbox_bytes = bytes;
        assert_eq!((hub.welcomes(1), hub.welcomes(2)), (welcome, true), "{bytes}");
    }
}

#[test]
fn only_the_stalled_reader_is_cut_off() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    fill(&mut hub, 1, &[2], now);
    assert_eq!(hub.overdue(now), []);
    assert_eq!(hub.deadline(), Some(now + SLOW));
    assert_eq!(hub.overdue(now + SLOW - Duration::from_millis(1)), []);
    assert_eq!(hub.overdue(now + SLOW), [2]);
    hub.leave(2, true, now);
    hub.release();
    assert!(hub.welcomes(1));
    assert!(take_all(&mut hub, 3).contains("님의 연결이 끊겼습니다. 받는 속도가 너무 느렸습니다."));
}

#[test]
fn a_reader_that_trickles_does_not_hold_the_class_up() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    fill(&mut hub, 1, &[2], now);
    hub.overdue(now);
    take(&mut hub, 2); // its greeting, a few dozen bytes
    assert_eq!(hub.overdue(now + SLOW), [2]);
}

#[test]
fn who_takes_64_kib_in_time_is_slow_and_who_takes_a_byte_less_is_stalled() {
    for (bytes, cut_off) in [(64 * 1024 - 1, vec![2]), (64 * 1024, vec![])] {
        let (mut hub, now) = hub_with([1, 2, 3]);
        fill(&mut hub, 1, &[2], now);
        hub.overdue(now);
        hub.members.get_mut(&2).unwrap().taken += bytes;
        assert_eq!(hub.overdue(now + SLOW), cut_off, "{bytes}");
    }
}

#[test]
fn when_everybody_is_slow_nobody_who_moves_is_cut_off() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    fill(&mut hub, 1, &[1, 2, 3], now);
    hub.overdue(now);
    (1..=3).for_each(|id| drop(take(&mut hub, id)));
    assert_eq!(hub.overdue(now + SLOW), []);
}

#[test]
fn a_log_that_empties_in_time_is_forgiven() {
    let (mut hub, now) = hub_with([1, 2]);
    fill(&mut hub, 1, &[2], now);
    hub.overdue(now);
    take_all(&mut hub, 2);
    assert_eq!(hub.overdue(now + SLOW), []);
    assert_eq!(hub.deadline(), None);
}

#[test]
fn a_relay_in_which_nothing_moves_is_judged_again_without_any_event() {
    let (mut hub, now) = hub_with([1, 2, 3]);
    fill(&mut hub, 1, &[2], now);
    hub.overdue(now);
    // It moves in the first while, more than a stalled one would; then no more.
    (0..2).for_each(|_| drop(take(&mut hub, 2)));
    fill(&mut hub, 1, &[2], now);
    assert_eq!(hub.overdue(now + SLOW), []);
    assert_eq!(hub.deadline(), Some(now + 2 * SLOW));
    assert_eq!(hub.overdue(now + 2 * SLOW), [2]);
}

#[test]
fn many_who_hold_little_each_cannot_fill_the_hub_for_ever() {
    let (mut hub, now) = hub_with(1..=200);
    (1..=200).for_each(|id| drop(take_all(&mut hub, id)));
    let text = "x".repeat(30_000); // below what one alone may hold
    for target in 2..=200 {
        if hub.has_room() {
            send(&mut hub, 1, ToHub::Private { to: &guest(target), text: &text }, now);
        }
    }
    assert!(!hub.has_room());
    hub.overdue(now);
    let cut = hub.overdue(now + SLOW);
    assert!(cut.len() > 100 && !cut.contains(&1));
    cut.into_iter().for_each(|id| hub.leave(id, true, now));
    assert!(hub.has_room());
}

#[test]
fn a_child_that_has_died_holds_nothing_and_its_last_words_are_heard() {
    let (mut hub, now) = hub_with([1, 2]);
    while hub.welcomes(1) {
        send(&mut hub, 1, ToHub::Who, now);
    }
    while hub.take_news() {}
    hub.deaf(1);
    assert!(hub.take_news(), "the room that it frees must be given out, though no packet came");
    assert!(hub.welcomes(1) && hub.next(1).is_none());
    send(&mut hub, 1, ToHub::Who, now);
    send(&mut hub, 1, ToHub::Lines("마지막\n"), now);
    assert!(take_all(&mut hub, 2).ends_with("[손님1] 마지막\n"));
    assert_eq!((hub.log.len(), hub.private_bytes), (0, 0));
    hub.leave(1, false, now);
    assert_eq!(hub.private_bytes, 0);
}

#[test]
fn who_asks_without_reading_is_not_heard_and_fills_nothing() {
    let (mut hub, now) = hub_with([1, 2]);
    let mut asked = 0;
    while hub.welcomes(1) {
        send(&mut hub, 1, ToHub::Who, now);
        asked += 1;
        assert!(asked < 10_000);
    }
    assert!(hub.has_room() && hub.welcomes(2));
    send(&mut hub, 2, ToHub::Private { to: "손님1", text: "들려요?" }, now);
    assert!(take_all(&mut hub, 2).contains("! 손님1 님에게 전하지 못했습니다."));
}

#[test]
fn packets_that_no_child_of_ours_sends_are_offences() {
    let (mut hub, now) = hub_with([1, 2]);
    take_all(&mut hub, 2);
    let long = "\n".repeat(MAX_LINES_BYTES / PREFIX_MAX_BYTES + 1);
    let bad: [&[u8]; 9] = [
        b"",
        b"Z",
        b"J",
        b"Wx",
        b"Tno end",
        b"T\x1b[2J\n",
        b"T\xec\x95\n",
        b"P2 two\nlines",
        &[b"T", long.as_bytes()].concat(),
    ];
    for packet in bad {
        assert!(hub.receive(1, packet, now).is_err(), "{packet:?}");
    }
    assert!(hub.receive(9, &ToHub::Lines("not joined\n").encode(), now).is_err());
    assert_eq!(take_all(&mut hub, 2), "");
}

fn certified_hub_with(members: &[(Id, &str)]) -> (Hub, Instant) {
    let (mut hub, now) = (Hub::new(Rules { certified: true, ..RULES }), Instant::now());
    for (id, name) in members {
        send(&mut hub, *id, ToHub::Join(Some(name)), now);
    }
    (hub, now)
}

#[test]
fn a_certified_hub_wants_a_good_name_and_any_other_none() {
    let (mut hub, now) = certified_hub_with(&[(1, "철수")]);
    for packet in ["J", "J두 낱말", "J손님2", "J\x1b[2J", "J[철수]"] {
        assert!(hub.receive(2, packet.as_bytes(), now).is_err(), "{packet}");
    }
    assert!(hub.receive(1, "J철수".as_bytes(), now).is_err(), "joined twice");
    assert_eq!(hub.members().collect::<Vec<_>>(), [1]);
    let (mut open, now) = hub_with([1]);
    assert!(open.receive(2, "J철수".as_bytes(), now).is_err());
}

#[test]
fn a_certified_name_stays_and_is_free_for_its_owner_at_once() {
    let (mut hub, now) = certified_hub_with(&[(1, "철수"), (2, "영희")]);
    (1..=2).for_each(|id| drop(take_all(&mut hub, id)));
    send(&mut hub, 1, ToHub::Name("영희"), now);
    assert!(take_all(&mut hub, 1).starts_with("! 인증서에 적힌 이름"));
    hub.leave(1, false, now);
    send(&mut hub, 3, ToHub::Join(Some("철수")), now);
    assert_eq!(take_all(&mut hub, 2), "* 철수 님이 나갔습니다.\n* 철수 님이 들어왔습니다.\n");
}

#[test]
fn private_words_reach_every_connection_that_reads_and_the_sender_hears_of_the_rest() {
    let (mut hub, now) = certified_hub_with(&[(1, "철수"), (2, "철수"), (3, "영희")]);
    (1..=3).for_each(|id| drop(take_all(&mut hub, id)));
    let long = "x".repeat(OUTBOX_BYTES);
    send(&mut hub, 3, ToHub::Private { to: "철수", text: &long }, now);
    assert_eq!(take_all(&mut hub, 2), format!("[영희 → 철수] {long}\n"));
    assert_eq!(take_all(&mut hub, 3), "");
    send(&mut hub, 3, ToHub::Private { to: "철수", text: "들려?" }, now);
    assert_eq!(take_all(&mut hub, 2), "[영희 → 철수] 들려?\n");
    assert!(take_all(&mut hub, 3).starts_with("! 철수 님의 일부 연결에 전하지 못했습니다."));
}

#[test]
fn the_oldest_of_too_many_is_told_and_leaves_and_the_others_stay() {
    let (mut hub, now) = certified_hub_with(&[(1, "철수"), (2, "철수"), (3, "철수"), (4, "철수")]);
    (1..=4).for_each(|id| drop(take_all(&mut hub, id)));
    send(&mut hub, 5, ToHub::Join(Some("철수")), now);
    assert!(!hub.may_leave(1), "not before it has heard why");
    assert!(take_all(&mut hub, 1).contains("\n! 같은 인증서로는 4개까지"));
    assert!(hub.may_leave(1));
    hub.leave(1, false, now);
    assert!((2..=5).all(|id| !hub.may_leave(id) && take_all(&mut hub, id).contains("(남은 연결 4개)")));
    send(&mut hub, 2, ToHub::Who, now);
    assert_eq!(take_all(&mut hub, 2), "* 지금 1명: 철수\n");
}

#[test]
fn copies_for_every_connection_stay_within_the_bound() {
    let longest = "x".repeat(MAX_LINES_BYTES - PREFIX_MAX_BYTES);
    let line = "x".repeat(60_000) + "\n";
    let mut whispered = 0;
    for lines in 50..=70 {
        let (mut hub, now) = certified_hub_with(&[(1, "철수"), (2, "철수"), (3, "철수"), (4, "철수"), (5, "영희")]);
        (1..=5).for_each(|id| drop(take_all(&mut hub, id)));
        (0..lines).for_each(|_| send(&mut hub, 5, ToHub::Lines(&line), now));
        if hub.welcomes(5) {
            send(&mut hub, 5, ToHub::Private { to: "철수", text: &longest }, now);
            assert!(hub.private_bytes > 4 * longest.len() && hub.log.len() + hub.private_bytes <= LOG_BYTES, "{lines}");
            whispered += 1;
        }
    }
    assert!(whispered > 0 && whispered < 21, "from lots of room to none: {whispered}");
}

#[test]
fn where_keys_are_logged_every_newcomer_is_told() {
    let (mut hub, now) = (Hub::new(Rules { keys_logged: true, ..RULES }), Instant::now());
    for id in 1..=2 {
        send(&mut hub, id, ToHub::Join(None), now);
        let greeting = take_all(&mut hub, id);
        assert!(greeting.lines().nth(1).is_some_and(|line| line.starts_with("* 주의: ")), "{greeting}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Join,
    Say(usize, usize),
    Whisper(usize, usize),
    Take(usize),
    Leave(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let member = 0..8usize;
    prop_oneof![
        2 => Just(Act::Join),
        6 => (member.clone(), 0..70_000usize).prop_map(|(who, len)| Act::Say(who, len)),
        3 => (member.clone(), member.clone()).prop_map(|(from, to)| Act::Whisper(from, to)),
        6 => member.clone().prop_map(Act::Take),
        1 => member.prop_map(Act::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever members do and however slowly they read: each gets every line said while it was
    /// there, public ones and its private ones, in the one order in which they were said.
    #[test]
    fn one_order_and_no_gap(acts in prop::collection::vec(act(), 1..120)) {
        let (mut hub, now) = hub_with([]);
        let mut expected: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        let mut got: BTreeMap<Id, String> = BTreeMap::new();
        let mut next_id = 1;
        for (mark, act) in acts.into_iter().enumerate() {
            let ids: Vec<Id> = expected.keys().copied().collect();
            let pick = |n: usize| (!ids.is_empty()).then(|| ids[n % ids.len()]);
            match act {
                Act::Join => {
                    send(&mut hub, next_id, ToHub::Join(None), now);
                    expected.insert(next_id, Vec::new());
                    got.insert(next_id, String::new());
                    next_id += 1;
                }
                Act::Say(who, len) => if let Some(id) = pick(who).filter(|id| hub.welcomes(*id)) {
                    send(&mut hub, id, ToHub::Lines(&format!("{mark} {}\n", "가".repeat(len / 3))), now);
                    expected.values_mut().for_each(|lines| lines.push(mark.to_string()));
                },
                Act::Whisper(from, to) => if let (Some(from), Some(to)) = (pick(from), pick(to)) {
                    send(&mut hub, from, ToHub::Private { to: &guest(to), text: &mark.to_string() }, now);
                    expected.entry(to).or_default().push(mark.to_string());
                },
                Act::Take(who) => if let Some(id) = pick(who) {
                    let text = take(&mut hub, id).unwrap_or_default();
                    got.entry(id).or_default().push_str(&text);
                },
                Act::Leave(who) => if let Some(id) = pick(who) {
                    hub.leave(id, false, now);
                    expected.remove(&id);
                },
            }
        }
        for (id, expected) in expected {
            let all = got.remove(&id).unwrap_or_default() + &take_all(&mut hub, id);
            let marks: Vec<&str> = all.lines().filter(|line| line.starts_with('[')).map(|line| {
                line.split(' ').find(|word| word.bytes().all(|b| b.is_ascii_digit())).unwrap_or("?")
            }).collect();
            prop_assert_eq!(marks, expected);
        }
        hub.release();
        prop_assert_eq!(hub.log.len(), 0);
        prop_assert_eq!(hub.private_bytes, 0);
    }

    /// A child that is not ours any more may send anything: the hub refuses or obeys, nobody else notices.
    #[test]
    fn any_packet_leaves_the_others_in_order(packets: Vec<Vec<u8>>) {
        let (mut hub, now) = hub_with([1, 2]);
        take_all(&mut hub, 2);
        for packet in &packets {
            let _ = hub.receive(1, packet, now);
        }
        for line in take_all(&mut hub, 2).lines() {
            prop_assert!(line.starts_with("[손님1") || line.starts_with("* "), "{line:?}");
        }
        send(&mut hub, 2, ToHub::Lines("still here\n"), now);
        prop_assert!(take_all(&mut hub, 1).ends_with("still here\n"));
    }
}
