//! Whose call it is: the role that a line names, and the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{getpid, gettid};

static ROLE: OnceLock<&'static str> = OnceLock::new();
/// 0 for the parent and for a client, otherwise the number of the connection that this process serves.
static CONNECTION: AtomicU32 = AtomicU32::new(0);

/// `server` or `client`; said once, at the start.
pub fn play(role: &'static str) {
    let _ = ROLE.set(role);
}

/// From here on this process is the child of connection `id`.
pub fn serve(id: u32) {
    CONNECTION.store(id, Ordering::Relaxed);
}

/// `server`, `c3` or `client`.
pub fn role() -> String {
    match CONNECTION.load(Ordering::Relaxed) {
        0 => ROLE.get().copied().unwrap_or("sockstep").into(),
        id => format!("c{id}"),
    }
}

/// `[c3 4130]`: how a line for people begins.
pub fn tag() -> String {
    format!("[{} {}]", role(), pid())
}

/// `4121`, and `4121/4125` for a thread that is not the main one.
pub fn pid() -> String {
    let (pid, tid) = (getpid(), gettid());
    if pid == tid { pid.to_string() } else { format!("{pid}/{tid}") }
}
