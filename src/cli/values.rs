//! Values of options: what is wrong with one is said in Korean, with an example of a right one.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

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
        if bare.is_none() && (host.is_empty() || host.contains([':', '[', ']'])) {
            return Err(wrong());
        }
        Ok(Target { host: bare.unwrap_or(host).to_string(), port })
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
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("이름은 비워 둘 수 없고, 공백이나 제어 문자를 쓸 수 없습니다".into());
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [("localhost:7000", "localhost", 7000), ("[::1]:7", "::1", 7)] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.host.as_str(), target.port, target.to_string()), (host, port, text.to_string()));
        }
        for bad in ["", "7000", ":7000", "a:", "a:0", "a:65536", "::1:7000", "[::1]", "[:7000"] {
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
}
