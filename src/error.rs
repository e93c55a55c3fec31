//! What went wrong: which call, on what, with which errno, and what to try.
//!
//! The calls of `lifecycle` return a bare `Errno`; the roles that made the call know on what
//! they made it and say so with [`During::during`].

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

/// Everything that ends a role. One line in the kernel's words, and a Korean hint where one helps.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Call { call: &'static str, object: String, errno: Errno },
    /// A host name could not be turned into an address.
    Lookup { host: String, reason: String },
    /// A file given on the command line is missing, unreadable or not what it should be.
    File { path: PathBuf, what: &'static str, reason: String, hint: Hint },
    /// TLS failed: while doing what, with whom, and why, in OpenSSL's words.
    Tls { doing: &'static str, object: String, reason: String, hint: Option<Hint> },
    /// The other side ended the conversation before we did.
    PeerGone { peer: String, reason: &'static str, hint: Option<Hint> },
    /// What was asked for is refused, before anything was done.
    Refused { what: String, reason: String, hint: Hint },
    /// The demo waited for something that did not come.
    Demo { waited_for: String, reason: String },
    /// A process that we have started has told us why it failed: the words, in full.
    Told(String),
}

/// What to try next, in Korean.
pub type Hint = Cow<'static, str>;

pub type Result<T> = std::result::Result<T, Error>;

/// Names the call and its object on the way out of a role.
pub trait During<T> {
    fn during(self, call: &'static str, object: impl fmt::Display) -> Result<T>;
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, call: &'static str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|errno| Error::Call { call, object: object.to_string(), errno })
    }
}

/// `EADDRINUSE (Address already in use)`: symbol and text, as strace prints them (strerror(3)).
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{errno:?} ({text})")
}

/// The errno inside an `io::Error`, for the places where std reads or looks up for us.
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Call { call, object, errno } => write!(f, "{call}({object}): {}", describe(*errno)),
            Error::Lookup { host, reason } => write!(f, "getaddrinfo({host}): {reason}"),
            Error::File { path, what, reason, .. } => write!(f, "{what} {}: {reason}", path.display()),
            Error::Tls { doing, object, reason, .. } => write!(f, "TLS {doing} ({object}): {reason}"),
            Error::PeerGone { peer, reason, .. } => write!(f, "{peer}: {reason}"),
            Error::Refused { what, reason, .. } => write!(f, "{what}: {reason}"),
            Error::Demo { waited_for, reason } => write!(f, "demo: waiting for {waited_for}: {reason}"),
            Error::Told(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What to try next; none where the errno already says it all.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Error::Call { call, errno, .. } => call_hint(call, *errno).map(Hint::from),
            Error::Lookup { .. } => {
                Some("호스트 이름의 철자를 확인하십시오. IP 주소를 바로 적어도 됩니다 (예: 127.0.0.1:7000).".into())
            }
            Error::File { hint, .. } | Error::Refused { hint, .. } => Some(hint.clone()),
            Error::Tls { hint, .. } | Error::PeerGone { hint, .. } => hint.clone(),
            Error::Demo { .. } => Some(
                "`sockstep demo --keep 디렉터리`로 다시 실행하면 어느 호출까지 했는지 디렉터리의 run.trace에 남습니다."
                    .into(),
            ),
            Error::Told(_) => None,
        }
    }

    /// All that a person is told: the error on one line, the hint on the next.
    pub fn in_full(&self) -> String {
        match (self, self.hint()) {
            (Error::Told(words), _) => words.clone(),
            (_, Some(hint)) => format!("sockstep: {self}\n힌트: {hint}\n"),
            (_, None) => format!("sockstep: {self}\n"),
        }
    }
}

fn call_hint(call: &str, errno: Errno) -> Option<&'static str> {
    Some(match (call, errno) {
        ("bind" | "listen", Errno::EADDRINUSE) => {
            "다른 프로세스가 이미 이 포트를 쓰고 있습니다. `ss -tuanp`로 어느 프로세스인지 확인하거나 --listen(make에서는 LISTEN)으로 다른 포트를 고르십시오."
        }
        ("bind", Errno::EACCES) => {
            "1024보다 작은 포트를 쓰려면 보통 root 권한이 필요합니다. 1024 이상의 포트를 고르십시오."
        }
        ("bind", Errno::EADDRNOTAVAIL) => {
            "이 주소는 이 컴퓨터의 주소가 아닙니다. `ip addr`로 주소를 확인하십시오. 모든 주소에서 받으려면 0.0.0.0을 쓰십시오."
        }
        ("socket", Errno::EAFNOSUPPORT) => {
            "이 커널에서는 이 주소 체계(IPv6 등)를 쓸 수 없습니다. IPv4 주소를 써 보십시오."
        }
        ("connect", Errno::ECONNREFUSED) => {
            "그 주소와 포트에서 기다리는 서버가 없습니다. 서버 컴퓨터에서 `ss -tln`으로 서버가 실행 중인지 확인하십시오."
        }
        ("sendto" | "recvfrom", Errno::ECONNREFUSED) => {
            "그 주소와 포트에서 기다리는 UDP 서버가 없습니다. 서버 컴퓨터에서 `ss -uln`으로 서버가 실행 중인지 확인하십시오."
        }
        ("sendto", Errno::EMSGSIZE) => {
            "데이터그램 하나에는 65,507바이트까지 담을 수 있습니다 (IPv6는 65,527바이트). 더 긴 줄은 나누어 보내십시오."
        }
        ("connect", Errno::ETIMEDOUT) => "응답이 없습니다. 주소가 맞는지, 방화벽이 막고 있지 않은지 확인하십시오.",
        ("connect" | "sendto" | "recvfrom", Errno::ENETUNREACH | Errno::EHOSTUNREACH) => {
            "그 주소에 도달할 수 없습니다. 주소가 맞는지, 상대 컴퓨터가 켜져 있는지, `ip route`에 경로가 있는지 확인하십시오."
        }
        ("pidfd_send_signal", Errno::EPERM) => {
            "다른 사용자의 데몬입니다. 그 데몬을 시작한 사용자나 root로 실행하십시오 (예: 앞에 `sudo`를 붙입니다)."
        }
        ("recv" | "send", Errno::ECONNRESET | Errno::EPIPE) => {
            "상대가 연결을 끊었습니다. 서버가 아직 실행 중인지 확인하십시오."
        }
        ("send", Errno::EMSGSIZE) => {
            "커널의 소켓 버퍼가 너무 작습니다. `sysctl net.core.wmem_default`를 212992 이상으로 올리십시오."
        }
        (_, Errno::EMFILE | Errno::ENFILE) => "열 수 있는 파일 디스크립터 수를 넘었습니다. `ulimit -n`을 확인하십시오.",
        _ => return None,
    })
}
