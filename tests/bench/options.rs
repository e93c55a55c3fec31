//! The command line of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::measure::Plan;
use crate::peers::wrong::Fault;

#[derive(Parser)]
#[command(name = "bench")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Measure(Options),
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
pub struct Options {
    /// 모든 서버가 차례를 한 번씩 갖는 횟수
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// 한 번에 재는 시간(초)
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,
    /// 재기 전에 부하를 걸어 두는 시간(초)
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub warm_up: f64,
    /// 이름에 이 글이 들어 있는 일만 잽니다. 쉼표로 이어 적을 수 있습니다
    #[arg(long, value_delimiter = ',')]
    pub works: Vec<String>,
    /// 이 서버들만 잽니다. 쉼표로 이어 적을 수 있습니다
    #[arg(long, value_delimiter = ',')]
    pub servers: Vec<String>,
    /// 중계의 클라이언트 수를 이 수까지로 줄입니다
    #[arg(long, default_value_t = 500, value_parser = clients)]
    pub most_clients: usize,
    /// 결과를 JSON으로 저장할 파일
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// 결과를 그림으로 저장할 파일
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// Only in the bench's own tests.
    #[arg(long, hide = true)]
    pub wrong: Option<Fault>,
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
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().map_err(|_| "수를 적으십시오".to_string())?;
    if (0.01..=600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.01초부터 600초까지 적을 수 있습니다".into())
    }
}

/// Four of them speak, and somebody has to listen.
fn clients(text: &str) -> Result<usize, String> {
    let clients = text.parse().map_err(|_| "수를 적으십시오".to_string())?;
    if (5..=10_000).contains(&clients) {
        Ok(clients)
    } else {
        Err("5명부터 10000명까지 적을 수 있습니다".into())
    }
}
