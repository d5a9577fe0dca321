//! Numbers and JSON as Python writes them.

use std::fmt::Write;

use serde_json::Value;

/// How JSON is written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Blanks per level on lines of their own; one line where absent.
    pub indent: Option<usize>,
    /// As Jinja2's `tojson`: keys sorted, nothing but ASCII, and nothing that HTML would read.
    /// Else as YAML reads it back, whatever the characters.
    pub html_safe: bool,
}

/// `value` as JSON.
pub fn write(value: &Value, style: Style) -> String {
    let mut out = String::new();
    put(&mut out, value, style, 0);
    out
}

/// A number with a fraction as Python's `repr` writes it: the fewest digits that read back as the
/// same number, with an exponent below 10⁻⁴ and from 10¹⁶.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        if plain.contains('.') { plain } else { format!("{plain}.0") }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

fn put(out: &mut String, value: &Value, style: Style, level: usize) {
    match value {
        Value::String(text) => string(out, text, style),
        Value::Number(number) if number.is_f64() => out.push_str(&float(number.as_f64().unwrap_or(0.0))),
        Value::Array(list) => {
            let items = list.iter().map(|item| (None, item));
            put_all(out, ('[', ']'), items, style, level);
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            if style.html_safe {
                entries.sort_by_key(|(key, _)| *key);
            }
            let items = entries.into_iter().map(|(key, item)| (Some(&**key), item));
            put_all(out, ('{', '}'), items, style, level);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn put_all<'a>(
    out: &mut String,
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Value)>,
    style: Style,
    level: usize,
) {
    let newline = |out: &mut String, level| {
        if let Some(indent) = style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * level));
        }
    };
    let separator = if style.indent.is_some() { "," } else { ", " };
    let empty = items.len() == 0;
    out.push(open);
    for (place, (key, item)) in items.enumerate() {
        if place > 0 {
            out.push_str(separator);
        }
        newline(out, level + 1);
        if let Some(key) = key {
            string(out, key, style);
            out.push_str(": ");
        }
        put(out, item, style, level + 1);
    }
    if !empty {
        newline(out, level);
    }
    out.push(close);
}

fn string(out: &mut String, text: &str, style: Style) {
    out.push('"');
    for c in text.chars() {
        let escaped = match c {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            _ => None,
        };
        // What YAML does not take as it is: control characters, line ends, a byte order mark.
        let breaks_yaml = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
        let in_numbers = match c {
            '<' | '>' | '&' | '\'' => style.html_safe,
            ' '..='~' => false,
            _ => style.html_safe || breaks_yaml(c),
        };
        match escaped {
            Some(escaped) => out.push_str(escaped),
            None if in_numbers => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            None => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-9, "1.5e-09"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn yaml_keeps_characters_and_escapes_what_breaks_lines() {
        let style = Style { indent: None, html_safe: false };
        let value = json!({"b": "nöde 😀 <'>", "a": ["x\ny", "\u{85}\u{7f}"]});
        assert_eq!(write(&value, style), r#"{"b": "nöde 😀 <'>", "a": ["x\ny", "\u0085\u007f"]}"#);
    }
}
