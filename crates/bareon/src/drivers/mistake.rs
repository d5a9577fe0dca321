//! A mistake in an input document: where it is, what is wrong, what to write instead.
//!
//! A driver collects all mistakes of a document before it gives up, so that the author mends them
//! in one go. Values are shown short, and never those of keys that hold secrets.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many characters of a value a message shows.
const SHOWN: usize = 60;

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// Where, as a JSON pointer (RFC 6901), such as `/ks_meta/pm_data/ks_spaces/0/size`.
    pub path: String,
    /// What stands there, short; nothing where a key is missing or the value is a secret.
    #[serde(default)]
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Mistake {
    /// A mistake at `path`; `value` is shown unless the path says that it is a secret.
    pub fn new(
        path: impl Into<String>,
        value: Option<&Value>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let path = path.into();
        let value = value.and_then(|value| shown(&path, value));
        Self { path, value, problem: problem.into(), remedy: remedy.into() }
    }

    /// The key `key` of what stands at `parent` is missing.
    pub fn missing(parent: &str, key: &str, remedy: impl Into<String>) -> Self {
        Self::new(pointer(parent, key), None, format!("the key `{key}` is missing"), remedy)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{}: ", line(path))?;
        if let Some(value) = &self.value {
            write!(f, "{}: ", line(value))?;
        }
        write!(f, "{}; {}", line(&self.problem), line(&self.remedy))
    }
}

/// All mistakes of a document, at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Adds a mistake.
    pub fn push(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The JSON pointer of `key` within what `parent` points to.
pub fn pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A value as a message shows it: short, without what nobody may read in a log.
fn shown(path: &str, value: &Value) -> Option<String> {
    if path.split('/').any(is_secret) {
        return None;
    }
    Some(match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) if text.contains("://") => quoted(&bareon_image::shown(text)),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    })
}

/// Whether the values of a key are kept out of messages.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["pass", "secret", "token", "pskey", "auth"].iter().any(|part| key.contains(part))
        || key.ends_with("_key")
        || key.ends_with("_keys")
}

/// `text` in quotes and on one line, cut where it is long.
fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    Value::String(short).to_string()
}

/// Text of others on one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mistake_is_one_line_with_place_value_problem_and_remedy() {
        let mistake = Mistake::new("/a/0/size", Some(&json!("5\n000")), "not an integer", "write MiB");
        assert_eq!(mistake.to_string(), r#"/a/0/size: "5\n000": not an integer; write MiB"#);
        let missing = Mistake::missing("/kernel_options", "netcfg/choose_interface", "write the MAC");
        assert_eq!(
            missing.to_string(),
            "/kernel_options/netcfg~1choose_interface: the key `netcfg/choose_interface` is missing; \
             write the MAC"
        );
        assert_eq!(
            Mistake::new("", None, "empty", "write one").to_string(),
            "the document: empty; write one"
        );
    }

    #[test]
    fn secrets_and_credentials_stay_out() {
        for path in
            ["/ks_meta/mco_password", "/ks_meta/mco_pskey", "/ks_meta/authorized_keys/0", "/power_pass"]
        {
            assert_eq!(Mistake::new(path, Some(&json!("s3cret")), "p", "r").value, None, "{path}");
        }
        for (uri, shown) in [
            ("http://me:s3cret@host/a@b", r#""http://***@host/a@b""#),
            ("http://host/a?token=s3cret", r#""http://host/a?***""#),
            ("http://me:s3cret@host:port/a", r#""http://***@host:port/a""#),
        ] {
            assert_eq!(Mistake::new("/uri", Some(&json!(uri)), "p", "r").value.as_deref(), Some(shown));
        }
    }

    #[test]
    fn long_values_are_cut_and_all_mistakes_stand_on_lines_of_their_own() {
        let long = Mistake::new("/x", Some(&json!("é".repeat(500))), "p", "r");
        assert_eq!(long.value.as_deref().map(|v| v.chars().count()), Some(SHOWN + 3));
        let both = Mistakes(vec![long.clone(), long]);
        assert_eq!(both.to_string().lines().count(), 2);
    }
}
