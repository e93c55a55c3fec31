//! What the class looks at. Every socket call of the program passes through [`gate`].
//!
//! `call.rs` is a call with its arguments, `trace.rs` the line that shows it, shaped as strace
//! prints it: `shown.rs` the data and addresses in it, `message.rs` what recvmsg() and sendmsg() take.
//! `words.rs` says in Korean what each call is for. `state.rs` is what the kernel says of a socket.
//! `RUST_LOG=sockstep::calls=trace` shows the lines.

mod call;
mod message;
mod shown;
pub mod state;
mod trace;
pub mod words;

pub use call::{Call, Datagram, Outcome, Packet, PacketInfo, Returned};

/// The log target of the calls: silent unless asked for by name or by a global `trace`.
const TARGET: &str = "sockstep::calls";

/// The one gate: runs `make`, which is the system call that `call` describes, and shows both.
///
/// Nothing is formatted unless somebody looks. The gate neither retries nor judges: an EINTR is a
/// call that returned EINTR, and the caller decides.
pub fn gate<T: Outcome>(call: Call<'_>, make: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let result = make();
    if log::log_enabled!(target: TARGET, log::Level::Trace) {
        log::trace!(target: TARGET, "{}", trace::line(&call, &result));
    }
    result
}
