"""Renders snippets with Jinja2: JSON in ({templates, data, snippets}), one JSON line out for each."""

import json
import sys

import jinja2

asked = json.load(sys.stdin)
environment = jinja2.Environment(loader=jinja2.DictLoader(asked["templates"]))
# bareon's own filter, which its templates use.
environment.filters["yaml"] = lambda value: json.dumps(value, ensure_ascii=False)
for snippet in asked["snippets"]:
    try:
        print(json.dumps({"text": environment.from_string(snippet).render(asked["data"])}))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
