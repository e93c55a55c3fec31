//! One probe for each mistake of an echo server.

use std::net::SocketAddr;

use crate::caller::{Caller, Patience, plain};
use crate::support::{Peer, noise};
use crate::wrong::Echo;

pub fn talks(addr: SocketAddr) -> bool {
    plain(addr).gets_back("안녕하세요. 🙂\n".as_bytes())
}

pub fn shows(mistake: Echo, addr: SocketAddr, patience: Patience) -> bool {
    let comes_back = |data: &[u8]| plain(addr).gets_back(data);
    let is_not_right = |data: &[u8]| !plain(addr).within(patience.silence).gets_back(data);
    let transferred = |data: &[u8]| plain(addr).transfer(data);
    match mistake {
        Echo::Correct => false,
        Echo::DropsAByte => {
            let data = noise(3_000_000);
            transferred(&data).is_some_and(|back| back.len() == data.len() - 2 && back[..1000] == data[..1000])
        }
        Echo::StopsAtZero => is_not_right(b"a\0b\n"),
        Echo::WaitsForNewline => is_not_right(b"a\nb") && transferred(b"a\nb").is_some_and(|back| back == b"a\nb"),
        Echo::OnlyWholeLines => transferred(b"a\nb").is_some_and(|back| back == b"a\n"),
        Echo::OneAtATime => {
            let mut first = plain(addr);
            assert!(first.gets_back(b"first\n"));
            is_not_right(b"second\n")
        }
        Echo::SilentBlocks => {
            let silent = plain(addr);
            let second_waits = is_not_right(b"second\n");
            drop(silent);
            second_waits && comes_back(b"third\n")
        }
        // The end must come right behind the data, which is not for us to say: so it gets some chances.
        Echo::HalfCloseLosesTail => (0..5).any(|_| transferred(b"a\nb").is_some_and(|back| back.is_empty())),
        Echo::NeverCloses => plain(addr).within(patience.silence).transfer(b"a\n").is_none(),
        Echo::UpperCases => is_not_right(b"abc\n"),
        Echo::StripsCr => is_not_right(b"a\r\n"),
        Echo::DiesOnReset => {
            let (mut neighbour, mut resetting) = (plain(addr), plain(addr));
            assert!(neighbour.gets_back(b"a\n") && resetting.gets_back(b"b\n"));
            reset(resetting);
            neighbour.closes_within(patience.watch)
        }
        Echo::Greets => is_not_right(b"a\n"),
        Echo::IgnoresShortSends => {
            let data = noise(3_000_000);
            transferred(&data).is_some_and(|back| back.len() < data.len())
        }
        Echo::ServesTwenty => (0..30).filter(|_| comes_back(b"a\n")).count() == 20,
        Echo::OnceForEachHost => comes_back(b"a\n") && !comes_back(b"a\n"),
    }
}

pub fn reset(caller: Caller) {
    Peer::new(caller.stream).reset();
}
