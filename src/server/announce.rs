//! What a person is told when the port is open: in Korean, on standard output.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use openssl::ssl::SslContext;

use crate::cli::{Mode, ServerArgs};
use crate::network::own_addresses;

/// Said when the server is ready; a daemon's starter says it.
pub struct Announcement<'a> {
    args: &'a ServerArgs,
    local: SocketAddr,
    /// The addresses to connect to, and whether the certificate, if there is one, is for them.
    reached_at: Vec<(SocketAddr, bool)>,
}

pub fn announcement<'a>(args: &'a ServerArgs, local: SocketAddr, tls: Option<&SslContext>) -> Announcement<'a> {
    let named = |addr: &SocketAddr| tls.is_none_or(|context| names(context, addr.ip()));
    let reached_at = reached_at(local).into_iter().map(|addr| (addr, named(&addr))).collect();
    Announcement { args, local, reached_at }
}

impl Announcement<'_> {
    /// The address, the stage, how to end it, and what students type. `daemon`: the pid of the process that stays.
    pub fn make(&self, daemon: Option<i32>) {
        let (stage, what) = match (self.args.mode, self.args.tls) {
            _ if self.args.udp => ("1단계: UDP 에코", "데이터그램을"),
            (Mode::Echo, false) => ("1단계: 에코", "연결을"),
            (Mode::Echo, true) => ("1단계: TLS 에코", "연결을"),
            (Mode::Relay, false) => ("2단계: 중계", "연결을"),
            (Mode::Relay, true) => ("3단계: TLS 중계", "연결을"),
        };
        let end = match (daemon, &self.args.pid_file) {
            (None, _) => "끝내려면 Ctrl-C를 누르십시오.".to_string(),
            (Some(pid), None) => format!("데몬의 PID는 {pid}입니다. 멈추려면 `kill {pid}` 명령을 실행하십시오."),
            (Some(pid), Some(file)) => format!(
                "데몬의 PID는 {pid}입니다. 멈추려면 `sockstep stop --pid-file {}` 명령을 실행하십시오.",
                file.display()
            ),
        };
        let mut words = format!("{}에서 {what} 기다립니다 ({stage}). {end}\n", self.local);
        for (addr, named) in &self.reached_at {
            words += &format!("클라이언트: {}\n", what_to_type(self.args, *addr));
            if !named {
                words += &format!(
                    "  서버 인증서에 이 주소가 없어 클라이언트가 서버를 신뢰하지 않습니다. `make certs HOST={}` 명령으로 인증서를 다시 만들고 서버를 다시 시작하십시오.\n",
                    addr.ip()
                );
            }
        }
        // Nobody may be reading standard output; that is no reason to stop.
        let _ = std::io::stdout().write_all(words.as_bytes());
    }
}

/// The addresses to connect to: `0.0.0.0` and `[::]` stand for all of this machine's, and are none themselves.
fn reached_at(local: SocketAddr) -> Vec<SocketAddr> {
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    // [::] takes IPv4 as well.
    let fits = |ip: &IpAddr| ip.is_ipv4() || local.is_ipv6();
    let mut found: Vec<SocketAddr> =
        own_addresses().into_iter().filter(fits).map(|ip| SocketAddr::new(ip, local.port())).collect();
    if found.is_empty() {
        found.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), local.port()));
    }
    found
}

/// The line that a student types: make's where make has the stage, otherwise the program's own.
fn what_to_type(args: &ServerArgs, addr: SocketAddr) -> String {
    let demanded = args.client_ca.is_some();
    let stage = match (args.mode, args.tls) {
        _ if args.udp => " STAGE=udp",
        (Mode::Echo, false) => " STAGE=1",
        (Mode::Relay, false) => " STAGE=2",
        (Mode::Relay, true) => "",
        (Mode::Echo, true) => {
            let own = if demanded { " --cert certs/이름.pem --key certs/이름.key" } else { "" };
            return format!("sockstep client --connect {addr} --tls --ca certs/ca.pem{own}");
        }
    };
    let server = match addr.to_string() {
        usual if usual == "127.0.0.1:7000" => String::new(),
        other => format!(" SERVER={other}"),
    };
    let own = if demanded { " CLIENT=이름 (이름은 자기 인증서에 적힌 이름)" } else { "" };
    format!("make run-client{stage}{server}{own}")
}

/// Whether the certificate is for this address: otherwise every client that looks would refuse it.
fn names(context: &SslContext, ip: IpAddr) -> bool {
    let wanted = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let names = context.certificate().and_then(|certificate| certificate.subject_alt_names());
    names.is_some_and(|names| names.iter().any(|name| name.ipaddress() == Some(&wanted)))
}
