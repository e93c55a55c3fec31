//! Stages 2 and 3: the same conversation through the parent, in clear and over TLS.

use super::Do::{Await, Start, Stop, Type};
use super::Until::{Calls, Ended, Screen, Settled};
use super::{C1, C2, CHULSOO, Do, SERVER, Step, YOUNGHEE};

pub const PLAIN: &[Step] = &[
    Step {
        title: "서버가 소켓을 만들고 연결을 기다립니다",
        look: "중계 서버도 socket(), bind(), listen()으로 시작합니다. 그 앞의 네 호출은 가장 긴 패킷이 부모와 자식 사이를 지날 수 있는지 시험해 본 것입니다.",
        acts: OPEN,
    },
    Step {
        title: "철수가 접속해 이름을 말합니다",
        look: "부모와 자식은 fork() 전에 만든 socketpair()로 대화합니다. c1은 철수의 말을 부모에게, 부모의 말을 철수에게 전합니다. c1이 보내는 패킷의 첫 글자는 종류이고(J 접속, N 이름, T 글, P 귓속말, L 나감), 부모가 보내는 패킷은 글자가 아닌 8바이트(…)로 시작합니다.",
        acts: JOIN_CHULSOO,
    },
    Step {
        title: "영희가 들어옵니다",
        look: "부모가 두 자식 모두에게 알리므로 철수의 화면에도 나옵니다.",
        acts: JOIN_YOUNGHEE,
    },
    Step {
        title: "철수의 말이 영희에게 갑니다",
        look: "철수 → c1 → 부모 → c2 → 영희. 부모는 모두에게 같은 순서로 보내고, c1은 자기가 맡은 철수의 말은 되돌려 주지 않습니다.",
        acts: SAY,
    },
    Step { title: "영희가 답합니다", look: "이번에는 거꾸로 갑니다.", acts: ANSWER },
    Step {
        title: "철수가 영희에게만 말합니다",
        look: "/to는 서버에게 하는 말입니다. 부모는 c2에게만 보냅니다.",
        acts: WHISPER,
    },
    Step {
        title: "철수가 나갑니다",
        look: "부모가 c1에게 shutdown()으로 끝을 알리면 c1은 철수에게 인사를 보내고 shutdown()한 뒤, 철수가 닫을 때까지 잠시 기다립니다. 곧바로 닫으면 인사가 사라질 수 있습니다.",
        acts: LEAVE_CHULSOO,
    },
    Step {
        title: "영희도 나갑니다", look: "남은 사람이 없으므로 알릴 곳도 없습니다.", acts: LEAVE_YOUNGHEE
    },
    Step {
        title: "서버가 SIGTERM을 받고 끝납니다",
        look: "리스너를 닫으면 이 포트로는 더 접속할 수 없습니다.",
        acts: CLOSE,
    },
];

