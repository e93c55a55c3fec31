//! The contexts: what both sides agree on before they have met.
//!
//! Making one only reads: it can be made anew at any time, and connections keep the one they began with.
//!
//! - Manual: SSL_CTX_new(3ssl), SSL_CTX_set_options(3ssl), SSL_CTX_set_verify(3ssl)

use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509PurposeId, X509VerifyResult};

use super::keylog::KeyLog;
use super::pem::{file_error, read_certificates, read_key, warn_if_expired};
use super::rehearsal::rehearse;
use super::setup_failed;
use super::trouble::reason;
use crate::error::Result;

/// Certificate and private key: what one shows, and what proves that it is one's own.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub cert: &'a Path,
    pub key: &'a Path,
}

/// The server's context: certificate and key read, held against each other, before the port opens.
/// With `client_ca`, whoever has no certificate of that CA is refused.
pub fn server_context(me: Identity<'_>, client_ca: Option<&Path>, keylog: Option<&KeyLog>) -> Result<SslContext> {
    let mut builder = builder(SslMethod::tls_server(), keylog)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF); // tickets carry the state, not our memory
    builder.set_session_id_context(b"sockstep").map_err(setup_failed)?;
    restrict_groups(&mut builder).map_err(setup_failed)?;
    present(&mut builder, me)?;
    builder.set_num_tickets(1).map_err(setup_failed)?; // TLS 1.3: one for each connection that may be resumed
    if let Some(path) = client_ca {
        demand_certificates(&mut builder, path)?;
    }
    let context = builder.build();
    if keylog.is_none() {
        let _ = rehearse(&context); // whose secrets nobody wants to read there
    }
    Ok(context)
}

/// The client's context: trusts `ca`, or the system's list; verifies unless `insecure` was asked for.
pub fn client_context(
    me: Option<Identity<'_>>,
    ca: Option<&Path>,
    insecure: bool,
    keylog: Option<&KeyLog>,
) -> Result<SslContext> {
    let mut builder = builder(SslMethod::tls_client(), keylog)?;
    builder.set_verify(if insecure { SslVerifyMode::NONE } else { SslVerifyMode::PEER });
    match ca {
        Some(path) => {
            let trusted = read_certificates(path, "CA certificate")?;
            builder.set_cert_store(store(trusted).map_err(setup_failed)?);
        }
        None => builder.set_default_verify_paths().map_err(setup_failed)?,
    }
    if let Some(me) = me {
        present(&mut builder, me)?;
    }
    Ok(builder.build())
}

/// The context of a client that trusts these certificates as they are, whoever has signed them, and no others.
pub fn context_trusting(trusted: Vec<X509>) -> Result<SslContext> {
    let mut builder = builder(SslMethod::tls_client(), None)?;
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_cert_store(store(trusted).map_err(setup_failed)?);
    builder.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN).map_err(setup_failed)?;
    Ok(builder.build())
}

/// Only who has a certificate of this CA, for a client's use, comes in.
///
/// No tickets: a resumed session is not judged again. Who was let in yesterday would get in with an
/// expired certificate, or past a CA that has been replaced; so every connection is judged anew.
fn demand_certificates(builder: &mut SslContextBuilder, path: &Path) -> Result<()> {
    let trusted = read_certificates(path, "client CA certificate")?;
    // OpenSSL builds a chain up to a certificate that signed itself: without one, nobody would come in.
    if !trusted.iter().any(|ca| ca.issued(ca) == X509VerifyResult::OK) {
        let hint = "클라이언트 인증서를 발급한 CA의 인증서를 지정하십시오 (`make certs`가 만든 것은 certs/ca.pem).";
        return Err(file_error(path, "client CA certificate", "not the certificate of a root CA".into(), hint));
    }
    let set_up = |builder: &mut SslContextBuilder| -> std::result::Result<(), ErrorStack> {
        trusted.iter().try_for_each(|ca| builder.add_client_ca(ca))?; // so that a client knows which one to show
        builder.set_verify_cert_store(store(trusted)?)?;
        builder.verify_param_mut().set_purpose(X509PurposeId::SSL_CLIENT)?;
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        builder.set_options(SslOptions::NO_TICKET); // TLS 1.2
        builder.set_num_tickets(0) // TLS 1.3
    };
    set_up(builder).map_err(setup_failed)
}

/// The curves of Mozilla's "intermediate" configuration, and no finite fields. OpenSSL by itself offers some of up to 8192 bits:
/// a client that asks for them costs the server fifty times what X25519 costs, and itself next to nothing (CVE-2002-20001).
fn restrict_groups(builder: &mut SslContextBuilder) -> std::result::Result<(), ErrorStack> {
    // The first stands against quantum computers; OpenSSL has it from 3.5 on.
    builder
        .set_groups_list("X25519MLKEM768:X25519:P-256:P-384")
        .or_else(|_| builder.set_groups_list("X25519:P-256:P-384"))
}

/// Certificate, key, and the certificates between ours and the CA.
fn present(builder: &mut SslContextBuilder, me: Identity<'_>) -> Result<()> {
    let mut chain = read_certificates(me.cert, "certificate")?.into_iter();
    let private = read_key(me.key)?;
    if let Some(leaf) = chain.next() {
        warn_if_expired(&leaf, me.cert);
        builder.set_certificate(&leaf).map_err(|stack| {
            let hint = "OpenSSL이 받아들이지 않는 인증서입니다. 키나 서명이 안전하지 않은 인증서라면 `make certs`로 다시 만드십시오.";
            file_error(me.cert, "certificate", reason(&stack), hint)
        })?;
        let fits = leaf.public_key().is_ok_and(|public| public.public_eq(&private));
        if !fits {
            return Err(file_error(
                me.key,
                "private key",
                format!("does not belong to the certificate {}", me.cert.display()),
                "이 개인 키는 이 인증서의 짝이 아닙니다. 함께 만든 인증서와 개인 키를 지정하십시오.",
            ));
        }
    }
    for extra in chain {
        builder.add_extra_chain_cert(extra).map_err(setup_failed)?;
    }
    builder.set_private_key(&private).map_err(setup_failed)
}

fn store(trusted: Vec<X509>) -> std::result::Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    trusted.into_iter().try_for_each(|certificate| store.add_cert(certificate))?;
    Ok(store.build())
}

fn builder(method: SslMethod, keylog: Option<&KeyLog>) -> Result<SslContextBuilder> {
    let mut builder = SslContext::builder(method).map_err(setup_failed)?;
    // [12.versions]
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(setup_failed)?;
    builder.set_cipher_list("ECDHE+AESGCM:ECDHE+CHACHA20").map_err(setup_failed)?;
    builder.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION);
    builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS);
    builder.set_read_ahead(true); // otherwise each record costs two recv(): 5 bytes, then the body
    if let Some(keylog) = keylog {
        keylog.attach(&mut builder);
    }
    Ok(builder)
}
