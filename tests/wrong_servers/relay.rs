//! One probe for each mistake of a relay.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use crate::caller::{Caller, Patience, plain};
use crate::echo::reset;
use crate::wrong::Relay;

/// More than the buffers of a receiver that does not read, and of the server, hold on loopback.
const FLOOD_BYTES: usize = 8 << 20;

pub fn talks(addr: SocketAddr) -> bool {
    let [mut one, mut two] = [(); 2].map(|()| admitted(plain(addr)));
    meet(&mut one, &mut two)
}

/// Waits until this client is in the relay: then it hears its greeting or, in a bare relay, itself.
pub fn admitted<S: Read + Write>(mut caller: Caller<S>) -> Caller<S> {
    caller.say("저 왔습니다.\n");
    assert!(caller.line().is_some());
    caller
}

/// Both hear each other.
pub fn meet<S: Read + Write>(one: &mut Caller<S>, two: &mut Caller<S>) -> bool {
    one.say("안녕하세요. 🙂\n");
    let two_heard = two.line_with("안녕하세요. 🙂").is_some();
    two.say("반갑습니다.\n");
    two_heard && one.line_with("반갑습니다.").is_some()
}

/// Two senders at once, and the third one hears all lines of each in their order.
pub fn keeps_order(addr: SocketAddr, lines: usize) -> bool {
    let [mut one, mut two, mut three] = [(); 3].map(|()| admitted(plain(addr)));
    std::thread::scope(|scope| {
        // Neither is closed before all was heard: they have not read what they hear, and close() would send RST.
        for (sender, name) in [(&mut one, "철수"), (&mut two, "영희")] {
            scope.spawn(move || (0..lines).for_each(|n| sender.say(format!("{name} {n}\n"))));
        }
        let (mut from_one, mut from_two) = (0, 0);
        while let Some(line) = three.line() {
            let next = |name: &str, n: &mut usize| *n += usize::from(line.ends_with(&format!("{name} {n}")));
            next("철수", &mut from_one);
            next("영희", &mut from_two);
            if from_one == lines && from_two == lines {
                return true;
            }
        }
        false
    })
}

pub fn shows(mistake: Relay, addr: SocketAddr, patience: Patience) -> bool {
    let [mut one, mut two, mut three] = [(); 3].map(|()| admitted(plain(addr)));
    match mistake {
        Relay::Correct | Relay::Bare => false,
        Relay::EchoesToSelfOnly => {
            one.say("하나\n");
            two.within(patience.silence).line_with("하나").is_none() && one.line_with("하나").is_some()
        }
        Relay::ReachesOneOnly => {
            one.say("하나\n");
            two.line_with("하나").is_some() && three.within(patience.silence).line_with("하나").is_none()
        }
        Relay::SplitsByRecv => splits(one, two, patience),
        Relay::BreaksHangul => {
            let line = "한글".repeat(400);
            line.bytes().chain([b'\n']).for_each(|byte| one.say([byte]));
            two.line_with("한글").is_some_and(|heard| !heard.ends_with(&line) && heard.contains('\u{fffd}'))
        }
        Relay::CutsLongLines => {
            let line = "x".repeat(3000);
            one.say(line.clone() + "\n");
            two.line_with("xxx").is_some_and(|heard| !heard.ends_with(&line))
        }
        Relay::SwapsLines => {
            one.say("줄 1\n줄 2\n줄 3\n줄 4\n");
            let mut heard: Vec<String> = (0..4).filter_map(|_| two.line_with("줄 ")).collect();
            let whole = heard.len() == 4;
            let in_order = heard.is_sorted();
            heard.sort();
            whole && !in_order && (1..=4).all(|n| heard[n - 1].ends_with(&format!("줄 {n}")))
        }
        Relay::StallsForOne => stalls(one.within(patience.silence), two.within(patience.silence)),
        Relay::EndsWhenOneLeaves => {
            drop(one);
            two.closes_within(patience.watch) && three.closes_within(patience.watch)
        }
        Relay::DiesOnReset => {
            reset(one);
            two.closes_within(patience.watch) && three.closes_within(patience.watch)
        }
        Relay::ClosesTheNeighbour => {
            drop(two);
            three.closes_within(patience.watch) && !one.closes_within(patience.silence)
        }
        Relay::SwallowsSecondLine => {
            one.say("줄 1\n줄 2\n");
            two.line_with("줄 1").is_some() && two.within(patience.silence).line_with("줄 2").is_none()
        }
        // The first piece has come when a whole line from the same client, before it, has; and nothing of the others is
        // still to come that could take it.
        Relay::SharesItsBuffer => {
            assert!(meet(&mut one, &mut two) && meet(&mut two, &mut three));
            one.say("처음\n앞과 ");
            three.line_with("처음").is_some() && {
                two.say("둘\n");
                three.line_with("둘").is_some_and(|line| line.contains("앞과 둘"))
            }
        }
        Relay::EndsAtEmptyLine => {
            one.say("\n");
            one.closes_within(patience.watch)
        }
        Relay::SilentBlocks => {
            let _silent = plain(addr);
            let mut late = plain(addr).within(patience.silence);
            late.say("늦게\n");
            two.within(patience.silence).line_with("늦게").is_none()
        }
        Relay::DiesOfBadText => {
            one.say(b"\xff\n");
            two.closes_within(patience.watch) && three.closes_within(patience.watch)
        }
        Relay::ForgetsNewlines => {
            one.say("하나\n");
            two.hears("하나") && two.within(patience.silence).line_with("하나").is_none()
        }
        Relay::OverwritesTheLast => {
            // The server ends the connection when it has taken the one who goes off its list, and not before.
            one.stream.shutdown(Shutdown::Write).unwrap();
            assert!(one.is_told_the_end());
            let late = admitted(plain(addr));
            two.say("하나\n");
            let heard = three.within(patience.silence).line_with("하나").is_some();
            drop(late);
            !heard
        }
    }
}

/// The second piece is not sent before the first one was relayed, or could have been.
fn splits(mut one: Caller, mut two: Caller, patience: Patience) -> bool {
    one.say("앞과 ");
    two = two.within(patience.watch);
    let came_alone = two.hears("앞과 ");
    one.say("뒤\n");
    came_alone && two.line_with("뒤").is_some_and(|line| !line.contains("앞과 뒤"))
}

/// The third client does not read: while the first one floods, does the second one hear all?
fn stalls(one: Caller, mut two: Caller) -> bool {
    let flood = ("x".repeat(4095) + "\n").repeat(FLOOD_BYTES / 4096) + "끝\n";
    let mut writer = Caller::over(one.stream.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || writer.say(&flood));
        two.line_with("끝").is_none()
    })
}
