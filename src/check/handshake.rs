//! How our clients get in where TLS is spoken, and why they did not.

use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use openssl::ssl::{SslContext, SslStream};
use openssl::x509::X509VerifyResult;

use super::case::Failure;
use super::peer::Peer;
use super::pump::wait;
use crate::error::Result;
use crate::lifecycle::Socket;
use crate::text::escaped;
use crate::tls::{Trouble, Wire, client_context, connecting, context_trusting, handshake_step, refusal_hint};
use crate::transport::Transport;

/// Whom our clients trust.
pub struct Keys {
    /// Whoever it is: for the cases that are not about the certificate.
    pub anyone: SslContext,
    /// The CA that was given.
    pub ca: SslContext,
    pub nobody: SslContext,
}

impl Keys {
    pub fn new(ca: &Path) -> Result<Keys> {
        Ok(Keys {
            anyone: client_context(None, None, true, None)?,
            ca: client_context(None, Some(ca), false, None)?,
            nobody: context_trusting(Vec::new())?,
        })
    }
}

pub type Secured = SslStream<Wire<Rc<Socket>>>;

/// Why there is no TLS connection.
pub enum Refusal {
    NoConnection(Failure),
    /// OpenSSL's words, and what it says of the certificate.
    Handshake {
        reason: String,
        verified: X509VerifyResult,
    },
}

impl Refusal {
    pub fn failure(self) -> Failure {
        match self {
            Refusal::NoConnection(failure) => failure,
            Refusal::Handshake { reason, .. } => {
                Failure::new("TLS 핸드셰이크 (ClientHello)", "핸드셰이크를 마칩니다", escaped(&reason))
            }
        }
    }

    /// It was we who refused, because of the certificate; `None` for any other reason.
    pub fn distrust(&self) -> Option<X509VerifyResult> {
        match self {
            Refusal::Handshake { verified, .. } if *verified != X509VerifyResult::OK => Some(*verified),
            _ => None,
        }
    }
}

/// The whole handshake, with one deadline.
pub fn shake_hands(
    context: &SslContext,
    host: &str,
    conn: &Rc<Socket>,
    until: Instant,
) -> std::result::Result<Secured, Refusal> {
    let refused = |reason: String, verified| {
        drop(Peer::new("", Transport::plain(conn.clone()))); // leaves in peace: its alert is not to be lost in an RST
        Refusal::Handshake { reason, verified }
    };
    let mut stream = connecting(context, host, Wire(conn.clone()))
        .map_err(|error| refused(error.to_string(), X509VerifyResult::OK))?;
    loop {
        let trouble = match handshake_step(&mut stream) {
            Ok(None) => return Ok(stream),
            Ok(Some(event)) => match until.saturating_duration_since(Instant::now()) {
                left if left.is_zero() => Trouble::Errno(Errno::ETIMEDOUT),
                left => {
                    wait(&[(conn.as_fd(), event)], left);
                    continue;
                }
            },
            Err(trouble) => trouble,
        };
        let verified = match trouble {
            Trouble::Tls(_) => stream.ssl().verify_result(),
            _ => X509VerifyResult::OK,
        };
        let mut reason = in_korean(&trouble, verified).to_string();
        if trouble != Trouble::Errno(Errno::ETIMEDOUT) {
            reason = format!("{reason}: {}", refusal_hint(stream.ssl(), &trouble, host).0);
        }
        return Err(refused(reason, verified));
    }
}

/// What it means. The numbers are those of X509_STORE_CTX_get_error(3ssl).
fn in_korean(trouble: &Trouble, verified: X509VerifyResult) -> &'static str {
    match (trouble, verified.as_raw()) {
        (Trouble::Tls(_), 9 | 10) => "인증서의 유효 기간이 아닙니다",
        (Trouble::Tls(_), 7 | 18..=21) => "지정한 CA가 발급한 인증서가 아닙니다",
        (Trouble::Tls(_), 62 | 64) => "인증서에 접속한 호스트의 이름이 없습니다",
        (Trouble::Tls(_), code) if code != 0 => "인증서를 확인하지 못했습니다",
        (Trouble::Tls(reason), _) if reason.contains(" alert ") => "서버가 거절했습니다",
        (Trouble::Tls(_), _) => "서버의 답을 TLS로 읽지 못했습니다",
        (Trouble::Errno(Errno::ETIMEDOUT), _) => "제한 시간 안에 끝나지 않았습니다",
        (Trouble::Errno(_) | Trouble::UnexpectedEof, _) => "핸드셰이크 도중에 연결이 끊어졌습니다",
    }
}
