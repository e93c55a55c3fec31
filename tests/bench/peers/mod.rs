//! Who is measured: sockstep, others' servers as they ship, and two of our own.

pub mod bare;
mod command;
mod nodelay;
mod place;
mod process;
pub mod tokio_chat;
pub mod wrong;

use std::io::Write;
use std::path::Path;

use openssl::ssl::{SslContext, SslFiletype, SslMethod, SslSessionCacheMode};

use crate::failure::{Result, failed};
pub use place::Place;
pub use process::Server;
use wrong::Fault;

/// What a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    Echo,
    Chat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Sockstep,
    /// sockstep, built without what the trace costs when nobody looks.
    NoTrace,
    /// sockstep with its children free to make any call, as bare's are.
    NoSandbox,
    /// One fork a connection, raw libc and OpenSSL.
    Bare,
    /// A broadcast channel and tasks.
    Tokio,
    Ncat,
    /// With TCP_NODELAY forced on it: as it ships it may wait on Nagle, and beating that is no merit.
    NcatNoDelay,
    Socat,
    SocatNoDelay,
    Stunnel,
    /// Only in the bench's own tests.
    Wrong(Fault),
}

impl Peer {
    pub const ALL: [Peer; 10] = [
        Peer::Sockstep,
        Peer::NoTrace,
        Peer::NoSandbox,
        Peer::Bare,
        Peer::Tokio,
        Peer::Ncat,
        Peer::NcatNoDelay,
        Peer::Socat,
        Peer::SocatNoDelay,
        Peer::Stunnel,
    ];

    /// Those of these names; all, if there are none.
    pub fn chosen(names: &[String]) -> Result<Vec<Peer>> {
        if let Some(name) = names.iter().find(|name| !Peer::ALL.iter().any(|peer| peer.name() == **name)) {
            let known: Vec<String> = Peer::ALL.iter().map(|peer| peer.name()).collect();
            return failed(format!("그런 서버는 없습니다: {name}. 쓸 수 있는 이름: {}", known.join(", ")));
        }
        Ok(Peer::ALL.into_iter().filter(|peer| names.is_empty() || names.contains(&peer.name())).collect())
    }

    pub fn name(self) -> String {
        match self {
            Peer::Sockstep => "sockstep".into(),
            Peer::NoTrace => "no-trace".into(),
            Peer::NoSandbox => "no-sandbox".into(),
            Peer::Bare => "bare".into(),
            Peer::Tokio => "tokio".into(),
            Peer::Ncat => "ncat".into(),
            Peer::NcatNoDelay => "ncat+nodelay".into(),
            Peer::Socat => "socat".into(),
            Peer::SocatNoDelay => "socat+nodelay".into(),
            Peer::Stunnel => "stunnel".into(),
            Peer::Wrong(fault) => format!("wrong-{fault:?}").to_lowercase(),
        }
    }

    /// The program that must be installed, unless it comes with the bench.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Peer::Ncat | Peer::NcatNoDelay => Some("ncat"),
            Peer::Socat | Peer::SocatNoDelay => Some("socat"),
            Peer::Stunnel => Some("stunnel"),
            Peer::Sockstep | Peer::NoTrace | Peer::NoSandbox | Peer::Bare | Peer::Tokio | Peer::Wrong(_) => None,
        }
    }

    pub fn is_missing(self) -> bool {
        self.program().is_some_and(|program| !is_installed(program))
    }

    pub fn serves(self, what: Serves, tls: bool) -> bool {
        match self {
            Peer::Sockstep | Peer::Ncat => true,
            // What goes through a child and does not cost much itself is where it would be seen.
            Peer::NoTrace => what == Serves::Echo && !tls,
            Peer::NoSandbox | Peer::Bare | Peer::Socat => what == Serves::Echo,
            Peer::Tokio | Peer::NcatNoDelay => what == Serves::Chat,
            // Where it matters: in the handshake, whose last flight OpenSSL writes in two parts.
            Peer::SocatNoDelay | Peer::Stunnel => what == Serves::Echo && tls,
            Peer::Wrong(_) => !tls,
        }
    }

    fn wants_nodelay(self) -> bool {
        matches!(self, Peer::NcatNoDelay | Peer::SocatNoDelay)
    }
}

pub fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
}

/// What a server of ours says when its port is open.
fn announce(port: u16) {
    println!("ready 127.0.0.1:{port}");
    let _ = std::io::stdout().flush();
}

/// TLS as sockstep has it, for the servers of our own.
fn server_context(certs: &Path) -> Result<SslContext> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_certificate_chain_file(certs.join("server.pem"))?;
    context.set_private_key_file(certs.join("server.key"), SslFiletype::PEM)?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_session_id_context(b"bench")?;
    context.set_read_ahead(true);
    Ok(context.build())
}
