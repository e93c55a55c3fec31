//! A server under load: its start, its log, and what an operator does to it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{setsockopt, sockopt};
use openssl::ssl::{SslContext, SslSession};

use crate::PATIENCE;
use crate::conn::{Conn, client_context};
use crate::failure::{Failure, Result, failed};
use crate::room::Room;
use crate::support::tls::Issued;
use crate::support::{BIN, Server};
use crate::tally::{Count, Tally};

const LOOK: Duration = Duration::from_millis(10);
/// What a warning may be about here; anything else is for somebody to look at.
const EXPECTED_WARNINGS: [&str; 1] = ["reads too slowly: cut off"];

pub struct Site {
    pub name: &'static str,
    pub server: Server,
    pub addr: SocketAddr,
    pub room: Option<Room>,
    /// Of the clients; only where there is TLS.
    pub context: Option<SslContext>,
    certificates: [Issued; 2],
    dir: PathBuf,
    /// Odd while files are being changed and read anew.
    generation: AtomicU64,
    /// Tickets of the keys that it has: those that it took, and those that it did not.
    taken: AtomicU64,
    untaken: AtomicU64,
    /// Descriptors of the parent before the first client.
    pub fds_at_first: usize,
}

/// A ticket, and of which keys: a server that has reloaded has others.
pub struct Ticket {
    session: SslSession,
    generation: u64,
}

impl Site {
    /// All four, each with its files in a folder of its own.
    pub fn start_all(dir: &Path) -> Result<Vec<Site>> {
        let ca = Issued::ca("soak CA");
        let (ca_file, _) = ca.write(dir, "ca");
        let kinds =
            [("에코", false, false), ("에코 TLS", false, true), ("중계", true, false), ("중계 TLS", true, true)];
        let start = |(nth, (name, relay, tls))| {
            let dir = dir.join(format!("{nth}"));
            fs::create_dir(&dir)?;
            let context = if tls { Some(client_context(Path::new(&ca_file))?) } else { None };
            let certificates = ["first", "second"].map(|name| Issued::leaf(name, &["localhost"], -1..10, Some(&ca)));
            Ok(Site::start(name, relay, context, certificates, dir))
        };
        kinds.into_iter().enumerate().map(start).collect()
    }

    fn start(
        name: &'static str,
        relay: bool,
        context: Option<SslContext>,
        certificates: [Issued; 2],
        dir: PathBuf,
    ) -> Site {
        let (pem, key) = certificates[0].write(&dir, "server");
        let mut command = Command::new(BIN);
        command.args(["server", "--listen", "127.0.0.1:0", "--mode", if relay { "relay" } else { "echo" }]);
        command.arg("--log-file").arg(dir.join("log"));
        if context.is_some() {
            command.args(["--tls", "--cert", &pem, "--key", &key]);
        }
        end_with_us(&mut command);
        let server = Server::from_command(command);
        let (addr, fds_at_first) = (server.addr, server.open_fds());
        let room = relay.then(Room::default);
        let [generation, taken, untaken] = [(); 3].map(|()| AtomicU64::new(0));
        Site { name, server, addr, room, context, certificates, dir, generation, taken, untaken, fds_at_first }
    }

    pub fn pid(&self) -> u32 {
        self.server.pid() as u32
    }

    pub fn is_tls(&self) -> bool {
        self.context.is_some()
    }

