//! Children that are not ours any more: whatever they send, and in whatever order, the others do not notice.

use super::super::packet::{RELAY_MAX_BYTES, frames};
use super::*;
use proptest::prelude::*;

const SLOW: Duration = Duration::from_secs(2);
/// Honest members, who read; the first one is called so.
const HONEST: [Id; 2] = [1, 2];
const NAME: &str = "철수";
/// Connections whose children are not to be trusted.
const HOSTILE: std::ops::Range<Id> = 3..7;
/// What a join, a leave or a new name adds beyond what the hub has kept room for.
const NOTICE_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Act {
    /// An honest member says this number.
    Say(Id),
    Packet(Id, Vec<u8>),
    /// A hostile child takes a packet, as ours do.
    Take(Id),
    /// Its relay end breaks: the hub learns that it takes nothing more, or nothing more comes.
    Deaf(Id),
    Leave(Id),
    Wait,
}

/// Words that mean something to the hub, or to whoever reads along.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "(철수|손님1|손님[1-7]|영희| |\\n|\\[철수\\] |\\* |! | → |\\x1b\\[2J|\\r|\\t)".prop_map(String::into_bytes),
        3 => "\\PC{0,20}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
        1 => (any::<u8>(), 0..RELAY_MAX_BYTES).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![8 => "[JTNWPLG]".prop_map(String::into_bytes), 1 => any::<Vec<u8>>()];
    let words = prop::collection::vec(word(), 0..6).prop_map(|words| words.concat());
    (kind, words, any::<bool>()).prop_map(|(kind, words, ended)| {
        let mut packet = [kind, words, if ended { b"\n".to_vec() } else { Vec::new() }].concat();
        packet.truncate(RELAY_MAX_BYTES); // what is longer the parent does not hand on
        packet
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..3_u32).prop_map(Act::Say),
        10 => (HOSTILE, packet()).prop_map(|(id, packet)| Act::Packet(id, packet)),
        3 => HOSTILE.prop_map(|id| Act::Packet(id, b"J".to_vec())),
        3 => HOSTILE.prop_map(Act::Take),
        1 => HOSTILE.prop_map(Act::Deaf),
        1 => HOSTILE.prop_map(Act::Leave),
        1 => Just(Act::Wait),
    ]
}

/// Takes one packet for a member; its frames are whole, and hold lines that nothing is wrong with.
fn take(hub: &mut Hub, id: Id) -> Option<String> {
    let packet = hub.next(id)?.to_vec();
    assert!(!packet.is_empty() && packet.len() <= RELAY_MAX_BYTES);
    assert_eq!(frames(&packet).map(|frame| frame.encoded_len()).sum::<usize>(), packet.len());
    assert!(frames(&packet).all(|frame| are_clean_lines(frame.text)));
    hub.delivered(id, packet.len());
    hub.release();
    // A child drops what its own client has said.
    let others = frames(&packet).filter(|frame| frame.origin != id);
    Some(others.map(|frame| std::str::from_utf8(frame.text).unwrap()).collect())
}

/// What the parent does with whoever has broken the rules, or is too slow.
fn part(hub: &mut Hub, gone: &mut Vec<Id>, id: Id, slow: bool, now: Instant) {
    hub.leave(id, slow, now);
    gone.push(id);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hostile_children_hurt_only_themselves(acts in prop::collection::vec(act(), 1..150)) {
        let mut now = Instant::now();
        let mut hub = Hub::new(Rules { slow_timeout: SLOW, certified: false, keys_logged: false });
        for id in HONEST {
            hub.receive(id, &ToHub::Join(None).encode(), now).unwrap();
        }
        hub.receive(1, &ToHub::Name(NAME).encode(), now).unwrap();
        let (mut heard, mut said, mut gone) = (HONEST.map(|_| String::new()), HONEST.map(|_| Vec::new()), Vec::new());
        for (number, act) in acts.iter().enumerate() {
            match act {
                Act::Say(id) if hub.welcomes(*id) => {
                    hub.receive(*id, &ToHub::Lines(&format!("{number}\n")).encode(), now).unwrap();
                    said[*id as usize - 1].push(number.to_string());
                }
                // The parent reads nothing for which the hub has no room, and nothing of who has gone.
                Act::Packet(id, packet) if hub.welcomes(*id) && !gone.contains(id) => {
                    let offence = hub.receive(*id, packet, now).is_err();
                    offence.then(|| part(&mut hub, &mut gone, *id, false, now));
                }
                Act::Take(id) => drop(take(&mut hub, *id)),
                Act::Deaf(id) => hub.deaf(*id),
                Act::Leave(id) if !gone.contains(id) => part(&mut hub, &mut gone, *id, false, now),
                Act::Wait => now += SLOW,
                _ => {}
            }
            for (id, heard) in HONEST.into_iter().zip(&mut heard) {
                while let Some(text) = take(&mut hub, id) {
                    heard.push_str(&text);
                }
            }
            for id in hub.overdue(now) {
                prop_assert!(!HONEST.contains(&id), "who reads is not cut off");
                part(&mut hub, &mut gone, id, true, now);
            }
            hub.release();
            prop_assert!(hub.log.len() + hub.private_bytes <= LOG_BYTES + NOTICE_BYTES * (number + 1));
        }
        for (id, heard) in HONEST.into_iter().zip(&heard) {
            let (other, name) = if id == 1 { (2, "손님2".to_string()) } else { (1, NAME.to_string()) };
            let start = format!("[{name}] ");
            let lines: Vec<&str> = heard.lines().filter_map(|line| line.strip_prefix(&start)).collect();
            prop_assert_eq!(&lines, &said[other as usize - 1], "all that the other has said, and nothing in his name");
            let known = |line: &str| ["[", "* ", "! "].iter().any(|start| line.starts_with(start));
            prop_assert!(heard.lines().all(known));
            prop_assert!(!heard.lines().any(|line| line.starts_with(&format!("[{name} → "))), "nor to one alone");
        }
        prop_assert!(HONEST.iter().all(|id| hub.members.contains_key(id)));
    }
}
