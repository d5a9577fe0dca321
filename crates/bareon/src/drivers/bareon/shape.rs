//! Whether a document has the shape of its schema: all that is not so is told, and what is left has that shape.
//!
//! serde stops at the first mistake, and people would rather mend all of them at once. So the document is walked along
//! the schema that is made of the types it is then read into: what does not fit is told and taken out. Of JSON Schema
//! this knows what those types need, no more.

use serde_json::{Map, Value, json};

use super::text;
use crate::drivers::mistake::{Mistake, Mistakes, pointer};

/// Keys of other formats and tools that people write from memory, and what they are called here.
const SYNONYMS: [(&str, &str); 18] = [
    ("device", "match"),
    ("devices", "members"),
    ("disk", "disks"),
    ("file_system", "format"),
    ("fs_type", "format"),
    ("fstype", "format"),
    ("id", "name"),
    ("keep", "preserve"),
    ("keep_data", "preserve"),
    ("lvs", "logical_volumes"),
    ("mountpoint", "mount"),
    ("mount_point", "mount"),
    ("permissions", "mode"),
    ("ssh_authorized_keys", "ssh_keys"),
    ("uri", "url"),
    ("vgs", "volume_groups"),
    ("volumes", "logical_volumes"),
    ("passwd", "hashed_password"),
];

/// Keys that are refused for a reason of their own: key, problem, remedy.
const REFUSED: [(&str, &str, &str); 7] = [
    ("luks", NO_LUKS, PLAIN),
    ("encryption", NO_LUKS, PLAIN),
    ("encrypted", NO_LUKS, PLAIN),
    ("password", "a password in clear text is readable for everyone who sees this document", HASH_IT),
    (
        "plain_text_passwd",
        "a password in clear text is readable for everyone who sees this document",
        HASH_IT,
    ),
    (
        "sha256",
        "this does not say of what",
        "write `raw_sha256` (unpacked data) or `container_sha256` (the file)",
    ),
    (
        "sha512",
        "this does not say of what",
        "write `raw_sha512` (unpacked data) or `container_sha512` (the file)",
    ),
];
const NO_LUKS: &str = "encryption (LUKS) is not supported yet";
const PLAIN: &str = "leave it out: what lies there is then not encrypted";
const HASH_IT: &str = "write `hashed_password`, which `openssl passwd -6` prints";

/// What of `document` has the shape that `schema` tells. The rest is told.
pub fn sound(document: &Value, schema: &Value, mistakes: &mut Mistakes) -> Value {
    let mut walk = Walk { root: schema, mistakes };
    walk.value(document, schema, "").unwrap_or_else(|| json!({}))
}

struct Walk<'a> {
    root: &'a Value,
    mistakes: &'a mut Mistakes,
}

impl<'a> Walk<'a> {
    /// As much of `value` as has its shape; nothing where it is of another kind altogether.
    fn value(&mut self, value: &Value, schema: &'a Value, path: &str) -> Option<Value> {
        let about = text_of(schema, "description");
        let meant = text_of(schema, "$ref").strip_prefix('#').and_then(|place| self.root.pointer(place));
        let schema = meant.unwrap_or(schema);
        if let Some(choices) = choices(schema) {
            return self.choice(value, &choices, about, path);
        }
        match (text_of(schema, "type"), value) {
            ("object", Value::Object(map)) => Some(self.object(map, schema, path)),
            // What it would hold is missing then, which is told once: here.
            ("object", _) => {
                self.other_kind(value, "object", about, path);
                Some(json!({}))
            }
            ("array", Value::Array(list)) => self.list(list, schema, about, path),
            ("string", Value::String(text)) => match text::check(text_of(schema, "format"), text) {
                Ok(()) => Some(value.clone()),
                Err(wrong) => {
                    self.wrong(path, Some(value), wrong.problem, wrong.remedy);
                    None
                }
            },
            ("boolean", Value::Bool(_)) => Some(value.clone()),
            ("integer", Value::Number(number)) if number.is_u64() => self.integer(value, schema, path),
            // A size without a unit is a number; what is to be said of it is that.
            ("string", Value::Number(number))
                if let Err(wrong) = text::check(text_of(schema, "format"), &number.to_string()) =>
            {
                self.wrong(path, Some(value), wrong.problem, wrong.remedy);
                None
            }
            (kind, _) => {
                self.other_kind(value, kind, about, path);
                None
            }
        }
    }

