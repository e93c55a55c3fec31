//! Stage 3, clients that are none: they refuse, speak another language, or stop in the middle.

use super::case::{After, Case, Failure, Outcome};
use super::echoed::is_served;
use super::exam::Exam;
use super::hello::{Answer, TLS_1_0, TLS_1_1, TLS_1_2, answer, client_hello};
use super::peer::{Peer, what_came};
use super::pump::pump;
use super::room::{Room, holds};
use super::secure::TLS;
use super::shown;

/// What a server may not survive: these come behind the cases of stage 1 or 2.
pub const CASES: &[Case] = &[
    Case {
        name: "tls-plain-text",
        title: "평문을 보내는 접속에는 답하지도 전하지도 않고 계속합니다",
        chapter: TLS,
        run: plain_text,
    },
    Case {
        name: "tls-wrong-ca",
        title: "이 CA를 믿지 않는 클라이언트가 거절하고 나가도 계속합니다",
        chapter: TLS,
        run: wrong_ca,
    },
    Case {
        name: "tls-old-versions",
        title: "TLS 1.0과 1.1은 거절하고 1.2 이상으로는 계속합니다",
        chapter: TLS,
        run: old_versions,
    },
    Case {
        name: "tls-stalled-handshake",
        title: "핸드셰이크를 시작하지 않거나 도중에 멈춘 접속이 있어도 다른 클라이언트를 받습니다",
        chapter: TLS,
        run: stalled_handshake,
    },
    Case {
        name: "tls-stalled-record",
        title: "TLS 레코드의 일부만 보내고 멈춘 클라이언트가 있어도 다른 클라이언트에게 답합니다",
        chapter: TLS,
        run: stalled_record,
    },
];

/// In so many of the last bytes that came a line of ours is found.
const RECENT_BYTES: usize = 4096;
/// The first byte of a record of data (RFC 8446 §5.1).
const APPLICATION_DATA: u8 = 23;

fn wrong_ca(exam: &Exam) -> Outcome {
    let Some(keys) = &exam.keys else { return Ok(()) };
    match exam.enter(&keys.nobody, exam.until()) {
        Err(refusal) if refusal.distrust().is_some() => is_alive(exam).after("인증서를 거절한 클라이언트가 나간 뒤에"),
        Err(refusal) => Err(refusal.failure()),
        Ok(_) => Err(Failure::new(
            "TLS 핸드셰이크 (믿는 CA가 없는 클라이언트)",
            "클라이언트가 인증서를 거절합니다",
            "인증서를 확인하지 않은 채로 핸드셰이크가 끝났습니다",
        )),
    }
}

fn old_versions(exam: &Exam) -> Outcome {
    exam.connect("철수")?; // where nothing is spoken but plain text, nothing is refused
    for (version, name) in [(TLS_1_0, "TLS 1.0"), (TLS_1_1, "TLS 1.1")] {
        let mut peer = exam.connect_plain("철수")?;
        peer.say(client_hello(version, &exam.host));
        exam.pump(std::slice::from_mut(&mut peer), |peers| {
            peers[0].end.is_some() || answer(&peers[0].heard) != Answer::Unknown
        });
        let came = match answer(&peer.heard) {
            Answer::Alert => continue,
            Answer::Unknown if peer.heard.is_empty() && peer.end.is_some() => continue,
            Answer::Hello(_) => format!("ServerHello: 서버가 {name} 연결을 받아들였습니다"),
            Answer::Unknown | Answer::Other => what_came(&peer, exam.waited()),
        };
        let sent = format!("{name}까지만 아는 클라이언트의 ClientHello");
        return Err(Failure::new(sent, "alert(protocol_version)로 답하거나 연결을 끊습니다", came));
    }
    is_alive(exam).after("TLS 1.0과 1.1을 거절한 뒤에")
}

/// What a server tells such a client in plain words is its own affair; but it must not take the words for a message.
fn plain_text(exam: &Exam) -> Outcome {
    let token = exam.token();
    let line = format!("{token} plain\n");
    let mut both = [exam.connect("영희")?, exam.connect_plain("철수")?];
    both[1].say(&line);
    let came = |both: &[Peer]| both.iter().any(|peer| holds(&peer.heard, &token));
    pump(&mut both, exam.half_the_rest(), |both| {
        let done = both[1].end.is_some() || came(both);
        both.iter_mut().for_each(|peer| peer.forget_all_but(if done { usize::MAX } else { RECENT_BYTES }));
        done
    });
    if !came(&both) {
        exam.a_moment(&mut both);
    }
    let sent = format!("TLS 없이 접속한 철수: {}", shown::bytes(line.as_bytes()));
    let [inside, outside] = &both;
    if holds(&outside.heard, &token) {
        let came = format!("철수에게 평문으로 왔습니다: {}", line_with(&token, &outside.heard));
        return Err(Failure::new(sent, "이 글이 철수에게 돌아오지 않습니다", came));
    }
    if holds(&inside.heard, &token) {
        let came = format!("영희에게 왔습니다: {}", line_with(&token, &inside.heard));
        return Err(Failure::new(sent, "이 글이 TLS로 접속한 영희에게 전해지지 않습니다", came));
    }
    is_alive(exam).after("TLS 없이 접속한 클라이언트가 평문을 보낸 뒤에")
}

/// The line in which `token` stands.
fn line_with(token: &str, heard: &[u8]) -> String {
    let mut lines = heard.split(|byte| *byte == b'\n');
    shown::bytes(lines.find(|line| holds(line, token)).unwrap_or(heard))
}

fn stalled_handshake(exam: &Exam) -> Outcome {
    let silent = exam.connect_plain("철수")?;
    let mut half = exam.connect_plain("영희")?;
    let hello = client_hello(TLS_1_2, &exam.host);
    half.say(&hello[..hello.len() / 2]);
    exam.push(std::slice::from_mut(&mut half));
    let outcome = is_alive(exam);
    drop((silent, half));
    outcome.after("철수는 접속만 하고 영희는 ClientHello를 절반만 보낸 채로 멈춰 있을 때")
}

/// The socket is readable, and SSL_read() has nothing to return: it waits for the rest, unless the socket is non-blocking.
fn stalled_record(exam: &Exam) -> Outcome {
    let stalled = exam.connect("철수")?;
    stalled.say_raw(&[APPLICATION_DATA, 3, 3, 0, 64, 0]);
    let outcome = is_alive(exam);
    stalled.close();
    outcome.after("철수가 TLS 레코드를 6바이트만 보내고 멈춰 있을 때")
}

/// The server does what its stage is about, for clients that come now.
fn is_alive(exam: &Exam) -> Outcome {
    match exam.stage {
        1 => is_served(exam, &mut exam.connect("민수")?),
        _ => Room::open(exam, &["민수", "수진"])?.relays_a_line(0),
    }
}
