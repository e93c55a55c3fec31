//! TLS: contexts, the handshake, and the socket as OpenSSL sees it.
//!
//! TLS 1.2 and 1.3 only, ECDHE with AEAD suites, no renegotiation, no compression. The context is
//! made once, before fork(), so that every child seals its session tickets with the same keys: a
//! client may resume at a child other than the one it knew.
//!
//! - Notes: notes/12-tls.md
//! - Manual: SSL_CTX_new(3ssl), SSL_do_handshake(3ssl), SSL_CTX_set_options(3ssl)
//! - Standard: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 5077 (tickets), RFC 9525 (names)

mod pem;

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::PollFlags;
use openssl::error::ErrorStack;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509CheckFlags;

use self::pem::{file_error, read_certificates, read_key, warn_if_expired};
use crate::error::{Error, Result, describe, errno_of};
use crate::lifecycle::{recv, send};

/// The accepted or connected socket under OpenSSL: its reads and writes are our recv() and send(),
/// so that the trace shows the TLS records as they cross the system-call line.
#[derive(Debug)]
pub struct Wire<'fd>(pub BorrowedFd<'fd>);

impl io::Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        recv(self.0, buf).map(<[u8]>::len).map_err(wire_error)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        send(self.0, data).map_err(wire_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The openssl crate takes ENOTCONN for "try again"; for us it is a connection that has gone.
fn wire_error(errno: Errno) -> io::Error {
    let errno = if errno == Errno::ENOTCONN { Errno::ECONNRESET } else { errno };
    io::Error::from_raw_os_error(errno as i32)
}

/// Why the conversation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The socket failed, or the peer went.
    Errno(Errno),
    /// The peer closed where TLS does not allow it.
    UnexpectedEof,
    /// TLS refused something, in OpenSSL's words.
    Tls(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Errno(errno) => f.write_str(&describe(*errno)),
            Trouble::UnexpectedEof => f.write_str("unexpected EOF (no close_notify)"),
            Trouble::Tls(reason) => f.write_str(reason),
        }
    }
}

/// What an OpenSSL call said: wait for this event and call again, a clean end, or trouble.
pub enum Verdict {
    Wait(PollFlags),
    CleanEnd,
    Trouble(Trouble),
}

/// Reads an SSL_get_error(3ssl) result.
pub fn verdict(error: &openssl::ssl::Error) -> Verdict {
    match error.code() {
        ErrorCode::WANT_READ => Verdict::Wait(PollFlags::POLLIN),
        ErrorCode::WANT_WRITE => Verdict::Wait(PollFlags::POLLOUT),
        ErrorCode::ZERO_RETURN => Verdict::CleanEnd,
        _ => Verdict::Trouble(match (error.io_error(), error.ssl_error()) {
            (Some(io), _) => Trouble::Errno(errno_of(io)),
            (None, Some(stack)) => match reason(stack) {
                text if text.contains("unexpected eof") => Trouble::UnexpectedEof,
                text => Trouble::Tls(text),
            },
            (None, None) => Trouble::UnexpectedEof,
        }),
    }
}

/// The most telling line of OpenSSL's error queue: the first, where the failure began.
pub fn reason(stack: &ErrorStack) -> String {
    let first = stack.errors().iter().find_map(|error| error.reason());
    first.unwrap_or("unknown error").to_string()
}

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
            "서버가 접속을 받아들이지 않았습니다. 자리가 없을 수 있으니 잠시 뒤에 다시 접속하십시오."
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

/// One step of the handshake: `None` when it is done, an event to wait for when it is not.
pub fn handshake_step(stream: &mut SslStream<Wire<'_>>) -> std::result::Result<Option<PollFlags>, Trouble> {
    match stream.do_handshake() {
        Ok(()) => Ok(None),
        Err(error) => match verdict(&error) {
            Verdict::Wait(event) => Ok(Some(event)),
            Verdict::CleanEnd => Err(Trouble::UnexpectedEof),
            Verdict::Trouble(trouble) => Err(trouble),
        },
    }
}

