//! Stage 1: what is sent comes back unchanged, to the one who has sent it, whatever the others do.

use super::case::{After, Case, Outcome};
use super::echoed::{all_hear_back, echo, hear_back, hear_end, hear_nothing_more, is_served};
use super::exam::Exam;
use super::peer::Peer;

const STREAM: &str = "notes/08-send-recv.md";
const ACCEPT: &str = "notes/06-accept.md";
const FORK: &str = "notes/09-fork.md";

pub const CASES: &[Case] = &[
    Case {
        name: "echo-line",
        title: "한 줄을 보내면 그대로 돌아오고 다른 것은 오지 않습니다",
        chapter: STREAM,
        run: line,
    },
    Case {
        name: "echo-no-newline", title: "줄바꿈이 없는 글도 바로 돌아옵니다", chapter: STREAM, run: no_newline
    },
    Case {
        name: "echo-binary",
        title: "0부터 255까지 모든 값의 바이트가 그대로 돌아옵니다",
        chapter: STREAM,
        run: binary,
    },
    Case {
        name: "echo-pieces", title: "1바이트씩 나누어 보낸 한글도 모두 돌아옵니다", chapter: STREAM, run: pieces
    },
    Case {
        name: "echo-large",
        title: "4MiB를 보내면서 받아도 한 바이트도 다르지 않습니다",
        chapter: STREAM,
        run: large,
    },
    Case {
        name: "echo-late-reader",
        title: "늦게 읽기 시작한 클라이언트도 8MiB를 모두 받습니다",
        chapter: STREAM,
        run: late_reader,
    },
    Case {
        name: "echo-half-close",
        title: "보내기를 마치면(half-close) 남은 것이 모두 돌아온 뒤에 연결이 끝납니다",
        chapter: STREAM,
        run: half_close,
    },
    Case {
        name: "echo-half-close-late",
        title: "2MiB를 보내고 보내기를 마친 뒤에 읽기 시작해도 모두 돌아온 뒤에 연결이 끝납니다",
        chapter: STREAM,
        run: half_close_late,
    },
    Case {
        name: "echo-many-clients",
        title: "여러 클라이언트가 동시에 보내도 각자 자기 것만 받습니다",
        chapter: FORK,
        run: many_clients,
    },
    Case {
        name: "echo-idle-neighbour",
        title: "이야기하다 멈춘 이웃이 접속해 있어도 다른 클라이언트에게 답합니다",
        chapter: FORK,
        run: idle_neighbour,
    },
    Case {
        name: "echo-silent-neighbour",
        title: "한 번도 보내지 않는 이웃이 접속해 있어도 다른 클라이언트에게 답합니다",
        chapter: FORK,
        run: silent_neighbour,
    },
    Case {
        name: "echo-empty-connection",
        title: "아무것도 보내지 않고 바로 끊는 접속이 있어도 계속합니다",
        chapter: ACCEPT,
        run: empty_connection,
    },
    Case {
        name: "echo-reconnect", title: "30번 접속하고 끊어도 매번 답합니다", chapter: ACCEPT, run: reconnect
    },
    Case {
        name: "echo-reset",
        title: "이웃이 연결을 RST로 끊어도 다른 클라이언트에게 답합니다",
        chapter: STREAM,
        run: reset,
    },
    Case {
        name: "echo-reset-unread",
        title: "답을 읽지 않던 클라이언트가 RST로 끊어도(EPIPE, SIGPIPE) 계속합니다",
        chapter: STREAM,
        run: reset_unread,
    },
];

/// Over TLS these are not asked for: before 1.3 who heard a close_notify had to throw away what it still owed (RFC 5246
/// §7.2.1), and many a library still does, asyncio's for one.
pub const WITHOUT_TLS: [&str; 2] = ["echo-half-close", "echo-half-close-late"];

const MIB: usize = 1024 * 1024;
/// A receive buffer that is soon full.
const SMALL_BUFFER: i32 = 16 * 1024;
/// What each of several clients sends: each its own part of the same bytes.
const SHARE_BYTES: usize = 32 * 1024;
const RECONNECTS: usize = 30;

fn line(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    let line = format!("안녕하세요, {}\n", exam.token());
    echo(exam, &mut peer, line.as_bytes())?;
    hear_nothing_more(exam, &mut peer, line.as_bytes())
}

fn no_newline(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    echo(exam, &mut peer, format!("줄바꿈 없음 {}", exam.token()).as_bytes())?;
    echo(exam, &mut peer, format!("이어서 {}", exam.token()).as_bytes())
}

fn binary(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    let all: Vec<u8> = (0..=255).collect();
    echo(exam, &mut peer, &all)?;
    let backwards: Vec<u8> = (0..=255).rev().collect();
    echo(exam, &mut peer, &[backwards.as_slice(), b"\r\n\0\r\n"].concat())
}

fn pieces(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    let text = format!("한 바이트씩 {}\n", exam.token());
    for byte in text.bytes() {
        peer.say([byte]);
        exam.push(std::slice::from_mut(&mut peer));
    }
    hear_back(exam, &mut peer, text.as_bytes()).after("1바이트씩 보낸")
}

