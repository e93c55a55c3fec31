//! Which calls a child may make, and the program that the kernel runs at each of them to find out.
//!
//! The kernel remembers what the program says where that depends on the number of the call alone (since 5.11), by
//! trying every number when the program is installed. So arguments are looked at only where it matters, and the numbers are
//! searched in a tree whose halves are as wide as each other: each child installs it, and pays for each step.
//!
//! - Manual: seccomp(2), bpf(4), syscalls(2)

use libc::{c_long, sock_filter};

use super::Needs;

/// `AUDIT_ARCH_*` of linux/audit.h: what a number means depends on it, and a 64-bit process can make 32-bit calls.
pub const ARCHITECTURE: Option<u32> = match () {
    () if cfg!(target_arch = "x86_64") => Some(0xC000_003E),
    () if cfg!(target_arch = "aarch64") => Some(0xC000_00B7),
    () if cfg!(target_arch = "riscv64") => Some(0xC000_00F3),
    () => None,
};

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// SIGSYS: the end of the child.
    Fatal,
    Allowed,
    /// EACCES: libraries look for files, and can do without.
    Refused,
    /// Memory for data: no PROT_EXEC in the third argument.
    Data,
    /// The second argument is one of these.
    Only(&'static [u32]),
    /// `kill(pid, SIGTERM)` of that process, and no other.
    Stop(u32),
}

/// What it takes to receive, to wait, to send, to encrypt, to have memory, and to end.
const ALLOWED: &[c_long] = &[
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_ppoll,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_write, // lines for the log; but no read(): standard input may be somebody's terminal
    libc::SYS_writev,
    libc::SYS_fstat,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_getpid,  // OpenSSL asks whether there has been a fork()
    libc::SYS_sysinfo, // qsort(3) of a long list asks how much memory there is: OpenSSL sorts the CAs that it trusts
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

const REFUSED: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
];

/// The trace and the stepper name the thread, and ask what a socket looks like.
const LOOKS: &[c_long] = &[libc::SYS_gettid, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt];
const ASKED: &[u32] = &[libc::FIONREAD as u32, libc::TIOCOUTQ as u32, libc::SIOCGIFNAME as u32];
/// And the stepper asks at a terminal, whose modes it changes; but it types nothing there (TIOCSTI).
const ASKED_AT_TERMINAL: &[u32] = &[
    libc::FIONREAD as u32,
    libc::TIOCOUTQ as u32,
    libc::SIOCGIFNAME as u32,
    libc::TCGETS as u32,
    libc::TCSETS as u32,
    libc::TCGETS2 as u32,
    libc::TCSETS2 as u32,
    libc::TCFLSH as u32,
];
const FLAGS: &[u32] = &[libc::F_GETFD as u32, libc::F_GETFL as u32];
/// The turn at the terminal is a lock.
const FLAGS_AND_LOCKS: &[u32] =
    &[libc::F_GETFD as u32, libc::F_GETFL as u32, libc::F_SETLK as u32, libc::F_SETLKW as u32];

/// The calls that do not end a child.
fn rules(needs: &Needs) -> Vec<(u32, Verdict)> {
    let mut rules: Vec<(c_long, Verdict)> = ALLOWED.iter().map(|call| (*call, Verdict::Allowed)).collect();
    rules.extend(REFUSED.iter().map(|call| (*call, Verdict::Refused)));
    rules.extend([libc::SYS_mmap, libc::SYS_mprotect].map(|call| (call, Verdict::Data)));
    if needs.watched {
        rules.extend(LOOKS.iter().map(|call| (*call, Verdict::Allowed)));
    }
    if let Some(owner) = needs.stepped_by {
        rules.extend([
            (libc::SYS_ioctl, Verdict::Only(ASKED_AT_TERMINAL)),
            (libc::SYS_fcntl, Verdict::Only(FLAGS_AND_LOCKS)),
            (libc::SYS_rt_sigpending, Verdict::Allowed),
            (libc::SYS_read, Verdict::Allowed), // a key, from the terminal or the script
            (libc::SYS_kill, Verdict::Stop(owner.as_raw().unsigned_abs())), // `q` ends the server
        ]);
    } else if needs.watched {
        rules.extend([(libc::SYS_ioctl, Verdict::Only(ASKED)), (libc::SYS_fcntl, Verdict::Only(FLAGS))]);
    } else if cfg!(debug_assertions) {
        rules.push((libc::SYS_fcntl, Verdict::Only(FLAGS))); // std looks at what it is about to close
    }
    let numbered = rules.into_iter().filter_map(|(call, verdict)| Some((u32::try_from(call).ok()?, verdict)));
    numbered.chain([(NO_CALL, Verdict::Allowed)]).collect()
}

