//! Others' servers: ncat and socat, on a port of their own, and nothing of them left behind.
#![allow(dead_code, clippy::unwrap_used)]

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{children, eventually};

pub struct Tool {
    child: Child,
    pub port: u16,
}

impl Tool {
    /// Runs `command` and waits until it listens. `PORT` in its arguments becomes a port that is free.
    pub fn start(command: &[&str]) -> Tool {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Tool::start_at(command, port, "tcp", "0A") // TCP_LISTEN
    }

    pub fn start_udp(command: &[&str]) -> Tool {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Tool::start_at(command, port, "udp", "07") // not connected
    }

    fn start_at(command: &[&str], port: u16, table: &str, state: &str) -> Tool {
        let args = command[1..].iter().map(|arg| arg.replace("PORT", &port.to_string()));
        let mut start = Command::new(command[0]);
        start.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let tool = Tool { child: start.spawn().unwrap(), port };
        // Without a connection to it: a chat would count that as a guest.
        let local = format!(" 0100007F:{port:04X} ");
        eventually("its listening", || {
            let sockets = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap();
            sockets.lines().any(|line| line.contains(&local) && line.split_whitespace().nth(3) == Some(state))
        });
        tool
    }

    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let mut all = vec![self.child.id() as i32];
        let mut next = 0;
        while next < all.len() {
            all.extend(children(all[next]));
            next += 1;
        }
        // Its children are killed first: when it is gone, they are nobody's.
        for pid in all.into_iter().skip(1).rev() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
