//! What a child says to its client in its own name: `*` a notice, `!` a refusal.

pub const PLAIN_ON_TLS: &str =
    "! 이 포트는 TLS를 씁니다. 평문으로는 통신할 수 없습니다. --tls를 붙여 다시 접속하십시오.\n";
pub const SENT_ALL: &str =
    "* 보내기를 마치셨습니다. 다른 사람의 말은 계속 전해 드리며, 5초 동안 전할 말이 없으면 연결을 닫습니다.\n";
pub const TLS_ON_PLAIN: &str = "! 이 포트는 TLS를 쓰지 않습니다. --tls 없이 다시 접속하십시오.\n";
pub const TOO_SLOW: &str = "! 받는 속도가 너무 느려서 연결을 끊습니다.\n";
pub const TOO_IDLE: &str = "! 오랫동안 아무 말씀이 없어서 연결을 끊습니다.\n";
pub const BYE: &str = "* 안녕히 가십시오.\n";
pub const CHILD_ENDS: &str = "* 이 연결을 맡은 자식 프로세스가 종료됩니다.\n";
