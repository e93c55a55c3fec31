//! What a client is told when a handshake came to nothing: OpenSSL's words, and what to try in Korean.
//!
//! Under TLS 1.3 the client's handshake is over before the server has judged its certificate: the
//! refusal comes as an alert at the first read, and is explained there with the same words.

use nix::errno::Errno;
use openssl::ssl::SslRef;

use super::trouble::Trouble;
use crate::error::Hint;

/// What OpenSSL says when the other side speaks plain text, or echoes our own ClientHello.
const NO_TLS: [&str; 3] = ["wrong version number", "packet length too long", "unexpected message"];
/// And when it was we who did not trust the server.
const NOT_VERIFIED: &str = "certificate verify failed";

/// Who has found it out, we or the server: a record is not what was sent.
const CHANGED: &str = "bad record mac";

/// What the server's alert means (RFC 8446 §6.2). `None` when it is no alert that a client could act on.
pub fn alert_hint(reason: &str) -> Option<&'static str> {
    if reason.contains(CHANGED) {
        return Some(
            "주고받은 데이터가 도중에 바뀌었습니다. 중간에서 누군가 바꾸었을 수 있으니 그 내용을 믿지 마십시오.",
        );
    }
    let (_, alert) = reason.split_once(" alert ")?;
    Some(match alert {
        "certificate required" => {
            "이 서버는 클라이언트 인증서를 요구합니다. 받은 인증서와 개인 키를 --cert와 --key로 지정하십시오 (make에서는 CLIENT=이름)."
        }
        // TLS 1.2 has no alert of its own for a certificate that is missing.
        "handshake failure" => {
            "서버가 핸드셰이크를 거절했습니다. 클라이언트 인증서를 요구하는 서버라면 인증서와 개인 키를 --cert와 --key로 지정하십시오 (make에서는 CLIENT=이름)."
        }
        "unknown ca" => {
            "서버가 신뢰하는 CA가 발급한 클라이언트 인증서가 아닙니다. 서버를 운영하는 사람에게서 받은 인증서와 개인 키를 --cert와 --key로 지정하십시오 (make에서는 CLIENT=이름)."
        }
        "certificate expired" => {
            "클라이언트 인증서가 만료되었습니다. 새 인증서를 받거나 두 컴퓨터의 시계를 확인하십시오."
        }
        "bad certificate" => {
            "서버가 클라이언트 인증서를 거절했습니다. 아직 유효하지 않은 인증서일 수 있으니 유효 기간과 두 컴퓨터의 시계를 확인하십시오."
        }
        "unsupported certificate" => {
            "클라이언트용 인증서가 아닙니다. 서버 인증서가 아니라 클라이언트 인증서를 --cert로 지정하십시오."
        }
        "certificate unknown" | "certificate revoked" | "decrypt error" => {
            "서버가 클라이언트 인증서를 거절했습니다. 자세한 이유는 서버의 로그에 있습니다."
        }
        "access denied" => {
            "서버가 접속을 거절했습니다. 자리가 없거나, 접속하려는 사람이 너무 많거나, 이 컴퓨터의 주소가 허용되지 않았을 수 있습니다. 잠시 뒤에 다시 접속해 보고, 그래도 안 되면 서버를 운영하는 사람에게 문의하십시오."
        }
        _ => return None,
    })
}

/// Why the handshake with the server called `name` failed, in OpenSSL's words, and what to try in Korean.
pub fn refusal_hint(ssl: &SslRef, trouble: &Trouble, name: &str) -> (String, Option<Hint>) {
    let hint = match trouble {
        Trouble::Tls(reason) if reason.contains(NOT_VERIFIED) => return distrust(ssl, name),
        Trouble::Tls(reason) if NO_TLS.iter().any(|symptom| reason.contains(symptom)) => Some(
            "서버가 TLS로 응답하지 않았습니다. 평문 포트라면 --tls 없이 접속하십시오 (make에서는 STAGE를 서버와 같게 적습니다).",
        ),
        Trouble::Tls(reason) => alert_hint(reason),
        Trouble::Errno(Errno::ETIMEDOUT) => {
            Some("서버가 핸드셰이크에 응답하지 않습니다. TLS 서버가 맞는지 확인하십시오.")
        }
        Trouble::UnexpectedEof | Trouble::Errno(_) => {
            Some("핸드셰이크 도중에 서버가 연결을 끊었습니다. TLS 서버가 맞는지 확인하십시오.")
        }
    };
    (trouble.to_string(), hint.map(Hint::from))
}

/// What was wrong with the server's certificate. The numbers are those of X509_STORE_CTX_get_error(3ssl).
fn distrust(ssl: &SslRef, name: &str) -> (String, Option<Hint>) {
    let verified = ssl.verify_result();
    let hint: Hint = match verified.as_raw() {
        9 => "서버의 인증서가 아직 유효하지 않습니다. 두 컴퓨터의 시계를 확인하십시오.".into(),
        10 => "서버의 인증서가 만료되었습니다. `make certs`로 다시 만들거나 시계를 확인하십시오.".into(),
        18 | 19 | 20 | 21 | 7 => "신뢰하는 CA로는 서버의 인증서를 확인할 수 없습니다. --ca에 서버 인증서를 발급한 CA의 인증서를 지정하십시오 (`make certs`가 만든 것은 서버 컴퓨터의 certs/ca.pem).".into(),
        26 => "서버의 인증서가 서버용이 아닙니다. 서버를 운영하는 사람이 서버용 인증서를 지정해야 합니다 (`make certs`가 만든 것은 certs/server.pem).".into(),
        79 => "서버의 인증서를 CA가 아닌 인증서로 발급했습니다. 누군가 서버인 척하는 것일 수 있으니 서버를 운영하는 사람에게 확인하십시오.".into(),
        66..=68 => "서버나 CA의 인증서에 쓰인 키나 서명이 안전하지 않습니다. 서버 컴퓨터에서 `make certs`로 다시 만드십시오.".into(),
        62 | 64 => format!(
            "서버의 인증서에 이 이름이 없습니다. 서버 컴퓨터에서 `make certs HOST={name}` 명령으로 인증서를 다시 만들거나, 인증서에 적힌 이름을 --server-name으로 지정하십시오."
        ).into(),
        _ => "서버의 인증서를 확인하지 못했습니다.".into(),
    };
    (format!("{NOT_VERIFIED}: {} (code {})", verified.error_string(), verified.as_raw()), Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_explained_whatever_the_version_that_brought_it() {
        for alert in ["tlsv13 alert certificate required", "sslv3 alert handshake failure"] {
            assert!(alert_hint(alert).is_some_and(|hint| hint.contains("--cert")), "{alert}");
        }
        assert!(alert_hint("ssl/tls alert certificate expired").is_some_and(|hint| hint.contains("만료")));
    }

    #[test]
    fn what_was_changed_is_said_whoever_found_it_out() {
        for reason in ["decryption failed or bad record mac", "sslv3 alert bad record mac"] {
            assert!(alert_hint(reason).is_some_and(|hint| hint.contains("바뀌었습니다")), "{reason}");
        }
    }

    #[test]
    fn what_is_no_alert_has_no_hint() {
        for reason in ["certificate required", "tlsv1 alert internal error", "unexpected message", ""] {
            assert_eq!(alert_hint(reason), None, "{reason}");
        }
    }
}
