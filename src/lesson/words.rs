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
    // `fcntl(3, F_GETFL) = 0x2`: the arguments hold no data, so what they are called stands where it is looked for.
    let argument = |n: usize| line.split(['(', ')', ',']).nth(n).map_or("", str::trim);
    Some(match call {
        _ if flagged(", MSG_PEEK)") => {
            "도착한 바이트를 꺼내지 않고 들여다봅니다. 첫 바이트만 보아도 클라이언트가 TLS로 말하는지 알 수 있습니다."
        }
        _ if flagged(", MSG_TRUNC|MSG_DONTWAIT)") => {
            "도착한 바이트를 읽지 않고 버립니다. 읽지 않은 것이 남은 채로 닫으면 커널이 RST를 보내 이쪽이 보낸 마지막 말이 사라질 수 있기 때문입니다."
        }
        "setsockopt" => option(argument(3)).or(of(call).map(|words| words.why))?,
        "fcntl" if argument(2) == "F_GETFL" => {
            "소켓의 상태 플래그를 읽습니다. 다른 플래그는 그대로 두고 O_NONBLOCK만 더하기 위해서입니다."
        }
        "fcntl" if argument(2) == "F_DUPFD_CLOEXEC" => {
            "같은 소켓을 가리키는 디스크립터를 하나 더 만듭니다. 소켓은 둘 다 닫힐 때까지 남아 있습니다."
        }
        "shutdown" if argument(2) == "SHUT_RDWR" => {
            "디스크립터는 그대로 두고 양쪽 방향을 모두 닫습니다. 이 소켓을 기다리던 쪽은 깨어나고, recv()는 남은 바이트를 모두 준 뒤 0을 돌려줍니다."
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
            "부모와 자식 사이의 소켓을 가리키는 디스크립터를 닫습니다. 이쪽 끝을 가리키는 디스크립터가 두 프로세스에서 모두 닫히면 반대쪽 끝의 recv()가 0을 돌려받습니다."
        }
        call => of(call)?.why,
    })
}

/// What an option is for, wherever it is set.
fn option(name: &str) -> Option<&'static str> {
    Some(match name {
        "SO_REUSEADDR" => {
            "서버를 끝내고 곧바로 다시 실행해도 bind()할 수 있게 합니다. 이 옵션이 없으면 이전 연결이 TIME-WAIT 상태로 남아 있는 동안 EADDRINUSE로 실패합니다."
        }
        "TCP_NODELAY" => {
            "작은 데이터도 모으지 않고 바로 보내게 합니다(Nagle 알고리즘을 끕니다). 리스너에 정하면 accept()로 만드는 소켓이 물려받습니다."
        }
        "SO_KEEPALIVE" => {
            "오랫동안 아무것도 오지 않으면 커널이 상대가 아직 있는지 확인하게 합니다. 리스너에 정하면 accept()로 만드는 소켓이 물려받습니다."
        }
        "TCP_KEEPIDLE" => {
            "아무것도 오지 않은 지 몇 초가 지나면 상대를 확인하기 시작할지 정합니다. 정하지 않으면 2시간입니다(net.ipv4.tcp_keepalive_time)."
        }
        "SO_SNDBUF" => {
            "송신 버퍼의 크기를 정합니다. 상대가 받았다고 확인하지 않은 데이터가 여기에 남습니다. 커널은 관리에 쓸 공간까지 셈해 두 배로 잡습니다."
        }
        "SO_RCVBUF" => {
            "수신 버퍼의 크기를 정합니다. UDP에서는 버퍼가 가득 차면 새로 온 데이터그램이 버려집니다. 커널은 관리에 쓸 공간까지 셈해 두 배로 잡습니다."
        }
        "SO_RCVBUFFORCE" => {
            "수신 버퍼를 net.core.rmem_max보다 크게 정합니다. 관리자 권한(CAP_NET_ADMIN)이 필요합니다. UDP에서는 버퍼가 가득 차면 새로 온 데이터그램이 버려집니다."
        }
        "IP_PKTINFO" | "IPV6_RECVPKTINFO" => "데이터그램마다 어느 주소로 온 것인지 recvmsg()가 알려 주게 합니다.",
        "IP_RECVERR" | "IPV6_RECVERR" => {
            "ICMP 오류가 오면 다음 호출이 그 errno로 실패하게 합니다. connect()하지 않은 UDP 소켓도 이렇게 상대의 포트가 닫혀 있음(ECONNREFUSED)을 알 수 있습니다."
        }
        _ => return None,
    })
}

