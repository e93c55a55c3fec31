//! What each call is for, in one or two Korean sentences, and where to read on.

/// The lesson of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The call as the trace names it.
    pub call: &'static str,
    /// Why it is made and what it does, for a student.
    pub why: &'static str,
    /// The chapter of the notes that explains it.
    pub chapter: &'static str,
    /// Manual pages: `bind(2), ip(7)`.
    pub manual: &'static str,
}

/// The lesson of `call`, as the trace names it (`accept4`); `None` for what is no call of the lesson.
pub fn of(call: &str) -> Option<&'static Words> {
    WORDS.iter().find(|words| words.call == call)
}

/// What this call is for, with these arguments and on this kind of socket; `line` is the call as the trace shows it.
pub fn why(line: &str, between_processes: bool) -> Option<&'static str> {
    let call = line.split('(').next().unwrap_or_default();
    let flagged = |flags: &str| call == "recv" && line.contains(flags);
    Some(match call {
        _ if flagged(", MSG_PEEK)") => {
            "도착한 바이트를 꺼내지 않고 들여다봅니다. 첫 바이트만 보아도 클라이언트가 TLS로 말하는지 알 수 있습니다."
        }
        _ if flagged(", MSG_TRUNC|MSG_DONTWAIT)") => {
            "도착한 바이트를 읽지 않고 버립니다. 읽지 않은 것이 남은 채로 닫으면 커널이 RST를 보내 마지막 말이 사라질 수 있기 때문입니다."
        }
        "send" if between_processes => {
            "부모와 자식 사이의 소켓으로 패킷 하나를 보냅니다. SOCK_SEQPACKET이므로 패킷의 경계가 그대로 지켜집니다."
        }
        "recv" if between_processes => {
            "부모와 자식 사이의 소켓에서 패킷 하나를 받습니다. 0은 상대 프로세스가 보내기를 마쳤거나 끝났다는 뜻입니다."
        }
        "shutdown" if between_processes => {
            "부모가 자식에게 더 보낼 것이 없다고 알립니다. 자식은 남은 일을 마치고 끝납니다."
        }
        "close" if between_processes => {
            "부모와 자식 사이의 소켓을 닫습니다. 상대 프로세스의 recv()는 0을 돌려받습니다."
        }
        call => of(call)?.why,
    })
}

