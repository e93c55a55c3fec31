//! Certificates and keys from PEM files: what is wrong with one is said with its name.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::trouble::reason;
use crate::error::{Error, Result, describe, errno_of};

pub fn file_error(path: &Path, what: &'static str, reason: String, hint: &'static str) -> Error {
    Error::File { path: path.into(), what, reason, hint: hint.into() }
}

fn read_file(path: &Path, what: &'static str) -> Result<Vec<u8>> {
    let hint = match what {
        "CA certificate" => {
            "서버 인증서를 발급한 CA의 인증서가 필요합니다. `make certs`가 만든 것은 서버 컴퓨터의 certs/ca.pem입니다. 파일 이름과 읽기 권한을 확인하십시오."
        }
        _ => {
            "파일 이름과 읽기 권한을 확인하십시오. 인증서와 개인 키는 서버 컴퓨터에서 `make certs`로 만듭니다 (학생의 인증서는 `make certs CLIENT=이름`)."
        }
    };
    std::fs::read(path).map_err(|error| file_error(path, what, describe(errno_of(&error)), hint))
}

pub fn read_certificates(path: &Path, what: &'static str) -> Result<Vec<X509>> {
    let hint = "-----BEGIN CERTIFICATE-----로 시작하는 PEM 파일이어야 합니다.";
    match X509::stack_from_pem(&read_file(path, what)?) {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(file_error(path, what, "no certificate in this file".into(), hint)),
        Err(stack) => Err(file_error(path, what, format!("not a PEM certificate: {}", reason(&stack)), hint)),
    }
}

pub fn read_key(path: &Path) -> Result<PKey<Private>> {
    let hint = "암호가 걸리지 않은 PEM 개인 키 파일이어야 합니다 (예: -----BEGIN PRIVATE KEY-----).";
    let pem = read_file(path, "private key")?;
    warn_if_readable_by_others(path);
    // An encrypted key would make OpenSSL ask on the terminal: answer that there is no passphrase.
    PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).map_err(|stack| {
        let reason = format!("not an unencrypted PEM private key: {}", reason(&stack));
        file_error(path, "private key", reason, hint)
    })
}

fn warn_if_readable_by_others(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(key).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        log::warn!("private key {} can be read by other users: chmod 600 it", key.display());
    }
}

pub fn warn_if_expired(leaf: &X509, path: &Path) {
    if Asn1Time::days_from_now(0).is_ok_and(|now| leaf.not_after() < now) {
        log::warn!("certificate {} expired on {}: the other side will refuse it", path.display(), leaf.not_after());
    }
}
