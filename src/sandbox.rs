//! A child can do next to nothing: whoever takes one over has its connection, its end of the relay pair, and no other call.
//!
//! A child enters before it reads the first byte, and there is no way out. What its calls may be is decided by a
//! program in the kernel (`filter.rs`). Where one is forbidden the kernel sends SIGSYS, whose handler leaves the number
//! of the call where the parent reads it (`names.rs` has the names) and ends the process.
//!
//! What stays open: it talks to its client and to the parent, and reads its own memory; under TLS the server's key
//! is there, as the parent's memory is what it was made of.
//!
//! - Notes: notes/09-fork.md
//! - Manual: seccomp(2), prctl(2) (PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE), setrlimit(2), chroot(2), capabilities(7)
//! - Try: grep -E 'Seccomp|NoNewPrivs' /proc/$(pgrep -f sockstep-c1)/status

mod capabilities;
mod filter;
mod names;
mod root;

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use libc::sock_filter;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

pub use self::capabilities::Capabilities;
pub use self::root::Root;
use crate::error::{During, Error, Result, describe};

/// The exit code of a child that made a forbidden call.
pub const FORBIDDEN: i32 = 24;
/// `poll(2)` refuses more descriptors than this limit, and a child waits for two. It is full: there are 0, 1 and 2.
const POLLED_FDS: u64 = 2;
/// The signal is the filter's, not one that somebody has sent (asm-generic/siginfo.h).
const SYS_SECCOMP: i32 = 1;

/// What children do that not every child does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Their calls are shown, with what they do to the sockets.
    pub watched: bool,
    /// They ask before each call. Whom they tell when somebody has had enough.
    pub stepped_by: Option<Pid>,
    /// They write to a regular file: there is no limit on its size then.
    pub writes_files: bool,
    /// There is more in their memory than what their own client has said.
    pub secretive: bool,
}

/// Made once in the parent, entered by each child.
#[derive(Debug)]
pub struct Sandbox {
    program: Vec<sock_filter>,
    needs: Needs,
    root: Option<Root>,
    /// Root's children have something to give up.
    has_power: bool,
}

impl Sandbox {
    /// From here on the parent itself gains no rights by a program either, so that its children inherit that.
    pub fn new(needs: Needs, root: Option<Root>) -> Result<Sandbox> {
        let program = filter::program(&needs).ok_or(Errno::ENOSYS).during("seccomp", "filter")?;
        prctl::set_no_new_privs().during("prctl", "PR_SET_NO_NEW_PRIVS")?;
        hear_of_forbidden_calls().during("sigaction", "SIGSYS")?;
        let has_power = Capabilities::of_this_process().during("capget", "")?.are_some();
        Ok(Sandbox { program, needs, root, has_power })
    }

    /// In a child, while it still has all its descriptors: from here on its `/` is another.
    pub fn change_root(&self) -> nix::Result<()> {
        self.root.as_ref().map_or(Ok(()), Root::enter)
    }

    /// In a child, when it has what it needs: from here on it can do next to nothing.
    pub fn enter(&self) -> nix::Result<()> {
        if self.has_power {
            Capabilities::NONE.take()?;
        }
        if self.needs.secretive {
            prctl::set_dumpable(false)?; // no core file either, whoever would write it
        }
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        if !self.needs.writes_files {
            setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
        }
        setrlimit(Resource::RLIMIT_NOFILE, POLLED_FDS, POLLED_FDS)?;
        install(&self.program)
    }
}

/// `seccomp(SECCOMP_SET_MODE_FILTER)`: for this process, for good.
#[allow(unsafe_code)] // Neither libc nor nix has a function for seccomp(2).
fn install(program: &[sock_filter]) -> nix::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which lives until the call returns, and writes none.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(result).map(drop)
}

/// Whether this kernel would let a child in: asked before the port opens.
#[allow(unsafe_code)] // as install()
pub fn can_be_had() -> Result<()> {
    let action = libc::SECCOMP_RET_TRAP;
    // SAFETY: the kernel reads one number from `action`, which lives until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    let refused = |reason| {
        Error::Refused {
        what: "seccomp".into(),
        reason,
        hint: "자식 프로세스를 샌드박스에 가둘 수 없어 시작하지 않았습니다. 이 커널이나 컨테이너는 seccomp를 허용하지 않습니다. 샌드박스 없이 실행하려면 --no-sandbox를 쓰십시오.".into(),
    }
    };
    Errno::result(result).map_err(|errno| refused(describe(errno)))?;
    filter::ARCHITECTURE.map(drop).ok_or_else(|| refused("not known on this architecture".into()))
}

/// A regular file is what RLIMIT_FSIZE is about.
pub fn is_file(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|found| found.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// Somebody traces us, and so will trace the children that we make.
pub fn is_traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Where the child that is about to be made leaves the number of a forbidden call, plus one.
static PLACE: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());

/// To be said in the parent, before fork(): what one child is told, the next one forgets.
pub fn report_to(place: Option<&'static AtomicU32>) {
    PLACE.store(place.map_or(std::ptr::null_mut(), |place| std::ptr::from_ref(place).cast_mut()), Ordering::Relaxed);
}

/// What a child has left there.
pub fn reported_in(place: &AtomicU32) -> Option<String> {
    let number = place.load(Ordering::Relaxed).checked_sub(1)?;
    Some(names::name(number).map_or_else(|| format!("call {number}"), String::from))
}

/// Set in the parent, which never has reason to be sent it, so that each child has it from the start.
#[allow(unsafe_code)] // sigaction(2) trusts us that a handler is safe to run at any point.
fn hear_of_forbidden_calls() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::SigAction(report_and_end), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: it loads and stores atomics, and calls nothing but _exit(2), which is async-signal-safe.
    unsafe { sigaction(Signal::SIGSYS, &action) }.map(drop)
}

#[allow(unsafe_code)] // what a signal handler is given are pointers
extern "C" fn report_and_end(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo_t that lives as long as the handler runs.
    let info = unsafe { &*info };
    let by_filter = info.si_code == SYS_SECCOMP;
    // SAFETY: null, or a reference that lives as long as the process.
    let place = unsafe { PLACE.load(Ordering::Relaxed).as_ref() };
    if let Some(place) = place.filter(|_| by_filter) {
        // SAFETY: a SIGSYS of the filter's carries the number of the call.
        let number = unsafe { info.si_syscall() };
        place.store((number as u32).wrapping_add(1), Ordering::Relaxed);
    }
    let code = if by_filter { FORBIDDEN } else { 128 + signal };
    // SAFETY: _exit(2) ends the process; there is nothing after it that could be unsound.
    unsafe { libc::_exit(code) }
}