pub const TLS: &[Step] = &[
    Step {
        title: "서버가 인증서를 읽고 연결을 기다립니다",
        look: "소켓 호출은 2단계와 똑같습니다. TLS는 소켓 위에 있고, 커널은 TLS를 모릅니다.",
        acts: OPEN,
    },
    Step {
        title: "철수가 접속해 TLS 핸드셰이크를 합니다",
        look: "연결이 된 뒤 ClientHello와 ServerHello가 오갑니다. 핸드셰이크는 부모가 아니라 자식 c1이 합니다. ServerHello 다음은 나머지 핸드셰이크까지 암호화되어 ApplicationData로 보입니다. ChangeCipherSpec은 옛 장비를 위해 보낼 뿐입니다.",
        acts: JOIN_CHULSOO,
    },
    Step {
        title: "영희가 들어옵니다",
        look: "연결마다 핸드셰이크를 따로 하고 키도 따로 만듭니다.",
        acts: JOIN_YOUNGHEE,
    },
    Step {
        title: "철수의 말이 암호문이 되어 갑니다",
        look: "철수와 c1 사이에는 ApplicationData뿐입니다. 글이 그대로 지나가는 곳은 c1, 부모, c2 사이뿐이고, 모두 서버 컴퓨터 안입니다.",
        acts: SAY,
    },
    Step {
        title: "영희가 답합니다",
        look: "영희가 자기 연결의 키로 암호화해 보낸 것을 c2가 복호화하고, c1이 철수 쪽 연결의 키로 다시 암호화합니다.",
        acts: ANSWER,
    },
    Step {
        title: "철수가 영희에게만 말합니다",
        look: "/to 명령도 네트워크에서는 보이지 않습니다. 보이는 것은 길이뿐입니다.",
        acts: WHISPER,
    },
    Step {
        title: "철수가 나갑니다",
        look: "shutdown() 전에 TLS의 끝인사 close_notify도 보냅니다. 이것이 없으면 상대가 끝낸 것인지 누군가 중간에서 끊은 것인지 구별할 수 없습니다. TLS 1.3에서는 이것도 암호화되어 ApplicationData로 보입니다.",
        acts: LEAVE_CHULSOO,
    },
    Step { title: "영희도 나갑니다", look: "c2가 같은 일을 합니다.", acts: LEAVE_YOUNGHEE },
    Step {
        title: "서버가 SIGTERM을 받고 끝납니다",
        look: "리스너를 닫으면 이 포트로는 더 접속할 수 없습니다.",
        acts: CLOSE,
    },
];

const OPEN: &[Do] = &[Start(SERVER), Await(Calls(SERVER, 1, "getsockname(", ""))];

const JOIN_CHULSOO: &[Do] = &[
    Start(CHULSOO),
    Await(Screen(CHULSOO, "이름이 바뀌었습니다: 손님1 → 철수")),
    Await(Calls(SERVER, 2, "accept4(", "")),
    Await(Settled),
];

const JOIN_YOUNGHEE: &[Do] = &[
    Start(YOUNGHEE),
    Await(Screen(CHULSOO, "이름이 바뀌었습니다: 손님2 → 영희")),
    Await(Screen(YOUNGHEE, "이름이 바뀌었습니다: 손님2 → 영희")),
    Await(Calls(SERVER, 2, "accept4(", "")),
    Await(Settled),
];

const SAY: &[Do] = &[
    Type(CHULSOO, "안녕하세요"),
    Await(Screen(YOUNGHEE, "[철수] 안녕하세요")),
    Await(Calls(SERVER, 2, "send(", "")),
    Await(Calls(C2, 1, "send(", "")),
    Await(Settled),
];

const ANSWER: &[Do] = &[
    Type(YOUNGHEE, "반갑습니다"),
    Await(Screen(CHULSOO, "[영희] 반갑습니다")),
    Await(Calls(SERVER, 2, "send(", "")),
    Await(Calls(C1, 1, "send(", "")),
    Await(Settled),
];

const WHISPER: &[Do] = &[
    Type(CHULSOO, "/to 영희 비밀이에요"),
    Await(Screen(YOUNGHEE, "비밀이에요")),
    Await(Calls(C2, 1, "send(", "")),
    Await(Settled),
];

const LEAVE_CHULSOO: &[Do] = &[
    Type(CHULSOO, "/quit"),
    Await(Ended(CHULSOO)),
    Await(Screen(YOUNGHEE, "철수 님이 나갔습니다.")),
    Await(Calls(CHULSOO, 1, "close(", "")),
    Await(Calls(C1, 2, "close(", "")),
    Await(Calls(SERVER, 1, "close(", "")),
    Await(Calls(C2, 1, "send(", "")),
];

const LEAVE_YOUNGHEE: &[Do] = &[
    Type(YOUNGHEE, "/quit"),
    Await(Ended(YOUNGHEE)),
    Await(Calls(YOUNGHEE, 1, "close(", "")),
    Await(Calls(C2, 2, "close(", "")),
    Await(Calls(SERVER, 1, "close(", "")),
];

const CLOSE: &[Do] = &[Stop, Await(Ended(SERVER)), Await(Calls(SERVER, 1, "close(", ""))];
