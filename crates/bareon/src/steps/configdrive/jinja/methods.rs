//! Methods of Python's strings and dictionaries that minijinja's own list does not have.

use minijinja::{
    Error, ErrorKind, State,
    value::{Tuple, Value, ValueKind, from_args},
};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::filters::{Side, padded};

/// Calls the method `name` of `value`.
pub fn call(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => of_string(text, name, args),
        (_, ValueKind::Map) => of_dictionary(state, value, name, args),
        _ => None,
    }
    .unwrap_or_else(|| unknown_method_callback(state, value, name, args))
}

/// The dictionary methods of Python 2, which templates of its time call.
fn of_dictionary(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Option<Result<Value, Error>> {
    let today = match name {
        "iteritems" => "items",
        "iterkeys" => "keys",
        "itervalues" => "values",
        "has_key" => {
            return Some(
                from_args(args)
                    .and_then(|(key,): (&Value,)| value.get_item(key))
                    .map(|item| Value::from(!item.is_undefined())),
            );
        }
        _ => return None,
    };
    Some(unknown_method_callback(state, value, today, args))
}

fn of_string(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let result = match name {
        "rsplit" => rsplit(text, args),
        "partition" => parts(text, args, |text, by| text.split_once(by), |text| [text, "", ""]),
        "rpartition" => parts(text, args, |text, by| text.rsplit_once(by), |text| ["", "", text]),
        "index" => from_args(args).and_then(|(part,): (&str,)| match text.find(part) {
            Some(place) => Ok(Value::from(text[..place].chars().count())),
            None => Err(Error::new(ErrorKind::InvalidOperation, "index: the string is not in there")),
        }),
        "removeprefix" => {
            from_args(args).map(|(part,): (&str,)| Value::from(text.strip_prefix(part).unwrap_or(text)))
        }
        "removesuffix" => {
            from_args(args).map(|(part,): (&str,)| Value::from(text.strip_suffix(part).unwrap_or(text)))
        }
        "swapcase" => Ok(Value::from(swapped(text))),
        "zfill" => from_args(args).map(|(width,): (usize,)| Value::from(zero_filled(text, width))),
        "ljust" => pad(text, args, Side::Right),
        "rjust" => pad(text, args, Side::Left),
        "center" => pad(text, args, Side::Both),
        _ => return None,
    };
    Some(result)
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (by, most): (Option<&str>, Option<i64>) = from_args(args)?;
    let most =
        most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
    let mut words: Vec<&str> = Vec::new();
    if let Some(by) = by {
        words.extend(text.rsplitn(most, by));
    } else {
        let mut rest = text.trim_end();
        while !rest.is_empty() {
            let cut = if words.len() + 1 < most { rest.rfind(char::is_whitespace) } else { None };
            let start = cut.map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
            words.push(&rest[start..]);
            rest = rest[..start].trim_end();
        }
    }
    words.reverse();
    Ok(Value::from_iter(words))
}

fn parts<'a>(
    text: &'a str,
    args: &[Value],
    split: impl Fn(&'a str, &str) -> Option<(&'a str, &'a str)>,
    whole: impl Fn(&'a str) -> [&'a str; 3],
) -> Result<Value, Error> {
    let (by,): (&str,) = from_args(args)?;
    let parts = match split(text, by) {
        Some((before, after)) => [before, by, after].map(Value::from),
        None => whole(text).map(Value::from),
    };
    Ok(Value::from(Tuple::from(parts)))
}

fn pad(text: &str, args: &[Value], side: Side) -> Result<Value, Error> {
    let (width, fill): (usize, Option<char>) = from_args(args)?;
    Ok(Value::from(padded(text, width, fill.unwrap_or(' '), side)))
}

fn zero_filled(text: &str, width: usize) -> String {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => text.split_at(text.len() - digits.len()),
        None => ("", text),
    };
    format!("{sign}{}", padded(digits, width.saturating_sub(sign.len()), '0', Side::Left))
}

fn swapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() { out.extend(c.to_lowercase()) } else { out.extend(c.to_uppercase()) }
    }
    out
}
