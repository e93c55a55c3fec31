//! The command line of the soak.

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

const HELP: &str = "{about-with-newline}\n옵션:\n{options}";

#[derive(Parser)]
#[command(name = "soak", bin_name = "make soak", disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Run(Options),
}

/// 네 서버에 온갖 클라이언트를 한꺼번에 보내고, 사라진 줄이나 새는 자원이 없는지 봅니다.
///
/// 에코와 중계를 평문과 TLS로 실행합니다. 클라이언트는 말하고, 듣고, 들어오고, 나가고, 끊고, 읽지 않고, 엉뚱한 것을 보냅니다.
/// 그동안 자식 프로세스를 죽이고, 인증서와 로그 파일을 바꿉니다. Ctrl-C를 누르면 그때까지의 결과를 보여 주고 끝납니다.
#[derive(Args)]
#[command(help_template = HELP, disable_help_flag = true)]
pub struct Options {
    /// 부하를 거는 시간(분) [기본값: 1]
    #[arg(long, hide_default_value = true, default_value_t = 1.0, value_parser = minutes)]
    pub minutes: f64,
    /// 동시에 접속하는 클라이언트 수 [기본값: 120]
    #[arg(long, hide_default_value = true, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..=400))]
    pub clients: u32,
    /// 클라이언트가 할 일을 정하는 수. 같은 수면 같은 일을 합니다 [기본값: 실행할 때마다 다름]
    #[arg(long)]
    pub seed: Option<u64>,
    /// 도움말을 보여 줍니다
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

impl Options {
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().map_err(|_| "수를 적으십시오".to_string())?;
    if (0.01..=10_000.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("0.01분부터 10000분까지 적을 수 있습니다".into())
    }
}
