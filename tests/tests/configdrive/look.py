"""Reads a user-data message as cloud-init does; answers its parts, and the cloud-config, as JSON."""

import email
import json
import sys

import yaml

message = email.message_from_string(sys.stdin.read())
assert message.is_multipart() and not message.defects, message.defects
parts = []
for part in message.get_payload():
    assert not part.defects, part.defects
    text = part.get_payload(decode=True).decode(part.get_content_charset())
    parts.append({"type": part.get_content_type(), "text": text})
config = yaml.safe_load(parts[1]["text"])
print(json.dumps({"type": message.get_content_type(), "parts": parts, "config": config}))
