//! A command line that clap has refused, explained in Korean: clap knows what is wrong, and speaks English.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};

use super::Cli;
use crate::text::escaped;

/// What is wrong, how it is used, and where help is to be found.
pub fn explain(error: &Error) -> String {
    let what = in_korean(error).map_or_else(|| error.to_string(), |what| format!("sockstep: {what}\n"));
    let usage = context(error, ContextKind::Usage);
    let usage = usage.first().and_then(|usage| usage.strip_prefix("Usage: ")).map(|usage| format!("사용법: {usage}\n"));
    format!(
        "{what}{}힌트: `sockstep --help`로 명령의 목록을, `sockstep 명령 --help`로 그 명령의 옵션을 확인하십시오.\n",
        usage.unwrap_or_default()
    )
}

/// Two options of a command that exclude each other.
pub fn conflict(command: &str, option: &str, other: &str) -> Error {
    let mut error = wrong_use(command, ErrorKind::ArgumentConflict, ContextValue::String(option.into()));
    error.insert(ContextKind::PriorArg, ContextValue::String(other.into()));
    error
}

/// An option that another one needs.
pub fn missing(command: &str, option: &str) -> Error {
    wrong_use(command, ErrorKind::MissingRequiredArgument, ContextValue::Strings(vec![option.into()]))
}

fn wrong_use(command: &str, kind: ErrorKind, option: ContextValue) -> Error {
    let mut cli = Cli::command();
    cli.build();
    let mut error = Error::new(kind);
    error.insert(ContextKind::InvalidArg, option);
    if let Some(command) = cli.find_subcommand_mut(command) {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(command.render_usage()));
    }
    error
}

/// `None` where clap's own words have to do.
fn in_korean(error: &Error) -> Option<String> {
    let of = |kind| context(error, kind);
    let args = of(ContextKind::InvalidArg).join(", ");
    Some(match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("알 수 없는 옵션이나 값입니다: '{args}'{}", similar(&of(ContextKind::SuggestedArg), "옵션"))
        }
        ErrorKind::InvalidSubcommand => {
            let unknown = of(ContextKind::InvalidSubcommand).join(" ");
            format!("알 수 없는 명령입니다: '{unknown}'{}", similar(&of(ContextKind::SuggestedSubcommand), "명령"))
        }
        // What stands behind a command without an option is no option: `<파일>...`.
        ErrorKind::MissingRequiredArgument if args.starts_with('<') => format!("필요한 값이 빠졌습니다: {args}"),
        ErrorKind::MissingRequiredArgument => format!("필요한 옵션이 빠졌습니다: {args}"),
        ErrorKind::ArgumentConflict => match of(ContextKind::PriorArg).join(", ") {
            prior if prior == args => format!("한 번만 쓸 수 있는 옵션입니다: {args}"),
            prior => format!("함께 쓸 수 없는 옵션입니다: {args}, {prior}"),
        },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = of(ContextKind::InvalidValue).join(" ");
            let known = of(ContextKind::ValidValue).join(", ");
            match (error.source(), known.is_empty()) {
                (Some(source), _) => {
                    format!("{args}에 쓸 수 없는 값입니다: '{value}'. {}", reason(&source.to_string()))
                }
                (None, false) => format!("{args}에 쓸 수 없는 값입니다: '{value}'. 쓸 수 있는 값: {known}"),
                (None, true) => format!("값이 필요한 옵션입니다: {args}"),
            }
        }
        ErrorKind::InvalidUtf8 => "UTF-8이 아닌 값이 있습니다".into(),
        _ => return None,
    })
}

/// What was perhaps meant.
fn similar(names: &[String], what: &str) -> String {
    if names.is_empty() { String::new() } else { format!(". 비슷한 {what}: {}", names.join(", ")) }
}

/// What clap has noted of this kind, made harmless: it is what somebody has typed.
fn context(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![escaped(text)],
        Some(ContextValue::Strings(texts)) => texts.iter().map(|text| escaped(text)).collect(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        _ => Vec::new(),
    }
}

/// Our own parsers speak Korean; of numbers, clap and std do not.
fn reason(source: &str) -> String {
    let Some((_, range)) = source.split_once(" is not in ") else {
        let digits = ["invalid digit", "cannot parse integer", "too large", "too small"];
        return if digits.iter().any(|words| source.contains(words)) {
            "수를 적으십시오".into()
        } else {
            source.into()
        };
    };
    match range.split_once("..") {
        Some((least, most)) if most.starts_with('=') => {
            format!("{least}부터 {}까지의 수를 적으십시오", most.trim_start_matches('='))
        }
        Some((least, _)) => format!("{least} 이상의 수를 적으십시오"),
        None => source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_said_in_korean() {
        assert_eq!(reason("0 is not in 1..=1000000"), "1부터 1000000까지의 수를 적으십시오");
        assert_eq!(reason("-1 is not in 0..2147483648"), "0 이상의 수를 적으십시오");
        assert_eq!(reason("invalid digit found in string"), "수를 적으십시오");
        assert_eq!(reason("0보다 커야 합니다"), "0보다 커야 합니다");
    }
}
