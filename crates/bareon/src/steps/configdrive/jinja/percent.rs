//! `'…' % x`, Python's way to fill in a string, which minijinja has only as the filter `format`.
//!
//! A string that is followed by `%` means nothing else, so it is rewritten before a template is
//! compiled: `'%s:%d' % (a, b)` becomes `'%s:%d'|format(a, b)`. What is not understood here stays
//! as it is, and is refused with the remedy when it runs. No line moves.

/// `template` with each `'…' % x` as `'…'|format(x)`.
pub fn rewritten(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let end = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'%') if keyword(tag) == "raw" => raw_end(tag),
            Some(b'%') => tag_end(tag, "%}"),
            Some(b'{') => tag_end(tag, "}}"),
            _ => Some(1),
        };
        let Some(end) = end else {
            // A tag that does not end is a mistake; the compiler names it.
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end);
        let is_code = tag.len() > 1 && !tag.starts_with("{#") && keyword(tag) != "raw";
        if is_code {
            out.push_str(&expression(tag));
        } else {
            out.push_str(tag);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The first word of a `{% … %}`.
fn keyword(tag: &str) -> &str {
    let Some(inner) = tag.strip_prefix("{%") else { return "" };
    let inner = inner.trim_start_matches(['-', '+']).trim_start();
    &inner[..word(inner)]
}

/// Where a raw block ends: behind the opening of its `endraw`, in which nothing is rewritten.
fn raw_end(tag: &str) -> Option<usize> {
    let ends = tag.match_indices("{%").find(|(at, _)| keyword(&tag[*at..]) == "endraw");
    ends.map(|(at, _)| at + 2)
}

/// Where a tag ends, looking past its strings.
fn tag_end(tag: &str, close: &str) -> Option<usize> {
    let mut at = 2;
    while at < tag.len() {
        let rest = &tag[at..];
        if rest.starts_with(close) {
            return Some(at + close.len());
        }
        at += string(rest).or_else(|| rest.chars().next().map(char::len_utf8))?;
    }
    None
}

fn expression(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len());
    let mut at = 0;
    while at < tag.len() {
        let rest = &tag[at..];
        let Some(length) = string(rest) else {
            let c = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..c]);
            at += c;
            continue;
        };
        out.push_str(&rest[..length]);
        at += length;
        let after = &tag[at..];
        let operator = after.trim_start();
        if !operator.starts_with('%') || operator.starts_with("%}") {
            continue;
        }
        let operand = operator[1..].trim_start();
        if let Some((length, spread)) = operand_length(operand) {
            let text = operand[..length].trim_end();
            let blanks = &after[..after.len() - operator.len()];
            let gap = &operator[1..operator.len() - operand.len()];
            let inner = if spread { text[1..text.len() - 1].trim_end().trim_end_matches(',') } else { text };
            out.extend([blanks, "|format(", gap, &expression(inner), ")"]);
            at = tag.len() - operand.len() + text.len();
        }
    }
    out
}

/// How long the operand of `%` is, and whether it is a tuple, whose items are the arguments.
fn operand_length(text: &str) -> Option<(usize, bool)> {
    let mut length = match text.chars().next()? {
        '(' => group(text)?,
        '\'' | '"' => string(text)?,
        c if c.is_alphanumeric() || c == '_' => word(text),
        _ => return None,
    };
    let first = length;
    loop {
        let rest = &text[length..];
        let tail = rest.trim_start();
        let blanks = rest.len() - tail.len();
        length += match tail.chars().next() {
            Some('(' | '[') => blanks + group(tail)?,
            Some('.') => blanks + 1 + word(&tail[1..]),
            Some('|') => {
                let name = tail[1..].trim_start();
                tail.len() - name.len() + blanks + word(name)
            }
            // They bind tighter than `%`, and are not worth the trouble.
            Some('*') if tail.starts_with("**") => return None,
            _ if matches!(&tail[..word(tail)], "is") => return None,
            _ => break,
        };
    }
    let spread = length == first && text.starts_with('(') && top_level_comma(&text[1..first - 1]);
    Some((length, spread))
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of the string literal that `text` starts with.
fn string(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the group in brackets that `text` starts with.
fn group(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(length) = string(rest) {
            at += length;
            continue;
        }
        let c = rest.chars().next()?;
        at += c.len_utf8();
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn top_level_comma(text: &str) -> bool {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ',' => return true,
            '\'' | '"' | '(' | '[' | '{' => {
                let rest = &text[at..];
                at += string(rest).or_else(|| group(rest)).unwrap_or(rest.len());
            }
            _ => at += c.len_utf8(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_string_before_a_percent_sign_is_rewritten() {
        for (template, expected) in [
            ("{{ '%s' % x }}", "{{ '%s' |format( x) }}"),
            ("{{ '%s' % x.y[0]|upper ~ 'a' }}", "{{ '%s' |format( x.y[0]|upper) ~ 'a' }}"),
            ("{{ '%s-%d'%(a, f(b, c)) }}", "{{ '%s-%d'|format(a, f(b, c)) }}"),
            ("{{ '%s' % (a,) }}", "{{ '%s' |format( a) }}"),
            ("{{ '%s' % (a) }}", "{{ '%s' |format( (a)) }}"),
            ("{{ '%s' % ('%d' % 1) }}", "{{ '%s' |format( ('%d' |format( 1))) }}"),
            ("{% if x == 'a' %}b{% endif %}", "{% if x == 'a' %}b{% endif %}"),
            ("{{ 7 % 3 }}{{ x % '%s' }}", "{{ 7 % 3 }}{{ x % '%s' }}"),
            ("{{ '%(a)s' % {'a': 1} }}", "{{ '%(a)s' % {'a': 1} }}"),
            ("{% raw %}{{ '%s' % x }}{% endraw %}", "{% raw %}{{ '%s' % x }}{% endraw %}"),
            ("{# '%s' % x #} '%s' % x", "{# '%s' % x #} '%s' % x"),
            ("{ '%s' % x } {{ '}}' % x }}", "{ '%s' % x } {{ '}}' |format( x) }}"),
            ("{{ 'unclosed % x }}", "{{ 'unclosed % x }}"),
            ("a {", "a {"),
            ("{{ '%d' % 2**3 }}{{ 'ä' % 'ö' }}", "{{ '%d' % 2**3 }}{{ 'ä' |format( 'ö') }}"),
        ] {
            assert_eq!(rewritten(template), expected);
        }
    }
    proptest::proptest! {
        #[test]
        fn any_text_is_taken_and_no_line_moves(text in r#"[{}%#'"()\[\],.|*a é\n\\-]{0,60}"#) {
            let rewritten = rewritten(&text);
            proptest::prop_assert_eq!(rewritten.matches('\n').count(), text.matches('\n').count());
            proptest::prop_assert!(text.contains('%') || rewritten == text);
        }
    }
}
