//! A child of a real server, made to make calls that are not its own: what somebody would do who has taken it over.
//!
//! - Manual: ptrace(2), proc_pid_mem(5)
#![allow(unsafe_code)] // ptrace(2) takes whatever its request says.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Below the stack, and below what may be used there without moving its pointer.
const FREE_BELOW_STACK: u64 = 4096;

/// What has come of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Returned(i64),
    /// The child is gone.
    Ended,
}

/// An argument: a number, or the address of some bytes.
#[derive(Clone, Copy)]
pub enum Word<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Has the process, which waits in a call, make this one instead. `None` where we may not look into it.
pub fn makes(pid: i32, call: libc::c_long, words: &[Word<'_>]) -> Option<Fate> {
    let pid = Pid::from_raw(pid);
    match ptrace(libc::PTRACE_ATTACH, pid, 0) {
        Err(Errno::EPERM) => return None,
        attached => attached.unwrap(),
    }
    assert_eq!(stop(pid), Some(Signal::SIGSTOP));
    let before = registers(pid);
    let mut regs = before;
    regs.rip -= 2; // it is behind the instruction `syscall`, and shall make that again
    regs.orig_rax = u64::MAX; // but not the call that it has made with it
    regs.rax = call as u64;
    let places = [&mut regs.rdi, &mut regs.rsi, &mut regs.rdx, &mut regs.r10, &mut regs.r8, &mut regs.r9];
    let memory = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem")).unwrap();
    let mut free = before.rsp - FREE_BELOW_STACK;
    for (place, word) in places.into_iter().zip(words.iter().chain(std::iter::repeat(&Word::Number(0)))) {
        *place = match *word {
            Word::Number(number) => number,
            Word::Bytes(bytes) => {
                free -= bytes.len() as u64;
                memory.write_all_at(bytes, free).unwrap();
                free
            }
        };
    }
    set_registers(pid, &regs);
    ptrace(libc::PTRACE_SINGLESTEP, pid, 0).unwrap();
    let fate = match stop(pid) {
        Some(Signal::SIGTRAP) => Fate::Returned(registers(pid).rax as i64),
        Some(Signal::SIGSYS) => Fate::Ended,
        other => panic!("{other:?} after call {call}"),
    };
    match fate {
        Fate::Returned(_) => {
            set_registers(pid, &before);
            ptrace(libc::PTRACE_DETACH, pid, 0).unwrap();
        }
        Fate::Ended => {
            ptrace(libc::PTRACE_CONT, pid, libc::SIGSYS as usize).unwrap();
            // The step has left a SIGTRAP, which the child is not to hear; then the handler of SIGSYS takes it from here.
            if stop(pid) == Some(Signal::SIGTRAP) {
                ptrace(libc::PTRACE_DETACH, pid, 0).unwrap();
            }
        }
    }
    Some(fate)
}

fn stop(pid: Pid) -> Option<Signal> {
    match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
        WaitStatus::Stopped(_, signal) => Some(signal),
        _ => None,
    }
}

fn ptrace(request: libc::c_uint, pid: Pid, data: usize) -> nix::Result<()> {
    // SAFETY: these requests take a number, or the address of registers that live until the call returns.
    Errno::result(unsafe { libc::ptrace(request, pid.as_raw(), 0, data) }).map(drop)
}

fn registers(pid: Pid) -> libc::user_regs_struct {
    // SAFETY: a struct of numbers.
    let mut regs: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, pid, &raw mut regs as usize).unwrap();
    regs
}

fn set_registers(pid: Pid, regs: &libc::user_regs_struct) {
    ptrace(libc::PTRACE_SETREGS, pid, std::ptr::from_ref(regs) as usize).unwrap();
}
