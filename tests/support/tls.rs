//! TLS from the other side: a client and certificates made with the openssl crate, not with ours.

use std::fs::Permissions;
use std::io::{Read, Result, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{ShutdownState, SslConnector, SslConnectorBuilder, SslMethod, SslStream};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::program::Program;
use super::{Finished, Peer, Server, cert, client};

/// A client that verifies the server against [`super::certs`].
pub type TlsPeer = Peer<SslStream<TcpStream>>;

impl TlsPeer {
    pub fn connect(server: &Server) -> TlsPeer {
        TlsPeer::over(server.connect().stream)
    }

    /// A handshake over this connection.
    pub fn over(tcp: TcpStream) -> TlsPeer {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(cert("ca.pem")).unwrap();
        TlsPeer::with(connector, tcp)
    }

    /// With what else `connector` brings.
    pub fn with(connector: SslConnectorBuilder, tcp: TcpStream) -> TlsPeer {
        Peer { stream: connector.build().connect("127.0.0.1", tcp).unwrap(), read: Vec::new() }
    }

    /// Connects to a relay and reads the greeting.
    pub fn join(server: &Server) -> TlsPeer {
        let mut peer = TlsPeer::connect(server);
        let greeting = peer.line();
        assert!(greeting.starts_with("* 어서 오십시오, 손님"), "{greeting}");
        peer
    }

    /// Says "I have said all": close_notify, then FIN.
    pub fn end(&mut self) {
        self.stream.shutdown().unwrap();
        self.cut();
    }

    /// FIN alone: what an attacker could do who cuts the end off.
    pub fn cut(&self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the server has said its end with close_notify. (To `Read`, the crate reports an end
    /// without it just as an end.)
    pub fn was_told_the_end(&mut self) -> bool {
        self.stream.get_shutdown().contains(ShutdownState::RECEIVED)
    }
}

/// Holds back what is written until something is to be read: then all of it is one segment.
#[derive(Debug)]
pub struct Corked(pub TcpStream, pub Vec<u8>);

impl Read for Corked {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.0.write_all(&std::mem::take(&mut self.1))?;
        self.0.read(buf)
    }
}

impl Write for Corked {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        self.1.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// `sockstep client --tls` that trusts our CA.
pub fn tls_client(server: &Server, args: &[&str]) -> Command {
    let mut command = client(&["--connect", &server.addr.to_string(), "--tls", "--ca", &cert("ca.pem")]);
    command.args(args);
    command
}

/// `openssl s_client` that trusts our CA.
pub fn s_client(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.addr.to_string(), "-CAfile", &cert("ca.pem")]).args(args);
    command
}

/// Joins a relay with s_client and leaves by /quit; returns what s_client says of the session.
pub fn session(server: &Server, args: &[&str]) -> String {
    let mut client = Program::start(s_client(server, args).args(["-ign_eof", "-verify_return_error"]));
    client.wait_for("* 어서 오십시오");
    client.say("/quit\n");
    let ended = client.end();
    assert_eq!(ended.code(), 0, "{args:?}: {}", ended.err);
    ended.text()
}

/// A refused client has ended with 1, an English reason and a Korean hint, and has heard nothing.
pub fn assert_refused(ended: &Finished, reason: &str, hint: &str) {
    assert_eq!((ended.code(), ended.text().as_str()), (1, ""), "{}", ended.err);
    let (said, hinted) = ended.err.split_once("힌트: ").unwrap_or_else(|| panic!("no hint: {}", ended.err));
    assert!(said.contains(reason) && hinted.contains(hint), "{reason:?}, {hint:?}: {}", ended.err);
}

/// A certificate and its key, as a test wants them.
pub struct Issued {
    pub pem: X509,
    pub key: PKey<Private>,
}

impl Issued {
    pub fn ca(name: &str) -> Issued {
        issue(&[name], None, -1..30, None)
    }

    /// A server's certificate for 127.0.0.1 and these DNS names; self-signed without `by`.
    pub fn leaf(subject: &str, names: &[&str], days: Range<i64>, by: Option<&Issued>) -> Issued {
        issue(&[subject], Some(&[names, &["127.0.0.1"]].concat()), days, by)
    }

    /// A server's certificate that signs itself, for this key.
    pub fn leaf_with(key: PKey<Private>, subject: &str, names: &[&str]) -> Issued {
        issue_for(key, &[subject], Some(&[names, &["127.0.0.1"]].concat()), -1..10, None)
    }

    /// A certificate for this DNS name and for nothing else.
    pub fn elsewhere(host: &str, by: &Issued) -> Issued {
        issue(&[host], Some(&[host]), -1..10, Some(by))
    }

    /// A certificate with a common name and no subjectAltName.
    pub fn nameless(common_name: &str, by: &Issued) -> Issued {
        issue(&[common_name], Some(&[]), -1..10, Some(by))
    }

    /// A certificate with these common names: none, one, or too many.
    pub fn called(common_names: &[&str], by: &Issued) -> Issued {
        issue(common_names, Some(&["127.0.0.1"]), -1..10, Some(by))
    }

    /// Writes NAME.pem and NAME.key into `dir`; returns their paths.
    pub fn write(&self, dir: &Path, name: &str) -> (String, String) {
        let path = |extension| dir.join(name).with_extension(extension).to_str().unwrap().to_string();
        std::fs::write(path("pem"), self.pem.to_pem().unwrap()).unwrap();
        std::fs::write(path("key"), self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        std::fs::set_permissions(path("key"), Permissions::from_mode(0o600)).unwrap();
        (path("pem"), path("key"))
    }
}

/// `days` counts from now. `names` (DNS names and addresses) is `None` for a CA.
fn issue(subject: &[&str], names: Option<&[&str]>, days: Range<i64>, by: Option<&Issued>) -> Issued {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    issue_for(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(), subject, names, days, by)
}

fn issue_for(
    key: PKey<Private>,
    subject: &[&str],
    names: Option<&[&str]>,
    days: Range<i64>,
    by: Option<&Issued>,
) -> Issued {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let day = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    subject.iter().for_each(|subject| name.append_entry_by_text("CN", subject).unwrap());
    let name = name.build();

    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(days.end.unsigned_abs() as u32 + 1).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(by.map_or(&name, |ca| ca.pem.subject_name())).unwrap();
    builder.set_not_before(&day(days.start)).unwrap();
    builder.set_not_after(&day(days.end)).unwrap();
    builder.set_pubkey(&key).unwrap();
    let extension = match names {
        Some([]) => BasicConstraints::new().critical().build().unwrap(),
        None => BasicConstraints::new().critical().ca().build().unwrap(),
        Some(names) => {
            let mut san = SubjectAlternativeName::new();
            for name in names {
                if name.parse::<IpAddr>().is_ok() {
                    san.ip(name)
                } else {
                    san.dns(name)
                };
            }
            san.build(&builder.x509v3_context(None, None)).unwrap()
        }
    };
    builder.append_extension(extension).unwrap();
    builder.sign(by.map_or(&key, |ca| &ca.key), MessageDigest::sha256()).unwrap();
    Issued { pem: builder.build(), key }
}
