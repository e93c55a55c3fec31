//! The contexts: what both sides agree on before they have met.
//!
//! - Manual: SSL_CTX_new(3ssl), SSL_CTX_set_options(3ssl), SSL_CTX_set_verify(3ssl)

use std::path::Path;

use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;

use super::pem::{file_error, read_certificates, read_key, warn_if_expired};
use super::setup_failed;
use crate::error::Result;

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
