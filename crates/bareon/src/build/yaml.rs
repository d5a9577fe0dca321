//! JSON values as YAML, for the metadata that other programs and people read.
//!
//! Block style, keys in their order, two blanks a level. Every text is quoted as JSON quotes it, which YAML reads the same:
//! no `yes`, `1.10` or `012` is taken for something else.

use serde_json::Value;

/// `value` as a YAML document.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut text),
        _ => text = format!("{value}\n"),
    }
    text
}

/// Writes what `value` holds, each part on lines of its own; the first begins where the text ends.
fn block(value: &Value, depth: usize, text: &mut String) {
    let mut first = true;
    let mut begin = |text: &mut String| {
        if !std::mem::take(&mut first) {
            text.push_str(&"  ".repeat(depth));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                begin(text);
                text.push_str(&shown_key(key));
                text.push(':');
                nested(value, depth, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                begin(text);
                text.push('-');
                entry(value, depth, text);
            }
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// The value of a key: beside it, or on the lines below.
fn nested(value: &Value, depth: usize, text: &mut String) {
    if is_flat(value) {
        text.push(' ');
        line(value, text);
    } else {
        text.push('\n');
        text.push_str(&"  ".repeat(depth + 1));
        block(value, depth + 1, text);
    }
}

/// An entry of a list, which begins on the line of its dash.
fn entry(value: &Value, depth: usize, text: &mut String) {
    text.push(' ');
    if is_flat(value) {
        line(value, text);
    } else {
        block(value, depth + 1, text);
    }
}

/// Ends the line with a value that [is flat](is_flat).
fn line(value: &Value, text: &mut String) {
    text.push_str(&value.to_string());
    text.push('\n');
}

/// Whether it stands on one line: a scalar, or something that is empty.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    }
}

/// A key as it is where that can be nothing but a text, quoted otherwise.
fn shown_key(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-+".contains(c);
    let letter = key.starts_with(|c: char| c.is_ascii_lowercase());
    let word = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&key);
    if letter && !word && key.chars().all(plain) { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_back_as_what_it_was() {
        let value = json!({
            "os": {"name": "debian", "major": 12, "minor": "unknown"},
            "images": [{"raw_md5": "012", "raw_name": null, "parts": [[1, 2], [], {}]}, {"ok": true}],
            "empty": {}, "list": [], "label": "a: \"b\" #c\nd", "2048": "1.10", "no": "yes", "g++": "4:12.2.0-3",
        });
        let text = document(&value);
        assert!(text.starts_with("os:\n  name: \"debian\"\n  major: 12\n"), "{text}");
        assert!(text.contains("images:\n  - raw_md5: \"012\"\n    raw_name: null\n"), "{text}");
        assert!(text.contains("\"2048\": \"1.10\"\n\"no\": \"yes\"\ng++: "), "{text}");
        assert_eq!(crate::input::parse(&text).unwrap(), value, "{text}");
        assert_eq!(document(&json!({})), "{}\n");
    }
}
