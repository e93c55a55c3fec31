//! How each server is started: as it ships, on a port of loopback.

use std::path::Path;
use std::process::Command;

use super::{Peer, Place, Serves};
use crate::failure::{Result, failed};

/// What is asked of a server, and the port for one that cannot say which the kernel gave it.
pub struct Job<'a> {
    pub serves: Serves,
    pub tls: bool,
    pub place: &'a Place,
    pub port: u16,
    /// Of the plain echo behind stunnel.
    pub behind: u16,
}

impl Job<'_> {
    pub fn command(&self, peer: Peer) -> Result<Command> {
        Ok(match peer {
            Peer::Sockstep => self.sockstep(Path::new(env!("CARGO_BIN_EXE_sockstep"))),
            Peer::NoTrace => match &self.place.no_trace {
                Some(program) => self.sockstep(program),
                None => return failed("no-trace: --no-trace가 필요합니다"),
            },
            Peer::NoSandbox => {
                let mut command = self.sockstep(Path::new(env!("CARGO_BIN_EXE_sockstep")));
                command.arg("--no-sandbox");
                command
            }
            Peer::Bare => self.own(&["bare"])?,
            Peer::Tokio => self.own(&["tokio"])?,
            Peer::Wrong(fault) => {
                let mut command = self.own(&["wrong", "--fault", &format!("{fault:?}").to_lowercase()])?;
                command.args((self.serves == Serves::Chat).then_some("--chat"));
                command
            }
            Peer::Ncat | Peer::NcatNoDelay => self.ncat(),
            Peer::Socat | Peer::SocatNoDelay => self.socat(),
            Peer::Stunnel => self.stunnel()?,
        })
    }

    fn sockstep(&self, program: &Path) -> Command {
        let mode = if self.serves == Serves::Chat { "relay" } else { "echo" };
        let mut command = Command::new(program);
        command.args(["server", "--listen", "127.0.0.1:0", "--mode", mode]);
        if self.tls {
            command.args(["--tls", "--cert", &self.pem(), "--key", &self.key()]);
        }
        command
    }

    /// The bench itself, as a server.
    fn own(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(args);
        if self.tls {
            command.arg("--certs").arg(&self.place.certs);
        }
        Ok(command)
    }

    fn ncat(&self) -> Command {
        let mut command = Command::new("ncat");
        command.args(["-l", "-k", "-m", "1000"]);
        command.args(if self.serves == Serves::Chat { &["--chat"][..] } else { &["-e", "/bin/cat"] });
        if self.tls {
            command.args(["--ssl", "--ssl-cert", &self.pem(), "--ssl-key", &self.key()]);
        }
        command.args(["127.0.0.1", &self.port.to_string()]);
        command
    }

    fn socat(&self) -> Command {
        let listen = if self.tls { "OPENSSL-LISTEN" } else { "TCP-LISTEN" };
        let secured =
            if self.tls { format!(",cert={},key={},verify=0", self.pem(), self.key()) } else { String::new() };
        let mut command = Command::new("socat");
        command.arg(format!("{listen}:{},bind=127.0.0.1,reuseaddr,fork,backlog=4096{secured}", self.port)).arg("PIPE");
        command
    }

    fn stunnel(&self) -> Result<Command> {
        let file = self.place.dir.join("stunnel.conf");
        let (port, behind, pem, key) = (self.port, self.behind, self.pem(), self.key());
        let text = format!(
            "foreground = yes\npid =\nsyslog = no\ndebug = err\n[echo]\naccept = 127.0.0.1:{port}\n\
             connect = 127.0.0.1:{behind}\ncert = {pem}\nkey = {key}\n"
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new("stunnel");
        command.arg(file);
        Ok(command)
    }

    fn pem(&self) -> String {
        path(&self.place.certs, "server.pem")
    }

    fn key(&self) -> String {
        path(&self.place.certs, "server.key")
    }
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}
