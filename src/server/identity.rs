//! Whom a child serves, when clients show certificates (--client-ca): the common name is the name.

use std::net::SocketAddr;

use openssl::x509::X509Ref;

use crate::relay::check_name;
use crate::tls::{common_name, whose};

/// Says in the log who it is that has come in, or what is wrong with his name.
pub fn introduce(certificate: &X509Ref, peer: SocketAddr) {
    match common_name(certificate) {
        Some(name) if check_name(&name).is_ok() => log::info!("{peer} is {name} (client certificate)"),
        _ => log::info!("{peer} has a client certificate without a name that could be used: {}", whose(certificate)),
    }
}

/// The name that the hub gets to hear; or what the client is told when the CA has signed for none.
/// Without a certificate there is no name, and the hub demands none.
pub fn name_in(certificate: Option<&X509Ref>) -> Result<Option<String>, String> {
    let Some(certificate) = certificate else { return Ok(None) };
    let name = common_name(certificate).ok_or("인증서에 이름(CN)이 정확히 하나 있어야 합니다.");
    match name.and_then(|name| check_name(&name).map(|()| name)) {
        Ok(name) => Ok(Some(name)),
        Err(why) => Err(format!("! 인증서의 이름으로는 들어올 수 없습니다. {why}\n")),
    }
}
