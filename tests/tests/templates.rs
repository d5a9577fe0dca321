//! Templates render as under Python's Jinja2: the same snippets and the same data through both.
//!
//! A site's templates were written for Jinja2, so that is the measure. Where Jinja2 refuses a
//! snippet, so must we. The snippets stand in `templates/snippets.txt`, with `%%` lines between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bareon::steps::configdrive::jinja;
use serde_json::{Map, Value, json};

/// What snippets include, import and extend.
fn templates() -> Value {
    json!({
        "part.jinja2": "part of {{ common.hostname }}\n",
        "macros.jinja2": "{% macro greet(who) %}hello {{ who }}{% endmacro %}\
                          {% macro show() %}{{ common.hostname }}{% endmacro %}",
        "base.jinja2": "<{% block body %}base{% endblock %}>",
    })
}

/// What Jinja2 makes of `snippets`; nothing where it is not installed.
#[expect(clippy::disallowed_methods, reason = "a test compares with another program")]
fn jinja2(templates: &Value, data: &Map<String, Value>, snippets: &[&str]) -> Option<Vec<Value>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/templates/render.py");
    // Debian's own Python first: that is where its package python3-jinja2 is found.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        Command::new(python)
            .args(["-c", "import jinja2"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        // Past the capture of output, so that it is seen.
        let _ = writeln!(std::io::stderr(), "skipped: compare with jinja2: install python3-jinja2");
        return None;
    };
    let mut child = Command::new(python)
        .arg(script)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = json!({"templates": templates, "data": data, "snippets": snippets});
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), snippets.len());
    Some(answers)
}

/// What differs between Jinja2 and us, one text for each snippet that does.
fn differences(templates: &Value, data: &Map<String, Value>, snippets: &[&str]) -> Option<Vec<String>> {
    let theirs = jinja2(templates, data, snippets)?;
    let mut differences = Vec::new();
    for (snippet, theirs) in snippets.iter().zip(theirs) {
        let (text, all) = ((*snippet).to_owned(), templates.clone());
        let load = move |name: &str| match name {
            "snippet" => Some(text.clone()),
            _ => all[name].as_str().map(str::to_owned),
        };
        let ours = jinja::render("snippet", load, data);
        let same = match (theirs["text"].as_str(), &ours) {
            (Some(theirs), Ok(ours)) => theirs == ours,
            (theirs, ours) => theirs.is_none() && ours.is_err(),
        };
        if !same {
            differences.push(format!("{snippet}\n  jinja2: {theirs}\n  ours:   {ours:?}"));
        }
    }
    Some(differences)
}

#[test]
fn snippets_render_as_under_jinja2() {
    let data: Value = serde_json::from_str(include_str!("templates/data.json")).unwrap();
    let text = include_str!("templates/snippets.txt");
    let snippets: Vec<&str> = text.strip_suffix('\n').unwrap().split("\n%%\n").collect();
    assert!(snippets.len() > 150, "{} snippets were read", snippets.len());
    if let Some(differences) = differences(&templates(), data.as_object().unwrap(), &snippets) {
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    }
}

#[test]
fn our_own_templates_are_jinja2() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../cloud-init-templates");
    let mut templates = Map::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        templates.insert(name, std::fs::read_to_string(&path).unwrap().into());
    }
    assert!(templates.len() >= 6, "{templates:?}");
    let texts: Vec<String> = templates.values().map(|text| text.as_str().unwrap().to_owned()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut data: Value = serde_json::from_str(include_str!("templates/data.json")).unwrap();
    data["instance_id"] = "an-id".into();
    let mut stomp = data.clone();
    stomp["mcollective"]["connector"] = "stomp".into();
    stomp["puppet"]["enable"] = 1.into();
    for data in [data, stomp, json!({"instance_id": "an-id"})] {
        let templates = Value::Object(templates.clone());
        if let Some(differences) = differences(&templates, data.as_object().unwrap(), &texts) {
            assert!(differences.is_empty(), "{}", differences.join("\n"));
        }
    }
}
