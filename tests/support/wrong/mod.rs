//! Deliberately wrong servers: a small correct one of each kind, and servers that differ from it in one mistake, as a
//! student would make it. Nothing of ours is in them: threads and std::net, as in a first server of one's own.
#![allow(dead_code, clippy::unwrap_used)]

mod conn;
mod echo;
mod relay;
mod room;
mod site;
mod tls;
mod udp;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

pub use echo::Echo;
pub use relay::Relay;
use site::Site;
pub use tls::Tls;
pub use udp::Udp;

/// An enum with a list of all its variants; the first `$right` of them are correct servers.
macro_rules! servers {
    ($(#[$about:meta])* $name:ident, $right:literal right: $($(#[$mistake:meta])* $variant:ident,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$mistake])* $variant,)+ }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];
            pub const RIGHT: &[$name] = $name::ALL.split_at($right).0;
            pub const WRONG: &[$name] = $name::ALL.split_at($right).1;
        }
    };
}
use servers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Echo(Echo),
    Relay(Relay),
    Tls(Tls),
    Udp(Udp),
}

impl Kind {
    pub fn right() -> Vec<Kind> {
        Kind::of(Echo::RIGHT, Relay::RIGHT, Tls::RIGHT, Udp::RIGHT)
    }

    pub fn wrong() -> Vec<Kind> {
        Kind::of(Echo::WRONG, Relay::WRONG, Tls::WRONG, Udp::WRONG)
    }

    fn of(echo: &[Echo], relay: &[Relay], tls: &[Tls], udp: &[Udp]) -> Vec<Kind> {
        let echo = echo.iter().map(|server| Kind::Echo(*server));
        let relay = relay.iter().map(|server| Kind::Relay(*server));
        let tls = tls.iter().map(|server| Kind::Tls(*server));
        let udp = udp.iter().map(|server| Kind::Udp(*server));
        echo.chain(relay).chain(tls).chain(udp).collect()
    }
}

/// A server on 127.0.0.1 and a port of the kernel's choice. When it is dropped, its sockets are closed and its threads
/// have ended.
pub struct Wrong {
    pub addr: SocketAddr,
    site: Arc<Site>,
}

impl Wrong {
    pub fn start(kind: Kind) -> Wrong {
        let site = Arc::new(Site::default());
        let host = site.clone();
        let addr = if let Kind::Udp(mistake) = kind {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            site.keep(&socket);
            let addr = socket.local_addr().unwrap();
            site.spawn(move || udp::serve(&host, &socket, mistake));
            addr
        } else {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            site.keep(&listener);
            let addr = listener.local_addr().unwrap();
            site.spawn(move || match kind {
                Kind::Echo(mistake) => echo::serve(&host, &listener, mistake),
                Kind::Relay(mistake) => relay::serve(&host, &listener, mistake),
                Kind::Tls(mistake) => tls::serve(&host, &listener, mistake),
                Kind::Udp(_) => {}
            });
            addr
        };
        Wrong { addr, site }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        self.site.end();
        let panics = self.site.join();
        assert!(panics == 0 || std::thread::panicking(), "{panics} threads of the server panicked");
    }
}
