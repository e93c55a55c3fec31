//! Who is in the relay, and what each is owed. A thread for each client waits for the client and for the others at
//! once, so that plain and TLS connections are served alike, and nobody waits for a client that does not read.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::conn::Conn;
use super::relay::{Ears, Relay};

/// Who owes more reading than this is disconnected. A test sends less to those who read.
const OWED_MAX_BYTES: usize = 32 << 20;

pub struct Room {
    mistake: Relay,
    members: Mutex<Vec<Arc<Member>>>,
    /// What clients have begun, where it is the same buffer for all.
    begun: Mutex<Vec<u8>>,
    /// Who has left was not the last of the list.
    hole: AtomicBool,
    joined: AtomicUsize,
}

struct Member {
    name: String,
    conn: Conn,
    owed: Mutex<VecDeque<u8>>,
    /// A byte in here wakes the member's thread, which reads the other end.
    bell: UnixStream,
}

impl Room {
    pub fn new(mistake: Relay) -> Room {
        Room {
            mistake,
            members: Mutex::default(),
            begun: Mutex::default(),
            hole: AtomicBool::new(false),
            joined: AtomicUsize::new(0),
        }
    }

    fn join(&self, conn: &Conn, bell: UnixStream) -> Arc<Member> {
        let name = format!("손님{}", self.joined.fetch_add(1, Ordering::Relaxed) + 1);
        let me = Arc::new(Member { name, conn: conn.clone(), owed: Mutex::default(), bell });
        let mut members = self.members.lock().unwrap();
        if self.hole.swap(false, Ordering::Relaxed) {
            members.pop();
        }
        members.push(me.clone());
        if self.mistake != Relay::Bare {
            me.owe(format!("* 어서 오십시오, {} 님.\n", me.name).as_bytes());
            members
                .iter()
                .filter(|other| !Arc::ptr_eq(other, &me))
                .for_each(|other| other.notice(&me.name, "왔습니다"));
        }
        me
    }

    fn leave(&self, me: &Arc<Member>) {
        let mut members = self.members.lock().unwrap();
        let Some(place) = members.iter().position(|member| Arc::ptr_eq(member, me)) else { return };
        members.remove(place);
        if self.mistake == Relay::OverwritesTheLast {
            self.hole.store(place < members.len(), Ordering::Relaxed);
        }
        if self.mistake == Relay::ClosesTheNeighbour && !members.is_empty() {
            let next = place % members.len();
            members.remove(next).conn.cut();
        }
        if self.mistake != Relay::Bare {
            members.iter().for_each(|other| other.notice(&me.name, "갔습니다"));
        }
    }

    /// What these bytes complete.
    fn lines(&self, ears: &mut Ears, got: &[u8]) -> Vec<Vec<u8>> {
        if self.mistake != Relay::SharesItsBuffer {
            return ears.hear(got);
        }
        let mut begun = self.begun.lock().unwrap();
        std::mem::swap(&mut ears.begun, &mut *begun);
        let lines = ears.hear(got);
        std::mem::swap(&mut ears.begun, &mut *begun);
        lines
    }

    fn deliver(&self, from: &Arc<Member>, line: &[u8]) {
        let name = format!("[{}] ", from.name);
        let line = if self.mistake == Relay::ForgetsNewlines { line.trim_ascii_end() } else { line };
        let message = if self.mistake == Relay::Bare { line.to_vec() } else { [name.as_bytes(), line].concat() };
        let members = self.members.lock().unwrap();
        let others = members.iter().filter(|member| !Arc::ptr_eq(member, from));
        let to: Vec<&Arc<Member>> = match self.mistake {
            Relay::Bare => members.iter().collect(),
            Relay::EchoesToSelfOnly => vec![from],
            Relay::ReachesOneOnly => others.take(1).collect(),
            _ => others.collect(),
        };
        for member in to {
            if self.mistake == Relay::StallsForOne {
                let _ = member.conn.send_all(&message);
            } else {
                member.owe(&message);
            }
        }
    }
}

impl Member {
    fn notice(&self, name: &str, what: &str) {
        self.owe(format!("* {name} 님이 {what}.\n").as_bytes());
    }

    fn owe(&self, message: &[u8]) {
        let mut owed = self.owed.lock().unwrap();
        if owed.len() + message.len() > OWED_MAX_BYTES {
            return self.conn.cut();
        }
        owed.extend(message);
        let _ = (&self.bell).write(&[0]);
    }

    fn is_owed(&self) -> bool {
        !self.owed.lock().unwrap().is_empty()
    }

    /// As much of what is owed as the connection takes now.
    fn pay(&self, stream: &mut impl Write) -> Result<()> {
        let mut owed = self.owed.lock().unwrap();
        while !owed.is_empty() {
            match stream.write(owed.as_slices().0) {
                Ok(sent) => drop(owed.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for the client or the bell; false when neither came in time.
    fn wait(&self, bell: &UnixStream, timeout: PollTimeout) -> Result<bool> {
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, self.is_owed());
        let mut fds = [PollFd::new(self.conn.0.as_fd(), events), PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, timeout)?;
        let mut rung = [0; 512];
        while (&*bell).read(&mut rung).is_ok() {}
        Ok(ready > 0)
    }
}

/// Serves one client until it leaves. `stream` is what runs over `conn`.
pub fn talk<S: Read + Write>(room: &Room, stream: &mut S, conn: &Conn) -> Result<()> {
    let (bell, heard) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    conn.0.set_nonblocking(true)?;
    let me = room.join(conn, bell);
    let said_all = converse(room, stream, &me, &heard);
    room.leave(&me);
    said_all?;
    while me.is_owed() {
        me.conn.wait(PollFlags::POLLOUT, PollTimeout::NONE)?;
        me.pay(stream)?;
    }
    Ok(())
}

fn converse<S: Read + Write>(room: &Room, stream: &mut S, me: &Arc<Member>, bell: &UnixStream) -> Result<()> {
    let (mut buf, mut ears) = (vec![0; room.mistake.recv_bytes()], Ears::new(room.mistake));
    // Bytes may wait in the TLS layer while the socket is silent: so it waits only after a read has found nothing.
    let mut more = true;
    loop {
        let timeout = if more { PollTimeout::ZERO } else { ears.late_ms().map_or(PollTimeout::NONE, Into::into) };
        if !me.wait(bell, timeout)? && !more {
            ears.late().iter().for_each(|line| room.deliver(me, line));
        }
        more = match stream.read(&mut buf) {
            Ok(0) => {
                ears.last().iter().for_each(|line| room.deliver(me, line));
                return Ok(());
            }
            Ok(n) => {
                for line in room.lines(&mut ears, &buf[..n]) {
                    match room.mistake {
                        Relay::EndsAtEmptyLine if line.trim_ascii().is_empty() => return Ok(()),
                        Relay::DiesOfBadText if std::str::from_utf8(&line).is_err() => {
                            return Err(ErrorKind::InvalidData.into());
                        }
                        _ => room.deliver(me, &line),
                    }
                }
                !ears.are_full()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => return Err(error),
        };
        if ears.are_full() {
            return Ok(());
        }
        me.pay(stream)?;
    }
}
