//! One probe for each mistake of an echo server over UDP.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::caller::Patience;
use crate::support::DEADLINE;
use crate::wrong::Udp;

/// A client that hears only the server.
struct Asker(UdpSocket);

impl Asker {
    fn at(addr: SocketAddr) -> Asker {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(addr).unwrap();
        Asker(socket).within(DEADLINE)
    }

    fn within(self, patience: Duration) -> Asker {
        self.0.set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// A server that is gone shows in what comes back.
    fn say(&self, data: &[u8]) {
        let _ = self.0.send(data);
    }

    fn hear(&self) -> Option<Vec<u8>> {
        let mut buf = vec![0; 65536];
        let n = self.0.recv(&mut buf).ok()?;
        Some(buf[..n].to_vec())
    }

    fn gets_back(&self, data: &[u8]) -> bool {
        self.say(data);
        self.hear().is_some_and(|heard| heard == data)
    }
}

pub fn talks(addr: SocketAddr) -> bool {
    let asker = Asker::at(addr);
    asker.gets_back("안녕하세요. 🙂".as_bytes()) && asker.gets_back(b"again")
}

pub fn shows(mistake: Udp, addr: SocketAddr, patience: Patience) -> bool {
    let (one, two) = (Asker::at(addr), Asker::at(addr));
    match mistake {
        Udp::Correct => false,
        Udp::CutsLongOnes => {
            one.say(&[b'x'; 2000]);
            one.hear().is_some_and(|heard| heard == [b'x'; 1024])
        }
        Udp::AnswersTheFirst => {
            assert!(one.gets_back(b"one"));
            !two.within(patience.silence).gets_back(b"two") && one.hear().is_some_and(|heard| heard == b"two")
        }
        Udp::AnswersTheOneBefore => {
            assert!(one.gets_back(b"one"));
            !two.within(patience.silence).gets_back(b"two") && !one.gets_back(b"three")
        }
        Udp::AnswersEverybody => {
            assert!(one.gets_back(b"one") && two.gets_back(b"two"));
            one.within(patience.watch).hear().is_some_and(|heard| heard == b"two")
        }
        Udp::EndsAtEmpty => {
            one.say(b"");
            !two.within(patience.silence).gets_back(b"two")
        }
        Udp::IgnoresEmpty => !one.within(patience.silence).gets_back(b"") && two.gets_back(b"two"),
        // They must come close together, which is not for us to say: so it gets some chances.
        Udp::MergesTwo => (0..5).any(|_| {
            let asker = Asker::at(addr);
            asker.say(b"one");
            asker.say(b"two");
            asker.hear().is_some_and(|heard| heard == b"onetwo")
        }),
        Udp::StopsAtZero => !one.gets_back(b"a\0b"),
    }
}