    /// Without a word of TLS.
    pub fn dial(&self, tally: &Tally) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.addr)?;
        tally.add(Count::Connections, 1);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// As a client connects: where there is TLS, with a ticket if it has one.
    pub fn connect(&self, ticket: Option<&Ticket>, receive_buffer: Option<usize>, tally: &Tally) -> Result<Conn> {
        let before = self.generation.load(SeqCst);
        let stream = self.dial(tally)?;
        receive_buffer.map_or(Ok(()), |bytes| setsockopt(&stream, sockopt::RcvBuf, &bytes))?;
        let conn = Conn::over(stream, self.context.as_ref(), ticket.map(|ticket| &ticket.session))?;
        if self.is_tls() {
            let how = if conn.was_resumed() { Count::Resumptions } else { Count::FullHandshakes };
            tally.add(how, 1);
        }
        let same_keys = |ticket: &Ticket| ticket.generation == before && self.generation.load(SeqCst) == before;
        if ticket.is_some_and(same_keys) {
            (if conn.was_resumed() { &self.taken } else { &self.untaken }).fetch_add(1, SeqCst);
        }
        Ok(conn)
    }

    /// The ticket that this thread was given last; `begun` is the generation when it began to connect.
    pub fn take_ticket(&self, begun: u64) -> Option<Ticket> {
        let session = Conn::take_ticket()?;
        let now = self.generation.load(SeqCst);
        (now == begun && now % 2 == 0).then_some(Ticket { session, generation: now })
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// What an operator does once in a while: the log renamed, the certificate replaced, SIGHUP.
    pub fn reload(&self, tally: &Tally) -> Result<()> {
        let turn = self.generation.fetch_add(1, SeqCst) / 2 + 1;
        let (log, old) = (self.dir.join("log"), self.dir.join("log.old"));
        fs::rename(&log, &old)?;
        let certificate = &self.certificates[(turn % 2) as usize];
        if self.is_tls() {
            certificate.write(&self.dir, "server");
        }
        self.server.signal(Signal::SIGUSR1); // the table of clients, in passing
        self.server.signal(Signal::SIGHUP);
        until("the end of a reload", || Ok(read(&log).contains(" clients stay")))?;
        self.generation.fetch_add(1, SeqCst);
        tally.add(Count::Reloads, 1);
        tally.add(Count::Rotations, 1);
        quiet(&read(&old))?;
        if self.is_tls() {
            let shown = match self.connect(None, None, tally)? {
                Conn::Tls(tls) => tls.ssl().peer_certificate(),
                Conn::Plain(_) => None,
            };
            let is_new = shown.is_some_and(|shown| shown.to_der().ok() == certificate.pem.to_der().ok());
            if !is_new {
                return failed("a newcomer is not shown the new certificate");
            }
            tally.add(Count::Certificates, 1);
        }
        Ok(())
    }

    /// When all clients have left: no child, no descriptor too many; then the server's own end.
    pub fn is_left_as_it_was(&self) -> Result<()> {
        until("the end of all children", || Ok(self.server.children().is_empty()))?;
        let fds = || self.server.open_fds();
        until("the descriptors", || Ok(fds() <= self.fds_at_first))
            .map_err(|_| Failure::new(format!("{} descriptors, at first {}", fds(), self.fds_at_first)))?;
        let [taken, untaken] = [&self.taken, &self.untaken].map(|count| count.load(SeqCst));
        // In hours, its keys may have become too old once or twice.
        if untaken * 50 > taken + untaken {
            return failed(format!("{untaken} tickets of {} were not taken", taken + untaken));
        }
        self.room.as_ref().map_or(Ok(()), Room::is_settled)
    }

    pub fn end(&mut self) -> Result<()> {
        self.server.signal(Signal::SIGTERM);
        let status = self.server.wait();
        let log = read(&self.dir.join("log"));
        if !status.success() || !log.ends_with("] stopped\n") {
            return failed(format!("ended with {status}; the log ends: {:?}", log.lines().last()));
        }
        quiet(&log)
    }
}

/// No Ctrl-C reaches it but ours, and it does not outlive us; it hears SIGHUP, also when nohup(1) has started us.
#[allow(unsafe_code)] // Between fork and exec.
fn end_with_us(command: &mut Command) {
    command.process_group(0);
    let prepare = || {
        // SAFETY: no handler of ours is put in the place of another.
        unsafe { signal(Signal::SIGHUP, SigHandler::SigDfl) }?;
        Ok(set_pdeathsig(Signal::SIGKILL)?)
    };
    // SAFETY: signal() and prctl() alone, which are async-signal-safe.
    unsafe { command.pre_exec(prepare) };
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Nothing in a log that nobody would expect under this load.
fn quiet(log: &str) -> Result<()> {
    let level = |line: &&str| line.split(' ').nth(1).is_some_and(|level| level == "WARN" || level == "ERROR");
    let expected = |line: &&str| EXPECTED_WARNINGS.iter().any(|words| line.contains(words));
    match log.lines().filter(level).find(|line| !expected(line)) {
        Some(line) => failed(format!("in the log: {line}")),
        None => Ok(()),
    }
}

fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > until {
            return failed(format!("waited in vain for {what}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
