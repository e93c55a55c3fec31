//! One probe for each mistake of a server that speaks TLS.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{HandshakeError, ShutdownState, SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};

use crate::caller::{Caller, Patience, plain};
use crate::relay::{admitted, meet};
use crate::support::{DEADLINE, cert};
use crate::wrong::Tls;

type Tunnel = SslStream<TcpStream>;

/// What a client asks of the handshake.
#[derive(PartialEq)]
enum Asks {
    Trust,
    NoTrust,
    Tls11,
}

/// The stream, or the verdict on the certificate: 0 when the handshake failed for something else.
fn handshake(addr: SocketAddr, asks: Asks, silence: Duration) -> Result<Caller<Tunnel>, i32> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(cert("ca.pem")).unwrap();
    if asks == Asks::NoTrust {
        connector.set_verify(SslVerifyMode::NONE);
    }
    if asks == Asks::Tls11 {
        connector.set_min_proto_version(Some(SslVersion::TLS1_1)).unwrap();
        connector.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
        connector.set_cipher_list("DEFAULT@SECLEVEL=0").unwrap();
    }
    match connector.build().connect("127.0.0.1", plain(addr).within(silence).stream) {
        Ok(stream) => Ok(Caller::over(stream)),
        Err(HandshakeError::Failure(failed)) => Err(failed.ssl().verify_result().as_raw()),
        Err(_) => Err(0),
    }
}

pub fn talks(addr: SocketAddr, server: Tls) -> bool {
    let call = || handshake(addr, Asks::NoTrust, DEADLINE).ok();
    if server == Tls::Echo {
        return call().is_some_and(|mut caller| caller.gets_back("안녕하세요. 🙂\n".as_bytes()));
    }
    let (Some(one), Some(two)) = (call(), call()) else { return false };
    meet(&mut admitted(one), &mut admitted(two))
}

pub fn shows(mistake: Tls, addr: SocketAddr, patience: Patience) -> bool {
    let call = |asks| handshake(addr, asks, DEADLINE);
    let refused_for = |why: i32| call(Asks::Trust).err() == Some(why) && call(Asks::NoTrust).is_ok();
    match mistake {
        Tls::Correct | Tls::Echo => false,
        Tls::Plain => call(Asks::NoTrust).is_err() && is_served_plain(addr),
        Tls::TakesTls11 => call(Asks::Tls11).is_ok_and(|caller| caller.stream.ssl().version_str() == "TLSv1.1"),
        Tls::OtherCa => refused_for(verdict::NO_ISSUER),
        Tls::SelfSigned => refused_for(verdict::SELF_SIGNED),
        Tls::OtherHost => refused_for(verdict::OTHER_ADDRESS),
        Tls::HandshakeBlocks => {
            let stalled = plain(addr);
            let second_waits = handshake(addr, Asks::Trust, patience.silence).is_err();
            drop(stalled);
            second_waits && call(Asks::Trust).is_ok()
        }
        Tls::NoCloseNotify => {
            let Ok(mut caller) = call(Asks::Trust) else { return false };
            caller.stream.shutdown().unwrap();
            caller.stream.get_ref().shutdown(Shutdown::Write).unwrap();
            while caller.line().is_some() {}
            !caller.stream.get_shutdown().contains(ShutdownState::RECEIVED)
        }
        Tls::PlainTextKills => {
            let Ok(neighbour) = call(Asks::Trust) else { return false };
            let waiting = Caller::over(neighbour.stream.get_ref().try_clone().unwrap());
            plain(addr).say("안녕하세요.\n");
            waiting.closes_within(patience.watch)
        }
        Tls::StalledRecordBlocks => {
            let (Ok(stalled), Ok(one), Ok(two)) = (call(Asks::Trust), call(Asks::Trust), call(Asks::Trust)) else {
                return false;
            };
            let (mut one, mut two) = (admitted(one), admitted(two));
            stalled.stream.get_ref().write_all(&[23, 3, 3, 0, 64, 0]).unwrap();
            two.stream.get_ref().set_read_timeout(Some(patience.silence)).unwrap();
            // The first of them may be faster than the half record.
            (0..50).any(|n| {
                one.say(format!("줄 {n};\n"));
                two.line_with(&format!("줄 {n};")).is_none()
            })
        }
        Tls::ServesPlainToo => is_served_plain(addr) && call(Asks::Trust).is_ok(),
    }
}

fn is_served_plain(addr: SocketAddr) -> bool {
    let mut caller = plain(addr);
    caller.say("안녕하세요.\n");
    caller.line_with("어서 오십시오").is_some()
}

/// X509_V_ERR_… (x509_vfy.h), which the crate does not name.
mod verdict {
    pub const SELF_SIGNED: i32 = 18;
    pub const NO_ISSUER: i32 = 20;
    pub const OTHER_ADDRESS: i32 = 64;
}
