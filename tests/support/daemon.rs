//! The server as a daemon: started as a person starts it, seen through /proc, and never left behind.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use super::{BIN, Finished, Peer, children, eventually, is_running, run};

/// More than a server may take to end: after this it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// A folder for the files of a daemon. What still runs with one of them on its command line is ended when
/// this is dropped.
pub struct Home(TempDir);

impl Home {
    /// A folder that everybody may pass through, whoever the daemon becomes.
    pub fn new() -> Rc<Home> {
        let dir = tempfile::Builder::new().prefix("sockstep-daemon-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Rc::new(Home(dir))
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        let path = self.path(name);
        path.to_str().unwrap().to_string()
    }

    pub fn pid_file(&self) -> PathBuf {
        self.path("pid")
    }

    /// All that is in the log file; nothing, when there is none.
    pub fn log(&self) -> String {
        self.read("log")
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// The PID in the PID file, when it is there.
    pub fn pid(&self) -> i32 {
        let mut pid = None;
        eventually("a PID in the PID file", || {
            pid = self.read("pid").trim().parse().ok();
            pid.is_some()
        });
        pid.unwrap()
    }

    /// Where the server here listens, when its log says so.
    pub fn listening_on(&self) -> SocketAddr {
        self.wait_for_log("listening on ");
        let log = self.log();
        let addr = log.lines().find_map(|line| line.split_once("listening on "));
        addr.unwrap().1.parse().unwrap()
    }

    /// Joins the relay here, and reads the greeting.
    pub fn join(&self) -> Peer {
        greeted(TcpStream::connect(self.listening_on()).unwrap())
    }

    /// The arguments of a server here, with what every daemon needs where `args` do not give it.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        let (pid_file, log_file) = (self.text("pid"), self.text("log"));
        let mut all = vec!["server".to_string(), "--daemon".to_string()];
        let mut usual = vec![("--listen", "127.0.0.1:0"), ("--pid-file", &pid_file), ("--log-file", &log_file)];
        if geteuid().is_root() {
            usual.push(("--user", "root"));
        }
        for (option, value) in usual.into_iter().filter(|(option, _)| !args.contains(option)) {
            all.extend([option.to_string(), value.to_string()]);
        }
        all.extend(args.iter().map(ToString::to_string));
        all
    }

    /// The command that starts a daemon here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.args(self.args(args));
        command
    }

    /// `sockstep status|stop|reload` for this daemon.
    pub fn control(&self, what: &str) -> Finished {
        run(Command::new(BIN).args([what, "--pid-file"]).arg(self.pid_file()), b"")
    }

    /// The processes that have this folder on their command line.
    pub fn processes(&self) -> Vec<i32> {
        let dir = self.dir().to_str().unwrap().as_bytes();
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let is_of_here = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(dir.len()).any(|part| part == dir)
        };
        pids.filter(is_of_here).collect()
    }

    /// Waits until nothing runs here.
    pub fn is_empty(&self) {
        eventually("the end of all processes of this daemon", || self.processes().is_empty());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let until = Instant::now() + ENDS_WITHIN;
        let all = self.processes();
        for pid in all.iter().filter(|pid| !all.contains(&parent(**pid))) {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
        }
        while !self.processes().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let late = self.processes();
        for pid in &late {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        self.is_empty();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        } else {
            assert!(late.is_empty(), "had to be killed: {late:?}\n{}", self.log());
        }
    }
}

fn parent(pid: i32) -> i32 {
    Seen::of(pid).map_or(0, |seen| seen.ppid)
}

/// A daemon on a port of the kernel's choice; ended, and waited for, with its [`Home`].
pub struct Daemon {
    pub pid: i32,
    pub addr: SocketAddr,
    pub home: Rc<Home>,
    /// What its starter has said.
    pub told: String,
}

impl Daemon {
    pub fn start(args: &[&str]) -> Daemon {
        Daemon::start_in(&Home::new(), args)
    }

    pub fn start_in(home: &Rc<Home>, args: &[&str]) -> Daemon {
        Daemon::from_command(home, &mut home.command(args))
    }

