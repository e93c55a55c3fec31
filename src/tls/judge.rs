//! Who a client is, and what was found wrong with its certificate.
//!
//! - Manual: SSL_CTX_set_verify(3ssl), X509_STORE_CTX_get_error(3ssl)
//! - Standard: RFC 5280 (certificates), RFC 8446 §4.4.2.4 (which alert says what)

use std::sync::{Arc, OnceLock};

use openssl::nid::Nid;
use openssl::ssl::{SslRef, SslVerifyMode};
use openssl::x509::{X509Ref, X509StoreContextRef};

use super::trouble::Trouble;
use crate::text::excerpt;

/// OpenSSL's error stack says only "certificate verify failed": what and whose is known to nobody but
/// the callback, while it looks at the chain. It leaves a note here.
#[derive(Clone, Debug, Default)]
pub struct Judgement(Arc<OnceLock<String>>);

impl Judgement {
    /// Has what is found wrong during the handshake of `ssl` written down. It judges no otherwise than OpenSSL.
    pub(super) fn over(ssl: &mut SslRef, mode: SslVerifyMode) -> Judgement {
        let judgement = Judgement::default();
        let note = judgement.clone();
        ssl.set_verify_callback(mode, move |good, chain| {
            if !good {
                note.0.get_or_init(|| finding(chain));
            }
            good
        });
        judgement
    }

    /// Why the handshake failed, for the log: the finding if there is one, or OpenSSL's words.
    pub fn words(&self, trouble: &Trouble) -> String {
        match self.0.get() {
            Some(finding) => format!("client certificate refused: {finding}"),
            None => trouble.to_string(),
        }
    }
}

/// `certificate has expired (code 10): CN=철수`. The subject is what the certificate claims.
fn finding(chain: &X509StoreContextRef) -> String {
    let error = chain.error();
    let whose = chain.current_cert().map_or("no subject".into(), whose);
    format!("{} (code {}): {whose}", error.error_string(), error.as_raw())
}

/// The subject of a certificate as foreign text for a log line: `O=school, CN=철수`.
pub fn whose(certificate: &X509Ref) -> String {
    let parts: Vec<String> = certificate
        .subject_name()
        .entries()
        .map(|entry| {
            let kind = entry.object().nid().short_name().unwrap_or("?");
            format!("{kind}={}", entry.data().to_string().unwrap_or_else(|_| "?".into()))
        })
        .collect();
    excerpt(parts.join(", ").as_bytes())
}

/// The one common name of a certificate, whole: a NUL in it does not end it, as it would a C string.
/// `None` when there is none, or more than one.
pub fn common_name(certificate: &X509Ref) -> Option<String> {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    name.data().to_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::x509::{X509, X509NameBuilder};

    fn called(names: &[&str]) -> X509 {
        let mut subject = X509NameBuilder::new().unwrap();
        for name in names {
            subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        }
        let mut builder = X509::builder().unwrap();
        builder.set_subject_name(&subject.build()).unwrap();
        builder.build()
    }

    #[test]
    fn exactly_one_common_name_is_a_name() {
        assert_eq!(common_name(&called(&["철수"])).as_deref(), Some("철수"));
        assert_eq!(common_name(&called(&[])), None);
        assert_eq!(common_name(&called(&["철수", "영희"])), None);
    }

    #[test]
    fn a_name_with_a_nul_in_it_is_not_the_part_before() {
        assert_eq!(common_name(&called(&["철수\0영희"])).as_deref(), Some("철수\0영희"));
    }

    #[test]
    fn a_subject_in_the_log_is_harmless_and_short() {
        assert_eq!(whose(&called(&["a\x1b[2J\nb", "철수"])), "CN=a^[[2J^Jb, CN=철수");
        assert_eq!(whose(&called(&["가"; 60])).chars().count(), 101);
        assert_eq!(whose(&called(&[])), "");
    }
}
