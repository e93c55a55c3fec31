//! The room in which an experiment is done: a folder like the project's, terminals, and patience.

use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;

use super::chapter::{Experiment, root};
use super::matching::Values;
use super::step::{Kind, Step};
use super::terminal::Terminal;
use crate::support::certs;

/// So long nothing comes, and nothing more is believed to come; and so long that is waited for.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_MOST: Duration = Duration::from_secs(1);

/// A line of our server's log.
static LOG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\S+Z (INFO|WARN) +\[(server|c\d+) \d+\] ").unwrap());
/// `[1]+  Stopped …`, and `Killed`, which the shell says where it stands, when somebody else has done that.
static JOB: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\[\d+\][+-]? +Stopped .*|Killed)$").unwrap());

struct Lab {
    // In this order they are dropped: nobody is left in the network or in the folder when it goes.
    terminals: Vec<(String, Terminal)>,
    network: Option<Network>,
    dir: tempfile::TempDir,
    values: Values,
    patience: Duration,
}

/// Types every step and waits until what is written below it has come. The error says where it has not, and what came.
pub fn perform(experiment: &Experiment, patience: Duration) -> Result<(), String> {
    if let Some(missing) = missing(experiment) {
        // Not eprintln!(): the harness shows that of a test that has failed only.
        let _ = writeln!(stderr(), "skipped: {} needs {missing}", experiment.place);
        return Ok(());
    }
    let mut lab =
        Lab { dir: folder(), network: Network::new(), terminals: Vec::new(), values: Values::default(), patience };
    for (n, step) in experiment.steps.iter().enumerate() {
        let next = experiment.steps[n + 1..].iter().find(|later| later.terminal == step.terminal);
        let file = experiment.place.split(':').next().unwrap_or_default();
        let taken = lab.take(step, next.map(|step| step.kind));
        taken.map_err(|why| format!("{file}:{}: {:?} {}{why}", step.line, step.kind, step.text))?;
    }
    lab.nothing_more(experiment)
}

/// What not every machine gives to everybody.
fn missing(experiment: &Experiment) -> Option<&'static str> {
    let (mut as_root, mut namespace) = (false, false);
    for step in &experiment.steps {
        as_root |= step.kind == Kind::AsRoot;
        namespace |= step.text.contains("unshare ");
    }
    let works = |command: &[&str]| {
        let tried = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    match () {
        () if as_root && !nix::unistd::geteuid().is_root() => Some("root"),
        () if as_root && !works(&["tcpdump", "-i", "lo", "-L"]) => Some("tcpdump on lo"),
        () if namespace && !works(&["unshare", "-Urn", "true"]) => Some("a network namespace"),
        () => None,
    }
}

/// As a student has it after `make certs`, and with nobody else's files in it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["src", "notes", "tests", "Makefile", "Cargo.toml", "README.md"] {
        symlink(root().join(name), dir.path().join(name)).unwrap();
    }
    for name in [".run", ".python", "certs"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    for entry in fs::read_dir(certs()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.path().join("certs").join(entry.file_name())).unwrap();
    }
    fs::copy(root().join("certs/make-certs.sh"), dir.path().join("certs/make-certs.sh")).unwrap();
    fs::write(dir.path().join(".python/sitecustomize.py"), "import sys\ndel sys.__interactivehook__\n").unwrap();
    dir
}

/// A loopback of the experiment's own, where the ports, the counters and yesterday's TIME-WAIT of others are not. Only
/// root may make one and stay himself in it; without it the machine's own loopback does.
struct Network(Child);

