//! How our clients get to the server: socket() → connect(), within the time of the case.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{SockFlag, SockType};

use super::case::Failure;
use super::exam::Exam;
use super::pump::wait;
use crate::error::describe;
use crate::lifecycle::{Socket, SocketOption, connect, pending_error, set_option, socket};

impl Exam {
    /// socket() → connect(), for each address of the host until one has answered, and from then on for that one.
    pub fn dial(&self, buffer: Option<i32>) -> std::result::Result<Rc<Socket>, Failure> {
        let mut last = Errno::EHOSTUNREACH;
        for addr in &self.addresses() {
            match self.dial_at(addr, buffer) {
                Ok(conn) => {
                    self.answered_at(*addr);
                    return Ok(Rc::new(conn));
                }
                Err(errno) => {
                    self.not_reached("connect", addr, errno);
                    last = errno;
                }
            }
        }
        Err(Failure::new("접속 (connect)", "접속이 됩니다", no_connection(last)))
    }

    fn dial_at(&self, addr: &SocketAddr, buffer: Option<i32>) -> nix::Result<Socket> {
        let conn = socket(addr, SockType::Stream, SockFlag::SOCK_NONBLOCK)?;
        if let Some(bytes) = buffer {
            set_option(conn.as_fd(), SocketOption::ReceiveBuffer, bytes)?;
        }
        match connect(conn.as_fd(), addr) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS) => self.wait_until_connected(&conn)?,
            Err(errno) => return Err(errno),
        }
        set_option(conn.as_fd(), SocketOption::NoDelay, 1)?; // a piece is to leave as a piece
        Ok(conn)
    }

    /// connect(2), EINPROGRESS: writable is how it ends, SO_ERROR says how it went.
    fn wait_until_connected(&self, conn: &Socket) -> nix::Result<()> {
        loop {
            let left = self.until().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::ETIMEDOUT);
            }
            if wait(&[(conn.as_fd(), PollFlags::POLLOUT)], left) {
                return match pending_error(conn.as_fd())? {
                    0 => Ok(()),
                    code => Err(Errno::from_raw(code)),
                };
            }
        }
    }
}

/// Of what is refused the rest of the cases is told in the same words.
fn no_connection(errno: Errno) -> String {
    let why = match errno {
        Errno::ECONNREFUSED => {
            ". 이 포트에서 기다리는 서버가 없습니다. 앞의 검사를 하는 동안 서버가 끝난 것으로 보입니다"
        }
        Errno::EMFILE | Errno::ENFILE => {
            ". 서버가 아니라 검사하는 쪽의 디스크립터가 모자랍니다. ulimit -n으로 확인하십시오"
        }
        Errno::ETIMEDOUT => ". 제한 시간 안에 접속되지 않았습니다",
        _ => "",
    };
    format!("{}{why}", describe(errno))
}
