//! Root's power in pieces, of which one is left for --chroot until a child has used it.
//!
//! - Manual: capabilities(7), capget(2)
#![allow(unsafe_code)] // Neither libc nor nix has these two calls.

use nix::errno::Errno;

/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const VERSION: u32 = 0x2008_0522;
/// The only one that is ever named here.
const CAP_SYS_CHROOT: u32 = 1 << 18;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The sets of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities([Word; 2]);

impl Capabilities {
    pub const NONE: Capabilities = Capabilities([Word { effective: 0, permitted: 0, inheritable: 0 }; 2]);

    /// To enter another root, and nothing else. `now`: at once, not only when it is asked for again.
    pub fn to_enter(now: bool) -> Capabilities {
        let effective = if now { CAP_SYS_CHROOT } else { 0 };
        Capabilities([Word { effective, permitted: CAP_SYS_CHROOT, inheritable: 0 }, Word::default()])
    }

    pub fn of_this_process() -> nix::Result<Capabilities> {
        let (header, mut found) = (Header { version: VERSION, pid: 0 }, Capabilities::NONE);
        // SAFETY: the kernel reads the header and fills two words, which is what this version has; both live until it returns.
        let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, found.0.as_mut_ptr()) };
        Errno::result(result).map(|_| found)
    }

    /// `capset()`: a process can give up what it has, and never get what it may not have.
    pub fn take(self) -> nix::Result<()> {
        let header = Header { version: VERSION, pid: 0 };
        // SAFETY: the kernel reads the header and two words, which live until it returns.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, self.0.as_ptr()) };
        Errno::result(result).map(drop)
    }

    pub fn are_some(self) -> bool {
        self.0.iter().any(|word| word.permitted != 0)
    }

    pub fn let_enter(self) -> bool {
        self.0[0].permitted & CAP_SYS_CHROOT != 0
    }
}