    /// Runs a command that starts a daemon, to the command's end.
    pub fn from_command(home: &Rc<Home>, command: &mut Command) -> Daemon {
        let started = run(command, b"");
        let told = started.text();
        assert_eq!(started.code(), 0, "{told}{}", started.err);
        let addr = told.split("에서").next().and_then(|addr| addr.parse().ok());
        let pid = told.split("데몬의 PID는 ").nth(1).and_then(|rest| rest.split("입니다").next()?.parse().ok());
        let (Some(addr), Some(pid)) = (addr, pid) else { panic!("no address or no PID: {told:?}") };
        Daemon { pid, addr, home: home.clone(), told }
    }

    pub fn connect(&self) -> Peer {
        Peer::new(TcpStream::connect(self.addr).unwrap())
    }

    /// Connects to a relay and reads the greeting.
    pub fn join(&self) -> Peer {
        greeted(self.connect().stream)
    }

    /// It answers a newcomer; for echo and relay, without TLS.
    pub fn serves(&self) {
        let mut peer = self.connect();
        peer.send("/who\n");
        peer.line();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    pub fn wait_for_children(&self, count: usize) -> Vec<i32> {
        eventually(&format!("{count} children"), || children(self.pid).len() == count);
        children(self.pid)
    }

    /// Waits until its process is no more.
    pub fn is_gone(&self) {
        eventually("the daemon's end", || !is_running(self.pid));
    }

    pub fn seen(&self) -> Seen {
        Seen::of(self.pid).expect("a running daemon")
    }
}

fn greeted(stream: TcpStream) -> Peer {
    let mut peer = Peer::new(stream);
    let greeting = peer.line();
    assert!(greeting.starts_with("* 어서 오십시오, 손님"), "{greeting}");
    peer
}

/// A process as /proc shows it (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub ppid: i32,
    pub session: i32,
    pub tty_nr: i32,
    pub start_ticks: u64,
}

impl Seen {
    pub fn of(pid: i32) -> Option<Seen> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let values: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let value = |number: usize| values[number - 3].parse().unwrap();
        Some(Seen { ppid: value(4), session: value(6), tty_nr: value(7), start_ticks: value(22) as u64 })
    }
}

/// The value of `KEY:` in /proc/PID/status, its parts separated by single spaces.
pub fn status_of(pid: i32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The open descriptors of a process, and what they lead to.
pub fn fds(pid: i32) -> BTreeMap<i32, String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|fd| fd.unwrap().path());
    let pair = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, fs::read_link(path).ok()?.to_string_lossy().into_owned()))
    };
    fds.filter_map(pair).collect()
}

/// An address of this machine that nobody else uses: 127.0.0.0/8 is all loopback.
pub fn own_address(port: u16) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 6) + NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = number.to_be_bytes();
    SocketAddr::from(([127, 1 + high % 254, middle, 1 + low % 254], port))
}

/// The binary where a stranger may execute it; copied by another program, as a file that is open for writing
/// here would be inherited by what other tests start (ETXTBSY).
pub fn binary_for_everybody(home: &Home) -> PathBuf {
    let installed = Command::new("install").args(["-m", "755", BIN]).arg(home.dir()).status().unwrap();
    assert!(installed.success());
    home.path("sockstep")
}

/// The starter fails and says why, with a hint; nothing runs and nobody listens on the port. Whether there is
/// a PID file is as it was.
#[track_caller]
pub fn assert_refused(home: &Home, mut command: Command, port_of: &str, why: &str, hint: &str) {
    let had_pid_file = home.pid_file().symlink_metadata().is_ok();
    let done = run(&mut command, b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""), "{}", done.err);
    let (said, hinted) = done.err.split_once("\n힌트: ").unwrap_or_else(|| panic!("no hint: {}", done.err));
    assert!(said.starts_with("sockstep: ") && said.contains(why), "{why:?}: {}", done.err);
    assert!(hinted.contains(hint) && done.err.lines().count() == 2, "{hint:?}: {}", done.err);
    home.is_empty();
    assert_eq!(home.pid_file().symlink_metadata().is_ok(), had_pid_file, "a PID file came or went");
    assert!(port_of.is_empty() || TcpListener::bind(port_of).is_ok(), "somebody listens on {port_of}");
}
