//! Reading what is given: the input document and the metadata of images.
//!
//! JSON is tried first, as nearly every caller sends it and its reader is the stricter one; then
//! YAML, of which only plain data is taken. Messages name line and column and never a word of the
//! text: documents hold passwords.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use serde_saphyr::{Error as YamlError, options::DuplicateKeyPolicy};

/// A text that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read.
    #[error("reading the input document {}; name another file with --input-data-file", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is neither JSON nor YAML.
    #[error("the input{} is not valid {format}{place}: {problem}", within(.path.as_deref()))]
    Syntax {
        /// The file; nothing where the text came from elsewhere.
        path: Option<PathBuf>,
        /// The format that it looks like.
        format: &'static str,
        /// The place, such as ` at line 3, column 7`; empty where it is not known.
        place: String,
        /// What is wrong, without a word of the text itself.
        problem: String,
    },
}

/// Reads the document in the file `path`.
///
/// # Errors
/// When the file cannot be read, or is neither JSON nor YAML.
pub fn read(path: &Path) -> Result<Value, InputError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| InputError::File { path: path.to_path_buf(), source })?;
    parse(&text).map_err(|error| match error {
        InputError::Syntax { format, place, problem, .. } => {
            InputError::Syntax { path: Some(path.to_path_buf()), format, place, problem }
        }
        error @ InputError::File { .. } => error,
    })
}

/// The file of a text, for a message.
fn within(path: Option<&Path>) -> String {
    path.map(|path| format!(" in {}", path.display())).unwrap_or_default()
}

/// Reads a document: JSON, or YAML as plain data (no tags, one document, the last of equal keys wins).
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> Result<Value, InputError> {
    let text = text.trim_start_matches('\u{feff}');
    let json = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|yaml| {
        // Whoever opens with a brace meant JSON; the YAML reader's view of it would mislead.
        if text.trim_start().starts_with(['{', '[']) { json_error(&json) } else { yaml_error(&yaml) }
    })
}

fn json_error(error: &serde_json::Error) -> InputError {
    let text = error.to_string();
    InputError::Syntax {
        path: None,
        format: "JSON",
        place: place(error.line(), error.column()),
        problem: text.split(" at line ").next().unwrap_or_default().to_owned(),
    }
}

fn yaml_error(error: &YamlError) -> InputError {
    // The reader's own messages quote the text, so only their kind is told.
    let problem = match error.without_snippet() {
        YamlError::Eof { .. } => "it ends too early",
        YamlError::MultipleDocuments { .. } => "it holds more than one document",
        _ => "look at the indentation, quotes, brackets and colons there",
    };
    let place = error
        .location()
        .and_then(|location| {
            Some((usize::try_from(location.line()).ok()?, usize::try_from(location.column()).ok()?))
        })
        .map(|(line, column)| place(line, column))
        .unwrap_or_default();
    InputError::Syntax { path: None, format: "YAML", place, problem: problem.into() }
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(" at line {line}, column {column}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_yaml_give_the_same_document() {
        let want = json!({"a": [1, true, null, "x"], "b": {"c": 1.5}});
        for text in [
            "{\"a\":\t[1, true, null, \"x\"], \"b\": {\"c\": 1.5}}",
            "\u{feff}{\"a\": [1, true, null, \"x\"], \"b\": {\"c\": 1.5}}",
            "a: [1, yes, ~, x]\nb:\n  c: 1.5\n",
            "{a: [1, on, null, 'x',], b: {c: 1.5}}",
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn yaml_reads_as_pyyaml_does() {
        for (text, want) in [
            ("a: 0755", json!({"a": 493})),
            ("a: 1\na: 2", json!({"a": 2})),
            ("{\"a\": 1, \"a\": 2}", json!({"a": 2})),
            ("a: &x {b: 1}\nc: *x", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a:\n  <<: {b: 1, c: 2}\n  b: 3", json!({"a": {"b": 3, "c": 2}})),
            ("hello", json!("hello")),
            ("", json!(null)),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn a_tag_runs_nothing() {
        let value = parse("os: !!python/object/apply:os.getcwd []");
        assert!(value.is_err() || value.is_ok_and(|value| value["os"] == json!([])));
    }

    #[test]
    fn errors_name_the_place_and_never_the_text() {
        for text in [
            "{\"password\": \"s3cret\" \"x\"}",
            "{\"password\": \"s3cret\", ]",
            "password: s3cret\n  x: [1",
            "password: 's3cret",
            "password: *s3cret",
            "password: s3cret\n---\na: 1\n",
            &"[".repeat(100_000),
        ] {
            let error = parse(text).unwrap_err();
            let message = error.to_string();
            assert!(!message.contains("s3cret") && message.contains(" at line "), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nonexistent/provision.json")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/provision.json"));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"a\": 1\n\"b\": 2}").unwrap();
        let message = read(file.path()).unwrap_err().to_string();
        let name = file.path().display().to_string();
        assert!(
            message.starts_with(&format!("the input in {name} is not valid JSON at line 2")),
            "{message}"
        );
        assert!(parse("{").unwrap_err().to_string().starts_with("the input is not valid JSON"));
    }
}
