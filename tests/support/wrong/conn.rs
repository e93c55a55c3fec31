//! A connection that several threads may hold; it is closed when the last of them lets go.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

#[derive(Clone, Debug)]
pub struct Conn(pub Arc<TcpStream>);

impl Conn {
    /// Waits for any of these events, or for the end of the connection; false when neither comes in time.
    pub fn wait(&self, events: PollFlags, timeout: PollTimeout) -> Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), events)];
        Ok(poll(&mut fds, timeout)? > 0)
    }

    /// Sends all of it however long that takes, also on a non-blocking socket.
    pub fn send_all(&self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            match (&*self.0).write(data) {
                Ok(n) => data = &data[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT, PollTimeout::NONE)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for the first byte and leaves it where it is.
    pub fn first_byte(&self) -> Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.0.peek(&mut byte)? == 1).then_some(byte[0]))
    }

    /// "I have said all."
    pub fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    pub fn cut(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Read for Conn {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        (&*self.0).read(buf)
    }
}

impl Write for Conn {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        (&*self.0).write(data)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
