//! Values of options: what is wrong with one is said in Korean, with an example of a right one.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::text::is_control;

/// `HOST:PORT` to connect to; the host may be a name, an IPv4 address or an IPv6 one in brackets.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "127.0.0.1:7000, localhost:7000, [::1]:7000처럼 '호스트:포트' 형식으로 적으십시오".to_string();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or("포트는 1부터 65535까지의 수여야 합니다")?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let (host, odd): (_, &[char]) = bare.map_or((host, &[':', '[', ']']), |host| (host, &['[', ']']));
        if host.is_empty() || host.contains(odd) {
            return Err(wrong());
        }
        Ok(Target { host: host.to_string(), port })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "127.0.0.1:7000, 0.0.0.0:7000, [::1]:7000처럼 'IP 주소:포트' 형식으로 적으십시오 (포트는 0부터 65535까지)"
            .to_string()
    })
}

pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    const MOST_SECONDS: f64 = 86_400.0 * 365.0;
    let seconds: f64 = text.parse().map_err(|_| "초 단위의 수여야 합니다 (예: 10, 0.5)")?;
    if !(0.0..=MOST_SECONDS).contains(&seconds) {
        return Err("0초 이상, 1년(31536000초) 이하여야 합니다".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

pub fn parse_positive_seconds(text: &str) -> Result<Duration, String> {
    parse_seconds(text).and_then(|time| if time.is_zero() { Err("0보다 커야 합니다".into()) } else { Ok(time) })
}

/// What somebody may have to wait for many times over has to end one day.
pub fn parse_case_seconds(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(3600);
    parse_positive_seconds(text)
        .and_then(|time| if time > MOST { Err("3600초 이하여야 합니다".into()) } else { Ok(time) })
}

pub fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| is_control(c) || c.is_whitespace()) {
        return Err("이름은 비워 둘 수 없고, 공백이나 제어 문자를 쓸 수 없습니다".into());
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [("localhost:7000", "localhost", 7000), ("[::1]:7", "::1", 7)] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.host.as_str(), target.port, target.to_string()), (host, port, text.to_string()));
        }
        for bad in
            ["", "7000", ":7000", "a:", "a:0", "a:65536", "::1:7000", "[::1]", "[:7000", "[]:7", "[[::1]]:7", "[a]b]:7"]
        {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "nan", "inf", "1e99", "abc"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
        assert!(parse_positive_seconds("0").is_err());
    }

    #[test]
    fn a_name_is_one_visible_word() {
        assert_eq!(parse_name("철수"), Ok("철수".into()));
        for bad in ["", "a b", "a\n/quit", "a\u{85}", "a\u{2028}b", "\u{202e}a", "a\x1b[2J"] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_argument_is_a_value_or_is_refused(text in "\\PC{0,24}|[0-9.:eE+-]{0,24}|\\[?[a-z0-9:.]{0,12}\\]?:?[0-9+-]{0,6}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert!(target.port != 0 && !target.host.contains(['[', ']']));
                let again: Target = target.to_string().parse().unwrap();
                prop_assert_eq!((again.host, again.port), (target.host, target.port));
            }
            if let Ok(listen) = parse_listen(&text) {
                prop_assert_eq!(parse_listen(&listen.to_string()), Ok(listen));
            }
            for seconds in [parse_seconds(&text), parse_positive_seconds(&text), parse_case_seconds(&text)] {
                prop_assert!(seconds.is_err() || seconds.is_ok_and(|time| time <= Duration::from_secs(86_400 * 365)));
            }
            if let Ok(name) = parse_name(&text) {
                prop_assert!(!name.contains(['\n', '\r', ' ']));
            }
        }
    }
}
