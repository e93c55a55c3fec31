//! Stage 3: what TLS adds. The cases of stage 1 or 2 run over it.

use std::time::Duration;

use openssl::x509::{X509, X509VerifyResult};

use super::case::{Case, Failure, Outcome};
use super::echoed::is_served;
use super::exam::Exam;
use super::peer::{End, what_came};
use super::pump::pump;
use super::room::holds;
use crate::text::escaped;
use crate::tls::{client_context, context_trusting};

pub const TLS: &str = "notes/12-tls.md";

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
            "서버도 close_notify를 보내고(SSL_shutdown, 파이썬에서는 unwrap) 연결을 끝냅니다",
            what_came(&peer, exam.waited()),
        )),
    }
}
