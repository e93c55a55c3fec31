//! The options of `sockstep demo`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What the demo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    #[value(name = "1")]
    Echo,
    #[value(name = "2")]
    Relay,
    #[value(name = "3")]
    Tls,
    #[value(name = "udp")]
    Udp,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct DemoArgs {
    #[arg(
        long,
        value_enum,
        default_value = "1",
        hide_possible_values = true,
        hide_default_value = true,
        value_name = "1|2|3|udp",
        help = "보여 줄 단계: 1 에코, 2 중계, 3 TLS 중계, udp UDP 에코. 3단계에는 --cert, --key, --ca가 필요합니다 [기본값: 1]"
    )]
    pub stage: Stage,
    #[arg(long, required_if_eq("stage", "3"), value_name = "파일", help = "3단계의 서버 인증서 (PEM)")]
    pub cert: Option<PathBuf>,
    #[arg(long, required_if_eq("stage", "3"), value_name = "파일", help = "3단계의 서버 개인 키 (PEM)")]
    pub key: Option<PathBuf>,
    #[arg(
        long,
        required_if_eq("stage", "3"),
        value_name = "파일",
        help = "3단계의 클라이언트가 신뢰할 CA의 인증서 (PEM)"
    )]
    pub ca: Option<PathBuf>,
    #[arg(
        long,
        value_name = "디렉터리",
        help = "기록을 지우지 않고 디렉터리의 run.trace에 남깁니다. 나중에 `sockstep timeline`으로 그릴 수 있습니다"
    )]
    pub keep: Option<PathBuf>,
    #[arg(long, requires = "keep", help = "tcpdump로 캡처한 패킷도 --keep 디렉터리의 run.pcap에 남깁니다")]
    pub capture: bool,
    #[arg(long, help = "터미널에서도 쉬지 않고 보여 줍니다")]
    pub fast: bool,
}