/// We read while we send: who only sends, and does not read, may bring any echo server to a stop.
fn large(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    echo(exam, &mut peer, &noise(4 * MIB))
}

/// The server's send() has to wait, or takes a part only: what it then forgets is missing.
fn late_reader(exam: &Exam) -> Outcome {
    let mut peer = exam.connect_with("철수", Some(SMALL_BUFFER))?;
    let data = noise(8 * MIB);
    send_unread(exam, &mut peer, &data);
    hear_back(exam, &mut peer, &data).after("읽지 않고 보내기만 하던")
}

fn half_close(exam: &Exam) -> Outcome {
    let mut peer = exam.connect("철수")?;
    let text = format!("마지막 줄 {}\n줄바꿈 없는 끝", exam.token());
    peer.say(&text);
    peer.say_all();
    hear_back(exam, &mut peer, text.as_bytes()).after("shutdown(SHUT_WR)까지 마친")?;
    hear_end(exam, &mut peer, "철수: shutdown(SHUT_WR). 보낸 것은 모두 돌아왔습니다")
}

/// When the server's recv() returns 0, it still owes much to who has not read yet.
fn half_close_late(exam: &Exam) -> Outcome {
    let mut peer = exam.connect_with("철수", Some(SMALL_BUFFER))?;
    let data = noise(2 * MIB);
    send_unread(exam, &mut peer, &data);
    peer.say_all();
    hear_back(exam, &mut peer, &data).after("shutdown(SHUT_WR)까지 마치고 나서 읽기 시작한")?;
    hear_end(exam, &mut peer, "철수: shutdown(SHUT_WR). 보낸 것은 모두 돌아왔습니다")
}

fn many_clients(exam: &Exam) -> Outcome {
    let names = ["철수", "영희", "민수", "수진", "지훈"];
    let mut peers = names.into_iter().map(|who| exam.connect(who)).collect::<Result<Vec<Peer>, _>>()?;
    let all = noise(names.len() * SHARE_BYTES);
    let sent: Vec<&[u8]> = all.chunks(SHARE_BYTES).collect();
    peers.iter_mut().zip(&sent).for_each(|(peer, sent)| peer.say(sent));
    all_hear_back(exam, &mut peers, &sent).after("동시에 보낸 다섯 클라이언트 가운데")
}

fn idle_neighbour(exam: &Exam) -> Outcome {
    let mut neighbour = exam.connect("철수")?;
    is_served(exam, &mut neighbour)?;
    is_served(exam, &mut exam.connect("영희")?).after("철수가 접속한 채로 조용히 있을 때")?;
    is_served(exam, &mut neighbour).after("영희가 다녀간 뒤에")
}

fn silent_neighbour(exam: &Exam) -> Outcome {
    let mut neighbour = exam.connect("철수")?;
    is_served(exam, &mut exam.connect("영희")?).after("철수가 접속만 하고 아무것도 보내지 않을 때")?;
    is_served(exam, &mut neighbour).after("영희가 다녀간 뒤에 처음으로")
}

fn empty_connection(exam: &Exam) -> Outcome {
    for _ in 0..2 {
        exam.connect("철수")?.close();
        exam.connect("철수")?.reset(); // it may be gone before accept() returns: then it has no peer (ENOTCONN)
    }
    is_served(exam, &mut exam.connect("영희")?).after("철수가 네 번 접속했다가 바로 (두 번은 RST로) 끊은 뒤에")
}

fn reconnect(exam: &Exam) -> Outcome {
    for n in 1..=RECONNECTS {
        let mut peer = exam.connect("철수")?;
        is_served(exam, &mut peer).after(&format!("{n}번째로 접속한"))?;
        peer.close();
    }
    Ok(())
}

fn reset(exam: &Exam) -> Outcome {
    let (mut before, mut neighbour) = (exam.connect("철수")?, exam.connect("영희")?);
    is_served(exam, &mut before)?;
    is_served(exam, &mut neighbour)?;
    neighbour.reset();
    is_served(exam, &mut before).after("영희가 RST로 끊은 뒤에")?;
    is_served(exam, &mut exam.connect("민수")?).after("영희가 RST로 끊은 뒤에 접속한")
}

/// The server still sends to who has gone: without care that is a SIGPIPE, which ends a process.
fn reset_unread(exam: &Exam) -> Outcome {
    let mut gone = exam.connect_with("철수", Some(SMALL_BUFFER))?;
    send_unread(exam, &mut gone, &noise(4 * MIB));
    gone.reset();
    is_served(exam, &mut exam.connect("영희")?).after("철수가 4MiB를 보내고 읽지 않은 채 RST로 끊은 뒤에")
}

/// As much of it as the kernels and the server take while nobody reads what comes back.
fn send_unread(exam: &Exam, peer: &mut Peer, data: &[u8]) {
    peer.reads = false;
    peer.say(data);
    exam.push(std::slice::from_mut(peer));
    peer.reads = true;
}

/// Bytes of all values that are different enough that a lost, doubled or moved one shows (xorshift64*).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(words.next().unwrap_or_default());
    }
    bytes.truncate(len);
    bytes
}
