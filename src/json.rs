//! JSON, for scripts and for a page: text that can end neither a string nor the `<script>` that it stands in.
//!
//! - Standard: RFC 8259 §7; HTML Living Standard §4.12.1.3 (restrictions for contents of script elements)

use std::fmt::Write;

/// One value, already written.
#[derive(Clone, Debug)]
pub struct Json(String);

impl Json {
    pub const NULL: fn() -> Json = || Json("null".into());

    pub fn number(number: impl Into<i128>) -> Json {
        Json(number.into().to_string())
    }

    pub fn string(text: &str) -> Json {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                // `</script>`, `<!--` and `&` mean something to HTML; U+2028 and U+2029 to JavaScript.
                '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => hexadecimal(c, &mut out),
                c if crate::text::is_control(c) || c == '\t' => hexadecimal(c, &mut out),
                c => out.push(c),
            }
        }
        out.push('"');
        Json(out)
    }

    pub fn boolean(value: bool) -> Json {
        Json(value.to_string())
    }

    pub fn array(items: impl IntoIterator<Item = Json>) -> Json {
        Json(format!("[{}]", joined(items.into_iter().map(|item| item.0))))
    }

    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
        Json(format!("{{{}}}", joined(fields.into_iter().map(|(key, value)| format!("{}:{value}", Json::string(key))))))
    }

    pub fn maybe(value: Option<Json>) -> Json {
        value.unwrap_or_else(Json::NULL)
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// All of these are in the Basic Multilingual Plane.
fn hexadecimal(c: char, out: &mut String) {
    let _ = write!(out, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_written_without_a_blank() {
        let value = Json::object([("a", Json::array([Json::number(1), Json::NULL()])), ("b", Json::string("x"))]);
        assert_eq!(value.to_string(), r#"{"a":[1,null],"b":"x"}"#);
    }

    #[test]
    fn nothing_ends_the_string_or_the_script() {
        let hostile = "</script><!--\"'\\\n\u{2028}&";
        assert_eq!(Json::string(hostile).to_string(), r#""\u003c/script\u003e\u003c!--\"\u0027\\\u000a\u2028\u0026""#);
    }

    proptest! {
        #[test]
        fn any_text_is_one_string(text: String) {
            let written = Json::string(&text).to_string();
            let ends_something = written.contains(['<', '>', '&', '\n', '\r', '\u{2028}']);
            prop_assert!(!ends_something);
            prop_assert!(!written.chars().any(crate::text::is_control));
            let inside = &written[1..written.len() - 1];
            let bare = inside.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!bare.contains('"'));
        }
    }
}
