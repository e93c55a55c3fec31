//! `--step`: the program stops before each call, says what it is about to do and why, and asks.
//!
//! Every process asks for itself, on the one terminal, and in turn. Between two calls nobody is stopped but
//! by the question: a process that waits in poll() has made its call and says what it waits for.
//!
//! - Notes: notes/14-watching.md
//! - Manual: tty(4), termios(3)
//! - Try: make step-server STAGE=1

use std::io::{IsTerminal, stderr};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::console::{Answer, Console, Key};
use super::look::{self, Change};
use super::shared::flags;
use super::turn::{HEARD, Turn, Turns};
use super::{coloured, lock, state, who, words};
use crate::error::Result;

const KEYS: &str = "Enter 실행 · s 상태 · n 다음 종류까지 · c 계속 · q 끝 · ? 도움말";
const HELP: &str = "    Enter  이 호출을 실행합니다
    s      이 프로세스가 가진 소켓의 상태를 커널에 물어 보여 줍니다
    n      같은 호출은 묻지 않고 실행하고, 다른 호출 앞에서 멈춥니다
    c      더 멈추지 않고 계속 실행합니다. 호출은 계속 보여 줍니다
    q      프로그램을 끝냅니다. 서버는 남은 연결을 정리하고 끝납니다
";

static STEPPER: OnceLock<Stepper> = OnceLock::new();

struct Stepper {
    console: Console,
    turns: Turns,
    /// Standard error is where the questions are: the calls need not stand there as well.
    on_stderr: bool,
    /// The process that was started: the one to stop when somebody has had enough.
    owner: Pid,
    /// It hears SIGTERM where it can end well; before that, it simply ends.
    owner_listens: AtomicBool,
    /// `n`: calls of this kind are not asked about.
    passing: Mutex<Option<String>>,
    /// The last remark of this process; nothing once it has made a call.
    said: Mutex<Option<String>>,
    /// The process whose question all keys were named to.
    greeted: AtomicI32,
    /// This process is ending, and asks no more; others may.
    ending: AtomicBool,
    /// The calls that this process is making are shown and not asked about.
    unasked: AtomicBool,
}

/// Begins to step: on the terminal, or as the script says.
pub fn begin(script: Option<&Path>) -> Result<()> {
    flags();
    let console = script.map_or_else(Console::terminal, Console::script)?;
    let on_stderr = script.is_some() || stderr().is_terminal();
    let (turns, owner) = (Turns::new()?, getpid());
    let (owner_listens, greeted) = (AtomicBool::new(false), AtomicI32::new(0));
    STEPPER.get_or_init(|| Stepper {
        console,
        turns,
        on_stderr,
        owner,
        owner_listens,
        passing: Mutex::default(),
        said: Mutex::default(),
        greeted,
        ending: AtomicBool::new(false),
        unasked: AtomicBool::new(false),
    });
    Ok(())
}

/// Somebody steps, or has stepped until `c`: deadlines rest.
pub fn is_on() -> bool {
    STEPPER.get().is_some()
}

/// `q` has been pressed: an end by SIGTERM is what was asked for.
pub fn has_quit() -> bool {
    is_on() && flags().quit.load(Ordering::Relaxed)
}

/// From here on SIGTERM ends the program well.
pub fn can_be_stopped() {
    STEPPER.get().iter().for_each(|stepper| stepper.owner_listens.store(true, Ordering::Relaxed));
}

/// No more questions, in any process: the program is ending.
pub fn run_on() {
    if is_on() {
        flags().runs_on.store(true, Ordering::Relaxed);
    }
}

/// A process has been killed: if it was at its question, the terminal is still as that has needed it.
pub fn tidy() {
    let Some(stepper) = STEPPER.get() else { return };
    if let Some(_turn) = stepper.turns.try_take() {
        stepper.console.tidy();
    }
}

/// Descriptors that a child must keep.
pub fn kept_fds() -> impl Iterator<Item = RawFd> {
    STEPPER.get().into_iter().flat_map(|stepper| [stepper.console.raw_fd(), stepper.turns.raw_fd()])
}

/// While it is held, nobody asks: to be taken for reading standard input, which may be the same terminal.
pub fn keyboard() -> Option<MutexGuard<'static, ()>> {
    STEPPER.get().map(|stepper| stepper.turns.keyboard())
}

/// The turn of this process at the terminal, from its question to the result; `None` when nobody steps.
pub fn turn() -> Option<Turn<'static>> {
    STEPPER.get().map(|stepper| stepper.turns.take())
}

/// Whether lines for standard error are told to whoever steps instead.
pub fn tells_for_stderr() -> bool {
    STEPPER.get().is_some_and(|stepper| stepper.on_stderr)
}

/// Lines for whoever steps. To be said in one's turn.
pub fn say(lines: &str) {
    STEPPER.get().iter().for_each(|stepper| stepper.console.say(lines));
}

/// What has changed, in the kernel's words.
pub fn say_change(change: &Change) {
    say(&format!("    fd {}: {}\n", change.fd, change.words.join(", ")));
}

