//! What has to be right before the port opens, and what is done between that and the first accept().

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::getpid;
use openssl::ssl::SslContext;

use super::datagram::Echo;
use super::parent::Parent;
use crate::cli::{Mode, ServerArgs};
use crate::daemon::{self, PidFile, User, proc};
use crate::error::{During, Error, Result, describe, errno_of};
use crate::lesson;
use crate::lifecycle::Socket;
use crate::logging::{self, Sink};
use crate::relay;
use crate::sandbox::{self, Needs, Root, Sandbox};
use crate::signal::Watch;
use crate::tls::{Identity, KeyLog, server_context};

/// As good as never.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// All that could be had while a person is still looking: what is missing has been said on the terminal.
pub struct Start {
    pub user: Option<User>,
    pub log: Option<Sink>,
    pub kept: Kept,
    /// The listener; under --udp, the one socket.
    pub socket: Socket,
}

/// What the parent of children keeps of it.
pub struct Kept {
    pub tls: Option<SslContext>,
    pub keylog: Option<KeyLog>,
    pub root: Option<Root>,
}

/// What serves: the parent of a child a connection, or one process that answers datagrams.
pub enum Server<'a> {
    Connections(Box<Parent<'a>>),
    Datagrams(Box<Echo<'a>>),
}

impl Server<'_> {
    pub fn run(self) -> Result<()> {
        match self {
            Server::Connections(parent) => parent.run(),
            Server::Datagrams(echo) => echo.run(),
        }
    }
}

impl Start {
    /// In the process that stays: signals, log, PID file; then no more rights than needed; then the loop.
    ///
    /// The PID file comes after the port, and before the rights to write it are dropped.
    pub fn settle(self, args: &ServerArgs, local: SocketAddr) -> Result<(Server<'_>, Option<PidFile>)> {
        let signals = Watch::for_parent(args.daemon).during("signalfd", "SIGTERM, SIGHUP, …")?;
        lesson::step::can_be_stopped();
        if let Some(log) = self.log {
            logging::divert(log);
        }
        let pid_file = args.pid_file.as_deref().map(PidFile::create).transpose()?;
        if let Some(user) = self.user {
            logging::give_to(user.uid(), user.gid())?;
            user.become_it(self.kept.root.is_some())?;
        }
        self.kept.root.as_ref().map_or(Ok(()), Root::can_be_entered)?;
        if let Some(keylog) = &self.kept.keylog {
            let path = keylog.path().display();
            log::warn!("--keylog: whoever reads {path} can decrypt every connection of this server");
        }
        let server = if args.udp {
            Server::Datagrams(Box::new(Echo::new(args, self.socket, signals, local)))
        } else {
            Server::Connections(Box::new(Parent::new(args, self.kept, signals, self.socket)?))
        };
        log::info!("listening on {local}");
        Ok((server, pid_file))
    }
}

/// The command line as it is to be followed, once nothing stands against starting.
pub fn prepared(args: &ServerArgs) -> Result<ServerArgs> {
    logging::note_panics();
    if is_sandboxed(args) {
        sandbox::can_be_had()?;
    }
    if args.daemon {
        daemon::close_inherited()?;
    }
    look_on(args)?;
    if args.mode == Mode::Relay {
        relay::check_longest_packet().during("send", format!("{} bytes to a child", relay::RELAY_MAX_BYTES))?;
    }
    if let Some(path) = &args.pid_file {
        PidFile::refuse_if_held(path)?;
    }
    match args.daemon {
        true => args.with_absolute_paths().map_err(|error| errno_of(&error)).during("getcwd", ""),
        false if args.lesson.steps() => Ok(unhurried(args)),
        false => Ok(args.clone()),
    }
}