/// A tracer has taken the call back (`strace -e inject=…`): the kernel makes none.
const NO_CALL: u32 = u32::MAX;

/// The program for seccomp(2); `None` where none is known, as the architecture is not.
pub fn program(needs: &Needs) -> Option<Vec<sock_filter>> {
    let mut program = vec![
        load(ARCHITECTURE_AT),
        jump(libc::BPF_JEQ, ARCHITECTURE?, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS), // nobody could say what its number means
        load(NUMBER_AT),
    ];
    program.extend(tree(&ranges(rules(needs)), ALL_NUMBERS)?);
    Some(program)
}

/// So many calls has no architecture yet.
const ALL_NUMBERS: u32 = 512;

/// Each from its first number to that of the next.
fn ranges(mut rules: Vec<(u32, Verdict)>) -> Vec<(u32, Verdict)> {
    rules.sort_by_key(|(number, _)| *number);
    let mut ranges = vec![(0, Verdict::Fatal)];
    for (number, verdict) in rules {
        ranges.retain(|(first, _)| *first < number); // where the last one ended, this one begins
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
        ranges.extend(number.checked_add(1).map(|next| (next, Verdict::Fatal)));
    }
    ranges.dedup_by_key(|(_, verdict)| *verdict);
    ranges
}

/// Code that finds the range of the number that has been loaded. `end`: where the last one ends, or as good as.
fn tree(ranges: &[(u32, Verdict)], end: u32) -> Option<Vec<sock_filter>> {
    let (first, verdict) = *ranges.first()?;
    let middle = first + end.saturating_sub(first) / 2;
    let Some(split) = (1..ranges.len()).min_by_key(|at| ranges[*at].0.abs_diff(middle)) else {
        return Some(leaf(verdict));
    };
    let (below, above) = ranges.split_at(split);
    let border = above.first()?.0;
    let below = tree(below, border)?;
    let mut code = vec![jump(libc::BPF_JGE, border, u8::try_from(below.len()).ok()?, 0)];
    code.extend(below);
    code.extend(tree(above, end)?);
    Some(code)
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    let (allow, trap) = (answer(libc::SECCOMP_RET_ALLOW), answer(libc::SECCOMP_RET_TRAP));
    match verdict {
        Verdict::Fatal => vec![trap],
        Verdict::Allowed => vec![allow],
        Verdict::Refused => vec![answer(libc::SECCOMP_RET_ERRNO | libc::EACCES as u32)],
        Verdict::Data => vec![load(argument_at(2)), jump(libc::BPF_JSET, libc::PROT_EXEC as u32, 0, 1), trap, allow],
        Verdict::Only(values) => {
            let to_allow = |n: usize| (values.len() - n) as u8; // past the rest and the trap; the lists are short
            let tests = values.iter().enumerate().map(|(n, value)| jump(libc::BPF_JEQ, *value, to_allow(n), 0));
            [load(argument_at(1))].into_iter().chain(tests).chain([trap, allow]).collect()
        }
        Verdict::Stop(pid) => vec![
            load(argument_at(0)),
            jump(libc::BPF_JEQ, pid, 0, 3),
            load(argument_at(1)),
            jump(libc::BPF_JEQ, libc::SIGTERM as u32, 0, 1),
            allow,
            trap,
        ],
    }
}

/// Offsets in `struct seccomp_data`. Of an argument the lower half: these are ints to the kernel, and all
/// architectures here are little-endian.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const fn argument_at(n: u32) -> u32 {
    16 + 8 * n
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(how: u32, k: u32, if_so: u8, if_not: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | how | libc::BPF_K) as u16, jt: if_so, jf: if_not, k }
}

fn answer(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
