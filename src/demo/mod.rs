//! `sockstep demo`: a server and two clients hold a conversation by themselves, and every call of it is shown.
//!
//! ```text
//! script.rs     who does what, step by step, and what has to come before the next step
//! actor.rs      a process that was started, and what it says
//! cast.rs       all of them: waited for, and ended whatever happens
//! capture.rs    tcpdump, where it is there and may capture
//! interrupt.rs  pauses that a signal cuts short
//! story.rs      what the trace file tells that has not been shown yet
//! fold.rs       what is shown of it, and what is only counted
//! show.rs       how it looks
//! ```
//!
//! Nothing here sleeps until something will have happened: each step ends when what it leads to is there. The
//! pauses between the lines are for the person who reads them.

mod actor;
mod capture;
mod cast;
mod fold;
mod interrupt;
mod script;
mod show;
mod story;

use std::fs;
use std::path::{Path, PathBuf};

use self::cast::Cast;
use self::interrupt::{Interrupt, Shown, Stop};
use self::script::{Do, SERVER, Script, Step, Until};
use self::show::Show;
use self::story::Story;
use crate::cli::DemoArgs;
use crate::error::{Error, Result, describe, errno_of};
use crate::signal::die_by;

const TRACE: &str = "run.trace";

/// Plays. When it returns, every process that it has started has ended, and the trace is gone unless it is kept.
pub fn run(args: &DemoArgs) -> Result<()> {
    match play(args) {
        Ok(()) | Err(Stop::Unheard) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::By(signal)) => die_by(signal),
    }
}

fn play(args: &DemoArgs) -> Shown<()> {
    let interrupt = Interrupt::watch()?;
    let directory = Directory::make(args.keep.as_deref())?;
    let script = Script::of(args.stage);
    let mut cast = Cast::new(args, &directory.path, &interrupt)?;
    let mut story = Story::new(&directory.path.join(TRACE), script.lanes);
    let mut show = Show::new(args, &interrupt, script.lanes);
    show.opening(&script, &story.lanes)?;
    for (number, step) in (1..).zip(script.steps) {
        perform(step, &mut cast, &mut story)?;
        let screens = cast.new_lines();
        let events = story.news();
        show.step(number, step, &events, &screens, &story.lanes)?;
        story.have_shown(&events);
    }
    cast.finish_capture(&story)?;
    show.ending(&script, args.keep.as_deref())
}

/// Does what the step says, and returns when it has come to rest: nothing is on its way any more.
fn perform(step: &Step, cast: &mut Cast<'_>, story: &mut Story) -> Shown<()> {
    for act in step.acts {
        match *act {
            Do::Start(SERVER) => cast.start_server()?,
            Do::Start(lane) => {
                let pid = cast.start_client(lane)?;
                story.knows(lane, pid);
            }
            Do::Type(lane, words) => cast.type_in(lane, words),
            Do::HangUp(lane) => cast.hang_up(lane),
            Do::Stop => cast.stop_server(),
            Do::Await(until) => {
                if let Until::Ended(lane) = until {
                    cast.may_leave(lane);
                }
                cast.wait(&until.in_words(story), |cast| {
                    story.look();
                    until.is_met(cast, story)
                })?;
            }
        }
    }
    Ok(())
}

/// Where the trace is written: a directory of our own that goes with us, or the one that somebody keeps.
struct Directory {
    path: PathBuf,
    goes: bool,
}

impl Directory {
    fn make(keep: Option<&Path>) -> Result<Directory> {
        let Some(path) = keep else {
            let pattern = std::env::temp_dir().join("sockstep-demo-XXXXXX");
            let made = nix::unistd::mkdtemp(&pattern);
            let path = made.map_err(|errno| no_directory(&pattern, describe(errno)))?;
            return Ok(Directory { path, goes: true });
        };
        fs::create_dir_all(path).map_err(|error| no_directory(path, describe(errno_of(&error))))?;
        match path.join(TRACE).exists() {
            true => Err(Error::Refused {
                what: format!("--keep {}", path.display()),
                reason: format!("there is a {TRACE} in it already"),
                hint: "앞의 기록에 섞이지 않도록 빈 디렉터리를 지정하거나 그 파일을 지우십시오.".into(),
            }),
            false => Ok(Directory { path: path.into(), goes: false }),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.goes {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn no_directory(path: &Path, reason: String) -> Error {
    Error::File {
        path: path.into(),
        what: "directory",
        reason,
        hint: "기록을 쓸 디렉터리의 경로와 쓰기 권한, 빈 공간을 확인하십시오.".into(),
    }
}
