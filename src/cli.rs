//! The command line. What a student reads of it is Korean. `values.rs` reads what stands behind
//! an option, `wrong_use.rs` explains what was refused; `server.rs` has the options of the server; `lesson.rs`,
//! `demo.rs` and `timeline.rs` have those of what a class looks at, `check.rs` those of the grader.

mod check;
mod demo;
mod lesson;
mod server;
mod timeline;
mod values;
mod wrong_use;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::check::CheckArgs;
pub use self::demo::{DemoArgs, Stage};
pub use self::lesson::LessonArgs;
pub use self::server::{Mode, ServerArgs};
pub use self::timeline::TimelineArgs;
pub use self::values::Target;
use self::values::parse_name;
pub use self::wrong_use::explain;
use self::wrong_use::{conflict, missing};

const HELP: &str = "{about}\n\n사용법: {usage}\n\n{all-args}{after-help}";

#[derive(Debug, Parser)]
#[command(
    name = "sockstep",
    version,
    about = "시스템 호출을 하나씩 따라가며 소켓 프로그래밍을 배우는 에코·중계·TLS 서버와 클라이언트입니다.",
    help_template = HELP,
    override_usage = "sockstep <명령> [옵션]",
    subcommand_help_heading = "명령",
    subcommand_value_name = "명령",
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    next_help_heading = "옵션"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[arg(short, long, global = true, display_order = 1000, action = clap::ArgAction::Help, help = "도움말을 보여 줍니다")]
    help: Option<bool>,
    #[arg(short = 'V', long, action = clap::ArgAction::Version, help = "버전을 보여 줍니다")]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(about = "서버를 실행합니다: 에코(1단계), 중계(2단계), TLS 중계(3단계)", help_template = HELP, override_usage = "sockstep server [옵션]")]
    Server(ServerArgs),
    #[command(about = "서버에 접속해 글을 주고받습니다", help_template = HELP, override_usage = "sockstep client [옵션]")]
    Client(ClientArgs),
    #[command(about = "데몬의 상태를 봅니다. 실행 중이 아니면 종료 코드 3으로 끝납니다", help_template = HELP, override_usage = "sockstep status --pid-file 파일")]
    Status(ControlArgs),
    #[command(about = "데몬을 멈춥니다 (SIGTERM)", help_template = HELP, override_usage = "sockstep stop --pid-file 파일")]
    Stop(ControlArgs),
    #[command(about = "데몬이 인증서와 로그 파일을 다시 열게 합니다 (SIGHUP)", help_template = HELP, override_usage = "sockstep reload --pid-file 파일")]
    Reload(ControlArgs),
    #[command(about = "--trace=파일로 기록한 호출을 한 장의 그림으로 그립니다", help_template = HELP, override_usage = "sockstep timeline 파일... [--pcap 파일] [-o 결과]")]
    Timeline(TimelineArgs),
    #[command(about = "서버와 두 클라이언트의 대화를 처음부터 끝까지 보여 줍니다. 아무것도 입력하지 않아도 됩니다", help_template = HELP, override_usage = "sockstep demo [옵션]")]
    Demo(DemoArgs),
    #[command(about = "어떤 언어로 만든 서버든 강의의 각 단계에서 할 일을 하는지 검사합니다", help_template = HELP, override_usage = "sockstep check 호스트:포트 --stage 1|2|3 [옵션]")]
    Check(CheckArgs),
}

/// A daemon, by its PID file.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct ControlArgs {
    #[arg(long, value_name = "파일", help = "데몬을 시작할 때 --pid-file로 지정한 파일")]
    pub pid_file: PathBuf,
}

impl Cli {
    /// The command line, checked for what clap cannot be told too: a value of one option that excludes another.
    pub fn read() -> Result<Cli, clap::Error> {
        let cli = Cli::try_parse()?;
        match &cli.command {
            Command::Server(args) if args.udp && args.mode == Mode::Relay => {
                Err(conflict("server", "--udp", "--mode relay"))
            }
            Command::Server(args) if args.daemon && args.lesson.steps() => {
                Err(conflict("server", "--step", "--daemon"))
            }
            Command::Server(args) if args.daemon && args.lesson.trace == Some(None) => {
                Err(conflict("server", "--trace", "--daemon")) // it has no terminal; a file it may have
            }
            Command::Check(args) if args.udp && args.stage() > 1 => {
                Err(conflict("check", "--udp", &format!("--stage {}", args.stage())))
            }
            Command::Check(args) if args.ca.is_some() && !args.speaks_tls() => Err(missing("check", "--tls")),
            _ => Ok(cli),
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct ClientArgs {
    #[arg(
        long,
        default_value = "127.0.0.1:7000",
        hide_default_value = true,
        value_name = "호스트:포트",
        help = "접속할 서버. IPv6는 [::1]:7000처럼 적습니다 [기본값: 127.0.0.1:7000]"
    )]
    pub connect: Target,
    #[arg(long, help = "TLS로 접속하고 서버의 인증서와 이름을 확인합니다")]
    pub tls: bool,
    #[arg(
        long,
        requires = "tls",
        value_name = "파일",
        help = "신뢰할 인증 기관(CA)의 인증서 (PEM) [기본값: 시스템의 CA 목록]"
    )]
    pub ca: Option<PathBuf>,
    #[arg(long, requires = "tls", value_name = "이름", help = "인증서에 있어야 할 이름 [기본값: --connect의 호스트]")]
    pub server_name: Option<String>,
    #[arg(long, requires = "tls", help = "인증서를 확인하지 않습니다. 상대가 정말 그 서버인지 알 수 없습니다")]
    pub insecure: bool,
    #[arg(long, requires_all = ["tls", "key"], value_name = "파일", help = "서버에 보일 클라이언트 인증서 (PEM). --key와 함께 씁니다")]
    pub cert: Option<PathBuf>,
    #[arg(long, requires_all = ["tls", "cert"], value_name = "파일", help = "클라이언트 인증서의 개인 키 (PEM)")]
    pub key: Option<PathBuf>,
    #[arg(long, requires = "tls", help = "TLS 키를 환경 변수 SSLKEYLOGFILE의 파일에 기록합니다 (수업용)")]
    pub keylog: bool,
    #[arg(long, value_name = "이름", value_parser = parse_name, help = "중계 서버에서 쓸 이름. 접속하자마자 /name 명령을 보냅니다")]
    pub name: Option<String>,
    #[arg(long, conflicts_with_all = ["tls", "name"], help = "TCP 대신 UDP를 씁니다: 한 줄을 데이터그램 하나로 보냅니다 (1단계). TLS, --name과 함께 쓸 수 없습니다")]
    pub udp: bool,
    #[command(flatten)]
    pub lesson: LessonArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
