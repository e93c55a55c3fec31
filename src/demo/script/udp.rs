//! Stage 1 over UDP: no connection, no child.

use super::Do::{Await, HangUp, Start, Stop, Type};
use super::Until::{Calls, Ended, Screen, Settled};
use super::{CHULSOO, SERVER, Step, YOUNGHEE};

pub const STEPS: &[Step] = &[
    Step {
        title: "서버가 소켓을 만들고 주소를 붙입니다",
        look: "이것으로 끝입니다. UDP에는 연결이 없으므로 listen()도 accept()도 fork()도 없고, 소켓 하나로 모두와 통신합니다.",
        acts: &[Start(SERVER), Await(Calls(SERVER, 1, "getsockname(", ""))],
    },
    Step {
        title: "철수와 영희가 소켓을 만듭니다",
        look: "connect()를 부르지 않습니다. 서버는 아직 두 사람이 있는 줄도 모릅니다.",
        acts: &[
            Start(CHULSOO),
            Await(Calls(CHULSOO, 1, "setsockopt(", "")),
            Start(YOUNGHEE),
            Await(Calls(YOUNGHEE, 1, "setsockopt(", "")),
        ],
    },
    Step {
        title: "철수가 데이터그램을 하나 보냅니다",
        look: "sendto()에는 받을 주소를 적습니다. 철수의 포트는 이때 커널이 고릅니다. 서버는 recvfrom()이 알려 준 주소로 답합니다. 줄바꿈은 보내지 않으므로 15바이트입니다.",
        acts: &[
            Type(CHULSOO, "안녕하세요"),
            Await(Screen(CHULSOO, "안녕하세요")),
            Await(Calls(SERVER, 1, "sendto(", "")),
            Await(Settled),
        ],
    },
    Step {
        title: "영희도 보냅니다",
        look: "같은 소켓(3)으로 왔지만 보낸 주소가 다릅니다. 서버는 누구의 것인지 주소로만 압니다.",
        acts: &[
            Type(YOUNGHEE, "반갑습니다"),
            Await(Screen(YOUNGHEE, "반갑습니다")),
            Await(Calls(SERVER, 1, "sendto(", "")),
            Await(Settled),
        ],
    },
    Step {
        title: "두 사람이 나갑니다",
        look: "close()뿐입니다. 서버에는 아무것도 가지 않습니다. FIN이 있던 TCP와 견주어 보십시오.",
        acts: &[
            HangUp(CHULSOO),
            Await(Ended(CHULSOO)),
            Await(Calls(CHULSOO, 1, "close(", "")),
            HangUp(YOUNGHEE),
            Await(Ended(YOUNGHEE)),
            Await(Calls(YOUNGHEE, 1, "close(", "")),
        ],
    },
    Step {
        title: "서버가 SIGTERM을 받고 끝납니다",
        look: "하나뿐인 소켓을 닫습니다.",
        acts: &[Stop, Await(Ended(SERVER)), Await(Calls(SERVER, 1, "close(", ""))],
    },
];
