//! Signals: blocked everywhere but in the wait, so that no call is cut in half by one.
//!
//! The parent reads them from a descriptor (signalfd(2)) in its epoll loop. A child inherits the blocked
//! mask and the handlers of its parent, and opens SIGTERM only while it sleeps in ppoll(2).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::errno_of;

/// Signals as a descriptor: they are read in the loop that also waits for sockets.
#[derive(Debug)]
pub struct Watch {
    fd: SignalFd,
    ours: SigSet,
}

impl Watch {
    /// The parent's: to stop, to reload, to tell who is there, and children that ended.
    ///
    /// A SIGHUP that nohup(1) has set to be ignored stays ignored; but a daemon has left the terminal
    /// of its starter, and for it SIGHUP means something else.
    pub fn for_parent(daemon: bool) -> nix::Result<Watch> {
        if daemon {
            dispose(Signal::SIGHUP, SigHandler::SigDfl)?;
        }
        let watch = Watch::over(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGUSR1])?;
        dispose(Signal::SIGTERM, SigHandler::Handler(raise_flag))?; // for the children: here it is blocked, and read
        Ok(watch)
    }

    /// A client's at a terminal: it must not die or rest before the terminal is as it was.
    pub fn for_terminal() -> nix::Result<Watch> {
        Watch::over(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGTSTP, Signal::SIGHUP])
    }

    /// Of who has started others and must end them before it goes. Ctrl-Z stops all of them, as ever.
    pub fn for_demo() -> nix::Result<Watch> {
        Watch::over(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP])
    }

    /// Resets what the starter left behind (a blocked mask, SIGCHLD ignored) and blocks `signals`.
    ///
    /// A SIGHUP that nohup(1) has set to be ignored stays ignored.
    fn over(signals: &[Signal]) -> nix::Result<Watch> {
        let mut ours = SigSet::empty();
        for signal in signals {
            let before = dispose(*signal, SigHandler::SigDfl)?;
            if *signal == Signal::SIGHUP && matches!(before, SigHandler::SigIgn) {
                dispose(*signal, before)?;
            } else {
                ours.add(*signal);
            }
        }
        dispose(Signal::SIGPIPE, SigHandler::SigIgn)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&ours), None)?;
        let fd = SignalFd::with_flags(&ours, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Watch { fd, ours })
    }

    /// The next signal that has arrived, if any.
    pub fn next(&self) -> Option<Signal> {
        self.read().map(|(signal, _)| signal)
    }

    /// What is to be answered in this round: the next signal, with who has sent it, and behind it one that ends the
    /// server, if that has come as well.
    ///
    /// The kernel hands out the lowest number first. SIGHUP (1) and SIGUSR1 (10) that come faster than they are answered
    /// would keep SIGTERM (15) from ever being read.
    pub fn next_round(&mut self) -> [Option<(Signal, Sender)>; 2] {
        let next = self.read();
        if !matches!(next, Some((Signal::SIGHUP | Signal::SIGUSR1, _))) {
            return [next, None];
        }
        let ending = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        let end = self.fd.set_mask(&ending).ok().and_then(|()| self.read());
        let _ = self.fd.set_mask(&self.ours); // a mask that it has had before
        [next, end]
    }

    fn read(&self) -> Option<(Signal, Sender)> {
        let info = self.fd.read_signal().ok().flatten()?;
        let sender = if info.ssi_code == libc::SI_KERNEL { Sender::Kernel } else { Sender::Process };
        Some((Signal::try_from(info.ssi_signo as i32).ok()?, sender))
    }
}

/// Who has sent a signal (sigaction(2), si_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Kernel,
    Process,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file of ours that has reached `ulimit -f`, the log or the trace, is no reason to die: EFBIG will do.
pub fn survive_full_files() {
    let _ = dispose(Signal::SIGXFSZ, SigHandler::SigIgn); // an ignored signal cannot be refused
}

/// Ends this process by `signal`, as if it had never been caught: so the shell sees what happened.
pub fn die_by(signal: Signal) -> ! {
    let only = SigSet::from(signal);
    let _ = dispose(signal, SigHandler::SigDfl).and_then(|_| sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None));
    let _ = raise(signal);
    std::process::exit(128 + signal as i32)
}

/// The terminal that a server was started at, if any.
///
/// SIGHUP is what the kernel sends when a terminal goes ("hang up"). Daemons have none, so for them it
/// came to mean "read your files again". A server at a terminal hears both: which one it is, the terminal
/// itself can tell, and the sender. When a shell ends, the kernel sends SIGHUP to its programs first, and only
/// then takes the terminal away from them: who is quick still finds it. But a shell that hears of the end
/// first passes SIGHUP on to its jobs itself.
#[derive(Clone, Copy, Debug)]
pub struct ControllingTerminal {
    was_there: bool,
}

impl ControllingTerminal {
    pub fn look() -> ControllingTerminal {
        ControllingTerminal { was_there: File::open("/dev/tty").is_ok() }
    }

    /// Whether a SIGHUP from there means that it has gone: tty(4) answers ENXIO then.
    pub fn has_gone(self, sender: Sender) -> bool {
        let gone = |error: std::io::Error| matches!(errno_of(&error), Errno::ENXIO | Errno::EIO);
        self.was_there && (sender == Sender::Kernel || File::open("/dev/tty").is_err_and(gone))
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn raise_flag(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// The mask for a child's ppoll(): SIGTERM gets through there only.
///
/// The others stay blocked. SIGINT and SIGHUP reach the whole group from the terminal, SIGUSR1 perhaps from
/// pkill(1): the parent hears them for everybody.
pub fn mask_of_a_child() -> nix::Result<SigSet> {
    let mut mask = SigSet::thread_get_mask()?;
    mask.remove(Signal::SIGTERM);
    Ok(mask)
}

/// True once a child has been sent SIGTERM: time to say goodbye.
pub fn asked_to_stop() -> bool {
    STOP.load(Ordering::Relaxed)
}

#[allow(unsafe_code)] // sigaction(2) trusts us that a handler is safe to run at any point.
fn dispose(signal: Signal, handler: SigHandler) -> nix::Result<SigHandler> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the only handler ever given is `raise_flag`, which stores to an atomic and returns.
    unsafe { sigaction(signal, &action) }.map(|old| old.handler())
}
