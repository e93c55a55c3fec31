//! What every test needs: the real binary, real sockets, deadlines, and nothing left behind.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

pub mod daemon;
pub mod holdings;
pub mod inject;
pub mod network;
pub mod program;
pub mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing in a test may take longer than this: then it has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const BIN: &str = env!("CARGO_BIN_EXE_sockstep");

/// A sockstep server on a port of the kernel's choice; killed and waited for when dropped.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `sockstep server --listen 127.0.0.1:0 ARGS` and waits for its ready line.
    pub fn start(args: &[&str]) -> Server {
        Server::start_on("127.0.0.1:0", args)
    }

    pub fn start_on(listen: &str, args: &[&str]) -> Server {
        let mut command = Command::new(BIN);
        command.args(["server", "--listen", listen]).args(args);
        Server::from_command(command)
    }

    /// Starts any command that ends up being a sockstep server in the foreground.
    pub fn from_command(mut command: Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), log.clone());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let addr = ready.split("에서").next().and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("no ready line: {ready:?}; log: {}", log.lock().unwrap()));
        Server { child, addr, log, reader: Some(reader) }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log of a server that has ended, and whose children have.
    pub fn whole_log(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.log()
    }

    /// Waits until the log holds `text`.
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for the server to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the server's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The pids of its children, zombies included.
    pub fn children(&self) -> Vec<i32> {
        children(self.pid())
    }

    pub fn wait_for_children(&self, count: usize) -> Vec<i32> {
        eventually(&format!("{count} children"), || self.children().len() == count);
        self.children()
    }

    pub fn open_fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub fn connect(&self) -> Peer {
        Peer::new(TcpStream::connect(self.addr).unwrap())
    }

    /// Connects to a relay and reads the greeting; the peer's name is `손님N`.
    pub fn join(&self) -> Peer {
        let mut peer = self.connect();
        let greeting = peer.line();
        assert!(greeting.starts_with("* 어서 오십시오, 손님"), "{greeting}");
        peer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in children {
            eventually("a child's end", || !is_running(pid));
        }
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", self.log());
        }
    }
}

/// The pids of a process's children, zombies included.
pub fn children(pid: i32) -> Vec<i32> {
    let pids = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// False when the process has ended, even if nobody has waited for it.
pub fn is_running(pid: i32) -> bool {
    matches!(state(pid), Some(state) if state != 'Z' && state != 'X')
}

/// The state letter of a process (proc(5)).
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Into a child with TLS or with other people's lines only root may look: what would be seen there is left out
/// where we are not.
pub fn may_look_into(pid: i32) -> bool {
    let may = std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok();
    if !may {
        eprintln!("skipped in part: needs root");
    }
    may
}

/// A line `Key:  1234 kB` of /proc/PID/status or smaps_rollup, in kB.
pub fn proc_kb(pid: i32, file: &str, key: &str) -> u64 {
    find_proc_kb(pid, file, key).unwrap_or_else(|| panic!("no {key} in {file} of {pid}"))
}

/// The same; `None` when the process has ended.
pub fn find_proc_kb(pid: i32, file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1).unwrap().parse().unwrap())
}

/// A client over a plain TCP socket, or over TLS (tls.rs). Reads have a deadline.
pub struct Peer<S = TcpStream> {
    pub stream: S,
    read: Vec<u8>,
}

impl<S: Read + Write> Peer<S> {
    /// Over a stream that was made elsewhere.
    pub fn around(stream: S) -> Peer<S> {
        Peer { stream, read: Vec::new() }
    }

    pub fn send(&mut self, data: impl AsRef<[u8]>) {
        self.stream.write_all(data.as_ref()).unwrap();
    }

    /// The next line, without its newline. Panics at the end of the stream.
    pub fn line(&mut self) -> String {
        self.next_line().expect("a line, but the server closed")
    }

    /// The next line, or `None` at the end of the stream.
    pub fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("UTF-8"));
            }
            let mut buf = [0; 65536];
            match self.stream.read(&mut buf).expect("a line before the deadline") {
                0 => return None,
                n => self.read.extend_from_slice(&buf[..n]),
            }
        }
    }

    /// Reads lines until one satisfies `wanted`, and returns it.
    pub fn line_where(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line();
            if wanted(&line) {
                return line;
            }
        }
    }

    pub fn line_with(&mut self, text: &str) -> String {
        self.line_where(|line| line.contains(text))
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.read);
        self.stream.read_to_end(&mut rest).expect("the end before the deadline");
        String::from_utf8(rest).unwrap()
    }
}

impl Peer {
    pub fn new(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Peer { stream, read: Vec::new() }
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with RST instead of FIN (SO_LINGER with a time of 0, socket(7)).
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&self.stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    }

    /// Sends until the kernel takes no more for a moment; returns how much it took.
    pub fn send_until_full(&mut self, data: &[u8]) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut sent = 0;
        while sent < data.len() {
            match self.stream.write(&data[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.stream.set_write_timeout(Some(DEADLINE)).unwrap();
        sent
    }

    pub fn fd(&self) -> i32 {
        self.stream.as_raw_fd()
    }
}

/// Waits until `done`, looking every few milliseconds; fails at the deadline.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that are all different enough that a lost, doubled or moved one shows.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Runs a command with this standard input to its end; kills it at the deadline.
pub fn run(command: &mut Command, input: &[u8]) -> Finished {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input))); // a command may end before it has read all
    let out = read_all(child.stdout.take().unwrap());
    let err = read_all(child.stderr.take().unwrap());
    let until = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not end in time");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // A process that it has left behind must hold neither pipe.
    eventually("the end of its output", || out.is_finished() && err.is_finished());
    writer.join().unwrap();
    Finished { status, out: out.join().unwrap(), err: String::from_utf8_lossy(&err.join().unwrap()).into_owned() }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

pub struct Finished {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
}

impl Finished {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// `sockstep client ARGS`
pub fn client(args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.arg("client").args(args);
    command
}

/// Certificates as `make certs` makes them, made once for a test program.
pub fn certs() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        make_certs(dir.path(), &[]);
        dir
    });
    dir.path()
}

pub fn make_certs(dir: &Path, hosts: &[&str]) {
    let made = certs_script(dir).args(hosts).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// `certs/make-certs.sh -d DIR`
pub fn certs_script(dir: &Path) -> Command {
    let mut script = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs/make-certs.sh"));
    script.arg("-d").arg(dir);
    script
}

/// The path of a file among [`certs`], as an argument.
pub fn cert(name: &str) -> String {
    certs().join(name).to_str().unwrap().to_string()
}

/// `--tls --cert F --key F` with [`certs`], and more.
pub fn tls_server(args: &[&str]) -> Server {
    let (pem, key) = (cert("server.pem"), cert("server.key"));
    Server::start(&[&["--tls", "--cert", &pem, "--key", &key], args].concat())
}
