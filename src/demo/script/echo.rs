//! Stage 1: what each client writes comes back to it.

use super::Do::{Await, HangUp, Start, Stop, Type};
use super::Until::{Calls, Ended, Screen, Settled};
use super::{C1, C2, CHULSOO, SERVER, Step, YOUNGHEE};

pub const STEPS: &[Step] = &[
    Step {
        title: "서버가 소켓을 만들고 연결을 기다립니다",
        look: "socket()은 소켓을 만들고, bind()는 주소를 붙이고, listen()은 연결을 받기 시작합니다. 포트를 0으로 적었으므로 커널이 고른 포트를 getsockname()으로 알아냅니다.",
        acts: &[Start(SERVER), Await(Calls(SERVER, 1, "getsockname(", ""))],
    },
    Step {
        title: "철수가 접속하고, 서버는 fork()로 자식을 만듭니다",
        look: "accept4()는 대기열에서 연결을 꺼내 새 소켓(6)을 돌려줍니다. 이 연결은 자식 c1이 맡습니다. 부모는 자기 것을 닫고, 대기열이 비어 있으면(EAGAIN) 다시 기다립니다.",
        acts: &[
            Start(CHULSOO),
            Await(Calls(CHULSOO, 1, "fcntl(", "F_SETFL, O_RDWR|O_NONBLOCK) = 0")),
            Await(Calls(SERVER, 2, "accept4(", "")),
            Await(Calls(C1, 1, "close_range(", "4294967295, 0) = 0")),
            Await(Settled),
        ],
    },
    Step {
        title: "영희도 접속합니다",
        look: "연결마다 자식이 하나씩입니다. 서버의 포트는 같지만 클라이언트의 포트가 서로 다르므로 커널은 두 연결을 구별합니다.",
        acts: &[
            Start(YOUNGHEE),
            Await(Calls(YOUNGHEE, 1, "fcntl(", "F_SETFL, O_RDWR|O_NONBLOCK) = 0")),
            Await(Calls(SERVER, 2, "accept4(", "")),
            Await(Calls(C2, 1, "close_range(", "4294967295, 0) = 0")),
            Await(Settled),
        ],
    },
    Step {
        title: "철수가 쓴 글이 그대로 돌아옵니다",
        look: "화살표는 send()가 보낸 바이트입니다. 한글은 한 글자가 3바이트이므로 다섯 글자와 줄바꿈은 16바이트입니다. 부모는 이 바이트를 보지 않습니다.",
        acts: &[
            Type(CHULSOO, "안녕하세요"),
            Await(Screen(CHULSOO, "안녕하세요")),
            Await(Calls(C1, 1, "send(", "")),
            Await(Settled),
        ],
    },
    Step {
        title: "영희도 씁니다",
        look: "소켓도 프로세스도 철수의 연결과 다릅니다. 두 연결은 서로를 기다리지 않습니다. 영문자는 한 글자가 1바이트입니다.",
        acts: &[Type(YOUNGHEE, "hi"), Await(Screen(YOUNGHEE, "hi")), Await(Calls(C2, 1, "send(", "")), Await(Settled)],
    },
    Step {
        title: "철수가 보내기를 마칩니다 (half-close)",
        look: "shutdown(SHUT_WR)은 한쪽 방향만 닫습니다. recv()가 0을 돌려주면 상대가 더 보낼 것이 없다는 뜻입니다. 자식이 끝나면 부모도 자식과의 소켓(7)에서 0을 받습니다.",
        acts: &[
            HangUp(CHULSOO),
            Await(Ended(CHULSOO)),
            Await(Calls(CHULSOO, 1, "close(", "")),
            Await(Calls(C1, 2, "close(", "")),
            Await(Calls(SERVER, 1, "close(", "")),
        ],
    },
    Step {
        title: "영희도 나갑니다",
        look: "철수와 c1은 이미 없습니다. 영희와 c2가 같은 일을 합니다.",
        acts: &[
            HangUp(YOUNGHEE),
            Await(Ended(YOUNGHEE)),
            Await(Calls(YOUNGHEE, 1, "close(", "")),
            Await(Calls(C2, 2, "close(", "")),
            Await(Calls(SERVER, 1, "close(", "")),
        ],
    },
    Step {
        title: "서버가 SIGTERM을 받고 끝납니다",
        look: "리스너를 닫으면 이 포트로는 더 접속할 수 없습니다.",
        acts: &[Stop, Await(Ended(SERVER)), Await(Calls(SERVER, 1, "close(", ""))],
    },
];
