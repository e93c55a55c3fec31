//! Stage 3: what TLS adds. The cases of stage 1 or 2 run over it.

use std::time::Duration;

use openssl::x509::{X509, X509VerifyResult};

use super::case::{After, Case, Failure, Outcome};
use super::echoed::is_served;
use super::exam::Exam;
use super::hello::{Answer, TLS_1_0, TLS_1_1, TLS_1_2, answer, client_hello};
use super::peer::{End, pump, what_came};
use super::room::{Room, holds};
use super::shown;
use crate::text::escaped;
use crate::tls::{client_context, context_trusting};

const TLS: &str = "notes/12-tls.md";

pub const CASES: &[Case] = &[
    Case {
        name: "tls-handshake", title: "TLS 1.2 이상으로 핸드셰이크를 합니다", chapter: TLS, run: handshake
    },
    Case {
        name: "tls-ca", title: "서버의 인증서를 지정한 CA로 확인할 수 있습니다", chapter: TLS, run: ca
    },
    Case {
        name: "tls-name",
        title: "서버의 인증서에 접속한 호스트의 이름이나 주소가 있습니다",
        chapter: TLS,
        run: name,
    },
    Case {
        name: "tls-close-notify",
        title: "close_notify를 받고 연결을 끝낼 때는 서버도 close_notify를 보냅니다",
        chapter: TLS,
        run: close_notify,
    },
];

/// What a server may not survive: these come behind the cases of stage 1 or 2.
pub const ROUGH_CASES: &[Case] = &[
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
];

fn handshake(exam: &Exam) -> Outcome {
    let Some(keys) = &exam.keys else { return Ok(()) };
    let Err(refusal) = exam.enter(&keys.anyone, exam.half_the_rest()) else { return Ok(()) };
    let failure = refusal.failure();
    if exam.has_answered() && speaks_plain(exam) {
        exam.speaks_plain.set(true);
        let came = "TLS가 아닌 평문 서버입니다. 평문으로 보낸 줄에 평문으로 답했습니다";
        return Err(Failure { came: came.into(), ..failure });
    }
    Err(failure)
}

/// A line in plain text comes back, or comes to another client: what goes on here goes on without TLS.
fn speaks_plain(exam: &Exam) -> bool {
    let [Ok(one), Ok(other)] = ["철수", "영희"].map(|who| exam.connect_plain(who)) else { return false };
    let (mut both, token) = ([one, other], exam.token());
    for _ in 0..2 {
        both[0].say(format!("{token}\n")); // once more: the other one may not have been there yet
        exam.a_moment(&mut both);
    }
    both.iter().any(|peer| holds(&peer.heard, &token))
}

/// Who examines without --tls what speaks TLS is told so: most servers only hang up on plain text.
pub fn speaks_tls(exam: &Exam) -> bool {
    const LONG_ENOUGH: Duration = Duration::from_secs(1);
    let context = client_context(None, None, true, None);
    exam.keys.is_none() && context.is_ok_and(|context| exam.enter(&context, exam.grant(LONG_ENOUGH)).is_ok())
}

fn ca(exam: &Exam) -> Outcome {
    let Some(keys) = &exam.keys else { return Ok(()) };
    match exam.enter(&keys.ca, exam.until()) {
        Err(refusal) if refusal.distrust().is_none_or(|why| !is_about_the_name(why)) => Err(Failure {
            expected: "이 CA가 발급한 유효한 인증서를 보입니다".into(),
            ..refusal.failure()
        }),
        _ => Ok(()),
    }
}

/// X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
fn is_about_the_name(why: X509VerifyResult) -> bool {
    matches!(why.as_raw(), 62 | 64)
}

/// The certificate itself is trusted for once, so that nothing but the name can be wrong with it.
fn name(exam: &Exam) -> Outcome {
    let Some(keys) = &exam.keys else { return Ok(()) };
    let (_, shown) = exam.enter(&keys.anyone, exam.until()).map_err(|refusal| refusal.failure())?;
    let expected = format!("인증서의 subjectAltName에 접속한 호스트가 있습니다: {}", escaped(&exam.host));
    let fail = |came: String| Failure::new("TLS 핸드셰이크 (ClientHello)", expected.clone(), came);
    let shown = shown.ok_or_else(|| fail("인증서를 보이지 않았습니다".into()))?;
    let only_this = context_trusting(vec![shown.clone()]).map_err(|error| fail(escaped(&error.to_string())))?;
    match exam.enter(&only_this, exam.until()) {
        Err(refusal) if refusal.distrust().is_some_and(is_about_the_name) => {
            Err(fail(format!("인증서에 있는 이름: {}", names_in(&shown))))
        }
        Err(refusal) if refusal.distrust().is_none() => Err(refusal.failure()),
        _ => Ok(()),
    }
}

fn names_in(certificate: &X509) -> String {
    let of = |name: &openssl::x509::GeneralNameRef| {
        let ip = name.ipaddress().map(|ip| match *ip {
            [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
            _ => <[u8; 16]>::try_from(ip).map_or_else(|_| "?".into(), |ip| std::net::Ipv6Addr::from(ip).to_string()),
        });
        name.dnsname().map(String::from).or(ip)
    };
    let names = certificate.subject_alt_names();
    let names: Vec<String> = names.iter().flatten().filter_map(of).take(8).collect();
    if names.is_empty() { "없음".into() } else { crate::text::excerpt(names.join(", ").as_bytes()) }
}

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
    pump(&mut both, exam.half_the_rest(), |both| {
        both[1].end.is_some() || both.iter().any(|peer| holds(&peer.heard, &token))
    });
    exam.a_moment(&mut both);
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

/// Only close_notify tells an end from a cut (RFC 8446 §6.1): whoever gets one and ends says so with its own. A relay
/// may go on for a while for who only listens: as long as there is no end, there is no wrong one.
fn close_notify(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    if exam.stage == 1 {
        is_served(exam, &mut peer)?;
    }
    peer.say_all();
    pump(std::slice::from_mut(&mut peer), exam.half_the_rest(), |peers| {
        peers[0].heard.clear();
        peers[0].end.is_some()
    });
    match peer.end {
        Some(End::Clean) => Ok(()),
        None if exam.stage > 1 => Ok(()),
        _ => Err(Failure::new(
            "철수: close_notify, FIN",
            "서버도 close_notify를 보내고 연결을 끝냅니다",
            what_came(&peer, exam.waited()),
        )),
    }
}

/// The server does what its stage is about, for clients that come now.
fn is_alive(exam: &Exam) -> Outcome {
    match exam.stage {
        1 => is_served(exam, &mut exam.connect("민수")?),
        _ => Room::open(exam, &["민수", "수진"])?.relays_a_line(0),
    }
}
