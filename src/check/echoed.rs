//! What has been sent comes back, byte for byte, and nothing else does.

use super::case::{Failure, Outcome};
use super::exam::Exam;
use super::peer::{Peer, what_came};
use super::shown;

/// `peer` sends this and gets it back.
pub fn echo(exam: &Exam, peer: &mut Peer, data: &[u8]) -> Outcome {
    peer.say(data);
    hear_back(exam, peer, data)
}

/// A line of its own, there and back: the server is alive, and serves this client.
pub fn is_served(exam: &Exam, peer: &mut Peer) -> Outcome {
    let line = format!("{} {}\n", peer.who, exam.token());
    echo(exam, peer, line.as_bytes())
}

/// What `peer` has sent comes back.
pub fn hear_back(exam: &Exam, peer: &mut Peer, sent: &[u8]) -> Outcome {
    all_hear_back(exam, std::slice::from_mut(peer), &[sent])
}

/// What each of them has sent comes back to it.
pub fn all_hear_back(exam: &Exam, peers: &mut [Peer], sent: &[&[u8]]) -> Outcome {
    exam.pump(peers, |peers| {
        let wrong = |(peer, sent): (&Peer, &&[u8])| !sent.starts_with(&peer.heard);
        let whole = |(peer, sent): (&Peer, &&[u8])| peer.heard.len() >= sent.len() || peer.end.is_some();
        peers.iter().zip(sent).any(wrong) || peers.iter().zip(sent).all(whole)
    });
    let mut failed = Vec::new();
    for (peer, sent) in peers.iter_mut().zip(sent) {
        let was_waiting = sent.starts_with(&peer.heard);
        failed.extend(judge(exam, peer, sent).err().map(|failure| (was_waiting, failure)));
        peer.heard.clear();
    }
    // Whoever got something wrong tells more than who was still waiting then.
    failed.into_iter().min_by_key(|(was_waiting, _)| *was_waiting).map_or(Ok(()), |(_, failure)| Err(failure))
}

/// Now that `peer` has got back what it has sent, that was all.
pub fn hear_nothing_more(exam: &Exam, peer: &mut Peer, sent: &[u8]) -> Outcome {
    exam.a_moment(std::slice::from_mut(peer));
    if peer.heard.is_empty() && peer.end.is_none() {
        return Ok(());
    }
    let more = match peer.fate() {
        Some(fate) if peer.heard.is_empty() => fate,
        _ => format!("모두 돌아온 뒤에 더 왔습니다: {}", shown::bytes(&peer.heard)),
    };
    let said = format!("{}: {}", peer.who, shown::bytes(sent));
    Err(Failure::new(said, "같은 바이트가 돌아오고, 더 오는 것은 없습니다", more))
}

fn judge(exam: &Exam, peer: &Peer, sent: &[u8]) -> Outcome {
    if peer.heard == sent {
        return Ok(());
    }
    let (who, heard) = (peer.who, peer.heard.len());
    let said = match sent.len() {
        ..=DATA_BYTES => shown::bytes(sent),
        long => shown::size(long), // bytes of all values: nobody wants to read them
    };
    let said = format!("{who}: {said}");
    let same = sent.iter().zip(&peer.heard).take_while(|(sent, heard)| sent == heard).count();
    let came = if same == sent.len() {
        format!("보낸 것이 모두 돌아온 뒤에 더 왔습니다: {}", shown::bytes(&peer.heard[same..]))
    } else if same < heard {
        differs(sent, &peer.heard, same)
    } else if sent.len() > DATA_BYTES && heard > 0 {
        let why = peer.why_no_more(exam.waited());
        format!("{} 가운데 {}만 온 뒤에 {why}", shown::size(sent.len()), shown::size(heard))
    } else {
        what_came(peer, exam.waited())
    };
    Err(Failure::new(said, format!("{who}에게 같은 바이트가 돌아옵니다"), came))
}

/// What is longer is no text.
const DATA_BYTES: usize = 1024;
/// Where it differs: by characters in a text, and there not from the middle of one.
fn differs(sent: &[u8], heard: &[u8], same: usize) -> String {
    let text = std::str::from_utf8(sent).ok().filter(|text| text.len() <= DATA_BYTES);
    let (at, place) = match text {
        Some(text) => {
            let at = (0..=same).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            (at, format!("{}번째 글자", text[..at].chars().count() + 1))
        }
        None => (same, format!("{}번째 바이트", shown::number(same + 1))),
    };
    let (came, wanted) = (shown::first(&heard[at..]), shown::first(&sent[at..]));
    format!("{place}부터 다릅니다: {came} (보낸 것은 {wanted})")
}

/// The server says its end.
pub fn hear_end(exam: &Exam, peer: &mut Peer, sent: &str) -> Outcome {
    exam.pump(std::slice::from_mut(peer), |peers| peers[0].end.is_some() || !peers[0].heard.is_empty());
    match (&peer.end, peer.heard.is_empty()) {
        (Some(super::peer::End::Clean | super::peer::End::Truncated), true) => Ok(()),
        _ => Err(Failure::new(sent, "서버도 연결을 끝냅니다 (EOF)", what_came(peer, exam.waited()))),
    }
}
