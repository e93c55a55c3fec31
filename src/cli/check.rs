//! The options of `sockstep check`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::values::{Target, parse_case_seconds};

/// The class's CA, where nothing else was said.
const CLASS_CA: &str = "certs/ca.pem";

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct CheckArgs {
    #[arg(
        required_unless_present = "list",
        value_name = "호스트:포트",
        help_heading = "서버",
        help = "검사할 서버. IPv6는 [::1]:7000처럼 적습니다"
    )]
    pub server: Option<Target>,
    #[arg(long, required_unless_present_any = ["udp", "list"], allow_negative_numbers = true, value_name = "1|2|3",
          value_parser = clap::value_parser!(u8).range(1..=3),
          help = "어느 단계의 서버로 검사할지 정합니다: 1 에코, 2 중계, 3 TLS 중계")]
    pub stage: Option<u8>,
    #[arg(long, help = "TLS로 접속하고 TLS도 검사합니다. 3단계에서는 적지 않아도 됩니다")]
    pub tls: bool,
    #[arg(
        long,
        value_name = "파일",
        help = "서버의 인증서를 발급한 CA의 인증서 (PEM). TLS를 검사할 때 필요합니다 [기본값: certs/ca.pem]"
    )]
    pub ca: Option<PathBuf>,
    #[arg(long, conflicts_with_all = ["tls", "ca"], help = "UDP 에코 서버로 검사합니다 (1단계). --stage는 적지 않아도 됩니다. TLS와 함께 쓸 수 없습니다")]
    pub udp: bool,
    #[arg(long, default_value = "5", hide_default_value = true, allow_negative_numbers = true, value_name = "초", value_parser = parse_case_seconds,
          help = "항목 하나의 제한 시간 (읽지 않는 클라이언트가 있는 항목은 두 배). 느린 네트워크에서는 늘리십시오. 3600초까지 정할 수 있습니다 [기본값: 5]")]
    pub timeout: Duration,
    #[arg(
        long = "case",
        value_name = "이름",
        value_delimiter = ',',
        help = "이 항목만 검사합니다. 쉼표로 잇거나 여러 번 쓸 수 있습니다. 이름은 --list로 볼 수 있습니다"
    )]
    pub only: Vec<String>,
    #[arg(long, help = "결과를 JSON으로 출력합니다")]
    pub json: bool,
    #[arg(long, help = "검사하지 않고 검사 항목과 그것을 설명하는 장만 보여 줍니다")]
    pub list: bool,
}

impl CheckArgs {
    pub fn stage(&self) -> u8 {
        self.stage.unwrap_or(1)
    }

    pub fn speaks_tls(&self) -> bool {
        self.tls || self.stage == Some(3)
    }

    pub fn ca(&self) -> &Path {
        self.ca.as_deref().unwrap_or(Path::new(CLASS_CA))
    }
}
