//! What a person is told when the port is open: in Korean, on standard output.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use openssl::ssl::SslContext;

use crate::cli::{Mode, ServerArgs};

/// The address, the stage, how to end it, and what students type. `daemon`: the pid of the process that stays.
pub fn announce(args: &ServerArgs, local: SocketAddr, tls: Option<&SslContext>, daemon: Option<i32>) {
    let stage = match (args.mode, args.tls) {
        (Mode::Echo, false) => "1단계: 에코",
        (Mode::Echo, true) => "1단계: TLS 에코",
        (Mode::Relay, false) => "2단계: 중계",
        (Mode::Relay, true) => "3단계: TLS 중계",
    };
    let end = match (daemon, &args.pid_file) {
        (None, _) => "끝내려면 Ctrl-C를 누르십시오.".to_string(),
        (Some(pid), None) => format!("데몬의 PID는 {pid}입니다. 멈추려면 `kill {pid}`를 실행하십시오."),
        (Some(pid), Some(file)) => {
            format!("데몬의 PID는 {pid}입니다. 멈추려면 `sockstep stop --pid-file {}`를 실행하십시오.", file.display())
        }
    };
    let mut words = format!("{local}에서 연결을 기다립니다 ({stage}). {end}\n");
    for addr in reached_at(local) {
        words += &format!("클라이언트: {}\n", what_to_type(args, addr));
        if tls.is_some_and(|context| !names(context, addr.ip())) {
            words += &format!(
                "  이 주소는 서버 인증서에 없어서 클라이언트가 접속하지 않습니다. `make certs HOST={}`을 실행하고 서버를 다시 시작하십시오.\n",
                addr.ip()
            );
        }
    }
    // Nobody may be reading standard output; that is no reason to stop.
    let _ = std::io::stdout().write_all(words.as_bytes());
}

/// The addresses to connect to: 0.0.0.0 and [::] stand for all of this machine's, and are none themselves.
fn reached_at(local: SocketAddr) -> Vec<SocketAddr> {
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    let interfaces = getifaddrs().into_iter().flatten();
    let outside = interfaces
        .filter(|one| one.flags.contains(InterfaceFlags::IFF_UP) && !one.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    let addresses = outside.filter_map(|one| {
        let addr = one.address?;
        let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::from(addr.ip()));
        v4.or_else(|| addr.as_sockaddr_in6().map(|addr| IpAddr::from(addr.ip())))
    });
    // [::] takes IPv4 as well; a link-local address means nothing without its interface.
    let fits = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => local.is_ipv6() && !ip.is_unicast_link_local(),
    };
    let mut found: Vec<SocketAddr> = addresses.filter(fits).map(|ip| SocketAddr::new(ip, local.port())).collect();
    if found.is_empty() {
        found.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), local.port()));
    }
    found
}

/// The line that a student types: make's where make has the stage, otherwise the program's own.
fn what_to_type(args: &ServerArgs, addr: SocketAddr) -> String {
    let demanded = args.client_ca.is_some();
    let stage = match (args.mode, args.tls) {
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
    format!("make run-client{stage}{server}{}", if demanded { " CLIENT=이름" } else { "" })
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