/// In the order of a connection's life; what UDP and the relay add comes behind.
pub const WORDS: [Words; 20] = [
    Words {
        call: "socket",
        why: "커널에 소켓을 만들고 그것을 가리키는 파일 디스크립터를 받습니다. 아직 주소도 상대도 없습니다.",
        chapter: "notes/03-socket.md",
        manual: "socket(2), ip(7), unix(7)",
    },
    Words {
        call: "setsockopt",
        why: "소켓이 어떻게 동작할지 옵션으로 정합니다. 리스너에 정한 옵션은 accept()로 만드는 소켓이 물려받습니다.",
        chapter: "notes/04-bind.md",
        manual: "setsockopt(2), socket(7), tcp(7)",
    },
    Words {
        call: "getsockopt",
        why: "소켓의 옵션이나 소켓에 남아 있는 오류를 커널에 묻습니다.",
        chapter: "notes/04-bind.md",
        manual: "getsockopt(2), socket(7)",
    },
    Words {
        call: "fcntl",
        why: "파일 디스크립터의 상태 플래그를 읽거나 바꿉니다. O_NONBLOCK을 켜면 기다려야 할 호출이 바로 EAGAIN으로 돌아옵니다.",
        chapter: "notes/04-bind.md",
        manual: "fcntl(2)",
    },
    Words {
        call: "bind",
        why: "소켓에 IP 주소와 포트를 붙입니다. 클라이언트는 이 주소와 포트로 서버를 찾아옵니다.",
        chapter: "notes/04-bind.md",
        manual: "bind(2), ip(7)",
    },
    Words {
        call: "getsockname",
        why: "이 소켓에 붙은 주소와 포트를 커널에 묻습니다. bind()에 포트 0을 주었거나 connect()가 대신 정한 포트도 이렇게 알 수 있습니다.",
        chapter: "notes/04-bind.md",
        manual: "getsockname(2)",
    },
    Words {
        call: "listen",
        why: "소켓을 리스너로 바꿉니다. 기다리지 않고 바로 돌아오며, 이때부터 커널이 핸드셰이크를 마친 연결을 대기열에 쌓습니다.",
        chapter: "notes/05-listen.md",
        manual: "listen(2), tcp(7)",
    },
    Words {
        call: "accept4",
        why: "커널이 이미 완성해 둔 연결을 대기열에서 하나 꺼냅니다. 대화용 소켓이 새로 생기고 리스너는 그대로 남습니다. 대기열이 비어 있으면 EAGAIN으로 돌아옵니다.",
        chapter: "notes/06-accept.md",
        manual: "accept(2), tcp(7)",
    },
    Words {
        call: "connect",
        why: "서버에 연결을 요청합니다. 커널이 핸드셰이크(SYN, SYN/ACK, ACK)를 마칠 때까지 기다리며, 로컬 포트도 이때 커널이 고릅니다.",
        chapter: "notes/07-connect.md",
        manual: "connect(2), tcp(7)",
    },
    Words {
        call: "fork",
        why: "프로세스를 둘로 나눕니다. 자식은 열린 소켓을 모두 물려받아 이 연결을 맡고, 부모는 다음 연결을 기다립니다.",
        chapter: "notes/09-fork.md",
        manual: "fork(2)",
    },
    Words {
        call: "close_range",
        why: "물려받은 파일 디스크립터 가운데 쓰지 않을 것을 한꺼번에 닫습니다. 자식은 자기 연결과 부모와 통하는 소켓만 남깁니다.",
        chapter: "notes/08-send-recv.md",
        manual: "close_range(2)",
    },
    Words {
        call: "recv",
        why: "도착한 바이트를 커널의 수신 버퍼에서 가져옵니다. 0은 상대가 보내기를 마쳤다는 뜻이고, EAGAIN은 아직 도착한 것이 없다는 뜻입니다.",
        chapter: "notes/08-send-recv.md",
        manual: "recv(2), tcp(7)",
    },
    Words {
        call: "send",
        why: "바이트를 커널의 송신 버퍼에 넣습니다. 성공은 커널이 받았다는 뜻일 뿐, 상대가 받았다는 뜻은 아닙니다.",
        chapter: "notes/08-send-recv.md",
        manual: "send(2), tcp(7)",
    },
    Words {
        call: "shutdown",
        why: "디스크립터는 그대로 두고 연결의 한쪽 방향을 닫습니다. SHUT_WR이면 남은 것을 모두 보낸 뒤 상대에게 끝(FIN)을 알립니다.",
        chapter: "notes/08-send-recv.md",
        manual: "shutdown(2), tcp(7)",
    },
    Words {
        call: "close",
        why: "디스크립터를 커널에 돌려줍니다. 연결은 그것을 가리키는 마지막 디스크립터가 닫힐 때 끝납니다.",
        chapter: "notes/08-send-recv.md",
        manual: "close(2)",
    },
    Words {
        call: "socketpair",
        why: "서로 연결된 유닉스 도메인 소켓 한 쌍을 만듭니다. fork() 뒤에 부모와 자식이 한쪽씩 가지고 대화합니다.",
        chapter: "notes/10-relay.md",
        manual: "socketpair(2), unix(7)",
    },
    Words {
        call: "recvfrom",
        why: "데이터그램 하나를 보낸 쪽의 주소와 함께 받습니다. 연결이 없으므로 누가 보냈는지는 데이터그램마다 다를 수 있습니다.",
        chapter: "notes/11-udp.md",
        manual: "recvfrom(2), udp(7)",
    },
    Words {
        call: "sendto",
        why: "데이터그램 하나를 받을 주소를 적어 보냅니다. 통째로 나가거나 아예 나가지 않으며, 도착은 보장되지 않습니다.",
        chapter: "notes/11-udp.md",
        manual: "sendto(2), udp(7)",
    },
    Words {
        call: "recvmsg",
        why: "데이터그램 하나를 받으면서 어느 주소로 온 것인지(IP_PKTINFO)도 함께 받습니다.",
        chapter: "notes/11-udp.md",
        manual: "recvmsg(2), ip(7)",
    },
    Words {
        call: "sendmsg",
        why: "어느 주소에서 보낼지(IP_PKTINFO)를 정해 데이터그램 하나를 보냅니다. 클라이언트가 물어본 주소에서 답하기 위해서입니다.",
        chapter: "notes/11-udp.md",
        manual: "sendmsg(2), ip(7)",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_explained_once() {
        for words in &WORDS {
            assert_eq!(of(words.call), Some(words));
            assert!(words.why.ends_with("니다."), "{}", words.call);
        }
        assert_eq!(of("read"), None);
        assert_eq!(why("recv(6, …, 65536, 0)", false), of("recv").map(|words| words.why));
        for line in ["recv(6, …, 1, MSG_PEEK)", "recv(6, …, 100, MSG_TRUNC|MSG_DONTWAIT)"] {
            assert!(why(line, false).is_some_and(|why| why.ends_with("니다.") && !WORDS.iter().any(|w| w.why == why)));
        }
        assert_ne!(why("send(7, \"\", 0, 0)", true), why("send(7, \"\", 0, 0)", false));
    }
}
