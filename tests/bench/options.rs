//! The command line of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::failure::{Result, failed};
use crate::measure::Plan;
use crate::peers::wrong::Fault;

const MOST_CLIENTS: usize = 500;
const HELP: &str = "{about-with-newline}\n옵션:\n{options}";

#[derive(Parser)]
#[command(name = "bench", bin_name = "make bench", disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Measure(Options),
    Hold(HoldOptions),
    /// The bench starts itself again as one of its own servers.
    #[command(hide = true)]
    Serve {
        server: Served,
        /// Over TLS, with server.pem and server.key of this folder.
        #[arg(long)]
        certs: Option<PathBuf>,
        #[arg(long, default_value = "damaged")]
        fault: Fault,
        #[arg(long)]
        chat: bool,
    },
}

/// sockstep과 다른 서버들의 성능을 같은 부하로 재어 비교합니다.
///
/// 서버를 차례로 실행하고, 돌아온 바이트와 줄을 모두 확인합니다. 빠지거나 겹치거나 바뀐 것이 하나라도 있으면 실패로 끝납니다.
#[derive(Args)]
#[command(help_template = HELP, disable_help_flag = true)]
pub struct Options {
    /// 모든 서버가 차례를 한 번씩 갖는 횟수 [기본값: 5]
    #[arg(long, hide_default_value = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// 한 번에 재는 시간(초) [기본값: 1]
    #[arg(long, hide_default_value = true, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// 재기 전에 부하를 걸어 두는 시간(초) [기본값: 0.3]
    #[arg(long, hide_default_value = true, default_value_t = 0.3, value_parser = seconds)]
    pub warm_up: f64,
    /// 이름에 이 글이 들어 있는 일만 잽니다. 쉼표로 이어 적을 수 있습니다
    #[arg(long, value_delimiter = ',')]
    pub works: Vec<String>,
    /// 이 서버들만 잽니다. 쉼표로 이어 적을 수 있습니다
    #[arg(long, value_delimiter = ',')]
    pub servers: Vec<String>,
    /// 중계의 클라이언트 수를 이 수까지로 줄입니다 [기본값: 500]
    #[arg(long, hide_default_value = true, default_value_t = MOST_CLIENTS, value_parser = clients)]
    pub most_clients: usize,
    /// 결과를 JSON으로 저장할 파일
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// 결과를 그림으로 저장할 파일
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// 꺼 둔 트레이스의 비용을 함께 재려면, 트레이스 없이 빌드한 sockstep
    #[arg(long)]
    pub no_trace: Option<PathBuf>,
    /// 결과를 `<!-- bench:begin -->`과 `<!-- bench:end -->` 사이에 적을 README
    #[arg(long)]
    pub readme: Option<PathBuf>,
    /// README에는 이만큼의 클라이언트가 접속해 있을 때도 재어 적습니다 [기본값: 1000]
    #[arg(long, hide_default_value = true, default_value_t = 1000, value_parser = held())]
    pub held: u32,
    /// 도움말을 보여 줍니다
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Only in the bench's own tests.
    #[arg(long, hide = true)]
    pub partial: bool,
    /// Only in the bench's own tests.
    #[arg(long, hide = true)]
    pub wrong: Option<Fault>,
}

/// 많은 클라이언트가 동시에 접속해 있을 때를 재어 봅니다.
///
/// 모두 접속해 답을 받는지, 한 명이 메모리를 얼마나 쓰는지, 그동안 새 연결을 얼마나 빨리 받는지 봅니다.
#[derive(Args)]
#[command(help_template = HELP, disable_help_flag = true)]
pub struct HoldOptions {
    /// 동시에 접속해 있을 클라이언트 수 [기본값: 1000]
    #[arg(long, hide_default_value = true, default_value_t = 1000, value_parser = held())]
    pub clients: u32,
    /// 초당 연결 수를 재는 시간(초) [기본값: 2]
    #[arg(long, hide_default_value = true, default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,
    /// 이 서버들만 잽니다. 쉼표로 이어 적을 수 있습니다 [기본값: sockstep,bare]
    #[arg(long, value_delimiter = ',', hide_default_value = true, default_value = "sockstep,bare")]
    pub servers: Vec<String>,
    /// 결과를 JSON으로 저장할 파일
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// 도움말을 보여 줍니다
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Served {
    Bare,
    Tokio,
    Wrong,
}

impl Options {
    pub fn plan(&self) -> Plan {
        Plan { warm_up: Duration::from_secs_f64(self.warm_up), measured: Duration::from_secs_f64(self.seconds) }
    }

    pub fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|part| work.contains(part))
    }

    /// The README is to carry all of the table.
    pub fn is_whole(&self, missing: &[&str]) -> Result<()> {
        let chosen = !self.works.is_empty() || !self.servers.is_empty() || self.most_clients != MOST_CLIENTS;
        if self.partial {
            return Ok(());
        }
        if chosen || self.no_trace.is_none() {
            return failed(
                "--readme는 표 전체를 적습니다. --works, --servers, --most-clients 없이, --no-trace와 함께 실행하십시오",
            );
        }
        if !missing.is_empty() {
            return failed(format!("--readme는 표 전체를 적습니다. 먼저 설치하십시오: {}", missing.join(", ")));
        }
        Ok(())
    }
}

fn held() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=15_000)
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds = text.parse().map_err(|_| "수를 적으십시오".to_string())?;
    if (0.01..=600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.01초부터 600초까지 적을 수 있습니다".into())
    }
}

/// Four of them speak, and somebody has to listen.
fn clients(text: &str) -> std::result::Result<usize, String> {
    let clients = text.parse().map_err(|_| "수를 적으십시오".to_string())?;
    if (5..=10_000).contains(&clients) {
        Ok(clients)
    } else {
        Err("5명부터 10000명까지 적을 수 있습니다".into())
    }
}
