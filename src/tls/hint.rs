//! What a client is told when a handshake came to nothing.

use nix::errno::Errno;
use openssl::ssl::SslRef;

use super::trouble::Trouble;

/// What OpenSSL says when the other side speaks plain text, or echoes our own ClientHello.
const NO_TLS: [&str; 3] = ["wrong version number", "packet length too long", "unexpected message"];

/// Why a client's handshake failed, in OpenSSL's words, and what to try in Korean.
pub fn refusal_hint(ssl: &SslRef, trouble: &Trouble) -> (String, Option<&'static str>) {
    let verified = ssl.verify_result();
    let untrusted = "신뢰하는 CA로는 서버의 인증서를 확인할 수 없습니다. --ca에 서버 인증서를 발급한 CA의 인증서를 지정하십시오 (`make certs`가 만든 것은 certs/ca.pem).";
    // The numbers are those of X509_STORE_CTX_get_error(3ssl).
    let hint = match (verified.as_raw(), trouble) {
        (0, Trouble::Tls(reason)) if NO_TLS.iter().any(|symptom| reason.contains(symptom)) => {
            "서버가 TLS로 응답하지 않았습니다. 평문 포트라면 --tls 없이 접속하십시오."
        }
        (0, Trouble::Tls(reason)) if reason.contains("access denied") => {
            "서버가 접속을 받아들이지 않았습니다. 자리가 없거나 이 컴퓨터의 주소가 허용되지 않은 것입니다. 잠시 뒤에 다시 접속해 보고, 안 되면 서버를 연 사람에게 물어보십시오."
        }
        (0, Trouble::Errno(Errno::ETIMEDOUT)) => {
            "서버가 핸드셰이크에 응답하지 않습니다. TLS 서버가 맞는지 확인하십시오."
        }
        (0, Trouble::UnexpectedEof | Trouble::Errno(_)) => {
            "핸드셰이크 도중에 서버가 연결을 끊었습니다. TLS 서버가 맞는지 확인하십시오."
        }
        (0, Trouble::Tls(_)) => return (trouble.to_string(), None),
        (9, _) => "서버의 인증서가 아직 유효하지 않습니다. 두 컴퓨터의 시계를 확인하십시오.",
        (10, _) => "서버의 인증서가 만료되었습니다. `make certs`로 다시 만들거나 시계를 확인하십시오.",
        (18 | 19 | 20 | 21 | 7, _) => untrusted,
        (62 | 64, _) => {
            "인증서에 이 이름이 없습니다. 인증서에 적힌 이름으로 접속하거나 --server-name으로 그 이름을 지정하십시오 (다른 주소를 넣은 인증서는 `make certs HOST=주소`로 만듭니다)."
        }
        _ => "서버의 인증서를 확인하지 못했습니다.",
    };
    let reason = match verified.as_raw() {
        0 => trouble.to_string(),
        code => format!("certificate verify failed: {} (code {code})", verified.error_string()),
    };
    (reason, Some(hint))
}