/// The server's context: certificate and key read, held against each other, before the port opens.
pub fn server_context(cert: &Path, key: &Path) -> Result<SslContext> {
    let chain = read_certificates(cert, "certificate")?;
    let private = read_key(key)?;
    let mut builder = builder(SslMethod::tls_server())?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF); // tickets carry the state, not our memory
    builder.set_session_id_context(b"sockstep").map_err(setup_failed)?;
    let mut chain = chain.into_iter();
    if let Some(leaf) = chain.next() {
        warn_if_expired(&leaf, cert);
        builder.set_certificate(&leaf).map_err(setup_failed)?;
        let fits = leaf.public_key().is_ok_and(|public| public.public_eq(&private));
        if !fits {
            let reason = format!("does not belong to the certificate {}", cert.display());
            return Err(file_error(
                key,
                "private key",
                reason,
                "이 개인 키는 이 인증서의 짝이 아닙니다. 함께 만든 인증서와 개인 키를 지정하십시오.",
            ));
        }
    }
    for extra in chain {
        builder.add_extra_chain_cert(extra).map_err(setup_failed)?;
    }
    builder.set_private_key(&private).map_err(setup_failed)?;
    Ok(builder.build())
}

/// The client's context: trusts `ca`, or the system's list; verifies unless `insecure` was asked for.
pub fn client_context(ca: Option<&Path>, insecure: bool) -> Result<SslContext> {
    let mut builder = builder(SslMethod::tls_client())?;
    builder.set_verify(if insecure { SslVerifyMode::NONE } else { SslVerifyMode::PEER });
    match ca {
        Some(path) => {
            let mut store = X509StoreBuilder::new().map_err(setup_failed)?;
            for certificate in read_certificates(path, "CA certificate")? {
                store.add_cert(certificate).map_err(setup_failed)?;
            }
            builder.set_cert_store(store.build());
        }
        None => builder.set_default_verify_paths().map_err(setup_failed)?,
    }
    Ok(builder.build())
}

/// What both sides agree on before they have met.
fn builder(method: SslMethod) -> Result<SslContextBuilder> {
    let mut builder = SslContext::builder(method).map_err(setup_failed)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(setup_failed)?;
    builder.set_cipher_list("ECDHE+AESGCM:ECDHE+CHACHA20").map_err(setup_failed)?;
    builder.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION);
    builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS);
    builder.set_read_ahead(true); // otherwise each record costs two recv(): 5 bytes, then the body
    Ok(builder)
}

/// The server's side of a handshake that is about to begin over `wire`.
pub fn accepting<'fd>(context: &SslContext, wire: Wire<'fd>) -> Result<SslStream<Wire<'fd>>> {
    let mut ssl = Ssl::new(context).map_err(setup_failed)?;
    ssl.set_accept_state();
    SslStream::new(ssl, wire).map_err(setup_failed)
}

/// The client's side: asks for `name` (SNI, unless it is an IP address) and wants it in the certificate.
pub fn connecting<'fd>(context: &SslContext, name: &str, wire: Wire<'fd>) -> Result<SslStream<Wire<'fd>>> {
    let mut ssl = Ssl::new(context).map_err(setup_failed)?;
    ssl.set_connect_state();
    let param = ssl.param_mut();
    // RFC 9525: names are in subjectAltName, and nowhere else.
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    match name.parse::<IpAddr>() {
        Ok(ip) => param.set_ip(ip),
        Err(_) => param.set_host(name).and_then(|()| ssl.set_hostname(name)),
    }
    .map_err(setup_failed)?;
    SslStream::new(ssl, wire).map_err(setup_failed)
}

fn setup_failed(stack: ErrorStack) -> Error {
    Error::Tls { doing: "setup", object: "OpenSSL".into(), reason: reason(&stack), hint: None }
}
