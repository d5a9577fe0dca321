//! Jinja2, as a site's templates know it from Python: minijinja, with the differences that such
//! templates can meet taken out.
//!
//! `tests/tests/templates.rs` holds it against Python's jinja2. What is left, and fails with the
//! file and the line: `x % y` where `x` is no literal (write `x|format(y)`), and filters for HTML. Beyond
//! Jinja2's defaults there are `break` and `continue`, the dictionary methods of Python 2, which
//! templates of the time use, and the filter `yaml`.

mod filters;
pub mod json;
mod methods;
mod percent;

use std::error::Error as _;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, escape_formatter,
    value::{Rest, Serde, Value, ValueKind},
};
use serde_json::Map;

/// A template with a mistake, or one that does not fit its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The template's name.
    pub template: String,
    /// The line in it, from 1; absent where no line is to blame.
    pub line: Option<usize>,
    /// What is wrong there, and what to do where that is known. It shows no data.
    pub what: String,
}

/// Renders the template `name` with `data` as Jinja2 does with its defaults.
///
/// `load` finds the text of a template, of that one and of those that it includes, extends or
/// imports.
///
/// # Errors
/// No such template, or one with a mistake.
pub fn render(
    name: &str,
    load: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    data: &Map<String, serde_json::Value>,
) -> Result<String, Fault> {
    let mut env = environment();
    env.set_loader(move |name| {
        // Jinja2 knows one kind of line end.
        let plain = |text: String| text.replace("\r\n", "\n").replace('\r', "\n");
        Ok(load(name).map(|text| percent::rewritten(&plain(text))))
    });
    env.get_template(name)
        .and_then(|template| template.render(Value::from(Serde(data))))
        .map_err(|error| fault(&error, name))
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(methods::call);
    env.set_formatter(print);
    filters::add(&mut env);
    env.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
    });
    env.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.to_vec()));
    env.add_function("joiner", minijinja_contrib::globals::joiner);
    // It prints all that a template is given, passwords too; Jinja2 has no such function.
    env.remove_global("debug");
    env
}

/// Prints a value as Python's `str` does.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match as_float(value) {
        Some(float) => out.write_str(&json::float(float)).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// The number, where `value` is one with a fraction.
fn as_float(value: &Value) -> Option<f64> {
    if value.is_number() && !value.is_integer() { f64::try_from(value.clone()).ok() } else { None }
}

/// What `error` says, from the innermost template that it happened in.
fn fault(error: &Error, name: &str) -> Fault {
    let mut innermost = error;
    while let Some(inner) = innermost.source().and_then(|source| source.downcast_ref::<Error>()) {
        innermost = inner;
    }
    let detail = innermost.detail().unwrap_or_default();
    let what = if detail.starts_with("tried to use % operator on unsupported types string") {
        "`%` fills in no string that is not written before it; write x|format(y) for x % y".to_owned()
    } else if detail.starts_with("unable to calculate") {
        // The detail shows the numbers.
        "this cannot be calculated: a division by zero, or a number out of range".to_owned()
    } else if innermost.kind() == ErrorKind::UndefinedError {
        "it takes a part of a value that is not there; use `|default(…)` or `is defined` one level up"
            .to_owned()
    } else if detail.is_empty() {
        innermost.kind().to_string()
    } else {
        format!("{}: {detail}", innermost.kind())
    };
    let place = if innermost.name().is_some() { innermost } else { error };
    Fault { template: place.name().unwrap_or(name).to_owned(), line: place.line(), what }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render_one(text: &str) -> Result<String, Fault> {
        let text = text.to_owned();
        let data = json!({"common": {"password": "marionette", "n": 5}});
        let load = move |name: &str| match name {
            "main" => Some(text.clone()),
            "part" => Some("\n{{ common.a.b }}".to_owned()),
            _ => None,
        };
        render("main", load, data.as_object().unwrap())
    }

    #[test]
    fn line_ends_are_made_the_same() {
        assert_eq!(render_one("a\r\n{%- if true %}\rb\r\n{% endif %}\r\n").unwrap(), "a\nb\n");
    }

    #[test]
    fn a_mistake_is_reported_with_its_line_and_without_data() {
        for (text, template, line, part) in [
            ("a\n\n{{ common.password % 1 }}", "main", 3, "write x|format(y)"),
            ("{{ common.a.b }}", "main", 1, "|default(…)"),
            ("{{ x\n", "main", 1, "syntax error"),
            ("\n{{ 5|nosuch }}", "main", 2, "filter nosuch is unknown"),
            ("\n{{ common.n / 0 }}", "main", 2, "division by zero"),
            ("{% include 'part' %}", "part", 2, "|default(…)"),
            ("{% include 'nope' %}", "main", 1, "nope"),
            ("{{ debug() }}", "main", 1, "unknown"),
            ("{{ common.password.nope() }}", "main", 1, "nope"),
            ("{{ common.password + 1 }}", "main", 1, "unsupported types string and number"),
        ] {
            let fault = render_one(text).expect_err(text);
            assert_eq!((&*fault.template, fault.line), (template, Some(line)), "{text}: {fault:?}");
            assert!(fault.what.contains(part), "{text}: {}", fault.what);
            assert!(!fault.what.contains("marionette"), "{}", fault.what);
        }
    }
}