/// What the calls alone do not say: that this process goes to sleep, and for what. Said once between two calls.
pub fn remark(what: &str) {
    let Some(stepper) = STEPPER.get() else { return };
    let mut said = lock(&stepper.said);
    if said.as_deref() != Some(what) {
        *said = Some(what.into());
        drop(said);
        let _turn = stepper.turns.take();
        say(&format!("{} … {what}\n", who::tag()));
    }
}

/// Runs `calls`, which are shown and not asked about: they are no part of the story.
pub fn unasked<T>(calls: impl FnOnce() -> T) -> T {
    let ask = |no: bool| STEPPER.get().iter().for_each(|stepper| stepper.unasked.store(no, Ordering::Relaxed));
    ask(true);
    let result = calls();
    ask(false);
    result
}

/// Asks about the call that is about to be made, until the answer is to run it.
///
/// `number` is the descriptor that the call is about, `fd` the same while it is open and of use.
pub fn ask(call: &str, number: Option<RawFd>, fd: Option<BorrowedFd<'_>>) {
    let Some(stepper) = STEPPER.get() else { return };
    let has_waited = lock(&stepper.said).take().is_some();
    let kind = call.split('(').next().unwrap_or_default();
    let passing = lock(&stepper.passing).as_deref() == Some(kind);
    if passing || stepper.asks_no_more() {
        return;
    }
    *lock(&stepper.passing) = None;
    if has_waited && who::role() != "client" {
        stepper.console.forget_keys(); // they were no answers: nobody had asked. A client's are its conversation
    }
    // [14.ask]
    say(&question(call, kind, look::is_pair(number)));
    let all_keys = stepper.greeted.swap(getpid().as_raw(), Ordering::Relaxed) != getpid().as_raw();
    let mut keys = if all_keys { KEYS } else { "Enter s n c q ?" };
    loop {
        say(&format!("{} {keys}\n", who::tag()));
        keys = "Enter s n c q ?";
        match stepper.console.ask(stepper.heard(), || !stepper.asks_no_more()) {
            // One decision, in as many calls as there are gaps between what stays open.
            Answer::Key(Key::Run) if kind == "close_range" => return *lock(&stepper.passing) = Some(kind.into()),
            Answer::Key(Key::Run) => return,
            Answer::Key(Key::State) => say(&sockets(fd)),
            Answer::Key(Key::Help) => say(HELP),
            Answer::Key(Key::NextKind) => return *lock(&stepper.passing) = Some(kind.into()),
            Answer::Key(Key::RunOn) => return run_on(),
            Answer::Key(Key::Quit) => return stepper.quit(),
            Answer::NoMore => {
                say("    더 받을 키가 없으므로 멈추지 않고 계속 실행합니다.\n");
                return run_on();
            }
            Answer::Over => {
                say("    끝나는 중이므로 더 묻지 않습니다.\n");
                return stepper.end();
            }
        }
    }
}

impl Stepper {
    /// The signals that end this process, and that it hears itself. A child leaves all but SIGTERM to its parent.
    fn heard(&self) -> &'static [Signal] {
        if getpid() == self.owner { &HEARD } else { &HEARD[..1] }
    }

    fn asks_no_more(&self) -> bool {
        let this_process = self.ending.load(Ordering::Relaxed) || self.unasked.load(Ordering::Relaxed);
        this_process || flags().runs_on.load(Ordering::Relaxed)
    }

    /// The end of the started process is everybody's; a child's is its own.
    fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        if getpid() == self.owner {
            run_on();
        }
    }

    /// The started process is told to stop; before it can be told, this is the end of it.
    fn quit(&self) {
        flags().quit.store(true, Ordering::Relaxed);
        run_on();
        say("    끝냅니다.\n");
        if getpid() == self.owner && !self.owner_listens.load(Ordering::Relaxed) {
            std::process::exit(0);
        }
        let _ = kill(self.owner, Signal::SIGTERM);
    }
}

fn question(call: &str, kind: &str, on_pair: bool) -> String {
    let (bold, plain) = if coloured() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let why = words::why(call, on_pair);
    let lesson = words::of(kind)
        .map(|words| format!("    {}\n    {} · man {}\n", why.unwrap_or(words.why), words.chapter, words.manual))
        .unwrap_or_default();
    format!("\n{} 다음 호출: {bold}{call}{plain}\n{lesson}", who::tag())
}

/// The socket in question in full, and the others of this process in brief.
fn sockets(fd: Option<BorrowedFd<'_>>) -> String {
    use std::os::fd::AsRawFd;
    let asked = fd.map(|fd| fd.as_raw_fd());
    let mut out = String::new();
    if let Some(fd) = fd {
        out += &format!("    fd {}\n", fd.as_raw_fd());
        out.extend(state::in_full(fd).into_iter().map(|line| format!("      {line}\n")));
    }
    let others = state::all_sockets().into_iter().filter(|(other, _)| Some(*other) != asked);
    out.extend(others.map(|(other, state)| format!("    fd {other}  {}\n", state.brief())));
    if out.is_empty() {
        out += "    이 프로세스에는 아직 소켓이 없습니다.\n";
    }
    out
}
