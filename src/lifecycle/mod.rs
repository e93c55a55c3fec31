//! The life of a socket, one file a call, in the order in which they are called.
//!
//! ```text
//! server:  socket → bind → listen → accept → fork → recv ⇄ send → shutdown → close
//! client:  socket →          connect                → send ⇄ recv → shutdown → close
//! UDP:     socket → bind →                        recvfrom ⇄ sendto          → close
//! ```
//!
//! Each function makes one system call, through `lesson::gate`, and returns the bare errno: the
//! roles (server, child, client) know on what they called it and decide what to do.

mod accept;
mod bind;
mod close;
mod connect;
mod fork;
mod listen;
mod option;
mod recv;
mod recvfrom;
mod recvmsg;
mod send;
mod sendmsg;
mod sendto;
mod shutdown;
mod socket;

pub use accept::{AcceptError, accept};
pub use bind::{bind, local_address};
pub use close::{Socket, close, close_all_but};
pub use connect::{connect, connect_unix};
pub use fork::{exit_at_once, fork};
pub use listen::listen;
pub use option::{SocketOption, duplicate, pending_error, set_linger, set_nonblocking, set_option};
pub use recv::{discard, peek, recv, recv_packet};
pub use recvfrom::recvfrom;
pub use recvmsg::recvmsg;
pub use send::send;
pub use sendmsg::sendmsg;
pub use sendto::sendto;
pub use shutdown::shutdown;
pub use socket::{socket, socket_unix, socketpair};

/// Makes a call again when a signal interrupted it before it did anything (signal(7)).
fn restarting<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => continue,
            result => return result,
        }
    }
}
