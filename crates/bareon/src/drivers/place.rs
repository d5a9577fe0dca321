//! Walking a document: a value together with where it stands.
//!
//! Each reader takes what it can and notes a mistake for what it cannot, so that one pass finds
//! all of them. Types are taken strictly: `true`, `"5000"` and `5000.0` are no integers.

use serde_json::{Map, Value};

use super::mistake::{Mistake, Mistakes, pointer};

/// A value of a document and its JSON pointer.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The value.
    pub value: &'a Value,
    /// Where it stands.
    pub path: String,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// Notes that this value is wrong.
    pub fn wrong(&self, problem: impl Into<String>, remedy: impl Into<String>, mistakes: &mut Mistakes) {
        mistakes.push(Mistake::new(self.path.clone(), Some(self.value), problem, remedy));
    }

    /// What stands under `key`; nothing where this is no object or has no such key.
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        Some(Self { value, path: pointer(&self.path, key) })
    }

    /// What stands under `key`, which must be there where this is an object.
    pub fn need(&self, key: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let found = self.get(key);
        if found.is_none() && self.value.is_object() {
            mistakes.push(Mistake::missing(&self.path, key, remedy));
        }
        found
    }

    /// The object that must stand under `key`.
    pub fn need_object(&self, key: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let found = self.need(key, remedy, mistakes)?;
        found.object(remedy, mistakes).map(|_| found.clone())
    }

    /// The text that must stand under `key`.
    pub fn need_text(&self, key: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<&'a str> {
        self.need(key, remedy, mistakes)?.text(remedy, mistakes)
    }

    /// The text that may stand under `key`; `null` is none there.
    pub fn may_text(&self, key: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<&'a str> {
        self.get(key)?.text(remedy, mistakes)
    }

    /// The integer that must stand under `key`.
    pub fn need_integer(&self, key: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<i64> {
        self.need(key, remedy, mistakes)?.integer(remedy, mistakes)
    }

    /// This, as an object.
    pub fn object(&self, remedy: &str, mistakes: &mut Mistakes) -> Option<&'a Map<String, Value>> {
        self.is(self.value.as_object(), "an object", remedy, mistakes)
    }

    /// This, as a text.
    pub fn text(&self, remedy: &str, mistakes: &mut Mistakes) -> Option<&'a str> {
        self.is(self.value.as_str(), "a text", remedy, mistakes)
    }

    /// This, as an integer.
    pub fn integer(&self, remedy: &str, mistakes: &mut Mistakes) -> Option<i64> {
        self.is(self.value.as_i64(), "an integer", remedy, mistakes)
    }

    /// The elements of this list.
    pub fn items(&self, remedy: &str, mistakes: &mut Mistakes) -> Option<Vec<Self>> {
        let list = self.is(self.value.as_array(), "a list", remedy, mistakes)?;
        let place = |(i, value)| Self { value, path: format!("{}/{i}", self.path) };
        Some(list.iter().enumerate().map(place).collect())
    }

    /// The texts of this list.
    pub fn texts(&self, remedy: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let items = self.items(remedy, mistakes)?;
        let texts: Vec<_> = items.iter().map(|item| item.text(remedy, mistakes).map(str::to_owned)).collect();
        texts.into_iter().collect()
    }

    /// The keys of this object with what stands there.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> {
        self.value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), Self { value, path: pointer(&self.path, key) }))
    }

    fn is<T>(&self, read: Option<T>, kind: &str, remedy: &str, mistakes: &mut Mistakes) -> Option<T> {
        if read.is_none() {
            self.wrong(format!("{} is not {kind}", self.what()), remedy, mistakes);
        }
        read
    }

    /// The last key of the path, for messages.
    fn what(&self) -> String {
        match self.path.rsplit('/').next() {
            Some(last) if !last.is_empty() && last.parse::<usize>().is_err() => {
                format!("`{}`", last.replace("~1", "/").replace("~0", "~"))
            }
            _ => "this".into(),
        }
    }
}

/// Whether a value counts as yes where Python asks for its truth: templates and callers rely on it.
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_integers_are_integers() {
        for (value, want) in [
            (json!(5000), Some(5000)),
            (json!(-3766), Some(-3766)),
            (json!(5000.0), None),
            (json!(true), None),
            (json!("5000"), None),
            (json!(null), None),
            (json!(u64::MAX), None),
            (json!(1e300), None),
        ] {
            let mut mistakes = Mistakes::default();
            assert_eq!(Place::root(&value).integer("write MiB", &mut mistakes), want, "{value}");
            assert_eq!(mistakes.is_empty(), want.is_some());
        }
    }

    #[test]
    fn all_mistakes_are_noted_with_their_places() {
        let document = json!({"a": {"list": ["x", 1, null]}});
        let root = Place::root(&document);
        let mut mistakes = Mistakes::default();
        let a = root.need_object("a", "r", &mut mistakes).unwrap();
        assert_eq!(a.need("list", "r", &mut mistakes).unwrap().texts("r", &mut mistakes), None);
        assert_eq!(a.need_text("b/c", "give one", &mut mistakes), None);
        assert_eq!(
            mistakes.to_string(),
            "/a/list/1: 1: this is not a text; r\n/a/list/2: null: this is not a text; r\n\
             /a/b~1c: the key `b/c` is missing; give one"
        );
    }

    #[test]
    fn truth_is_pythons() {
        for yes in [json!(1), json!("0"), json!(0.5), json!([0]), json!(true)] {
            assert!(truthy(&yes), "{yes}");
        }
        for no in [json!(0), json!(""), json!(0.0), json!([]), json!({}), json!(null), json!(false)] {
            assert!(!truthy(&no), "{no}");
        }
    }
}
