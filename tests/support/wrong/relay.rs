//! Stage 2: what one client says reaches the others, line by line. The mistakes that lie in reading stand here, those
//! that lie in delivering in room.rs.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use super::room::{Room, talk};
use super::servers;
use super::site::Site;

servers! {
    /// A relay over TCP.
    Relay, 2 right:
    /// With a greeting, names, and notices of who comes and goes.
    Correct,
    /// With none of these; the sender hears himself, too.
    Bare,
    /// `send(fd, …)` to the descriptor that was just read: an echo server with a list of clients.
    EchoesToSelfOnly,
    /// `break` behind the first send(): only one of the others hears it.
    ReachesOneOnly,
    /// What one recv() brings is one message: a line in pieces gets a name before each piece.
    SplitsByRecv,
    /// Each recv() is decoded by itself: a syllable that is cut between two of them becomes `�`.
    BreaksHangul,
    /// `char line[1024]`: the rest of a longer line is lost.
    CutsLongLines,
    /// A thread for each message: one that starts later may be done earlier.
    SwapsLines,
    /// A blocking send() to everybody under the lock of the list: who does not read stops all of them.
    StallsForOne,
    /// recv() returned 0, so `exit(0)`.
    EndsWhenOneLeaves,
    /// An error of one client is not caught: ECONNRESET ends the whole server.
    DiesOnReset,
    /// `close(clients[i])` and out of the list, in the loop and in its error path: the second time that is the neighbour.
    ClosesTheNeighbour,
    /// `strchr(buf, '\n')` is called once for each recv(): what follows the first line is thrown away.
    SwallowsSecondLine,
    /// `static char line[]`: one buffer for all clients, in which what two of them have begun runs together.
    SharesItsBuffer,
    /// `if not line.strip(): break`: an empty line is taken for the end.
    EndsAtEmptyLine,
    /// The first recv(), for the name, stands right behind accept(): who says nothing blocks the newcomers.
    SilentBlocks,
    /// `line.decode()` outside of every try: bytes that are no UTF-8 end the whole server.
    DiesOfBadText,
    /// The newline goes with strip(), and nobody puts it back.
    ForgetsNewlines,
    /// `clients[--n] = NULL`, whoever has left: the next one to come is written over the last one in the list.
    OverwritesTheLast,
}

/// A line that does not end is not kept beyond this.
const LINE_MAX_BYTES: usize = 1 << 20;
const SHORT_LINE_BYTES: usize = 1024;

impl Relay {
    /// `recv(fd, buf, 1024, 0)`: what each recv() brings shows the more, the less it is. No multiple of 3, so that it
    /// cuts a syllable in a long run of them, also when all was there at once.
    pub fn recv_bytes(self) -> usize {
        if matches!(self, Relay::SplitsByRecv | Relay::BreaksHangul) { 1024 } else { 65_536 }
    }
}

pub fn serve(site: &Arc<Site>, listener: &TcpListener, mistake: Relay) {
    let room = Arc::new(Room::new(mistake));
    while let Some(conn) = site.accept(listener) {
        if mistake == Relay::SilentBlocks && conn.first_byte().is_err() {
            continue;
        }
        let (room, host) = (room.clone(), site.clone());
        site.spawn(move || {
            let left = talk(&room, &mut conn.clone(), &conn);
            match mistake {
                Relay::EndsWhenOneLeaves => host.end(),
                Relay::DiesOnReset if left.is_err() => host.end(),
                Relay::DiesOfBadText if left.is_err_and(|error| error.kind() == ErrorKind::InvalidData) => host.end(),
                _ => conn.finish(),
            }
        });
    }
}

/// Makes lines of the bytes that one client sends.
pub struct Ears {
    mistake: Relay,
    pub begun: Vec<u8>,
    late: Option<Vec<u8>>,
}

impl Ears {
    pub fn new(mistake: Relay) -> Ears {
        Ears { mistake, begun: Vec::new(), late: None }
    }

    /// The messages that are complete with what one recv() has brought, newlines included.
    pub fn hear(&mut self, got: &[u8]) -> Vec<Vec<u8>> {
        match self.mistake {
            Relay::SplitsByRecv => return vec![got.to_vec()],
            Relay::BreaksHangul => self.begun.extend_from_slice(String::from_utf8_lossy(got).as_bytes()),
            _ => self.begun.extend_from_slice(got),
        }
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole: Vec<u8> = self.begun.drain(..whole).collect();
        let mut lines: Vec<Vec<u8>> = whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        match self.mistake {
            Relay::SwallowsSecondLine if !lines.is_empty() => {
                lines.truncate(1);
                self.begun.clear();
            }
            Relay::CutsLongLines => lines.iter_mut().filter(|line| line.len() > SHORT_LINE_BYTES).for_each(|line| {
                line.truncate(SHORT_LINE_BYTES - 1);
                line.push(b'\n');
            }),
            Relay::SwapsLines => lines = lines.into_iter().flat_map(|line| self.overtake(line)).collect(),
            _ => {}
        }
        lines
    }

    /// The thread of every other message is a little slower, so that the next one overtakes it.
    fn overtake(&mut self, line: Vec<u8>) -> Vec<Vec<u8>> {
        match self.late.take() {
            Some(late) => vec![line, late],
            None => {
                self.late = Some(line);
                Vec::new()
            }
        }
    }

    /// How long it may be until the slow thread is done, when no other message comes.
    pub fn late_ms(&self) -> Option<u16> {
        self.late.as_ref().map(|_| 20)
    }

    pub fn late(&mut self) -> Option<Vec<u8>> {
        self.late.take()
    }

    pub fn are_full(&self) -> bool {
        self.begun.len() > LINE_MAX_BYTES
    }

    /// What is left at the end: a last line without newline is a line, too.
    pub fn last(&mut self) -> Vec<Vec<u8>> {
        let mut last = std::mem::take(&mut self.begun);
        if !last.is_empty() {
            last.push(b'\n');
        }
        self.late.take().into_iter().chain((!last.is_empty()).then_some(last)).collect()
    }
}
