//! `make bench-hold`: very many clients at the same time. Do they all stay, what does each cost, and can others still come?

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use openssl::ssl::SslContext;
use tinyjson::JsonValue;

use crate::failure::{Failure, Result, failed};
use crate::load::{Conn, client_context};
use crate::measure::Plan;
use crate::memory::Memory;
use crate::options::HoldOptions;
use crate::peers::{Peer, Place, Server, Serves};
use crate::report::json::{array, number, object, text};
use crate::report::{Machine, in_columns, short};
use crate::run::progress;
use crate::works::connections::{Connections, one_line};

const SLOTS: u32 = 16;
/// What the load generator has open beside its clients.
const OTHERS: u32 = 64;
const HEAD: [&str; 10] = [
    "서버",
    "",
    "클라이언트",
    "준비(ms)",
    "모두 접속(초)",
    "Private_Dirty KB/명",
    "PSS KB/명",
    "페이지 테이블 KB/명",
    "연결/초, 0명일 때",
    "연결/초, 접속 중 (비율)",
];

/// What was seen of one server.
pub struct Held {
    server: String,
    tls: bool,
    clients: u32,
    /// Until it listened.
    ready: Duration,
    /// Until all had been answered.
    joined: Duration,
    /// Of all its processes: before the first client, and with all of them.
    memory: [Memory; 2],
    /// Connections a second, with none held and with all.
    rates: [f64; 2],
}

/// True: whatever is not right is a failure.
pub fn run(options: &HoldOptions) -> Result<bool> {
    let place = Place::make()?;
    let peers: Vec<Peer> = Peer::chosen(&options.servers)?.into_iter().filter(|peer| !peer.is_missing()).collect();
    let all = hold_all(&peers, options.clients, options.seconds, &place)?;
    print!("{}", Held::table(&all));
    if let Some(path) = &options.json {
        let whole = object([("machine", Machine::this().in_json()), ("held", array(all.iter().map(Held::in_json)))]);
        std::fs::write(path, whole.format().unwrap_or_default() + "\n")?;
    }
    Ok(true)
}

pub fn hold_all(peers: &[Peer], clients: u32, seconds: f64, place: &Place) -> Result<Vec<Held>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = clients + SLOTS + OTHERS;
    if u64::from(needed) > most {
        return failed(format!(
            "클라이언트 {clients}명에는 파일 디스크립터가 {needed}개 필요하지만 `ulimit -Hn`은 {most}개까지만 허용합니다. N을 줄이거나 한도를 늘리십시오"
        ));
    }
    let mut all = Vec::new();
    for peer in peers {
        for tls in [false, true].into_iter().filter(|tls| peer.serves(Serves::Echo, *tls)) {
            let held = hold(*peer, tls, clients, seconds, place);
            progress("");
            all.push(held.map_err(|failure| Failure::new(format!("{}, {}: {failure}", peer.name(), protocol(tls))))?);
        }
    }
    Ok(all)
}

fn protocol(tls: bool) -> &'static str {
    if tls { "TLS" } else { "평문" }
}

fn hold(peer: Peer, tls: bool, clients: u32, seconds: f64, place: &Place) -> Result<Held> {
    let server = Server::start(peer, Serves::Echo, tls, place)?;
    let context = tls.then(|| client_context(&place.certs.join("ca.pem"))).transpose()?;
    let context = context.as_ref();
    let tell = |what: &str| progress(&format!("{} {} · {what}", peer.name(), protocol(tls)));
    let plan = Plan { warm_up: Duration::from_millis(200), measured: Duration::from_secs_f64(seconds) };
    let connections = || Connections { slots: SLOTS as usize, resumed: false }.run(&server, context, &plan);

    tell("연결/초");
    let alone = connections()?.rate();
    let before = Memory::of_servers();
    tell("접속하는 중");
    let start = Instant::now();
    let mut held = open(clients, &server, context)?;
    let joined = start.elapsed();
    tell("메모리");
    let after = Memory::of_servers();
    tell("연결/초");
    let crowded = connections()?.rate();
    tell("모두 답하는지 확인하는 중");
    for (nth, conn) in held.iter_mut().enumerate() {
        if let Err(failure) = one_line(conn, nth, 1) {
            return failed(format!("client {nth} of {clients} is lost: {failure}"));
        }
    }
    let (ready, memory, rates) = (server.ready_after, [before, after], [alone, crowded]);
    Ok(Held { server: peer.name(), tls, clients, ready, joined, memory, rates })
}

impl Held {
    /// In KB. Less than nothing, with few clients: what was the parent's alone is now shared.
    fn each(&self, kind: fn(&Memory) -> u64) -> f64 {
        let [before, after] = self.memory.each_ref().map(|memory| kind(memory) as f64);
        (after - before) / f64::from(self.clients)
    }

    fn crowded_to_alone(&self) -> f64 {
        self.rates[1] / self.rates[0]
    }

    pub fn table(all: &[Held]) -> String {
        let line = |held: &Held| {
            [
                held.server.clone(),
                protocol(held.tls).into(),
                held.clients.to_string(),
                short(held.ready.as_secs_f64() * 1e3),
                short(held.joined.as_secs_f64()),
                short(held.each(|memory| memory.private_dirty)),
                short(held.each(|memory| memory.pss)),
                short(held.each(|memory| memory.page_tables)),
                short(held.rates[0]),
                format!("{} ({:.2})", short(held.rates[1]), held.crowded_to_alone()),
            ]
        };
        in_columns(&[HEAD.map(String::from)].into_iter().chain(all.iter().map(line)).collect::<Vec<_>>(), 2)
    }

    pub fn in_json(&self) -> JsonValue {
        let [before, after] = self.memory.each_ref().map(Memory::in_json);
        object([
            ("server", text(&self.server)),
            ("tls", JsonValue::Boolean(self.tls)),
            ("clients", number(self.clients)),
            ("ready_seconds", number(self.ready.as_secs_f64())),
            ("joined_seconds", number(self.joined.as_secs_f64())),
            ("memory_kb", object([("none_held", before), ("all_held", after)])),
            (
                "connections_per_second",
                object([("none_held", number(self.rates[0])), ("all_held", number(self.rates[1]))]),
            ),
            ("all_held_to_none", number(self.crowded_to_alone())),
        ])
    }
}

/// As many connections, each of which has been answered once.
fn open(clients: u32, server: &Server, context: Option<&SslContext>) -> Result<Vec<Conn>> {
    let open_some = |slot: u32| {
        let mine = (slot..clients).step_by(SLOTS as usize);
        let open_one = |nth: u32| {
            let mut conn = Conn::open(server.addr, context)?;
            one_line(&mut conn, nth as usize, 0)?;
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
