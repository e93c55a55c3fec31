//! The commands of the relay, and the Korean answers that need no hub.

use super::lines::Line;
use super::outgoing::Outgoing;
use super::uplink::Uplink;
use crate::relay::ToHub;
use crate::text::{escaped, excerpt};

/// What a line of a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<'a> {
    /// For everybody. `//x` says `/x`.
    Text(&'a str),
    Name(&'a str),
    Who,
    To {
        name: &'a str,
        text: &'a str,
    },
    Help,
    Quit,
    /// A command without what it needs: how to write it.
    Incomplete(&'static str),
    Unknown(&'a str),
}

const NOT_UTF8: &str = "! UTF-8이 아닌 바이트가 있어 전하지 않았습니다.\n";
const TOO_LONG: &str = "! 줄이 너무 길어 전하지 않았습니다.\n";
const HELP: &str = "\
* /name 이름      내 이름을 바꿉니다
* /who            누가 있는지 봅니다
* /to 이름 할 말  한 사람에게만 말합니다
* /quit           나갑니다
* /로 시작하는 말은 //처럼 /를 하나 더 붙여 보냅니다. 그 밖의 줄은 모두에게 전합니다.
";

/// Does what a line asks for: passes it to the hub, or answers it at once. True after `/quit`.
pub fn obey(line: Line<'_>, up: &mut Uplink, out: &mut Outgoing) -> bool {
    let said = match line {
        Line::Text(text) => parse(text),
        Line::TooLong => return answer(out, TOO_LONG),
        Line::NotUtf8 => return answer(out, NOT_UTF8),
    };
    match said {
        Said::Text(text) => up.say(text),
        Said::Name(name) => up.ask(&ToHub::Name(&excerpt(name.as_bytes()))),
        Said::Who => up.ask(&ToHub::Who),
        Said::To { name, text } => up.ask(&ToHub::Private { to: &excerpt(name.as_bytes()), text: &escaped(text) }),
        Said::Help => return answer(out, HELP),
        Said::Quit => {
            up.ask(&ToHub::Leave);
            return true;
        }
        Said::Incomplete(usage) => return answer(out, &format!("! 사용법: {usage}\n")),
        Said::Unknown(word) => {
            return answer(
                out,
                &format!("! 알 수 없는 명령입니다: /{}. /help를 입력해 보십시오.\n", excerpt(word.as_bytes())),
            );
        }
    }
    false
}

fn answer(out: &mut Outgoing, words: &str) -> bool {
    out.push(words.as_bytes());
    false
}

fn parse(line: &str) -> Said<'_> {
    let Some(command) = line.strip_prefix('/') else { return Said::Text(line) };
    if command.starts_with('/') {
        return Said::Text(command);
    }
    let (word, rest) = command.split_once([' ', '\t']).unwrap_or((command, ""));
    let rest = rest.trim();
    match (word, rest.split_once([' ', '\t'])) {
        ("name", _) if !rest.is_empty() => Said::Name(rest),
        ("name", _) => Said::Incomplete("/name 이름"),
        ("who", _) => Said::Who,
        ("to", Some((name, text))) => Said::To { name, text: text.trim_start() },
        ("to", None) => Said::Incomplete("/to 이름 할 말"),
        ("help", _) => Said::Help,
        ("quit", _) => Said::Quit,
        _ => Said::Unknown(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_a_command_and_two_slashes_a_text() {
        assert_eq!(parse("안녕 /who"), Said::Text("안녕 /who"));
        assert_eq!(parse("//who"), Said::Text("/who"));
        assert_eq!(parse("/who"), Said::Who);
        assert_eq!(parse("/name  철수 "), Said::Name("철수"));
        assert_eq!(parse("/to 영희  비밀 이야기"), Said::To { name: "영희", text: "비밀 이야기" });
        assert_eq!(parse("/quit"), Said::Quit);
        assert_eq!(parse("/help"), Said::Help);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(parse("/name"), Said::Incomplete("/name 이름"));
        assert_eq!(parse("/to 영희"), Said::Incomplete("/to 이름 할 말"));
        assert_eq!(parse("/"), Said::Unknown(""));
        assert_eq!(parse("/dance now"), Said::Unknown("dance"));
    }
}