    fn object(&mut self, map: &Map<String, Value>, schema: &'a Value, path: &str) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Value::Object(map.clone());
        };
        let open = schema.get("additionalProperties") != Some(&json!(false));
        let mut sound = Map::new();
        for (key, value) in map {
            let at = pointer(path, key);
            match properties.get(key) {
                Some(property) => {
                    if let Some(value) = self.value(value, property, &at) {
                        sound.insert(key.clone(), value);
                    }
                }
                None if open => {
                    sound.insert(key.clone(), value.clone());
                }
                None => self.unknown(key, value, properties, &at),
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(key) = key.as_str().filter(|key| !map.contains_key(*key)) else { continue };
            let about = properties.get(key).map_or("", |property| text_of(property, "description"));
            self.mistakes.push(Mistake::missing(path, key, format!("write it: {}", remark(about))));
        }
        if schema.get("minProperties").is_some() && map.is_empty() {
            let known: Vec<_> = properties.keys().map(String::as_str).collect();
            self.wrong(
                path,
                None,
                "nothing is written here",
                &format!("write one of {} or more", known.join(", ")),
            );
        }
        Value::Object(sound)
    }

    fn unknown(&mut self, key: &str, value: &Value, properties: &Map<String, Value>, path: &str) {
        if let Some((_, problem, remedy)) = REFUSED.iter().find(|(refused, ..)| *refused == key) {
            self.wrong(path, None, *problem, remedy);
            return;
        }
        let known: Vec<_> = properties.keys().map(String::as_str).collect();
        let remedy = match meant(key, &known) {
            Some(meant) => format!("did you mean `{meant}`? Known are {}", known.join(", ")),
            None => format!("known are {}", known.join(", ")),
        };
        self.wrong(path, Some(value), format!("the key `{key}` is not known"), &remedy);
    }

    /// A list keeps the places of its elements: one that is wrong leaves an empty object, or else no list.
    fn list(&mut self, list: &[Value], schema: &'a Value, about: &str, path: &str) -> Option<Value> {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let elements: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(i, value)| self.value(value, items, &format!("{path}/{i}")))
            .collect();
        if list.is_empty() && schema.get("minItems").is_some() {
            self.wrong(path, None, "this list is empty", &format!("write one or more: {}", remark(about)));
        }
        elements.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn integer(&mut self, value: &Value, schema: &Value, path: &str) -> Option<Value> {
        let least = schema.get("minimum").and_then(Value::as_u64).unwrap_or(0);
        if value.as_u64().is_some_and(|number| number < least) {
            self.wrong(path, Some(value), "this is too small", &format!("write {least} or more"));
            return None;
        }
        Some(value.clone())
    }

    fn choice(&mut self, value: &Value, choices: &[Value], about: &str, path: &str) -> Option<Value> {
        if choices.contains(value) {
            return Some(value.clone());
        }
        let words: Vec<_> =
            choices.iter().map(|choice| choice.as_str().map_or(choice.to_string(), Into::into)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let meant = value.as_str().and_then(|text| meant(text, &words));
        let remedy = match (meant, words.as_slice()) {
            (Some(meant), _) => format!("did you mean `{meant}`? Known are {}", words.join(", ")),
            (None, [only]) => format!("write {only}: {}", remark(about)),
            (None, words) => format!("write one of {}", words.join(", ")),
        };
        self.wrong(path, Some(value), "this value is not known", &remedy);
        None
    }

    fn other_kind(&mut self, value: &Value, kind: &str, about: &str, path: &str) {
        let kind = match kind {
            "object" => "an object",
            "array" => "a list",
            "boolean" => "true or false",
            "integer" => "a whole number",
            _ => "a text",
        };
        let (problem, remedy) = match value {
            Value::Null => ("there is no value here".to_owned(), "write it or leave out the key"),
            Value::Number(_) if kind == "a text" => (format!("this is not {kind}"), "put it in quotes"),
            _ => (format!("this is not {kind}"), "write it so"),
        };
        let about = remark(about);
        let remedy = if about.is_empty() { remedy.to_owned() } else { format!("{remedy}: {about}") };
        self.wrong(path, Some(value), problem, &remedy);
    }

    fn wrong(&mut self, path: &str, value: Option<&Value>, problem: impl Into<String>, remedy: &str) {
        self.mistakes.push(Mistake::new(path, value, problem, remedy));
    }
}

fn text_of<'s>(schema: &'s Value, key: &str) -> &'s str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A description as the end of a remedy.
fn remark(about: &str) -> &str {
    about.trim_end_matches('.')
}

/// The values of a schema that names all of them.
fn choices(schema: &Value) -> Option<Vec<Value>> {
    if let Some(only) = schema.get("const") {
        return Some(vec![only.clone()]);
    }
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return Some(list.clone());
    }
    let list = schema.get("oneOf")?.as_array()?;
    Some(list.iter().filter_map(choices).flatten().collect())
}

/// The known word that somebody who wrote `word` most likely meant.
fn meant<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == word).map(|(_, own)| *own);
    if let Some(found) = known.iter().find(|known| Some(**known) == synonym) {
        return Some(found);
    }
    let near = known.iter().map(|known| (distance(&word, known), *known));
    near.filter(|(distance, known)| *distance <= known.len().min(word.len()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// How many letters have to be put in, taken out or changed to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
