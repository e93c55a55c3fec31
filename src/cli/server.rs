//! The options of the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::lesson::LessonArgs;
use super::values::{parse_listen, parse_positive_seconds, parse_seconds};
use crate::limits::EarlyDrop;
use crate::network::Network;

/// What the server does with a line: stage 1 or stages 2 and 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    #[value(help = "받은 바이트를 그대로 돌려줍니다 (1단계)")]
    Echo,
    #[value(help = "받은 줄을 다른 클라이언트에게 전합니다 (2·3단계)")]
    Relay,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct ServerArgs {
    #[arg(
        long,
        value_enum,
        default_value = "echo",
        hide_possible_values = true,
        hide_default_value = true,
        value_name = "echo|relay",
        help = "echo: 받은 바이트를 그대로 돌려줍니다. relay: 받은 줄을 다른 클라이언트에게 전합니다 [기본값: echo]"
    )]
    pub mode: Mode,
    #[arg(long, default_value = "127.0.0.1:7000", hide_default_value = true, value_name = "주소:포트", value_parser = parse_listen,
          help = "연결을 기다릴 주소와 포트. IPv6는 [::1]:7000처럼 적습니다. 포트를 0으로 적으면 커널이 빈 포트를 고릅니다 [기본값: 127.0.0.1:7000]")]
    pub listen: SocketAddr,
    #[arg(long, requires_all = ["cert", "key"], help = "연결을 TLS 1.2/1.3으로 암호화합니다. --cert와 --key가 필요합니다")]
    pub tls: bool,
    #[arg(long, requires = "tls", value_name = "파일", help = "서버 인증서 (PEM, 중간 인증서는 뒤에 이어 붙입니다)")]
    pub cert: Option<PathBuf>,
    #[arg(long, requires = "tls", value_name = "파일", help = "서버 개인 키 (PEM)")]
    pub key: Option<PathBuf>,
    #[arg(
        long,
        requires = "tls",
        value_name = "파일",
        help = "이 CA(PEM)가 발급한 클라이언트 인증서가 있어야 접속할 수 있습니다. 중계에서는 인증서의 CN이 이름이 됩니다"
    )]
    pub client_ca: Option<PathBuf>,
    #[arg(
        long,
        requires = "tls",
        help = "TLS 키를 환경 변수 SSLKEYLOGFILE의 파일에 기록합니다 (수업용: 그 파일을 읽으면 누구나 복호화할 수 있습니다)"
    )]
    pub keylog: bool,
    #[arg(long, default_value_t = 16_384, hide_default_value = true, allow_negative_numbers = true, value_name = "수", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          help = "동시에 접속할 수 있는 클라이언트 수 [기본값: 16384]")]
    pub max_clients: u32,
    #[arg(long, default_value_t = 2048, hide_default_value = true, allow_negative_numbers = true, value_name = "수", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          help = "한 주소(IPv6는 앞 64비트가 같은 주소들)에서 동시에 접속할 수 있는 클라이언트 수. 루프백 주소는 세지 않습니다 [기본값: 2048]")]
    pub max_per_source: u32,
    #[arg(
        long,
        default_value = "3000:30:6000",
        hide_default_value = true,
        allow_hyphen_values = true,
        value_name = "한도",
        help = "핸드셰이크를 마치지 않은 TLS 연결의 한도. '시작:확률:한도'로 적으면 '시작'부터는 새 연결을 '확률'(%)로 거절하고, 늘수록 더 자주, '한도'부터는 모두 거절합니다. 루프백 주소는 세지 않습니다 [기본값: 3000:30:6000]"
    )]
    pub max_handshakes: EarlyDrop,
    #[arg(long, default_value_t = 4096, hide_default_value = true, allow_negative_numbers = true, value_name = "수", value_parser = clap::value_parser!(i32).range(0..),
          help = "listen() 대기열의 한도. net.core.somaxconn보다 크면 커널이 그 값으로 줄입니다 [기본값: 4096]")]
    pub backlog: i32,
    #[arg(long, default_value_t = 65_536, hide_default_value = true, allow_negative_numbers = true, value_name = "바이트", value_parser = clap::value_parser!(u32).range(1..=65_536),
          help = "중계하는 한 줄의 최대 길이. 65536까지 정할 수 있습니다 [기본값: 65536]")]
    pub max_line: u32,
    #[arg(long, default_value = "2", hide_default_value = true, allow_negative_numbers = true, value_name = "초", value_parser = parse_positive_seconds,
          help = "중계 버퍼가 가득 찬 채로 이 시간 동안 거의 받아 가지 않는 수신자의 연결을 끊습니다 [기본값: 2]")]
    pub slow_timeout: Duration,
    #[arg(long, default_value = "10", hide_default_value = true, allow_negative_numbers = true, value_name = "초", value_parser = parse_positive_seconds,
          help = "TLS 핸드셰이크 전체의 제한 시간 [기본값: 10]")]
    pub handshake_timeout: Duration,
    #[arg(long, default_value = "0", hide_default_value = true, allow_negative_numbers = true, value_name = "초", value_parser = parse_seconds,
          help = "이 시간 동안 아무것도 보내지 않는 클라이언트의 연결을 끊습니다. 0이면 끊지 않습니다 [기본값: 0]")]
    pub idle_timeout: Duration,
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        help = "이 주소에서 오는 접속과 데이터그램만 받습니다 (예: 192.168.0.0/24, 10.0.0.5, 2001:db8::/32). 쉼표로 이어 적거나 여러 번 쓸 수 있습니다 [기본값: 모든 주소]"
    )]
    pub allow: Vec<Network>,
    #[arg(
        long,
        help = "데몬으로 실행합니다. 포트가 열리면 시작한 명령은 바로 끝납니다. --log-file이 없으면 syslog에 기록합니다. --step과 함께 쓸 수 없고, --trace는 파일을 지정해야 합니다"
    )]
    pub daemon: bool,
    #[arg(long, value_name = "파일", help = "PID를 적고 잠글 파일. 같은 파일로는 데몬이 하나만 실행됩니다")]
    pub pid_file: Option<PathBuf>,
    #[arg(long, value_name = "파일", help = "로그를 이어서 쓸 파일. SIGHUP을 받으면 다시 엽니다")]
    pub log_file: Option<PathBuf>,
    #[arg(long, value_name = "이름", help = "root로 시작한 서버가 포트를 연 뒤에 권한을 넘겨받을 사용자")]
    pub user: Option<String>,
    #[arg(
        long,
        value_name = "디렉터리",
        conflicts_with_all = ["no_fork", "udp", "no_sandbox"],
        help = "자식 프로세스의 루트 디렉터리(/)를 이 디렉터리로 바꿉니다. 비어 있는 디렉터리면 됩니다. root로 시작해야 합니다"
    )]
    pub chroot: Option<PathBuf>,
    #[arg(long, help = "자식 프로세스를 샌드박스에 가두지 않습니다 (seccomp를 쓸 수 없는 커널이나 valgrind용)")]
    pub no_sandbox: bool,
    #[arg(
        long,
        help = "fork()하지 않고 부모 프로세스가 연결을 한 번에 하나씩 처리합니다 (gdb용). 자식이 없으므로 샌드박스도 없습니다"
    )]
    pub no_fork: bool,
    #[arg(long, conflicts_with_all = ["tls", "no_fork"], help = "TCP 대신 UDP를 씁니다: 받은 데이터그램을 그대로 돌려줍니다 (1단계). relay, TLS, --no-fork와 함께 쓸 수 없습니다")]
    pub udp: bool,
    #[command(flatten)]
    pub lesson: LessonArgs,
}

impl ServerArgs {
    /// The same files by absolute paths: a daemon goes to `/`, where a relative one would lead elsewhere.
    pub fn with_absolute_paths(&self) -> std::io::Result<ServerArgs> {
        let mut args = self.clone();
        let files = [&mut args.cert, &mut args.key, &mut args.client_ca, &mut args.pid_file, &mut args.log_file];
        let files = files.into_iter().chain([&mut args.chroot]);
        let trace = args.lesson.trace.as_mut().and_then(Option::as_mut);
        for path in files.flatten().chain(trace) {
            *path = std::path::absolute(&path)?;
        }
        Ok(args)
    }
}
