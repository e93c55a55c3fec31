//! The options of trace and stepper, which server and client have alike.

use std::path::{Path, PathBuf};

use clap::Args;

/// What a class looks at: the server's calls and the client's alike.
#[derive(Clone, Debug, Args)]
pub struct LessonArgs {
    #[arg(long, value_name = "파일", num_args = 0..=1, require_equals = true,
          help = "모든 소켓 호출을 strace 형식으로 한 줄씩 표준 오류에 보여 줍니다. --trace=파일이면 시각과 함께 파일에 이어서 기록합니다.")]
    pub trace: Option<Option<PathBuf>>,
    #[arg(
        long,
        help = "호출마다 멈추어 무엇을 왜 하는지 보여 주고, 터미널에서 키를 누르면 실행합니다. 시간제한은 적용하지 않습니다"
    )]
    pub step: bool,
    #[arg(
        long,
        value_name = "파일",
        help = "--step의 키를 파일에서 읽습니다: 한 줄에 하나씩 빈 줄(Enter), s, n, c, q, ?. #으로 시작하는 줄은 설명입니다"
    )]
    pub step_script: Option<PathBuf>,
}

impl LessonArgs {
    pub fn steps(&self) -> bool {
        self.step || self.step_script.is_some()
    }

    pub fn trace_file(&self) -> Option<&Path> {
        self.trace.as_ref()?.as_deref()
    }
}
