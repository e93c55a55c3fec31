//! Stage 1 over UDP: each datagram comes back as it was sent, to the one who has sent it.

use super::case::{After, Case, Outcome};
use super::exam::Exam;
use super::udp_client::Client;

const UDP: &str = "notes/11-udp.md";

/// What a server may not survive comes last.
pub const CASES: &[Case] = &[
    Case { name: "udp-text", title: "보낸 데이터그램이 그대로 돌아옵니다", chapter: UDP, run: text },
    Case {
        name: "udp-binary", title: "0부터 255까지 모든 값의 바이트가 그대로 돌아옵니다", chapter: UDP, run: binary
    },
    Case {
        name: "udp-boundaries",
        title: "데이터그램 셋이 합쳐지거나 나뉘지 않고 셋으로 돌아옵니다",
        chapter: UDP,
        run: boundaries,
    },
    Case { name: "udp-large", title: "8KiB 데이터그램이 잘리지 않습니다", chapter: UDP, run: large },
    Case {
        name: "udp-two-clients",
        title: "두 클라이언트가 번갈아 보내도 각자 자기 것만 받습니다",
        chapter: UDP,
        run: two_clients,
    },
    Case {
        name: "udp-gone-client",
        title: "답을 기다리지 않고 사라진 클라이언트가 있어도(ICMP) 계속합니다",
        chapter: UDP,
        run: gone_client,
    },
    Case {
        name: "udp-empty", title: "빈 데이터그램도 돌아오고, 서버가 끝나지 않습니다", chapter: UDP, run: empty
    },
];

fn text(exam: &Exam) -> Outcome {
    let mut client = Client::open(exam, "철수")?;
    client.echo(&[format!("안녕하세요, {} 😀", exam.token()).into_bytes()])?;
    client.nothing_more()
}

fn binary(exam: &Exam) -> Outcome {
    Client::open(exam, "철수")?.echo(&[(0..=255).collect(), (0..=255).rev().collect()])
}

fn boundaries(exam: &Exam) -> Outcome {
    let token = exam.token();
    let three = ["하나", "둘\n두 번째 줄", "셋"].map(|text| format!("{token} {text}").into_bytes());
    Client::open(exam, "철수")?.echo(&three).after("셋을 잇달아 보낸")
}

fn large(exam: &Exam) -> Outcome {
    let data: Vec<u8> = exam.token().bytes().cycle().take(8 * 1024).collect();
    Client::open(exam, "철수")?.echo(&[data])
}

fn empty(exam: &Exam) -> Outcome {
    let mut client = Client::open(exam, "철수")?;
    client.echo(&[Vec::new()])?;
    client.echo(&[exam.token().into_bytes()]).after("빈 데이터그램 뒤에")
}

fn two_clients(exam: &Exam) -> Outcome {
    let (mut one, mut other) = (Client::open(exam, "철수")?, Client::open(exam, "영희")?);
    let of = |client: &Client<'_>| [1, 2, 3].map(|n| format!("{} {n} {}", client.who, exam.token()).into_bytes());
    let (ones, others) = (of(&one), of(&other));
    for (mine, yours) in ones.iter().zip(&others) {
        one.send(mine)?;
        other.send(yours)?;
    }
    one.hear_back(&ones).and_then(|()| other.hear_back(&others)).after("철수와 영희가 번갈아 보낼 때")
}

/// The answer finds no socket; the kernel here says so by ICMP, and the server may hear of it as an errno.
fn gone_client(exam: &Exam) -> Outcome {
    for _ in 0..3 {
        let mut gone = Client::open(exam, "철수")?;
        gone.send(exam.token().as_bytes())?;
        gone.close();
    }
    let mut client = Client::open(exam, "영희")?;
    client.echo(&[exam.token().into_bytes()]).after("철수가 세 번 보내고 바로 사라진 뒤에")
}
