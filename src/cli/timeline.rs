//! The options of `sockstep timeline`.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "옵션")]
pub struct TimelineArgs {
    #[arg(
        required = true,
        value_name = "파일",
        help_heading = "파일",
        help = "서버와 클라이언트가 --trace=파일로 기록한 파일. 여러 개를 적으면 시간 순서로 합칩니다"
    )]
    pub files: Vec<PathBuf>,
    #[arg(long, value_name = "파일", help = "같은 시간에 `tcpdump -w 파일`로 캡처한 패킷도 함께 그립니다")]
    pub pcap: Option<PathBuf>,
    #[arg(
        short,
        long,
        value_name = "결과",
        help = "결과를 쓸 파일. .svg는 그림, .html은 브라우저에서 한 단계씩 넘겨 보는 페이지, .txt는 글입니다 [기본값: 터미널에 글로]"
    )]
    pub output: Option<PathBuf>,
}
