//! Random early drop, as sshd's MaxStartups has it: who floods a server with handshakes that never end cannot shut everybody
//! else out. From `start` unfinished handshakes on, a newcomer is refused by chance, first `rate` times in a hundred, then
//! more and more often, and always at `full`. A flood that keeps the count up meets the same dice: who comes back gets in.
//!
//! - Manual: sshd_config(5) (MaxStartups)

use std::fmt;
use std::str::FromStr;

/// What `START:RATE:FULL` means; `FULL` alone is `FULL:100:FULL`, a limit without chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyDrop {
    start: u32,
    /// Of a hundred.
    rate: u32,
    full: u32,
}

impl EarlyDrop {
    /// Whether one more is refused while `count` are here. `dice` is asked for only when chance decides: any number,
    /// each as likely as the others.
    pub fn refuses(&self, count: u32, dice: impl FnOnce() -> u32) -> bool {
        if count < self.start || count >= self.full {
            return count >= self.full;
        }
        let (above, span) = (u64::from(count - self.start), u64::from(self.full - self.start));
        // The chance as a fraction: `rate` at the start, 100 at full, a straight line between.
        let (chance, of) = (u64::from(self.rate) * span + u64::from(100 - self.rate) * above, 100 * span);
        (u64::from(dice()) * of) >> u32::BITS < chance
    }
}

impl FromStr for EarlyDrop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MOST: u32 = 1_000_000;
        let wrong = || {
            format!(
                "'{EXAMPLE}'처럼 '시작:확률:한도'로 적거나 한도만 적으십시오. 확률은 1부터 100까지, 시작과 한도는 1부터 {MOST}까지이고 시작은 한도보다 클 수 없습니다"
            )
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            |part: &str| part.parse().ok().filter(|n| digits(part) && (1..=MOST).contains(n)).ok_or_else(wrong);
        let parts: Vec<u32> = text.split(':').map(number).collect::<Result<_, _>>()?;
        match parts[..] {
            [full] => Ok(EarlyDrop { start: full, rate: 100, full }),
            [start, rate, full] if rate <= 100 && start <= full => Ok(EarlyDrop { start, rate, full }),
            _ => Err(wrong()),
        }
    }
}

const EXAMPLE: &str = "3000:30:6000";

impl fmt::Display for EarlyDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate, self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drop(text: &str) -> EarlyDrop {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn below_the_start_nobody_is_refused_and_at_full_everybody() {
        let limit = drop("10:30:100");
        for dice in [0, 1, u32::MAX] {
            assert!(!limit.refuses(9, || dice));
            assert!(limit.refuses(100, || dice));
            assert!(limit.refuses(u32::MAX, || dice));
        }
        assert_eq!([9, 100].map(|count| limit.refuses(count, || panic!("no chance here"))), [false, true]);
    }

    #[test]
    fn a_number_alone_is_a_limit_without_chance() {
        assert_eq!(drop("3"), drop("3:100:3"));
        assert_eq!([2, 3].map(|count| drop("3").refuses(count, || panic!("no chance here"))), [false, true]);
        // At 100 of a hundred chance has nothing to say either.
        assert_eq!([1, 2].map(|count| drop("2:100:5").refuses(count, || u32::MAX)), [false, true]);
    }

    /// Where the chance changes: the lowest number of the dice that lets a newcomer in, in hundredths of all.
    #[test]
    fn the_chance_grows_in_a_straight_line() {
        let limit = drop("10:30:100");
        let hundredth = |n: u32| ((u64::from(n) << 32).div_ceil(100)) as u32;
        for (count, percent) in [(10, 30), (55, 65), (100 - 9, 93)] {
            assert!(limit.refuses(count, || hundredth(percent) - 1), "{count}");
            assert!(!limit.refuses(count, || hundredth(percent)), "{count}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for bad in [
            "",
            ":",
            "0",
            "-1",
            "+1",
            "1:2",
            "1:2:3:4",
            "0:30:10",
            "1:0:10",
            "1:101:10",
            "11:30:10",
            "1::2",
            "a:30:100",
            "1 : 2 : 3",
            "1000001",
            "99999999999",
        ] {
            assert!(bad.parse::<EarlyDrop>().is_err(), "{bad}");
        }
        assert_eq!(drop(EXAMPLE).to_string(), EXAMPLE);
    }

    proptest! {
        /// sshd's own arithmetic says the same, to the percent that it rounds to.
        #[test]
        fn the_chance_is_that_of_sshd(start in 1..1000u32, rate in 1..=100u32, more in 1..1000u32, count in 0..3000u32, dice: u32) {
            let limit = EarlyDrop { start, rate, full: start + more };
            let percent = match count {
                _ if count < start => 0,
                _ if count >= start + more => 100,
                _ => rate + (100 - rate) * (count - start) / more,
            };
            let thrown = ((u64::from(dice) * 100) >> 32) as u32;
            let refused = limit.refuses(count, || dice);
            prop_assert!(thrown == percent || refused == (thrown < percent), "{limit} at {count}: {thrown} of {percent}");
        }

        /// More who are here, or a lower throw, never make it easier to get in.
        #[test]
        fn it_never_gets_easier(start in 1..1000u32, rate in 1..=100u32, more in 0..1000u32, count in 0..3000u32, dice in 1..u32::MAX) {
            let limit = EarlyDrop { start, rate, full: start + more };
            prop_assert!(limit.refuses(count + 1, || dice) >= limit.refuses(count, || dice));
            prop_assert!(limit.refuses(count, || dice - 1) >= limit.refuses(count, || dice));
        }

        #[test]
        fn any_text_is_a_limit_or_is_refused(text in "\\PC{0,16}|[0-9:]{0,16}") {
            if let Ok(limit) = text.parse::<EarlyDrop>() {
                prop_assert_eq!(drop(&limit.to_string()), limit);
                prop_assert!(1 <= limit.start && limit.start <= limit.full && (1..=100).contains(&limit.rate));
            }
        }
    }
}
