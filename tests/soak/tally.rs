//! What has happened, and what was not right: counted by all threads, read by the one that tells.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};

/// Failures that are told; more of them would not help.
const TOLD: u64 = 20;

/// Declares what is counted, and what a person calls it.
macro_rules! counted {
    ($($name:ident $words:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($name,)* }

        impl Count {
            pub const ALL: &[Count] = &[$(Count::$name,)*];

            pub fn words(self) -> &'static str {
                match self { $(Count::$name => $words,)* }
            }
        }
    };
}

counted! {
    Sent "보낸 줄",
    Delivered "전해진 줄",
    Refused "거절된 줄",
    Lost "보낸 쪽이 끊겨 전해지지 않은 줄",
    Heard "들은 줄",
    Connections "연결",
    Quits "/quit",
    HalfCloses "half-close",
    Resets "RST",
    Truncations "TLS truncation",
    Kills "kill -9",
    Stalls "읽지 않아 끊긴 클라이언트",
    Refusals "거절될 줄을 보낸 클라이언트",
    Renames "이름 변경",
    Whispers "/to",
    LateReads "늦게 읽은 에코",
    ConnectResets "접속하자마자 RST",
    Garbage "엉뚱한 프로토콜",
    FullHandshakes "전체 핸드셰이크",
    Resumptions "재개한 핸드셰이크",
    Reloads "SIGHUP",
    Certificates "바꾼 인증서",
    Rotations "바꾼 로그 파일",
}

#[derive(Default)]
pub struct Tally {
    counts: [AtomicU64; Count::ALL.len()],
    failures: Mutex<Vec<String>>,
    failed: AtomicU64,
    stop: AtomicBool,
    interrupted: AtomicBool,
    silence: AtomicBool,
}

impl Tally {
    pub fn add(&self, what: Count, n: u64) {
        self.counts[what as usize].fetch_add(n, Relaxed);
    }

    pub fn of(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    /// What has not happened yet.
    pub fn missing(&self) -> Vec<&'static str> {
        Count::ALL.iter().filter(|count| self.of(**count) == 0).map(|count| count.words()).collect()
    }

    /// Keeps what was not right: the run goes on, so that more of it is seen.
    pub fn judge(&self, who: &str, result: Result<()>) -> bool {
        let Err(failure) = result else { return true };
        if self.failed.fetch_add(1, Relaxed) < TOLD {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(format!("{who}: {failure}"));
        }
        false
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Those that have not been told yet.
    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody does not want to wait until everything has happened.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
        self.stop();
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// From now on nobody comes any more.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// From now on those who stay say nothing new either. Until then, there is something to hear for those who are
    /// about to leave: that is how the server learns that one who has half-closed has gone.
    pub fn silence(&self) {
        self.silence.store(true, Relaxed);
    }

    pub fn is_silent(&self) -> bool {
        self.silence.load(Relaxed)
    }

    /// Sent = delivered + refused + lost with their sender: nothing else may become of a line.
    pub fn balance(&self) -> Result<()> {
        let [sent, delivered, refused, lost] =
            [Count::Sent, Count::Delivered, Count::Refused, Count::Lost].map(|count| self.of(count));
        if sent == delivered + refused + lost {
            return Ok(());
        }
        Err(Failure::new(format!("{sent} lines were sent, but {delivered} + {refused} + {lost} are accounted for")))
    }
}
