//! `make bench-hold`: very many clients at the same time. Do they all stay, what does each cost, and can others still come?

use std::fs::read_to_string;
use std::time::{Duration, Instant};

use openssl::ssl::SslContext;

use crate::cpu;
use crate::failure::{Failure, Result, failed};
use crate::load::{Conn, client_context};
use crate::measure::Plan;
use crate::options::HoldOptions;
use crate::peers::{Peer, Place, Server, Serves};
use crate::report::{in_columns, short};
use crate::run::progress;
use crate::works::connections::{Connections, one_line};

const SLOTS: usize = 16;
const HEAD: [&str; 9] = [
    "서버",
    "",
    "클라이언트",
    "모두 접속(초)",
    "Private_Dirty KB/명",
    "PSS KB/명",
    "페이지 테이블 KB/명",
    "연결/초, 0명일 때",
    "연결/초, 접속 중",
];

/// True: whatever is not right is a failure.
pub fn run(options: &HoldOptions) -> Result<bool> {
    let place = Place::make()?;
    let mut lines = vec![HEAD.map(String::from)];
    for peer in Peer::chosen(&options.servers)? {
        for tls in [false, true] {
            if peer.is_missing() || !peer.serves(Serves::Echo, tls) {
                continue;
            }
            let protocol = if tls { "TLS" } else { "평문" };
            let line = hold(peer, tls, options, &place)
                .map_err(|failure| Failure::new(format!("{}, {protocol}: {failure}", peer.name())));
            progress("");
            lines.push(line?);
        }
    }
    print!("{}", in_columns(&lines, 2));
    Ok(true)
}

fn hold(peer: Peer, tls: bool, options: &HoldOptions, place: &Place) -> Result<[String; 9]> {
    let server = Server::start(peer, Serves::Echo, tls, place)?;
    let context = tls.then(|| client_context(&place.certs)).transpose()?;
    let context = context.as_ref();
    let protocol = if tls { "TLS" } else { "평문" };
    let tell = |what: &str| progress(&format!("{} {protocol} · {what}", peer.name()));
    let plan = Plan { warm_up: Duration::from_millis(200), measured: Duration::from_secs_f64(options.seconds) };
    let connections = || Connections { slots: SLOTS, resumed: false }.run(&server, context, &plan);

    tell("연결/초");
    let alone = connections()?.rate();
    let before = Memory::of_servers();
    tell("접속하는 중");
    let start = Instant::now();
    let mut held = open(options.clients, &server, context)?;
    let seconds = start.elapsed().as_secs_f64();
    tell("메모리");
    let after = Memory::of_servers();
    tell("연결/초");
    let crowded = connections()?.rate();
    tell("모두 답하는지 확인하는 중");
    for (number, conn) in held.iter_mut().enumerate() {
        if let Err(failure) = one_line(conn, number, 1) {
            return failed(format!("client {number} of {} is lost: {failure}", options.clients));
        }
    }
    // Less than nothing, with few clients: what was the parent's alone is now shared.
    let each = |of: fn(&Memory) -> u64| short((of(&after) as f64 - of(&before) as f64) / options.clients as f64);
    Ok([
        peer.name(),
        protocol.into(),
        options.clients.to_string(),
        short(seconds),
        each(|memory| memory.private_dirty),
        each(|memory| memory.pss),
        each(|memory| memory.page_tables),
        short(alone),
        format!("{} ({:.2})", short(crowded), crowded / alone),
    ])
}

/// As many connections, each of which has been answered once.
fn open(clients: usize, server: &Server, context: Option<&SslContext>) -> Result<Vec<Conn>> {
    let open_some = |slot: usize| {
        let mine = (slot..clients).step_by(SLOTS);
        let open_one = |number: usize| {
            let mut conn = Conn::open(server, context)?;
            one_line(&mut conn, number, 0)?;
            Ok(conn)
        };
        mine.map(open_one).collect::<Result<Vec<Conn>>>()
    };
    let opened: Vec<Result<Vec<Conn>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SLOTS).map(|slot| scope.spawn(move || open_some(slot))).collect();
        let panicked = |_| failed("the load generator panicked");
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    Ok(opened.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// In KB, of all processes of the servers.
#[derive(Default)]
struct Memory {
    private_dirty: u64,
    pss: u64,
    page_tables: u64,
}

impl Memory {
    fn of_servers() -> Memory {
        let mut sum = Memory::default();
        for pid in cpu::servers() {
            sum.private_dirty += kb(pid, "smaps_rollup", "Private_Dirty:");
            sum.pss += kb(pid, "smaps_rollup", "Pss:");
            sum.page_tables += kb(pid, "status", "VmPTE:");
        }
        sum
    }
}

/// A line `Key:  1234 kB`; nothing of a process that has just ended.
fn kb(pid: u32, file: &str, key: &str) -> u64 {
    let text = read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
