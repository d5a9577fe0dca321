//! The configuration file: INI as oslo.config reads it.
//!
//! A parser of our own, because the crates for INI files know no line numbers, and a mistake in a
//! file is told with its place. What oslo does, this does: `key = value` and `key: value`, comments
//! of `#` and `;`, indented lines that continue a value, quotes around a value taken off.

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The section it stands in; `DEFAULT` before the first header.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value; continuation lines are joined by newlines.
    pub value: String,
    /// The number of its first line, from 1.
    pub line: usize,
}

/// A line that is none of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line without `=` and `:`.
    #[error("there is no `=` in this line; write `key = value`")]
    NoValue,
    /// A line that begins with the `=`.
    #[error("there is no key before the `=`")]
    NoKey,
    /// A `[section` without end, or without name.
    #[error("a section is written `[name]`")]
    Section,
    /// An indented line with nothing before it to continue.
    #[error("an indented line continues the value above it, and there is none; take the blanks off")]
    Continuation,
}

/// Reads the text of a file; all its faults are told with their line numbers.
///
/// # Errors
/// When a line is neither blank, comment, section, `key = value` nor continuation.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<(usize, Fault)>> {
    let mut parser = Parser { section: "DEFAULT".into(), ..Parser::default() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        if let Err(fault) = parser.line(index + 1, line.trim_end()) {
            parser.faults.push((index + 1, fault));
        }
    }
    if parser.faults.is_empty() { Ok(parser.entries) } else { Err(parser.faults) }
}

#[derive(Debug, Default)]
struct Parser {
    section: String,
    entries: Vec<Entry>,
    faults: Vec<(usize, Fault)>,
    /// Whether an indented line would continue the last entry.
    open: bool,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), Fault> {
        let text = line.trim_start();
        if text.is_empty() {
            self.open = false;
            return Ok(());
        }
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.len() < line.len() {
            return self.continuation(text);
        }
        self.open = false;
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty());
            name.ok_or(Fault::Section)?.clone_into(&mut self.section);
            return Ok(());
        }
        let (key, value) = line.split_once(['=', ':']).ok_or(Fault::NoValue)?;
        let key = key.trim_end();
        if key.is_empty() {
            return Err(Fault::NoKey);
        }
        let value = unquoted(value.trim()).to_owned();
        self.entries.push(Entry { section: self.section.clone(), key: key.into(), value, line: number });
        self.open = true;
        Ok(())
    }

    fn continuation(&mut self, text: &str) -> Result<(), Fault> {
        let entry = self.entries.last_mut().filter(|_| self.open).ok_or(Fault::Continuation)?;
        entry.value.push('\n');
        entry.value.push_str(text);
        Ok(())
    }
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Entry, Fault, parse};

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|Entry { key, value, .. }| (key, value)).collect()
    }

    #[test]
    fn both_separators_comments_and_quotes_are_read() {
        let text = "# a comment\n[DEFAULT]\n; another\nplain = a b # no comment\n\
                    colon: x=y\nsingle='s p'\ndouble = \"d\"\nodd = \"half\nempty =\n";
        let want = [
            ("plain", "a b # no comment"),
            ("colon", "x=y"),
            ("single", "s p"),
            ("double", "d"),
            ("odd", "\"half"),
            ("empty", ""),
        ];
        assert_eq!(pairs(text), want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn an_indented_line_continues_a_value_and_a_comment_between_does_not_end_it() {
        let text = "a = 1\n  2\n  # not this\n\t3\n\nb = 4\n";
        assert_eq!(pairs(text), [("a".into(), "1\n2\n3".into()), ("b".into(), "4".into())]);
    }

    #[test]
    fn entries_know_their_section_and_line() {
        let entries = parse("\u{feff}a = 1\r\n[ other ]\r\nb = 2\r\n").unwrap();
        let places: Vec<_> = entries.iter().map(|e| (e.section.as_str(), e.line, e.value.as_str())).collect();
        assert_eq!(places, [("DEFAULT", 1, "1"), ("other", 3, "2")]);
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let faults = parse("  lost\nword\n= 1\n[half\n[]\nok = 1\n\n late\n").unwrap_err();
        let want = [
            (1, Fault::Continuation),
            (2, Fault::NoValue),
            (3, Fault::NoKey),
            (4, Fault::Section),
            (5, Fault::Section),
            (8, Fault::Continuation),
        ];
        assert_eq!(faults, want);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_or_lose_its_place(text in any::<String>()) {
            let lines = text.lines().count().max(1);
            match parse(&text) {
                Ok(entries) => prop_assert!(entries.iter().all(|e| (1..=lines).contains(&e.line))),
                Err(faults) => prop_assert!(faults.iter().all(|(line, _)| (1..=lines).contains(line))),
            }
        }

        #[test]
        fn a_key_and_a_value_come_back(key in "[a-z][a-z_]{0,12}", value in "[A-Za-z0-9/][ -~]{0,20}[A-Za-z0-9/]") {
            let text = format!("{key} = {value}\n");
            prop_assert_eq!(pairs(&text), [(key, value)]);
        }
    }
}