impl Network {
    fn new() -> Option<Network> {
        let mut holder = Command::new("unshare");
        holder.args(["-n", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut up = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut up).ok()?;
        let network = Network(holder);
        (up == "up\n").then_some(network)
    }
}

impl Drop for Network {
    /// Ends whoever is still in it: a daemon, where an experiment has failed before it stopped it.
    fn drop(&mut self) {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        if let (Ok(this), Ok(all)) = (of(&self.0.id().to_string()), fs::read_dir("/proc")) {
            let pids = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            for pid in pids.filter(|pid| of(pid).is_ok_and(|network| network == this)) {
                let _ = pid.parse().map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Lab {
    fn terminal(&mut self, name: &str) -> &mut Terminal {
        let known = self.terminals.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.terminals.push((
                name.to_string(),
                Terminal::open(self.dir.path(), self.network.as_ref().map(|network| network.0.id())),
            ));
            self.terminals.len() - 1
        });
        &mut self.terminals[known].1
    }

    fn take(&mut self, step: &Step, next: Option<Kind>) -> Result<(), String> {
        let typed = self.values.fill_all(&step.text);
        // Ctrl takes the upper bits away (ascii(7)).
        let key = char::from(typed.bytes().next().unwrap_or_default() & 0x1f).to_string();
        self.wait_for_prompt(step)?;
        let terminal = self.terminal(&step.terminal);
        match step.kind {
            Kind::Look => {}
            Kind::Key => terminal.press(&key),
            _ => terminal.press(&format!("{typed}\n")),
        }
        let until = Instant::now() + self.patience;
        let mut again = Some(Instant::now() + self.patience / 3);
        loop {
            // A signal that comes just before Python goes to sleep in a call is only noticed behind it: one presses again.
            if step.kind == Kind::Key && again.is_some_and(|again| Instant::now() > again) {
                again = None;
                let terminal = self.terminal(&step.terminal);
                if terminal.is_silent() {
                    terminal.press(&key);
                }
            }
            let ended = self.terminal(&step.terminal).shell_waits();
            match self.compare(step, next) {
                Ok(upto) => {
                    self.terminal(&step.terminal).claim(upto);
                    return Ok(());
                }
                Err(why) if Instant::now() > until => return Err(why),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
            if step.only_looks() && ended {
                let terminal = self.terminal(&step.terminal);
                terminal.claim(terminal.len());
                terminal.press(&format!("{typed}\n"));
            }
        }
    }

    /// A command and a line of Python wait for their prompt; what has come before it must be in the notes.
    fn wait_for_prompt(&mut self, step: &Step) -> Result<(), String> {
        let waits = match step.kind {
            Kind::Command | Kind::AsRoot => Terminal::shell_waits,
            Kind::Python => Terminal::python_waits,
            Kind::Line | Kind::Key | Kind::Look => return Ok(()),
        };
        let until = Instant::now() + self.patience;
        while !waits(self.terminal(&step.terminal)) {
            if Instant::now() > until {
                let (rows, _) = self.terminal(&step.terminal).unclaimed();
                return Err(format!("\nno prompt there yet; what has come is:\n{}", rows.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let (rows, upto) = self.terminal(&step.terminal).unclaimed();
        let rest = self.values.compare(&[], &rows);
        rest.map_err(|more| format!("\nbefore this, more has come there than is written:{more}"))?;
        self.terminal(&step.terminal).claim(upto);
        Ok(())
    }

    /// What comes after the last step is not written anywhere: so nothing may come, but what a server that is left running
    /// logs, what the shell says of its jobs, and more where `...` stands last.
    fn nothing_more(&mut self, experiment: &Experiment) -> Result<(), String> {
        let all = |lab: &Lab| lab.terminals.iter().map(|(_, terminal)| terminal.len()).sum::<usize>();
        let until = Instant::now() + SETTLED_MOST;
        let mut before = usize::MAX;
        while all(self) != before && Instant::now() < until {
            before = all(self);
            std::thread::sleep(SETTLED);
        }
        for (name, terminal) in &self.terminals {
            let of_this = |step: &&Step| step.terminal == *name && step.kind != Kind::Key;
            let Some(last) = experiment.steps.iter().rfind(of_this) else { continue };
            let mut rows = terminal.unclaimed().0;
            rows.retain(|row| !["", ">"].contains(&row.trim()) && !JOB.is_match(row) && !LOG.is_match(row));
            if !rows.is_empty() && last.expected.last().is_none_or(|line| line != "...") {
                let file = experiment.place.split(':').next().unwrap_or_default();
                let (line, text, more) = (last.line, &last.text, rows.join("\n+"));
                return Err(format!(
                    "{file}:{line}: {text} \nat the end, more has come there than is written:\n+{more}"
                ));
            }
        }
        Ok(())
    }

    /// Up to where this step's output goes, when it is as written and the step is at its end.
    fn compare(&mut self, step: &Step, next: Option<Kind>) -> Result<usize, String> {
        let must_end = match step.kind {
            Kind::Command | Kind::AsRoot => {
                step.terminal.is_empty() || step.only_looks() || matches!(next, Some(Kind::Command | Kind::AsRoot))
            }
            Kind::Python => !matches!(next, Some(Kind::Look | Kind::Key)),
            Kind::Line | Kind::Key | Kind::Look => false,
        };
        let terminal = self.terminal(&step.terminal);
        let ended = match step.kind {
            Kind::Python => terminal.python_waits(),
            _ => terminal.shell_waits(),
        };
        let (mut rows, upto) = terminal.unclaimed();
        if must_end && !ended {
            return Err(format!("\nhas not ended; what has come is:\n{}", rows.join("\n")));
        }
        // Our client's editor shows what is typed, and its prompt.
        rows.retain(|row| row.trim_end() != ">" && (step.kind != Kind::Line || *row != format!("> {}", step.text)));
        self.values.compare(&step.expected, &rows).map(|()| upto)
    }
}
