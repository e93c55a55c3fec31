//! tcpdump beside the show: packets are nice to have, and no reason to fail.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::actor::Actor;
use super::cast::Cast;
use super::interrupt::Shown;
use super::story::Story;
use crate::text::excerpt;

pub const CAPTURE: &str = "run.pcap";
/// For tcpdump to open the interface, and to write what the kernel has already given it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts it; when it cannot capture, the show goes on without.
pub fn start(cast: &mut Cast<'_>, port: u16) -> Shown<()> {
    let mut command = Command::new("tcpdump");
    // Each packet at once from the kernel, and at once into the file.
    command.args(["-i", "lo", "-U", "--immediate-mode", "-w"]).arg(cast.directory().join(CAPTURE));
    if geteuid().is_root() {
        command.args(["-Z", "root"]); // as its own user it could not write into our directory
    }
    command.args(["port", &port.to_string()]);
    let Ok(tcpdump) = Actor::start("tcpdump", &mut command) else {
        say("tcpdump가 없어 패킷은 기록하지 않습니다. 설치하려면 `sudo apt-get install tcpdump`를 실행하십시오.");
        return Ok(());
    };
    cast.tcpdump = Some(tcpdump);
    let said = |cast: &Cast<'_>| cast.tcpdump.as_ref().map(|tcpdump| tcpdump.err.text()).unwrap_or_default();
    let gone = |cast: &Cast<'_>| cast.tcpdump.as_ref().is_none_or(|tcpdump| tcpdump.ended.is_some());
    cast.came("tcpdump", PATIENCE, |cast| said(cast).contains("listening on") || gone(cast))?;
    if !said(cast).contains("listening on") {
        let why = said(cast).lines().last().map(|line| excerpt(line.as_bytes())).unwrap_or_default();
        say(&format!("tcpdump가 캡처할 수 없어 패킷은 기록하지 않습니다. root로 실행하면 캡처할 수 있습니다. ({why})"));
        cast.tcpdump = None;
    }
    Ok(())
}

impl Cast<'_> {
    /// Ends tcpdump when the last packet of the show is in its file.
    pub fn finish_capture(&mut self, story: &Story) -> Shown<()> {
        if self.tcpdump.is_none() {
            return Ok(());
        }
        let path = self.directory().join(CAPTURE);
        let whole = |_: &Cast<'_>| std::fs::read(&path).is_ok_and(|capture| story.is_in(&capture));
        self.came("the last packet", PATIENCE, whole)?;
        if let Some(mut tcpdump) = self.tcpdump.take() {
            tcpdump.end(Signal::SIGINT, PATIENCE);
        }
        Ok(())
    }
}

/// Beside the show, which may go elsewhere.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