/// Before the first call: what a class wants to see of the calls.
fn look_on(args: &ServerArgs) -> Result<()> {
    if let Some(path) = args.lesson.trace_file() {
        let user = args.user.as_deref().map(User::find).transpose()?;
        lesson::record_to(path, user.is_some_and(|user| user.is_less_than_we()))?;
    }
    if args.lesson.steps() { lesson::step_by(args.lesson.step_script.as_deref()) } else { Ok(()) }
}

/// While somebody steps, nobody can be too slow.
fn unhurried(args: &ServerArgs) -> ServerArgs {
    let (handshake_timeout, slow_timeout, idle_timeout) = (A_YEAR, A_YEAR, Duration::ZERO);
    ServerArgs { handshake_timeout, slow_timeout, idle_timeout, ..args.clone() }
}

/// Children are what is put there; under --no-fork and --udp there are none.
fn is_sandboxed(args: &ServerArgs) -> bool {
    !(args.no_sandbox || args.no_fork || args.udp)
}

/// --chroot: looked for before the port opens.
pub fn root_of_children(args: &ServerArgs) -> Result<Option<Root>> {
    args.chroot.as_deref().map(Root::open).transpose()
}

/// What a child does depends on the command line, and on where standard error leads.
pub fn sandbox_around_children(
    args: &ServerArgs,
    keylog: Option<&KeyLog>,
    root: Option<Root>,
) -> Result<Option<Sandbox>> {
    if !is_sandboxed(args) {
        if args.no_sandbox {
            log::warn!("--no-sandbox: a child can do whatever this server can");
        }
        return Ok(None);
    }
    let stderr = std::io::stderr();
    let files = [keylog.map(KeyLog::as_fd), lesson::trace_file(), (!args.daemon).then(|| stderr.as_fd())];
    let needs = Needs {
        watched: lesson::is_watched(),
        stepped_by: args.lesson.steps().then(getpid),
        writes_files: files.into_iter().flatten().any(sandbox::is_file),
        // Who traces the server may look into what it sends and receives; strace could show no more than addresses.
        secretive: (args.tls || args.mode == Mode::Relay) && !sandbox::is_traced(),
    };
    Sandbox::new(needs, root).map(Some)
}

pub fn whom_to_become(args: &ServerArgs) -> Result<Option<User>> {
    match &args.user {
        Some(name) => User::find(name).map(Some),
        None if args.daemon => User::refuse_root().map(|()| None),
        None => Ok(None),
    }
}

/// `None`: on standard error, as it is.
pub fn where_to_log(args: &ServerArgs, user: Option<&User>) -> Result<Option<Sink>> {
    match &args.log_file {
        Some(path) => {
            let log = logging::open_file(path, user.is_some_and(User::is_less_than_we))?;
            args.pid_file.as_ref().map_or(Ok(()), |pid_file| PidFile::refuse_as_log(pid_file, path))?;
            Ok(Some(log))
        }
        None if args.daemon => logging::open_syslog().map(Some),
        None => Ok(None),
    }
}

/// Certificate and key, read and held against each other: at the start, and again at a reload.
pub fn tls_context(args: &ServerArgs, keylog: Option<&KeyLog>) -> Result<Option<SslContext>> {
    let (true, Some(cert), Some(key)) = (args.tls, &args.cert, &args.key) else { return Ok(None) };
    server_context(Identity { cert, key }, args.client_ca.as_deref(), keylog).map(Some)
}

/// A port in use: by whom, as far as we may look into other processes.
pub fn cannot_bind(errno: Errno, addr: &SocketAddr, protocol: &str) -> Error {
    let error = Error::Call { call: "bind", object: addr.to_string(), errno };
    let holders: Vec<String> = match errno {
        Errno::EADDRINUSE => proc::holders_of(addr.port(), protocol),
        _ => Vec::new(),
    };
    match error.hint() {
        Some(hint) if !holders.is_empty() => Error::Refused {
            what: format!("bind({addr})"),
            reason: describe(errno),
            hint: format!("{hint} 지금 이 포트를 가진 프로세스: {}", holders.join(", ")).into(),
        },
        _ => error,
    }
}
