//! Filters that Jinja2 has and minijinja has not, or has otherwise.

use minijinja::{
    Environment, Error, ErrorKind, State,
    value::{Kwargs, Rest, Value, ValueOrKwargs, from_args},
};

use super::json::{self, Style};

/// Adds them to `env`.
pub fn add(env: &mut Environment) {
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("float", float);
    env.add_filter("sort", sort);
    env.add_filter("indent", indent);
    env.add_filter("escape", escape);
    env.add_filter("e", escape);
    env.add_filter("forceescape", |value: &Value| escaped(&value.to_string()));
    env.add_filter("tojson", tojson);
    env.add_filter("yaml", yaml);
    env.add_filter("string", string);
    env.add_filter("center", center);
    env.add_filter("truncate", truncate);
    env.add_filter("wordcount", wordcount);
}

/// The arguments of a call, by place or by name, as Python takes them.
struct Args {
    places: Vec<Value>,
    names: Kwargs,
    taken: usize,
}

impl Args {
    fn new(args: Rest<ValueOrKwargs>) -> Result<Self, Error> {
        let values = args.into_values();
        let (places, names): (&[Value], Kwargs) = from_args(&values)?;
        Ok(Self { places: places.to_vec(), names, taken: 0 })
    }

    /// The next argument, which is called `name`.
    fn next(&mut self, name: &str) -> Result<Option<Value>, Error> {
        let place = self.taken;
        self.taken += 1;
        match self.places.get(place) {
            Some(value) => Ok(Some(value.clone())),
            None => self.names.get::<Option<Value>>(name),
        }
    }

    fn truth(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.next(name)?.is_some_and(|value| value.is_true()))
    }

    fn number(&mut self, name: &str, default: usize) -> Result<usize, Error> {
        match self.next(name)? {
            Some(value) => value
                .as_usize()
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("{name} must be a number"))),
            None => Ok(default),
        }
    }

    /// Refuses arguments that nobody took.
    fn end(self) -> Result<(), Error> {
        if self.places.len() > self.taken {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        self.names.assert_all_used()
    }
}

fn default(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let default = args.next("default_value")?.unwrap_or_else(|| Value::from(""));
    let also_false = args.truth("boolean")?;
    args.end()?;
    let keep = if also_false { value.is_true() } else { !value.is_undefined() };
    Ok(if keep { value.clone() } else { default })
}

fn float(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let default = args.next("default")?.unwrap_or_else(|| Value::from(0.0));
    args.end()?;
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(number.map_or(default, Value::from))
}

fn sort(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let mut names = Vec::new();
    for name in ["reverse", "case_sensitive"] {
        names.push((name, Value::from(args.truth(name)?)));
    }
    if let Some(attribute) = args.next("attribute")? {
        names.push(("attribute", attribute));
    }
    args.end()?;
    minijinja::filters::sort(state, value, Kwargs::from_iter(names))
}

/// All lines but the first, and but empty ones, get blanks before them.
fn indent(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let before = match args.next("width")? {
        Some(width) => match (width.as_str(), width.as_usize()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(width)) => " ".repeat(width),
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "indent: width must be a number")),
        },
        None => " ".repeat(4),
    };
    let first = args.truth("first")?;
    let blank = args.truth("blank")?;
    args.end()?;
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for (place, line) in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate() {
        if place > 0 {
            out.push('\n');
        }
        if if place == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&before);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// For HTML, once.
fn escape(value: &Value) -> Value {
    if value.is_safe() { value.clone() } else { escaped(&value.to_string()) }
}

fn escaped(text: &str) -> Value {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    Value::from_safe_string(out)
}

fn tojson(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let indent = args.next("indent")?.and_then(|indent| indent.as_usize());
    args.end()?;
    // Escaped for HTML already; nothing is escaped twice within `autoescape`.
    Ok(Value::from_safe_string(json::write(&plain(value)?, Style { indent, html_safe: true })))
}

/// Ours: a value as YAML on one line, of whatever characters; `tojson` writes those beyond 2¹⁶ in a
/// way that YAML reads as others.
fn yaml(value: &Value) -> Result<String, Error> {
    Ok(json::write(&plain(value)?, Style { indent: None, html_safe: false }))
}

fn plain(value: &Value) -> Result<serde_json::Value, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::BadSerialization, "a value that is not there has no JSON"));
    }
    serde_json::to_value(value)
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "this kind of value has no JSON"))
}

fn string(state: &State, value: &Value) -> Result<Value, Error> {
    match super::as_float(value) {
        Some(number) => Ok(Value::from(json::float(number))),
        None => minijinja::filters::string(state, value),
    }
}

fn center(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let width = args.number("width", 80)?;
    args.end()?;
    Ok(padded(&value.to_string(), width, ' ', Side::Both))
}

fn truncate(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let length = args.number("length", 255)?;
    let kill_words = args.truth("killwords")?;
    let end = args.next("end")?.map_or_else(|| "...".to_owned(), |end| end.to_string());
    let leeway = args.number("leeway", 5)?;
    args.end()?;
    let text = value.to_string();
    if text.chars().count() <= length + leeway {
        return Ok(text);
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if kill_words { &*kept } else { kept.rsplit_once(' ').map_or(&*kept, |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}

fn wordcount(value: &Value) -> usize {
    let text = value.to_string();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()
}

/// Where a text is filled up.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// Before it.
    Left,
    /// Behind it.
    Right,
    /// Before and behind it.
    Both,
}

/// `text` filled up with `fill` to `width` characters.
pub fn padded(text: &str, width: usize, fill: char, side: Side) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        // Python's rule for an odd rest.
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let fill = |count| std::iter::repeat_n(fill, count);
    fill(left).chain(text.chars()).chain(fill(missing - left)).collect()
}