/// In the order of a connection's life; what UDP and the relay add comes behind.
pub const WORDS: [Words; 20] = [
    Words {
        call: "socket",
        why: "커널에 소켓을 만들고 그것을 가리키는 파일 디스크립터를 받습니다. 아직 주소도 상대도 없습니다.",
        chapter: "notes/03-socket.md",
        manual: "socket(2), ip(7), tcp(7), udp(7)",
    },
    Words {
        call: "setsockopt",
        why: "소켓이 어떻게 동작할지 옵션으로 정합니다.",
        chapter: "notes/04-bind.md",
        manual: "setsockopt(2), socket(7), tcp(7), ip(7)",
    },
    Words {
        call: "getsockopt",
        why: "소켓에 남아 있는 오류(SO_ERROR)를 커널에 묻습니다. 한 번 읽으면 지워집니다.",
        chapter: "notes/04-bind.md",
        manual: "getsockopt(2), socket(7)",
    },
    Words {
        call: "fcntl",
        why: "소켓의 상태 플래그를 바꿉니다. O_NONBLOCK을 켜면 기다려야 할 호출이 기다리지 않고 EAGAIN으로 돌아옵니다.",
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
        why: "이 소켓에 붙은 주소와 포트를 커널에 묻습니다. bind()에 포트 0을 주었거나 connect()만 불러 커널이 대신 고른 포트도 이렇게 알 수 있습니다.",
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
        why: "프로세스를 둘로 나눕니다. 자식은 열린 디스크립터를 모두 물려받아 이 연결을 맡고, 부모는 다음 연결을 기다립니다. 부모에게는 자식의 PID를, 자식에게는 0을 돌려줍니다.",
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
        manual: "recv(2), tcp(7), unix(7)",
    },
    Words {
        call: "send",
        why: "바이트를 커널의 송신 버퍼에 넣습니다. 성공은 커널이 받았다는 뜻일 뿐, 상대가 받았다는 뜻은 아닙니다.",
        chapter: "notes/08-send-recv.md",
        manual: "send(2), tcp(7), unix(7)",
    },
    Words {
        call: "shutdown",
        why: "디스크립터는 그대로 두고 연결의 한쪽 방향을 닫습니다. SHUT_WR이면 남은 것을 모두 보낸 뒤 상대에게 끝(FIN)을 알립니다.",
        chapter: "notes/08-send-recv.md",
        manual: "shutdown(2), tcp(7), unix(7)",
    },
    Words {
        call: "close",
        why: "디스크립터를 커널에 돌려줍니다. 소켓은 그것을 가리키는 마지막 디스크립터가 닫힐 때 닫히고, 연결이 있었다면 그때 끝납니다.",
        chapter: "notes/08-send-recv.md",
        manual: "close(2)",
    },
    Words {
        call: "socketpair",
        why: "서로 연결된 유닉스 도메인 소켓 한 쌍을 만듭니다. fork() 뒤에 부모와 자식이 하나씩 나누어 가지고 대화합니다.",
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
        why: "받을 주소를 적어 데이터그램 하나를 보냅니다. 통째로 나가거나 아예 나가지 않으며, 도착은 보장되지 않습니다.",
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
        why: "어느 주소에서 보낼지(IP_PKTINFO)를 정해 데이터그램 하나를 보냅니다. 클라이언트가 보낸 바로 그 주소에서 답하기 위해서입니다.",
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
        for line in [
            "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
            "setsockopt(3, SOL_IP, IP_RECVERR, [1], 4)",
            "fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)",
            "shutdown(3, SHUT_RDWR) = 0",
        ] {
            let call = line.split('(').next().and_then(of);
            assert_ne!(why(line, false), call.map(|words| words.why), "{line}");
        }
        assert_eq!(why("shutdown(3, SHUT_WR) = 0", false), of("shutdown").map(|words| words.why));
        assert_ne!(why("send(7, \"\", 0, 0)", true), why("send(7, \"\", 0, 0)", false));
    }
}
